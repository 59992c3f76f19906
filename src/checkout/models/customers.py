"""Our rows for Stripe Customers, and amounts that staff ask of them outside any plan."""

from __future__ import annotations

import calendar
import datetime
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING

from dateutil.relativedelta import relativedelta
from django.conf import settings
from django.contrib.contenttypes.fields import GenericRelation
from django.db import models
from django.db.models.functions import Lower
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from checkout import actions, clock, states
from checkout.models import fields
from checkout.models.managers import CustomerManager

if TYPE_CHECKING:
    from checkout.models.checkouts import Checkout


class Customer(models.Model):
    """A Stripe Customer and the card that is charged while its owner is away. One per e-mail address."""

    MAIL_TEMPLATE_CARD_EXPIRY = "customer_card_expiry"
    MAIL_TEMPLATE_CARD_REFRESH_REQUEST = "customer_card_refresh_request"

    name = models.CharField(max_length=255, blank=True)
    email = models.EmailField()
    customer_id = models.CharField(max_length=255, blank=True, help_text=_("Stripe's id (cus_…)."))
    payment_method_id = models.CharField(
        max_length=255,
        blank=True,
        help_text=_("The card that is charged off session (pm_…, or card_…/src_… of old)."),
    )
    card_brand = models.CharField(max_length=30, blank=True)
    card_last4 = models.CharField(max_length=4, blank=True)
    card_exp_month = models.PositiveSmallIntegerField(null=True, blank=True)
    card_exp_year = models.PositiveSmallIntegerField(null=True, blank=True)
    card_fingerprint = models.CharField(max_length=64, blank=True)
    expiry_date = models.DateField(null=True, blank=True, help_text=_("Last day on which the card is good."))
    card_read_at = models.DateTimeField(
        null=True, blank=True, help_text=_("When the sweep over expiry dates last read the card at Stripe.")
    )
    refresh = models.BooleanField(default=False, help_text=_("The payer should give us a new card."))
    language = models.CharField(
        max_length=12, blank=True, help_text=_("In which the payer used our pages; mails are written in it.")
    )
    creation_key = models.UUIDField(
        default=uuid.uuid4, editable=False, help_text=_("Idempotency key for making the customer at Stripe.")
    )
    deleted_at_stripe = models.BooleanField(default=False, help_text=_("The customer was deleted at Stripe."))
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = CustomerManager()

    class Meta:
        ordering = ["pk"]
        verbose_name = _("customer")
        constraints = [
            models.UniqueConstraint(Lower("email"), name="checkout_customer_one_per_email"),
            fields.unique_unless_blank("customer_id", name="checkout_customer_id_unique"),
        ]
        indexes = [
            models.Index(fields=["expiry_date", "id"], name="checkout_customer_expiry"),
            models.Index(fields=["id"], condition=models.Q(refresh=True), name="checkout_customer_refresh"),
        ]

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>" if self.name else self.email

    @property
    def has_card(self) -> bool:
        return bool(self.customer_id and self.payment_method_id and not self.deleted_at_stripe)

    @property
    def card_description(self) -> str:
        """For example "Visa ending in 4242, expires 08/2029"; empty without a card."""
        if not self.payment_method_id:
            return ""
        brand = (self.card_brand or str(_("card"))).replace("_", " ").capitalize()
        ending = _("%(brand)s ending in %(last4)s") % {"brand": brand, "last4": self.card_last4}
        if not self.card_exp_year:
            return str(ending)
        return _("%(card)s, expires %(month)02d/%(year)d") % {
            "card": ending,
            "month": self.card_exp_month or 0,
            "year": self.card_exp_year,
        }

    @property
    def is_expiring(self) -> bool:
        """True if the card runs out within a month, or has run out."""
        return self.expiry_date is not None and self.expiry_date <= clock.today() + relativedelta(months=1)

    @staticmethod
    def last_good_day(month: int, year: int) -> datetime.date:
        """A card is valid through the last day of the month printed on it."""
        return datetime.date(year, month, calendar.monthrange(year, month)[1])


class CustomerPayment(models.Model):
    """An amount that staff ask of a customer, outside any plan. It is itself a content object."""

    MAIL_TEMPLATE_REQUEST = "customer_payment_request"

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="payments")
    description = models.CharField(max_length=255)
    total = fields.amount()
    currency = fields.currency()
    state = fields.state()
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text=_("Who asked for it."),
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)
    checkouts = GenericRelation("checkout.Checkout", related_query_name="customer_payment")

    class Meta:
        ordering = ["-pk"]
        verbose_name = _("request for money")
        verbose_name_plural = _("requests for money")
        constraints = [
            fields.positive("total", name="checkout_customer_payment_total"),
            fields.known_currency(name="checkout_customer_payment_currency"),
        ]

    def __str__(self) -> str:
        return f"{self.description}: {self.total} {self.currency} from {self.customer}"

    def get_absolute_url(self) -> str:
        return reverse("checkout.customer.payment.detail", args=[self.uuid])

    @property
    def checkout_actions(self) -> list[str]:
        return [actions.PAYMENT]

    @property
    def checkout_can_charge(self) -> bool:
        return self.state_id != states.SUCCESS

    @property
    def checkout_currency(self) -> str:
        return self.currency

    @property
    def checkout_description(self) -> list[str]:
        return [self.description]

    @property
    def checkout_email(self) -> str:
        return self.customer.email

    @property
    def checkout_name(self) -> str:
        return self.customer.name

    @property
    def checkout_total(self) -> Decimal:
        return self.total

    def checkout_success(self, checkout: Checkout) -> None:
        from checkout.services import moves

        moves.move_content_object(self, to=states.SUCCESS, checkout=checkout)

    def checkout_fail(self, due: datetime.date | None = None) -> None:
        from checkout.services import moves

        moves.move_content_object(self, to=states.FAIL)

    def checkout_pay_on_session(self, checkout: Checkout) -> None:
        from checkout.services import requests

        requests.wants_payer(self, checkout)

    def checkout_success_url(self, checkout_pk: int) -> str:
        return self._payer_url()

    def checkout_fail_url(self, checkout_pk: int) -> str:
        return self._payer_url()

    def _payer_url(self) -> str:
        """The payer's own page; `get_absolute_url` is for staff."""
        from checkout.services import requests

        return requests.payer_path(self)
