"""What came in from Stripe and what went out by mail, each once."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from checkout import clock
from checkout.models.primary import PrimaryManager


class StripeEvent(models.Model):
    """A webhook event, stored once by its id before it is worked on.

    While it waits it has a `next_attempt_at`; without one, and not handled, it was given up and needs a person.
    """

    class Outcome(models.TextChoices):
        WAITING = "", _("waiting")
        DONE = "done", _("worked on")
        IGNORED = "ignored", _("of a kind that changes nothing here")
        NOT_OURS = "not_ours", _("about something that this site did not start")

    event_id = models.CharField(max_length=255, unique=True)
    event_type = models.CharField(max_length=100)
    object_id = models.CharField(max_length=255, blank=True, help_text=_("Stripe's id of what it is about."))
    livemode = models.BooleanField()
    api_version = models.CharField(max_length=50, blank=True)
    created_at = models.DateTimeField(help_text=_("At Stripe."))
    received_at = models.DateTimeField(default=clock.now)
    payload = models.JSONField(default=dict, help_text=_("data.object without secrets, and what changed."))
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, blank=True, default=clock.now)
    handled_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=20, choices=Outcome.choices, default=Outcome.WAITING, blank=True)
    error = models.TextField(blank=True)

    objects: models.Manager[StripeEvent] = PrimaryManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["pk"]
        verbose_name = _("Stripe event")
        indexes = [
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(handled_at__isnull=True),
                name="checkout_event_waiting",
            ),
            models.Index(fields=["object_id"], name="checkout_event_object"),
            models.Index(fields=["-id"], condition=Q(handled_at__isnull=True), name="checkout_event_unhandled"),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.event_id}"


class Notice(models.Model):
    """A mail that was queued, once per cause. Inserted in the transaction that queues it."""

    cause = models.CharField(max_length=200, unique=True)
    template = models.CharField(max_length=100)
    recipient = models.EmailField()
    checkout = models.ForeignKey(
        "checkout.Checkout", on_delete=models.PROTECT, null=True, blank=True, related_name="notices"
    )
    instalment = models.ForeignKey(
        "checkout.ObjectPaymentPlanInstalment",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="notices",
    )
    customer = models.ForeignKey(
        "checkout.Customer", on_delete=models.PROTECT, null=True, blank=True, related_name="notices"
    )
    queued_at = models.DateTimeField(default=clock.now)

    objects: models.Manager[Notice] = PrimaryManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["pk"]
        verbose_name = _("notice")

    def __str__(self) -> str:
        return f"{self.template}: {self.cause}"
