"""The shop's one form."""

from __future__ import annotations

from typing import Any

from django import forms

from example_checkout.models import Contact


class BuyForm(forms.Form):
    """Who buys. Somebody who is logged in is known already."""

    name = forms.CharField(max_length=100, widget=forms.TextInput(attrs={"autocomplete": "name"}))
    email = forms.EmailField(label="E-mail", max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "email"}))
    quantity = forms.IntegerField(label="Places", min_value=1, max_value=20, initial=1)

    def __init__(self, *args: Any, contact: Contact | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.contact = contact
        if contact is not None:
            for name in ("name", "email"):
                self.fields[name].initial = getattr(contact, name)
                self.fields[name].disabled = True

    def buyer(self) -> Contact:
        """The contact of this login; a stranger gets one of their own, whatever address they typed."""
        if self.contact is not None:
            return self.contact
        return Contact.objects.create(name=self.cleaned_data["name"], email=self.cleaned_data["email"])
