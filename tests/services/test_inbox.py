"""Webhooks: what is taken in, what is refused, and that each event is worked on once however it comes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core.management import call_command
from django.core.signals import request_finished
from django.db import DatabaseError, close_old_connections, connection
from django.test import Client, RequestFactory
from django.urls import reverse

from checkout import clock
from checkout.gateway import gateway
from checkout.gateway.webhooks import sign
from checkout.models import Checkout, ObjectPaymentPlan, PaymentPlan, Problem, StripeEvent
from checkout.services import attempt_rows, fulfillment, inbox, settling
from checkout.views.webhook import webhook
from stripe_emulator import Delivery, Emulator, faults
from tests.host.models import Membership
from tests.saved import saved_card
from tests.services.conftest import enter_card
from tests.services.test_one_off import begin, pay

pytestmark = pytest.mark.django_db

SECRET = "whsec_test"
VISA_DEBIT = "4000056655665556"
URL = "https://shop.example/checkout/webhook/"


@pytest.fixture(autouse=True)
def _secret(settings: Any) -> None:
    settings.CHECKOUT_WEBHOOK_SECRET = SECRET


@pytest.fixture
def post(client: Client) -> Callable[..., Any]:
    """`post(event)`: send it signed, as Stripe does. Anything may be made wrong by name."""

    def send(event: Any, *, secret: str = SECRET, body: bytes | None = None, age: int = 0, **how: Any) -> Any:
        raw = json.dumps(event).encode() if body is None else body
        signature = how.pop("signature", None) or sign(raw, secret, int(time.time()) - age)
        content_type = how.pop("content_type", "application/json; charset=utf-8")
        sent = how.pop("sent", raw)
        headers = {"Stripe-Signature": signature}
        return client.post(reverse("checkout.webhook"), sent, content_type=content_type, headers=headers, **how)

    return send


def an_event(
    kind: str = "payment_intent.succeeded", about: dict[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    event = {
        "id": "evt_1",
        "object": "event",
        "type": kind,
        "api_version": "2026-10-28.endive",
        "created": int(time.time()),
        "livemode": False,
        "data": {"object": about or {"id": "pi_unknown", "object": "payment_intent"}},
    }
    return event | changes


def deliver(emulator: Emulator, client: Client) -> list[int]:
    """Send everything that the emulator has to tell; the statuses of the answers."""
    statuses: list[int] = []

    def send(delivery: Delivery) -> int:
        answer = client.post(
            reverse("checkout.webhook"),
            delivery.body,
            content_type=delivery.headers["Content-Type"],
            headers={"Stripe-Signature": delivery.headers["Stripe-Signature"]},
        )
        statuses.append(answer.status_code)
        return answer.status_code

    emulator.webhooks.deliver(send)
    return statuses


# -- the way it should go --------------------------------------------------------------------------------


def test_a_payment_is_settled_by_its_webhook(emulator: Emulator, membership: Membership, client: Client) -> None:
    emulator.webhooks.add(URL, SECRET)
    checkout = begin(membership)
    pay(emulator, checkout)
    assert set(deliver(emulator, client)) == {200}
    checkout.refresh_from_db()
    membership.refresh_from_db()
    assert (checkout.state_id, membership.successes) == ("success", 1)
    row = StripeEvent.objects.get(event_type="payment_intent.succeeded")
    assert (row.outcome, row.error, row.attempts) == ("done", "", 1)
    assert row.handled_at is not None


def test_the_answer_is_given_before_stripe_is_asked(emulator: Emulator, membership: Membership) -> None:
    checkout = begin(membership)
    pay(emulator, checkout)
    before = len(emulator.requests)
    body = json.dumps(an_event(about={"id": checkout.payment_intent_id})).encode()
    request = RequestFactory().post(
        "/", body, content_type="application/json", headers={"Stripe-Signature": sign(body, SECRET)}
    )
    answer = webhook(request)
    assert (answer.status_code, answer.content) == (200, b"")
    assert len(emulator.requests) == before
    assert not Checkout.objects.get().succeeded
    # As the test client does: the signal that a request is over would close the test's own connection.
    request_finished.disconnect(close_old_connections)
    try:
        answer.close()
    finally:
        request_finished.connect(close_old_connections)
    assert len(emulator.requests) == before + 1
    assert Checkout.objects.get().succeeded


def test_storing_and_answering_takes_one_insert(
    emulator: Emulator, post: Callable[..., Any], settings: Any, django_assert_num_queries: Any
) -> None:
    settings.CHECKOUT_BACKGROUND = "sweep"
    with django_assert_num_queries(3):  # savepoint, insert, release: the savepoint is the test's transaction showing
        assert post(an_event()).status_code == 200


def test_with_celery_a_task_gets_the_row(
    emulator: Emulator,
    membership: Membership,
    post: Callable[..., Any],
    settings: Any,
    django_capture_on_commit_callbacks: Any,
) -> None:
    settings.CHECKOUT_BACKGROUND = "celery"
    checkout = begin(membership)
    pay(emulator, checkout)
    with django_capture_on_commit_callbacks(execute=True):
        assert post(an_event(about={"id": checkout.payment_intent_id})).status_code == 200
        checkout.refresh_from_db()
        assert not checkout.succeeded
    checkout.refresh_from_db()
    assert checkout.succeeded


def test_a_broker_that_is_down_costs_nothing(
    emulator: Emulator,
    membership: Membership,
    post: Callable[..., Any],
    settings: Any,
    monkeypatch: Any,
    django_capture_on_commit_callbacks: Any,
) -> None:
    from checkout import tasks

    def down(*args: Any) -> None:
        raise OSError("connection refused")

    settings.CHECKOUT_BACKGROUND = "celery"
    monkeypatch.setattr(tasks.handle_event, "delay", down)
    checkout = begin(membership)
    pay(emulator, checkout)
    with django_capture_on_commit_callbacks(execute=True):
        assert post(an_event(about={"id": checkout.payment_intent_id})).status_code == 200
    assert inbox.work().done == 1
    checkout.refresh_from_db()
    assert checkout.succeeded


def test_nothing_secret_or_personal_is_stored(emulator: Emulator, membership: Membership, client: Client) -> None:
    emulator.webhooks.add(URL, SECRET)
    checkout = begin(membership)
    pay(emulator, checkout, "4000000000003220")
    deliver(emulator, client)
    stored = json.dumps(list(StripeEvent.objects.values_list("payload", flat=True)))
    assert checkout.payment_intent_id in stored
    for secret in ("client_secret", "_secret_", "next_action", "billing_details", "receipt_url", "@"):
        assert secret not in stored, secret


# -- what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"secret": "whsec_forged"}, 400),
        ({"signature": "t=1,v1=00"}, 400),
        ({"signature": "v1=é"}, 400),
        ({"signature": "nonsense"}, 400),
        ({"signature": f"t={'9' * 400},v1=00"}, 400),
        ({"age": 301}, 400),
        ({"sent": json.dumps(an_event()).encode()[:-9]}, 400),
        ({"sent": b""}, 400),
        ({"body": b"not json"}, 400),
        ({"body": b"[]"}, 400),
        ({"body": b'{"object": "event"}'}, 400),
        ({"body": b'{"object": "v2.core.event", "id": "evt_1", "type": "x", "data": {"object": {}}}'}, 400),
        ({"body": b"[" * 100_000}, 400),
        ({"body": b"\xff\xfe"}, 400),
        ({"sent": b"x" * (1024 * 1024 + 1)}, 413),
        ({"content_type": "text/plain"}, 400),
        ({"content_type": "application/x-www-form-urlencoded"}, 400),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_event_is_refused(post: Callable[..., Any], wrong: dict[str, Any], status: int) -> None:
    if wrong.get("body") == b"\xff\xfe":
        wrong = {"sent": wrong["body"], "signature": "t=1,v1=00"}
    answer = post(an_event(), **wrong)
    assert answer.status_code == status
    assert StripeEvent.objects.count() == 0
    assert SECRET.encode() not in answer.content


def test_an_event_at_the_edge_of_the_tolerance_is_taken(post: Callable[..., Any]) -> None:
    assert post(an_event(), age=295).status_code == 200


def test_get_is_refused_and_no_csrf_token_is_asked_for(emulator: Emulator, client: Client) -> None:
    assert client.get(reverse("checkout.webhook")).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    body = json.dumps(an_event()).encode()
    answer = strict.post(
        reverse("checkout.webhook"),
        body,
        content_type="application/json",
        headers={"Stripe-Signature": sign(body, SECRET)},
    )
    assert answer.status_code == 200


def test_the_other_mode_is_refused_and_taken_once_the_key_is_right(
    emulator: Emulator, post: Callable[..., Any], settings: Any
) -> None:
    assert post(an_event(livemode=True)).status_code == 400
    assert StripeEvent.objects.count() == 0
    settings.STRIPE_SECRET_KEY = "sk_live_pretend"
    assert post(an_event(livemode=True)).status_code == 200


def test_without_a_secret_stripe_is_asked_to_come_again(post: Callable[..., Any], settings: Any) -> None:
    settings.CHECKOUT_WEBHOOK_SECRET = ""
    assert post(an_event()).status_code == 503
    settings.CHECKOUT_WEBHOOK_SECRET = ["", None]
    assert post(an_event()).status_code == 503


def test_while_a_secret_is_rolled_both_are_good(
    emulator: Emulator, membership: Membership, client: Client, settings: Any
) -> None:
    endpoint = emulator.webhooks.add(URL, SECRET)
    checkout = begin(membership)
    assert set(deliver(emulator, client)) == {200}
    emulator.webhooks.roll(endpoint["id"], "whsec_new")
    pay(emulator, checkout)
    assert set(deliver(emulator, client)) == {200}, "signed with both, the old one is known"
    settings.CHECKOUT_WEBHOOK_SECRET = [SECRET, "whsec_new"]
    emulator.clock.advance(hours=25)
    with time_machine.travel(clock.now() + timedelta(hours=25)):
        emulator.bank.dashboard_refund(checkout.payment_intent_id)
        assert set(deliver(emulator, client)) == {200}


# -- what is not ours, and what cannot be worked on yet --------------------------------------------------


def test_a_kind_that_changes_nothing_is_stored_as_such(post: Callable[..., Any]) -> None:
    assert post(an_event("invoice.paid", {"id": "in_1"})).status_code == 200
    row = StripeEvent.objects.get()
    assert (row.outcome, row.next_attempt_at) == ("ignored", None)
    assert row.handled_at is not None


def test_somebody_elses_account_is_stored_and_left_alone(emulator: Emulator, post: Callable[..., Any]) -> None:
    assert post(an_event(account="acct_other")).status_code == 200
    assert StripeEvent.objects.get().outcome == "not_ours"
    assert len(emulator.requests) == 0


def test_an_intent_without_our_mark_is_not_ours_and_costs_no_call(emulator: Emulator, post: Callable[..., Any]) -> None:
    assert post(an_event()).status_code == 200
    assert StripeEvent.objects.get().outcome == "not_ours"
    assert len(emulator.requests) == 0


def test_an_event_that_comes_before_our_own_commit_is_tried_again(
    emulator: Emulator, membership: Membership, post: Callable[..., Any]
) -> None:
    checkout = begin(membership)
    pay(emulator, checkout)
    Checkout.objects.filter(pk=checkout.pk).update(uuid="00000000-0000-4000-8000-000000000000", payment_intent_id="")
    about = {"id": checkout.payment_intent_id, "metadata": {"checkout": str(checkout.uuid)}}
    post(an_event(about=about))
    row = StripeEvent.objects.get()
    assert (row.outcome, row.handled_at) == ("", None)
    Checkout.objects.filter(pk=checkout.pk).update(uuid=checkout.uuid)
    with time_machine.travel(clock.now() + timedelta(seconds=11)):
        assert inbox.work().done == 1
    checkout.refresh_from_db()
    assert checkout.succeeded


def test_our_mark_without_a_row_is_somebody_elses_after_an_hour(emulator: Emulator, post: Callable[..., Any]) -> None:
    mark = "6a1f6a4e-2a37-4a8e-9b40-3f8f2d3d9a11"
    post(an_event(about={"id": "pi_1", "metadata": {"checkout": mark}}))
    for hours in (0, 0.5, 1.1, 3, 6):
        with time_machine.travel(clock.now() + timedelta(hours=hours)):
            inbox.work()
    row = StripeEvent.objects.get()
    assert row.outcome == "not_ours"
    assert "no such checkout" in row.error
    assert len(emulator.requests) == 0


def test_money_with_the_mark_of_this_site_and_no_row_is_a_problem(emulator: Emulator, post: Callable[..., Any]) -> None:
    marks = {"site": attempt_rows.site(), "checkout": "6a1f6a4e-2a37-4a8e-9b40-3f8f2d3d9a11"}
    intent = gateway().create_payment_intent(
        amount_minor=500, currency="GBP", description="", metadata=marks, idempotency_key="k"
    )
    emulator.pay(intent.client_secret, "4242424242424242")
    post(an_event(about={"id": intent.id, "metadata": marks}))
    for hours in (0, 1.1):
        with time_machine.travel(clock.now() + timedelta(hours=hours)):
            inbox.work()
    assert StripeEvent.objects.get().outcome == "done"
    assert [(row.kind, row.subject, row.amount) for row in Problem.objects.all()] == [("unknown_payment", intent.id, 5)]


def test_a_failed_event_waits_longer_each_time_and_then_for_a_person(
    emulator: Emulator, membership: Membership, post: Callable[..., Any]
) -> None:
    checkout = begin(membership)
    pay(emulator, checkout)
    emulator.weather.add(faults.Status(500), path="GET /v1/payment_intents/", times=None)
    post(an_event(about={"id": checkout.payment_intent_id}))
    gaps = []
    moment = clock.now()
    while (row := StripeEvent.objects.get()).next_attempt_at is not None:
        gaps.append(row.next_attempt_at - moment)
        assert "OutcomeUnknown" in row.error
        moment = row.next_attempt_at + timedelta(seconds=1)
        with time_machine.travel(moment, tick=False):
            inbox.work()
    assert len(gaps) == len(inbox.GAPS)
    assert gaps == sorted(gaps)
    assert timedelta(days=2.5) < sum(gaps, timedelta()) < timedelta(days=4)
    assert inbox.work().given_up == 1
    emulator.weather.clear()
    inbox.try_again(row)
    assert inbox.work().done == 1
    checkout.refresh_from_db()
    assert checkout.succeeded


def _die(*args: Any) -> None:
    raise SystemExit


def test_a_worker_that_dies_leaves_the_event_to_the_next_sweep(
    emulator: Emulator, membership: Membership, post: Callable[..., Any], monkeypatch: Any
) -> None:
    checkout = begin(membership)
    pay(emulator, checkout)

    with monkeypatch.context() as patched:
        patched.setattr(inbox.fulfillment, "fulfill_just_read", _die)
        with pytest.raises(SystemExit):
            post(an_event(about={"id": checkout.payment_intent_id}))
    assert inbox.work().done == 0, "it may still be at work"
    with time_machine.travel(clock.now() + inbox.CLAIM + timedelta(seconds=1)):
        assert inbox.work().done == 1


def test_an_event_ends_in_the_commit_that_settles_what_it_is_about(
    emulator: Emulator, membership: Membership, post: Callable[..., Any], monkeypatch: Any
) -> None:
    checkout = begin(membership)
    pay(emulator, checkout)

    monkeypatch.setattr(settling.numbering, "give", _die)
    with pytest.raises(SystemExit):
        post(an_event(about={"id": checkout.payment_intent_id}))
    row = StripeEvent.objects.get()
    assert (row.outcome, row.next_attempt_at, row.error) == ("done", None, "")
    assert row.handled_at is not None
    checkout.refresh_from_db()
    assert checkout.succeeded


def test_an_event_whose_settlement_was_undone_waits(
    emulator: Emulator, membership: Membership, post: Callable[..., Any], monkeypatch: Any
) -> None:
    checkout = begin(membership)
    pay(emulator, checkout)

    def refuse(*args: Any, **options: Any) -> None:
        raise DatabaseError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(settling.letters, "paid", refuse)
        post(an_event(about={"id": checkout.payment_intent_id}))
    row = StripeEvent.objects.get()
    assert (row.outcome, row.handled_at) == ("", None)
    assert row.next_attempt_at is not None
    inbox.try_again(row)
    assert inbox.work().done == 1
    checkout.refresh_from_db()
    assert checkout.succeeded


def test_an_event_about_a_settled_payment_costs_no_call(
    emulator: Emulator, membership: Membership, client: Client
) -> None:
    from checkout.services import fulfillment

    emulator.webhooks.add(URL, SECRET)
    checkout = begin(membership)
    pay(emulator, checkout)
    fulfillment.fulfill(checkout)
    before = len(emulator.requests)
    deliver(emulator, client)
    assert len(emulator.requests) == before


def test_a_deleted_customer_has_no_card_any_more(emulator: Emulator, post: Callable[..., Any]) -> None:
    from checkout.models import Customer, StripeCustomer

    card = saved_card(Customer.objects.create(email="a@example.com"))
    StripeCustomer.objects.create(customer=card.customer, stripe_customer_id="cus_1")
    post(an_event("customer.deleted", {"id": "cus_1", "object": "customer", "email": "a@example.com"}))
    card.refresh_from_db()
    assert (StripeCustomer.objects.get().gone, card.good, card.refresh) == (True, False, True)
    assert StripeEvent.objects.get().outcome == "done"


@pytest.mark.parametrize("kind", ["refund.created", "charge.refunded"])
def test_a_refund_in_the_dashboard_gets_a_row_once(
    emulator: Emulator, membership: Membership, client: Client, kind: str
) -> None:
    from checkout.models import Refund
    from checkout.services import fulfillment

    emulator.webhooks.add(URL, SECRET, [kind])
    checkout = begin(membership)
    pay(emulator, checkout)
    fulfillment.fulfill(checkout)
    emulator.bank.dashboard_refund(checkout.payment_intent_id, 2500)
    assert set(deliver(emulator, client)) == {200}
    assert [(str(row.amount), row.from_dashboard) for row in Refund.objects.all()] == [("25.000", True)]
    assert set(StripeEvent.objects.values_list("outcome", "error")) == {("done", "")}


def test_a_dispute_and_a_fraud_warning_are_kept(emulator: Emulator, membership: Membership, client: Client) -> None:
    from checkout.models import Dispute
    from checkout.services import fulfillment

    emulator.webhooks.add(URL, SECRET)
    for number in ("4000000000000259", "4000000000005423"):
        checkout = begin(Membership.objects.create(email=f"{number}@example.com"))
        pay(emulator, checkout, number)
        fulfillment.fulfill(checkout)
    emulator.clock.advance(minutes=1)
    deliver(emulator, client)
    assert set(Dispute.objects.values_list("kind", flat=True)) == {"dispute", "fraud_warning"}
    assert not StripeEvent.objects.filter(handled_at=None).exists()


def test_a_card_that_the_bank_replaced_is_read_again(emulator: Emulator, save_plan: Any, client: Client) -> None:
    card = save_plan().card
    emulator.webhooks.add(URL, SECRET)
    emulator.bank.replace_card(card.payment_method_id, 11, 2032, "1881")
    deliver(emulator, client)
    card.refresh_from_db()
    assert (card.last4, card.exp_month, card.exp_year) == ("1881", 11, 2032)


@pytest.mark.parametrize(("old", "kind"), [(False, "payment_method.detached"), (True, "customer.source.deleted")])
def test_a_card_that_was_detached_at_stripe_is_flagged_before_a_charge_fails(
    emulator: Emulator, save_plan: Any, client: Client, old: bool, kind: str
) -> None:
    from checkout.gateway import gateway
    from checkout.models import SavedCard, StripeCustomer

    card = save_plan().card
    if old:
        legacy = emulator.bank.add_legacy_card(card.stripe_customer_id, VISA_DEBIT)
        SavedCard.objects.update(payment_method_id=legacy)
        card.refresh_from_db()
    emulator.webhooks.add(URL, SECRET)
    gateway().detach_payment_method(card.payment_method_id)
    deliver(emulator, client)
    card.refresh_from_db()
    assert (card.refresh, card.good, StripeCustomer.objects.get().gone) == (True, False, False)
    assert (kind, "done") in StripeEvent.objects.values_list("event_type", "outcome")
    assert not StripeEvent.objects.filter(handled_at=None).exists()


def test_the_old_card_of_a_refresh_that_is_detached_flags_nobody(
    emulator: Emulator, save_plan: Any, client: Client
) -> None:
    plan = save_plan()
    emulator.webhooks.add(URL, SECRET)
    refresh = Checkout.objects.create_checkout("card_refresh", plan)
    secret = gateway().retrieve_setup_intent(refresh.setup_intent_id).client_secret
    emulator.pay(secret, "5555555555554444")
    fulfillment.fulfill(refresh)
    deliver(emulator, client)
    assert ("payment_method.detached", "done") in StripeEvent.objects.values_list("event_type", "outcome")
    assert not plan.customer.refresh
    assert not StripeEvent.objects.filter(handled_at=None).exists()


def test_news_of_a_card_that_was_read_before_asks_stripe_for_nothing(
    emulator: Emulator, save_plan: Any, post: Callable[..., Any]
) -> None:
    saved = save_plan().agreement.checkout
    asked = len(list(emulator.requests))
    post(an_event("setup_intent.succeeded", {"id": saved.setup_intent_id, "object": "setup_intent"}))
    assert StripeEvent.objects.get().outcome == "done"
    assert len(list(emulator.requests)) == asked


def test_news_of_a_card_that_was_read_before_takes_a_deposit_that_was_cut_off(
    emulator: Emulator,
    membership: Membership,
    payment_plan: PaymentPlan,
    post: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    saved = Checkout.objects.create_checkout("payment_plan", membership, None, payment_plan=payment_plan)
    enter_card(emulator, saved, "4242424242424242")
    with monkeypatch.context() as cut_off:
        cut_off.setattr(fulfillment.plans, "take_waiting_deposit", lambda checkout: None)
        fulfillment.fulfill(saved)
    plan = ObjectPaymentPlan.objects.for_content_object(membership)
    assert plan.instalments.get().state_id == "pending"
    post(an_event("setup_intent.succeeded", {"id": saved.setup_intent_id, "object": "setup_intent"}))
    assert plan.instalments.get(deposit=True).state_id == "success"


@pytest.mark.parametrize("kind", ["customer.source.updated", "customer.source.expiring", "customer.source.deleted"])
def test_news_of_a_card_of_the_old_system_reads_it_again(
    emulator: Emulator, save_plan: Any, post: Callable[..., Any], kind: str
) -> None:
    from checkout.models import SavedCard

    card = save_plan().card
    SavedCard.objects.update(last4="0000", read_at=None)
    post(an_event(kind, {"id": card.payment_method_id, "object": "card"}))
    card.refresh_from_db()
    assert (card.last4, card.read_at is not None) == ("4242", True)


# -- many ------------------------------------------------------------------------------------------------


@pytest.mark.postgres  # many rows: once is enough, on the database of real sites
def test_a_burst_of_a_thousand_events_half_of_them_doubled(
    emulator: Emulator, post: Callable[..., Any], settings: Any, capsys: Any
) -> None:
    settings.CHECKOUT_BACKGROUND = "sweep"
    emulator.webhooks.add(URL, SECRET)
    paid = []
    for number in range(20):
        membership = Membership.objects.create(name=f"Member {number}")
        checkout = begin(membership)
        pay(emulator, checkout)
        paid.append(checkout)
    events = [an_event(id=f"evt_{number}", about={"id": paid[number % 20].payment_intent_id}) for number in range(1000)]
    for number in range(1000):
        assert post(events[number]).status_code == 200
        if number % 2:
            assert post(events[number]).status_code == 200
    assert StripeEvent.objects.count() == 1000
    call_command("process_events")
    assert "done 1000" in capsys.readouterr().out
    assert StripeEvent.objects.filter(outcome="done", attempts=1).count() == 1000
    assert list(Membership.objects.values_list("successes", flat=True)) == [1] * 20


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_two_workers_never_share_an_event(
    emulator: Emulator, membership: Membership, post: Callable[..., Any], settings: Any
) -> None:
    settings.CHECKOUT_BACKGROUND = "sweep"
    checkout = begin(membership)
    pay(emulator, checkout)
    for number in range(40):
        post(an_event(id=f"evt_{number}", about={"id": checkout.payment_intent_id}))

    def sweep(_number: int) -> int:
        try:
            return inbox.work().done
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(sweep, range(4))) == 40
    assert set(StripeEvent.objects.values_list("attempts", flat=True)) == {1}
    membership.refresh_from_db()
    assert membership.successes == 1


def test_events_that_were_worked_on_are_forgotten_after_a_while(post: Callable[..., Any]) -> None:
    post(an_event("invoice.paid", {"id": "in_1"}))
    assert inbox.forget_old() == 0
    with time_machine.travel(clock.now() + timedelta(days=91)):
        assert inbox.forget_old() == 1


def test_a_second_intent_that_took_money_under_our_mark_is_never_quiet(
    emulator: Emulator, membership: Membership, client: Client
) -> None:
    """However it was made: a copied request, a key that Stripe had forgotten, another site with a copy of our rows."""
    emulator.webhooks.add(URL, SECRET)
    checkout = begin(membership)
    second = gateway().create_payment_intent(
        amount_minor=10000,
        currency="GBP",
        description="",
        metadata=attempt_rows.metadata(checkout),
        idempotency_key="another",
    )
    pay(emulator, checkout)
    emulator.pay(second.client_secret, "4242424242424242")
    deliver(emulator, client)
    row = StripeEvent.objects.get(object_id=second.id, event_type="payment_intent.succeeded")
    assert (row.outcome, row.handled_at) == ("", None)
    assert second.id in row.error


def test_of_two_workers_one_gets_the_event(post: Callable[..., Any]) -> None:
    post(an_event(about={"id": "pi_1", "metadata": {"checkout": "6a1f6a4e-2a37-4a8e-9b40-3f8f2d3d9a11"}}))
    StripeEvent.objects.update(attempts=0, next_attempt_at=clock.now())
    row = StripeEvent.objects.get()
    assert inbox._claim(row.pk) is not None
    assert inbox._claim(row.pk) is None
    row.refresh_from_db()
    assert row.attempts == 1
