"""The account at Stripe, row by row: what moved in its balance, what went to the bank, and what does not add up."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from checkout import clock
from checkout.models import fields
from checkout.models.primary import PrimaryManager


class Payout(models.Model):
    """Money that went from the balance to the bank account, or below zero, from it. Every column mirrors Stripe.

    `paid` says that it is expected in the bank: it may still turn `failed` within five business days.
    """

    class Status(models.TextChoices):
        PENDING = "pending", _("not sent yet")
        IN_TRANSIT = "in_transit", _("on its way to the bank")
        PAID = "paid", _("paid")
        FAILED = "failed", _("failed: the bank sent it back")
        CANCELED = "canceled", _("cancelled")

    #: The money is in the balance again.
    CAME_BACK = frozenset({Status.FAILED, Status.CANCELED})
    ON_ITS_WAY = frozenset({Status.PENDING, Status.IN_TRANSIT})

    payout_id = models.CharField(max_length=255, unique=True, help_text=_("Stripe's id (po_…)."))
    account = models.CharField(max_length=64, blank=True)
    livemode = models.BooleanField(default=False)
    amount = fields.amount(help_text=_("Below zero: taken from the bank account."))
    currency = fields.currency()
    status = models.CharField(max_length=20, choices=Status.choices)
    automatic = models.BooleanField(default=True, help_text=_("By schedule; Stripe lists what is in these only."))
    method = models.CharField(max_length=20, default="standard")
    arrival_on = models.DateField(help_text=_("When it is expected in the bank."))
    created_at = models.DateTimeField(help_text=_("At Stripe."))
    description = models.CharField(max_length=255, blank=True)
    bank_text = models.CharField(max_length=255, blank=True, help_text=_("What the bank was asked to print."))
    trace_id = models.CharField(max_length=255, blank=True, help_text=_("The bank's own reference."))
    trace_status = models.CharField(max_length=20, blank=True)
    failure_code = models.CharField(max_length=100, blank=True)
    failure = models.TextField(blank=True, help_text=_("Why it failed, in Stripe's words."))
    reconciled = models.BooleanField(default=False, help_text=_("What is in it can be listed in full."))
    held_at = models.DateTimeField(null=True, blank=True, help_text=_("When what is in it was taken in."))
    read_at = models.DateTimeField(default=clock.now)

    objects: models.Manager[Payout] = PrimaryManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["-pk"]
        verbose_name = _("payout")
        constraints = [fields.known_currency(name="checkout_payout_currency")]
        indexes = [
            models.Index(fields=["arrival_on", "id"], name="checkout_payout_arrival"),
            models.Index(fields=["created_at"], name="checkout_payout_created"),
            models.Index(
                fields=["id"], condition=models.Q(held_at=None, automatic=True), name="checkout_payout_not_held"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.payout_id} {self.amount} {self.currency}: {self.status}"

    def get_absolute_url(self) -> str:
        return reverse("checkout.payout.detail", args=[self.pk])

    @property
    def came_back(self) -> bool:
        return self.status in self.CAME_BACK


class BalanceTransaction(models.Model):
    """One movement in the balance at Stripe, in the currency that it is settled in, and what it is here.

    The first columns mirror Stripe. `state`, `booked`, `posting` and `checkout` are what the match found; `month` is
    the month of the books that it stands in: its own, or, when that was closed before it came, the one it came in.
    """

    class State(models.TextChoices):
        NEW = "new", _("not compared yet")
        MATCHED = "matched", _("in our books")
        WAITING = "waiting", _("our own row has no answer yet")
        CANCELLED = "cancelled", _("came and went back, without a posting")
        DIFFERS = "differs", _("differs from our books")
        FOREIGN = "foreign", _("not of this site")
        STRIPE = "stripe", _("Stripe's own")
        PAYOUT = "payout", _("payout")

    transaction_id = models.CharField(max_length=255, unique=True, help_text=_("Stripe's id (txn_…)."))
    account = models.CharField(max_length=64, blank=True)
    livemode = models.BooleanField(default=False)
    type = models.CharField(max_length=60)
    category = models.CharField(max_length=60, help_text=_("Stripe's reporting category."))
    description = models.CharField(max_length=255, blank=True)
    amount = fields.amount(help_text=_("Signed, before the fee."))
    fee = fields.amount(help_text=_("What Stripe kept of it."))
    net = fields.amount()
    currency = fields.currency()
    fee_details = models.JSONField(default=list, blank=True)
    exchange_rate = models.DecimalField(max_digits=20, decimal_places=10, null=True, blank=True)
    paid_amount = fields.amount(help_text=_("The amount in the currency that the payer paid in."))
    paid_currency = models.CharField(max_length=3)
    created_at = models.DateTimeField(help_text=_("At Stripe."))
    day = models.DateField(help_text=_("Of its creation, in the site's time zone."))
    available_on = models.DateField()
    source_id = models.CharField(max_length=255, blank=True, help_text=_("Stripe's id of what it came of."))
    payment_intent_id = models.CharField(max_length=255, blank=True)
    mark = models.JSONField(default=dict, blank=True, help_text=_("What of ours the payment carries at Stripe."))
    payout = models.ForeignKey(
        Payout, on_delete=models.PROTECT, null=True, blank=True, related_name="transactions", db_index=False
    )
    state = models.CharField(max_length=20, choices=State.choices, default=State.NEW)
    booked = fields.amount(default=0, help_text=_("What was posted here for it, in the payer's currency."))
    posting = models.ForeignKey(
        "checkout.Posting", on_delete=models.PROTECT, null=True, blank=True, related_name="transactions"
    )
    checkout = models.ForeignKey(
        "checkout.Checkout", on_delete=models.PROTECT, null=True, blank=True, related_name="balance_transactions"
    )
    month = models.DateField(help_text=_("The first of the month of the books that it stands in."))
    taken_in_at = models.DateTimeField(default=clock.now, editable=False)

    objects: models.Manager[BalanceTransaction] = PrimaryManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["-pk"]
        verbose_name = _("balance transaction")
        constraints = [fields.known_currency(name="checkout_balance_currency")]
        indexes = [
            models.Index(fields=["day", "id"], name="checkout_balance_day"),
            models.Index(fields=["month", "id"], name="checkout_balance_month"),
            models.Index(fields=["payout", "id"], name="checkout_balance_payout"),
            models.Index(fields=["source_id"], name="checkout_balance_source"),
            models.Index(fields=["payment_intent_id"], name="checkout_balance_intent"),
            models.Index(
                fields=["id"], condition=models.Q(state__in=["new", "waiting"]), name="checkout_balance_to_match"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.transaction_id} {self.type} {self.amount} {self.currency}"


class BookDifference(models.Model):
    """Something that Stripe and our books do not say alike. One row for each cause, however often it is found."""

    class Kind(models.TextChoices):
        CHARGE_NOT_HERE = "charge_not_here", _("Stripe took money that is not in our books")
        DOUBLE = "double", _("Stripe took the money for this twice")
        REFUND_NOT_HERE = "refund_not_here", _("A refund at Stripe is not in our books")
        REFUND_CAME_BACK = "refund_came_back", _("A refund came back at Stripe, and not in our books")
        DISPUTE_NOT_HERE = "dispute_not_here", _("A dispute at Stripe is not in our books as it is there")
        NOT_AT_STRIPE = "not_at_stripe", _("Our books hold something that Stripe does not know")
        AMOUNT = "amount", _("Stripe and our books say different amounts")
        ADJUSTMENT = "adjustment", _("Stripe corrected the balance")
        UNKNOWN_TYPE = "unknown_type", _("A kind of movement that is not known here")
        PAYOUT_FAILED = "payout_failed", _("A payout came back from the bank, and was not paid out again yet")
        PAYOUT_SUM = "payout_sum", _("A payout is not the sum of what is in it")

    class How(models.TextChoices):
        OPEN = "", _("open")
        GONE = "gone", _("gone by itself")
        ADOPTED = "adopted", _("taken into our books")
        GIVEN_BACK = "given_back", _("given back")
        EXPLAINED = "explained", _("explained")

    #: Stripe knows more than we do: its truth can be read and brought in.
    ADOPTABLE = frozenset({Kind.CHARGE_NOT_HERE, Kind.REFUND_NOT_HERE, Kind.REFUND_CAME_BACK, Kind.DISPUTE_NOT_HERE})
    #: Money of a payer that nobody here is owed.
    CAN_GO_BACK = frozenset({Kind.CHARGE_NOT_HERE, Kind.DOUBLE})

    kind = models.CharField(max_length=30, choices=Kind.choices)
    cause = models.CharField(max_length=200, unique=True)
    account = models.CharField(max_length=64, blank=True)
    livemode = models.BooleanField(default=False)
    amount = fields.amount(help_text=_("What Stripe has more than our books; below zero, less."))
    currency = fields.currency()
    day = models.DateField()
    subject = models.CharField(max_length=255, blank=True, help_text=_("Stripe's id of what it is about."))
    transaction = models.ForeignKey(
        BalanceTransaction, on_delete=models.PROTECT, null=True, blank=True, related_name="differences"
    )
    payout = models.ForeignKey(Payout, on_delete=models.PROTECT, null=True, blank=True, related_name="differences")
    posting = models.ForeignKey(
        "checkout.Posting", on_delete=models.PROTECT, null=True, blank=True, related_name="differences"
    )
    checkout = models.ForeignKey(
        "checkout.Checkout", on_delete=models.PROTECT, null=True, blank=True, related_name="book_differences"
    )
    how = models.CharField(max_length=20, choices=How.choices, default=How.OPEN, blank=True)
    opened_at = models.DateTimeField(default=clock.now, editable=False)
    closed_at = models.DateTimeField(null=True, blank=True)

    objects: models.Manager[BookDifference] = PrimaryManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["-pk"]
        verbose_name = _("difference")
        constraints = [
            fields.known_currency(name="checkout_difference_currency"),
            models.CheckConstraint(
                condition=models.Q(how="", closed_at=None) | (~models.Q(how="") & models.Q(closed_at__isnull=False)),
                name="checkout_difference_closed_somehow",
            ),
        ]
        indexes = [
            models.Index(fields=["-id"], condition=models.Q(closed_at=None), name="checkout_difference_open"),
            models.Index(fields=["day", "id"], name="checkout_difference_day"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.subject} {self.amount} {self.currency}"

    def get_absolute_url(self) -> str:
        return reverse("checkout.difference.detail", args=[self.pk])

    @property
    def is_open(self) -> bool:
        return self.closed_at is None


class BookNote(models.Model):
    """One step in the history of a difference: found, closed, found again; by whom and why. Never changed."""

    difference = models.ForeignKey(BookDifference, on_delete=models.CASCADE, related_name="notes")
    how = models.CharField(max_length=20, choices=BookDifference.How.choices, blank=True)
    amount = fields.amount()
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    note = models.CharField(max_length=255, blank=True)
    at = models.DateTimeField(default=clock.now, editable=False)

    objects: models.Manager[BookNote] = PrimaryManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["pk"]
        verbose_name = _("step of a difference")

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.get_how_display()} {self.note}"


class BookMonth(models.Model):
    """A month that was closed: the day book as it was then. What comes later stands in the month it came."""

    month = models.DateField(help_text=_("Its first day."))
    account = models.CharField(max_length=64, blank=True)
    livemode = models.BooleanField(default=False)
    lines = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64, help_text=_("Of the day book as it is downloaded."))
    day_book = models.BinaryField(help_text=_("Compressed by gzip."))
    closed_at = models.DateTimeField(default=clock.now)
    closed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    note = models.CharField(max_length=255, blank=True)

    objects: models.Manager[BookMonth] = PrimaryManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["-month"]
        verbose_name = _("closed month")
        permissions = [("close_month", "Can close a month of the books")]
        constraints = [models.UniqueConstraint(fields=["account", "livemode", "month"], name="checkout_month_once")]

    def __str__(self) -> str:
        return f"{self.month:%Y-%m}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.month = self.month.replace(day=1)
        super().save(*args, **kwargs)
