"""One action for many plans or payments: what was chosen, and what became of each."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from checkout import clock
from checkout.models.instalments import ObjectPaymentPlanInstalment
from checkout.models.plans import ObjectPaymentPlan
from checkout.models.primary import PrimaryManager


class BulkJob(models.Model):
    """What one member of the staff asked to be done to many. Its uuid is made with the form, so that a form which is
    sent twice asks once."""

    class Kind(models.TextChoices):
        REMIND = "remind", _("Ask to pay by link")
        MOVE = "move", _("Move to another day")
        PAUSE = "pause", _("Pause")
        STOP = "stop", _("Stop")
        WRITE_OFF = "write_off", _("Write off the rest")

    #: Done to payments; the others are done to whole plans.
    TO_LINES = frozenset({Kind.REMIND, Kind.MOVE})

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    terms = models.JSONField(default=dict, blank=True, help_text=_("The day, or for how many months."))
    reason = models.CharField(max_length=255, blank=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    made_at = models.DateTimeField(default=clock.now, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects: models.Manager[BulkJob] = PrimaryManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["-pk"]
        verbose_name = _("action for many")
        verbose_name_plural = _("actions for many")
        indexes = [models.Index(fields=["id"], condition=Q(finished_at=None), name="checkout_bulk_unfinished")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.made_at:%Y-%m-%d %H:%M}"

    def get_absolute_url(self) -> str:
        return reverse("checkout.many.detail", args=[self.uuid])


class BulkItem(models.Model):
    """One plan or payment of it. Whoever works on it holds the lease; after that it is looked at again, and what was
    done by then is not done a second time."""

    class Outcome(models.TextChoices):
        WAITING = "waiting", _("not reached yet")
        DOING = "doing", _("being done")
        DONE = "done", _("done")
        REFUSED = "refused", _("left as it was")
        FAILED = "failed", _("could not be done")

    job = models.ForeignKey(BulkJob, on_delete=models.CASCADE, related_name="items", db_index=False)
    plan = models.ForeignKey(
        ObjectPaymentPlan, on_delete=models.PROTECT, null=True, blank=True, related_name="bulk_items"
    )
    instalment = models.ForeignKey(
        ObjectPaymentPlanInstalment, on_delete=models.PROTECT, null=True, blank=True, related_name="bulk_items"
    )
    outcome = models.CharField(max_length=20, choices=Outcome.choices, default=Outcome.WAITING)
    note = models.TextField(blank=True, help_text=_("Why it was left as it was, or what came of it."))
    tries = models.PositiveSmallIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects: models.Manager[BulkItem] = PrimaryManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["pk"]
        verbose_name = _("part of an action for many")
        verbose_name_plural = _("parts of actions for many")
        constraints = [
            models.UniqueConstraint(fields=["job", "plan"], name="checkout_bulk_plan_once"),
            models.UniqueConstraint(fields=["job", "instalment"], name="checkout_bulk_line_once"),
            models.CheckConstraint(
                condition=Q(plan__isnull=False, instalment=None) | Q(plan=None, instalment__isnull=False),
                name="checkout_bulk_item_about_one",
            ),
        ]
        indexes = [models.Index(fields=["job", "outcome", "id"], name="checkout_bulk_item_outcome")]

    def __str__(self) -> str:
        return f"{self.plan_id or self.instalment_id}: {self.outcome}"

    @property
    def subject(self) -> ObjectPaymentPlan | ObjectPaymentPlanInstalment:
        found = self.plan or self.instalment
        assert found is not None  # noqa: S101 - a constraint
        return found
