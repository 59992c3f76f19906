"""A payer pays once: every way it can go, on the real SDK over the emulator."""

from __future__ import annotations

import logging
import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client

from checkout import clock, errors, states
from checkout.gateway import gateway
from checkout.journal import Code, Why
from checkout.models import Checkout, CheckoutAction, StateChange
from checkout.services import attempt_rows, ending, fulfillment, intents, settling
from stripe_emulator import Emulator, faults
from tests.host.models import Membership

pytestmark = pytest.mark.django_db


def begin(membership: Membership, user: Any = None) -> Checkout:
    membership.refresh_from_db()
    return Checkout.objects.create_checkout(CheckoutAction.objects.payment, membership, user)


def pay(emulator: Emulator, checkout: Checkout, number: str = "4242424242424242", **how: Any) -> Any:
    secret = gateway().retrieve_payment_intent(checkout.payment_intent_id).client_secret
    return emulator.pay(secret, number=number, **how)


def taken(emulator: Emulator, checkout: Checkout) -> int:
    return emulator.ledger.taken_minor(metadata={"checkout": str(checkout.uuid)})


def test_success(emulator: Emulator, membership: Membership, payer: Any) -> None:
    checkout = begin(membership, payer)
    assert (checkout.state_id, checkout.total, checkout.currency) == (states.PENDING, Decimal(100), "GBP")
    pay(emulator, checkout)
    settled = fulfillment.fulfill(checkout)
    assert settled.succeeded
    assert settled.settled_at is not None
    assert taken(emulator, checkout) == 10000
    membership.refresh_from_db()
    assert membership.successes == 1
    trail = StateChange.objects.filter(checkout=checkout).values_list("from_state", "to_state")
    assert list(trail) == [("", "pending"), ("pending", "success")]


def test_an_intent_says_whose_it_is_and_takes_cards_only(emulator: Emulator, membership: Membership) -> None:
    checkout = begin(membership)
    sent = next(entry for entry in emulator.requests if entry.method == "POST")
    assert f"metadata[checkout]={checkout.uuid}" in sent.form.replace("%5B", "[").replace("%5D", "]")
    assert "payment_method_types" not in re.sub("allowed_payment_method_types", "", sent.form)
    assert gateway().retrieve_payment_intent(checkout.payment_intent_id).customer_id == ""


def test_a_decline_is_kept_and_the_same_intent_can_be_paid(emulator: Emulator, membership: Membership) -> None:
    checkout = begin(membership)
    pay(emulator, checkout, "4000000000009995")
    declined = fulfillment.fulfill(checkout)
    assert declined.state_id == states.PENDING
    assert declined.decline_code == "insufficient_funds"
    assert declined.failure
    pay(emulator, checkout)
    settled = fulfillment.fulfill(checkout)
    assert settled.succeeded
    assert (settled.decline_code, settled.failure, settled.failure_code) == ("", "", "")
    assert taken(emulator, checkout) == 10000


def test_the_banks_words_are_kept_when_the_attempt_is_given_up(emulator: Emulator, membership: Membership) -> None:
    checkout = begin(membership)
    pay(emulator, checkout, "4000000000009995")
    said = fulfillment.fulfill(checkout).failure
    closed = intents.close(Checkout.objects.get(), why=Why(Code.PAGE_LEFT))
    assert closed.failed
    assert (closed.failure, closed.failure_code, closed.failure_text) == (said, "", said)
    assert StateChange.objects.filter(checkout=closed, to_state=states.FAIL).get().code == "page_left"


def test_a_reason_of_our_own_is_kept_as_a_code(emulator: Emulator, membership: Membership) -> None:
    closed = intents.close(begin(membership), why=Why(Code.PAGE_LEFT))
    assert (closed.failure, closed.failure_code, closed.failure_text) == ("", "page_left", "The payer left the page")


def test_a_reason_that_an_attempt_cannot_keep_is_refused_before_anything_moves(
    emulator: Emulator, membership: Membership
) -> None:
    checkout = begin(membership)
    with pytest.raises(ValueError, match="no room for the facts"):
        ending.fail(checkout, why=Why(Code.PAYMENT_RUN, run=7))
    checkout.refresh_from_db()
    assert checkout.is_open


@pytest.mark.parametrize(("authenticate", "state"), [(True, states.SUCCESS), (False, states.PENDING)])
def test_authentication(emulator: Emulator, membership: Membership, authenticate: bool, state: str) -> None:
    checkout = begin(membership)
    pay(emulator, checkout, "4000000000003220", authenticate=authenticate)
    assert fulfillment.fulfill(checkout).state_id == state
    assert taken(emulator, checkout) == (10000 if authenticate else 0)


def test_a_second_visit_shares_the_open_attempt_and_its_intent(emulator: Emulator, membership: Membership) -> None:
    first, second = begin(membership), begin(membership)
    assert (first.pk, first.payment_intent_id) == (second.pk, second.payment_intent_id)


def test_another_amount_supersedes_the_open_attempt(emulator: Emulator, membership: Membership) -> None:
    first = begin(membership)
    Membership.objects.update(total=Decimal(120))
    second = begin(membership)
    first.refresh_from_db()
    assert (first.state_id, first.superseded) == (states.FAIL, True)
    assert gateway().retrieve_payment_intent(first.payment_intent_id).canceled
    assert second.total == Decimal(120)
    membership.refresh_from_db()
    assert membership.failures == 0


def test_superseding_a_paid_attempt_settles_it_and_says_so(emulator: Emulator, membership: Membership) -> None:
    first = begin(membership)
    pay(emulator, first)
    Membership.objects.update(total=Decimal(120))
    with pytest.raises(errors.AlreadyPaid):
        begin(membership)
    first.refresh_from_db()
    assert first.succeeded
    assert Checkout.objects.count() == 1


def test_settling_twice_runs_the_hook_once(emulator: Emulator, membership: Membership) -> None:
    checkout = begin(membership)
    pay(emulator, checkout)
    for _ in range(3):
        assert fulfillment.fulfill(checkout).succeeded
    membership.refresh_from_db()
    assert membership.successes == 1


def test_a_success_that_comes_after_the_attempt_was_given_up_is_still_a_success(
    emulator: Emulator, membership: Membership
) -> None:
    checkout = begin(membership)
    pay(emulator, checkout)
    ending.fail(checkout, why=Why(note="test: given up before Stripe was read"))
    assert fulfillment.fulfill(checkout).succeeded


def test_late_news_never_moves_a_success(emulator: Emulator, membership: Membership) -> None:
    checkout = begin(membership)
    before = gateway().retrieve_payment_intent(checkout.payment_intent_id)
    pay(emulator, checkout)
    fulfillment.fulfill(checkout)
    assert settling.settle(checkout.pk, before).succeeded


@pytest.mark.parametrize("wrong", [{"amount": 1}, {"metadata[checkout]": "somebody-else"}])
def test_an_intent_that_was_changed_at_stripe_is_not_settled(
    emulator: Emulator, membership: Membership, wrong: dict[str, Any]
) -> None:
    checkout = begin(membership)
    if "amount" in wrong:
        Checkout.objects.update(total=Decimal("99.99"))
    else:
        emulator_update(emulator, checkout.payment_intent_id, wrong)
    pay(emulator, checkout)
    with pytest.raises(errors.IntentMismatch, match="does not match"):
        fulfillment.fulfill(checkout)
    checkout.refresh_from_db()
    assert checkout.state_id == states.PENDING


def emulator_update(emulator: Emulator, intent_id: str, params: dict[str, Any]) -> None:
    from urllib.parse import urlencode

    headers = {"Authorization": "Bearer sk_test_emulator", "Content-Type": "application/x-www-form-urlencoded"}
    answer = emulator.handle("POST", f"/v1/payment_intents/{intent_id}", headers, urlencode(params).encode())
    assert answer.status == 200, answer.body


@pytest.mark.parametrize(
    "fault", [faults.LostBefore(), faults.LostAfter(), faults.Status(500), faults.Status(500, after=True)]
)
def test_a_lost_reply_leaves_an_attempt_that_the_next_visit_finishes_with_one_intent(
    emulator: Emulator, membership: Membership, fault: Any
) -> None:
    emulator.fail(call=1, fault=fault)
    with pytest.raises(errors.OutcomeUnknown):
        begin(membership)
    left = Checkout.objects.get()
    assert (left.state_id, left.payment_intent_id) == (states.PENDING, "")
    finished = begin(membership)
    assert finished.pk == left.pk
    intents = list(gateway().list_payment_intents(since=finished.created_at - timedelta(minutes=1)))
    assert [intent.id for intent in intents] == [finished.payment_intent_id]


def test_an_answer_that_never_comes_is_given_up_when_nothing_can_be_in_flight(
    emulator: Emulator, membership: Membership
) -> None:
    never = {"path": "POST /v1/payment_intents", "times": None}
    emulator.weather.add(faults.LostBefore(), **never)
    for _ in range(2):
        with pytest.raises(errors.OutcomeUnknown):
            begin(membership)
    assert Checkout.objects.get().is_open
    Checkout.objects.update(claimed_at=clock.now() - timedelta(minutes=11))
    with pytest.raises(errors.OutcomeUnknown):
        begin(membership)
    assert Checkout.objects.get().superseded
    emulator.weather.clear()
    assert begin(membership).payment_intent_id


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"total": Decimal("0.20")}, errors.MoneyError, "the least is"),
        ({"total": Decimal("10.005")}, errors.MoneyError, "smallest amount"),
        ({"total": Decimal(-1)}, errors.MoneyError, "the least is"),
        ({"total": Decimal(-5)}, errors.MoneyError, "the least is"),
        ({"currency": "XXX"}, errors.MoneyError, "ISO code"),
        ({"can_charge": False}, errors.CannotPay, "nothing to pay"),
    ],
)
def test_what_cannot_be_paid_is_refused_before_a_row_is_written(
    emulator: Emulator, membership: Membership, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    Membership.objects.update(**change)
    with pytest.raises(error, match=message):
        begin(membership)
    assert Checkout.objects.count() == 0
    assert len(emulator.requests) == 0


def test_an_action_that_is_not_offered_is_refused(emulator: Emulator, membership: Membership) -> None:
    with pytest.raises(errors.CannotPay):
        Checkout.objects.create_checkout("charge", membership, None)
    with pytest.raises(errors.CheckoutError, match="not a checkout action"):
        Checkout.objects.create_checkout("barter", membership, None)


def test_a_row_that_is_no_content_object_is_refused_by_name(payer: Any) -> None:
    with pytest.raises(errors.CheckoutError, match="User cannot be paid for: it lacks checkout_actions"):
        Checkout.objects.create_checkout("payment", payer, None)


def test_stripe_is_never_called_inside_a_transaction(emulator: Emulator, membership: Membership) -> None:
    with pytest.raises(errors.InsideTransaction), transaction.atomic():
        begin(membership)
    with pytest.raises(errors.InsideTransaction), transaction.atomic():
        Checkout.objects.charge(membership)
    with pytest.raises(errors.InsideTransaction), transaction.atomic():
        Checkout.objects.manual(membership)
    with pytest.raises(errors.InsideTransaction, match="Commit what you know first"), transaction.atomic():
        gateway().retrieve_payment_intent("pi_1")
    assert len(emulator.requests) == 0


def test_an_empty_id_is_refused_before_it_becomes_a_list(emulator: Emulator) -> None:
    with pytest.raises(errors.GatewayError, match="empty id"):
        gateway().retrieve_payment_intent("")


def test_the_database_refuses_a_second_open_attempt(emulator: Emulator, membership: Membership) -> None:
    checkout = begin(membership)
    with pytest.raises(IntegrityError), transaction.atomic():
        Checkout.objects.create(
            action=checkout.action, content_type=checkout.content_type, object_id=checkout.object_id, total=1
        )


def test_the_database_refuses_a_card_success_without_an_intent(membership: Membership, emulator: Emulator) -> None:
    checkout = begin(membership)
    with pytest.raises(IntegrityError), transaction.atomic():
        Checkout.objects.filter(pk=checkout.pk).update(state="success", payment_intent_id="")


def test_what_costs_nothing_is_settled_without_stripe(
    emulator: Emulator, membership: Membership, client: Client
) -> None:
    Membership.objects.update(total=Decimal(0))
    membership.refresh_from_db()
    checkout = begin(membership)
    membership.refresh_from_db()
    assert (checkout.state_id, checkout.total, checkout.is_manual) == (states.SUCCESS, 0, True)
    assert (membership.successes, len(emulator.requests)) == (1, 0)
    assert intents.page(checkout).finished
    session = client.session
    session["checkout_pages"] = {str(checkout.uuid): ""}
    session.save()
    answer = client.get(f"/checkout/{checkout.uuid}/return/")
    assert (answer.status_code, answer.url) == (302, f"/members/{membership.pk}/thanks/")
    with pytest.raises(errors.CannotPay):
        begin(membership)


def test_the_command_settles_what_the_payer_left_behind(
    emulator: Emulator, membership: Membership, capsys: pytest.CaptureFixture[str]
) -> None:
    checkout = begin(membership)
    pay(emulator, checkout)
    call_command("payment_intent_fulfillment")
    assert capsys.readouterr().out.strip() == "looked at 1, changed 1, errors 0"
    checkout.refresh_from_db()
    assert checkout.succeeded
    call_command("payment_intent_fulfillment")
    assert capsys.readouterr().out.strip() == "looked at 0, changed 0, errors 0"


def test_the_command_fails_when_stripe_cannot_be_asked(emulator: Emulator, membership: Membership) -> None:
    begin(membership)
    emulator.fail(call=1, fault=faults.LostBefore())
    with pytest.raises(CommandError, match="could not be asked"):
        call_command("payment_intent_fulfillment")


def test_one_bad_row_does_not_stop_the_sweep(emulator: Emulator, membership: Membership) -> None:
    bad = begin(membership)
    pay(emulator, bad)
    Checkout.objects.filter(pk=bad.pk).update(total=Decimal(99))
    good = begin(Membership.objects.create())
    pay(emulator, good)
    with pytest.raises(CommandError, match="1 could not be settled"):
        call_command("payment_intent_fulfillment")
    good.refresh_from_db()
    assert good.succeeded


def test_the_task_settles_and_returns_the_count(emulator: Emulator, membership: Membership) -> None:
    from checkout import tasks

    pay(emulator, begin(membership))
    assert tasks.payment_intent_fulfillment.delay().get() == 1


@pytest.mark.parametrize(
    ("total", "currency", "minor"),
    [("5000", "JPY", 5000), ("10.12", "KWD", 10120), ("50", "ISK", 5000), ("200", "HUF", 20000)],
)
def test_amounts_reach_stripe_in_its_own_units(
    emulator: Emulator, membership: Membership, total: str, currency: str, minor: int
) -> None:
    Membership.objects.update(total=Decimal(total), currency=currency)
    checkout = begin(membership)
    pay(emulator, checkout)
    assert fulfillment.fulfill(checkout).succeeded
    assert taken(emulator, checkout) == minor


def test_manual_cancels_the_open_attempt_first(emulator: Emulator, membership: Membership, staff: Any) -> None:
    open_attempt = begin(membership)
    membership.refresh_from_db()
    checkout = Checkout.objects.manual(membership, staff)
    assert checkout.succeeded
    assert gateway().retrieve_payment_intent(open_attempt.payment_intent_id).canceled
    membership.refresh_from_db()
    assert membership.successes == 1


def test_manual_after_the_payer_has_paid_takes_nothing_twice(
    emulator: Emulator, membership: Membership, staff: Any
) -> None:
    pay(emulator, begin(membership))
    with pytest.raises(errors.AlreadyPaid):
        Checkout.objects.manual(membership, staff)
    membership.refresh_from_db()
    assert membership.successes == 1


def test_query_counts_are_constant(emulator: Emulator, membership: Membership, count_queries: Any) -> None:
    """Beginning takes 18 queries (two the test's own), showing the page none beyond finding the row, settling 15, of
    which four are transactions of its own, that is, savepoints of the test's. On PostgreSQL it takes 11: history,
    posting, letter and the debt's counters are written by one statement, and so are the receipt and its number."""
    # Kept for the life of a process, so not counted.
    ContentType.objects.get_for_model(Membership)
    attempt_rows.site()
    box: list[Checkout] = []
    counted = count_queries(lambda: box.append(begin(membership)))
    pay(emulator, box[0])
    shown = count_queries(lambda: intents.page(box[0]))
    settled = count_queries(lambda: fulfillment.fulfill(box[0]))
    assert (counted, shown, settled) == (18, 0, 11 if connection.vendor == "postgresql" else 15)


def test_no_log_level_brings_a_client_secret_into_a_log(
    emulator: Emulator, membership: Membership, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, logger="stripe"):
        checkout = begin(membership)
        secret = gateway().retrieve_payment_intent(checkout.payment_intent_id).client_secret
    assert secret
    assert secret not in caplog.text
    assert "payment_intents.create" in caplog.text
