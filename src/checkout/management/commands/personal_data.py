"""Show or erase what is kept about one payer."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandError, CommandParser

from checkout.errors import CheckoutError
from checkout.management.base import BaseCommand
from checkout.services import personal_data


class Command(BaseCommand):
    help = (
        "Print as JSON what is kept under an e-mail address, or erase it: amounts, days and agreements stay, without "
        "name and address. Safe to run again. Exits 1 when it cannot be erased yet."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", help="the payer's e-mail address")
        parser.add_argument("--erase", action="store_true", help="erase it instead of printing it")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if not options["erase"]:
                self.stdout.write(json.dumps(personal_data.export(options["email"]), indent=2, ensure_ascii=False))
                return
            done = personal_data.erase(options["email"])
        except CheckoutError as problem:
            raise CommandError(str(problem)) from problem
        self.stdout.write("erased: " + ", ".join(f"{name} {number}" for name, number in done.items()))
