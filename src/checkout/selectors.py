"""Questions that the staff pages ask: bounded counts, pages by key, and no query per row."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib.contenttypes.models import ContentType
from django.db.models import BooleanField, Count, Exists, F, Func, Min, OuterRef, Q, QuerySet, Sum
from django.utils import formats, timezone
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _
from post_office.models import Email

from checkout import advice, clock, journal, money, states
from checkout.models import (
    Checkout,
    Customer,
    CustomerPayment,
    Dispute,
    Notice,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    PaymentRun,
    PaymentRunItem,
    Refund,
    StateChange,
    StripeEvent,
)

#: A count stops here: nobody reads further, and counting a million rows takes longer than the page.
COUNTED = 1000
PAGE = 50


# -- pages ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sort:
    """An order in which a list may be read: a column (never null there), ties broken by the primary key."""

    name: str
    label: Any
    column: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, and the cursors of the pages before and after them (empty when there is none)."""

    rows: list[Any]
    before: str
    after: str


def page(rows: QuerySet[Any], sort: Sort, cursor: str = "", size: int = PAGE) -> Page:
    """One page, found by key and not by offset: the thousandth is as quick as the first.

    `cursor` is "a" (after) or "b" (before) and the primary key of a row; its value is read from the row, so a made-up
    cursor is only another place in the same list.
    """
    backwards, boundary = _boundary(rows, sort, cursor)
    descending = sort.descending != backwards
    if boundary is not None:
        rows = rows.filter(_beyond(sort.column, boundary, descending))
    order = [sort.column] if sort.column == "pk" else [sort.column, "pk"]
    found = list(rows.order_by(*(f"-{name}" if descending else name for name in order))[: size + 1])
    more, found = len(found) > size, found[:size]
    if backwards:
        found.reverse()
    has_before = more if backwards else boundary is not None
    has_after = boundary is not None if backwards else more
    return Page(
        found,
        f"b{found[0].pk}" if found and has_before else "",
        f"a{found[-1].pk}" if found and has_after else "",
    )


def _boundary(rows: QuerySet[Any], sort: Sort, cursor: str) -> tuple[bool, tuple[Any, int] | None]:
    match = re.fullmatch(r"([ab])(\d{1,18})", cursor)
    if match is None:
        return False, None
    pk = int(match[2])
    value = rows.model._base_manager.filter(pk=pk).values_list(sort.column, flat=True).first()
    return (match[1] == "b", (value, pk)) if value is not None else (False, None)


def _beyond(column: str, boundary: tuple[Any, int], descending: bool) -> Q:
    value, pk = boundary
    less, at_most = ("lt", "lte") if descending else ("gt", "gte")
    if column == "pk":
        return Q(**{f"pk__{less}": pk})
    # The first half is what an index can use; the second leaves out the ties before the boundary.
    return Q(**{f"{column}__{at_most}": value}) & (Q(**{f"{column}__{less}": value}) | Q(**{f"pk__{less}": pk}))


def count_text(rows: QuerySet[Any]) -> str:
    """How many, up to a thousand: "37", "more than 1,000"."""
    number = rows.order_by().values("pk")[: COUNTED + 1].count()
    return _("more than %(number)s") % {"number": number_text(COUNTED)} if number > COUNTED else number_text(number)


def number_text(number: int) -> str:
    """A whole number as the reader writes it, with separators between the thousands."""
    return str(formats.number_format(number, force_grouping=True))


# -- search ---------------------------------------------------------------------------------------------


class Words(Func):
    """True where each word of `text` begins a word in the columns.

    On PostgreSQL it is the expression of the index that migration 0005 makes; elsewhere the table is read.
    """

    output_field = BooleanField()
    SEPARATORS = "@.-_+<>"

    def __init__(self, text: str, *columns: str, **extra: Any) -> None:
        self.words = words(text)
        super().__init__(*(F(column) if isinstance(column, str) else column for column in columns), **extra)

    def _columns(self, compiler: Any) -> tuple[str, list[Any]]:
        parts, params = [], []
        for expression in self.get_source_expressions():
            sql, more = compiler.compile(expression)
            parts.append(sql)
            params.extend(more)
        return " || ' ' || ".join(parts), params

    def as_sql(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        text, params = self._columns(compiler)
        if not self.words:
            return "1 = 0", []
        sql = " AND ".join(f"LOWER({text}) LIKE %s ESCAPE '!'" for _word in self.words)
        values: list[Any] = []
        for word in self.words:
            values += [*params, f"%{word}%"]
        return f"({sql})", values

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, list[Any]]:
        text, params = self._columns(compiler)
        if not self.words:
            return "FALSE", []
        document = f"to_tsvector('simple'::regconfig, translate({text}, '{self.SEPARATORS}', '       '))"
        query = " & ".join(f"{word}:*" for word in self.words)
        return f"{document} @@ to_tsquery('simple'::regconfig, %s)", [*params, query]


def words(text: str) -> list[str]:
    """Letters and digits only, in small letters; a few, because nobody types more."""
    return re.findall(r"[^\W_]+", text.lower())[:6]


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def find_checkouts(rows: QuerySet[Checkout], text: str) -> QuerySet[Checkout]:
    """By number, by our or Stripe's id, or by words of the payer's name and e-mail address."""
    text = text.strip()
    if uuid := _uuid(text):
        return rows.filter(uuid=uuid)
    if text.startswith("pi_"):
        return rows.filter(payment_intent_id=text)
    if text.startswith("seti_"):
        return rows.filter(setup_intent_id=text)
    if text.startswith("re_"):
        return rows.filter(pk__in=Refund.objects.filter(refund_id=text).values("checkout"))
    if text.isdecimal() and len(text) < 19:
        return rows.filter(pk=int(text))
    return rows.filter(Words(text, "payer"))


def find_customers(rows: QuerySet[Customer], text: str) -> QuerySet[Customer]:
    text = text.strip()
    if text.startswith("cus_"):
        return rows.filter(customer_id=text)
    if text.isdecimal() and len(text) == 4:
        return rows.filter(card_last4=text)
    return rows.filter(Words(text, "name", "email"))


def _customers(text: str) -> QuerySet[Any]:
    return find_customers(Customer.objects.all(), text).order_by().values("pk")[:500]


def find_plans(rows: QuerySet[ObjectPaymentPlan], text: str) -> QuerySet[ObjectPaymentPlan]:
    text = text.strip()
    if uuid := _uuid(text):
        return rows.filter(uuid=uuid)
    if text.isdecimal() and len(text) < 19:
        return rows.filter(Q(object_id=text) | Q(pk=int(text)))
    return rows.filter(customer__in=_customers(text))


# -- lists ----------------------------------------------------------------------------------------------


def checkouts() -> QuerySet[Checkout]:
    return Checkout.objects.select_related("action", "state")


def overdue_lines(*, of_stopped: bool | None = False) -> QuerySet[ObjectPaymentPlanInstalment]:
    """Lines whose day has passed and that are not paid; of live plans, of stopped ones, or (None) of both."""
    rows = ObjectPaymentPlanInstalment.objects.filter(
        Q(state__in=[states.PENDING, states.FAIL, states.PAY_ON_SESSION, states.REQUEST]), due__lt=clock.today()
    )
    return rows if of_stopped is None else rows.filter(object_payment_plan__deleted=of_stopped)


def _unpaid(**about: Any) -> QuerySet[ObjectPaymentPlanInstalment]:
    return ObjectPaymentPlanInstalment.objects.filter(~Q(state=states.SUCCESS), **about)


def plans(show: str = "live") -> QuerySet[ObjectPaymentPlan]:
    """Agreed plans: `live` (something is still to pay), `overdue`, `waiting` (for its payer), `paused`, `finished` or
    `stopped`."""
    rows = ObjectPaymentPlan.objects.select_related("customer", "payment_plan")
    unpaid = _unpaid(object_payment_plan=OuterRef("pk"))
    match show:
        case "overdue":
            lines = overdue_lines(of_stopped=None)
            return rows.filter(deleted=False, pk__in=lines.values("object_payment_plan"))
        case "waiting":
            lines = ObjectPaymentPlanInstalment.objects.filter(Q(state=states.PAY_ON_SESSION))
            return rows.filter(deleted=False, pk__in=lines.values("object_payment_plan"))
        case "paused":
            return rows.filter(deleted=False, paused=True)
        case "finished":
            return rows.filter(~Exists(unpaid), deleted=False)
        case "stopped":
            return rows.filter(deleted=True)
        case _:
            return rows.filter(Exists(unpaid), deleted=False)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a plan has come. Money in the plan's currency."""

    lines: int
    paid_lines: int
    paid: Decimal
    next_due: datetime.date | None


def progress(plan_pks: Iterable[int]) -> dict[int, Progress]:
    """How far each of these plans has come, in one query."""
    paid = Q(state=states.SUCCESS)
    rows = (
        ObjectPaymentPlanInstalment.objects.filter(object_payment_plan__in=list(plan_pks))
        .order_by()
        .values_list("object_payment_plan")
        .annotate(
            lines=Count("pk"),
            paid_lines=Count("pk", filter=paid),
            paid=Sum("amount", filter=paid),
            next_due=Min("due", filter=~paid),
        )
    )
    return {pk: Progress(lines, done, sum_paid or Decimal(0), due) for pk, lines, done, sum_paid, due in rows}


def card_expiry() -> QuerySet[ObjectPaymentPlan]:
    """Outstanding plans by the day their card runs out; those without a known card are not in it."""
    return ObjectPaymentPlan.objects.report_card_expiry_dates.filter(customer__expiry_date__isnull=False)


def customers() -> QuerySet[Customer]:
    return Customer.objects.all()


def run_counts(run_pks: Iterable[int]) -> dict[int, dict[str, int]]:
    """Run -> outcome -> number, in one query."""
    found: dict[int, dict[str, int]] = {}
    rows = (
        PaymentRunItem.objects.filter(payment_run__in=list(run_pks))
        .order_by()
        .values_list("payment_run", "outcome")
        .annotate(Count("pk"))
    )
    for run, outcome, number in rows:
        found.setdefault(run, {})[outcome] = number
    return found


def run_items(run: PaymentRun) -> QuerySet[PaymentRunItem]:
    return PaymentRunItem.objects.filter(payment_run=run).select_related(
        "instalment__object_payment_plan__customer", "checkout"
    )


def events() -> QuerySet[StripeEvent]:
    """Events of Stripe's that nobody could handle yet, newest first."""
    return StripeEvent.objects.filter(handled_at__isnull=True)


# -- one story ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened. `kind` is a word for the eye: move, mail, event, refund, dispute."""

    at: Any
    kind: str
    text: str
    who: str = ""
    detail: str = ""
    pk: int = 0


def checkout_story(checkout: Checkout) -> list[Entry]:
    """Everything that is known of one attempt, oldest first."""
    entries = [_move_entry(change) for change in checkout.state_changes.select_related("user")[:200]]
    entries += _mail_entries(Notice.objects.filter(checkout=checkout))
    ids = [checkout.payment_intent_id, checkout.setup_intent_id]
    refunds = list(checkout.refunds.select_related("requested_by"))
    disputes = list(checkout.disputes.all())
    ids += [refund.refund_id for refund in refunds]
    ids += [dispute.dispute_id for dispute in disputes] + [dispute.charge_id for dispute in disputes]
    known = [name for name in ids if name]
    if known:
        entries += [_event_entry(event) for event in StripeEvent.objects.filter(object_id__in=known)[:100]]
    entries += [_refund_entry(refund) for refund in refunds]
    entries += [_dispute_entry(dispute) for dispute in disputes]
    return sorted(entries, key=lambda entry: entry.at)


def plan_story(plan: ObjectPaymentPlan) -> list[Entry]:
    """What happened to a plan and its lines, oldest first."""
    changes = StateChange.objects.filter(
        Q(object_payment_plan=plan) | Q(instalment__object_payment_plan=plan)
    ).select_related("user", "instalment")
    entries = [
        _move_entry(change, line_name(change.instalment) if change.instalment else "") for change in changes[:300]
    ]
    entries += _mail_entries(Notice.objects.filter(instalment__object_payment_plan=plan))
    return sorted(entries, key=lambda entry: entry.at)


def instalment_story(instalment: ObjectPaymentPlanInstalment) -> list[Entry]:
    entries = _moves_of(instalment, Q(instalment=instalment))
    entries += _mail_entries(Notice.objects.filter(instalment=instalment))
    return sorted(entries, key=lambda entry: entry.at)


def request_story(payment: CustomerPayment) -> list[Entry]:
    entries = _moves_of(payment, Q(customer_payment=payment))
    cause = f"customer-payment-{payment.pk}-"
    entries += _mail_entries(Notice.objects.filter(cause__startswith=cause))
    return sorted(entries, key=lambda entry: entry.at)


def _moves_of(content_object: Any, own: Q) -> list[Entry]:
    """Its own moves and those of every attempt at it: who settled it by hand, and why, stands on the attempt."""
    kind = ContentType.objects.get_for_model(content_object)
    tried = Q(checkout__content_type=kind, checkout__object_id=str(content_object.pk))
    changes = StateChange.objects.filter(own | tried).select_related("user", "checkout").order_by("pk")
    return [
        _move_entry(change, f"{_('Attempt')} {change.checkout_id}" if change.checkout_id else "")
        for change in changes[:300]
    ]


def line_name(line: ObjectPaymentPlanInstalment) -> str:
    """ "Deposit", "Instalment 1": a line of a plan as people count."""
    return _("Deposit") if line.deposit else _("Instalment %(number)d") % {"number": line.count - 1}


#: What a move to each state looks like to somebody who watches. A state that is not here says its own name.
_MOVED: dict[str, Any] = {
    states.PENDING: gettext_lazy("Open again"),
    states.REQUEST: gettext_lazy("Stripe was asked"),
    states.PAY_ON_SESSION: gettext_lazy("Waits for the payer"),
    states.SUCCESS: gettext_lazy("Succeeded"),
    states.FAIL: gettext_lazy("Failed"),
    # Of plans, and of refunds, whose other states are called like those above.
    "live": gettext_lazy("Goes on"),
    "paused": gettext_lazy("Paused"),
    "stopped": gettext_lazy("Stopped"),
    "refund": gettext_lazy("Changed by a refund"),
    "succeeded": gettext_lazy("Succeeded"),
    "failed": gettext_lazy("Failed"),
}


def _move_entry(change: StateChange, subject: str = "") -> Entry:
    if change.from_state == change.to_state:
        text = _("Noted")
    elif change.from_state or change.to_state != states.PENDING:
        text = str(_MOVED.get(change.to_state) or change.to_state.replace("_", " ").capitalize())
    else:
        text = _("Begun")
    text = f"{subject}: {text}" if subject else text
    return Entry(change.at, "move", text, str(change.user or ""), journal.in_words(change.reason))


def _mail_entries(notices: QuerySet[Notice]) -> list[Entry]:
    return [
        Entry(
            notice.queued_at,
            "mail",
            _("Mail to %(recipient)s") % {"recipient": notice.recipient},
            detail=advice.mail_name(notice.template),
            # News for staff is not sent again.
            pk=notice.pk if notice.template != "staff" else 0,
        )
        for notice in notices.order_by("-pk")[:50]
    ]


def _event_entry(event: StripeEvent) -> Entry:
    trouble = "" if event.handled_at else (event.error or _("not handled yet"))
    return Entry(event.received_at, "event", advice.event_name(event.event_type), "Stripe", trouble)


def _refund_entry(refund: Refund) -> Entry:
    who = str(refund.requested_by or (_("Stripe's dashboard") if refund.from_dashboard else ""))
    text = _("Refund of %(amount)s: %(state)s") % {
        "amount": money.format_money(refund.amount, refund.currency, get_language() or "en-gb"),
        "state": refund.get_state_display(),
    }
    return Entry(refund.created_at, "refund", text, who, refund.failure or refund.note)


def _dispute_entry(dispute: Dispute) -> Entry:
    text = f"{dispute.get_kind_display()}: {dispute.status_text}"
    return Entry(dispute.opened_at, "dispute", text, _("the payer's bank"), dispute.reason_text)


def attempts(content_object: Any) -> QuerySet[Checkout]:
    """Every attempt at one debt, newest first."""
    return checkouts().filter(
        content_type=ContentType.objects.get_for_model(content_object), object_id=str(content_object.pk)
    )


def queued_mails(recipient: str, limit: int = 20) -> list[Email]:
    """The newest mails to one address, with their templates."""
    return list(Email.objects.filter(to__iexact=recipient).select_related("template").order_by("-pk")[:limit])


def start_of(day: datetime.date) -> datetime.datetime:
    """Midnight of a day on the site's wall."""
    return timezone.make_aware(datetime.datetime.combine(day, datetime.time()), timezone.get_default_timezone())


def recently(days: int) -> Any:
    return clock.now() - timedelta(days=days)
