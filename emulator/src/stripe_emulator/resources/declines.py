"""How a bank says no: every decline code of Stripe's, with the message, the advice and the network's codes.

https://docs.stripe.com/declines/codes, /declines/card
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Decline:
    """How a bank (or Stripe, for the reason `blocked`) says no. `code` is the top-level code of the error."""

    code: str
    decline_code: str
    message: str
    advice_code: str | None = None
    network_decline_code: str | None = None
    param: str | None = None
    blocked: str = ""
    network_advice_code: str | None = None


_PLAIN = "Your card was declined."
# message and param of the declines whose code is not `card_declined`
_OWN_CODE = {
    "authentication_required": ("Your card was declined. This transaction requires authentication.", None),
    "card_decline_rate_limit_exceeded": (
        "This card has been declined too many times. You can try to charge this card again after 24 hours.",
        None,
    ),
    "expired_card": ("Your card has expired.", "exp_month"),
    "incorrect_cvc": ("Your card's security code is incorrect.", "cvc"),
    "incorrect_number": ("Your card number is incorrect.", "number"),
    "incorrect_zip": ("The zip code you supplied failed validation.", "address_zip"),
    "invalid_cvc": ("Your card's security code is invalid.", "cvc"),
    "invalid_expiry_month": ("Your card's expiration month is invalid.", "exp_month"),
    "invalid_expiry_year": ("Your card's expiration year is invalid.", "exp_year"),
    "invalid_number": ("Your card number is not a valid credit card number.", "number"),
    "processing_error": ("An error occurred while processing your card. Try again in a little bit.", None),
}
_MESSAGES = {
    "card_velocity_exceeded": "Your card was declined for making repeated attempts too frequently or exceeding its "
    "amount limit.",
    "insufficient_funds": "Your card has insufficient funds.",
    "card_not_supported": "Your card is not supported.",
    "currency_not_supported": "Your card does not support this currency.",
    "test_mode_live_card": "Your card was declined. Your request was in test mode, but used a non test (live) card. "
    "For a list of valid test cards, visit: https://stripe.com/docs/testing.",
}
_RETRY, _STOP, _CHECK = "try_again_later", "do_not_try_again", "confirm_card_data"
# The advice and the network's code for each of Stripe's codes. It documents the three advices and not which code comes
# with which: they follow what it tells merchants to do about each. The network's codes are those of ISO 8583, and
# Visa's R0, R1, R3, 1A and N7. What reaches no bank has neither.
CODES: dict[str, tuple[str | None, str | None]] = {
    "approve_with_id": (_RETRY, "08"),
    "authentication_not_handled": (None, None),
    "authentication_required": (None, "1A"),
    "call_issuer": (_RETRY, "02"),
    "card_not_supported": (_STOP, "57"),
    "card_velocity_exceeded": (_RETRY, "61"),
    "currency_not_supported": (_STOP, "57"),
    "do_not_honor": (_RETRY, "05"),
    "do_not_try_again": (_STOP, "05"),
    "duplicate_transaction": (None, "94"),
    "expired_card": (_CHECK, "54"),
    "fraudulent": (_STOP, "59"),
    "generic_decline": (_RETRY, "01"),
    "incorrect_address": (_CHECK, "05"),
    "incorrect_cvc": (_CHECK, "N7"),
    "incorrect_number": (_CHECK, "14"),
    "incorrect_pin": (_STOP, "55"),
    "incorrect_zip": (_CHECK, "05"),
    "insufficient_funds": (_RETRY, "51"),
    "invalid_account": (_STOP, "14"),
    "invalid_amount": (None, "13"),
    "invalid_cvc": (_CHECK, "N7"),
    "invalid_expiry_month": (_CHECK, "54"),
    "invalid_expiry_year": (_CHECK, "54"),
    "invalid_number": (_CHECK, "14"),
    "invalid_pin": (_STOP, "55"),
    "issuer_not_available": (_RETRY, "91"),
    "lost_card": (_STOP, "41"),
    "merchant_blacklist": (_STOP, None),
    "mobile_device_authentication_required": (None, "1A"),
    "new_account_information_available": (_STOP, "14"),
    "no_action_taken": (_RETRY, "21"),
    "not_permitted": (_STOP, "57"),
    "offline_pin_required": (_STOP, "70"),
    "online_or_offline_pin_required": (_STOP, "70"),
    "pickup_card": (_STOP, "04"),
    "pin_try_exceeded": (_STOP, "75"),
    "processing_error": (_RETRY, "96"),
    "reenter_transaction": (_RETRY, "19"),
    "restricted_card": (_STOP, "62"),
    "revocation_of_all_authorizations": (_STOP, "R3"),
    "revocation_of_authorization": (_STOP, "R1"),
    "security_violation": (_RETRY, "63"),
    "service_not_allowed": (_RETRY, "58"),
    "stolen_card": (_STOP, "43"),
    "stop_payment_order": (_STOP, "R0"),
    "testmode_decline": (None, None),
    "transaction_not_allowed": (_STOP, "57"),
    "try_again_later": (_RETRY, "05"),
    "withdrawal_count_limit_exceeded": (_RETRY, "65"),
}
# What Mastercard says besides: 01 ask for the new card, 03 and 21 never again, 02 later, 26 in two days.
_MERCHANT_ADVICE = {
    "insufficient_funds": "26",
    "new_account_information_available": "01",
    "revocation_of_all_authorizations": "21",
    "revocation_of_authorization": "21",
    "stop_payment_order": "21",
}
_MERCHANT_ADVICE_BY_ADVICE = {_RETRY: "02", _STOP: "03", _CHECK: "01"}


def decline_for(decline_code: str, code: str | None = None, network_advice_code: str | None = None) -> Decline:
    """The decline that a bank answers with for `decline_code`, any of Stripe's list or a new word.

    `code` is the top-level code when it is to be another than Stripe documents; `network_advice_code` what the card's
    network advises when that is to be another than it usually is, or at all.
    """
    advice, network = CODES.get(decline_code, (_RETRY, None))
    message, param = _OWN_CODE.get(decline_code, (_MESSAGES.get(decline_code, _PLAIN), None))
    own = decline_code if decline_code in _OWN_CODE else "card_declined"
    return Decline(code or own, decline_code, message, advice, network, param, network_advice_code=network_advice_code)


def of_network(decline: Decline, brand: str) -> Decline:
    """The decline with what the network of that brand advises. Mastercard does; of Visa it is not known."""
    asked = not decline.blocked and decline.network_decline_code is not None
    if brand != "mastercard" or not asked or decline.network_advice_code is not None:
        return decline
    usual = _MERCHANT_ADVICE_BY_ADVICE.get(decline.advice_code or "")
    return replace(decline, network_advice_code=_MERCHANT_ADVICE.get(decline.decline_code, usual))


# No bank was asked for the first two, so there is no advice and no network's code.
BLOCKED = Decline("card_declined", "fraudulent", _PLAIN, blocked="highest_risk_level")
AUTHENTICATION = replace(decline_for("authentication_required"), network_decline_code=None)
# Stripe asks the bank no more after many declines of one card. Only the charge's outcome tells it from any other.
TOO_MANY_TRIES = Decline("card_declined", "generic_decline", _PLAIN, blocked="previously_declined_do_not_retry")
THREE_DS_ERROR = decline_for("generic_decline")
