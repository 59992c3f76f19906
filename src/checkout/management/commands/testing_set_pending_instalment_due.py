"""Make the next instalment due, for trying a run out."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from checkout.errors import CheckoutError
from checkout.management.base import BaseCommand
from checkout.models import ObjectPaymentPlan
from checkout.services import plans


class Command(BaseCommand):
    help = (
        "For testing: make the first pending instalment of a payment plan due, today or on the last day before that is "
        "no other line's. Refused with a live key."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("pk", type=int, help="primary key of the agreed payment plan (ObjectPaymentPlan)")

    def handle(self, *args: Any, **options: Any) -> None:
        plan = ObjectPaymentPlan.objects.filter(pk=options["pk"]).first()
        if plan is None:
            known = ", ".join(str(pk) for pk in ObjectPaymentPlan.objects.values_list("pk", flat=True)[:20]) or "none"
            raise CommandError(f"There is no agreed payment plan {options['pk']}. Known: {known}.")
        try:
            instalment = plans.testing_set_pending_instalment_due(plan)
        except CheckoutError as problem:
            raise CommandError(str(problem)) from problem
        self.stdout.write(f"{instalment} now: `process_payments` will take it.")
