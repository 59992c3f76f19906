"""`Checkout`: one attempt to take money or to save a card. The row is written before Stripe is asked."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from checkout import actions, clock, journal, states
from checkout.models import fields
from checkout.models.managers import CheckoutManager
from checkout.models.primary import PrimaryManager

if TYPE_CHECKING:
    from django.http import HttpRequest


class Checkout(models.Model):
    """One attempt. Its uuid is the idempotency key, so it asks Stripe for one thing only, however often.

    `total` is in whole currency units, empty when only a card is saved. Every time is aware.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    action = models.ForeignKey(
        "checkout.CheckoutAction", to_field="slug", on_delete=models.PROTECT, related_name="+", db_index=False
    )
    state = fields.state()
    content_type = models.ForeignKey(ContentType, on_delete=models.PROTECT, related_name="+", db_index=False)
    object_id = models.CharField(max_length=64, help_text=_("An integer or a UUID, as text."))
    content_object = fields.ContentObjectField("content_type", "object_id")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text=_("Who started it: the payer if logged in, or staff."),
    )
    customer = models.ForeignKey(
        "checkout.Customer", on_delete=models.PROTECT, null=True, blank=True, related_name="checkouts"
    )
    payment_plan = models.ForeignKey(
        "checkout.PaymentPlan", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    debt = models.ForeignKey(
        "checkout.Debt", on_delete=models.PROTECT, null=True, blank=True, related_name="checkouts", db_index=False
    )
    number = models.PositiveIntegerField(
        null=True, blank=True, help_text=_("Which attempt at its debt this is; its uuid is made from both.")
    )
    description = models.TextField(blank=True)
    payer = models.CharField(
        max_length=400, blank=True, help_text=_("Name and e-mail address at that time, for lists and searching.")
    )
    language = models.CharField(
        max_length=12,
        blank=True,
        help_text=_("Of the page that it was begun on, for letters to a payer without a row."),
    )
    total = fields.amount(null=True, blank=True)
    currency = fields.currency()
    deposit = fields.amount(
        null=True,
        blank=True,
        help_text=_("Of a plan whose card is saved while its deposit is paid: what is asked for on its page."),
    )
    begun_by = models.OneToOneField(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="deposit_attempt",
        help_text=_("Of a deposit that was paid while the card was saved: the attempt that began the plan."),
    )
    payment_intent_id = models.CharField(max_length=255, blank=True)
    setup_intent_id = models.CharField(max_length=255, blank=True)
    payment_method_id = models.CharField(max_length=255, blank=True)
    stripe_customer_id = models.CharField(
        max_length=255,
        blank=True,
        help_text=_("Whose card was asked: the customer's id at Stripe at that time."),
    )
    on_session = models.BooleanField(default=True, help_text=_("The payer is on the page, or is awaited there."))
    livemode = models.BooleanField(default=False, help_text=_("Begun with a live key of Stripe: real money."))
    created_at = models.DateTimeField(default=clock.now, editable=False)
    seen_at = models.DateTimeField(
        default=clock.now, editable=False, help_text=_("When its payer was last seen on its page.")
    )
    claimed_at = models.DateTimeField(null=True, blank=True, help_text=_("When Stripe was first asked."))
    lease_until = models.DateTimeField(
        null=True, blank=True, help_text=_("Until then an unanswered request is left to whoever asked.")
    )
    settled_at = models.DateTimeField(null=True, blank=True)
    error_code = models.CharField(max_length=100, blank=True, help_text=_("Stripe's code."))
    decline_code = models.CharField(max_length=100, blank=True, help_text=_("The bank's reason, in Stripe's words."))
    advice_code = models.CharField(max_length=40, blank=True, help_text=_("What the bank advises, in Stripe's words."))
    network_advice_code = models.CharField(max_length=10, blank=True)
    network_decline_code = models.CharField(max_length=10, blank=True)
    failure = models.TextField(blank=True, help_text=_("Why it failed or waits, as Stripe said it or staff wrote it."))
    failure_code = models.CharField(max_length=40, blank=True, help_text=_("Why it failed or waits: a code of ours."))
    superseded = models.BooleanField(default=False, help_text=_("A newer attempt took its place."))
    allocated = models.BooleanField(
        default=False, help_text=_("For several debts, or for a part of one: see its allocations.")
    )
    unapplied = models.BooleanField(
        default=False, help_text=_("Paid, and what it is for was not told of it: see its problem.")
    )
    undone_at = models.DateTimeField(
        null=True, blank=True, help_text=_("When staff undid that it was paid by other means.")
    )
    refunded = fields.amount(
        default=0, help_text=_("Reserved for refunds that were asked for, and not failed; never more than the total.")
    )

    objects = CheckoutManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["-pk"]
        verbose_name = _("checkout")
        permissions = [
            ("charge", _("Can charge a saved card")),
            ("settle_by_hand", _("Can mark as paid by other means")),
            ("refund", _("Can refund")),
            ("cancel_attempt", _("Can cancel an open attempt")),
            ("send_mail", _("Can send a payer's mail again")),
            ("view_dashboard", _("Can see the office's figures")),
        ]
        constraints = [
            # A debt is not taken twice. The slugs are written out because a constraint cannot join.
            models.UniqueConstraint(
                fields=["content_type", "object_id"],
                condition=Q(state__in=sorted(states.OPEN), action__in=sorted(actions.ONE_AT_A_TIME)),
                name="checkout_one_open_attempt",
            ),
            models.UniqueConstraint(
                fields=["debt", "number"], condition=Q(debt__isnull=False), name="checkout_attempt_number"
            ),
            fields.unique_unless_blank("payment_intent_id", name="checkout_payment_intent_unique"),
            fields.unique_unless_blank("setup_intent_id", name="checkout_setup_intent_unique"),
            # What costs nothing is settled without Stripe.
            models.CheckConstraint(
                condition=Q(total__gt=0) | Q(total__isnull=True) | Q(total=0, action=actions.MANUAL),
                name="checkout_total_positive",
            ),
            fields.known_currency(name="checkout_known_currency"),
            models.CheckConstraint(
                condition=Q(deposit=None)
                | Q(deposit__gt=0, deposit__lt=models.F("total"), action=actions.PAYMENT_PLAN),
                name="checkout_deposit_of_a_plan",
            ),
            models.CheckConstraint(
                condition=Q(total__isnull=False) | ~Q(action__in=sorted(actions.TAKES_MONEY)),
                name="checkout_money_has_total",
            ),
            # What was asked and not answered is found by its lease, so without one it would never be looked up.
            models.CheckConstraint(
                condition=Q(lease_until__isnull=False) | ~Q(state=states.REQUEST),
                name="checkout_request_has_lease",
            ),
            models.CheckConstraint(
                condition=Q(refunded__gte=0) & (Q(refunded=0) | Q(refunded__lte=models.F("total"))),
                name="checkout_refunded_at_most_total",
            ),
            # What a card paid is given back, and never undone.
            models.CheckConstraint(
                condition=Q(undone_at=None) | Q(action=actions.MANUAL, state=states.SUCCESS),
                name="checkout_undone_by_hand",
            ),
            # A card payment is a success only with an intent of Stripe's to show for it.
            models.CheckConstraint(
                condition=~Q(state=states.SUCCESS, action__in=sorted(actions.BY_CARD), payment_intent_id=""),
                name="checkout_success_has_intent",
            ),
        ]
        indexes = [
            models.Index(fields=["content_type", "object_id"], name="checkout_content_object"),
            models.Index(fields=["state", "-id"], name="checkout_by_state"),
            models.Index(fields=["action", "-id"], name="checkout_by_action"),
            models.Index(fields=["created_at", "id"], name="checkout_by_day"),
            # For the search by an amount.
            models.Index(fields=["total", "-id"], name="checkout_by_total"),
            # The office asks for a month's takings and a month's failures.
            models.Index(
                fields=["state", "settled_at"],
                include=["total", "currency", "action", "error_code", "decline_code"],
                name="checkout_settled",
            ),
            # What the office may have to look at, with what tells whether it must: nearly all are successes.
            models.Index(
                fields=["-id"],
                include=["debt", "content_type", "object_id"],
                condition=~Q(state=states.SUCCESS) & Q(superseded=False),
                name="checkout_unsuccessful",
            ),
            models.Index(fields=["lease_until"], condition=Q(state=states.REQUEST), name="checkout_lease"),
            models.Index(
                fields=["created_at"], condition=Q(state__in=sorted(states.OPEN)), name="checkout_open_by_age"
            ),
            models.Index(fields=["seen_at", "id"], condition=Q(state=states.PENDING), name="checkout_page_left"),
        ]

    def __str__(self) -> str:
        # `object_id` and not the object: the host's row may be gone.
        what = self.description.splitlines()[0] if self.description else f"object {self.object_id}"
        return f"{self.action_id} {self.state_id}: {what}"

    def get_absolute_url(self) -> str:
        return reverse("checkout.detail", args=[self.uuid])

    # -- what it is --------------------------------------------------------------------------------

    @property
    def is_payment(self) -> bool:
        return self.action_id == actions.PAYMENT

    @property
    def is_payment_plan(self) -> bool:
        return self.action_id == actions.PAYMENT_PLAN

    @property
    def is_card_refresh(self) -> bool:
        return self.action_id == actions.CARD_REFRESH

    @property
    def is_charge(self) -> bool:
        return self.action_id == actions.CHARGE

    @property
    def is_manual(self) -> bool:
        return self.action_id == actions.MANUAL

    @property
    def is_invoice(self) -> bool:
        return self.action_id == actions.INVOICE

    @property
    def saves_card(self) -> bool:
        return self.action_id in actions.SAVES_CARD

    @property
    def by_setup_intent(self) -> bool:
        """True when a card is saved and nothing is taken: Stripe is asked for a SetupIntent, else for a
        PaymentIntent."""
        return self.saves_card and self.deposit is None

    @property
    def asks_for(self) -> Decimal | None:
        """What its page asks for, in whole currency units: of a plan that begins with its deposit, the deposit."""
        return self.total if self.deposit is None else self.deposit

    @property
    def failed(self) -> bool:
        return self.state_id == states.FAIL

    @property
    def succeeded(self) -> bool:
        return self.state_id == states.SUCCESS

    @property
    def is_open(self) -> bool:
        return self.state_id in states.OPEN

    @property
    def intent_id(self) -> str:
        """Stripe's id of what was asked for: pi_…, seti_…, or empty while nothing was answered."""
        return self.setup_intent_id if self.by_setup_intent else self.payment_intent_id

    @property
    def mark(self) -> str:
        """The uuid that its intent bears at Stripe (metadata `checkout`): of a deposit that was paid while the card was
        saved, that of the attempt that began the plan."""
        return str(self.begun_by.uuid if self.begun_by is not None else self.uuid)

    @property
    def failure_text(self) -> str:
        """Why it failed or waits, in the language that is active; Stripe's words and those of staff as they are."""
        return journal.in_words(self.failure_code, {}, self.failure)

    @property
    def description_lines(self) -> list[str]:
        return self.description.splitlines()

    @property
    def invoice_data(self) -> CheckoutAdditional | None:
        """The address that the payer gave for an invoice, or None."""
        return CheckoutAdditional.objects.filter(checkout=self).first()

    def notify(self, request: HttpRequest | None = None) -> int:
        """Queue a mail about this attempt to CHECKOUT_NOTIFY_EMAILS; the number of addresses."""
        from checkout.services import staff_notices

        return staff_notices.notify(self, request)


class CheckoutAdditional(models.Model):
    """Where to send an invoice."""

    checkout = models.OneToOneField(Checkout, on_delete=models.PROTECT, related_name="additional")
    company_name = models.CharField(max_length=100, blank=True)
    address_1 = models.CharField(_("address"), max_length=100, blank=True)
    address_2 = models.CharField(_("address line 2"), max_length=100, blank=True)
    town = models.CharField(max_length=100, blank=True)
    county = models.CharField(max_length=100, blank=True)
    postcode = models.CharField(max_length=20, blank=True)
    country = models.CharField(max_length=100, blank=True)
    contact_name = models.CharField(max_length=100, blank=True)
    email = models.EmailField(blank=True)
    phone = models.CharField(max_length=50, blank=True)

    objects: models.Manager[CheckoutAdditional] = PrimaryManager()

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("invoice address")
        verbose_name_plural = _("invoice addresses")
        constraints = [
            models.CheckConstraint(condition=~Q(email="") | ~Q(phone=""), name="checkout_additional_email_or_phone")
        ]

    def __str__(self) -> str:
        return ", ".join(filter(None, [self.company_name, self.contact_name, self.email or self.phone]))

    @property
    def address(self) -> list[str]:
        """What is known of it, as it is written on an envelope."""
        said = (
            self.company_name,
            self.contact_name,
            self.address_1,
            self.address_2,
            self.town,
            self.county,
            self.postcode,
            self.country,
        )
        return [line for line in said if line]

    @property
    def lines(self) -> list[str]:
        """The address, and how to reach them."""
        return [*self.address, *filter(None, [self.email, self.phone])]


class StateChange(models.Model):
    """What moved, from where to where, when, by whom and why. Written with the move, never changed."""

    checkout = models.ForeignKey(
        Checkout, on_delete=models.PROTECT, null=True, blank=True, related_name="state_changes"
    )
    instalment = models.ForeignKey(
        "checkout.ObjectPaymentPlanInstalment",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="state_changes",
    )
    customer_payment = models.ForeignKey(
        "checkout.CustomerPayment",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="state_changes",
    )
    object_payment_plan = models.ForeignKey(
        "checkout.ObjectPaymentPlan",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="state_changes",
    )
    refund = models.ForeignKey(
        "checkout.Refund", on_delete=models.PROTECT, null=True, blank=True, related_name="state_changes"
    )
    customer = models.ForeignKey(
        "checkout.Customer", on_delete=models.PROTECT, null=True, blank=True, related_name="state_changes"
    )
    from_state = models.CharField(max_length=20, blank=True)
    to_state = models.CharField(max_length=20)
    at = models.DateTimeField(default=clock.now)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    code = models.CharField(max_length=40, blank=True, help_text=_("Why it moved: a code of ours."))
    facts = models.JSONField(default=dict, blank=True, help_text=_("What the sentence of that code names."))
    note = models.TextField(blank=True, help_text=_("As somebody wrote it, or as Stripe said it."))

    objects: models.Manager[StateChange] = PrimaryManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["pk"]
        verbose_name = _("state change")
        constraints = [
            models.CheckConstraint(
                condition=Q(checkout__isnull=False)
                | Q(instalment__isnull=False)
                | Q(customer_payment__isnull=False)
                | Q(object_payment_plan__isnull=False)
                | Q(refund__isnull=False)
                | Q(customer__isnull=False),
                name="checkout_state_change_has_subject",
            )
        ]
        indexes = [
            # What happened since yesterday, and what of it people did.
            models.Index(fields=["at", "id"], name="checkout_change_at"),
            models.Index(fields=["at", "id"], condition=Q(user__isnull=False), name="checkout_change_by_people"),
        ]

    def __str__(self) -> str:
        with journal.in_english():
            return f"{self.from_state or 'new'} → {self.to_state}: {self.reason_text}"

    @property
    def reason_text(self) -> str:
        """Why it moved, in the language that is active; what somebody wrote stays as it is."""
        return journal.in_words(self.code, self.facts, self.note)
