"""What needs a person, and until when Stripe's truth has been compared with ours."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from checkout import clock
from checkout.models import fields
from checkout.models.primary import PrimaryManager


class Problem(models.Model):
    """Something that no code of ours may decide. One row while it is open, however often it is found."""

    class Kind(models.TextChoices):
        UNKNOWN_PAYMENT = "unknown_payment", _("Stripe took money for something that is not known here")
        PAID_TOO_MUCH = "paid_too_much", _("More was paid than was owed")
        NO_ROW = "no_row", _("Paid, and what it was for is gone")
        LETTER = "letter", _("A mail could not be written")
        NOT_PAYABLE = "not_payable", _("Paid, although it was paid already or is not to be paid any more")
        PRICE_CHANGED = "price_changed", _("Paid, and it costs something else now")
        NOT_WANTED = "not_wanted", _("Paid, and refused by the site")
        HOOK_FAILED = "hook_failed", _("Paid, and the site could not take it in")
        REFUND_HOOK_FAILED = "refund_hook_failed", _("Given back, and the site could not take it in")
        CARD_TESTING = "card_testing", _("Somebody may be trying out stolen cards")
        NOT_PAID = "not_paid", _("Not paid, and nothing more is tried by itself")
        RUN_WAITS = "run_waits", _("Payments that are due wait for a release")
        NOT_WRITTEN_DOWN = "not_written_down", _("Paid at Stripe, and it cannot be written down here")

    #: The row that was paid for was not told of it: staff give the money back, or tell it after all.
    UNAPPLIED = frozenset({Kind.NO_ROW, Kind.NOT_PAYABLE, Kind.PRICE_CHANGED, Kind.NOT_WANTED, Kind.HOOK_FAILED})

    kind = models.CharField(max_length=30, choices=Kind.choices)
    subject = models.CharField(max_length=120, help_text=_("What it is about: a debt's uuid, or Stripe's id."))
    detail = models.TextField(blank=True, help_text=_("What the site, the database or Stripe said."))
    amount = fields.amount(null=True, blank=True)
    currency = fields.currency()
    checkout = models.ForeignKey(
        "checkout.Checkout", on_delete=models.PROTECT, null=True, blank=True, related_name="problems"
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    note = models.CharField(max_length=255, blank=True)
    opened_at = models.DateTimeField(default=clock.now)
    closed_at = models.DateTimeField(null=True, blank=True)

    objects: models.Manager[Problem] = PrimaryManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["-pk"]
        verbose_name = _("problem")
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject"], condition=models.Q(closed_at=None), name="checkout_problem_one_open"
            ),
            fields.known_currency(name="checkout_problem_currency"),
        ]
        indexes = [models.Index(fields=["-id"], condition=models.Q(closed_at=None), name="checkout_problem_open")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.subject}"

    def get_absolute_url(self) -> str:
        return reverse("checkout.problem.detail", args=[self.pk])

    @property
    def is_open(self) -> bool:
        return self.closed_at is None


class LookBack(models.Model):
    """Until when one of Stripe's lists has been compared with our rows, for one account and mode.

    A database that was restored from a backup has an older `until`, so the lost hours are looked at by themselves.
    """

    class What(models.TextChoices):
        PAYMENTS = "payments", _("payments")
        MONEY_BACK = "money_back", _("refunds, disputes and warnings")
        MONEY_BACK_AGAIN = "money_back_again", _("refunds and disputes that were known, once more")
        BALANCE = "balance", _("balance transactions and payouts")
        BOOKS = "books", _("postings, compared with the balance")

    what = models.CharField(max_length=20, choices=What.choices, default=What.PAYMENTS)
    account = models.CharField(max_length=64, blank=True)
    livemode = models.BooleanField(default=False)
    until = models.DateTimeField()

    objects: models.Manager[LookBack] = PrimaryManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["pk"]
        verbose_name = _("look back")
        constraints = [models.UniqueConstraint(fields=["what", "account", "livemode"], name="checkout_look_back_one")]

    def __str__(self) -> str:
        return f"{self.what} of {self.account or 'account'}: {self.until:%Y-%m-%d %H:%M}"
