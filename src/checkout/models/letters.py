"""Letters that a cause has asked for, until their words are written."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from checkout import clock
from checkout.models.primary import PrimaryManager


class Letter(models.Model):
    """One letter for one cause, inserted in the transaction that gives the cause.

    The words are written afterwards, from what is true then: a template that is wrong, or a row of the host's that
    cannot be read, undoes nothing and is tried again. The mail itself is a `Notice` of the same cause.
    """

    class Outcome(models.TextChoices):
        WAITING = "", _("waiting")
        WRITTEN = "written", _("written")
        TOGETHER = "together", _("said in another letter")
        OFF = "off", _("not sent, because it is switched off")
        NOT_TRUE = "not_true", _("not sent, because it was no longer true")

    cause = models.CharField(max_length=200, unique=True)
    kind = models.CharField(max_length=100, help_text=_("Its template."))
    checkout = models.ForeignKey(
        "checkout.Checkout", on_delete=models.CASCADE, null=True, blank=True, related_name="letters"
    )
    instalment = models.ForeignKey(
        "checkout.ObjectPaymentPlanInstalment", on_delete=models.CASCADE, null=True, blank=True, related_name="letters"
    )
    plan = models.ForeignKey(
        "checkout.ObjectPaymentPlan", on_delete=models.CASCADE, null=True, blank=True, related_name="letters"
    )
    refund = models.ForeignKey(
        "checkout.Refund", on_delete=models.CASCADE, null=True, blank=True, related_name="letters"
    )
    asked_at = models.DateTimeField(default=clock.now)
    write_after = models.DateTimeField(default=clock.now)
    ended_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=20, choices=Outcome.choices, default=Outcome.WAITING, blank=True)

    objects: models.Manager[Letter] = PrimaryManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["pk"]
        verbose_name = _("letter")
        indexes = [
            models.Index(fields=["write_after"], condition=Q(ended_at__isnull=True), name="checkout_letter_waiting"),
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {self.cause}"
