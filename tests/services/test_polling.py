"""Polling: what it finds, what it costs, and that one bad row stops nothing."""

from __future__ import annotations

import argparse
import datetime
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command

from checkout import clock, errors
from checkout.management.base import moment
from checkout.models import Checkout, Customer, ScheduledJob
from checkout.services import intents, polling
from stripe_emulator import Emulator, faults
from tests.host.models import Membership
from tests.services.conftest import SavePlan, enter_card
from tests.services.test_one_off import begin, pay

pytestmark = pytest.mark.django_db


def make_open(count: int, *, minutes_apart: float = 0.05, age: timedelta = timedelta()) -> list[Checkout]:
    """`count` open attempts with an intent each, begun one after the other."""
    members = Membership.objects.bulk_create(Membership(name=f"Member {number}") for number in range(count))
    kind = ContentType.objects.get_for_model(Membership)
    start = clock.now() - age
    rows = Checkout.objects.bulk_create(
        Checkout(
            action_id="payment",
            content_type=kind,
            object_id=str(member.pk),
            description="Membership",
            total=Decimal(100),
            currency="GBP",
            created_at=start + timedelta(minutes=minutes_apart * number),
        )
        for number, member in enumerate(members)
    )
    for row in rows:
        intents.ensure_intent(row)
    return rows


def calls(emulator: Emulator, since: int) -> list[str]:
    """What was asked of Stripe since request number `since`: "list", "retrieve" or the method."""
    sent = list(emulator.requests)[since:]
    return ["list" if "?" in one.path and "created" in one.path else "retrieve" for one in sent if one.method == "GET"]


@pytest.mark.postgres  # many rows: once is enough, on the database of real sites
def test_a_thousand_open_intents_cost_ten_list_calls(emulator: Emulator, db: None, count_queries: Any) -> None:
    rows = make_open(1000, minutes_apart=0)
    paid = [rows[number] for number in (0, 1, 499, 500, 998, 999)]
    for checkout in paid:
        pay(emulator, checkout)
    before = len(emulator.requests)
    box: list[polling.Swept] = []
    queries = count_queries(lambda: box.append(polling.fulfill_payment_intents()))
    assert calls(emulator, before) == ["list"] * 10
    assert (box[0].looked_at, box[0].changed, box[0].errors) == (1000, len(paid), 0)
    assert queries <= 2 + 16 * len(paid), "nothing is asked of the database for what has not changed"


def test_old_strays_are_read_one_by_one_and_what_lies_between_is_not_listed(emulator: Emulator, db: None) -> None:
    make_open(1, age=timedelta(days=20))
    make_open(1, age=timedelta(days=9))
    recent = make_open(30)
    # The emulator made them all today; what matters is which windows are asked for.
    pay(emulator, recent[3])
    before = len(emulator.requests)
    swept = polling.fulfill_payment_intents()
    assert sorted(calls(emulator, before)) == ["list", "retrieve", "retrieve"]
    assert (swept.looked_at, swept.changed) == (32, 1)


def test_a_window_full_of_others_is_left_and_the_cost_stays_bounded(emulator: Emulator, db: None) -> None:
    ours = make_open(2, minutes_apart=0)
    for _ in range(600):
        emulator.handle(
            "POST",
            "/v1/payment_intents",
            {"Authorization": "Bearer sk_test_emulator", "Content-Type": "application/x-www-form-urlencoded"},
            b"amount=500&currency=gbp",
        )
    pay(emulator, ours[0])
    before = len(emulator.requests)
    assert polling.fulfill_payment_intents().changed == 1
    assert calls(emulator, before) == ["list", "retrieve", "retrieve"]


def test_an_intent_made_long_after_its_attempt_is_found_too(emulator: Emulator, db: None) -> None:
    rows = make_open(3, age=timedelta(hours=5))
    pay(emulator, rows[1])
    assert polling.fulfill_payment_intents().changed == 1


def test_more_than_one_batch_is_looked_at_once_each(emulator: Emulator, db: None, monkeypatch: Any) -> None:
    monkeypatch.setattr(polling, "BATCH", 3)
    rows = make_open(8, minutes_apart=0)
    for checkout in rows[::2]:
        pay(emulator, checkout)
    swept = polling.fulfill_payment_intents()
    assert (swept.looked_at, swept.changed) == (8, 4)
    assert Checkout.objects.success().count() == 4


def test_what_is_known_already_is_left_alone(emulator: Emulator, db: None, count_queries: Any) -> None:
    rows = make_open(5, minutes_apart=0)
    for checkout in rows:
        pay(emulator, checkout, "4000000000009995")
    assert polling.fulfill_payment_intents().changed == 0
    assert set(Checkout.objects.values_list("decline_code", flat=True)) == {"insufficient_funds"}
    assert count_queries(polling.fulfill_payment_intents) == 1


def test_saved_cards_are_found_and_the_deposit_is_taken(
    emulator: Emulator, membership: Membership, payment_plan: Any
) -> None:
    checkout = Checkout.objects.create_checkout("payment_plan", membership, None, payment_plan=payment_plan)
    other = Checkout.objects.create_checkout("payment_plan", Membership.objects.create(email="b@example.com"), None,
                                             payment_plan=payment_plan)  # fmt: skip
    enter_card(emulator, checkout, "4242424242424242")
    before = len(emulator.requests)
    assert polling.fulfill_setup_intents().changed == 1
    assert calls(emulator, before) == ["list"], "the card is on the list: it is not read again"
    customer = Customer.objects.get(email=membership.email)
    assert customer.newest_card.last4 == "4242"
    assert emulator.ledger.taken_minor() == 2000
    other.refresh_from_db()
    assert other.is_open


def test_since_leaves_older_attempts_out(emulator: Emulator, db: None) -> None:
    old, new = make_open(1, age=timedelta(days=3)), make_open(1)
    pay(emulator, old[0])
    pay(emulator, new[0])
    assert polling.fulfill_open_intents(since=clock.now() - timedelta(days=1)).changed == 1
    assert polling.fulfill_open_intents().changed == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90m", timedelta(minutes=90)),
        ("36h", timedelta(hours=36)),
        ("7d", timedelta(days=7)),
        ("2026-11-20", datetime.date(2026, 11, 20)),
        ("2026-11-20T10:00", datetime.datetime(2026, 11, 20, 10, tzinfo=datetime.UTC)),
        ("2026-11-20T10:00+02:00", datetime.datetime(2026, 11, 20, 8, tzinfo=datetime.UTC)),
    ],
)
def test_since_understands(text: str, expected: Any) -> None:
    found = moment(text)
    if isinstance(expected, timedelta):
        assert abs(clock.now() - expected - found) < timedelta(seconds=5)
    elif isinstance(expected, datetime.datetime):
        assert found == expected
    else:
        assert found.date() == expected


@pytest.mark.parametrize("text", ["yesterday", "7", "2026-13-01", ""])
def test_since_refuses(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        moment(text)


def test_an_intent_that_stripe_does_not_know_is_an_error_and_the_rest_go_on(emulator: Emulator, db: None) -> None:
    rows = make_open(3, minutes_apart=0)
    Checkout.objects.filter(pk=rows[0].pk).update(payment_intent_id="pi_gone")
    pay(emulator, rows[1])
    swept = polling.fulfill_payment_intents()
    assert (swept.looked_at, swept.changed, swept.errors) == (3, 1, 1)
    assert Checkout.objects.get(pk=rows[0].pk).is_open, "a wrong key must not fail anything"


def test_a_row_that_breaks_in_any_way_does_not_stop_the_others(emulator: Emulator, db: None, monkeypatch: Any) -> None:
    rows = make_open(3, minutes_apart=0)
    for checkout in rows:
        pay(emulator, checkout)
    bring = polling.fulfillment.bring

    def broken(checkout: Checkout, *args: Any) -> Checkout:
        if checkout.pk == rows[1].pk:
            raise RuntimeError("something nobody thought of")
        return bring(checkout, *args)

    monkeypatch.setattr(polling.fulfillment, "bring", broken)
    swept = polling.fulfill_payment_intents()
    assert (swept.looked_at, swept.changed, swept.errors) == (3, 2, 1)


def test_a_refused_key_stops_the_sweep_and_the_command_says_so(emulator: Emulator, db: None) -> None:
    make_open(2, age=timedelta(days=1), minutes_apart=90)
    emulator.weather.add(faults.Status(401), times=None)
    with pytest.raises((errors.KeyRefused, errors.OutcomeUnknown, errors.GatewayRefused)):
        polling.fulfill_payment_intents()
    with pytest.raises(CommandError, match="could not be asked"):
        call_command("stripe_intent_fulfillment")
    job = ScheduledJob.objects.get(name="stripe_intent_fulfillment")
    assert (job.last_succeeded_at, bool(job.last_error)) == (None, True)


def test_all_three_in_one_command_and_its_success_is_written_down(
    emulator: Emulator, membership: Membership, save_plan: SavePlan, capsys: Any
) -> None:
    pay(emulator, begin(Membership.objects.create(email="once@example.com")))
    call_command("stripe_intent_fulfillment", "--since", "1d")
    assert "looked at 1, changed 1, errors 0" in capsys.readouterr().out
    done = set(ScheduledJob.objects.filter(last_succeeded_at__isnull=False).values_list("name", flat=True))
    assert done == {
        "stripe_intent_fulfillment",
        "payment_intent_fulfillment",
        "payment_intent_on_session_fulfillment",
        "setup_intent_fulfillment",
    }
    assert Checkout.objects.stripe_intent_fulfillment() == 0
