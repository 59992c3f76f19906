"""What becomes of a declined instalment: the policy that says when its card is asked again, and the steps planned."""

from __future__ import annotations

import datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from checkout import clock, retries
from checkout.models import fields
from checkout.models.primary import PrimaryManager


def _check_days(days: Any) -> None:
    whole = isinstance(days, list) and all(isinstance(day, int) and 1 <= day <= 60 for day in days)
    if not whole or list(days) != sorted(set(days)) or len(days) > retries.MOST_IN_30_DAYS:
        raise ValidationError(
            _("A list of days, the earliest first, each from 1 to 60, and %(most)d of them at most: [3, 7]."),
            params={"most": retries.MOST_IN_30_DAYS},
        )


def _check_weekdays(days: Any) -> None:
    numbers = isinstance(days, list) and all(type(day) is int and 1 <= day <= 7 for day in days)
    if not numbers or not days or list(days) != sorted(set(days)):
        raise ValidationError(_("A list of weekdays, one at least; Monday is 1: [1, 2, 3, 4, 5]."))


def _monday_to_friday() -> list[int]:
    return list(retries.MONDAY_TO_FRIDAY)


class RecoveryPolicy(models.Model):
    """When a declined card is asked again, and what becomes of what nobody pays. A template may have one of its own;
    the site's is in its settings."""

    class PayDay(models.TextChoices):
        FIRST = "first", _("the first working day of a month")
        LAST = "last", _("the last working day of a month")

    class End(models.TextChoices):
        KEEP = "keep", _("stays open")
        STOP = "stop", _("its plan is stopped")
        STAFF = "staff", _("staff are asked to look at it")

    name = models.CharField(max_length=100, unique=True)
    days = models.JSONField(
        _("days after the decline"), default=list, blank=True, validators=[_check_days], help_text=_("Such as [3, 7].")
    )
    pay_day = models.BooleanField(
        default=True,
        help_text=_("Once more on the day on which the payer is paid, where that is known, else as follows."),
    )
    pay_day_is = models.CharField(_("pay day is"), max_length=10, choices=PayDay.choices, default=PayDay.FIRST)
    weekdays = models.JSONField(
        _("weekdays"), default=_monday_to_friday, validators=[_check_weekdays], help_text=_("Monday is 1.")
    )
    hour = models.PositiveSmallIntegerField(
        _("not before this hour"),
        default=0,
        validators=[MaxValueValidator(23)],
        help_text=_("Of the day of a try. The first run after it takes it."),
    )
    end = models.CharField(_("what becomes of what nobody pays"), max_length=10, choices=End.choices, default=End.KEEP)
    end_after = models.PositiveSmallIntegerField(
        _("so many days after it was due"), default=60, validators=[MinValueValidator(1)]
    )

    objects: models.Manager[RecoveryPolicy] = PrimaryManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["name"]
        verbose_name = _("recovery policy")
        verbose_name_plural = _("recovery policies")

    def __str__(self) -> str:
        return self.name

    @property
    def rules(self) -> retries.Policy:
        return retries.Policy(
            tuple(self.days), self.pay_day, self.pay_day_is == self.PayDay.LAST, tuple(self.weekdays), self.hour
        )


class RecoveryStep(models.Model):
    """One more try, planned in the commit that settled a decline. It is over as soon as its line moves."""

    class Ended(models.TextChoices):
        TRIED = "tried", _("tried")
        NEW_CARD = "new_card", _("tried with a new card")
        MOVED = "moved", _("moved to another day")
        OVERTAKEN = "overtaken", _("paid, charged or stopped before")

    instalment = models.ForeignKey(
        "checkout.ObjectPaymentPlanInstalment", on_delete=models.CASCADE, related_name="recovery_steps"
    )
    checkout = models.OneToOneField(
        "checkout.Checkout", on_delete=models.CASCADE, related_name="recovery_step", help_text=_("What was declined.")
    )
    day = models.DateField(help_text=_("When the card is asked again."))
    hour = models.PositiveSmallIntegerField(default=0, help_text=_("Not before this hour of it."))
    number = models.PositiveSmallIntegerField(help_text=_("Which try it will be, the first one included."))
    most = models.PositiveSmallIntegerField(help_text=_("How many the policy allows at most."))
    policy = models.CharField(max_length=100, help_text=_("The policy's name, as it was."))
    made_at = models.DateTimeField(default=clock.now, editable=False)
    ended = models.CharField(max_length=20, choices=Ended.choices, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects: models.Manager[RecoveryStep] = PrimaryManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["day", "pk"]
        verbose_name = _("recovery step")
        constraints = [
            models.UniqueConstraint(
                fields=["instalment"], condition=Q(ended=""), name="checkout_one_open_recovery_step"
            )
        ]
        indexes = [models.Index(fields=["day", "id"], condition=Q(ended=""), name="checkout_recovery_step_due")]

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d}, try {self.number} of {self.most}"

    @property
    def tried_on(self) -> datetime.date:
        """The day that it comes to: not before the one that its payer promised to pay on."""
        promised = FollowUp.objects.filter(instalment=self.instalment_id).values_list("promised_for", flat=True).first()
        return max(self.day, promised) if promised is not None else self.day


class FollowUp(models.Model):
    """What the office knows of one overdue line: what its payer promised, and until when nobody needs to look."""

    instalment = models.OneToOneField(
        "checkout.ObjectPaymentPlanInstalment", on_delete=models.CASCADE, related_name="follow_up"
    )
    promised_for = models.DateField(
        null=True,
        blank=True,
        help_text=_("When its payer said that they pay. Before that day neither the card nor the payer is asked."),
    )
    snoozed_until = models.DateField(null=True, blank=True, help_text=_("Not to do before that day."))
    done_at = models.DateTimeField(null=True, blank=True, help_text=_("Nothing to do until its card is declined anew."))
    note = models.CharField(max_length=255, blank=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    changed_at = models.DateTimeField(default=clock.now, editable=False)

    objects: models.Manager[FollowUp] = PrimaryManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["pk"]
        verbose_name = _("follow-up of an overdue payment")
        verbose_name_plural = _("follow-ups of overdue payments")

    def __str__(self) -> str:
        return f"{self.instalment_id}: {self.promised_for or self.snoozed_until or self.done_at or ''}"


class Forecast(models.Model):
    """What a month is expected to bring, and how much of it may not come, as it stood last night. Made anew nightly."""

    currency = fields.currency()
    month = models.DateField(help_text=_("Its first day."))
    expected = fields.amount()
    shaky = fields.amount(help_text=_("Without a card that is good on its day, disputed, or less than Stripe takes."))
    read_at = models.DateTimeField(default=clock.now, editable=False)

    objects: models.Manager[Forecast] = PrimaryManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["currency", "month"]
        verbose_name = _("forecast")
        constraints = [
            models.UniqueConstraint(fields=["currency", "month"], name="checkout_forecast_one"),
            fields.known_currency(name="checkout_forecast_currency"),
        ]

    def __str__(self) -> str:
        return f"{self.month:%Y-%m}: {self.expected} {self.currency}"
