"""The rows that the benchmarks fill a database with fit the tables as they are now."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from benchmarks._fill import fill
from checkout.models import Checkout, ObjectPaymentPlanInstalment
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
