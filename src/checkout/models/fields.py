"""Columns and constraints that several tables share."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from django.contrib.contenttypes.fields import GenericForeignKey
from django.db import models
from django.utils.translation import gettext_lazy as _

from checkout import money, states

if TYPE_CHECKING:
    _CharField = models.CharField[str, str]
else:
    # Django's fields have no subscript at run time.
    _CharField = models.CharField


class ContentObjectField(GenericForeignKey):
    """The host's row that is paid for; None when the row is gone, or its whole model (Django's own field raises then).

    What was paid is kept for years, and hosts remove models in that time.
    """

    def __get__(self, instance: Any, cls: Any = None) -> Any:
        if instance is not None and not self.is_cached(instance) and not self._has_model(instance):
            return None
        return super().__get__(instance, cls)

    def get_prefetch_querysets(self, instances: Any, querysets: Any = None) -> Any:
        live = [instance for instance in instances if self._has_model(instance)]
        rows, key_of_row, key, *rest = super().get_prefetch_querysets(live, querysets)  # type: ignore[misc]
        key_if_live: Callable[[Any], Any] = lambda instance: key(instance) if self._has_model(instance) else None  # noqa: E731
        return (rows, key_of_row, key_if_live, *rest)

    def get_content_type(
        self,
        obj: Any = None,
        id: Any = None,  # noqa: A002 - Django names it
        using: Any = None,
        model: Any = None,
    ) -> Any:
        """As Django's, which copies the manager of types for each look: a run looks at its rows six times a charge."""
        types = _types(obj._state.db if obj is not None else using)
        if obj is None and id is not None:
            return types.get_for_id(id)
        return types.get_for_model(model if obj is None else obj, for_concrete_model=self.for_concrete_model)

    def _has_model(self, instance: Any) -> bool:
        content_type_id = getattr(instance, self.model._meta.get_field(self.ct_field).attname)
        return content_type_id is None or self.get_content_type(id=content_type_id).model_class() is not None


@cache
def _types(alias: str | None) -> Any:
    # The copies share what they remember.
    from django.contrib.contenttypes.models import ContentType

    return ContentType.objects.db_manager(alias)


class FoldedField(_CharField):
    """Another text column without its case and outer spaces, kept equal by every save.

    Python folds, not the database: SQLite, and PostgreSQL with the collation C, leave letters beyond ASCII as they are.
    """

    def __init__(self, *args: Any, of: str = "", **kwargs: Any) -> None:
        self.of = of
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, kwargs | {"of": self.of}

    def pre_save(self, model_instance: models.Model, add: bool) -> str:
        value = fold(getattr(model_instance, self.of))
        setattr(model_instance, self.attname, value)
        return value


def fold(text: str) -> str:
    """How two texts are compared when neither case nor outer spaces count."""
    return text.strip().lower()


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
