"""Two people give back the same money at the same moment, on a real PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from django.db import connections

from checkout import errors
from checkout.models import Checkout, Refund
from checkout.services import refunds
from stripe_emulator import Emulator
from tests.host.models import Membership
from tests.services.test_refunds import books_agree, paid

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres]


def test_eight_at_once_never_give_back_more_than_was_taken(emulator: Emulator, membership: Membership) -> None:
    checkout = paid(emulator, membership)

    def give_back(_number: int) -> str:
        try:
            return refunds.refund(Checkout.objects.get(pk=checkout.pk), Decimal(30)).state
        except errors.RefundError:
            return "refused"
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        ended = sorted(pool.map(give_back, range(8)))
    assert ended == ["refused"] * 5 + [Refund.SUCCEEDED] * 3
    assert books_agree(emulator, checkout)
    assert emulator.ledger.refunded_minor(metadata={"checkout": str(checkout.uuid)}) == 9000
