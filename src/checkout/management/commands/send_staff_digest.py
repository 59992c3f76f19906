"""One mail to staff with a day's payments."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from checkout.conf import conf
from checkout.errors import CheckoutError
from checkout.management.base import BaseCommand, day
from checkout.services import doctor, jobs, staff_notices


class Command(BaseCommand):
    help = (
        "Mail the addresses in CHECKOUT_NOTIFY_EMAILS what was paid, what failed and what staff did on a day, when "
        "CHECKOUT_NOTIFY is 'digest'. Safe to run again: a day is mailed once. Run it in the morning, for the day "
        "before. Exits 1 when nobody can be written to."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--day", type=day, help="which day (2026-11-23); the default is yesterday")

    def handle(self, *args: Any, **options: Any) -> None:
        if not conf.CHECKOUT_NOTIFY_EMAILS:
            self.stdout.write("CHECKOUT_NOTIFY_EMAILS is empty, so there is nobody to mail")
            return
        if conf.CHECKOUT_NOTIFY != staff_notices.DIGEST:
            self.stdout.write(f"CHECKOUT_NOTIFY is {conf.CHECKOUT_NOTIFY!r}, so there is no digest")
            return
        try:
            with jobs.recorded("send_staff_digest"):
                number = staff_notices.digest(options["day"], warnings=doctor.warnings())
        except CheckoutError as problem:
            raise CommandError(str(problem)) from problem
        self.stdout.write(f"mailed {number} payments" if number is not None else "nothing to mail, or mailed before")
