"""Forms of the staff pages about amounts: what came by other means, refunds, requests for money."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.utils.text import capfirst
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from checkout import clock, money
from checkout.conf import conf
from checkout.errors import MoneyError
from checkout.models import (
    Customer,
    CustomerPayment,
    Posting,
    Refund,
)
from checkout.office import odd
from checkout.office.forms import DueMixin, KeyedForm, ReasonForm
from checkout.office.odd import SureMixin
from checkout.services import attempt_debts


class AmountField(forms.DecimalField):
    """An amount as its reader writes it: 1.000 is a thousand in German and nothing in English.

    Plain text: a browser's field for numbers knows the browser's language, not the page's. It makes 1050 of the 10,50
    that somebody types, and sends 10.5 where 10,50 is read.
    """

    default_error_messages = {"min_value": gettext_lazy("Write an amount above zero.")}

    def __init__(self, **options: Any) -> None:
        options.setdefault("widget", forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}))
        super().__init__(**options)

    def prepare_value(self, value: Any) -> Any:
        return money.write_amount(value, get_language() or "en-gb") if isinstance(value, Decimal) else value

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
    def means(self) -> attempt_debts.Means:
        said = self.cleaned_data
        return attempt_debts.Means(said["day"], said["method"], said["reference"])


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
