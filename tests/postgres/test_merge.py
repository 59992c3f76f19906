"""Two customers merged crosswise at the same time: one is merged, and whoever was second is told."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from checkout.errors import CheckoutError
from checkout.models import Customer
from checkout.office import people
from stripe_emulator import Emulator
from tests.postgres.conftest import in_thread

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres]


def test_merged_crosswise_at_once_no_circle_is_left(emulator: Emulator, monkeypatch: Any) -> None:
    one = Customer.objects.create(name="Ann", email="ann@example.com")
    two = Customer.objects.create(name="Ann", email="ann@example.org")
    together = threading.Barrier(2)
    real = people._move_all

    def slowly(source: Customer, target: Customer) -> None:
        # The other one has its turn meanwhile, if nothing keeps it out.
        time.sleep(0.5)
        real(source, target)

    monkeypatch.setattr(people, "_move_all", slowly)

    def press(source: Customer, target: Customer) -> bool:
        together.wait(10)
        try:
            people.merge(source, target, None, "the same person")
        except CheckoutError:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        pairs = ((one, two), (two, one))
        pressed = [pool.submit(in_thread(lambda pair=pair: press(*pair))) for pair in pairs]
        assert sorted(each.result() for each in pressed) == [False, True]
    merged = Customer.objects.exclude(merged_into=None)
    assert merged.count() == 1
    stays = Customer.objects.get(merged_into=None)
    assert merged.get().merged_into_id == stays.pk
    for address in ("ann@example.com", "ann@example.org"):
        assert Customer.objects.with_email(address) == stays
