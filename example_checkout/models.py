"""What the shop sells, and to whom. `SalesLedger` is the content object: the row that is paid for."""

from __future__ import annotations

import datetime
import logging
from decimal import Decimal
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.urls import reverse

from checkout import mail
from checkout.money import format_money

if TYPE_CHECKING:
    from checkout.models import Checkout, ObjectPaymentPlan

logger = logging.getLogger("example_checkout")


class Contact(models.Model):
    """A customer of the shop, who may have a login."""

    name = models.CharField(max_length=100)
    email = models.EmailField()
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="contact"
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Product(models.Model):
    """A course or a membership."""

    PICTURES = frozenset({"beekeeping", "bookkeeping", "garden-design", "library", "pottery", "first-aid"})

    name = models.CharField(max_length=100)
    slug = models.SlugField(unique=True)
    when = models.CharField(max_length=100, blank=True, help_text="For example: Tuesdays, 7 pm, ten weeks.")
    description = models.TextField(blank=True)
    price = models.DecimalField(max_digits=8, decimal_places=2)
    on_plan = models.BooleanField(default=False, help_text="May be paid in instalments or by invoice.")

    class Meta:
        ordering = ["price"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("example.product", args=[self.slug])

    @property
    def price_text(self) -> str:
        return format_money(self.price, "GBP")

    @property
    def picture(self) -> str:
        """The static file that shows it; a course that staff add has the college's own picture."""
        known = self.slug if self.slug in self.PICTURES else "college"
        return f"example/img/{known}.svg"


class SalesLedger(models.Model):
    """One thing sold to one contact."""

    class Status(models.TextChoices):
        OPEN = "open", "To pay"
        PAID = "paid", "Paid"
        ON_PLAN = "on_plan", "Paying in instalments"
        INVOICED = "invoiced", "Invoice asked for"

    contact = models.ForeignKey(Contact, on_delete=models.PROTECT, related_name="sales")
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="+")
    quantity = models.PositiveSmallIntegerField(default=1)
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.OPEN)
    overdue = models.DateField(null=True, blank=True, help_text="An instalment due on this day was not paid.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = "sales ledger"

    def __str__(self) -> str:
        return f"{self.product} for {self.contact}"

    def get_absolute_url(self) -> str:
        return reverse("example.sales.ledger", args=[self.pk])

    @property
    def total_text(self) -> str:
        return format_money(self.checkout_total, "GBP")

    @property
    def live_plan(self) -> ObjectPaymentPlan | None:
        """The payment plan that was agreed for it, if there is one."""
        from checkout.models import ObjectPaymentPlan

        try:
            return ObjectPaymentPlan.objects.for_content_object(self)
        except ObjectPaymentPlan.DoesNotExist:
            return None

    # -- the content-object contract of checkout ----------------------------------------------------

    @property
    def checkout_actions(self) -> list[str]:
        return ["payment", "payment_plan", "invoice"] if self.product.on_plan else ["payment"]

    @property
    def checkout_can_charge(self) -> bool:
        return self.status in (self.Status.OPEN, self.Status.INVOICED)

    @property
    def checkout_contact(self) -> Contact:
        return self.contact

    @property
    def checkout_description(self) -> list[str]:
        return [f"{self.quantity} of {self.product.name}" if self.quantity > 1 else self.product.name]

    @property
    def checkout_email(self) -> str:
        return self.contact.email

    @property
    def checkout_name(self) -> str:
        return self.contact.name

    @property
    def checkout_total(self) -> Decimal:
        return self.product.price * self.quantity

    @property
    def checkout_user(self) -> object:
        return self.contact.user

    def checkout_success(self, checkout: Checkout) -> None:
        if checkout.is_payment_plan:
            self.status = self.Status.ON_PLAN
        elif checkout.is_invoice:
            self.status = self.Status.INVOICED
        else:
            self.status = self.Status.PAID
        self.overdue = None
        self.save(update_fields=["status", "overdue"])
        self._queue_receipt(checkout)

    def _queue_receipt(self, checkout: Checkout) -> None:
        """A row in the transaction that settles: no mail about something that was rolled back, and none is lost."""
        if self.status != self.Status.PAID or checkout.total is None:
            return
        amount = format_money(checkout.total, checkout.currency)
        lines = [
            f"Dear {self.contact.name},",
            f"Thank you. We have received {amount} for:",
            "\n".join(self.checkout_description),
            "Your place is booked, and there is nothing more to do.",
            "Green Lane College",
        ]
        try:
            mail.queue_text(self.contact.email, f"Paid: {amount} for {self.product.name}", "\n\n".join(lines))
        except mail.MailNotReady:
            # An address that is none must not keep the payment from being written down.
            logger.exception("no receipt for order %s", self.pk)

    def checkout_fail(self, due: datetime.date | None = None) -> None:
        if due is not None:
            self.overdue = due
            self.save(update_fields=["overdue"])

    def checkout_success_url(self, checkout_pk: int) -> str:
        return reverse("example.thank.you", args=[self.pk])

    def checkout_fail_url(self, checkout_pk: int) -> str:
        return self.get_absolute_url()
