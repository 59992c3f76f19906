"""Payment plans: the template, and the plan that was agreed for one content object."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils.formats import number_format
from django.utils.translation import gettext_lazy as _

from checkout import actions, clock, money, schedule
from checkout.conf import conf
from checkout.contract import Actor
from checkout.errors import PlanError
from checkout.models import fields
from checkout.models.managers import (
    ObjectPaymentPlanManager,
    PaymentPlanManager,
)

if TYPE_CHECKING:
    from checkout.models.cards import SavedCard
    from checkout.models.checkouts import Checkout
    from checkout.models.instalments import ObjectPaymentPlanInstalment
    from checkout.models.plan_changes import PlanChange


class PaymentPlan(models.Model):
    """A template: so many per cent now, the rest in so many instalments, so many months apart.

    Once a plan was agreed on it, it is frozen: make a new version instead.
    """

    class LateDeposit(models.TextChoices):
        """What becomes of instalments that fell due while the deposit was not paid."""

        MOVE = "move", _("Move the instalments, so that at most one is taken a month")
        KEEP = "keep", _("Keep the agreed days: what is overdue is taken at once")

    class PaidEarly(models.TextChoices):
        """Which instalments become smaller when a payer pays a part of what is left before its day."""

        NEXT = "next", _("The next ones become smaller")
        LAST = "last", _("The last ones become smaller, so the plan ends sooner")

    TERMS = ("deposit", "count", "interval", "late_deposit", "paid_early")
    FROZEN = (*TERMS, "slug")

    name = models.CharField(max_length=100)
    slug = models.SlugField(unique=True)
    deposit = models.PositiveSmallIntegerField(_("deposit (%)"))
    count = models.PositiveSmallIntegerField(_("instalments"), help_text=_("After the deposit."))
    interval = models.PositiveSmallIntegerField(_("months between instalments"))
    late_deposit = models.CharField(
        _("when the deposit is paid late"), max_length=10, choices=LateDeposit.choices, default=LateDeposit.MOVE
    )
    paid_early = models.CharField(
        _("when a part is paid early"), max_length=10, choices=PaidEarly.choices, default=PaidEarly.NEXT
    )
    recovery = models.ForeignKey(
        "checkout.RecoveryPolicy",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("when a card is declined"),
        help_text=_("When it is asked again; without one, as the site's settings say."),
    )
    deleted = models.BooleanField(default=False, help_text=_("No longer offered."))
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = PaymentPlanManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["name"]
        verbose_name = _("payment plan")
        constraints = [
            models.CheckConstraint(
                condition=Q(deposit__gte=1, deposit__lte=99, count__gte=1, interval__gte=1),
                name="checkout_payment_plan_terms",
            )
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        schedule.check_terms(deposit=self.deposit, count=self.count, interval=self.interval)
        if self.pk is not None:
            before = PaymentPlan.objects.filter(pk=self.pk).values(*self.FROZEN).first()
            changed = [name for name in self.FROZEN if before and before[name] != getattr(self, name)]
            if changed and self.in_use:
                raise PlanError(
                    _("“%(name)s” is in use, so its %(fields)s cannot change. Make a new version of it instead.")
                    % {"name": self.name, "fields": ", ".join(changed)}
                )
        super().save(*args, **kwargs)

    def new_version(self, **changes: Any) -> PaymentPlan:
        """A copy of this template with other terms (`name`, `deposit`, `count`, `interval`, `slug` by name). This one
        is no longer offered; plans agreed on it go on.

        Raises PlanError for terms that make no plan.
        """
        from checkout.services import plans

        return plans.new_version(self, **changes)

    @property
    def in_use(self) -> bool:
        """True when a plan was agreed, or a payer is agreeing, on these terms."""
        from checkout.models.checkouts import Checkout

        return (
            ObjectPaymentPlan.objects.filter(payment_plan=self).exists()
            or Checkout.objects.filter(payment_plan=self).exists()
        )

    def lines(self, deposit_due: datetime.date, total: Decimal, currency: str = "") -> list[schedule.Line]:
        """Deposit and instalments. Raises PlanError, with what would work, when the total cannot be split so."""
        return schedule.plan_lines(
            total,
            currency or conf.CHECKOUT_CURRENCY,
            deposit=self.deposit,
            count=self.count,
            interval=self.interval,
            deposit_due=deposit_due,
        )

    def deposit_amount(self, total: Decimal, currency: str = "") -> Decimal:
        """The deposit on `total`, rounded half up to the currency's smallest unit."""
        return self.lines(clock.today(), total, currency)[0].amount

    def instalments(
        self, deposit_due_date: datetime.date, total: Decimal, currency: str = ""
    ) -> list[tuple[datetime.date, Decimal]]:
        """Date and amount of each instalment after the deposit."""
        return [(line.due, line.amount) for line in self.lines(deposit_due_date, total, currency)[1:]]

    def example(
        self, deposit_due_date: datetime.date, total: Decimal, currency: str = ""
    ) -> list[tuple[datetime.date, Decimal]]:
        """Date and amount of every payment, the deposit first: what a payer wants to see before agreeing."""
        return [(line.due, line.amount) for line in self.lines(deposit_due_date, total, currency)]


class ObjectPaymentPlan(models.Model):
    """A plan agreed for one content object."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    content_type = models.ForeignKey(ContentType, on_delete=models.PROTECT, related_name="+", db_index=False)
    object_id = models.CharField(max_length=64)
    content_object = fields.ContentObjectField("content_type", "object_id")
    payment_plan = models.ForeignKey(PaymentPlan, on_delete=models.PROTECT, related_name="object_payment_plans")
    customer = models.ForeignKey(
        "checkout.Customer",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="object_payment_plans",
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text=_("The payer, if logged in when the plan was agreed."),
    )
    agreement = models.ForeignKey(
        "checkout.Agreement",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="object_payment_plans",
        help_text=_("What allows its card to be charged. Without one nothing is taken off session."),
    )
    total = fields.amount()
    currency = fields.currency()
    deleted = models.BooleanField(default=False, help_text=_("Stopped: nothing more is taken."))
    paused = models.BooleanField(
        default=False, help_text=_("Nothing is charged off session, because a bank disputes a payment of it.")
    )
    deleted_at = models.DateTimeField(null=True, blank=True)
    deleted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    links_revoked_at = models.DateTimeField(
        null=True, blank=True, help_text=_("Links that were sent before open nothing any more.")
    )
    taken_over_at = models.DateTimeField(
        null=True, blank=True, help_text=_("Since then its payer is not the one whom its row names.")
    )
    pay_day = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text=_("The day of the month on which its payer is paid, 1 to 31.")
    )
    version = models.PositiveIntegerField(
        default=0, help_text=_("Counted up with every change, so that of two people at once one changes it.")
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ObjectPaymentPlanManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["-pk"]
        verbose_name = _("agreed payment plan")
        constraints = [
            models.UniqueConstraint(
                fields=["content_type", "object_id"],
                condition=Q(deleted=False),
                name="checkout_one_live_plan",
            ),
            fields.positive("total", name="checkout_plan_total_positive"),
            fields.known_currency(name="checkout_plan_known_currency"),
        ]
        indexes = [
            models.Index(fields=["content_type", "object_id"], name="checkout_plan_content_object"),
            models.Index(fields=["deleted", "-id"], name="checkout_plan_live"),
            models.Index(fields=["currency"], name="checkout_plan_currency"),
            models.Index(fields=["total", "-id"], name="checkout_plan_total"),
        ]

    def __str__(self) -> str:
        return _("%(plan)s over %(total)s %(currency)s") % {
            "plan": self.payment_plan,
            "total": number_format(money.tidy(self.total, self.currency)),
            "currency": self.currency,
        }

    def get_absolute_url(self) -> str:
        return reverse("checkout.object.payment.plan.detail", args=[self.uuid])

    @property
    def card(self) -> SavedCard | None:
        """The card that is charged for this plan, as its agreement says; None when there is none, or it is gone."""
        card = self.agreement.saved_card if self.agreement is not None else None
        return card if card is not None and card.good else None

    @property
    def payer_row(self) -> Any:
        """The site's row where it tells of the payer (their language, their login); None once the plan was taken over
        by somebody whom it does not name."""
        return self.content_object if self.taken_over_at is None else None

    # -- the content-object contract: a plan is what a card is refreshed for ------------------------

    @property
    def checkout_actions(self) -> list[str]:
        return [actions.CARD_REFRESH]

    @property
    def checkout_can_charge(self) -> bool:
        return not self.deleted

    @property
    def checkout_currency(self) -> str:
        return self.currency

    @property
    def checkout_description(self) -> list[str]:
        lines = list(self.content_object.checkout_description) if self.content_object is not None else []
        return [*lines, str(_("New card"))]

    @property
    def checkout_email(self) -> str:
        return self.customer.email if self.customer is not None else getattr(self.content_object, "checkout_email", "")

    @property
    def checkout_name(self) -> str:
        if self.taken_over_at is not None:
            return self.customer.name if self.customer is not None else ""
        return str(self.content_object.checkout_name) if self.content_object is not None else ""

    @property
    def checkout_total(self) -> Decimal:
        """Nothing is taken when a card is refreshed."""
        return Decimal(0)

    def checkout_success(self, checkout: Checkout) -> None:
        """The new agreement names the card by now; the plan itself does not change."""

    def checkout_fail(self, due: datetime.date | None = None) -> None:
        """The old card stays in use."""

    def checkout_success_url(self, checkout_pk: int) -> str:
        return reverse("checkout.plan.progress", args=[self.uuid])

    def checkout_fail_url(self, checkout_pk: int) -> str:
        return reverse("checkout.plan.progress", args=[self.uuid])

    # -- its lines -----------------------------------------------------------------------------------

    @property
    def payments(self) -> models.QuerySet[ObjectPaymentPlanInstalment]:
        """Every line, the deposit first."""
        return self.instalments.order_by("count")

    @property
    def payments_by_day(self) -> models.QuerySet[ObjectPaymentPlanInstalment]:
        """Every line as it falls due, the deposit first, for people who read the plan: a day may have been moved past
        another."""
        return self.instalments.order_by("-deposit", "due", "count")

    @property
    def payment_count(self) -> int:
        return self.instalments.count()

    def create_instalments(self) -> list[ObjectPaymentPlanInstalment]:
        """Make the lines after the deposit, once. Raises PlanError without a deposit line, or when they are there."""
        from checkout.services import agreements

        return agreements.create_instalments(self)

    def open_debts(self) -> None:
        """Write down what is owed for lines that a script of yours has made, and what came for those that are paid.
        Safe to run again."""
        from checkout.services import debts

        debts.open_lines(list(self.instalments.select_related("object_payment_plan", "debt")))

    def charge_deposit(self, user: Actor = None) -> Checkout:
        """Charge the deposit to the saved card, off session."""
        from checkout.services import plans

        return plans.charge_deposit(self, user)

    def propose_change(self, kind: str, reason: str, user: Actor = None, **options: Any) -> PlanChange:
        """Change the plan, with a `reason` that is kept. What favours its payer is in force at once, and they are told;
        anything else waits until they agree by the link that is mailed, and the old terms hold until then.

        `kind` and what it takes, all by name (amounts are Decimal, in whole currency units; days are dates):
        "pause" `months`; "pay_day" `day`; "split" `count`, `first`, `interval`; "lines" `wanted`, a list of (primary
        key of the line or None for a new one, due, still to pay); "discount" and "fee" `amount`; "write_off";
        "owed_again" `pk`, `due`, `amount`; "reopen"; "undo" `number`, of the earlier change. With
        `on_paper=True` staff hold the payer's agreement, and it is in force at once.

        "payer" `name`, `email`: another payer. They are asked by a link of their own, and agree by giving a card of
        their own; until then the payer, the card and the terms are the old ones.

        Raises PlanError or MoneyError, with a sentence, for what cannot be; AttemptInProgress while another change
        waits, or a payment that it changes is being taken.
        """
        from checkout.services import plan_changes as changes

        return changes.propose(self, kind, reason, user, **options)

    def delete_plan(self, user: Actor = None) -> ObjectPaymentPlan:
        """Stop the plan: open attempts are cancelled at Stripe first, then nothing more is taken."""
        from checkout.services import plans

        return plans.stop(self, user)
