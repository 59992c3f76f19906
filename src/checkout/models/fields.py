"""Columns and constraints that several tables share."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from checkout import money, states


def amount(**kwargs: Any) -> models.DecimalField[Any, Any]:
    """Money in whole currency units. Three decimals, for the currencies that have them."""
    return models.DecimalField(max_digits=15, decimal_places=3, **kwargs)


def currency() -> models.CharField[Any, Any]:
    """An ISO code in capitals."""
    return models.CharField(max_length=3, default="GBP")


def state() -> models.ForeignKey[Any, Any]:
    """A foreign key to the lookup table whose value is the slug itself, so that reading it costs no query."""
    return models.ForeignKey(
        "checkout.CheckoutState",
        to_field="slug",
        default=states.PENDING,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("state"),
        db_index=False,
    )


def positive(name_of_column: str, *, name: str, or_null: bool = False) -> models.CheckConstraint:
    condition = models.Q(**{f"{name_of_column}__gt": 0})
    if or_null:
        condition |= models.Q(**{f"{name_of_column}__isnull": True})
    return models.CheckConstraint(condition=condition, name=name)


def known_currency(*, name: str) -> models.CheckConstraint:
    return models.CheckConstraint(condition=models.Q(currency__in=sorted(money.CURRENCIES)), name=name)


def unique_unless_blank(column: str, *, name: str) -> models.UniqueConstraint:
    return models.UniqueConstraint(fields=[column], condition=~models.Q(**{column: ""}), name=name)
