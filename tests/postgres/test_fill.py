"""The rows that the benchmarks fill a database with fit the tables as they are now."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from benchmarks._fill import fill
from checkout.journal import Code
from checkout.models import Checkout, ObjectPaymentPlanInstalment, StateChange
from checkout.services import runs

pytestmark = [pytest.mark.postgres, pytest.mark.django_db]


def test_a_filled_database_can_be_looked_at(client: Client, django_user_model: Any) -> None:
    fill(2000, 400)
    assert ObjectPaymentPlanInstalment.objects.count() == 2000
    assert Checkout.objects.count() == 400
    assert runs.due_instalments().exists()
    client.force_login(django_user_model.objects.create_superuser("office"))
    for page in ("", "checkouts/", "checkouts/audit/", "plans/", "runs/", "health/"):
        assert client.get(f"/checkout/staff/{page}").status_code == 200, page


def test_a_filled_history_reads_as_a_true_one_does() -> None:
    fill(2000, 700)
    told = set()
    for change in StateChange.objects.all():
        code = Code(change.code)
        assert change.facts.keys() == code.placeholders
        told.add((change.to_state, code))
    assert told == {
        ("success", Code.STRIPE_SUCCEEDED),
        ("fail", Code.STRIPE_SAYS),
        ("pay_on_session", Code.STRIPE_WANTS_PAYER),
    }
    failed = Checkout.objects.filter(state="fail")
    assert {checkout.failure_text for checkout in failed} == {"The card was declined."}
