"""A line of a payment plan: the deposit, or an instalment."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.contrib.contenttypes.fields import GenericRelation
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils.formats import number_format
from django.utils.translation import gettext_lazy as _

from checkout import actions, plan_changes, states
from checkout.models import fields
from checkout.models.managers import (
    ObjectPaymentPlanInstalmentManager,
)
from checkout.models.plans import ObjectPaymentPlan

if TYPE_CHECKING:
    from checkout.models.checkouts import Checkout


class ObjectPaymentPlanInstalment(models.Model):
    """One line of a plan; `count` 1 is the deposit. It is itself a content object."""

    MAIL_TEMPLATE_ASKED = "payment_asked"
    MAIL_TEMPLATE_ON_SESSION_PAYMENT_ANON = "object_payment_plan_instalment_on_session_payment_anon"
    MAIL_TEMPLATE_ON_SESSION_PAYMENT_AUTH = "object_payment_plan_instalment_on_session_payment_auth"

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    object_payment_plan = models.ForeignKey(
        ObjectPaymentPlan, on_delete=models.PROTECT, related_name="instalments", db_index=False
    )
    count = models.PositiveSmallIntegerField()
    deposit = models.BooleanField(default=False)
    amount = fields.amount()
    due = models.DateField()
    state = fields.state()
    replaces = models.OneToOneField(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="replaced_by",
        help_text=_("The line that was paid, refunded, and is owed again by this one. Adds nothing to the total."),
    )
    debt = models.OneToOneField(
        "checkout.Debt", on_delete=models.PROTECT, null=True, blank=True, related_name="instalment"
    )
    ended = models.CharField(
        max_length=20,
        choices=plan_changes.Ended.choices,
        blank=True,
        help_text=_("Why nothing more is collected of it although it was not paid in full."),
    )
    checkouts = GenericRelation("checkout.Checkout", related_query_name="instalment")

    objects = ObjectPaymentPlanInstalmentManager()

    class Meta:
        base_manager_name = "objects"
        # By the column itself: by the plan, its table would be joined to it for each line that is read.
        ordering = ["-object_payment_plan_id", "count"]
        verbose_name = _("instalment")
        constraints = [
            models.UniqueConstraint(fields=["object_payment_plan", "count"], name="checkout_instalment_count"),
            models.UniqueConstraint(
                fields=["object_payment_plan", "due"], condition=Q(ended=""), name="checkout_instalment_due"
            ),
            # To the collecting machine it is over; what was paid of it say the postings.
            models.CheckConstraint(condition=Q(ended="") | Q(state=states.SUCCESS), name="checkout_instalment_ended"),
            fields.positive("amount", name="checkout_instalment_amount"),
            models.CheckConstraint(
                condition=Q(deposit=True, count=1) | Q(deposit=False, count__gt=1),
                name="checkout_instalment_first_is_deposit",
            ),
        ]
        indexes = [
            # What a run asks for: due, untouched, no deposit. Small however many lines were ever paid.
            models.Index(
                fields=["due", "id"],
                condition=Q(state=states.PENDING, deposit=False),
                name="checkout_instalment_is_due",
            ),
            models.Index(fields=["state", "due", "id"], include=["amount"], name="checkout_instalment_by_state"),
            models.Index(fields=["due", "id"], include=["amount"], name="checkout_instalment_by_due"),
            models.Index(fields=["amount", "-id"], name="checkout_instalment_amount"),
            models.Index(
                fields=["object_payment_plan", "due"],
                condition=~Q(state=states.SUCCESS),
                name="checkout_instalment_unpaid",
            ),
            # What is late, the oldest first, and which plans wait for their payer.
            models.Index(fields=["due", "id"], condition=~Q(state=states.SUCCESS), name="checkout_instalment_late"),
            models.Index(
                fields=["object_payment_plan"],
                condition=Q(state=states.PAY_ON_SESSION),
                name="checkout_instalment_waits",
            ),
        ]

    def __str__(self) -> str:
        name = _("Deposit") if self.deposit else _("Instalment %(number)d") % {"number": self.count - 1}
        return _("%(name)s, %(amount)s due %(due)s") % {
            "name": name,
            "amount": number_format(self.amount, 2),
            "due": self.due,
        }

    def get_absolute_url(self) -> str:
        return reverse("checkout.object.payment.plan.instalment", args=[self.pk])

    @property
    def name(self) -> str:
        """What its payer calls it."""
        if self.replaces_id:
            return str(_("To pay again"))
        return str(_("Deposit")) if self.deposit else str(_("Instalment %(number)d") % {"number": self.count - 1})

    @property
    def net_paid(self) -> Decimal:
        """What came for this line, less what was given back or taken back: the sum of its postings."""
        if self.debt is not None:
            return self.debt.paid
        # Moved over from an older system, and not asked for since.
        return self.amount if self.state_id == states.SUCCESS else Decimal(0)

    @property
    def left(self) -> Decimal:
        """What is still owed of this line: parts may have come by other means."""
        owed = self.debt.owed if self.debt is not None else self.amount
        return max(owed - self.net_paid, Decimal(0))

    @property
    def is_gone(self) -> bool:
        """True when it was taken off the plan and nothing of it had been paid: there is nothing to show of it."""
        return self.ended == plan_changes.Ended.TAKEN_OFF and not self.net_paid

    @property
    def written_off(self) -> Decimal:
        """What was written off of it."""
        return self.amount - self.net_paid if self.ended == plan_changes.Ended.WRITTEN_OFF else Decimal(0)

    # -- the content-object contract ---------------------------------------------------------------

    @property
    def checkout_actions(self) -> list[str]:
        return [actions.PAYMENT]

    @property
    def checkout_can_charge(self) -> bool:
        return self.state_id != states.SUCCESS and not self.object_payment_plan.deleted

    @property
    def checkout_contact(self) -> Any:
        if self.object_payment_plan.taken_over_at is not None:
            return self.object_payment_plan.customer
        content_object = self.object_payment_plan.content_object
        return getattr(content_object, "checkout_contact", content_object)

    @property
    def checkout_user(self) -> Any:
        return getattr(self.object_payment_plan.payer_row, "checkout_user", None) or self.object_payment_plan.user

    @property
    def checkout_currency(self) -> str:
        return self.object_payment_plan.currency

    @property
    def checkout_description(self) -> list[str]:
        content_object = self.object_payment_plan.content_object
        lines = list(content_object.checkout_description) if content_object is not None else []
        count = self.object_payment_plan.payment_plan.count
        if self.deposit:
            return [*lines, str(_("Deposit"))]
        if self.replaces_id:
            return [*lines, str(_("A payment that was refunded, to pay again"))]
        if self.object_payment_plan.version or self.count - 1 > count:
            # The plan was changed, and may have more payments by now, or fewer.
            return [*lines, _("Instalment %(number)d") % {"number": self.count - 1}]
        return [*lines, _("Instalment %(number)d of %(count)d") % {"number": self.count - 1, "count": count}]

    @property
    def checkout_email(self) -> str:
        if self.object_payment_plan.customer is not None:
            return self.object_payment_plan.customer.email
        return str(getattr(self.object_payment_plan.content_object, "checkout_email", ""))

    @property
    def checkout_name(self) -> str:
        content_object = self.object_payment_plan.payer_row
        if content_object is None:
            customer = self.object_payment_plan.customer
            return customer.name if customer else ""
        return str(content_object.checkout_name)

    @property
    def checkout_total(self) -> Decimal:
        return self.amount

    def checkout_success(self, checkout: Checkout) -> None:
        from checkout.services import plan_lines

        plan_lines.instalment_paid(self, checkout)

    def checkout_fail(self, due: datetime.date | None = None) -> None:
        from checkout.services import plan_lines

        plan_lines.instalment_failed(self)

    def checkout_pay_on_session(self, checkout: Checkout) -> None:
        from checkout.services import plan_lines

        plan_lines.instalment_wants_payer(self, checkout)

    def checkout_success_url(self, checkout_pk: int) -> str:
        return reverse("checkout.plan.progress", args=[self.object_payment_plan.uuid])

    def checkout_fail_url(self, checkout_pk: int) -> str:
        return reverse("checkout.plan.progress", args=[self.object_payment_plan.uuid])
