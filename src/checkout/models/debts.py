"""What is owed, and every movement on it: paid is the sum of the movements, never inferred from a state."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4, uuid5

from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from checkout import clock
from checkout.models import fields
from checkout.models.primary import PrimaryManager, ReadsPrimary


class Debt(models.Model):
    """Something that may be owed once: a line of a plan, a row paid for at once, a request for money.

    The counters are changed only together with the postings or claims behind them; `checkout_doctor` compares them with
    the sums. `asked` is what attempts that are open have reserved: whoever cannot reserve does not ask.
    """

    uuid = models.UUIDField(default=uuid4, unique=True, editable=False)
    content_type = models.ForeignKey(ContentType, on_delete=models.PROTECT, related_name="+", db_index=False)
    object_id = models.CharField(max_length=64)
    content_object = fields.ContentObjectField("content_type", "object_id")
    currency = fields.currency()
    owed = fields.amount(default=0)
    paid = fields.amount(default=0, help_text=_("Net of what was given back and of what banks took back."))
    earlier = fields.amount(
        default=0, help_text=_("What had come when it was last to be paid anew (a membership, renewed).")
    )
    asked = fields.amount(default=0, help_text=_("Reserved by attempts that are open."))
    attempts = models.PositiveIntegerField(default=0, help_text=_("How many attempts took a number."))
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects: models.Manager[Debt] = PrimaryManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["pk"]
        verbose_name = _("debt")
        constraints = [
            models.UniqueConstraint(fields=["content_type", "object_id"], name="checkout_debt_one_per_object"),
            models.CheckConstraint(condition=models.Q(owed__gte=0), name="checkout_debt_owed"),
            models.CheckConstraint(condition=models.Q(asked__gte=0), name="checkout_debt_asked"),
            fields.known_currency(name="checkout_debt_currency"),
        ]
        indexes = [
            # Which currencies there are: the first and the last of them.
            models.Index(fields=["currency"], name="checkout_debt_by_currency"),
            # The few of which a part has come.
            models.Index(
                fields=["id"],
                condition=models.Q(paid__gt=0, paid__lt=models.F("owed")),
                name="checkout_debt_part_paid",
            ),
            # What is still owed: whether one debt is, without a look at the table.
            models.Index(fields=["id"], condition=models.Q(paid__lt=models.F("owed")), name="checkout_debt_unpaid"),
        ]

    def __str__(self) -> str:
        return f"{self.left} of {self.owed} {self.currency} left"

    @property
    def left(self) -> Decimal:
        """What is still owed; negative when too much came."""
        return self.owed - self.paid

    def attempt_uuid(self, number: int) -> UUID:
        """The uuid of the attempt with that number: after a restored backup the same attempt is the same request, so
        Stripe replays its answer instead of charging again."""
        return uuid5(self.uuid, str(number))


class PostingQuerySet(models.QuerySet["Posting"]):
    """Appends only: what moved has moved, and what was wrong is undone by another posting."""

    def update(self, **kwargs: Any) -> int:
        raise ValidationError("A posting is never changed. Post its opposite.")

    def delete(self) -> tuple[int, dict[str, int]]:
        raise ValidationError("A posting is never deleted. Post its opposite.")


class PostingManager(ReadsPrimary, models.Manager.from_queryset(PostingQuerySet)):  # type: ignore[misc]
    """Reads, and appends, of the primary database."""


class Posting(models.Model):
    """One movement on a debt, with the sign that its counter moves by."""

    class Kind(models.TextChoices):
        OWED = "owed", _("owed")
        TAKEN = "taken", _("taken")
        OTHER_MEANS = "other_means", _("paid by other means")
        GIVEN_BACK = "given_back", _("given back")
        GIVE_BACK_FAILED = "give_back_failed", _("giving back failed")
        DISPUTED = "disputed", _("taken back by the bank")
        DISPUTE_WON = "dispute_won", _("dispute won")
        UNDONE = "undone", _("undone")
        DISCOUNT = "discount", _("discount")
        FEE = "fee", _("fee")
        WRITTEN_OFF = "written_off", _("written off")
        MOVED = "moved", _("moved to another debt")

    class Method(models.TextChoices):
        """How what came by other means came."""

        BANK_TRANSFER = "bank_transfer", _("bank transfer")
        CASH = "cash", _("cash")
        CHEQUE = "cheque", _("cheque")
        TERMINAL = "terminal", _("card terminal")
        OTHER = "other", _("something else")

    #: The kinds that change what is owed; the others change what is paid.
    OWES = frozenset({Kind.OWED, Kind.DISCOUNT, Kind.FEE, Kind.WRITTEN_OFF, Kind.MOVED})
    #: Of the others: what came, and what of it went back. Their sum is what is paid.
    CAME = frozenset({Kind.TAKEN, Kind.OTHER_MEANS, Kind.UNDONE})
    WENT_BACK = frozenset({Kind.GIVEN_BACK, Kind.GIVE_BACK_FAILED, Kind.DISPUTED, Kind.DISPUTE_WON})

    debt = models.ForeignKey(Debt, on_delete=models.PROTECT, related_name="postings")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    amount = fields.amount(help_text=_("Signed."))
    day = models.DateField(help_text=_("When the money moved."))
    cause = models.CharField(max_length=120, unique=True, help_text=_("So that the same news is booked once."))
    checkout = models.ForeignKey(
        "checkout.Checkout", on_delete=models.PROTECT, null=True, blank=True, related_name="postings"
    )
    refund = models.ForeignKey(
        "checkout.Refund", on_delete=models.PROTECT, null=True, blank=True, related_name="postings"
    )
    dispute = models.ForeignKey(
        "checkout.Dispute", on_delete=models.PROTECT, null=True, blank=True, related_name="postings"
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    method = models.CharField(
        max_length=20, choices=Method.choices, blank=True, help_text=_("How it came, where it came by other means.")
    )
    reference = models.CharField(
        max_length=100, blank=True, help_text=_("What stands on the bank's statement, or on the cheque.")
    )
    note = models.CharField(max_length=255, blank=True)
    at = models.DateTimeField(default=clock.now, editable=False)

    objects = PostingManager()
    #: For Django itself, which may forget a user.
    rows = PrimaryManager()

    class Meta:
        base_manager_name = "rows"
        ordering = ["pk"]
        verbose_name = _("posting")
        constraints = [models.CheckConstraint(condition=~models.Q(amount=0), name="checkout_posting_amount")]
        indexes = [
            # A month's takings, without a look at the table.
            models.Index(fields=["day", "kind"], include=["amount"], name="checkout_posting_by_day"),
            # What is new since the books were last compared.
            models.Index(fields=["at", "id"], name="checkout_posting_at"),
        ]

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d} {self.kind} {self.amount}"


class Allocation(models.Model):
    """How much of one attempt is for which debt, where it pays for several at once, or for a part of one."""

    checkout = models.ForeignKey("checkout.Checkout", on_delete=models.CASCADE, related_name="allocations")
    debt = models.ForeignKey(Debt, on_delete=models.PROTECT, related_name="allocations")
    amount = fields.amount()

    objects: models.Manager[Allocation] = PrimaryManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["pk"]
        verbose_name = _("allocation")
        constraints = [
            models.UniqueConstraint(fields=["checkout", "debt"], name="checkout_allocation_once"),
            fields.positive("amount", name="checkout_allocation_amount"),
        ]

    def __str__(self) -> str:
        return f"{self.amount} for debt {self.debt_id}"
