"""One search over everything: what was typed is read as every number, id, amount or name that it may be."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from checkout import advice, money
from checkout.errors import MoneyError
from checkout.ids import storable, uuid_or_none
from checkout.models import (
    BalanceTransaction,
    Checkout,
    Customer,
    CustomerPayment,
    Dispute,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    Paper,
    Payout,
    Refund,
    StateChange,
    StripeEvent,
)
from checkout.office import stories
from checkout.office.search import Words, words
from checkout.services import look_up

#: So many of each kind are shown; who wants more goes to the list of that kind.
SHOWN = 10

#: So many that words fit are read, before the newest of them are shown: what fits more than these is not a search.
READ = 500

_SIGNS = re.compile(r"[£€$¥]|\b[A-Z]{3}\b")


@dataclass(frozen=True, slots=True)
class Hit:
    """Something that was found. `small` says what it is; without `url` it has no page."""

    text: str
    url: str = ""
    small: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """What was found of one kind, the newest first; `more` is true when there are others."""

    name: str
    heading: Any
    hits: list[Hit]
    more: bool


@dataclass(frozen=True)
class Asked:
    """What somebody typed, and all that it may mean."""

    text: str

    @classmethod
    def read(cls, typed: str) -> Asked:
        return cls(" ".join(storable(typed).split())[:200])

    @cached_property
    def stripe_id(self) -> str:
        """An id of Stripe's, or empty."""
        return self.text if look_up.is_id(self.text) or re.fullmatch(r"issfr_\w+", self.text) else ""

    @cached_property
    def uuid(self) -> UUID | None:
        return uuid_or_none(self.text)

    @cached_property
    def number(self) -> int | None:
        """A number of ours."""
        return int(self.text) if re.fullmatch(r"[0-9]{1,9}", self.text) else None

    @cached_property
    def last4(self) -> str:
        return self.text if re.fullmatch(r"[0-9]{4}", self.text) else ""

    @cached_property
    def paper(self) -> tuple[str, int] | None:
        """The series and the number of a receipt or an invoice, as it is printed."""
        series, _dash, number = self.text.upper().rpartition("-")
        return (series, int(number)) if series and re.fullmatch(r"[0-9]{1,9}", number) else None

    @cached_property
    def amount(self) -> Decimal | None:
        """As the reader writes it, or with a point; with or without a currency."""
        bare = _SIGNS.sub("", self.text).strip()
        if not bare or not bare[0].isdecimal():
            return None
        for language in (get_language() or "en-gb", "en-gb"):
            try:
                amount = money.parse_amount(bare, language)
            except MoneyError:
                continue
            return amount if 0 < amount < Decimal(10**12) else None
        return None

    @cached_property
    def words(self) -> bool:
        """True for text in which words can be looked for."""
        plain = not self.stripe_id and self.uuid is None and self.number is None
        return plain and bool(words(self.text)) and not (self.amount is not None and _SIGNS.sub("", self.text) == "")


def find(asked: Asked, may: Callable[[str], bool]) -> list[Group]:
    """All that fits, kind by kind, of the kinds whose permission `may` grants; a fixed number of queries each."""
    found = []
    for name, heading, permission, search in KINDS:
        if not may(permission):
            continue
        hits = list(search(asked))
        if hits:
            found.append(Group(name, heading, hits[:SHOWN], len(hits) > SHOWN))
    return found


def around(names: Iterable[str], may: Callable[[str], bool]) -> list[Group]:
    """What is found of any of these ids, each thing once."""
    merged: dict[str, Group] = {}
    for name in names:
        for group in find(Asked.read(name), may):
            before = merged.get(group.name)
            hits = list(dict.fromkeys([*(before.hits if before else ()), *group.hits]))
            merged[group.name] = Group(group.name, group.heading, hits[:SHOWN], group.more or len(hits) > SHOWN)
    return [merged[name] for name, *_rest in KINDS if name in merged]


def _newest(rows: QuerySet[Any], *conditions: Q | None, column: str = "-pk") -> Iterable[Any]:
    """Rows that one of the conditions fits, each looked for by itself, so that each has its index."""
    keys: set[int] = set()
    for condition in conditions:
        if condition is not None:
            keys.update(rows.filter(condition).order_by(column).values_list("pk", flat=True)[: SHOWN + 1])
    return rows.filter(pk__in=keys).order_by("-pk")[: SHOWN + 1] if keys else ()


def _with_words(model: type[Any], asked: Asked, *columns: str, **about: Any) -> Q | None:
    """Rows in whose columns all words stand. Which of many is not asked: putting all in order would take too long."""
    if not asked.words:
        return None
    return _some(model._default_manager.filter(Words(asked.text, *columns), **about))


def _some(rows: QuerySet[Any]) -> Q:
    """The newest of so many of these rows, by their keys: with the question itself PostgreSQL would go through the
    table from its end, and what is found may stand at the beginning."""
    return Q(pk__in=sorted(rows.order_by().values_list("pk", flat=True)[:READ], reverse=True)[: SHOWN + 1])


def _shown(amount: Decimal | None, currency: str) -> str:
    return money.format_money(amount, currency, get_language() or "en-gb") if amount is not None else ""


def _joined(*parts: Any) -> str:
    return " · ".join(str(part) for part in parts if part)


def _if(value: Any, **about: Any) -> Q | None:
    """The condition, where the text may mean that."""
    return Q(**about) if value not in (None, "") else None


def _customers(asked: Asked) -> Iterator[Hit]:
    rows = _newest(
        Customer.objects.all(),
        _if(asked.number, pk=asked.number),
        _if(asked.last4, saved_cards__last4=asked.last4),
        _if(asked.stripe_id, at_stripe__stripe_customer_id=asked.stripe_id),
        _if(asked.stripe_id, saved_cards__payment_method_id=asked.stripe_id),
        _with_words(Customer, asked, "name", "email"),
    )
    for row in rows:
        yield Hit(row.name or row.email, reverse("checkout.customer.detail", args=[row.pk]), row.email)


def _plans(asked: Asked) -> Iterator[Hit]:
    names = Customer.objects.filter(Words(asked.text, "name", "email")).order_by().values("pk")[:READ]
    rows = _newest(
        ObjectPaymentPlan.objects.select_related("customer", "payment_plan"),
        _if(asked.uuid, uuid=asked.uuid),
        _if(asked.number, pk=asked.number),
        _if(asked.number, object_id=asked.text),
        _if(asked.amount, total=asked.amount),
        _some(ObjectPaymentPlan.objects.filter(customer__in=names)) if asked.words else None,
    )
    for row in rows:
        name = _("Plan %(number)d") % {"number": row.pk}
        yield Hit(name, row.get_absolute_url(), _joined(row.customer, _shown(row.total, row.currency)))


def _lines(asked: Asked) -> Iterator[Hit]:
    rows = _newest(
        ObjectPaymentPlanInstalment.objects.select_related("object_payment_plan__customer"),
        _if(asked.uuid, uuid=asked.uuid),
        _if(asked.amount, amount=asked.amount),
    )
    for row in rows:
        plan = row.object_payment_plan
        name = _("%(line)s of plan %(number)d") % {"line": stories.line_name(row), "number": plan.pk}
        state = advice.DEBT_NAMES[row.state_id or ""]
        yield Hit(name, row.get_absolute_url(), _joined(plan.customer, _shown(row.amount, plan.currency), state))


def _checkouts(asked: Asked) -> Iterator[Hit]:
    here = asked.stripe_id
    series, number = asked.paper or ("", 0)
    rows = _newest(
        Checkout.objects.select_related("action", "paper"),
        _if(asked.uuid, uuid=asked.uuid),
        _if(asked.number, pk=asked.number),
        _if(asked.amount, total=asked.amount),
        _if(here, payment_intent_id=here),
        _if(here, setup_intent_id=here),
        # What a bank or a payout names is the charge; the movement in the balance knows of which payment it is.
        _if(here, pk__in=BalanceTransaction.objects.filter(source_id=here).order_by().values("checkout")),
        _if(here, pk__in=BalanceTransaction.objects.filter(transaction_id=here).order_by().values("checkout")),
        _if(here, pk__in=Dispute.objects.filter(charge_id=here).order_by().values("checkout")),
        _if(here, pk__in=Dispute.objects.filter(dispute_id=here).order_by().values("checkout")),
        _if(here, pk__in=Refund.objects.filter(refund_id=here).order_by().values("checkout")),
        _if(asked.last4, pk__in=Paper.objects.filter(card_last4=asked.last4).order_by("-pk").values("checkout")[:READ]),
        _if(series, pk__in=Paper.objects.filter(series=series, number=number).order_by().values("checkout")),
        _with_words(Checkout, asked, "payer", "description"),
    )
    for row in rows:
        paper = getattr(row, "paper", None)
        said = _joined(row.payer, _shown(row.total, row.currency), advice.attempt_state(row)[1], paper and paper.label)
        yield Hit(_("Checkout %(number)d") % {"number": row.pk}, row.get_absolute_url(), said)


def _requests(asked: Asked) -> Iterator[Hit]:
    rows = _newest(
        CustomerPayment.objects.select_related("customer"),
        _if(asked.uuid, uuid=asked.uuid),
        _if(asked.number, pk=asked.number),
        _if(asked.amount, total=asked.amount),
        _with_words(CustomerPayment, asked, "description"),
    )
    for row in rows:
        yield Hit(row.description, row.get_absolute_url(), _joined(row.customer, _shown(row.total, row.currency)))


def _refunds(asked: Asked) -> Iterator[Hit]:
    payments = Checkout.objects.filter(payment_intent_id=asked.stripe_id).order_by().values("pk")
    rows = _newest(
        Refund.objects.select_related("checkout"),
        _if(asked.uuid, uuid=asked.uuid),
        _if(asked.amount, amount=asked.amount),
        _if(asked.stripe_id, refund_id=asked.stripe_id),
        _if(asked.stripe_id, checkout__in=payments),
    )
    for row in rows:
        text = _("Refund of %(amount)s") % {"amount": _shown(row.amount, row.currency)}
        said = _joined(row.checkout.payer, row.get_state_display(), row.refund_id)
        yield Hit(text, row.checkout.get_absolute_url(), said)


def _disputes(asked: Asked) -> Iterator[Hit]:
    rows = _newest(
        Dispute.objects.select_related("checkout"),
        _if(asked.amount, amount=asked.amount),
        _if(asked.stripe_id, dispute_id=asked.stripe_id),
        _if(asked.stripe_id, charge_id=asked.stripe_id),
        _if(asked.stripe_id, payment_intent_id=asked.stripe_id),
    )
    for row in rows:
        payer = row.checkout.payer if row.checkout else ""
        said = _joined(payer, _shown(row.amount, row.currency), row.status_text, row.dispute_id)
        yield Hit(row.get_kind_display(), reverse("checkout.dispute.detail", args=[row.pk]), said)


def _payouts(asked: Asked) -> Iterator[Hit]:
    inside = BalanceTransaction.objects.filter(transaction_id=asked.stripe_id).order_by().values("payout")
    rows = _newest(
        Payout.objects.all(),
        _if(asked.amount, amount=asked.amount),
        _if(asked.stripe_id, payout_id=asked.stripe_id),
        _if(asked.stripe_id, pk__in=inside),
        # The bank's own reference.
        _if(asked.text, trace_id=asked.text),
    )
    for row in rows:
        yield Hit(row.payout_id, row.get_absolute_url(), _joined(_shown(row.amount, row.currency), row.arrival_on))


def _movements(asked: Asked) -> Iterator[Hit]:
    rows = _newest(
        BalanceTransaction.objects.select_related("payout", "checkout"),
        _if(asked.stripe_id, transaction_id=asked.stripe_id),
        _if(asked.stripe_id, source_id=asked.stripe_id),
        _if(asked.stripe_id, payment_intent_id=asked.stripe_id),
    )
    for row in rows:
        about = row.checkout or row.payout
        url = about.get_absolute_url() if about is not None else ""
        yield Hit(row.transaction_id, url, _joined(row.category, _shown(row.amount, row.currency), row.day))


def _events(asked: Asked) -> Iterator[Hit]:
    rows = _newest(
        StripeEvent.objects.all(),
        _if(asked.stripe_id, event_id=asked.stripe_id),
        _if(asked.stripe_id, object_id=asked.stripe_id),
    )
    for row in rows:
        known = "" if row.handled_at else reverse("checkout.event.list")
        yield Hit(advice.event_name(row.event_type), known, _joined(row.event_id, row.object_id))


def _notes(asked: Asked) -> Iterator[Hit]:
    """What staff wrote: references of transfers, reasons, notes about people."""
    condition = _with_words(StateChange, asked, "note", user__isnull=False)
    for change in _newest(stories.with_subjects(StateChange.objects.all()), condition):
        yield Hit(change.note[:200], stories.page_of(change), _joined(stories.subject_of(change), change.user))


#: Name, heading, the permission that it wants, and how it is found.
KINDS: tuple[tuple[str, Any, str, Callable[[Asked], Iterator[Hit]]], ...] = (
    ("customers", gettext_lazy("Customers"), "checkout.view_customer", _customers),
    ("plans", gettext_lazy("Plans"), "checkout.view_objectpaymentplan", _plans),
    ("lines", gettext_lazy("Payments of plans"), "checkout.view_objectpaymentplaninstalment", _lines),
    ("checkouts", gettext_lazy("Checkouts"), "checkout.view_checkout", _checkouts),
    ("requests", gettext_lazy("Requests"), "checkout.view_customerpayment", _requests),
    ("refunds", gettext_lazy("Refunds"), "checkout.view_refund", _refunds),
    ("disputes", gettext_lazy("Disputes"), "checkout.view_dispute", _disputes),
    ("payouts", gettext_lazy("Payouts"), "checkout.view_payout", _payouts),
    ("movements", gettext_lazy("Movements at Stripe"), "checkout.view_balancetransaction", _movements),
    ("events", gettext_lazy("Events"), "checkout.view_stripeevent", _events),
    ("notes", gettext_lazy("Notes and references"), "checkout.view_statechange", _notes),
)
