"""What staff enter to change a plan: a form for each kind of change, and its terms as `propose_change` takes them."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from checkout.models import PlanChange
from checkout.office.forms import ReasonForm
from checkout.office.money_forms import AmountField
from checkout.plan_changes import Line

Kind = PlanChange.Kind


def _date_field(label: Any, **more: Any) -> forms.DateField:
    # A browser's date field takes this form only, whatever the reader's is.
    return forms.DateField(label=label, widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}), **more)


class TermsForm(forms.Form):
    """The terms of one kind of change. `lines` are those of the plan as they stand."""

    required_css_class = "required"

    def __init__(self, *args: Any, lines: list[Line], **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)
        self.lines = lines

    @property
    def terms(self) -> dict[str, Any]:
        return dict(self.cleaned_data)


class PauseForm(TermsForm):
    months = forms.IntegerField(label=gettext_lazy("For how many months"), min_value=1, max_value=24, initial=1)


class DayOfMonthForm(TermsForm):
    day = forms.IntegerField(label=gettext_lazy("Day of the month"), min_value=1, max_value=31)


class SplitForm(TermsForm):
    count = forms.IntegerField(label=gettext_lazy("How many payments"), min_value=1, max_value=100)
    first = _date_field(gettext_lazy("The first on"))
    interval = forms.IntegerField(label=gettext_lazy("Months between them"), min_value=1, max_value=12, initial=1)


class AmountForm(TermsForm):
    amount = AmountField(label=gettext_lazy("Amount"), min_value=Decimal("0.001"), max_digits=15, decimal_places=3)


class LinesForm(TermsForm):
    """Every payment still to come, with its day and amount (nothing takes it off), and room for one more."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for line in self._open:
            name = _("Payment %(number)d") % {"number": line.count}
            self.fields[f"due_{line.pk}"] = _date_field(_("%(name)s: day") % {"name": name}, initial=line.due)
            self.fields[f"amount_{line.pk}"] = self._amount(_("%(name)s: amount") % {"name": name}, line.to_come)
        self.fields["due_new"] = _date_field(_("One more payment: day"), required=False)
        self.fields["amount_new"] = self._amount(_("One more payment: amount"), None)

    @property
    def _open(self) -> list[Line]:
        return [line for line in self.lines if line.is_open]

    @staticmethod
    def _amount(label: str, initial: Decimal | None) -> AmountField:
        return AmountField(
            label=label, initial=initial, min_value=0, max_digits=15, decimal_places=3, required=initial is not None
        )

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if bool(cleaned.get("due_new")) != bool(cleaned.get("amount_new")):
            self.add_error("due_new", _("One more payment has a day and an amount."))
        return cleaned

    @property
    def terms(self) -> dict[str, Any]:
        said = self.cleaned_data
        wanted: list[tuple[int | None, datetime.date, Decimal]] = [
            (line.pk, said[f"due_{line.pk}"], said[f"amount_{line.pk}"]) for line in self._open
        ]
        if said.get("due_new"):
            wanted.append((None, said["due_new"], said["amount_new"]))
        return {"wanted": wanted}


class UndoChangeForm(TermsForm):
    """Which earlier change is undone."""

    number = forms.TypedChoiceField(label=gettext_lazy("Which change"), coerce=int)

    def __init__(self, *args: Any, undoable: list[tuple[int, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        number: Any = self.fields["number"]
        number.choices = undoable


class PayerForm(TermsForm):
    """Who is to pay from now on."""

    name = forms.CharField(label=gettext_lazy("Name of the new payer"), max_length=255)
    email = forms.EmailField(label=gettext_lazy("E-mail address of the new payer"), max_length=254)


class NoTermsForm(TermsForm):
    """The kind says it all."""


FORMS: dict[str, type[TermsForm]] = {
    Kind.PAUSE: PauseForm,
    Kind.PAY_DAY: DayOfMonthForm,
    Kind.SPLIT: SplitForm,
    Kind.LINES: LinesForm,
    Kind.DISCOUNT: AmountForm,
    Kind.FEE: AmountForm,
    Kind.WRITE_OFF: NoTermsForm,
    Kind.PAYER: PayerForm,
    Kind.REOPEN: NoTermsForm,
    Kind.UNDO: UndoChangeForm,
}
#: Of a plan that was stopped.
OF_STOPPED: tuple[str, ...] = (Kind.REOPEN, Kind.WRITE_OFF)


class DecideForm(ReasonForm):
    """Why, and whether staff hold the payer's agreement."""

    on_paper = forms.BooleanField(
        label=gettext_lazy("We hold the payer's agreement on paper"),
        required=False,
        help_text=gettext_lazy("Otherwise the payer is asked by mail, and the old terms hold until they agree."),
    )
    field_order = ("reason", "on_paper")

    def __init__(self, *args: Any, may_be_on_paper: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not may_be_on_paper:
            del self.fields["on_paper"]
