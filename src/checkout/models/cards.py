"""Whose card may be charged for what: payers at Stripe, the cards saved there, and what their owners agreed to."""

from __future__ import annotations

import calendar
import datetime
from typing import Any

from dateutil.relativedelta import relativedelta
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from checkout import clock
from checkout.models import fields
from checkout.models.primary import PrimaryManager, ReadsPrimary


class StripeCustomer(models.Model):
    """A payer at Stripe. Stripe's ids are of one account and one mode, so a payer has one row for each."""

    customer = models.ForeignKey("checkout.Customer", on_delete=models.PROTECT, related_name="at_stripe")
    account = models.CharField(max_length=64, blank=True, help_text=_("Stripe's id (acct_…); empty when not known."))
    livemode = models.BooleanField(default=False)
    stripe_customer_id = models.CharField(max_length=255, help_text=_("Stripe's id (cus_…)."))
    gone = models.BooleanField(default=False, help_text=_("Deleted at Stripe, or unknown to the account in use."))
    outdated = models.BooleanField(
        default=False, help_text=_("Name or address were corrected here, and Stripe has not been told yet.")
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects: models.Manager[StripeCustomer] = PrimaryManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["pk"]
        verbose_name = _("customer at Stripe")
        verbose_name_plural = _("customers at Stripe")
        constraints = [
            models.UniqueConstraint(
                fields=["customer", "account", "livemode"],
                condition=models.Q(gone=False),
                name="checkout_stripe_customer_one_in_use",
            ),
            models.UniqueConstraint(
                fields=["stripe_customer_id", "livemode"], name="checkout_stripe_customer_id_unique"
            ),
        ]
        indexes = [
            models.Index(fields=["id"], condition=models.Q(outdated=True), name="checkout_stripe_customer_stale"),
        ]

    def __str__(self) -> str:
        return self.stripe_customer_id


class SavedCardQuerySet(models.QuerySet["SavedCard"]):
    def in_use(self) -> SavedCardQuerySet:
        """Cards that a live plan with something left to pay is charged to."""
        from checkout.models.plans import ObjectPaymentPlan

        plans = ObjectPaymentPlan.objects.outstanding_payment_plans.filter(agreement__saved_card=models.OuterRef("pk"))
        return self.filter(models.Exists(plans))

    def good(self) -> SavedCardQuerySet:
        """Cards that Stripe can be asked to charge."""
        return self.filter(gone=False, detached_at=None)


class SavedCardManager(ReadsPrimary, models.Manager.from_queryset(SavedCardQuerySet)):  # type: ignore[misc]
    """Reads of the primary database."""


class SavedCard(models.Model):
    """One credential at Stripe that an agreement allows us to charge. It belongs to agreements, never to an address."""

    customer = models.ForeignKey("checkout.Customer", on_delete=models.PROTECT, related_name="saved_cards")
    account = models.CharField(max_length=64, blank=True, help_text=_("Stripe's id (acct_…); empty when not known."))
    livemode = models.BooleanField(default=False)
    stripe_customer_id = models.CharField(
        max_length=255, blank=True, help_text=_("Whose it is at Stripe (cus_…); empty for a source without one.")
    )
    payment_method_id = models.CharField(max_length=255, help_text=_("pm_…, or card_…/src_… of old."))
    brand = models.CharField(max_length=30, blank=True)
    last4 = models.CharField(max_length=4, blank=True)
    exp_month = models.PositiveSmallIntegerField(null=True, blank=True)
    exp_year = models.PositiveSmallIntegerField(null=True, blank=True)
    fingerprint = models.CharField(max_length=64, blank=True)
    expiry_date = models.DateField(null=True, blank=True, help_text=_("Last day on which the card is good."))
    set_up_at = models.DateTimeField(help_text=_("When it was set up: the intent's own time at Stripe."))
    read_at = models.DateTimeField(
        null=True, blank=True, help_text=_("When the sweep over expiry dates last read the card at Stripe.")
    )
    refresh = models.BooleanField(default=False, help_text=_("The payer should give us a new card."))
    gone = models.BooleanField(default=False, help_text=_("Taken off, or its customer was deleted, at Stripe."))
    replaced = models.BooleanField(default=False, help_text=_("A newer card has taken its place in a plan."))
    detached_at = models.DateTimeField(null=True, blank=True, help_text=_("When we took it off at Stripe."))

    objects = SavedCardManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["-set_up_at", "-pk"]
        verbose_name = _("saved card")
        constraints = [
            models.UniqueConstraint(fields=["payment_method_id", "livemode"], name="checkout_saved_card_unique"),
        ]
        indexes = [
            models.Index(fields=["customer", "-set_up_at"], name="checkout_saved_card_newest"),
            models.Index(fields=["expiry_date", "id"], name="checkout_saved_card_expiry"),
            models.Index(fields=["fingerprint"], condition=~models.Q(fingerprint=""), name="checkout_saved_card_print"),
            models.Index(fields=["id"], condition=models.Q(refresh=True), name="checkout_saved_card_refresh"),
            models.Index(fields=["last4"], name="checkout_saved_card_last4"),
            models.Index(
                fields=["id"], condition=models.Q(replaced=True, detached_at=None), name="checkout_saved_card_replaced"
            ),
        ]

    def __str__(self) -> str:
        return self.description or self.payment_method_id

    @property
    def good(self) -> bool:
        """True if Stripe can be asked to charge it. What its bank says is another matter."""
        return bool(self.payment_method_id) and not self.gone and self.detached_at is None

    @property
    def short_description(self) -> str:
        """For example "Visa ending in 4242"."""
        brand = (self.brand or str(_("card"))).replace("_", " ").capitalize()
        return str(_("%(brand)s ending in %(last4)s") % {"brand": brand, "last4": self.last4})

    @property
    def description(self) -> str:
        """For example "Visa ending in 4242, expires 08/2029"."""
        ending = self.short_description
        if not self.exp_year:
            return ending
        return _("%(card)s, expires %(month)02d/%(year)d") % {
            "card": ending,
            "month": self.exp_month or 0,
            "year": self.exp_year,
        }

    @property
    def is_expiring(self) -> bool:
        """True if the card runs out within a month, or has run out."""
        return self.expiry_date is not None and self.expiry_date <= clock.today() + relativedelta(months=1)

    @property
    def has_run_out(self) -> bool:
        return self.expiry_date is not None and self.expiry_date < clock.today()

    @staticmethod
    def last_good_day(month: int, year: int) -> datetime.date:
        """A card is valid through the last day of the month printed on it."""
        return datetime.date(year, month, calendar.monthrange(year, month)[1])


class AgreementQuerySet(models.QuerySet["Agreement"]):
    """Reads only: what a payer agreed to is evidence."""

    def update(self, **kwargs: Any) -> int:
        raise ValidationError("An agreement is never changed. Ask the payer to agree to a new one.")

    def delete(self) -> tuple[int, dict[str, int]]:
        raise ValidationError("An agreement is never deleted.")


class AgreementManager(ReadsPrimary, models.Manager.from_queryset(AgreementQuerySet)):  # type: ignore[misc]
    """Reads of the primary database."""


class Agreement(models.Model):
    """What allows a card to be charged: what was agreed, by whom, and about which card. Written once and never changed.

    The card networks want the wording, the amounts and dates, the time and the address kept
    (https://docs.stripe.com/strong-customer-authentication/sca-enforcement). Only the card is named later, once, when
    Stripe has saved it.
    """

    class Kind(models.TextChoices):
        PAYER = "payer", _("the payer agreed on a page of ours")
        PAPER = "paper", _("staff hold the payer's agreement on paper")
        HOST = "host", _("the site asked the payer on a page of its own")
        MOVED = "moved", _("moved over from an older system")
        CHANGED = "changed", _("changed in the payer's favour, and the payer was told")

    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.PAYER)
    checkout = models.OneToOneField(
        "checkout.Checkout", on_delete=models.PROTECT, null=True, blank=True, related_name="agreement"
    )
    saved_card = models.ForeignKey(
        SavedCard, on_delete=models.PROTECT, null=True, blank=True, related_name="agreements"
    )
    other_amounts = models.BooleanField(
        default=False, help_text=_("Amounts outside the lines, which staff ask for, may be charged as well.")
    )
    note = models.CharField(max_length=255, blank=True, help_text=_("Why staff recorded it, in their words."))
    text = models.TextField()
    version = models.CharField(max_length=50)
    total = fields.amount(null=True, blank=True)
    currency = fields.currency()
    lines = models.JSONField(default=list, help_text=_("Each payment: count, due (ISO date), amount (text)."))
    agreed_at = models.DateTimeField(default=clock.now)
    ip_address = models.GenericIPAddressField(null=True, blank=True)
    user_agent = models.CharField(max_length=500, blank=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        # The row stays as it was written even when the user is deleted later.
        on_delete=models.DO_NOTHING,
        null=True,
        blank=True,
        related_name="+",
        db_constraint=False,
    )

    objects = AgreementManager()
    #: For Django itself, which may forget a user.
    rows = PrimaryManager()

    class Meta:
        base_manager_name = "rows"
        ordering = ["pk"]
        verbose_name = _("agreement")

    def __str__(self) -> str:
        return f"Agreement of {self.agreed_at:%Y-%m-%d %H:%M}, version {self.version}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            raise ValidationError("An agreement is never changed. Ask the payer to agree to a new one.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise ValidationError("An agreement is never deleted.")

    def name_card(self, card: SavedCard) -> bool:
        """Say which card it is about, once. False if it is about another card already."""
        rows: models.QuerySet[Agreement] = models.QuerySet(Agreement).filter(pk=self.pk)
        if rows.filter(saved_card=None).update(saved_card=card) or self.saved_card_id == card.pk:
            self.saved_card = card
            return True
        return False
