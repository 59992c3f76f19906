"""The payer's form for an invoice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from checkout.models import CheckoutAdditional

if TYPE_CHECKING:
    _AdditionalModelForm = forms.ModelForm[CheckoutAdditional]
else:
    # Django's ModelForm has no subscript at run time.
    _AdditionalModelForm = forms.ModelForm


class InvoiceForm(_AdditionalModelForm):
    """Where an invoice goes: to a company or a person, in any country, and an e-mail address or a telephone number."""

    REQUIRED = {
        "address_1": gettext_lazy("Enter the street and number."),
        "town": gettext_lazy("Enter the town or city."),
        "country": gettext_lazy("Enter the country."),
        "contact_name": gettext_lazy("Enter a name, so that we know whom to ask."),
    }
    #: Private persons have no company, and many countries neither counties nor postcodes. Of the e-mail address and the
    #: telephone number one is needed, so neither is called optional.
    OPTIONAL = ("company_name", "address_2", "county", "postcode")

    class Meta:
        model = CheckoutAdditional
        fields = (
            "company_name", "address_1", "address_2", "town", "county", "postcode", "country", "contact_name", "email",
            "phone",
        )  # fmt: skip
        labels = {
            "company_name": gettext_lazy("Company"),
            "address_1": gettext_lazy("Address"),
            "address_2": gettext_lazy("Address, second line"),
            "town": gettext_lazy("Town"),
            "county": gettext_lazy("County or region"),
            "postcode": gettext_lazy("Postcode"),
            "country": gettext_lazy("Country"),
            "contact_name": gettext_lazy("Contact"),
            "email": gettext_lazy("E-mail address"),
            "phone": gettext_lazy("Telephone"),
        }
        widgets = {
            name: forms.TextInput(attrs={"autocomplete": value})
            for name, value in {
                "company_name": "organization",
                "address_1": "address-line1",
                "address_2": "address-line2",
                "town": "address-level2",
                "county": "address-level1",
                "postcode": "postal-code",
                "country": "country-name",
                "contact_name": "name",
            }.items()
        } | {
            "email": forms.EmailInput(attrs={"autocomplete": "email"}),
            "phone": forms.TelInput(attrs={"autocomplete": "tel"}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)
        for name, message in self.REQUIRED.items():
            self.fields[name].required = True
            self.fields[name].error_messages["required"] = message
        self.fields["email"].help_text = _("An e-mail address or a telephone number, or both.")

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if not cleaned.get("email") and not cleaned.get("phone") and "email" not in self.errors:
            self.add_error("email", _("Please give an e-mail address or a telephone number."))
        return cleaned
