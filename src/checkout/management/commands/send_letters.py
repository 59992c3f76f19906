"""Write the letters that payments, cards and plans have asked for."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError

from checkout.errors import CheckoutError
from checkout.management.base import BaseCommand
from checkout.services import jobs, requests
from checkout.services.letters import due, writing


class Command(BaseCommand):
    help = (
        "Write the letters to payers that were asked for: receipts, declined payments, changed cards, refunds; the "
        "notices CHECKOUT_NOTICE_DAYS before a payment is taken, and reminders after CHECKOUT_REMINDER_DAYS. "
        "send_queued_mail sends them. Safe to run at any time, and in many places at once. Exits 1 when a letter could "
        "not be written."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with jobs.recorded("send_letters"):
                due.ask()
                reminded, errors = requests.remind()
                written = writing.write_waiting()
        except (CheckoutError, ImproperlyConfigured) as problem:
            raise CommandError(str(problem)) from problem
        mailed, errors = written.mailed + reminded, written.errors + errors
        self.stdout.write(f"mailed {mailed}, no longer true {written.untrue}, errors {errors}")
        if errors:
            raise CommandError(
                f"{errors} could not be written; see the page Problems, or the log (logger checkout.letters). "
                "They are tried again."
            )
