"""When each scheduled job last did its work: what the doctor looks at first."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from checkout.models.primary import PrimaryManager


class ScheduledJob(models.Model):
    """One row per job, written by `services.jobs.recorded` whether cron or Celery started it."""

    name = models.CharField(max_length=100, unique=True)
    last_started_at = models.DateTimeField(null=True, blank=True)
    last_succeeded_at = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True, help_text=_("Of the last time, if it failed."))

    objects: models.Manager[ScheduledJob] = PrimaryManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["name"]
        verbose_name = _("scheduled job")

    def __str__(self) -> str:
        return self.name
