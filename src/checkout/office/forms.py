"""Forms of the staff pages."""

from __future__ import annotations

import uuid
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.text import capfirst
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from checkout import clock, money, plan_rules, schedule
from checkout.conf import conf
from checkout.errors import MoneyError, PlanError
from checkout.models import (
    BulkJob,
    CheckoutSettings,
    Customer,
    CustomerPayment,
    PaymentPlan,
    Posting,
    Refund,
)
from checkout.office import odd
from checkout.office.odd import SureMixin
from checkout.services import debts

if TYPE_CHECKING:
    _PlanModelForm = forms.ModelForm[PaymentPlan]
    _SettingsModelForm = forms.ModelForm[CheckoutSettings]
else:
    # Django's ModelForm has no subscript at run time.
    _PlanModelForm = _SettingsModelForm = forms.ModelForm


class _Described(forms.Form):
    """Ties each message to its field, for people who listen to the page."""

    required_css_class = "required"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)


class ConfirmForm(_Described):
    """Nothing to enter: the button is enough."""


class ReasonForm(_Described):
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


class NoteForm(_Described):
    """What colleagues should know."""

    note = forms.CharField(
        label=gettext_lazy("Note"),
        max_length=2000,
        help_text=gettext_lazy("For your colleagues; the payer does not see it."),
        widget=forms.Textarea(attrs={"rows": 4}),
    )


class EvidenceForm(_Described):
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


class KeyedForm(_Described):
    """Carries a key made when the form was shown: sent twice, it is done once."""

    key = forms.UUIDField(widget=forms.HiddenInput, initial=uuid.uuid4)


class AmountField(forms.DecimalField):
    """An amount as its reader writes it: 1.000 is a thousand in German and nothing in English."""

    def to_python(self, value: Any) -> Any:
        if isinstance(value, str) and value.strip():
            try:
                value = money.parse_amount(value, get_language() or "en-gb")
            except MoneyError as problem:
                raise forms.ValidationError(str(problem)) from problem
        return super().to_python(value)


def amount_field(label: Any) -> forms.DecimalField:
    return AmountField(
        label=label,
        max_digits=12,
        decimal_places=3,
        min_value=Decimal("0.001"),
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}),
    )


class MeansForm(SureMixin, ReasonForm):
    """How something came by other means. What is not said is today, and in no particular way."""

    day = forms.DateField(
        label=gettext_lazy("Day"),
        required=False,
        help_text=gettext_lazy("When the money came. Empty: today."),
        widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
    )
    method = forms.ChoiceField(
        label=gettext_lazy("How it came"),
        required=False,
        choices=lambda: [("", _("not said")), *((value, capfirst(name)) for value, name in Posting.Method.choices)],
    )
    reference = forms.CharField(
        label=gettext_lazy("Reference"),
        required=False,
        max_length=100,
        help_text=gettext_lazy("What stands on the bank's statement, or on the cheque."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    field_order: tuple[str, ...] = ("day", "method", "reference", "reason")

    def clean_day(self) -> Any:
        day = self.cleaned_data["day"]
        if day is not None and day > clock.today():
            raise forms.ValidationError(_("That day has not come yet."))
        if day is not None and day < clock.today() - timedelta(days=3660):
            raise forms.ValidationError(_("Choose a day within the last ten years."))
        return day

    def odd(self, cleaned: dict[str, Any]) -> list[str]:
        return [odd.day(cleaned["day"])] if cleaned.get("day") else []

    @property
    def means(self) -> debts.Means:
        said = self.cleaned_data
        return debts.Means(said["day"], said["method"], said["reference"])


class UndoForm(DueMixin, KeyedForm, ReasonForm):
    """Undo what came by other means; `due` is when a line that was paid by it is due again."""

    due = forms.DateField(
        label=gettext_lazy("Due again on"),
        help_text=gettext_lazy("The card is charged on that day, as the payer agreed, and they hear of it before."),
        widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
    )
    field_order = ("due", "reason", "key")

    def __init__(self, *args: Any, due_again: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if due_again is None:
            del self.fields["due"]
        else:
            self.fields["due"].initial = due_again


class PaidForm(KeyedForm, MeansForm):
    """Paid by other means: all of it, or a part."""

    amount = amount_field(gettext_lazy("Amount"))
    field_order = ("amount", "day", "method", "reference", "reason", "key")

    def __init__(self, *args: Any, left: Decimal, currency: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.left, self.currency = left, currency
        shown = money.format_money(left, currency, get_language() or "en-gb")
        self.fields["amount"].required = False
        self.fields["amount"].help_text = _("Only if a part was paid. All that is left: %(left)s.") % {"left": shown}

    def clean_amount(self) -> Decimal:
        amount: Decimal | None = self.cleaned_data["amount"]
        if amount is not None and amount > self.left:
            raise forms.ValidationError(_("That is more than is left."))
        return self.left if amount is None else amount


class RefundForm(SureMixin, KeyedForm):
    """In full or in part; asks what becomes of the plan when the payment was a line of one, and once more about a large
    amount."""

    amount = amount_field(gettext_lazy("Amount"))
    reason = forms.ChoiceField(
        label=gettext_lazy("Reason, for Stripe"),
        choices=lambda: [(value, capfirst(name)) for value, name in Refund.Reason.choices],
    )
    plan_effect = forms.ChoiceField(
        label=gettext_lazy("What becomes of the plan"),
        choices=Refund.PlanEffect.choices,
        initial=Refund.PlanEffect.KEEP,
        widget=forms.RadioSelect,
    )
    note = forms.CharField(
        label=gettext_lazy("Why"),
        max_length=200,
        help_text=gettext_lazy("For your colleagues; the payer does not see it."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )

    def __init__(self, *args: Any, left: Decimal, currency: str, of_plan: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.left, self.currency = left, currency
        shown = money.format_money(left, currency, get_language() or "en-gb")
        self.fields["amount"].help_text = _("In %(currency)s; at most %(left)s.") % {
            "currency": currency,
            "left": shown,
        }
        if not of_plan:
            del self.fields["plan_effect"]

    def clean_amount(self) -> Decimal:
        amount: Decimal = self.cleaned_data["amount"]
        try:
            money.to_minor(amount, self.currency)
        except MoneyError as problem:
            raise forms.ValidationError(str(problem)) from problem
        if amount > self.left:
            raise forms.ValidationError(
                _("At most %(left)s can be refunded.")
                % {"left": money.format_money(self.left, self.currency, get_language() or "en-gb")}
            )
        return amount

    def odd(self, cleaned: dict[str, Any]) -> list[str]:
        return [odd.amount(cleaned["amount"], None, self.currency)] if "amount" in cleaned else []


class CustomerPaymentForm(SureMixin, KeyedForm):
    """Ask a customer for an amount."""

    CARD, LINK = "card", "link"

    email = forms.EmailField(
        label=gettext_lazy("E-mail address"), max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "off"})
    )
    name = forms.CharField(label=gettext_lazy("Name"), max_length=200, required=False)
    description = forms.CharField(
        label=gettext_lazy("What for"), max_length=200, help_text=gettext_lazy("The payer reads this.")
    )
    amount = amount_field(gettext_lazy("Amount"))
    how = forms.ChoiceField(
        label=gettext_lazy("How"),
        choices=[
            (LINK, gettext_lazy("Send a link by mail; the payer enters a card")),
            (CARD, gettext_lazy("Charge the saved card now, while the payer is away")),
        ],
        initial=LINK,
        widget=forms.RadioSelect,
    )

    def __init__(self, *args: Any, customer: Customer | None = None, may_charge: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.customer = customer
        self.fields["amount"].help_text = _("In %(currency)s.") % {"currency": conf.CHECKOUT_CURRENCY}
        if customer is not None:
            self.initial = {**self.initial, "email": customer.email, "name": customer.name}
        if not may_charge:
            how: Any = self.fields["how"]
            how.choices = [choice for choice in how.choices if choice[0] == self.LINK]

    def clean_amount(self) -> Decimal:
        amount: Decimal = self.cleaned_data["amount"]
        try:
            money.check_chargeable(amount, conf.CHECKOUT_CURRENCY)
        except MoneyError as problem:
            raise forms.ValidationError(str(problem)) from problem
        return amount

    def odd(self, cleaned: dict[str, Any]) -> list[str]:
        if "amount" not in cleaned:
            return []
        rows = CustomerPayment.objects.filter(currency=conf.CHECKOUT_CURRENCY).order_by("-pk").values_list("total")
        usual = max((total for (total,) in rows[:200]), default=None)
        return [odd.amount(cleaned["amount"], usual, conf.CHECKOUT_CURRENCY)]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if cleaned.get("how") == self.CARD and cleaned.get("email"):
            customer = Customer.objects.with_email(cleaned["email"])
            if customer is None or customer.card_for_other_amounts is None:
                self.add_error("how", _("Nobody with this address has agreed to such a charge. Send a link instead."))
        return cleaned


class PaymentPlanForm(_PlanModelForm):
    """A template: terms are checked by the same rules as everywhere."""

    class Meta:
        model = PaymentPlan
        fields: tuple[str, ...] = ("name", "slug", *PaymentPlan.TERMS, "recovery")
        labels = {"name": gettext_lazy("Name"), "slug": gettext_lazy("Short name")}
        help_texts = {"slug": gettext_lazy("A short name for addresses: lower-case letters, digits and hyphens.")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)
        for name in ("late_deposit", "paid_early"):
            # Not sent is the default.
            self.fields[name].required = False

    @property
    def terms(self) -> dict[str, Any]:
        """What was entered, by the names of the template's columns."""
        return {name: value for name, value in self.cleaned_data.items() if value != ""}

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if all(isinstance(cleaned.get(name), int) for name in ("deposit", "count", "interval")):
            try:
                schedule.check_terms(deposit=cleaned["deposit"], count=cleaned["count"], interval=cleaned["interval"])
                outside = self._outside(cleaned)
            except PlanError as problem:
                # What not even a high price can be split into is no plan for any.
                raise forms.ValidationError(str(problem)) from problem
            if conf.CHECKOUT_PLAN_RULES == "refuse" and outside:
                raise forms.ValidationError([f"{rule.says} ({rule.source})" for rule in outside])
        return cleaned

    def _post_clean(self) -> None:
        """What the terms are wrong in was said in words: the model's own check would add the name of a constraint."""
        if not self.errors:
            super()._post_clean()  # type: ignore[misc]

    @property
    def outside(self) -> list[plan_rules.Rule]:
        """The limits that these terms are outside of, on an example."""
        said = self.cleaned_data
        known = not self.errors and all(isinstance(said.get(name), int) for name in ("deposit", "count", "interval"))
        return self._outside(said) if known and conf.CHECKOUT_PLAN_RULES != "off" else []

    @staticmethod
    def _outside(terms: dict[str, Any]) -> list[plan_rules.Rule]:
        today, price = clock.today(), Decimal(100_000)
        named = {name: terms[name] for name in ("deposit", "count", "interval")}
        lines = schedule.plan_lines(price, conf.CHECKOUT_CURRENCY, deposit_due=today, **named)
        country = plan_rules.country_of("", conf.CHECKOUT_CURRENCY)
        payments = [(line.due, line.amount) for line in lines]
        return plan_rules.broken(payments, price=price, agreed_on=today, country=country, today=today)


class PaymentPlanVersionForm(PaymentPlanForm):
    """The slug of a new version is worked out."""

    class Meta(PaymentPlanForm.Meta):
        fields = ("name", *PaymentPlan.TERMS, "recovery")


class CheckoutSettingsForm(_SettingsModelForm):
    class Meta:
        model = CheckoutSettings
        fields = ("default_payment_plan", "recovery")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)
        field: Any = self.fields["default_payment_plan"]
        field.queryset = PaymentPlan.objects.current()
        field.label = _("Default payment plan")
        field.empty_label = _("none")


__all__ = [
    "CheckoutSettingsForm",
    "ConfirmForm",
    "CustomerPaymentForm",
    "DayForm",
    "DueForm",
    "OptionalReasonForm",
    "PayDayForm",
    "PaymentPlanForm",
    "PaymentPlanVersionForm",
    "PromiseForm",
    "ReasonForm",
    "RefundForm",
]


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
