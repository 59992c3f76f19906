"""How a plan was changed: each version with what was before and after it, why, by whom, and who agreed."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from checkout import actions, clock, plan_changes
from checkout.models import fields
from checkout.models.primary import PrimaryManager

if TYPE_CHECKING:
    from checkout.contract import Actor
    from checkout.models.checkouts import Checkout


class PlanChange(models.Model):
    """One version of a plan. What favours its payer is in force at once; anything else waits until they agree, and the
    old terms hold until then. What was in force once is never edited: the next change is another row."""

    Kind = plan_changes.Kind

    class State(models.TextChoices):
        WAITING = "waiting", _("waits for the payer")
        IN_FORCE = "in_force", _("in force")
        REFUSED = "refused", _("refused by the payer")
        WITHDRAWN = "withdrawn", _("withdrawn")
        OVERTAKEN = "overtaken", _("overtaken: what it was about had changed")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    plan = models.ForeignKey("checkout.ObjectPaymentPlan", on_delete=models.PROTECT, related_name="changes")
    number = models.PositiveIntegerField(help_text=_("Counts the changes of one plan, from 1."))
    kind = models.CharField(max_length=20, choices=plan_changes.Kind.choices)
    state = models.CharField(max_length=20, choices=State.choices)
    before = models.JSONField(help_text=_("Each line: pk, count, due (ISO date), owed, paid (text), state."))
    after = models.JSONField(help_text=_("As before; a line that is made by this change has no pk."))
    undoes = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="undone_by",
        help_text=_("The earlier change that this one undoes."),
    )
    by = fields.amount(default=0, help_text=_("By how much more (or less, negative) is owed."))
    favours_payer = models.BooleanField(help_text=_("So that the payer need not agree, and is told."))
    reason = models.CharField(max_length=255, help_text=_("Why, in the words of whoever changed it."))
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    at = models.DateTimeField(default=clock.now)
    decided_at = models.DateTimeField(null=True, blank=True)
    decision = models.CharField(max_length=255, blank=True, help_text=_("Why it was withdrawn or refused."))
    new_payer = models.ForeignKey(
        "checkout.Customer",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="changes_to_them",
        help_text=_("Who is to take over the plan, or did."),
    )
    former_payer = models.ForeignKey(
        "checkout.Customer",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="changes_from_them",
        help_text=_("Who paid until then."),
    )
    agreement = models.OneToOneField(
        "checkout.Agreement",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="plan_change",
        help_text=_("What covers what is charged from then on."),
    )

    objects: models.Manager[PlanChange] = PrimaryManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["plan", "number"]
        verbose_name = _("change of a plan")
        verbose_name_plural = _("changes of plans")
        constraints = [
            models.UniqueConstraint(fields=["plan", "number"], name="checkout_plan_change_number"),
            models.UniqueConstraint(fields=["plan"], condition=Q(state="waiting"), name="checkout_plan_change_waiting"),
            models.CheckConstraint(condition=~Q(reason=""), name="checkout_plan_change_reason"),
            models.CheckConstraint(
                condition=Q(kind="undo", undoes__isnull=False) | (~Q(kind="undo") & Q(undoes=None)),
                name="checkout_plan_change_undoes",
            ),
            models.UniqueConstraint(
                fields=["undoes"],
                condition=Q(state__in=["in_force", "waiting"]),
                name="checkout_plan_change_undone_once",
            ),
            models.CheckConstraint(
                condition=Q(kind="payer", new_payer__isnull=False)
                | (~Q(kind="payer") & Q(new_payer=None, former_payer=None)),
                name="checkout_plan_change_payer",
            ),
            # What is not in the payer's favour is charged by nothing but their agreement.
            models.CheckConstraint(
                condition=~Q(state="in_force", favours_payer=False, agreement=None),
                name="checkout_plan_change_agreed",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.number}. {self.get_kind_display()}: {self.get_state_display()}"

    def get_absolute_url(self) -> str:
        return self.plan.get_absolute_url()

    @property
    def lines_before(self) -> list[plan_changes.Line]:
        return [plan_changes.Line.from_data(each) for each in self.before]

    @property
    def lines_after(self) -> list[plan_changes.Line]:
        return [plan_changes.Line.from_data(each) for each in self.after]

    @property
    def waits(self) -> bool:
        return self.state == self.State.WAITING

    @property
    def may_be_agreed(self) -> bool:
        """It waits, and its plan stands as it has to: nothing is changed of one that was stopped meanwhile."""
        return self.waits and self.plan.deleted == (self.kind == self.Kind.REOPEN)

    @property
    def does(self) -> str:
        """The kind of it, or of what it undoes: what is posted, and whether the plan costs something else."""
        return self.undoes.kind if self.undoes is not None else self.kind

    @property
    def can_be_undone(self) -> bool:
        """Whether it is of a kind that can be undone, and nobody has; whether it fits still, `propose_change` says."""
        undone = self.undone_by.filter(state__in=[self.State.IN_FORCE, self.State.WAITING])
        return self.is_in_force and self.kind in plan_changes.UNDOABLE and not undone.exists()

    @property
    def is_in_force(self) -> bool:
        return self.state == self.State.IN_FORCE

    # -- the content-object contract: a change of the payer is what the new one gives a card for ------

    @property
    def checkout_actions(self) -> list[str]:
        return [actions.CARD_REFRESH] if self.kind == self.Kind.PAYER else []

    @property
    def checkout_can_charge(self) -> bool:
        return self.waits and not self.plan.deleted

    @property
    def checkout_currency(self) -> str:
        return self.plan.currency

    @property
    def checkout_description(self) -> list[str]:
        row = self.plan.content_object
        return [*(row.checkout_description if row is not None else []), str(_("What is left of the plan, taken over"))]

    @property
    def checkout_email(self) -> str:
        return self.new_payer.email if self.new_payer is not None else ""

    @property
    def checkout_name(self) -> str:
        return self.new_payer.name if self.new_payer is not None else ""

    @property
    def checkout_total(self) -> Decimal:
        """Nothing is taken while the card is saved."""
        return Decimal(0)

    def checkout_success(self, checkout: Checkout) -> None:
        from checkout.services import take_overs

        take_overs.take_over(self, checkout)

    def checkout_fail(self, due: datetime.date | None = None) -> None:
        """The old payer pays on."""

    def checkout_success_url(self, checkout_pk: int) -> str:
        return reverse("checkout.plan.progress", args=[self.plan.uuid])

    def checkout_fail_url(self, checkout_pk: int) -> str:
        from checkout.services import take_overs

        return take_overs.page(self)

    def withdraw(self, user: Actor = None, reason: str = "") -> None:
        """Take back a change that waits for its payer. Raises AlreadyPaid when it was decided meanwhile."""
        from checkout.services import plan_changes as changes

        changes.withdraw(self, user, reason)
