"""Forms of the staff pages for templates of plans, and for the settings that name one."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from checkout import clock, plan_rules, schedule
from checkout.conf import conf
from checkout.errors import PlanError
from checkout.models import (
    CheckoutSettings,
    PaymentPlan,
)

if TYPE_CHECKING:
    _PlanModelForm = forms.ModelForm[PaymentPlan]
    _SettingsModelForm = forms.ModelForm[CheckoutSettings]
else:
    # Django's ModelForm has no subscript at run time.
    _PlanModelForm = _SettingsModelForm = forms.ModelForm


class PaymentPlanForm(_PlanModelForm):
    """A template: terms are checked by the same rules as everywhere."""

    class Meta:
        model = PaymentPlan
        fields: tuple[str, ...] = ("name", "slug", *PaymentPlan.TERMS, "recovery")
        error_messages = {
            "slug": {"invalid": gettext_lazy("Write lower-case letters, digits and hyphens only.")},
        }
        labels = {"name": gettext_lazy("Name"), "slug": gettext_lazy("Short name")}
        help_texts = {"slug": gettext_lazy("A short name for addresses: lower-case letters, digits and hyphens.")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)
        for name in ("late_deposit", "paid_early"):
            # Not sent is the default.
            self.fields[name].required = False
        for name in ("deposit", "count", "interval"):
            # The column takes 0, no template does.
            self.fields[name].error_messages["min_value"] = _("Write a whole number from 1.")

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
