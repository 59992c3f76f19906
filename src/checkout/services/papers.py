"""What stands on receipts, statements and invoices, read from the books."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import formats
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from checkout import actions, clock, money, states
from checkout.conf import conf
from checkout.contract import Actor, actor
from checkout.errors import CannotPay
from checkout.journal import Code, Why
from checkout.models import (
    Checkout,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    Paper,
    Posting,
    StateChange,
    content_key,
)
from checkout.plan_changes import Ended
from checkout.services import numbering, plan_cards
from checkout.services.letters import asking
from checkout.sheets import Sheet, Table

Kind = Posting.Kind
ZERO = Decimal(0)

CAME, WENT_BACK = Posting.CAME, Posting.WENT_BACK


# -- what stands on them ---------------------------------------------------------------------------------


def receipt(checkout: Checkout) -> Sheet:
    """The receipt of a payment, in the language that is active. Raises CannotPay when nothing was paid.

    Only looked at: its number was given when it was settled. A payment that an older system took has none of ours.
    """
    if not numbering.has_receipt(checkout):
        raise CannotPay(_("There is no receipt of this, because nothing was paid."))
    paper = Paper.objects.filter(checkout=checkout).first()
    total = checkout.total or ZERO
    back = given_back(checkout)
    if checkout.undone_at is not None:
        return _withdrawn(checkout, paper)
    facts = [
        (_("Paid on"), _day(numbering.came_on([checkout])[checkout.pk])),
        (_("What for"), _what_for(checkout)),
        (_("Paid with"), numbering.paid_with(checkout, paper)),
    ]
    if back:
        facts += [
            (_("Given back since"), _money(back, checkout.currency)),
            (_("Remains paid"), _money(total - back, checkout.currency)),
        ]
    return _sheet(
        _("Receipt"),
        number=paper.label if paper is not None else "",
        to=_payer_of(checkout),
        facts=facts,
        amount=(_("Received"), _money(total, checkout.currency)),
        tables=_parts(checkout),
    )


def _withdrawn(checkout: Checkout, paper: Paper | None) -> Sheet:
    """A receipt of something that was undone: its number stays its own, and it says that nothing was paid."""
    return _sheet(
        _("Receipt, withdrawn"),
        number=paper.label if paper is not None else "",
        to=_payer_of(checkout),
        facts=[
            (_("Withdrawn on"), _day(clock.on_the_wall(checkout.undone_at)) if checkout.undone_at is not None else ""),
            (_("What for"), _what_for(checkout)),
            (_("It had said that this was paid"), _money(checkout.total or ZERO, checkout.currency)),
        ],
        amount=(_("Received"), _money(ZERO, checkout.currency)),
        notes=[_("This receipt was withdrawn: the payment was written down by mistake.")],
    )


def _what_for(checkout: Checkout) -> str:
    """As it was written down when it was paid; which payment of a plan it was in the reader's language, as the letter
    about it says. Of several a table tells; what staff wrote down of a part is in its payer's language."""
    lines, row = checkout.description_lines, checkout.content_object
    if checkout.allocated:
        lines = lines[:-1] if len(lines) > 1 and not checkout.is_manual else lines
    elif lines and isinstance(row, ObjectPaymentPlanInstalment):
        lines = [*lines[:-1], row.checkout_description[-1]]
    return ", ".join(lines)


def given_back(checkout: Checkout) -> Decimal:
    """How much of a payment went back to its payer, or was taken back by a bank: by the postings."""
    rows = Posting.objects.filter(checkout=checkout, kind__in=WENT_BACK).values_list("amount", flat=True)
    return -sum(rows, ZERO)


def _parts(checkout: Checkout) -> list[Table]:
    """Which payments of a plan one payment was for, where it was for several, or for a part."""
    if not checkout.allocated:
        return []
    rows = [
        (part.debt.instalment.name, _money(part.amount, checkout.currency))
        for part in checkout.allocations.select_related("debt__instalment").order_by("debt__instalment__count")
    ]
    return [Table(_("What it paid"), (_("Payment"), _("Amount")), tuple(rows))]


def _payer_of(checkout: Checkout) -> tuple[str, ...]:
    """Their name. The address of a letter is nobody's business who holds its link."""
    name, bracket, _email = checkout.payer.partition(" <")
    return (name,) if bracket else ()


def statement(plan: ObjectPaymentPlan) -> Sheet:
    """What was agreed for a plan, came, went back and is left, and every movement: by the postings."""
    currency = plan.currency
    lines = [line for line in plan.payments_by_day.select_related("debt") if not line.is_gone]
    lines += plan_cards.not_made_yet(plan)
    moved = _movements(lines)
    rows, in_all = [], [ZERO] * 4
    for line in lines:
        sums = _sums(line, moved, stopped=plan.deleted)
        in_all = [before + here for before, here in zip(in_all, sums, strict=True)]
        rows.append((f"{line.name}, {_day(line.due)}", sums))
    columns = [_("Agreed"), _("Paid"), _("Given back"), _("Left")]
    shown = [place for place in range(4) if place != 2 or in_all[2]]
    table = Table(
        _("Payments"),
        (_("Payment"), *(columns[place] for place in shown)),
        tuple((name, *(_money(sums[place], currency) for place in shown)) for name, sums in rows),
        (_("In all"), *(_money(in_all[place], currency) for place in shown)),
    )
    row: Any = plan.content_object
    return _sheet(
        _("Statement"),
        to=(plan.checkout_name,) if plan.checkout_name else (),
        facts=[
            (_("As of"), _day(clock.today())),
            (_("What for"), ", ".join(str(each) for each in row.checkout_description) if row is not None else ""),
            (_("Agreed on"), _day(clock.on_the_wall(plan.created_at))),
            (_("Taken from"), plan.card.short_description if plan.card is not None and in_all[3] else ""),
        ],
        amount=(_("Left to pay"), _money(in_all[3], currency)),
        tables=[table, *_list_of_movements(lines, moved, currency)],
        notes=_notes(plan, lines),
    )


def _notes(plan: ObjectPaymentPlan, lines: Iterable[ObjectPaymentPlanInstalment]) -> list[str]:
    """Why what was agreed is neither paid nor left."""
    if plan.deleted:
        return [_("This payment plan was stopped. Nothing more is taken.")]
    written_off = sum((line.written_off for line in lines), ZERO)
    said = _("%(amount)s of what was agreed is not collected any more.")
    return [said % {"amount": _money(written_off, plan.currency)}] if written_off else []


def statement_of_account(
    name: str, rows: Iterable[tuple[str, str, Decimal, Decimal, Decimal, Decimal]], moved: Iterable[tuple[Posting, str]]
) -> Sheet:
    """What a payer owes and has paid in all. `rows` are (what, currency, agreed, came, went back, left), `moved` the
    movements, oldest first, with what they are for."""
    rows = list(rows)
    currencies = sorted({row[1] for row in rows})
    left = [_money(sum((row[5] for row in rows if row[1] == code), ZERO), code) for code in currencies]
    table = Table(
        _("Payments"),
        (_("What for"), _("Agreed"), _("Paid"), _("Given back"), _("Left")),
        tuple((what, *(_money(amount, currency) for amount in amounts)) for what, currency, *amounts in rows),
    )
    movements = tuple(
        (f"{_day(each.day)}: {_kind(each)}, {what}", _money(each.amount, each.debt.currency)) for each, what in moved
    )
    return _sheet(
        _("Statement of account"),
        to=(name,) if name else (),
        facts=[(_("As of"), _day(clock.today()))],
        amount=(_("Left to pay"), ", ".join(left)),
        tables=[table, *([Table(_("Movements"), (_("Movement"), _("Amount")), movements)] if movements else [])],
    )


def _movements(lines: Iterable[ObjectPaymentPlanInstalment]) -> dict[int, list[Posting]]:
    """What moved on each debt, oldest first."""
    found: dict[int, list[Posting]] = {}
    debts = [line.debt_id for line in lines if line.debt_id is not None]
    for posting in Posting.objects.filter(debt__in=debts, kind__in=CAME | WENT_BACK).order_by("pk"):
        found.setdefault(posting.debt_id, []).append(posting)
    return found


def _sums(line: ObjectPaymentPlanInstalment, moved: dict[int, list[Posting]], *, stopped: bool) -> list[Decimal]:
    """Agreed, paid, given back, left. A line that is owed again adds nothing to what was agreed."""
    postings = moved.get(line.debt_id or 0, [])
    # Without a debt, its row was moved over from an older system.
    came = sum((each.amount for each in postings if each.kind in CAME), ZERO) if line.debt_id else line.net_paid
    back = -sum((each.amount for each in postings if each.kind in WENT_BACK), ZERO)
    left = ZERO if stopped or line.state_id == states.SUCCESS else line.left
    # What was taken off was put on other lines, or fell away.
    agreed = line.net_paid if line.ended == Ended.TAKEN_OFF else line.amount
    return [ZERO if line.replaces_id else agreed, came, back, left]


def _list_of_movements(
    lines: Iterable[ObjectPaymentPlanInstalment], moved: dict[int, list[Posting]], currency: str
) -> list[Table]:
    rows = [
        (posting.pk, f"{_day(posting.day)}: {_kind(posting)}, {line.name}", posting.amount)
        for line in lines
        for posting in moved.get(line.debt_id or 0, [])
    ]
    if not rows:
        return []
    shown = [(what, _money(amount, currency)) for _pk, what, amount in sorted(rows)]
    return [Table(_("Movements"), (_("Movement"), _("Amount")), tuple(shown))]


def _kind(posting: Posting) -> str:
    """In the payer's words."""
    return {
        Kind.TAKEN: _("paid by card"),
        Kind.OTHER_MEANS: _("paid by other means"),
        Kind.GIVEN_BACK: _("given back"),
        Kind.GIVE_BACK_FAILED: _("giving back failed"),
        Kind.DISPUTED: _("taken back by the bank"),
        Kind.DISPUTE_WON: _("returned by the bank"),
        Kind.UNDONE: _("undone"),
    }[Kind(posting.kind)]


def invoice(checkout: Checkout) -> Sheet:
    """The invoice that a payer asked for, to the address that they gave. Raises CannotPay when nobody asked for one."""
    if not numbering.has_invoice(checkout):
        raise CannotPay(_("No invoice was asked for here."))
    paper = Paper.objects.filter(checkout=checkout).first()
    address = checkout.invoice_data
    paid = _paid_since(checkout)
    how = conf.CHECKOUT_ORGANISATION.get("payment_details", "")
    return _sheet(
        _("Invoice"),
        number=paper.label if paper is not None else "",
        to=tuple(address.address) if address is not None else _payer_of(checkout),
        facts=[
            (_("Date"), _day(numbering.paid_on(checkout))),
            (_("What for"), ", ".join(checkout.description_lines)),
            (_("Paid on"), _day(numbering.came_on([paid])[paid.pk]) if paid is not None else ""),
        ],
        amount=(_("Paid") if paid is not None else _("To pay"), _money(checkout.total or ZERO, checkout.currency)),
        notes=[*how.strip().splitlines()] if how and paid is None else [],
    )


def _paid_since(checkout: Checkout) -> Checkout | None:
    row: Any = checkout.content_object
    if row is None:
        return None
    return Checkout.objects.filter(**content_key(row)).paid().order_by("-pk").first()


def send_again(checkout: Checkout) -> None:
    """Somebody holds a link to a receipt that has expired, and asks for another: its letter once more, once an hour at
    most, to the address that we know."""
    asking.ask("payment_received", f"receipt_asked:{checkout.pk}:{clock.now():%Y%m%d%H}", checkout=checkout)


def send_statement(plan: ObjectPaymentPlan, user: Actor = None) -> bool:
    """Staff send its payer the statement by mail, as it stands when the letter is written. Once a day; False when there
    was one today."""
    state = "stopped" if plan.deleted else "live"
    with transaction.atomic():
        # Of two who press at once the second waits here, and finds the first one's letter.
        list(ObjectPaymentPlan.objects.select_for_update(no_key=True).filter(pk=plan.pk).values_list("pk"))
        if not asking.statement_asked(plan):
            return False
        StateChange.objects.create(
            object_payment_plan=plan,
            from_state=state,
            to_state=state,
            user=actor(user),
            **Why(Code.STATEMENT_SENT).columns,
        )
    return True


def plans() -> QuerySet[ObjectPaymentPlan]:
    """Plans with what their statements ask of them."""
    return ObjectPaymentPlan.objects.select_related("customer", "payment_plan", "agreement__saved_card")


def receipts_of(plan: ObjectPaymentPlan) -> list[Checkout]:
    """The payments of a plan, oldest first."""
    return list(
        Checkout.objects.filter(
            **_any_line_of(plan), action_id__in=actions.TAKES_MONEY, state=states.SUCCESS, total__gt=0
        ).order_by("settled_at", "pk")
    )


def _any_line_of(plan: ObjectPaymentPlan) -> dict[str, Any]:
    lines = list(plan.instalments.all())
    key = content_key(lines[0]) if lines else {"content_type": None}
    return {"content_type": key["content_type"], "object_id__in": [str(line.pk) for line in lines]}


# -- what all of them share --------------------------------------------------------------------------------


def _sheet(
    title: str,
    *,
    number: str = "",
    to: tuple[str, ...] = (),
    facts: Iterable[tuple[str, str]],
    amount: tuple[str, str],
    tables: Iterable[Table] = (),
    notes: Iterable[str] = (),
) -> Sheet:
    about = conf.CHECKOUT_ORGANISATION
    lines = [line.strip() for line in about.get("address", "").splitlines() if line.strip()]
    if about.get("tax_number"):
        lines.append(_("Tax number: %(number)s") % {"number": about["tax_number"]})
    return Sheet(
        title=title,
        file=f"{title.lower()}-{number or clock.today().isoformat()}",
        language=get_language() or "en-gb",
        number=number,
        organisation=about.get("name") or conf.STRIPE_CAPTION,
        organisation_lines=tuple(lines),
        to=to,
        facts=tuple((label, value) for label, value in facts if value),
        amount=amount,
        tables=tuple(tables),
        notes=tuple(notes),
    )


def _day(value: datetime.date) -> str:
    return formats.date_format(value, "DATE_FORMAT")


def _money(amount: Decimal, currency: str) -> str:
    return money.format_money(amount, currency, get_language() or "en-gb")
