"""Put the mail templates there."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from checkout import mail
from checkout.management.base import BaseCommand
from checkout.models.lookups import ensure_lookups


class Command(BaseCommand):
    help = (
        "Put what this app needs into the database: mail templates, in every language of LANGUAGES that this app or "
        "your site has them in, and lookup rows. Safe to run again: a template that is there is kept as it is, "
        "reworded or not."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--translate-reworded",
            action="store_true",
            help="Add our translations to templates that you have reworded, too.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        ensure_lookups()
        installed = mail.install(also_reworded=options["translate_reworded"])
        for name in installed.made:
            self.stdout.write(f"made {name}")
        for name, language in installed.translated:
            self.stdout.write(f"made {name} ({language})")
        for name, language in installed.left_alone:
            self.stdout.write(f"left {name} as you reworded it, without our {language} (--translate-reworded adds it)")
        self.stdout.write(f"mail templates: made {len(installed.made)}, kept {len(installed.kept)}")
        if mail.languages():
            self.stdout.write(
                f"translations of them: made {len(installed.translated)}, kept {len(installed.kept_translations)}, "
                f"left out {len(installed.left_alone)}"
            )
