"""Why a card was refused: what it means, whether it is worth asking again, and a sentence for the payer and the office.

One table for every decline code that Stripe lists (https://docs.stripe.com/declines/codes). Pure: no rows, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any, Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy


class Retry(Enum):
    """Whether the same card may be asked again for the same debt, without its owner."""

    #: The bank could not decide: the next day, and after that as LATER.
    SOON = "soon"
    LATER = "later"
    #: The bank does not say why: once more, not often.
    ONCE = "once"
    #: Its owner has to confirm, at the bank.
    WITH_PAYER = "with_payer"
    #: Never this card again: its owner gives another one.
    NEVER = "never"
    #: The card was entered wrongly: its owner enters it again.
    ENTER_AGAIN = "enter_again"
    #: Something in our request or settings: a developer looks.
    OURS = "ours"
    #: Perhaps it was paid already: staff look first.
    LOOK_FIRST = "look_first"


#: Those that may be asked again without a person.
BY_ITSELF: Final = frozenset({Retry.SOON, Retry.LATER, Retry.ONCE})
#: Those whose payer has to give a card.
WANTS_CARD: Final = frozenset({Retry.NEVER, Retry.ENTER_AGAIN})


@dataclass(frozen=True, slots=True)
class Meaning:
    """What one decline code means. `payer` is None where the payer is told no more than that the card was declined."""

    retry: Retry
    why: Any
    next_step: Any
    payer: Any = None


_ANOTHER_DAY = gettext_lazy("Charge it again in a few days, or ask the payer to pay by the link.")
_NEW_CARD = gettext_lazy("Ask the payer for a new card; this one will not work again.")
_CALL_BANK = gettext_lazy("Ask the payer to call the bank, or to use another card. Try again once, not more often.")
_PRIVATE = gettext_lazy("Ask the payer for another card. Do not tell the payer this reason: it is for you only.")
_ON_SESSION = gettext_lazy("Send the payer the mail with the link; the same payment goes on there.")
_IN_AN_HOUR = gettext_lazy("Charge it again in an hour.")
_DEVELOPER = gettext_lazy("Tell a developer: something in our settings or in the request is wrong.")
_SPEAK = gettext_lazy("Speak to the payer before anything else is charged.")
_ENTER_AGAIN = gettext_lazy("Ask the payer to enter the card again.")

_NOT_YOU = gettext_lazy("Your bank could not confirm that it was you.")
_LIMIT = gettext_lazy("The card has reached the limit that your bank sets.")
_NOT_NOW = gettext_lazy("The bank could not work on the payment at that moment.")
_CONFIRM = gettext_lazy("Your bank requires you to confirm the payment, and that has not happened.")
_CODE = gettext_lazy("The security code was not right.")
_NUMBER = gettext_lazy("The card number was not right.")
_EXPIRY = gettext_lazy("The expiry date was not right.")
_POSTCODE = gettext_lazy("The postal code was not right.")

_WHY_CONFIRM = gettext_lazy("The bank requires the payer to confirm the payment.")
_WHY_CHECK = gettext_lazy("The payer did not pass the bank's check.")
_WHY_LIMIT = gettext_lazy("The card has reached the bank's limit.")
_WHY_SILENT = gettext_lazy("The bank declined and does not say why.")
_WHY_CODE = gettext_lazy("The security code was wrong.")
_WHY_NUMBER = gettext_lazy("The card number was wrong.")
_WHY_EXPIRY = gettext_lazy("The expiry date was wrong.")
_WHY_READER = gettext_lazy("The bank wants the card's PIN, which only a card reader can take.")


def _soon(why: Any, payer: Any = None) -> Meaning:
    return Meaning(Retry.SOON, why, _IN_AN_HOUR, payer)


def _later(why: Any, payer: Any = None) -> Meaning:
    return Meaning(Retry.LATER, why, _ANOTHER_DAY, payer)


def _once(why: Any) -> Meaning:
    return Meaning(Retry.ONCE, why, _CALL_BANK)


def _with_payer(why: Any, payer: Any = None) -> Meaning:
    return Meaning(Retry.WITH_PAYER, why, _ON_SESSION, payer)


def _never(why: Any, payer: Any = None, next_step: Any = _NEW_CARD) -> Meaning:
    return Meaning(Retry.NEVER, why, next_step, payer)


def _private(why: Any) -> Meaning:
    """Whoever holds a lost, stolen or suspected card must not learn that the bank knows."""
    return Meaning(Retry.NEVER, why, _PRIVATE)


def _enter_again(why: Any, payer: Any) -> Meaning:
    return Meaning(Retry.ENTER_AGAIN, why, _ENTER_AGAIN, payer)


#: Stripe's codes -> what they mean. The bank's `decline_code` is looked up before the general `error_code`.
MEANINGS: Final[Mapping[str, Meaning]] = {
    "authentication_required": _with_payer(_WHY_CONFIRM, _CONFIRM),
    "authentication_not_handled": _with_payer(_WHY_CONFIRM, _CONFIRM),
    "mobile_device_authentication_required": _with_payer(
        gettext_lazy("The bank requires the payer to confirm on a phone."), _CONFIRM
    ),
    "payment_intent_authentication_failure": _with_payer(_WHY_CHECK, _NOT_YOU),
    "setup_intent_authentication_failure": Meaning(
        Retry.WITH_PAYER, _WHY_CHECK, gettext_lazy("Ask the payer to start again."), _NOT_YOU
    ),
    "approve_with_id": _soon(gettext_lazy("The bank could not authorise the payment.")),
    "issuer_not_available": _soon(
        gettext_lazy("The bank could not be reached."), gettext_lazy("Your bank could not be reached.")
    ),
    "processing_error": _soon(gettext_lazy("The bank had a fault."), _NOT_NOW),
    "reenter_transaction": _soon(gettext_lazy("The bank could not decide for a reason it does not tell.")),
    "try_again_later": _later(gettext_lazy("The bank could not decide at that moment."), _NOT_NOW),
    "insufficient_funds": _later(
        gettext_lazy("There was not enough money on the card."),
        gettext_lazy("There was not enough money available on the card."),
    ),
    "card_velocity_exceeded": _later(_WHY_LIMIT, _LIMIT),
    "withdrawal_count_limit_exceeded": _later(_WHY_LIMIT, _LIMIT),
    "card_decline_rate_limit_exceeded": _later(gettext_lazy("Too many payments with this card were declined.")),
    "previously_declined_do_not_retry": _later(
        gettext_lazy("Stripe holds back further tries with this card, because too many were declined.")
    ),
    "call_issuer": _once(gettext_lazy("The bank wants to speak to the payer.")),
    "card_declined": _once(_WHY_SILENT),
    "do_not_honor": _once(_WHY_SILENT),
    "generic_decline": _once(_WHY_SILENT),
    "no_action_taken": _once(_WHY_SILENT),
    "security_violation": _once(gettext_lazy("The bank declined for a reason of its own.")),
    "service_not_allowed": _once(gettext_lazy("The bank does not allow this kind of payment.")),
    "transaction_not_allowed": _never(gettext_lazy("The bank does not allow this payment on this card.")),
    "not_permitted": _never(gettext_lazy("The bank does not permit the payment.")),
    "do_not_try_again": _never(gettext_lazy("The bank says not to try this card again.")),
    "stop_payment_order": _never(gettext_lazy("The payer told the bank to stop these payments."), next_step=_SPEAK),
    "revocation_of_authorization": _never(
        gettext_lazy("The payer withdrew permission for this payment."), next_step=_SPEAK
    ),
    "revocation_of_all_authorizations": _never(
        gettext_lazy("The payer withdrew permission for all our payments."),
        next_step=gettext_lazy("Stop the plan, or agree it anew with the payer."),
    ),
    "card_not_supported": _never(
        gettext_lazy("The card cannot be used for this kind of payment."),
        gettext_lazy("Your bank does not allow this kind of payment with this card."),
    ),
    "currency_not_supported": _never(
        gettext_lazy("The card cannot pay in this currency."), gettext_lazy("The card cannot pay in this currency.")
    ),
    "restricted_card": _never(gettext_lazy("The card is restricted, perhaps reported lost.")),
    "invalid_account": _never(gettext_lazy("The card's account does not exist any more.")),
    "new_account_information_available": _never(gettext_lazy("The bank has replaced the card.")),
    "expired_card": _never(gettext_lazy("The card has expired."), gettext_lazy("The card has expired.")),
    "pickup_card": _private(gettext_lazy("The bank wants the card back: it may be lost or stolen.")),
    "lost_card": _private(gettext_lazy("The card was reported lost.")),
    "stolen_card": _private(gettext_lazy("The card was reported stolen.")),
    "fraud": _private(gettext_lazy("Stripe or the bank suspects fraud.")),
    "fraudulent": _private(gettext_lazy("Stripe or the bank suspects fraud.")),
    "merchant_blacklist": _private(gettext_lazy("The card is on our own block list at Stripe.")),
    "duplicate_transaction": Meaning(
        Retry.LOOK_FIRST,
        gettext_lazy("The bank saw the same amount a moment before."),
        gettext_lazy("Look whether it was paid already before you try again."),
    ),
    "incorrect_number": _enter_again(_WHY_NUMBER, _NUMBER),
    "invalid_number": _enter_again(_WHY_NUMBER, _NUMBER),
    "incorrect_cvc": _enter_again(_WHY_CODE, _CODE),
    "invalid_cvc": _enter_again(_WHY_CODE, _CODE),
    "incorrect_zip": _enter_again(gettext_lazy("The postal code was wrong."), _POSTCODE),
    "incorrect_address": _enter_again(
        gettext_lazy("The address was wrong."), gettext_lazy("The address was not right.")
    ),
    "invalid_expiry_month": _enter_again(_WHY_EXPIRY, _EXPIRY),
    "invalid_expiry_year": _enter_again(_WHY_EXPIRY, _EXPIRY),
    "incorrect_pin": _never(_WHY_READER),
    "invalid_pin": _never(_WHY_READER),
    "pin_try_exceeded": _never(_WHY_READER),
    "offline_pin_required": _never(_WHY_READER),
    "online_or_offline_pin_required": _never(_WHY_READER),
    "resource_missing": _never(gettext_lazy("The card or the customer was deleted at Stripe.")),
    "invalid_amount": Meaning(Retry.OURS, gettext_lazy("The bank does not accept the amount."), _DEVELOPER),
    "amount_too_small": Meaning(
        Retry.OURS, gettext_lazy("The amount is below the least that Stripe takes."), _DEVELOPER
    ),
    "amount_too_large": Meaning(
        Retry.OURS, gettext_lazy("The amount is above the most that Stripe takes."), _DEVELOPER
    ),
    "testmode_decline": Meaning(
        Retry.OURS,
        gettext_lazy("A test card was used with live keys."),
        gettext_lazy("Ask the payer for a real card."),
    ),
}


def meaning(error_code: str, decline_code: str) -> Meaning:
    """What a refusal means. A code that is not in the table is a decline without a reason, as Stripe advises."""
    return MEANINGS.get(decline_code) or MEANINGS.get(error_code) or MEANINGS["generic_decline"]


def sentence(error_code: str, decline_code: str) -> str:
    """The bank's reason where it may be told; `card_declined` alone says nothing, so `decline_code` goes first."""
    known = MEANINGS.get(decline_code or error_code)
    if known is not None and known.payer is not None:
        return str(known.payer)
    return _("Your bank declined the card. It does not tell us why.")


# -- what the bank and the network advise ------------------------------------------------------------------

#: Visa's first category: a try after one of these is charged for, and never succeeds.
_VISA_NEVER: Final = frozenset({"04", "07", "12", "14", "15", "41", "43", "46", "57", "R0", "R1", "R3"})
#: Mastercard's advice never to ask again.
_MASTERCARD_NEVER: Final = frozenset({"03", "21"})
#: Mastercard's advice how long to wait.
_MASTERCARD_WAIT: Final[Mapping[str, timedelta]] = {
    "02": timedelta(hours=72),
    "24": timedelta(hours=1),
    "25": timedelta(days=1),
    "26": timedelta(days=2),
    "27": timedelta(days=4),
    "28": timedelta(days=6),
    "29": timedelta(days=8),
    "30": timedelta(days=10),
}
#: Stripe asks for two to three days between two tries of one payment.
_TRY_AGAIN_LATER: Final = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is known of one declined charge, in Stripe's words; empty where nothing was said."""

    error_code: str = ""
    decline_code: str = ""
    advice_code: str = ""
    network_advice_code: str = ""
    network_decline_code: str = ""
    brand: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the card may be asked again, and not before how long after the decline."""

    retry: Retry
    wait: timedelta = timedelta(0)


def judge(refusal: Refusal) -> Verdict:
    """The bank's and the network's advice outranks the code (https://docs.stripe.com/declines/codes#advice-codes)."""
    found = meaning(refusal.error_code, refusal.decline_code).retry
    if found not in BY_ITSELF:
        return Verdict(found)
    brand = refusal.brand.lower()
    if (
        refusal.advice_code == "do_not_try_again"
        or (brand == "mastercard" and refusal.network_advice_code in _MASTERCARD_NEVER)
        or (brand == "visa" and refusal.network_decline_code in _VISA_NEVER)
    ):
        return Verdict(Retry.NEVER)
    if refusal.advice_code == "confirm_card_data":
        return Verdict(Retry.ENTER_AGAIN)
    wait = _MASTERCARD_WAIT.get(refusal.network_advice_code, timedelta(0)) if brand == "mastercard" else timedelta(0)
    if refusal.advice_code == "try_again_later":
        return Verdict(Retry.LATER if found is Retry.ONCE else found, max(wait, _TRY_AGAIN_LATER))
    if wait or refusal.decline_code == "previously_declined_do_not_retry":
        return Verdict(found, max(wait, timedelta(0) if wait else _TRY_AGAIN_LATER))
    return Verdict(found)
