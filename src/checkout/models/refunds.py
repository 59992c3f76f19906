"""Money that goes back: refunds, and what banks say about a payment afterwards."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from checkout import clock, journal, states
from checkout.models import fields
from checkout.models.primary import PrimaryManager


class Refund(models.Model):
    """Money given back for one payment, in full or in part. Written before Stripe is asked.

    `uuid` is the idempotency key of the one request that this row stands for. What is reserved for refunds of a payment
    is `Checkout.refunded`, which a constraint keeps at or below its total.
    """

    PENDING, SUCCEEDED, FAILED = "pending", "succeeded", "failed"

    class State(models.TextChoices):
        PENDING = "pending", _("on its way")
        SUCCEEDED = "succeeded", _("refunded")
        FAILED = "failed", _("failed")

    class Reason(models.TextChoices):
        """Stripe's own list (https://docs.stripe.com/api/refunds/create#create_refund-reason)."""

        REQUESTED = "requested_by_customer", _("the payer asked for it")
        DUPLICATE = "duplicate", _("paid twice")
        FRAUDULENT = "fraudulent", _("the card's owner did not pay this")

    class PlanEffect(models.TextChoices):
        KEEP = "keep", _("Keep the plan as it is")
        STOP = "stop", _("Stop the plan: nothing more is taken")
        GIVE_BACK = "give_back", _("Give the line back: the amount is owed again, as a new last line")

    #: A refund may fail days after it succeeded (https://docs.stripe.com/refunds#failed-refunds); nothing else moves.
    MOVES: states.Diagram = {
        PENDING: frozenset({SUCCEEDED, FAILED}),
        SUCCEEDED: frozenset({FAILED}),
        FAILED: frozenset(),
    }

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    checkout = models.ForeignKey("checkout.Checkout", on_delete=models.PROTECT, related_name="refunds")
    amount = fields.amount()
    currency = fields.currency()
    reason = models.CharField(max_length=30, choices=Reason.choices, blank=True)
    note = models.CharField(max_length=255, blank=True, help_text=_("Why, in the words of whoever asked for it."))
    state = models.CharField(max_length=20, choices=State.choices, default=State.PENDING)
    refund_id = models.CharField(max_length=255, blank=True, help_text=_("Stripe's id (re_…)."))
    failure = models.TextField(blank=True, help_text=_("Why it failed, in a sentence."))
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text=_("Empty when it was made in Stripe's dashboard."),
    )
    from_dashboard = models.BooleanField(default=False, help_text=_("Made at Stripe, not here."))
    plan_effect = models.CharField(max_length=20, choices=PlanEffect.choices, default=PlanEffect.KEEP)
    plan_effect_done = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    lease_until = models.DateTimeField(null=True, blank=True)
    settled_at = models.DateTimeField(null=True, blank=True)

    objects: models.Manager[Refund] = PrimaryManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["-pk"]
        verbose_name = _("refund")
        constraints = [
            fields.unique_unless_blank("refund_id", name="checkout_refund_id_unique"),
            fields.positive("amount", name="checkout_refund_amount"),
            # A line of a plan is owed again once.
            models.UniqueConstraint(
                fields=["checkout"],
                condition=Q(plan_effect="give_back", state__in=["pending", "succeeded"]),
                name="checkout_refund_gives_back_once",
            ),
            fields.known_currency(name="checkout_refund_currency"),
        ]
        indexes = [
            models.Index(fields=["state", "-id"], name="checkout_refund_by_state"),
            models.Index(fields=["state", "settled_at"], name="checkout_refund_settled"),
            models.Index(fields=["amount", "-id"], name="checkout_refund_amount"),
            models.Index(
                fields=["lease_until"],
                condition=Q(state="pending") | Q(plan_effect_done=False),
                name="checkout_refund_unfinished",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} {self.currency} of checkout {self.checkout_id}: {self.state}"

    @property
    def pending(self) -> bool:
        return self.state == self.PENDING

    @property
    def succeeded(self) -> bool:
        return self.state == self.SUCCEEDED

    @property
    def failed(self) -> bool:
        return self.state == self.FAILED


class Dispute(models.Model):
    """What a payer's bank says about a payment: a dispute, an inquiry (no money moved yet), or a warning of fraud.

    Every column mirrors Stripe; only `checkout` is ours.
    """

    class Kind(models.TextChoices):
        DISPUTE = "dispute", _("Dispute")
        INQUIRY = "inquiry", _("Inquiry")
        FRAUD_WARNING = "fraud_warning", _("Early fraud warning")

    #: Everything else is open (https://docs.stripe.com/api/disputes/object#dispute_object-status).
    CLOSED = frozenset({"won", "lost", "warning_closed", "prevented", "not_actionable"})

    kind = models.CharField(max_length=20, choices=Kind.choices)
    dispute_id = models.CharField(max_length=255, unique=True, help_text=_("Stripe's id (du_…, dp_… or issfr_…)."))
    status = models.CharField(max_length=40)
    is_open = models.BooleanField(default=True)
    reason = models.CharField(max_length=100, blank=True)
    amount = fields.amount(null=True, blank=True)
    currency = fields.currency()
    due_by = models.DateTimeField(null=True, blank=True, help_text=_("Until then evidence can be sent."))
    evidence_sent = models.BooleanField(default=False)
    charge_id = models.CharField(max_length=255, blank=True)
    payment_intent_id = models.CharField(max_length=255, blank=True)
    checkout = models.ForeignKey(
        "checkout.Checkout", on_delete=models.PROTECT, null=True, blank=True, related_name="disputes"
    )
    opened_at = models.DateTimeField(help_text=_("At Stripe."))
    read_at = models.DateTimeField(default=clock.now, help_text=_("When Stripe was last asked."))

    objects: models.Manager[Dispute] = PrimaryManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["-pk"]
        verbose_name = _("dispute")
        indexes = [
            models.Index(fields=["is_open", "-id"], name="checkout_dispute_open"),
            models.Index(fields=["charge_id"], name="checkout_dispute_charge"),
            models.Index(fields=["payment_intent_id"], name="checkout_dispute_intent"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.dispute_id}: {self.status}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.is_open = self.status not in self.CLOSED
        super().save(*args, **kwargs)

    @property
    def status_text(self) -> str:
        return journal.code_in_words(self.status)

    @property
    def reason_text(self) -> str:
        return journal.code_in_words(self.reason)

    @property
    def stops_charging(self) -> bool:
        """A lost dispute goes on stopping the plan: its owner said that the card was not to be charged."""
        return self.kind != self.Kind.FRAUD_WARNING and (self.is_open or self.status == "lost")
