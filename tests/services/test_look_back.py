"""After a restored backup nothing is taken twice, and what Stripe took is in the books."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.db import connection

from checkout import clock, mail, states
from checkout.gateway import gateway
from checkout.models import (
    Checkout,
    LookBack,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    PaymentPlan,
    Posting,
    Problem,
)
from checkout.services import attempt_rows, checkouts, early, look_back, plans, runs
from stripe_emulator import Emulator
from tests.host.models import Membership
from tests.services.conftest import SavePlan, enter_card, make_due
from tests.views.shop import order

pytestmark = pytest.mark.django_db(transaction=True)

only_sqlite = pytest.mark.skipif(
    connection.vendor != "sqlite", reason="the copy is made by SQLite's own backup; PostgreSQL has a test of its own"
)


@contextmanager
def hours_later(emulator: Emulator, hours: int) -> Iterator[None]:
    emulator.clock.advance(hours=hours)
    with time_machine.travel(clock.now() + timedelta(hours=hours)):
        yield


@pytest.fixture
def backup() -> Iterator[Callable[[], Callable[[], None]]]:
    """`restore = backup()` copies the whole database now; `restore()` brings that copy back."""
    copies: list[sqlite3.Connection] = []

    def make() -> Callable[[], None]:
        connection.ensure_connection()
        copy = sqlite3.connect(":memory:")
        copies.append(copy)
        connection.connection.backup(copy)

        def restore() -> None:
            copy.backup(connection.connection)

        return restore

    yield make
    for copy in copies:
        copy.close()


@only_sqlite
@pytest.mark.parametrize("hours", [1, 49])
def test_a_run_after_a_restore_takes_nothing_again(
    emulator: Emulator, save_plan: SavePlan, backup: Any, hours: int
) -> None:
    mail.install()
    (line,) = make_due(save_plan())
    restore = backup()
    runs.process_payments(workers=1)
    taken = emulator.ledger.taken_minor()
    assert taken == 2000 + 2666
    restore()
    line.refresh_from_db()
    assert line.state_id == states.PENDING
    with hours_later(emulator, hours):
        run = runs.process_payments(workers=1)
    assert runs.counts(run) == {}
    assert emulator.ledger.taken_minor() == taken
    line.refresh_from_db()
    assert line.state_id == states.SUCCESS
    # Every charge at Stripe is a posting here.
    assert sum(Posting.objects.filter(kind="taken").values_list("amount", flat=True)) * 100 == taken
    assert not Problem.objects.values_list("kind", "detail")


@only_sqlite
def test_the_same_attempt_is_the_same_request_to_the_letter(
    emulator: Emulator, save_plan: SavePlan, backup: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the look, Stripe itself replays its answer for a day."""
    (line,) = make_due(save_plan())
    monkeypatch.setattr(look_back, "look_back", lambda: None)
    restore = backup()
    runs.process_payments(workers=1)
    taken = emulator.ledger.taken_minor()
    restore()
    runs.process_payments(workers=1)
    assert emulator.ledger.taken_minor() == taken
    line.refresh_from_db()
    assert line.state_id == states.SUCCESS


@only_sqlite
def test_what_staff_write_down_before_the_look_hides_no_charge_that_was_lost(
    emulator: Emulator, save_plan: SavePlan, backup: Any
) -> None:
    (line,) = make_due(save_plan())
    restore = backup()
    runs.process_payments(workers=1)
    restore()
    checkouts.manual(line, None, "Cash")
    look_back.look_back()
    taken = Posting.objects.filter(kind="taken").values_list("amount", flat=True)
    assert sum(taken) * 100 == emulator.ledger.taken_minor()
    problem = Problem.objects.get()
    assert (problem.kind, problem.amount) == (Problem.Kind.PAID_TOO_MUCH, line.amount)


@only_sqlite
def test_a_payment_on_the_page_that_was_lost_with_its_debt_is_known_by_the_uuid_of_its_row(
    emulator: Emulator, membership: Membership, backup: Any
) -> None:
    LookBack.objects.create(account=gateway().account_id(), until=clock.now())
    restore = backup()
    checkout = Checkout.objects.create_checkout("payment", membership, None)
    enter_card(emulator, checkout, "4242424242424242")
    restore()
    assert look_back.look_back() == look_back.Looked(compared=1, adopted=1)
    membership.refresh_from_db()
    assert membership.successes == 1
    assert Checkout.objects.get().uuid == checkout.uuid
    assert not Problem.objects.exists()


@only_sqlite
@pytest.mark.parametrize("newer", [False, True], ids=["no attempt is left", "one was made since"])
def test_the_first_look_of_a_site_that_has_plans_goes_back_before_its_attempts(
    emulator: Emulator, membership: Membership, payment_plan: PaymentPlan, backup: Any, newer: bool
) -> None:
    """They were moved over, and what was asked for since was lost with the database."""
    plan = ObjectPaymentPlan.objects.create_object_payment_plan(membership, payment_plan, Decimal(100))
    restore = backup()
    lost = Checkout.objects.create_checkout_pay_on_session(plans.deposit_of(plan))
    enter_card(emulator, lost, "4242424242424242")
    restore()
    assert not Checkout.objects.exists()
    with hours_later(emulator, 49):
        if newer:
            Checkout.objects.create_checkout("payment", Membership.objects.create(email="b@example.com"), None)
        assert look_back.look_back().adopted == 1
    assert Checkout.objects.get(uuid=lost.uuid).succeeded
    assert plans.deposit_of(plan).state_id == states.SUCCESS


@only_sqlite
def test_a_payment_for_several_lines_that_was_lost_is_for_the_same_lines_again(
    emulator: Emulator, save_plan: SavePlan, backup: Any
) -> None:
    mail.install()
    plan = save_plan()
    lines = make_due(plan, 2)
    restore = backup()
    begun = early.create_checkout_early(plan, Decimal(30))
    enter_card(emulator, begun, "4242424242424242")
    restore()
    with hours_later(emulator, 1):
        runs.process_payments(workers=1)
    assert emulator.ledger.taken_minor() == 2000 + 2666 + 2667
    assert [line.left for line in ObjectPaymentPlanInstalment.objects.filter(pk__in=[x.pk for x in lines])] == [0, 0]
    assert sum(Posting.objects.filter(kind="taken").values_list("amount", flat=True)) * 100 == 7333
    assert not Problem.objects.exists()


@only_sqlite
def test_a_payment_for_a_row_with_a_number_that_was_lost_with_its_debt_is_a_problem(
    emulator: Emulator, backup: Any
) -> None:
    """A new row may have got that number: nobody but a person can say whose payment it is."""
    LookBack.objects.create(account=gateway().account_id(), until=clock.now())
    sale = order()
    restore = backup()
    checkout = Checkout.objects.create_checkout("payment", sale, None)
    enter_card(emulator, checkout, "4242424242424242")
    restore()
    looked = look_back.look_back()
    assert (looked.problems, looked.errors) == (1, 0)
    problem = Problem.objects.get()
    assert (problem.kind, problem.subject) == (Problem.Kind.UNKNOWN_PAYMENT, checkout.payment_intent_id)
    assert look_back.look_back().problems == 1
    assert Problem.objects.count() == 1


def test_what_another_site_of_the_account_took_is_not_ours(emulator: Emulator, membership: Membership) -> None:
    LookBack.objects.create(account=gateway().account_id(), until=clock.now())
    intent = gateway().create_payment_intent(
        amount_minor=100, currency="GBP", description="", metadata={"site": "another"}, idempotency_key="k"
    )
    emulator.pay(intent.client_secret, "4242424242424242")
    assert look_back.look_back() == look_back.Looked()


def test_a_second_intent_under_the_mark_of_one_attempt_is_a_problem(emulator: Emulator, membership: Membership) -> None:
    checkout = Checkout.objects.create_checkout("payment", membership, None)
    enter_card(emulator, checkout, "4242424242424242")
    look_back.look_back()
    second = gateway().create_payment_intent(
        amount_minor=10000,
        currency="GBP",
        description="",
        metadata=gateway().retrieve_payment_intent(checkout.payment_intent_id).metadata,
        idempotency_key="another",
    )
    emulator.pay(second.client_secret, "4242424242424242")
    assert look_back.look_back().problems == 1
    assert Problem.objects.get().subject == second.id


def test_a_success_that_nobody_has_told_of_is_settled(emulator: Emulator, membership: Membership) -> None:
    checkout = Checkout.objects.create_checkout("payment", membership, None)
    enter_card(emulator, checkout, "4242424242424242")
    assert look_back.look_back().settled == 1
    checkout.refresh_from_db()
    assert checkout.succeeded


def test_an_attempt_that_another_look_has_written_meanwhile_is_that_one(
    emulator: Emulator, membership: Membership
) -> None:
    checkout = Checkout.objects.create_checkout("payment", membership, None)
    enter_card(emulator, checkout, "4242424242424242")
    intent = gateway().retrieve_payment_intent(checkout.payment_intent_id)
    assert look_back._adopt(intent) == checkout
    assert Checkout.objects.count() == 1


def test_the_next_look_begins_where_this_one_did(emulator: Emulator, membership: Membership) -> None:
    Checkout.objects.create_checkout("payment", membership, None)
    began = clock.now()
    look_back.look_back()
    assert LookBack.objects.get().until >= began
    asked = len(emulator.requests)
    look_back.look_back()
    assert len(emulator.requests) == asked + 1, "one list call, whatever is known"
    with hours_later(emulator, 2):
        began = clock.now()
        look_back.look_back()
        assert LookBack.objects.get().until >= began


def test_the_mark_of_a_site_is_kept_in_its_database(db: None) -> None:
    attempt_rows.site.cache_clear()
    first = attempt_rows.site()
    attempt_rows.site.cache_clear()
    assert attempt_rows.site() == first
