"""Say what is wrong with this installation, and what to do."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandError, CommandParser, no_translations

from checkout.management.base import BaseCommand
from checkout.services import doctor


class Command(BaseCommand):
    help = (
        "Look at keys, Stripe, webhooks, scheduled jobs, what waits, mail and migrations, and say what to do about "
        "each trouble. Changes nothing; run it as often as you like. Exits 1 when there is an error, "
        "and with --fail-level WARNING for a warning as well."
    )
    # It says what is wrong with the settings itself.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--fail-level",
            choices=["ERROR", "WARNING"],
            default="ERROR",
            help="exit 1 for warnings as well (the default is ERROR: for errors only)",
        )
        parser.add_argument("--json", action="store_true", help="print the findings as JSON, for monitoring")

    # In English, as the runbook and the system checks say it.
    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        findings = doctor.examine()
        if options["json"]:
            told = {"ok": doctor.is_healthy(findings), "findings": [finding.as_dict() for finding in findings]}
            self.stdout.write(json.dumps(told, indent=2))
        else:
            for finding in findings:
                self._tell(finding)
        errors = sum(finding.level == doctor.Level.ERROR for finding in findings)
        warnings = sum(finding.level == doctor.Level.WARNING for finding in findings)
        if errors or (warnings and options["fail_level"] == "WARNING"):
            raise CommandError(f"{errors} errors, {warnings} warnings.")

    def _tell(self, finding: doctor.Finding) -> None:
        style = {
            doctor.Level.ERROR: self.style.ERROR,
            doctor.Level.WARNING: self.style.WARNING,
            doctor.Level.OK: self.style.SUCCESS,
            doctor.Level.SKIPPED: self.style.NOTICE,
        }[finding.level]
        loud = "!!! " if finding.check == "jobs" and finding.level == doctor.Level.ERROR else ""
        self.stdout.write(style(f"{loud}{finding.level.upper():<8}{finding.check}: {finding.message}"))
        if finding.do and finding.level != doctor.Level.OK:
            self.stdout.write(f"        {finding.do}")
