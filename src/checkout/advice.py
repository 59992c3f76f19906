"""Why a payment failed or waits, and what staff do next: in words for the office, not for the payer.

What a decline means is in `declines`. Staff may read what a payer must not, for example that a card was reported
stolen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from checkout import actions, declines, journal, letters, states

if TYPE_CHECKING:
    from checkout.models import Checkout, Dispute


#: States in the office's words: of attempts, and of debts (a line of a plan, a request for money).
STATE_NAMES: dict[str, Any] = {
    states.PENDING: _("Pending"),
    states.REQUEST: _("No answer yet"),
    states.PAY_ON_SESSION: _("Waiting for payer"),
    states.SUCCESS: _("Successful"),
    states.FAIL: _("Failed"),
}
DEBT_NAMES = STATE_NAMES | {states.SUCCESS: _("Paid")}
#: What a success is called where no money came by it.
_SUCCESS_NAMES = {
    actions.PAYMENT_PLAN: _("Agreed"),
    actions.CARD_REFRESH: _("Card saved"),
    actions.INVOICE: _("Invoice asked for"),
}

#: Stripe's events in words: those that we act on, and those that stand in the story of a payment.
_EVENTS: dict[str, Any] = {
    "charge.dispute.closed": _("The dispute was decided"),
    "charge.dispute.created": _("The payer's bank opened a dispute"),
    "charge.dispute.funds_reinstated": _("The bank gave the money back to us"),
    "charge.dispute.funds_withdrawn": _("The bank took the money from us"),
    "charge.dispute.updated": _("There is news of the dispute"),
    "charge.failed": _("The charge failed"),
    "charge.refund.updated": _("There is news of the refund"),
    "charge.refunded": _("Money went back to the payer"),
    "charge.succeeded": _("The card was charged"),
    "charge.updated": _("Details of the charge came in"),
    "customer.deleted": _("The customer was deleted at Stripe"),
    "customer.source.deleted": _("The card was removed at Stripe"),
    "customer.source.expiring": _("The card expires soon"),
    "customer.source.updated": _("Details of the card changed"),
    "payment_intent.amount_capturable_updated": _("The money is held, and waits to be taken"),
    "payment_intent.canceled": _("The payment was cancelled"),
    "payment_intent.created": _("The payment was begun"),
    "payment_intent.payment_failed": _("The payment failed"),
    "payment_intent.processing": _("The payment is on its way"),
    "payment_intent.requires_action": _("The bank requires the payer to confirm"),
    "payment_intent.succeeded": _("The payment succeeded"),
    "payment_method.automatically_updated": _("The bank replaced the card"),
    "payment_method.detached": _("The card was removed at Stripe"),
    "payment_method.updated": _("Details of the card changed"),
    "payout.canceled": _("A payout was cancelled"),
    "payout.created": _("A payout was made"),
    "payout.failed": _("A payout came back from the bank"),
    "payout.paid": _("A payout is expected in the bank"),
    "payout.reconciliation_completed": _("What is in a payout is known"),
    "payout.updated": _("There is news of a payout"),
    "radar.early_fraud_warning.created": _("The payer's bank warns of fraud"),
    "refund.created": _("The refund was begun"),
    "refund.failed": _("The refund failed"),
    "refund.updated": _("There is news of the refund"),
    "setup_intent.canceled": _("Saving the card was cancelled"),
    "setup_intent.created": _("Saving the card was begun"),
    "setup_intent.requires_action": _("The bank requires the payer to confirm"),
    "setup_intent.setup_failed": _("The card could not be saved"),
    "setup_intent.succeeded": _("The card was saved"),
}


def attempt_state(checkout: Checkout) -> tuple[str, str]:
    """Where an attempt stands: the state whose colour it has, and its name. An agreed plan, a saved card and an invoice
    are no payments."""
    state = checkout.state_id or ""
    if state != states.SUCCESS:
        return state, str(STATE_NAMES[state])
    if checkout.undone_at is not None:
        return states.FAIL, str(_("Undone"))
    name = _SUCCESS_NAMES.get(checkout.action_id)
    return (states.PENDING if checkout.is_invoice else state), str(name or DEBT_NAMES[state])


def mail_name(template: str) -> str:
    """What staff call one of our letters; the template's own name where it is none of them."""
    if template == "staff":
        return str(_("News for staff"))
    entry = letters.REGISTER.get(template)
    return str(entry.name) if entry is not None else template.replace("_", " ")


def event_name(event_type: str) -> str:
    """What one of Stripe's events tells; its own type where it is not among those above."""
    return str(_EVENTS.get(event_type, event_type))


@dataclass(frozen=True, slots=True)
class Advice:
    """A sentence that says why, and one that says what to do."""

    why: Any
    next_step: Any


_WITH_PAYER = _("Send the payer the mail with the link; the same payment goes on there.")
#: Where a debt is behind it, staff go on; the payer of a page starts again.
_WITHOUT_THE_PAYER = frozenset({declines.Retry.SOON, declines.Retry.LATER, declines.Retry.WITH_PAYER})
_ON_THE_PAGE = _("The payer may try again on the page. After an hour the attempt is cancelled by itself.")
_START_AGAIN = _("Ask the payer to start again, with another card if need be.")

_BY_STATE: dict[str, Advice] = {
    states.PENDING: Advice(
        _("The payer has the page open, or left it."),
        _("Wait: after an hour it is cancelled by itself. You may cancel it now."),
    ),
    states.REQUEST: Advice(
        _("Stripe was asked, and has not answered yet."),
        _("Wait: it is looked up by itself within minutes. Nothing else may be charged until then."),
    ),
    states.PAY_ON_SESSION: Advice(_("The bank requires the payer to confirm the payment."), _WITH_PAYER),
    states.SUCCESS: Advice("", ""),
}


def code_name(code: str) -> str:
    """A code in words, for a table of reasons."""
    known = declines.MEANINGS.get(code)
    return str(known.why) if known else (code.replace("_", " ").capitalize() or str(_("No reason was given.")))


def dispute_state(dispute: Dispute) -> tuple[str, str]:
    """Where a dispute stands: the state whose colour it gets, and Stripe's word as people write it."""
    colour = states.PAY_ON_SESSION if dispute.is_open else states.FAIL if dispute.status == "lost" else states.SUCCESS
    return colour, capfirst(journal.code_in_words(dispute.status))


def advise(checkout: Checkout) -> Advice:
    """Why this attempt stands where it does, and what to do next. Both empty for a success."""
    if checkout.succeeded and checkout.unapplied:
        return _unapplied(checkout)
    if checkout.succeeded:
        return _BY_STATE[states.SUCCESS]
    if checkout.error_code == "not_written_down":
        return Advice(
            _("Stripe took the money, and it could not be written down here: %(why)s") % {"why": checkout.failure},
            _("Tell a developer, and charge nothing again: it is settled automatically once the cause is fixed."),
        )
    if checkout.superseded and checkout.failed:
        return Advice(_("A newer attempt took its place."), _("Nothing to do here: look at the newer one."))
    if checkout.state_id in (states.REQUEST, states.PAY_ON_SESSION):
        return _BY_STATE[checkout.state_id]
    known = declines.MEANINGS.get(checkout.decline_code) or declines.MEANINGS.get(checkout.error_code)
    if known is not None:
        # Without a debt of ours behind it, nobody but the payer can go on.
        if known.retry in _WITHOUT_THE_PAYER and not _is_owed(checkout):
            return Advice(known.why, _START_AGAIN if checkout.failed else _ON_THE_PAGE)
        return Advice(known.why, known.next_step)
    if checkout.failed:
        why = checkout.failure_text or _("It failed, and no reason was given.")
        return Advice(why, _("Try again, or ask the payer to pay by the link.") if _is_owed(checkout) else _START_AGAIN)
    return _BY_STATE[states.PENDING]


def _unapplied(checkout: Checkout) -> Advice:
    problem = next((found for found in checkout.problems.all() if found.kind in found.UNAPPLIED), None)
    if problem is None or not problem.is_open:
        return Advice(_("It was paid, not applied, and given back."), "")
    why = f"{problem.get_kind_display()}. {problem.detail}".strip()
    return Advice(why, _("Apply it after all, or give the money back: see Problems."))


def _is_owed(checkout: Checkout) -> bool:
    """True for a line of a plan or a request for money: staff may charge the saved card again, or mail a link.

    A payment at once has no customer, and only its owner can save a card.
    """
    return checkout.customer_id is not None and not checkout.saves_card
