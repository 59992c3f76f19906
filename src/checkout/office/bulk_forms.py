"""Forms of the staff pages for what is done to many rows at once."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy

from checkout.models import (
    BulkJob,
)
from checkout.office import odd
from checkout.office.forms import DueForm, KeyedForm, ReasonForm
from checkout.office.odd import SureMixin


class BulkForm(SureMixin, KeyedForm, ReasonForm):
    """What an action for many wants. `terms` are those of the job; `number` is how many it is for."""

    def __init__(self, *args: Any, number: int = 0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.number = number

    def odd(self, cleaned: dict[str, Any]) -> list[str]:
        return [odd.number(self.number)]

    @property
    def terms(self) -> dict[str, Any]:
        return {}


class BulkRemindForm(BulkForm):
    """A mail wants no reason."""

    reason = None  # type: ignore[assignment]


class BulkMoveForm(BulkForm):
    due = DueForm.base_fields["due"]
    field_order = ("due", "reason")
    clean_due = DueForm.clean_due

    def odd(self, cleaned: dict[str, Any]) -> list[str]:
        return [*super().odd(cleaned), *([odd.day(cleaned["due"])] if "due" in cleaned else [])]

    @property
    def terms(self) -> dict[str, Any]:
        return {"day": self.cleaned_data["due"].isoformat()}


class BulkPauseForm(BulkForm):
    months = forms.IntegerField(label=gettext_lazy("For how many months"), min_value=1, max_value=24, initial=1)
    field_order = ("months", "reason")

    @property
    def terms(self) -> dict[str, Any]:
        return {"months": self.cleaned_data["months"]}


BULK_FORMS: dict[str, type[BulkForm]] = {
    BulkJob.Kind.REMIND: BulkRemindForm,
    BulkJob.Kind.MOVE: BulkMoveForm,
    BulkJob.Kind.PAUSE: BulkPauseForm,
    BulkJob.Kind.STOP: BulkForm,
    BulkJob.Kind.WRITE_OFF: BulkForm,
}
