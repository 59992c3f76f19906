"""Many receipts are asked for at the same moment, on a real PostgreSQL."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections, transaction

from checkout import clock, states
from checkout.models import Checkout, Paper, content_key
from checkout.services import numbering
from tests.host.models import Membership

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres]


def test_numbers_have_no_gap_and_no_twin_however_many_ask_at_once() -> None:
    member = Membership.objects.create()
    rows = Checkout.objects.bulk_create(
        Checkout(
            action_id="manual", state_id=states.SUCCESS, total=5, settled_at=clock.now(), **content_key(member)
        )
        for _ in range(30)
    )  # fmt: skip
    # Each is asked for by three, and some of them come to nothing.
    asked = [(row, number == 0 and place % 3 == 0) for place, row in enumerate(rows) for number in range(3)]
    random.Random(7).shuffle(asked)

    def ask(work: tuple[Checkout, bool]) -> None:
        row, fails = work
        try:
            with transaction.atomic():
                numbering.number_of(row)
                if fails:
                    transaction.set_rollback(True)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(ask, asked))
    assert sorted(Paper.objects.values_list("number", flat=True)) == list(range(1, 31))
    assert Paper.objects.values("checkout").distinct().count() == 30
