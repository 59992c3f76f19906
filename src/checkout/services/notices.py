"""Mails, queued in the transaction that gives the reason for them, once per cause."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from checkout import letters, mail
from checkout.contract import ContentObject
from checkout.models import Checkout, Customer, Notice, ObjectPaymentPlanInstalment


def send_once(
    cause: str,
    template: str,
    recipient: str,
    context: Mapping[str, Any],
    *,
    language: str = "",
    checkout: Checkout | None = None,
    instalment: ObjectPaymentPlanInstalment | None = None,
    customer: Customer | None = None,
) -> bool:
    """Queue a letter and write down its cause, in one transaction. False if this cause has had its letter (of any
    number of senders at once one queues it), and for one that the site has switched off.

    Raises MailNotReady without the template, or for an address that is none; nothing is written down then.
    """
    if not letters.is_on(template):
        return False
    try:
        with transaction.atomic():
            Notice.objects.create(
                cause=cause,
                template=template,
                recipient=recipient,
                checkout=checkout,
                instalment=instalment,
                customer=customer,
            )
            mail.queue(template, recipient, context, language)
    except IntegrityError:
        if Notice.objects.filter(cause=cause).exists():
            return False
        raise
    return True


def language_of(content_object: ContentObject, customer: Customer | None, *, on_page: str | None = None) -> str:
    """In which a payer is written to: what the host's row says (`checkout_language`), else the language in which they
    used our pages, or use them now (`on_page`), else the site's."""
    said = getattr(content_object, "checkout_language", "") or (customer.language if customer is not None else "")
    return str(said or on_page or settings.LANGUAGE_CODE)
