"""The wording that a payer agrees to before a card is saved for later payments."""

from __future__ import annotations

from typing import Any

from django.template.loader import render_to_string
from django.utils import formats
from django.utils.translation import get_language

from checkout import money
from checkout.conf import conf
from checkout.models import PaymentPlan
from checkout.services import checkouts, plans

#: A site replaces the wording by a template of this name, and counts CHECKOUT_AGREEMENT_VERSION up when it does.
TEMPLATE = "checkout/agreement.txt"


def wording(payment_plan: PaymentPlan, content_object: Any) -> str:
    """The text that is shown and kept, in the reader's language; paragraphs are separated by an empty line.

    It says what card rules ask for (https://docs.stripe.com/payments/save-and-reuse#compliance): that the card may be
    charged later, when and how much, that it is kept for this purpose only, and how to cancel.
    """
    currency = checkouts.currency_of(content_object)
    locale = get_language() or "en-gb"
    lines = [
        {
            "due": formats.date_format(line.due, "DATE_FORMAT"),
            "amount": money.format_money(line.amount, currency, locale),
        }
        for line in plans.check_can_agree(content_object, payment_plan)
    ]
    context = {
        "organisation": conf.STRIPE_CAPTION,
        "contact": conf.CHECKOUT_CONTACT_TEXT,
        "description": ", ".join(str(line) for line in content_object.checkout_description),
        "total": money.format_money(content_object.checkout_total, currency, locale),
        "deposit": lines[0],
        "instalments": lines[1:],
    }
    text = render_to_string(TEMPLATE, context)
    paragraphs = (" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)
