"""Tell payers that their bank requires them."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError

from checkout.errors import CheckoutError
from checkout.management.base import BaseCommand
from checkout.services import jobs, on_session


class Command(BaseCommand):
    help = (
        "Mail every payer whose bank requires them to confirm an instalment, once for each refusal, and once more "
        "after CHECKOUT_ON_SESSION_REMINDER_DAYS. Safe to run at any time, and in many places at once. Exits 1 when a "
        "mail could not be queued."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with jobs.recorded("send_on_session_payment_emails"):
                sent = on_session.send_on_session_payment_emails()
        except (CheckoutError, ImproperlyConfigured) as problem:
            raise CommandError(str(problem)) from problem
        self.stdout.write(f"mailed {sent.mailed}, errors {sent.errors}")
        if sent.errors:
            raise CommandError(
                f"{sent.errors} could not be mailed; the log says why (logger checkout.on_session). The next run tries "
                "again."
            )
