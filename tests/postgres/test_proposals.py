"""Several people decide about the same proposal at the same moment, on a real PostgreSQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connections

from checkout import errors
from checkout.models import Checkout, Proposal, Refund
from checkout.office import proposals
from checkout.services import requests
from stripe_emulator import Emulator
from tests.host.models import Membership
from tests.services.test_refunds import books_agree, paid

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres]


@pytest.fixture(autouse=True)
def limit(settings: Any) -> None:
    settings.CHECKOUT_SECOND_PERSON_ABOVE = Decimal(20)


def at_once(work: Callable[[int], object], times: int) -> Counter[str]:
    def run(number: int) -> str:
        try:
            return type(work(number)).__name__
        except errors.CheckoutError as problem:
            return type(problem).__name__
        finally:
            connections.close_all()

    with ThreadPoolExecutor(times) as pool:
        return Counter(pool.map(run, range(times)))


def people(number: int) -> list[Any]:
    return [get_user_model().objects.create_user(f"person{each}", is_staff=True) for each in range(number)]


def propose(checkout: Checkout, user: Any) -> Proposal:
    made = proposals.do_or_propose(Proposal.Kind.REFUND, checkout, Decimal(60), user, "twice", reason="duplicate")
    assert isinstance(made, Proposal)
    return made


def test_of_six_who_approve_one_refunds(emulator: Emulator, membership: Membership) -> None:
    checkout = paid(emulator, membership)
    first, *others = people(7)
    proposal = propose(checkout, first)
    ended = at_once(lambda number: proposals.approve(Proposal.objects.get(pk=proposal.pk), others[number]), 6)
    assert ended["Refund"] == 1
    # Some are told at once, some when they look.
    assert ended["AlreadyPaid"] + ended["CannotPay"] == 5
    assert Refund.objects.get().amount == 60
    proposal.refresh_from_db()
    assert proposal.state == Proposal.State.APPROVED
    assert books_agree(emulator, checkout)
    assert emulator.ledger.refunded_minor(metadata={"checkout": str(checkout.uuid)}) == 6000


def test_approving_and_turning_down_at_once_is_one_of_the_two(emulator: Emulator, membership: Membership) -> None:
    checkout = paid(emulator, membership)
    first, *others = people(7)
    proposal = propose(checkout, first)

    def decide(number: int) -> object:
        row = Proposal.objects.get(pk=proposal.pk)
        if number % 2:
            return proposals.turn_down(row, others[number], "no")
        return proposals.approve(row, others[number])

    ended = at_once(decide, 6)
    proposal.refresh_from_db()
    approved = proposal.state == Proposal.State.APPROVED
    assert (ended["Refund"], ended["NoneType"]) == ((1, 0) if approved else (0, 1))
    assert Refund.objects.count() == ended["Refund"]
    assert emulator.ledger.refunded_minor(metadata={"checkout": str(checkout.uuid)}) == 6000 * ended["Refund"]


def test_of_six_who_approve_one_marks_as_paid(emulator: Emulator) -> None:
    first, *others = people(7)
    request = requests.create(email="cleo@example.com", name="Cleo", description="Books", total=Decimal(25))
    proposal = proposals.do_or_propose(Proposal.Kind.PAID, request, None, first, "cash")
    assert isinstance(proposal, Proposal)
    ended = at_once(lambda number: proposals.approve(Proposal.objects.get(pk=proposal.pk), others[number]), 6)
    assert ended["Checkout"] == 1
    assert Checkout.objects.for_content_object(request).success().count() == 1


def test_two_who_refund_at_once_do_not_come_above_the_amount_together(
    emulator: Emulator, membership: Membership
) -> None:
    checkout = paid(emulator, membership)
    persons = people(4)

    def refund(number: int) -> object:
        row = Checkout.objects.get(pk=checkout.pk)
        return proposals.do_or_propose(
            Proposal.Kind.REFUND, row, Decimal(15), persons[number], "a part", reason="duplicate"
        )

    ended = at_once(refund, 4)
    assert ended["Refund"] == 1
    assert Refund.objects.count() == 1
    assert emulator.ledger.refunded_minor(metadata={"checkout": str(checkout.uuid)}) == 1500
