"""What letters about payments say, read from the rows at the moment they are written; and what all letters share.

None: it is no longer true. The language of the reader is active. Every value is plain text; `facts` are the lines of
its little table.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Q
from django.utils import formats, timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from checkout import links, money, states
from checkout.conf import conf
from checkout.models import (
    Checkout,
    CheckoutAdditional,
    Customer,
    CustomerPayment,
    Letter,
    Notice,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    Paper,
    PlanChange,
    Posting,
    Refund,
    SavedCard,
)
from checkout.services import numbering, payers
from checkout.services.letters import asking


@dataclass(frozen=True, slots=True)
class Words:
    """A letter that is true: its template and what goes into it. `to` is whom it goes to, where that is not the payer.
    `also` are other letters that it says as well, by their primary keys."""

    template: str
    context: dict[str, Any]
    to: str = ""
    also: tuple[int, ...] = ()


def day(value: datetime.date | datetime.datetime | None) -> str:
    """A day as its reader writes it; of a moment, the day it was here."""
    if value is None:
        return ""
    if isinstance(value, datetime.datetime):
        value = timezone.localdate(value)
    return formats.date_format(value, "DATE_FORMAT")


def amount(value: Decimal | None, currency: str) -> str:
    return money.format_money(value, currency, get_language() or "en-gb") if value is not None else ""


def facts(rows: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """Those that say something."""
    return [{"label": label, "value": value} for label, value in rows if value]


def common(name: str) -> dict[str, Any]:
    """What every letter knows."""
    return {"name": name, "contact": conf.CHECKOUT_CONTACT_TEXT, "organisation": conf.STRIPE_CAPTION}


def of_line(line: ObjectPaymentPlanInstalment) -> str:
    return ", ".join(str(each) for each in line.checkout_description)


def of_plan(plan: ObjectPaymentPlan) -> str:
    row: Any = plan.content_object
    return ", ".join(str(each) for each in row.checkout_description) if row is not None else ""


def card_asked(checkout: Checkout) -> str:
    """The card that an attempt asked for, as far as it is known here."""
    card = SavedCard.objects.filter(payment_method_id=checkout.payment_method_id, livemode=checkout.livemode).first()
    return card.description if card is not None and card.last4 else ""


def payment_received(letter: Letter) -> Words | None:
    checkout = _paid(letter)
    row: Any = checkout.content_object if checkout is not None else None
    if checkout is None or row is None:
        return None
    about = _receipt(checkout, ", ".join(checkout.description_lines))
    return Words("payment_received", common(str(row.checkout_name)) | about)


def _paid(letter: Letter) -> Checkout | None:
    checkout = letter.checkout
    if checkout is None or not checkout.succeeded or checkout.unapplied or checkout.undone_at is not None:
        return None
    return checkout


def receipt_of(checkout: Checkout, paper: Paper | None) -> dict[str, str]:
    """The number of a payment's receipt, and where it is; empty for a payment that has none."""
    if not numbering.has_receipt(checkout):
        return {"receipt_number": "", "receipt": ""}
    link = links.receipt(checkout) if conf.CHECKOUT_BASE_URL else ""
    return {"receipt_number": paper.label if paper is not None else "", "receipt": link}


def _receipt(checkout: Checkout, description: str, *more: tuple[str, str]) -> dict[str, Any]:
    paper = numbering.number_of(checkout)
    said = {
        "description": description,
        "amount": amount(checkout.total, checkout.currency),
        "paid_on": day(numbering.came_on([checkout])[checkout.pk]),
        "card": numbering.paid_with(checkout, paper),
    } | receipt_of(checkout, paper)
    rows = [
        (_("What for"), said["description"]),
        (_("Amount"), said["amount"]),
        (_("Paid on"), said["paid_on"]),
        (_("Paid with"), said["card"]),
        *more,
        (_("Receipt"), said["receipt_number"]),
    ]
    return said | {"facts": facts(rows)}


def instalment_paid(letter: Letter) -> Words | None:
    """The receipt says what comes next; that of the last payment, and no other, that all is paid."""
    checkout, line = _paid(letter), letter.instalment
    if checkout is None or line is None:
        return None
    plan = line.object_payment_plan
    if line.deposit and Notice.objects.filter(cause=asking.agreed_cause(plan)).exists():
        return None  # that letter has said that the deposit is paid
    description = ", ".join(checkout.description_lines) if checkout.allocated else of_line(line)
    if payers.is_of_former(plan, checkout):
        # The receipt is theirs, and the plan is not any more.
        said = _receipt(checkout, description) | {"receipt": ""}
        return Words("payment_received", common(name_of_payer(checkout, "")) | said)
    lines = list(plan.instalments.select_related("debt").order_by("due"))
    unpaid = [each for each in lines if each.state_id != states.SUCCESS]
    # It was stopped while this was paid, or others were paid after this: nothing comes next.
    if plan.deleted if unpaid else not _completes(checkout, plan, lines):
        return Words("payment_received", common(plan.checkout_name) | _receipt(checkout, description))
    link = links.plan_page(plan)
    if not unpaid:
        said = _receipt(checkout, description, (_("In all"), amount(plan.total, plan.currency)))
        total = {"total": amount(plan.total, plan.currency), "plan": of_plan(plan), "link": link}
        return Words("plan_finished", common(plan.checkout_name) | said | total)
    left = amount(sum((each.left for each in unpaid), Decimal(0)), plan.currency)
    said = _receipt(checkout, description, (_("Still to pay"), left))
    return Words(
        "instalment_paid", common(plan.checkout_name) | said | {"left": left, "link": link} | _next(plan, unpaid)
    )


def _completes(checkout: Checkout, plan: ObjectPaymentPlan, lines: list[ObjectPaymentPlanInstalment]) -> bool:
    """Whether this payment was the last of a plan of which nothing is left. It is written some minutes later: another
    one may have come by then, and the rest may have been written off."""
    if sum((line.net_paid for line in lines), Decimal(0)) < plan.total:
        return False
    came = Posting.objects.filter(debt__in=[line.debt_id for line in lines if line.debt_id], kind__in=Posting.CAME)
    return came.order_by("-pk").values_list("checkout_id", flat=True).first() == checkout.pk


def _next(plan: ObjectPaymentPlan, unpaid: list[ObjectPaymentPlanInstalment]) -> dict[str, Any]:
    """What comes next of a plan: the next payment, whether it comes by itself, and what waits for its payer."""
    coming = next((line for line in unpaid if line.state_id == states.PENDING), None)
    waits = any(line.state_id in (states.FAIL, states.PAY_ON_SESSION) for line in unpaid)
    running = plan.card is not None and not plan.paused
    return {
        "next_amount": amount(coming.left, plan.currency) if coming is not None else "",
        "next_due": day(coming.due) if coming is not None else "",
        "next_from_card": running,
        "another_waits": waits,
    }


def payment_due(letter: Letter) -> Words | None:
    line = letter.instalment
    if line is None or line.state_id != states.PENDING or letter.cause != f"due:{line.pk}:{line.due.isoformat()}":
        return None
    plan = line.object_payment_plan
    if plan.deleted or plan.paused:
        return None
    said: dict[str, Any] = {
        "description": of_line(line),
        "amount": amount(line.left, plan.currency),
        "due": day(line.due),
        "card": plan.card.description if plan.card is not None else "",
        "has_card": plan.card is not None,
        "another_waits": plan.instalments.filter(Q(state__in=(states.FAIL, states.PAY_ON_SESSION))).exists(),
        "link": links.plan_page(plan),
    }
    rows = [
        (_("What for"), said["description"]),
        (_("Amount"), said["amount"]),
        (_("On"), said["due"]),
        (_("Card"), said["card"]),
    ]
    return Words("payment_due", common(plan.checkout_name) | said | {"facts": facts(rows)})


def payment_refunded(letter: Letter) -> Words | None:
    refund = letter.refund
    return _refund("payment_refunded", refund) if refund is not None and refund.state == Refund.SUCCEEDED else None


def refund_failed(letter: Letter) -> Words | None:
    refund = letter.refund
    if refund is None or refund.state != Refund.FAILED:
        return None
    # Whoever was never told that it was on its way is not told that it came back.
    told = Notice.objects.filter(cause=f"refunded:{refund.pk}").exists()
    return _refund("refund_failed", refund) if told else None


def payment_undone(letter: Letter) -> Words | None:
    """A payment by other means that the payer was told of, and that staff undid."""
    posting = Posting.objects.select_related("debt").filter(pk=letter.cause.rpartition(":")[2]).first()
    row: Any = posting.debt.content_object if posting is not None else None
    if posting is None or row is None:
        return None
    debt, line = posting.debt, row if isinstance(row, ObjectPaymentPlanInstalment) else None
    plan = line.object_payment_plan if line is not None else None
    checkout = letter.checkout
    former = plan is not None and checkout is not None and payers.is_of_former(plan, checkout)
    stopped = former or (plan is not None and plan.deleted)
    said: dict[str, Any] = {
        "description": of_line(line) if line is not None else ", ".join(map(str, row.checkout_description)),
        "amount": amount(posting.amount, debt.currency),
        "paid_on": day(posting.day),
        "left": amount(debt.left, debt.currency) if debt.left > 0 and not stopped else "",
        "due": day(line.due) if line is not None and debt.left > 0 and not stopped else "",
        "link": links.plan_page(plan) if plan is not None and not former else "",
    }
    if isinstance(row, CustomerPayment) and debt.left > 0:
        said["link"] = links.absolute("checkout.request.pay", links.make_token(row))
    rows = [
        (_("What for"), said["description"]),
        (_("Written down as paid on"), said["paid_on"]),
        (_("To pay"), said["left"]),
        (_("Due"), said["due"]),
    ]
    name = str(row.checkout_name) if checkout is None else name_of_payer(checkout, str(row.checkout_name))
    return Words("payment_undone", common(name) | said | {"facts": facts(rows)})


def invoice_requested(letter: Letter) -> Words | None:
    checkout = letter.checkout
    address: CheckoutAdditional | None = getattr(checkout, "additional", None)
    if checkout is None or address is None:
        return None
    said = {
        "description": ", ".join(checkout.description_lines),
        "amount": amount(checkout.total, checkout.currency),
        "address": ", ".join(address.lines),
    }
    rows = [(_("What for"), said["description"]), (_("Amount"), said["amount"])]
    about = common(address.contact_name) | said | {"facts": facts(rows)}
    return Words("invoice_requested", about, to=address.email)


def _refund(template: str, refund: Refund) -> Words:
    checkout = refund.checkout
    row: Any = checkout.content_object
    said = {
        "description": ", ".join(checkout.description_lines),
        "amount": amount(refund.amount, refund.currency),
        "given_back_on": day(refund.settled_at) if refund.state == Refund.SUCCEEDED else "",
        "card": numbering.paid_with(checkout, numbering.number_of(checkout)),
    }
    rows = [
        (_("What for"), said["description"]),
        (_("Amount"), said["amount"]),
        (_("Given back on"), said["given_back_on"]),
        (_("To your card"), said["card"]),
    ]
    name = name_of_payer(checkout, str(getattr(row, "checkout_name", "")))
    return Words(template, common(name) | said | {"facts": facts(rows)})


def recipient(letter: Letter) -> tuple[str, Customer | None, Any]:
    """Who gets it: the address, their row if there is one, and the row whose language counts."""
    line = letter.instalment
    plan = letter.plan or (line.object_payment_plan if line is not None else None)
    row: Any = letter.checkout.content_object if letter.checkout is not None and plan is None else None
    if plan is None and isinstance(row, ObjectPaymentPlanInstalment):
        plan = row.object_payment_plan
    if plan is None:
        customer = letter.checkout.customer if letter.checkout is not None else None
        return str(getattr(row, "checkout_email", "")), customer, row
    change = change_of(letter)
    if change is not None and letter.kind == "payer_proposed":
        return change.checkout_email, change.new_payer, None
    if change is not None and letter.kind == "payer_released":
        return _former(plan, change.former_payer)
    if letter.checkout is not None and payers.is_of_former(plan, letter.checkout):
        # What they paid stays theirs, and so does what is to be told of it.
        return _former(plan, payers.former_of(plan, letter.checkout))
    return plan.checkout_email, plan.customer, plan.payer_row


def _former(plan: ObjectPaymentPlan, customer: Customer | None) -> tuple[str, Customer | None, Any]:
    """Whoever paid before: the payer whom the site's row names, or one who had taken the plan over themselves."""
    row: Any = plan.content_object
    email = str(getattr(row, "checkout_email", ""))
    if customer is None:
        return email, None, row
    return customer.email, customer, row if customer.email.lower() == email.lower() else None


def change_of(letter: Letter) -> PlanChange | None:
    """The change of the payer that a letter is about."""
    if letter.kind not in ("payer_proposed", "payer_changed", "payer_released"):
        return None
    rows = PlanChange.objects.select_related("plan__customer", "new_payer", "former_payer")
    return rows.filter(pk=letter.cause.rpartition(":")[2]).first()


def name_of_payer(checkout: Checkout, otherwise: str) -> str:
    """How whoever made this payment of a plan is called, if somebody else pays by now."""
    line = checkout.content_object
    if isinstance(line, ObjectPaymentPlanInstalment) and payers.is_of_former(line.object_payment_plan, checkout):
        return checkout.payer.partition(" <")[0]
    return otherwise
