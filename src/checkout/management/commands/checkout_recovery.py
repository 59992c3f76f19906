"""What is tried again after a decline, when, and why."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from checkout import clock, money
from checkout.journal import in_english
from checkout.management.base import BaseCommand
from checkout.services import recovery


class Command(BaseCommand):
    help = (
        "List every try that is planned after a decline, and make those whose day has come due again: the next run "
        "takes them. process_payments does the same by itself. With --dry-run nothing is changed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only list what is planned")

    def handle(self, *args: Any, **options: Any) -> None:
        planned = due = 0
        with in_english():
            for each in recovery.planned():
                step, line = each.step, each.step.instalment
                plan = line.object_payment_plan
                planned += 1
                due += step.tried_on <= clock.today()
                amount = money.format_money(line.left, plan.currency)
                self.stdout.write(
                    f"{step.tried_on:%Y-%m-%d}  {amount}  instalment {line.pk} of plan {plan.pk}, "
                    f"try {step.number} of {step.most} ({step.policy}): {each.why}"
                )
        self.stdout.write(f"planned {planned}, due by today {due}")
        if not options["dry_run"]:
            self.stdout.write(f"due again {recovery.release_due()}")
