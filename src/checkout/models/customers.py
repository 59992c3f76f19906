"""Our rows for Stripe Customers, and amounts that staff ask of them outside any plan."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.contenttypes.fields import GenericRelation
from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from checkout import actions, clock, states
from checkout.models import fields
from checkout.models.managers import CustomerManager
from checkout.models.primary import PrimaryManager

if TYPE_CHECKING:
    from checkout.models.cards import SavedCard
    from checkout.models.checkouts import Checkout


class Customer(models.Model):
    """A payer, one per e-mail address. It is an address, not an identity and not a card: a `SavedCard` is, which an
    agreement names."""

    MAIL_TEMPLATE_CARD_EXPIRY = "customer_card_expiry"
    MAIL_TEMPLATE_CARD_REFRESH_REQUEST = "customer_card_refresh_request"

    name = models.CharField(max_length=255, blank=True)
    email = models.EmailField()
    email_folded = fields.FoldedField(of="email", max_length=254, unique=True, editable=False)
    language = models.CharField(
        max_length=12, blank=True, help_text=_("In which the payer used our pages; mails are written in it.")
    )
    uuid = models.UUIDField(
        default=uuid.uuid4, editable=False, help_text=_("By which the customer is known again at Stripe.")
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)
    merged_into = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="merged",
        help_text=_("The same person: everything is there now, and this address leads there."),
    )
    merged_at = models.DateTimeField(null=True, blank=True)

    objects = CustomerManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["pk"]
        verbose_name = _("customer")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(merged_into=None) | ~models.Q(merged_into=models.F("id")),
                name="checkout_customer_not_into_itself",
            ),
            models.CheckConstraint(
                condition=models.Q(merged_into=None, merged_at=None)
                | models.Q(merged_into__isnull=False, merged_at__isnull=False),
                name="checkout_customer_merged_at_a_time",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>" if self.name else self.email

    # -- its cards: by plan, so what is told here is about those in use ---------------------------------

    @property
    def cards_in_use(self) -> models.QuerySet[SavedCard]:
        """The cards that plans with something left to pay are charged to, the newest first."""
        return self.saved_cards.in_use()

    @property
    def is_expiring(self) -> bool:
        """True if a card in use runs out within a month, or has run out."""
        return any(card.is_expiring for card in self.cards_in_use)

    @property
    def refresh(self) -> bool:
        """True if the payer of a card in use should give us a new one."""
        return self.cards_in_use.filter(refresh=True).exists()

    @property
    def newest_card(self) -> SavedCard | None:
        """The good card that was set up last."""
        return self.saved_cards.good().first()

    @property
    def card_for_other_amounts(self) -> SavedCard | None:
        """The newest good card whose owner agreed to amounts outside a plan."""
        return self.saved_cards.good().filter(agreements__other_amounts=True).first()

    @property
    def has_card(self) -> bool:
        return self.newest_card is not None

    @property
    def card_description(self) -> str:
        """The newest card, for example "Visa ending in 4242, expires 08/2029"; empty without one."""
        card = self.newest_card
        return card.description if card is not None else ""


class CustomerPayment(models.Model):
    """An amount that staff ask of a customer, outside any plan. It is itself a content object."""

    MAIL_TEMPLATE_REQUEST = "customer_payment_request"
    MAIL_TEMPLATE_WITHDRAWN = "customer_payment_withdrawn"

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
    links_revoked_at = models.DateTimeField(
        null=True, blank=True, help_text=_("Links that were sent before open nothing any more.")
    )
    withdrawn_at = models.DateTimeField(null=True, blank=True, help_text=_("From then on it cannot be paid."))
    withdrawn_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    withdrawn_why = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    checkouts = GenericRelation("checkout.Checkout", related_query_name="customer_payment")

    objects: models.Manager[CustomerPayment] = PrimaryManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["-pk"]
        verbose_name = _("request for money")
        verbose_name_plural = _("requests for money")
        constraints = [
            fields.positive("total", name="checkout_customer_payment_total"),
            fields.known_currency(name="checkout_customer_payment_currency"),
            # What was paid is not withdrawn, and what is withdrawn waits for nobody.
            models.CheckConstraint(
                condition=models.Q(withdrawn_at=None) | models.Q(state__in=[states.PENDING, states.FAIL]),
                name="checkout_customer_payment_withdrawn",
            ),
        ]
        indexes = [models.Index(fields=["total", "-id"], name="checkout_request_total")]

    def __str__(self) -> str:
        return f"{self.description}: {self.total} {self.currency} from {self.customer}"

    def get_absolute_url(self) -> str:
        return reverse("checkout.customer.payment.detail", args=[self.uuid])

    @property
    def checkout_actions(self) -> list[str]:
        return [actions.PAYMENT]

    @property
    def is_withdrawn(self) -> bool:
        """True once staff took it back: nothing is owed for it any more."""
        return self.withdrawn_at is not None

    @property
    def is_to_pay(self) -> bool:
        return self.state_id != states.SUCCESS and not self.is_withdrawn

    @property
    def checkout_can_charge(self) -> bool:
        return self.is_to_pay

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
