"""A row in hand that was read before somebody else settled the debt must not take it again."""

from __future__ import annotations

from typing import Any

import pytest

from checkout import errors
from checkout.models import Checkout
from checkout.services import fulfillment
from stripe_emulator import Emulator
from tests.host.models import Membership
from tests.saved import agreed
from tests.services.conftest import SavePlan, enter_card, make_due

pytestmark = pytest.mark.django_db


def test_marking_as_paid_twice_settles_once(emulator: Emulator, save_plan: SavePlan, staff: Any) -> None:
    plan = save_plan()
    (mine,) = make_due(plan)
    theirs = type(mine).objects.get(pk=mine.pk)
    Checkout.objects.manual(mine, staff)
    with pytest.raises(errors.AlreadyPaid):
        Checkout.objects.manual(theirs, staff)
    assert Checkout.objects.filter(action="manual").count() == 1


def test_charging_twice_takes_it_once(emulator: Emulator, save_plan: SavePlan, membership: Membership) -> None:
    plan = save_plan()
    agreed(plan.card)
    row = Membership.objects.create(email=membership.email)
    mine, theirs = (Membership.objects.get(pk=row.pk) for _ in range(2))
    assert Checkout.objects.charge(mine).succeeded
    with pytest.raises(errors.CannotPay):
        Checkout.objects.charge(theirs)
    assert plan.customer is not None
    assert emulator.ledger.taken_minor(customer=plan.card.stripe_customer_id) == 2000 + 10000


def test_a_second_tab_cannot_begin_what_was_just_paid(emulator: Emulator, membership: Membership) -> None:
    stale = Membership.objects.get(pk=membership.pk)
    checkout = Checkout.objects.create_checkout("payment", membership, None)
    enter_card(emulator, checkout, "4242424242424242")
    assert fulfillment.fulfill(checkout).succeeded
    with pytest.raises(errors.CannotPay):
        Checkout.objects.create_checkout("payment", stale, None)
    assert Checkout.objects.count() == 1


def test_a_row_that_is_gone_cannot_be_paid(emulator: Emulator, membership: Membership) -> None:
    stale = Membership.objects.get(pk=membership.pk)
    membership.delete()
    with pytest.raises(errors.CannotPay):
        Checkout.objects.create_checkout("payment", stale, None)
    assert not Checkout.objects.exists()
