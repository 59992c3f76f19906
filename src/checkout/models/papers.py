"""The numbers of receipts and invoices: one after another in each series, without a gap."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from checkout import clock
from checkout.models.checkouts import Checkout
from checkout.models.primary import PrimaryManager


class PaperSeries(models.Model):
    """The last number that was given in a series. Whoever takes the next one holds this row until their commit."""

    name = models.CharField(max_length=40, unique=True)
    last = models.PositiveIntegerField(default=0)

    objects: models.Manager[PaperSeries] = PrimaryManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["name"]
        verbose_name = _("series of papers")
        verbose_name_plural = _("series of papers")

    def __str__(self) -> str:
        return f"{self.name}: {self.last}"


class Paper(models.Model):
    """A receipt (of a payment) or an invoice (that was asked for): its number. What it says is read from the books.

    It is given right after the payment is settled, and never changed.
    """

    checkout = models.OneToOneField(Checkout, on_delete=models.PROTECT, related_name="paper")
    series = models.CharField(max_length=40)
    number = models.PositiveIntegerField()
    card_brand = models.CharField(max_length=30, blank=True)
    card_last4 = models.CharField(max_length=4, blank=True, help_text=_("Of the card that was used, once we know it."))
    card_wallet = models.CharField(max_length=30, blank=True, help_text=_("Of Stripe's: apple_pay, google_pay, link."))
    issued_at = models.DateTimeField(default=clock.now, editable=False)

    objects: models.Manager[Paper] = PrimaryManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["-pk"]
        verbose_name = _("receipt or invoice")
        verbose_name_plural = _("receipts and invoices")
        constraints = [
            models.UniqueConstraint(fields=["series", "number"], name="checkout_paper_number"),
            models.CheckConstraint(condition=models.Q(number__gt=0), name="checkout_paper_number_positive"),
        ]
        indexes = [
            models.Index(fields=["card_last4", "-id"], condition=~models.Q(card_last4=""), name="checkout_paper_last4")
        ]

    def __str__(self) -> str:
        return self.label

    @property
    def label(self) -> str:
        """As it is printed: R-2026-00017."""
        return f"{self.series}-{self.number:05d}"

    @property
    def wallet(self) -> str:
        """The wallet that the card was in, by its own name, which no language translates."""
        return " ".join(part.capitalize() for part in self.card_wallet.split("_"))
