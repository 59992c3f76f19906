"""What the rehearsed plan pays for."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, ClassVar

from django.db import models

if TYPE_CHECKING:
    from checkout.models import Checkout


class Order(models.Model):
    """A content object as plain as can be."""

    total = models.DecimalField(max_digits=15, decimal_places=3)
    currency = models.CharField(max_length=3)

    objects: models.Manager[Order] = models.Manager()

    class Meta:
        app_label = "checkout_rehearsal"

    checkout_actions: ClassVar[list[str]] = ["payment_plan"]
    checkout_can_charge = True
    checkout_description: ClassVar[list[str]] = ["Rehearsal"]
    checkout_email = "payer@rehearsal.invalid"
    checkout_name = "The payer"

    def __str__(self) -> str:
        return "Rehearsal"

    def get_absolute_url(self) -> str:
        return "/"

    @property
    def checkout_total(self) -> Decimal:
        return self.total

    @property
    def checkout_currency(self) -> str:
        return self.currency

    def checkout_success(self, checkout: Checkout) -> None:
        """Nothing follows from it here."""

    def checkout_fail(self, due: datetime.date | None = None) -> None:
        """Nothing follows from it here."""

    def checkout_success_url(self, checkout_pk: int) -> str:
        return "/"

    def checkout_fail_url(self, checkout_pk: int) -> str:
        return "/"
