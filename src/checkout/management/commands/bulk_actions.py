"""What staff asked to be done to many plans or payments at once."""

from __future__ import annotations

from typing import Any

from checkout.management.base import BaseCommand
from checkout.models import BulkJob
from checkout.services import jobs, many


class Command(BaseCommand):
    help = (
        "Go on with what staff asked to be done to many plans or payments at once. Safe to run again, and twice at "
        "once: what was done is not done again."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        with jobs.recorded("bulk_actions"):
            finished = many.work_on_all()
        left = BulkJob.objects.filter(finished_at=None).count()
        self.stdout.write(f"finished {finished}, left {left}")
