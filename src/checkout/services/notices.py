"""Mails, queued in the transaction that gives the reason for them, once per cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.utils.translation import gettext as _
from post_office import mail

from checkout import money
from checkout.conf import conf
from checkout.models import Checkout

if TYPE_CHECKING:
    from django.http import HttpRequest


def notify_staff(checkout: Checkout, request: HttpRequest | None = None) -> int:
    """Queue a mail about an attempt to CHECKOUT_NOTIFY_EMAILS; the number of addresses."""
    recipients = list(conf.CHECKOUT_NOTIFY_EMAILS)
    if not recipients:
        return 0
    link = request.build_absolute_uri(checkout.get_absolute_url()) if request else checkout.get_absolute_url()
    amount = money.format_money(checkout.total, checkout.currency) if checkout.total is not None else _("no amount")
    mail.send(
        recipients,
        settings.DEFAULT_FROM_EMAIL,
        subject=_("%(action)s: %(state)s") % {"action": checkout.action.name, "state": checkout.state.name},
        message=f"{checkout.description}\n{amount}\n{checkout.failure}\n\n{link}\n",
    )
    return len(recipients)
