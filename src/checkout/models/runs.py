"""A payment run: one sweep over what is due, each instalment in it, and what a second person released of it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from checkout import clock
from checkout.models import fields
from checkout.models.primary import PrimaryManager


class PaymentRun(models.Model):
    """One sweep. The counts are filled in as it goes, so a run that was killed shows how far it came."""

    started_at = models.DateTimeField(default=clock.now, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    note = models.TextField(blank=True, help_text=_("Why it stopped early, if it did."))
    stopped_at = models.DateTimeField(null=True, blank=True, help_text=_("When a person stopped it."))
    stopped_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    stopped_why = models.CharField(max_length=255, blank=True)
    resumed_at = models.DateTimeField(null=True, blank=True, help_text=_("When runs were allowed to go on."))
    resumed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )

    objects: models.Manager[PaymentRun] = PrimaryManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["-pk"]
        verbose_name = _("payment run")
        permissions = [
            ("ask_release", _("Can ask a colleague to release what runs will take")),
            ("release_run", _("Can release what a colleague asked to be taken by runs")),
            ("stop_run", _("Can stop payment runs and let them go on")),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(resumed_at=None) | Q(stopped_at__isnull=False), name="checkout_run_resumed_after_stop"
            )
        ]
        indexes = [
            models.Index(
                fields=["id"], condition=Q(stopped_at__isnull=False, resumed_at=None), name="checkout_run_stopped"
            )
        ]

    def __str__(self) -> str:
        return f"Payment run {self.pk} of {self.started_at:%Y-%m-%d %H:%M}"

    def get_absolute_url(self) -> str:
        return reverse("checkout.payment.run.detail", args=[self.pk])

    @property
    def is_stopped(self) -> bool:
        """True from when a person stopped it until runs may go on."""
        return self.stopped_at is not None and self.resumed_at is None


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
        WAITING = "waiting", _("waits for a release")
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


class RunRelease(models.Model):
    """What one member of the staff was shown of what runs will take on a day, and whether another one released it.

    It is for its lines, each up to its amount: what is due besides, or has become more, is not released by it.
    """

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting for a second person")
        RELEASED = "released", _("released")
        TURNED_DOWN = "turned_down", _("turned down")
        WITHDRAWN = "withdrawn", _("withdrawn")

    day = models.DateField(help_text=_("The day of the run."))
    currency = fields.currency()
    count = models.PositiveIntegerField(help_text=_("How many payments."))
    total = fields.amount()
    state = models.CharField(max_length=20, choices=State.choices, default=State.WAITING)
    note = models.CharField(max_length=255, blank=True, help_text=_("In the words of whoever asked."))
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    asked_at = models.DateTimeField(default=clock.now)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    decision = models.CharField(max_length=255, blank=True, help_text=_("In the words of whoever decided."))

    objects: models.Manager[RunRelease] = PrimaryManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["-pk"]
        verbose_name = _("release of a run")
        constraints = [
            models.UniqueConstraint(
                fields=["day", "currency"], condition=Q(state="waiting"), name="checkout_release_one_waiting"
            ),
            # The promise of four eyes, whoever writes the row.
            models.CheckConstraint(
                condition=~Q(state="released", decided_by=F("asked_by")), name="checkout_release_two_people"
            ),
            fields.positive("total", name="checkout_release_total"),
            fields.known_currency(name="checkout_release_currency"),
        ]
        indexes = [models.Index(fields=["day", "state"], name="checkout_release_day")]

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d}, {self.count}, {self.total} {self.currency}: {self.state}"

    def get_absolute_url(self) -> str:
        return reverse("checkout.run.release.detail", args=[self.pk])

    @property
    def waits(self) -> bool:
        return self.state == self.State.WAITING


class RunReleaseLine(models.Model):
    """One payment that was shown, and up to how much of it."""

    release = models.ForeignKey(RunRelease, on_delete=models.CASCADE, related_name="lines", db_index=False)
    instalment = models.ForeignKey(
        "checkout.ObjectPaymentPlanInstalment", on_delete=models.PROTECT, related_name="releases"
    )
    amount = fields.amount()

    objects: models.Manager[RunReleaseLine] = PrimaryManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["pk"]
        verbose_name = _("line of a release")
        constraints = [
            models.UniqueConstraint(fields=["release", "instalment"], name="checkout_release_line_once"),
            fields.positive("amount", name="checkout_release_line_amount"),
        ]

    def __str__(self) -> str:
        return f"{self.instalment_id}: {self.amount}"


class RunDay(models.Model):
    """What runs have claimed on one day in one currency without a release: what CHECKOUT_RUN_CEILING is about."""

    day = models.DateField()
    currency = fields.currency()
    claimed = fields.amount(default=0)

    objects: models.Manager[RunDay] = PrimaryManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["-day", "currency"]
        verbose_name = _("day of runs")
        constraints = [
            models.UniqueConstraint(fields=["day", "currency"], name="checkout_run_day_once"),
            models.CheckConstraint(condition=Q(claimed__gte=0), name="checkout_run_day_claimed"),
            fields.known_currency(name="checkout_run_day_currency"),
        ]

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d}: {self.claimed} {self.currency}"
