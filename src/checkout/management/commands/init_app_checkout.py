"""Put the mail templates there."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from checkout import mail
from checkout.models.lookups import ensure_lookups


class Command(BaseCommand):
    help = (
        "Put what this app needs into the database: mail templates and lookup rows. Safe to run again: a template that "
        "is there is kept as it is, reworded or not."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        ensure_lookups()
        installed = mail.install()
        for name in installed.made:
            self.stdout.write(f"made {name}")
        self.stdout.write(f"mail templates: made {len(installed.made)}, kept {len(installed.kept)}")
