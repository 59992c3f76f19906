"""Compare attempts that are over with Stripe."""

from __future__ import annotations

import csv
from typing import Any

from django.core.management.base import CommandError, CommandParser

from checkout.errors import CheckoutError
from checkout.management.base import BaseCommand, positive
from checkout.services import audit, jobs
from checkout.spreadsheets import harmless

COLUMNS = ("checkout", "begun", "action", "intent", "status", "amount", "problem", "repaired")


class Command(BaseCommand):
    help = (
        "Compare every attempt of the last days that is over with Stripe: one that failed may have taken no money and "
        "saved no card, and one that is called paid must have taken its money. Changes nothing without --repair. Safe "
        "to run at any time, again. Exits 1 when a difference is left."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--days", type=positive, default=audit.DAYS, help="how far to look back (%(default)s)")
        parser.add_argument("--repair", action="store_true", help="settle what failed here alone; its hook runs")
        parser.add_argument("--csv", action="store_true", help="print the differences as CSV, and nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with jobs.recorded("audit_failed_checkout"):
                audited = audit.audit_failed_checkouts(options["days"], repair=options["repair"])
        except CheckoutError as problem:
            raise CommandError(f"Stripe could not be asked, so nothing was compared: {problem}") from problem
        if options["csv"]:
            writer = csv.writer(self.stdout, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows([harmless(cell) for cell in _cells(finding)] for finding in audited.findings)
        else:
            self._table(audited)
        if audited.unpaid:
            raise CommandError(
                f"{audited.unpaid} paid here and not at Stripe. Somebody has to look: see the runbook. "
                f"{audited.wrong - audited.unpaid} failed here and not at Stripe."
            )
        if audited.wrong:
            raise CommandError(
                f"{audited.wrong} failed here and not at Stripe. Run it again with --repair to settle them."
            )
        if audited.unread:
            raise CommandError(f"{audited.unread} could not be compared; the log says why (logger checkout.audit).")

    def _table(self, audited: audit.Audited) -> None:
        rows = [COLUMNS, *(_cells(finding) for finding in audited.findings)]
        if audited.findings:
            widths = [max(len(row[number]) for row in rows) for number in range(len(COLUMNS))]
            for row in rows:
                self.stdout.write(
                    "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
                )
        self.stdout.write(f"compared {audited.looked_at}, found {len(audited.findings)}, left {audited.wrong}")


def _cells(finding: audit.Finding) -> tuple[str, ...]:
    checkout = finding.checkout
    return (
        str(checkout.pk),
        f"{checkout.created_at:%Y-%m-%d %H:%M}",
        str(checkout.action_id),
        finding.intent_id,
        finding.status,
        finding.amount,
        finding.problem,
        "yes" if finding.repaired else "no",
    )
