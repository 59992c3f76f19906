"""Many rows changed by one statement, each to values of its own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType

from checkout import states
from checkout.models import Checkout, Debt
from checkout.services.update_each import update_each
from stripe_emulator import Emulator
from tests.host.models import Membership

pytestmark = pytest.mark.django_db


def test_each_row_gets_its_own_values_in_one_statement(
    emulator: Emulator, count_queries: Callable[[Callable[[], Any]], int]
) -> None:
    members = [Membership.objects.create(email=f"p{number}@example.com") for number in range(3)]
    rows = [Checkout.objects.create_checkout("payment", member, None) for member in members]
    then = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    changes: dict[int, dict[str, Any]] = {
        row.pk: {
            "state": states.SUCCESS,
            "settled_at": then if number else None,
            "payment_intent_id": f"pi_{number}%s'",
        }
        for number, row in enumerate(rows)
    }
    assert count_queries(lambda: update_each(Checkout, changes)) == 1
    for number, row in enumerate(rows):
        row.refresh_from_db()
        assert (row.state_id, row.payment_intent_id) == (states.SUCCESS, f"pi_{number}%s'")
        assert row.settled_at == (then if number else None)


def test_a_row_that_somebody_moved_meanwhile_is_left_as_it_is() -> None:
    debts = [
        Debt.objects.create(
            content_type=ContentType.objects.get_for_model(Membership),
            object_id=str(number),
            currency="GBP",
            owed=Decimal("19.99"),
            paid=Decimal("0.10"),
        )
        for number in range(2)
    ]
    read = {debt.pk: {"owed": debt.owed, "paid": debt.paid} for debt in debts}
    Debt.objects.filter(pk=debts[1].pk).update(paid=Decimal("0.30"))
    changes = {debt.pk: {"paid": Decimal("19.99")} for debt in debts}
    assert update_each(Debt, changes, only_if=read) == 1
    assert [debt.paid for debt in Debt.objects.order_by("pk")] == [Decimal("19.99"), Decimal("0.30")]


def test_nothing_to_change_asks_the_database_nothing(count_queries: Callable[[Callable[[], Any]], int]) -> None:
    assert count_queries(lambda: update_each(Debt, {})) == 0
