"""Why a card was refused, in a sentence that its owner can act on."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

#: Reasons that a payer may be told. Everything else reads as the plain sentence below: whoever holds a lost, stolen or
#: suspected card must not learn that the bank knows (https://docs.stripe.com/declines/codes).
SENTENCES = {
    "authentication_required": gettext_lazy(
        "Your bank requires you to confirm the payment, and that has not happened."
    ),
    "card_not_supported": gettext_lazy("Your bank does not allow this kind of payment with this card."),
    "card_velocity_exceeded": gettext_lazy("The card has reached the limit that your bank sets."),
    "currency_not_supported": gettext_lazy("The card cannot pay in this currency."),
    "expired_card": gettext_lazy("The card has expired."),
    "incorrect_cvc": gettext_lazy("The security code was not right."),
    "incorrect_number": gettext_lazy("The card number was not right."),
    "incorrect_zip": gettext_lazy("The postal code was not right."),
    "insufficient_funds": gettext_lazy("There was not enough money available on the card."),
    "invalid_cvc": gettext_lazy("The security code was not right."),
    "invalid_expiry_month": gettext_lazy("The expiry date was not right."),
    "invalid_expiry_year": gettext_lazy("The expiry date was not right."),
    "invalid_number": gettext_lazy("The card number was not right."),
    "issuer_not_available": gettext_lazy("Your bank could not be reached."),
    "payment_intent_authentication_failure": gettext_lazy("Your bank could not confirm that it was you."),
    "processing_error": gettext_lazy("The bank could not work on the payment at that moment."),
    "setup_intent_authentication_failure": gettext_lazy("Your bank could not confirm that it was you."),
    "try_again_later": gettext_lazy("The bank could not work on the payment at that moment."),
    "withdrawal_count_limit_exceeded": gettext_lazy("The card has reached the limit that your bank sets."),
}


def sentence(error_code: str, decline_code: str) -> str:
    """The bank's reason where it may be told; `card_declined` alone says nothing, so `decline_code` goes first."""
    known = SENTENCES.get(decline_code or error_code)
    return str(known) if known is not None else _("Your bank declined the card. It does not tell us why.")
