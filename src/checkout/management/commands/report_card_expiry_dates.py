"""Which cards run out when."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandParser

from checkout.management.base import BaseCommand
from checkout.models import ObjectPaymentPlan
from checkout.services import card_expiry
from checkout.spreadsheets import harmless

COLUMNS = ("plan", "customer", "email", "card", "expires", "refresh", "last instalment", "runs out before it")


class Command(BaseCommand):
    help = (
        "List outstanding payment plans, the card that runs out soonest first, and say which cards run out before the "
        "last instalment. Reads only, and never Stripe: run refresh_card_expiry_dates before."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--csv", action="store_true", help="write comma-separated values")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["csv"]:
            writer = csv.writer(self.stdout, lineterminator="\n")
            writer.writerow(COLUMNS)
            for row in self._rows():
                writer.writerow([harmless(cell) for cell in row])
            return
        count = early = 0
        for pk, customer, _email, card, expires, refresh, last, before in self._rows():
            notes = [note for note in ("asked for a new card" if refresh else "", before and f"last is {last}") if note]
            self.stdout.write(
                f"{expires or 'unknown':10}  plan {pk}  {customer}  ({card or 'no card'})"
                f"{'  ! ' + ', '.join(notes) if notes else ''}"
            )
            count += 1
            early += bool(before)
        self.stdout.write(f"{count} outstanding plans; {early} cards run out before the last instalment.")

    def _rows(self) -> Iterator[tuple[str, str, str, str, str, str, str, str]]:
        # `last_due` is an annotation, which the type checker cannot see.
        plans: Any = card_expiry.with_last_due(ObjectPaymentPlan.objects.report_card_expiry_dates)
        for plan in plans.iterator(chunk_size=500):
            customer = plan.customer
            card = plan.card
            expires = card.expiry_date if card else None
            yield (
                str(plan.pk),
                str(customer.name or customer.email) if customer else "",
                customer.email if customer else "",
                card.description if card else "",
                str(expires or ""),
                "yes" if card and card.refresh else "",
                str(plan.last_due or ""),
                "yes" if expires and plan.last_due and expires < plan.last_due else "",
            )
