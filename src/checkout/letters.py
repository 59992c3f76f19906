"""Every letter to a payer, in one place: its name, what causes it, who gets it, when, and whether it may be left out.

A letter is called like its template, and like its switch in CHECKOUT_LETTERS. Its words are in
templates/checkout/mail/; what goes into them is listed in docs/reference.md. Whatever the cause, `services.notices` is
the one door to the queue: it sends a letter once per cause, and none that is switched off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.utils.translation import gettext_lazy as _

from checkout.conf import conf


@dataclass(frozen=True, slots=True)
class Entry:
    """One letter, in words for the office: `name` is the letter in short, `cause` what happens, `to` who gets it then,
    and `when`. `always` says why it may not be switched off; empty where a site may. `in_place_of` is the letter for
    the same cause that this one stands for where it says more."""

    name: Any
    cause: Any
    to: Any
    when: Any
    always: Any = ""
    in_place_of: str = ""


_AT_ONCE = _("at once")
_PAYER = _("the payer")
_PAYER_OF_PLAN = _("the payer of the plan")
_BUTTON = _("staff press a button for it")

ON_SESSION_AUTH: Final = "object_payment_plan_instalment_on_session_payment_auth"
ON_SESSION_ANON: Final = "object_payment_plan_instalment_on_session_payment_anon"
PLAN_AGREED: Final = "plan_agreed"
DECLINED: Final = "instalment_declined"
RETRIES_ENDED: Final = "retries_ended"

REGISTER: Final[Mapping[str, Entry]] = {
    ON_SESSION_AUTH: Entry(
        _("Please confirm a payment (to a payer who can log in)"),
        _("the bank requires the payer to confirm a payment of a plan"),
        _("payers who can log in"),
        _("within minutes, and once more as a reminder"),
    ),
    ON_SESSION_ANON: Entry(
        _("Please confirm a payment, with a link"),
        _("the bank requires the payer to confirm a payment of a plan"),
        _("payers who cannot log in"),
        _("within minutes, and once more as a reminder"),
    ),
    "customer_card_expiry": Entry(
        _("Your card runs out"),
        _("the card that a plan is taken from runs out, or was taken off at Stripe"),
        _PAYER_OF_PLAN,
        _("a month before, once for each card; the day after it is gone"),
    ),
    "customer_card_refresh_request": Entry(
        _("Please give us a new card"),
        _("staff ask for a new card"),
        _PAYER_OF_PLAN,
        _("at once, once a day"),
        always=_BUTTON,
    ),
    "customer_payment_request": Entry(
        _("Request for money, with a link"),
        _("staff ask a customer for an amount"),
        _("the customer"),
        _("at once; as a reminder once after CHECKOUT_REMINDER_DAYS, and when staff send it again"),
        always=_BUTTON,
    ),
    "customer_payment_withdrawn": Entry(
        _("A request for money was withdrawn"),
        _("staff withdraw a request for money"),
        _("the customer, if the request had been mailed"),
        _AT_ONCE,
    ),
    "payment_asked": Entry(
        _("Please pay, with a link"),
        _("staff ask for a payment of a plan"),
        _PAYER_OF_PLAN,
        _("at once, once a day; from the second on as a reminder"),
        always=_BUTTON,
    ),
    PLAN_AGREED: Entry(
        _("Confirmation of the payment plan"),
        _("the deposit came, and the plan has begun; it is the receipt of the deposit"),
        _PAYER_OF_PLAN,
        _AT_ONCE,
    ),
    "payment_received": Entry(_("Receipt"), _("a payment that is no line of a plan came"), _PAYER, _AT_ONCE),
    "instalment_paid": Entry(
        _("Receipt, and what comes next"), _("a payment of a plan came"), _PAYER_OF_PLAN, _AT_ONCE
    ),
    "plan_finished": Entry(
        _("Receipt: everything is paid"),
        _("the last payment of a plan came"),
        _PAYER_OF_PLAN,
        _AT_ONCE,
        in_place_of="instalment_paid",
    ),
    "payment_due": Entry(
        _("A payment is taken soon"),
        _("the day of a payment comes near"),
        _PAYER_OF_PLAN,
        _("CHECKOUT_NOTICE_DAYS before its day"),
    ),
    DECLINED: Entry(
        _("A payment could not be taken"),
        _("a bank declined payments of a plan while their payer was away"),
        _PAYER_OF_PLAN,
        _("at once, one a day for each plan; of a deposit after half an hour, if it is not paid by then"),
    ),
    RETRIES_ENDED: Entry(
        _("A payment is not tried again"),
        _("the last try of a declined payment was declined as well"),
        _PAYER_OF_PLAN,
        _("at once, one a day for each plan"),
        in_place_of=DECLINED,
    ),
    "payment_reminder": Entry(
        _("A payment is still open"),
        _("a declined payment waits for its payer"),
        _PAYER_OF_PLAN,
        _("CHECKOUT_REMINDER_DAYS after the letter that said so, once"),
    ),
    "card_changed": Entry(_("Your card was changed"), _("a plan is charged to another card"), _PAYER_OF_PLAN, _AT_ONCE),
    "plan_changed": Entry(
        _("Your plan was changed"),
        _("a date was moved, an amount that was given back is owed again, or the plan was changed otherwise"),
        _PAYER_OF_PLAN,
        _("a quarter of an hour after the last change, with everything that was changed"),
    ),
    "change_proposed": Entry(
        _("Please agree to a change of your plan"),
        _("a change of a plan was proposed that does not favour its payer"),
        _PAYER_OF_PLAN,
        _AT_ONCE,
    ),
    "payer_proposed": Entry(
        _("Please take over a payment plan"),
        _("staff propose somebody else as the payer of a plan"),
        _("whoever is to take it over"),
        _AT_ONCE,
        always=_BUTTON,
    ),
    "payer_changed": Entry(
        _("You pay for a plan from now on"),
        _("somebody took a plan over, and their card was saved"),
        _("the new payer"),
        _AT_ONCE,
    ),
    "payer_released": Entry(
        _("Somebody else pays for your plan"),
        _("somebody took a plan over, and their card was saved"),
        _("whoever paid before"),
        _AT_ONCE,
    ),
    "plan_stopped": Entry(_("Your plan was stopped"), _("a plan was stopped"), _PAYER_OF_PLAN, _AT_ONCE),
    "plan_link": Entry(
        _("A new link to the plan"),
        _("somebody holds a link that has expired, or began the plan in their browser, and asks for one"),
        _PAYER_OF_PLAN,
        _("at once, once an hour"),
        always=_("its payer has asked for it"),
    ),
    "plan_statement": Entry(
        _("Statement"),
        _("staff send the statement of a plan"),
        _PAYER_OF_PLAN,
        _("at once, once a day"),
        always=_BUTTON,
    ),
    "payment_refunded": Entry(_("Money is on its way back to you"), _("money was given back"), _PAYER, _AT_ONCE),
    "refund_failed": Entry(
        _("A refund has come back"),
        _("money that was given back has come back"),
        _("whoever was told that it was on its way"),
        _AT_ONCE,
    ),
    "payment_undone": Entry(
        _("A payment was written down by mistake"),
        _("staff undid that something was paid by other means"),
        _("whoever was told that it was paid"),
        _AT_ONCE,
    ),
    "invoice_requested": Entry(
        _("Confirmation that an invoice was asked for"),
        _("an invoice was asked for"),
        _("whoever asked, else the payer"),
        _AT_ONCE,
    ),
}


def is_on(name: str) -> bool:
    """False for a letter that the site has switched off (CHECKOUT_LETTERS)."""
    entry = REGISTER.get(name)
    return (entry is not None and bool(entry.always)) or bool(conf.CHECKOUT_LETTERS.get(name, True))


def is_wanted(kind: str) -> bool:
    """True when a letter for this cause may be written: itself, or the one that stands for it where it says more."""
    return any(is_on(name) for name, entry in REGISTER.items() if kind in (name, entry.in_place_of))
