"""The row of an attempt: built, written, and what may be concluded from it about Stripe."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import QuerySet
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from checkout import actions, money, states
from checkout.conf import conf, is_live_key
from checkout.contract import Actor, ContentObject, actor
from checkout.errors import AlreadyPaid, OtherAccount
from checkout.journal import Code, Why
from checkout.models import (
    Allocation,
    Checkout,
    CheckoutSettings,
    Debt,
    ObjectPaymentPlanInstalment,
    content_key,
    model_of,
)
from checkout.services import attempt_debts, debts, moves
from checkout.services.insert_each import insert_each

#: Stripe keeps a key for 24 hours and may then charge again under it, so ours are trusted for a little less.
KEY_TRUSTED_FOR = timedelta(hours=20)


#: Stripe's clock and ours may differ by this much when a window is listed.
CLOCK_SKEW = timedelta(minutes=10)


def currency_of(content_object: ContentObject) -> str:
    """The content object's currency, or the site's. Raises MoneyError for one that Stripe does not take."""
    return money.check_currency(getattr(content_object, "checkout_currency", None) or conf.CHECKOUT_CURRENCY)


def off_session(checkout: Checkout) -> bool:
    """True while a charge of a saved card is asked for and not answered: `reconcile` alone may ask again."""
    return checkout.state_id == states.REQUEST and not checkout.on_session


def metadata(checkout: Checkout) -> dict[str, str]:
    """How Stripe's objects point back at us. No personal data: metadata is shown to everyone with Stripe access."""
    about = {"checkout": str(checkout.uuid), "site": site()}
    if checkout.debt is not None:
        about |= {"debt": str(checkout.debt.uuid), "attempt": str(checkout.number)}
        if checkout.allocated:
            about["allocated"] = "yes"
    model = checkout.content_type.model_class()
    return about | ({"for": f"{model._meta.label_lower}:{checkout.object_id}"} if model is not None else {})


@cache
def site() -> str:
    """The mark that everything of ours at Stripe bears: other sites may use the same account. It comes from the
    database, so a copy of it that was restored still knows its own."""
    return str(CheckoutSettings.objects.settings.site)


def receipt_email(checkout: Checkout) -> str:
    """To whom Stripe mails its own receipt (CHECKOUT_STRIPE_RECEIPTS), or an empty text. As the row keeps it, so that
    a repeated request is the same; Stripe refuses a payment whose address is none."""
    email = checkout.payer.rpartition(" <")[2].rstrip(">") if conf.CHECKOUT_STRIPE_RECEIPTS else ""
    try:
        validate_email(email)
    except ValidationError:
        return ""
    return email


def is_line_debt(debt: Debt) -> bool:
    """True for the debt of a line of a plan. No query."""
    return debt.content_type_id == ContentType.objects.get_for_model(ObjectPaymentPlanInstalment).pk


def check_account(checkout: Checkout, stripe_id: str) -> None:
    """Stripe does not know `stripe_id`, an intent or a customer that it once gave us for this attempt.

    Neither is ever deleted without a trace, so the key in use is of another account or mode: whether the money was
    taken cannot be seen with it, and nothing may be concluded. Raises OtherAccount then. Only test data can be wiped,
    so what was begun with a test key is let go.
    """
    if checkout.livemode:
        raise OtherAccount(
            _(
                "Stripe does not know %(id)s, with which checkout %(number)s was begun, so STRIPE_SECRET_KEY is a key "
                "of another Stripe account, or a test key. Nothing was changed; set the right key and try again."
            )
            % {"id": stripe_id, "number": checkout.pk}
        )


def check_mode(checkout: Checkout) -> None:
    """Raises OtherAccount for real money while our key is a test key: what it finds, or does not, proves nothing."""
    if checkout.livemode and not is_live_key(conf.STRIPE_SECRET_KEY):
        raise OtherAccount(
            _(
                "Checkout %(number)s was begun with a live key, and STRIPE_SECRET_KEY is a test key. Nothing was "
                "changed; set the live key and try again."
            )
            % {"number": checkout.pk}
        )


def still_payable(content_object: ContentObject) -> bool:
    """Whether the row, read anew, may still be charged.

    Asked after an attempt was inserted, in the same transaction: from then on the constraint keeps everybody else out,
    so what was settled before is seen here, and nothing can be settled after. The row in hand may be older than that,
    or come from a replica. The lock reads where is written, and the newest: under another isolation level than READ
    COMMITTED the database raises rather than tell of yesterday.
    """
    rows: Any = QuerySet(model_of(content_object)).select_for_update(of=("self",), no_key=True)
    # Not in the order of the host's rows, which may be of another table.
    fresh = next(iter(rows.filter(pk=content_object.pk).order_by()), None)
    return fresh is not None and bool(fresh.checkout_can_charge)


def insert(content_object: ContentObject, slug: str, user: Actor, **fields: Any) -> Checkout:
    """Write a new attempt, and the line that tells who began it. The caller holds the transaction."""
    return insert_many([build(content_object, slug, user, **fields)], user)[0]


def insert_many(rows: list[Checkout], user: Actor) -> list[Checkout]:
    """Reserve what new attempts will ask for, write them, and the lines that tell who began them. The caller holds the
    transaction. Raises IntegrityError when somebody else was faster."""
    attempt_debts.reserve([row for row in rows if row.debt_id is not None])
    insert_each(rows)
    for checkout in rows:
        why = Why(Code(f"{checkout.action_id}_begun"))
        moves.record(checkout, from_state="", to=checkout.state_id or "", user=user, why=why)
    return rows


def insert_in_parts(
    content_object: ContentObject, slug: str, user: Actor, parts: list[tuple[Debt, Decimal]], **fields: Any
) -> Checkout:
    """As `insert`, for an attempt that pays for several debts, or for a part of one."""
    checkout = build(content_object, slug, user, **fields)
    checkout.total, checkout.allocated = sum((amount for _debt, amount in parts), Decimal(0)), True
    attempt_debts.reserve_parts(checkout, parts)
    checkout.save(force_insert=True)
    Allocation.objects.bulk_create(Allocation(checkout=checkout, debt=debt, amount=amount) for debt, amount in parts)
    why = Why(Code(f"{checkout.action_id}_begun"))
    moves.record(checkout, from_state="", to=checkout.state_id or "", user=user, why=why)
    return checkout


def build(content_object: ContentObject, slug: str, user: Actor, **fields: Any) -> Checkout:
    """A new attempt, not written yet: everything about the content object that must not change under it is copied. One
    that takes money takes what is left of its debt; what costs nothing has none."""
    if slug in actions.TAKES_MONEY and fields.get("total") != 0:
        debt = debts.of(content_object, content_object.checkout_total, currency_of(content_object))
        if debt.left <= 0:
            raise AlreadyPaid(_("This has been paid already. Nothing more was taken."))
        fields |= {"debt": debt, "total": debt.left}
    fields.setdefault("description", "\n".join(str(line) for line in content_object.checkout_description)[:1000])
    return Checkout(
        action_id=slug,
        **content_key(content_object),
        payer=_payer(content_object),
        language=(get_language() or "")[:12],
        currency=currency_of(content_object),
        user=actor(user),
        livemode=is_live_key(conf.STRIPE_SECRET_KEY),
        **fields,
    )


def hold(checkout: Checkout, content_object: ContentObject) -> None:
    """What an attempt is for is in hand, and need not be read again."""
    field: Any = Checkout._meta.get_field("content_object")
    field.set_cached_value(checkout, content_object)


def is_plan_line(checkout: Checkout) -> bool:
    """True for an attempt at a line of a plan. No query."""
    line_type = ContentType.objects.get_for_model(ObjectPaymentPlanInstalment)
    return checkout.content_type_id == line_type.pk


def _payer(content_object: ContentObject) -> str:
    """Who pays, as staff read it in their lists; kept on the row, because the host's row may change or go."""
    name, email = str(content_object.checkout_name), str(content_object.checkout_email)
    return f"{name} <{email}>"[:400] if name and email else (name or email)[:400]
