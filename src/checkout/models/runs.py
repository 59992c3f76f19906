"""A payment run: one sweep over what is due, and each instalment in it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from checkout import clock
from checkout.models.primary import PrimaryManager


class PaymentRun(models.Model):
    """One sweep. The counts are filled in as it goes, so a run that was killed shows how far it came."""

    started_at = models.DateTimeField(default=clock.now, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    note = models.TextField(blank=True, help_text=_("Why it stopped early, if it did."))

    objects: models.Manager[PaymentRun] = PrimaryManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["-pk"]
        verbose_name = _("payment run")

    def __str__(self) -> str:
        return f"Payment run {self.pk} of {self.started_at:%Y-%m-%d %H:%M}"


class PaymentRunItem(models.Model):
    """What became of one instalment in a run."""

    class Outcome(models.TextChoices):
        PLANNED = "planned", _("not reached yet")
        CLAIMED = "claimed", _("claimed, not answered")
        CHARGED = "charged", _("charged")
        DECLINED = "declined", _("declined")
        PAY_ON_SESSION = "pay_on_session", _("the bank requires the payer")
        UNKNOWN = "unknown", _("asked, outcome unknown")
        SKIPPED = "skipped", _("skipped")
        ERROR = "error", _("could not be asked")

    payment_run = models.ForeignKey(PaymentRun, on_delete=models.CASCADE, related_name="items", db_index=False)
    instalment = models.ForeignKey(
        "checkout.ObjectPaymentPlanInstalment", on_delete=models.PROTECT, related_name="run_items"
    )
    checkout = models.ForeignKey(
        "checkout.Checkout", on_delete=models.PROTECT, null=True, blank=True, related_name="run_items"
    )
    outcome = models.CharField(max_length=20, choices=Outcome.choices, default=Outcome.CLAIMED)
    note = models.TextField(blank=True)

    objects: models.Manager[PaymentRunItem] = PrimaryManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["pk"]
        verbose_name = _("payment run item")
        constraints = [models.UniqueConstraint(fields=["payment_run", "instalment"], name="checkout_run_item_once")]
        indexes = [models.Index(fields=["payment_run", "outcome"], name="checkout_run_item_outcome")]

    def __str__(self) -> str:
        return f"{self.instalment_id}: {self.outcome}"
