"""The app's own sentences in its books (`StateChange.reason`, `Checkout.failure`).

They are kept in English, whoever's page or job wrote them, and shown in the language of whoever reads them. What people
wrote is shown as they wrote it.
"""

from __future__ import annotations

import re
from typing import Final

from django.utils.translation import gettext, gettext_noop

#: As they are written where things happen; the more general after the more special.
SENTENCES: Final = (
    gettext_noop("Invoice begun"),
    gettext_noop("Manual begun"),
    gettext_noop("Charge begun"),
    gettext_noop("Card refresh begun"),
    gettext_noop("Payment begun"),
    gettext_noop("Payment plan begun"),
    gettext_noop("Another attempt took its place"),
    gettext_noop("Asked for"),
    gettext_noop("Asked to pay by link"),
    gettext_noop("Attempt failed"),
    gettext_noop("Cancelled by staff: %(reason)s"),
    gettext_noop("Claimed"),
    gettext_noop("Invoice asked for"),
    gettext_noop("Link sent again"),
    gettext_noop("Made in Stripe's dashboard"),
    gettext_noop("Mail sent again"),
    gettext_noop("Never answered by Stripe"),
    gettext_noop("Paid by other means"),
    gettext_noop("Refused by Stripe"),
    gettext_noop("Saving the card was cancelled."),
    gettext_noop("Started again"),
    gettext_noop("Stripe did not take the request"),
    gettext_noop("Stripe has no such payment"),
    gettext_noop("Stripe refused the request"),
    gettext_noop("Stripe: canceled"),
    gettext_noop("Stripe: card saved"),
    gettext_noop("Stripe: processing"),
    gettext_noop("Stripe: refunded"),
    gettext_noop("Stripe: succeeded"),
    gettext_noop("Stripe: the bank wants the payer"),
    gettext_noop("The bank wants the payer to confirm the payment."),
    gettext_noop("The card was declined."),
    gettext_noop("The key is of another Stripe account"),
    gettext_noop("The payer left the page"),
    gettext_noop("The payment was cancelled."),
    gettext_noop("The plan was stopped"),
    gettext_noop("Checkout %(number)s: the bank wants the payer"),
    gettext_noop("Checkout %(number)s (%(action)s)"),
    gettext_noop("Checkout %(number)s"),
    gettext_noop("Dispute %(id)s is closed: %(status)s"),
    gettext_noop("Dispute %(id)s is open"),
    gettext_noop("Due %(before)s → %(due)s: %(reason)s"),
    gettext_noop("Line %(count)s was refunded and is owed again as line %(new)s"),
    gettext_noop("Line %(count)s was taken off: the refund failed"),
    gettext_noop("Payment run %(number)s"),
    gettext_noop("Stopped with refund %(number)s"),
)


def _pattern(sentence: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"%\\\((\w+)\\\)s", r"(?P<\1>.+?)", re.escape(sentence)), re.DOTALL)


_PATTERNS: Final = [(_pattern(sentence), sentence) for sentence in SENTENCES]


def in_words(text: str) -> str:
    """A sentence of the books in the language that is active.

    >>> in_words("Payment run 7"), in_words("She called us")
    ('Payment run 7', 'She called us')
    """
    for pattern, sentence in _PATTERNS:
        if found := pattern.fullmatch(text):
            return gettext(sentence) % found.groupdict() if found.groupdict() else gettext(sentence)
    return text


#: Stripe's codes for disputes, as words (https://docs.stripe.com/api/disputes/object).
STATUSES_AND_REASONS: Final = (
    gettext_noop("bank cannot process"),
    gettext_noop("check returned"),
    gettext_noop("credit not processed"),
    gettext_noop("customer initiated"),
    gettext_noop("debit not authorized"),
    gettext_noop("duplicate"),
    gettext_noop("fraudulent"),
    gettext_noop("general"),
    gettext_noop("incorrect account details"),
    gettext_noop("insufficient funds"),
    gettext_noop("lost"),
    gettext_noop("needs response"),
    gettext_noop("noncompliant"),
    gettext_noop("prevented"),
    gettext_noop("product not received"),
    gettext_noop("product unacceptable"),
    gettext_noop("subscription canceled"),
    gettext_noop("under review"),
    gettext_noop("unrecognized"),
    gettext_noop("warning closed"),
    gettext_noop("warning needs response"),
    gettext_noop("warning under review"),
    gettext_noop("won"),
)


def code_in_words(code: str) -> str:
    """One of Stripe's codes in the language that is active; an unknown one as English words.

    >>> code_in_words("needs_response"), code_in_words("")
    ('needs response', '')
    """
    words = code.replace("_", " ")
    return gettext(words) if words else ""
