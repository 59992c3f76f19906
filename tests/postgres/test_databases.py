"""A replica that lags behind, and another isolation level: what is paid is not taken again, and a check says so."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.checks import run_checks
from django.db import DatabaseError, connection, connections
from django.db.backends.postgresql.psycopg_any import IsolationLevel

from checkout import checks, errors
from checkout.models import Checkout, ObjectPaymentPlan, ObjectPaymentPlanInstalment
from checkout.services import fulfillment, runs
from stripe_emulator import Emulator
from tests.host.models import Membership
from tests.services.conftest import SavePlan, enter_card, make_due, payment_plan, save_plan  # noqa: F401 - fixtures

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres]

VISA = "4242424242424242"


class PrimaryAndReplica:
    """The router of Django's manual, for one replica."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "replica"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "default"

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool:
        return True


class Replica:
    """A copy of the database as it was at one moment, from which everything is read from `lags()` on."""

    def __init__(self, settings: Any) -> None:
        self.settings = settings
        self.name = f"{connection.settings_dict['NAME']}_replica"

    def take_copy(self) -> None:
        here = connection.settings_dict["NAME"]
        connections.close_all()
        with connection._nodb_cursor() as cursor:
            cursor.execute(f'DROP DATABASE IF EXISTS "{self.name}"')
            cursor.execute(f'CREATE DATABASE "{self.name}" TEMPLATE "{here}"')
        connections.settings["replica"] = connection.settings_dict | {"NAME": self.name}
        # Tests may connect to no database but their own, unless somebody has connected before.
        connections["replica"].connect()

    def lags(self) -> None:
        self.settings.DATABASE_ROUTERS = [PrimaryAndReplica()]

    def remove(self) -> None:
        if "replica" in connections.settings:
            connections["replica"].close()
            del connections["replica"], connections.settings["replica"]
        with connection._nodb_cursor() as cursor:
            cursor.execute(f'DROP DATABASE IF EXISTS "{self.name}"')


@pytest.fixture
def replica(transactional_db: None, settings: Any) -> Iterator[Replica]:
    made = Replica(settings)
    yield made
    settings.DATABASE_ROUTERS = []
    made.remove()


def read_again(row: Membership) -> Membership:
    """As a view of the site reads it: from the replica."""
    found = Membership.objects.get(pk=row.pk)
    assert found._state.db == "replica"
    return found


def test_what_was_paid_at_once_is_not_paid_again(emulator: Emulator, membership: Membership, replica: Replica) -> None:
    replica.take_copy()
    checkout = Checkout.objects.create_checkout("payment", membership)
    enter_card(emulator, checkout, VISA)
    assert fulfillment.fulfill(checkout).succeeded
    replica.lags()
    stale = read_again(membership)
    assert stale.checkout_can_charge, "the replica knows nothing yet"
    with pytest.raises(errors.CannotPay):
        Checkout.objects.create_checkout("payment", stale)
    with pytest.raises(errors.CannotPay):
        Checkout.objects.manual(stale)
    assert emulator.ledger.taken_minor() == 10000


def test_what_is_paid_by_a_plan_is_not_paid_at_once(
    emulator: Emulator,
    membership: Membership,
    payment_plan: Any,  # noqa: F811
    replica: Replica,
) -> None:
    replica.take_copy()
    checkout = Checkout.objects.create_checkout("payment_plan", membership, payment_plan=payment_plan)
    enter_card(emulator, checkout, VISA)
    fulfillment.fulfill(checkout)
    replica.lags()
    with pytest.raises(errors.CheckoutError):
        Checkout.objects.create_checkout("payment", read_again(membership))
    assert emulator.ledger.taken_minor() == 2000


def test_a_line_that_a_run_took_is_taken_by_no_other_door(
    emulator: Emulator,
    save_plan: SavePlan,  # noqa: F811
    replica: Replica,
    staff: Any,
) -> None:
    [line] = make_due(save_plan())
    replica.take_copy()
    runs.process_payments(workers=1)
    taken = emulator.ledger.taken_minor()
    assert taken == 2000 + 2666
    replica.lags()
    stale = ObjectPaymentPlanInstalment.objects.using("replica").get(pk=line.pk)
    assert stale.state_id == "pending", "the replica knows nothing yet"
    with pytest.raises(errors.CheckoutError):
        Checkout.objects.create_checkout_pay_on_session(stale)
    with pytest.raises(errors.CheckoutError):
        Checkout.objects.charge(stale, staff)
    assert runs.counts(runs.process_payments(workers=1)) == {}
    assert emulator.ledger.taken_minor() == taken


def test_a_plan_that_was_stopped_is_charged_no_more(
    emulator: Emulator,
    save_plan: SavePlan,  # noqa: F811
    replica: Replica,
) -> None:
    plan = save_plan()
    [line] = make_due(plan)
    replica.take_copy()
    plan.delete_plan()
    replica.lags()
    assert not ObjectPaymentPlan.objects.using("replica").get().deleted
    runs.process_payments(workers=1)
    with pytest.raises(errors.CannotPay, match="stopped"):
        Checkout.objects.create_checkout_pay_on_session(line)
    assert emulator.ledger.taken_minor() == 2000


def test_the_check_refuses_reads_from_a_replica(replica: Replica) -> None:
    replica.take_copy()
    assert "checkout.E018" not in {message.id for message in checks.check_databases()}
    replica.lags()
    [message] = [one for one in checks.check_databases() if one.id == "checkout.E018"]
    assert "checkout." in message.msg


# -- another isolation level -----------------------------------------------------------------------------


@pytest.fixture
def repeatable_read(transactional_db: None, monkeypatch: Any) -> Iterator[None]:
    """Every transaction decides by what stood there when it began."""
    monkeypatch.setitem(connections.settings["default"]["OPTIONS"], "isolation_level", IsolationLevel.REPEATABLE_READ)
    connections.close_all()
    yield
    connections.close_all()


def page_and_manual_meet(row: Membership, monkeypatch: Any) -> Any:
    """Staff say that it was paid; while they do, the payer opens the page. What the payer gets."""
    in_hook, go_on = threading.Event(), threading.Event()
    hook = Membership.checkout_success

    def slow(self: Membership, checkout: Checkout) -> None:
        hook(self, checkout)
        in_hook.set()
        assert go_on.wait(10)

    monkeypatch.setattr(Membership, "checkout_success", slow)
    got: dict[str, Any] = {}

    def in_thread(name: str, do: Any) -> threading.Thread:
        def work() -> None:
            try:
                got[name] = do()
            except (errors.CheckoutError, DatabaseError) as problem:
                got[name] = problem
            finally:
                connections.close_all()

        thread = threading.Thread(target=work)
        thread.start()
        return thread

    staff = in_thread("staff", lambda: Checkout.objects.manual(Membership.objects.get(pk=row.pk)))
    assert in_hook.wait(10)
    payer = in_thread("payer", lambda: Checkout.objects.create_checkout("payment", Membership.objects.get(pk=row.pk)))
    time.sleep(1)
    go_on.set()
    staff.join()
    payer.join()
    assert got["staff"].succeeded
    return got["payer"]


def test_the_payer_who_comes_while_staff_settle_is_told(
    emulator: Emulator, membership: Membership, monkeypatch: Any
) -> None:
    assert isinstance(page_and_manual_meet(membership, monkeypatch), errors.CannotPay)


def test_under_repeatable_read_the_database_refuses_the_payers_page(
    emulator: Emulator, membership: Membership, repeatable_read: None, monkeypatch: Any
) -> None:
    assert isinstance(page_and_manual_meet(membership, monkeypatch), errors.CannotPay | DatabaseError)
    assert not Checkout.objects.open().exists()


def test_the_check_refuses_another_isolation_level(repeatable_read: None) -> None:
    assert "checkout.E016" in {message.id for message in checks.check_databases()}


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_the_check_finds_a_level_that_the_database_has_of_its_own(transactional_db: None, level: str) -> None:
    name = connection.settings_dict["NAME"]
    asked = {"tags": ["database"], "databases": ["default"]}
    assert "checkout.E016" not in {message.id for message in run_checks(**asked)}
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER DATABASE \"{name}\" SET default_transaction_isolation = '{level}'")
        connections.close_all()
        assert "checkout.E016" in {message.id for message in run_checks(**asked)}
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f'ALTER DATABASE "{name}" RESET default_transaction_isolation')
        connections.close_all()
