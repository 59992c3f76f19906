"""A short storm in the suite; `make fuzz` lets it blow for long (STORM_REQUESTS, STORM_SEED)."""

from __future__ import annotations

import os
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from checkout import links
from example_checkout.models import Contact, Product, SalesLedger
from stripe_emulator import Emulator
from tests.fuzz import storm
from tests.host.models import Membership
from tests.services.conftest import payment_plan, save_plan  # noqa: F401 - fixtures
from tests.staff.conftest import Books, books, boss, site  # noqa: F401 - fixtures

pytestmark = pytest.mark.django_db

REQUESTS = int(os.environ.get("STORM_REQUESTS", "400"))
SEED = int(os.environ.get("STORM_SEED", "12"))


@pytest.fixture
def shop(payer: Any) -> dict[str, str]:
    """The addresses of the example around the app."""
    course = Product.objects.create(slug="pottery", name="Pottery", price=Decimal(100), on_plan=True)
    contact = Contact.objects.create(name="Pat", email="pat@example.com", user=payer)
    order = SalesLedger.objects.create(contact=contact, product=course)
    return {
        "shop.home": "/",
        "shop.buy": "/courses/pottery/buy/",
        "shop.order": f"/orders/{order.pk}/",
        "shop.pay": f"/orders/{order.pk}/pay/",
        "shop.choose": f"/orders/{order.pk}/how-to-pay/",
        "shop.agree": f"/orders/{order.pk}/how-to-pay/?payment_plan=standard",
        "shop.thanks": f"/orders/{order.pk}/thank-you/",
        "shop.log-in": "/log-in/",
        "invoice.other": links.invoice_form(Membership.objects.create(name="Dan")),
    }


def test_no_request_fails_changes_by_looking_or_is_echoed(
    books: Books,  # noqa: F811
    shop: dict[str, str],
    emulator: Emulator,
    payer: Any,
    other_payer: Any,
    staff: Any,
    boss: Any,  # noqa: F811
) -> None:
    clients = {"stranger": Client(raise_request_exception=False)}
    for name, user in (("payer", payer), ("other", other_payer), ("staff", staff), ("boss", boss), ("boss2", boss)):
        clients[name] = Client(raise_request_exception=False)
        clients[name].force_login(user)
    books.plan.user = payer
    books.plan.save()
    # The browser in which it was ordered, and in which the attempts were begun.
    session = clients["payer"].session
    session["example_orders"] = [SalesLedger.objects.get().pk]
    session["checkout_pages"] = {str(attempt.uuid): "" for attempt in (books.open, books.paid, books.failed)}
    session.save()
    happened = storm.blow(books, clients, shop, emulator, seed=SEED, count=REQUESTS)
    print(f"\n{happened} (seed {SEED})", *happened.failed, *happened.changed, *happened.echoed, sep="\n")
    assert happened.failed == []
    assert happened.changed == []
    assert happened.echoed == []
    assert happened.sent == REQUESTS
    # A storm that is turned away at the door would try nothing.
    assert happened.answers[200] > REQUESTS / 5
