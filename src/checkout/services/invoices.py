"""Paying by invoice: the payer says where it goes, staff send it and later mark it as paid."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import cast

from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ObjectDoesNotExist
from django.db import transaction
from django.utils.translation import gettext as _

from checkout import actions, links, money, states
from checkout.contract import Actor, ContentObject
from checkout.errors import AlreadyPaid
from checkout.journal import Code, Why
from checkout.models import Checkout, CheckoutAdditional, model_of
from checkout.services import attempt_debts, attempt_rows, checkouts, ending, numbering, staff_notices
from checkout.services.letters import asking as letters


def read_token(token: str) -> ContentObject:
    """The content object. Raises ExpiredLink or BadLink."""
    content_type_pk, _separator, object_pk = links.unsign(token, CheckoutAdditional).partition("-")
    try:
        model = ContentType.objects.get_for_id(int(content_type_pk)).model_class()
        if model is None:
            raise links.BadLink("What this link was for is gone.")
        row = model._base_manager.get(pk=object_pk)
    except (ValueError, ObjectDoesNotExist) as problem:
        raise links.BadLink("What this link was for is gone.") from problem
    return cast("ContentObject", row)


def asked_before(content_object: ContentObject) -> Checkout | None:
    """The invoice that was asked for already, if it was and is not paid yet."""
    return (
        Checkout.objects.for_content_object(content_object)
        .success()
        .filter(action_id=actions.INVOICE)
        .order_by("-pk")
        .first()
    )


def request_invoice(content_object: ContentObject, address: CheckoutAdditional, user: Actor = None) -> Checkout:
    """Keep the address, tell the host's row (`checkout_success`), mail staff and the payer: one commit, or none of it.

    Asked twice, it is one invoice. Raises CannotPay when this may not be paid so.
    """
    checkouts.check_allowed(content_object, actions.INVOICE)
    with transaction.atomic(durable=True):
        # A lock on the row that is paid for makes a double click wait; where locks are ignored, writers queue anyway.
        model_of(content_object)._default_manager.select_for_update().filter(pk=content_object.pk).first()
        existing = asked_before(content_object)
        if existing is not None:
            return existing
        checkout = attempt_rows.insert(content_object, actions.INVOICE, user, total=content_object.checkout_total)
        address.checkout = checkout
        address.save()
        ending.succeed(checkout, user=user, why=Why(Code.INVOICE_ASKED_FOR))
        _tell_staff(checkout, address)
        letters.invoice_requested(checkout)
    numbering.give([checkout])
    return checkout


def _amount(checkout: Checkout, locale: str) -> str:
    return money.format_money(checkout.total, checkout.currency, locale) if checkout.total is not None else ""


@staff_notices.in_office_language()
def _tell_staff(checkout: Checkout, address: CheckoutAdditional) -> None:
    staff_notices.tell_staff(
        f"invoice-{checkout.pk}",
        _("Please send an invoice: %(amount)s %(company)s")
        % {
            "amount": _amount(checkout, settings.LANGUAGE_CODE),
            "company": address.company_name or address.contact_name,
        },
        [*checkout.description_lines, "", *address.lines, "", staff_notices.link("checkout.detail", checkout.uuid)],
        checkout=checkout,
    )


def mark_paid(
    checkout: Checkout,
    user: Actor,
    reason: str,
    *,
    within: Callable[[Decimal], None] | None = None,
    means: attempt_debts.Means = attempt_debts.UNSAID,
) -> Checkout:
    """Staff: the invoice was paid. A `manual` attempt on the same row settles it, by the door for paying by hand.
    `within` and `means` as there."""
    content_object = checkout.content_object
    if content_object is None:
        raise AlreadyPaid(_("What this invoice was for no longer exists."))
    paid = Checkout.objects.for_content_object(content_object).paid().exists()
    if paid or checkout.state_id != states.SUCCESS:
        raise AlreadyPaid(_("This was settled already."))
    return checkouts.manual(content_object, user, reason, within=within, means=means)
