"""Many payers at once, on a real PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from functools import partial
from urllib.parse import urlencode

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connections

from checkout import clock, states
from checkout.models import Agreement, Customer, ObjectPaymentPlan, ObjectPaymentPlanInstalment, PaymentPlan, SavedCard
from stripe_emulator import Emulator
from tests.host.models import Membership

FillDue = Callable[..., list[ObjectPaymentPlanInstalment]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/postgres" in str(item.path):
            item.add_marker(pytest.mark.postgres)


def ask(emulator: Emulator, method: str, path: str, **params: str) -> dict[str, str]:
    answer = emulator.handle(
        method,
        path,
        {"Authorization": "Bearer sk_test_emulator", "Content-Type": "application/x-www-form-urlencoded"},
        urlencode(params).encode(),
    )
    assert answer.status == 200, answer.body
    loaded: dict[str, str] = json.loads(answer.body)
    return loaded


def fill_with_due(emulator: Emulator, count: int, card: str = "pm_card_visa") -> list[ObjectPaymentPlanInstalment]:
    """So many payers, each with a saved card and one instalment of 10.00 GBP due today."""
    template, _made = PaymentPlan.objects.get_or_create(
        slug="bulk", defaults={"name": "Bulk", "deposit": 50, "count": 1, "interval": 1}
    )
    members = Membership.objects.bulk_create(
        Membership(email=f"payer{number}@example.com", total=Decimal(20)) for number in range(count)
    )
    customers, cards = [], []
    for member in members:
        stripe_customer = ask(emulator, "POST", "/v1/customers", email=member.email)
        method = ask(emulator, "POST", f"/v1/payment_methods/{card}/attach", customer=stripe_customer["id"])
        customers.append(Customer(email=member.email))
        cards.append(
            SavedCard(
                customer=customers[-1],
                stripe_customer_id=stripe_customer["id"],
                payment_method_id=method["id"],
                set_up_at=clock.now(),
            )
        )
    Customer.objects.bulk_create(customers)
    SavedCard.objects.bulk_create(cards)
    agreements = Agreement.objects.bulk_create(
        Agreement(kind=Agreement.Kind.PAPER, saved_card=card, text="As agreed.", version="1") for card in cards
    )
    content_type = ContentType.objects.get_for_model(Membership)
    plans = ObjectPaymentPlan.objects.bulk_create(
        ObjectPaymentPlan(
            content_type=content_type,
            object_id=str(member.pk),
            payment_plan=template,
            customer=customer,
            agreement=agreement,
            total=Decimal(20),
        )
        for member, customer, agreement in zip(members, customers, agreements, strict=True)
    )
    today = clock.today()
    rows = []
    for plan in plans:
        rows += [
            ObjectPaymentPlanInstalment(
                object_payment_plan=plan,
                count=1,
                deposit=True,
                amount=Decimal(10),
                due=today - timedelta(days=31),
                state_id=states.SUCCESS,
            ),
            ObjectPaymentPlanInstalment(object_payment_plan=plan, count=2, amount=Decimal(10), due=today),
        ]
    ObjectPaymentPlanInstalment.objects.bulk_create(rows)
    return list(ObjectPaymentPlanInstalment.objects.due)


@pytest.fixture
def fill_due(emulator: Emulator) -> FillDue:
    """`fill_due(500)`: so many payers, each with a saved card and one instalment of 10.00 GBP due today."""
    return partial(fill_with_due, emulator)


def in_thread(work: Callable[[], object]) -> Callable[[], object]:
    """`work`, closing its thread's database connections afterwards."""

    def run() -> object:
        try:
            return work()
        finally:
            connections.close_all()

    return run
