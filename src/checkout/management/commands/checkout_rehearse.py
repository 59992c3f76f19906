"""Play a payment plan through before anybody agrees to it."""

from __future__ import annotations

import argparse
import datetime
import difflib
import importlib.util
import json
import re
import subprocess  # nosec B404 - to start our own module
import sys
import tempfile
from decimal import Decimal, InvalidOperation
from typing import Any

from django.conf import settings
from django.core import serializers
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from checkout import clock, declines, money
from checkout.conf import conf
from checkout.errors import CheckoutError
from checkout.management.base import BaseCommand, day
from checkout.models import CheckoutSettings, PaymentPlan
from checkout.rehearsal.stage import FOLLOWED


def _decline(text: str) -> tuple[int, str]:
    count, equals, code = text.partition("=")
    if not equals or not count.isdecimal() or not code:
        raise argparse.ArgumentTypeError(f"{text!r} is not like 3=insufficient_funds")
    if code not in declines.MEANINGS:
        near = difflib.get_close_matches(code, declines.MEANINGS, n=1) or ["insufficient_funds"]
        raise argparse.ArgumentTypeError(f"{code!r} is not a decline code of Stripe's such as {near[0]}")
    return int(count), code


def _days(text: str) -> int:
    if not re.fullmatch(r"-1|\d{1,4}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days, or -1 for never")
    return int(text)


class Command(BaseCommand):
    help = (
        "Play one plan from its agreement to its last payment, on Stripe's stand-in, with time running fast: what is "
        "taken on which day, which letters go out, what the office sees. In a process and a database of its own: "
        "nothing of the site's is touched, and it is safe to run again. Needs the extra [emulator]."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--plan", required=True, help="the slug of the template")
        parser.add_argument("--total", required=True, help="what is paid for, for example 600")
        parser.add_argument("--currency", default="", help="by default the site's")
        parser.add_argument("--card", default="4242424242424242", help="one of Stripe's test cards")
        parser.add_argument("--start", type=day, help="the day of the agreement, by default today")
        parser.add_argument(
            "--decline",
            type=_decline,
            action="append",
            default=[],
            metavar="PAYMENT=CODE",
            help="what the bank says when that payment (1 is the deposit) is asked for first: 3=insufficient_funds",
        )
        parser.add_argument(
            "--payer-comes-after",
            type=_days,
            default=2,
            metavar="DAYS",
            help="how long the payer takes when a letter asks them to come; -1: never, nor do they stay on a page",
        )
        parser.add_argument(
            "--every-day",
            action="store_true",
            help="run the jobs on every day, not only where they can find something to do: the same story, told slowly",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if importlib.util.find_spec("stripe_emulator") is None:
            raise CommandError(
                'The rehearsal is played on the emulator: pip install "django-checkout-sca[emulator]" first.'
            )
        template = PaymentPlan.objects.select_related("recovery").filter(slug=options["plan"]).first()
        if template is None:
            known = ", ".join(PaymentPlan.objects.values_list("slug", flat=True)) or "none"
            raise CommandError(f"There is no template {options['plan']!r}. There are: {known}.")
        payments = template.count + 1
        if unknown := [count for count, _ in options["decline"] if not 1 <= count <= payments]:
            raise CommandError(
                f"The plan has {payments} payments, 1 is the deposit, so none of them is number {unknown[0]}."
            )
        asked = self._asked(template, options)
        # Its settings, its clock and its database are those of the whole process, so it has one of its own. What it
        # complains about goes into a file: nobody reads it before the story has ended.
        with tempfile.TemporaryFile("w+", encoding="utf-8") as complaints:
            play = subprocess.Popen(  # nosec B603 - our own module, and nothing of a shell
                [sys.executable, "-m", "checkout.rehearsal"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                text=True,
                encoding="utf-8",
            )
            with play:
                assert play.stdin is not None and play.stdout is not None  # noqa: S101, PT018
                with play.stdin:
                    json.dump(asked, play.stdin)
                for line in play.stdout:
                    self.stdout.write(line, ending="")
            complaints.seek(0)
            complaint = complaints.read()
        if play.returncode:
            raise CommandError(complaint.strip().rpartition("\n")[2] or "The rehearsal ended early.")

    def _asked(self, template: PaymentPlan, options: dict[str, Any]) -> dict[str, Any]:
        try:
            currency = money.check_currency(options["currency"] or conf.CHECKOUT_CURRENCY)
            total = Decimal(options["total"])
            money.check_chargeable(total, currency)
        except InvalidOperation as problem:
            raise CommandError(f"{options['total']!r} is not an amount such as 600.") from problem
        except CheckoutError as problem:
            raise CommandError(str(problem)) from problem
        start = options["start"] or clock.today()
        zone = timezone.get_default_timezone()
        site = CheckoutSettings.objects.settings
        policies = {policy.pk: policy for policy in (template.recovery, site.recovery) if policy is not None}
        rows = [*policies.values(), template]
        return {
            "site": {name: getattr(settings, name, getattr(conf, name, None)) for name in FOLLOWED},
            "start": datetime.datetime.combine(start, datetime.time(9), zone).isoformat(),
            "rows": serializers.serialize("json", rows),
            "recovery": site.recovery.pk if site.recovery is not None else None,
            "plan": template.slug,
            "total": str(total),
            "currency": currency,
            "card": options["card"],
            "declines": dict(options["decline"]),
            "comes_after": options["payer_comes_after"] if options["payer_comes_after"] >= 0 else None,
            "every_day": options["every_day"],
        }
