"""An order in the example shop, and the people who may or may not see it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.test import Client

from checkout.models import Checkout
from example_checkout.models import Contact, Product, SalesLedger


def order(user: Any = None, *, price: str = "85.00", **fields: Any) -> SalesLedger:
    product, _ = Product.objects.get_or_create(slug="pottery", defaults={"name": "Pottery", "price": Decimal(price)})
    contact = Contact.objects.create(name="Pat Payer", email="pat@payer.example", user=user)
    return SalesLedger.objects.create(contact=contact, product=product, **fields)


def logged_in(user: Any, **options: Any) -> Client:
    client = Client(**options)
    client.force_login(user)
    return client


def pay_page(client: Client, sale: SalesLedger) -> str:
    """Press "Pay now"; the address of the payment page."""
    response = client.post(f"/orders/{sale.pk}/pay/")
    assert response.status_code == 302, response.content.decode()
    assert response["Location"] == f"/pay/{Checkout.objects.latest('pk').uuid}/"
    return str(response["Location"])


def return_page(checkout: Checkout) -> str:
    return f"/checkout/{checkout.uuid}/return/"
