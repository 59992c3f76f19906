"""What waits for a second person of the staff (CHECKOUT_SECOND_PERSON_ABOVE)."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from checkout import clock
from checkout.models import fields
from checkout.models.checkouts import Checkout
from checkout.models.customers import CustomerPayment
from checkout.models.debts import Posting
from checkout.models.instalments import ObjectPaymentPlanInstalment
from checkout.models.primary import PrimaryManager
from checkout.models.refunds import Refund


class Proposal(models.Model):
    """A refund, "paid by other means", or that this is undone, which one member of the staff asks for and another one
    decides.

    A refund that is approved has this row's uuid, so that it is made once, whoever presses.
    """

    class Kind(models.TextChoices):
        REFUND = "refund", _("Refund")
        PAID = "paid", _("Mark as paid")
        UNDO = "undo", _("Undo a payment by other means")

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting for a second person")
        APPROVED = "approved", _("approved")
        TURNED_DOWN = "turned_down", _("turned down")
        WITHDRAWN = "withdrawn", _("withdrawn")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    checkout = models.ForeignKey(
        "checkout.Checkout",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="proposals",
        help_text=_("The payment to refund or undo, or the invoice that was paid."),
    )
    instalment = models.ForeignKey(
        "checkout.ObjectPaymentPlanInstalment",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="proposals",
    )
    customer_payment = models.ForeignKey(
        "checkout.CustomerPayment", on_delete=models.PROTECT, null=True, blank=True, related_name="proposals"
    )
    posting = models.ForeignKey(
        "checkout.Posting",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text=_("What is undone."),
    )
    amount = fields.amount()
    currency = fields.currency()
    whole = models.BooleanField(default=False, help_text=_("All that was left when it was proposed."))
    reason = models.CharField(max_length=30, choices=Refund.Reason.choices, blank=True)
    plan_effect = models.CharField(max_length=20, choices=Refund.PlanEffect.choices, default=Refund.PlanEffect.KEEP)
    day = models.DateField(null=True, blank=True, help_text=_("When the money came; or is due again."))
    method = models.CharField(max_length=20, choices=Posting.Method.choices, blank=True)
    reference = models.CharField(max_length=100, blank=True)
    note = models.CharField(max_length=255, help_text=_("Why, in the words of whoever proposed it."))
    proposed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    proposed_at = models.DateTimeField(default=clock.now)
    state = models.CharField(max_length=20, choices=State.choices, default=State.WAITING)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    decision = models.CharField(max_length=255, blank=True, help_text=_("Why, in the words of whoever decided."))

    objects: models.Manager[Proposal] = PrimaryManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["-pk"]
        verbose_name = _("proposal")
        permissions = [("approve", _("Can approve what a colleague proposes"))]
        constraints = [
            *(
                models.UniqueConstraint(
                    fields=[name], condition=Q(state="waiting"), name=f"checkout_proposal_one_waiting_{number}"
                )
                for number, name in enumerate(["checkout", "instalment", "customer_payment"])
            ),
            models.CheckConstraint(
                condition=(
                    Q(checkout__isnull=False, instalment=None, customer_payment=None)
                    | Q(checkout=None, instalment__isnull=False, customer_payment=None)
                    | Q(checkout=None, instalment=None, customer_payment__isnull=False)
                ),
                name="checkout_proposal_about_one",
            ),
            models.CheckConstraint(
                condition=Q(kind="undo", posting__isnull=False) | (~Q(kind="undo") & Q(posting=None)),
                name="checkout_proposal_undoes",
            ),
            # The promise of four eyes, whoever writes the row.
            models.CheckConstraint(
                condition=~Q(state="approved", decided_by=F("proposed_by")), name="checkout_proposal_two_people"
            ),
            fields.positive("amount", name="checkout_proposal_amount"),
            fields.known_currency(name="checkout_proposal_currency"),
        ]
        indexes = [models.Index(fields=["-id"], condition=Q(state="waiting"), name="checkout_proposal_waiting")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}, {self.amount} {self.currency}: {self.state}"

    def get_absolute_url(self) -> str:
        return reverse("checkout.proposal.detail", args=[self.pk])

    @property
    def subject(self) -> Checkout | ObjectPaymentPlanInstalment | CustomerPayment:
        """The payment that is refunded, or what was paid by other means (for an invoice: its attempt)."""
        found = self.checkout or self.instalment or self.customer_payment
        assert found is not None  # noqa: S101 - a constraint
        return found

    @property
    def waits(self) -> bool:
        return self.state == self.State.WAITING
