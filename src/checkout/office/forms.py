"""Forms of the staff pages: reasons, days, notes, and what the others are made of."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from checkout import clock
from checkout.office import odd
from checkout.office.odd import SureMixin


class DescribedForm(forms.Form):
    """Ties each message to its field, for people who listen to the page."""

    required_css_class = "required"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)


class ConfirmForm(DescribedForm):
    """Nothing to enter: the button is enough."""


class ReasonForm(DescribedForm):
    """Why staff do something; it is kept with what was done."""

    reason = forms.CharField(
        label=gettext_lazy("Why"),
        max_length=200,
        help_text=gettext_lazy("For your colleagues; the payer does not see it."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


class OptionalReasonForm(ReasonForm):
    reason = forms.CharField(
        label=gettext_lazy("Note"),
        max_length=200,
        required=False,
        help_text=gettext_lazy("For your colleagues; the payer does not see it."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


class CorrectForm(ReasonForm):
    """A payer's name and address, as they should have been."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=255, required=False)
    email = forms.EmailField(label=gettext_lazy("E-mail address"), max_length=254)
    field_order = ("name", "email", "reason")


class MergeForm(ReasonForm):
    """The address of the customer that everything goes to."""

    into = forms.EmailField(widget=forms.HiddenInput, max_length=254)


class NoteForm(DescribedForm):
    """What colleagues should know."""

    note = forms.CharField(
        label=gettext_lazy("Note"),
        max_length=2000,
        help_text=gettext_lazy("For your colleagues; the payer does not see it."),
        widget=forms.Textarea(attrs={"rows": 4}),
    )


class EvidenceForm(DescribedForm):
    """Texts for a payer's bank, in Stripe's fields."""

    KEEP, SEND = "keep", "send"

    customer_name = forms.CharField(label=gettext_lazy("Name of the payer"), max_length=500, required=False)
    customer_email_address = forms.EmailField(label=gettext_lazy("E-mail address"), required=False)
    product_description = forms.CharField(
        label=gettext_lazy("What was sold"),
        max_length=20_000,
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    service_date = forms.CharField(
        label=gettext_lazy("When the payer got it"),
        max_length=500,
        required=False,
        help_text=gettext_lazy("As people write a date, in English."),
    )
    uncategorized_text = forms.CharField(
        label=gettext_lazy("Everything else"),
        max_length=20_000,
        help_text=gettext_lazy(
            "Agreement, receipt, authentication, letters and history, from our books. Change it freely."
        ),
        widget=forms.Textarea(attrs={"rows": 14}),
    )
    how = forms.ChoiceField(
        label=gettext_lazy("What to do"),
        choices=[
            (KEEP, gettext_lazy("Keep it at Stripe; it can be changed until it is sent")),
            (SEND, gettext_lazy("Send it to the bank now; this cannot be undone, and the bank takes it once")),
        ],
        initial=KEEP,
        widget=forms.RadioSelect,
    )


class DueMixin(SureMixin):
    """The field `due` holds the day on which something is to be paid: not past, and asked about once more when far."""

    def clean_due(self) -> Any:
        due = self.cleaned_data["due"]
        if due < clock.today():
            raise forms.ValidationError(_("Choose today or a later day."))
        if due.year > clock.today().year + 30:
            raise forms.ValidationError(_("Choose a day within the next thirty years."))
        return due

    def odd(self, cleaned: dict[str, Any]) -> list[str]:
        return [odd.day(cleaned["due"])] if "due" in cleaned else []


class DueForm(DueMixin, ReasonForm):
    due = forms.DateField(
        label=gettext_lazy("New due date"),
        # A browser's date field takes this form only, whatever the reader's is.
        widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
    )
    field_order = ("due", "reason")


class DayForm(OptionalReasonForm):
    """A day from tomorrow on, within a year."""

    day = forms.DateField(label=gettext_lazy("Day"), widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}))
    field_order = ("day", "reason")

    def clean_day(self) -> Any:
        day = self.cleaned_data["day"]
        if day is not None and not clock.today() < day <= clock.today() + timedelta(days=366):
            raise forms.ValidationError(_("Choose a later day than today, within a year."))
        return day


class PromiseForm(DayForm):
    """Without a day the promise is taken back."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["day"].required = False
        self.fields["day"].help_text = _("Leave it empty to take the promise back.")


class PayDayForm(OptionalReasonForm):
    """The day of the month on which a payer is paid; empty where it is not known."""

    pay_day = forms.IntegerField(
        label=gettext_lazy("Day of the month"),
        min_value=1,
        max_value=31,
        required=False,
        help_text=gettext_lazy("From 1 to 31. Leave it empty if it is not known."),
    )
    field_order = ("pay_day", "reason")


class KeyedForm(DescribedForm):
    """Carries a key made when the form was shown: sent twice, it is done once."""

    key = forms.UUIDField(widget=forms.HiddenInput, initial=uuid.uuid4)
