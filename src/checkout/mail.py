"""Queued letters: django-post-office templates that a site may reword, in the reader's language.

A letter is queued by a row in the caller's transaction, so it goes out if and only if its reason was committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.template.loader import get_template
from post_office import mail
from post_office.models import EmailTemplate

from checkout.errors import CheckoutError
from checkout.models import Customer, CustomerPayment, ObjectPaymentPlanInstalment

PLAN_AGREED = "plan_agreed"

#: Name in the database -> what staff read beside it. The wording is in templates/checkout/mail/.
LETTERS: dict[str, str] = {
    ObjectPaymentPlanInstalment.MAIL_TEMPLATE_ON_SESSION_PAYMENT_AUTH: (
        "The bank wants the payer to confirm an instalment; to payers who can log in."
    ),
    ObjectPaymentPlanInstalment.MAIL_TEMPLATE_ON_SESSION_PAYMENT_ANON: (
        "The bank wants the payer to confirm an instalment; to payers who cannot log in, with a signed link."
    ),
    Customer.MAIL_TEMPLATE_CARD_EXPIRY: "The card that instalments are taken from runs out.",
    Customer.MAIL_TEMPLATE_CARD_REFRESH_REQUEST: "Staff ask a payer for a new card.",
    CustomerPayment.MAIL_TEMPLATE_REQUEST: "Staff ask a customer for an amount, with a signed link to pay it.",
    PLAN_AGREED: "Confirms a payment plan to its payer, with every date and amount.",
    "invoice_requested": "The payer asked for an invoice.",
}


class MailNotReady(CheckoutError):
    """No mail can be written: a template or a setting is missing. Nothing was queued."""


@dataclass(frozen=True, slots=True)
class Installed:
    """What `init_app_checkout` found: names of templates that were made, and of those that were there."""

    made: list[str]
    kept: list[str]


def install() -> Installed:
    """Put the templates that are missing into the database. A template that is there is never touched."""
    made: list[str] = []
    kept: list[str] = []
    for name, description in LETTERS.items():
        with transaction.atomic():
            there = EmailTemplate.objects.filter(name=name, default_template=None).exists()
            if not there:
                EmailTemplate.objects.create(name=name, description=description, **_wording(name))
        (kept if there else made).append(name)
    return Installed(made, kept)


def _wording(name: str) -> dict[str, str]:
    """The app's own words, unrendered. A site that has templates of the same path has its own."""

    def source(ending: str) -> str:
        loaded: Any = get_template(f"checkout/mail/{name}{ending}")
        return str(loaded.template.source).strip()

    return {"subject": source(".subject.txt"), "content": source(".txt") + "\n", "html_content": source(".html") + "\n"}


def require(*names: str) -> None:
    """Raises MailNotReady, which says what to do, unless all these templates are in the database."""
    found = set(EmailTemplate.objects.filter(name__in=names, default_template=None).values_list("name", flat=True))
    missing = sorted(set(names) - found)
    if missing:
        raise MailNotReady(
            f"Mail template {', '.join(missing)} is not in the database, so nothing was sent. "
            "Run `manage.py init_app_checkout`; it keeps templates that you have reworded."
        )


def queue(name: str, recipient: str, context: Mapping[str, Any], language: str) -> None:
    """Queue one letter. The caller holds the transaction. Raises MailNotReady without the template, and for an address
    to which nothing can be sent."""
    # One line each: a line break in a name or a description would begin another header in the subject.
    words = {key: " ".join(value.split()) if isinstance(value, str) else value for key, value in context.items()}
    try:
        mail.send(
            recipient,
            settings.DEFAULT_FROM_EMAIL,
            template=_template(name, language),
            context=words,
            # A site whose default is "now" would send inside the transaction.
            priority="medium",
        )
    except ValidationError as problem:
        raise MailNotReady(f"A mail cannot be sent: {'; '.join(problem.messages)}") from problem


def _template(name: str, language: str) -> EmailTemplate:
    """The site's translation into the reader's language, or else the template itself.

    Not post_office's cached one: a template that was reworded a moment ago counts.
    """
    rows = {row.language: row for row in EmailTemplate.objects.filter(name=name).order_by("-default_template")}
    base = next((row for row in rows.values() if row.default_template_id is None), None)
    if base is None:
        require(name)
    return rows.get(language) or rows.get(language.split("-", maxsplit=1)[0]) or base
