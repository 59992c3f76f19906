"""Logs: one line for each attempt and event, with ids and times, and nothing secret or personal in any of them."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db.models.signals import pre_save
from django.test import Client

from checkout import clock, logs, mail
from checkout.gateway import gateway
from checkout.journal import Code, Why
from checkout.models import Checkout, SavedCard
from checkout.services import card_expiry, checkouts, fulfillment, intents, polling, reconcile, runs, stale
from stripe_emulator import Emulator, faults
from tests import kept
from tests.conftest import Listener
from tests.host.models import Membership
from tests.services.conftest import SavePlan, enter_card, make_due
from tests.services.test_inbox import SECRET, URL, deliver
from tests.services.test_one_off import begin, pay

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def made_anew() -> Iterator[None]:
    """Lines are written when something happens, not when its rows are put there again."""
    with kept.anew():
        yield


FORBIDDEN = {
    "a card number": re.compile(r"\b\d{13,19}\b"),
    "a client secret": re.compile(r"_secret_"),
    "an e-mail address": re.compile(r"[\w.]+@[\w.]+"),
    "a key": re.compile(r"\b[sr]k_(?:test|live)_"),
    "a signing secret": re.compile(r"whsec_"),
}


def whole(record: logging.LogRecord) -> str:
    """All that a formatter could show of a record."""
    return f"{record.getMessage()} {json.dumps(logs.extras(record), default=str)}"


def test_no_flow_logs_anything_secret_or_personal(
    emulator: Emulator, membership: Membership, save_plan: SavePlan, client: Client, settings: Any, caplog: Any
) -> None:
    settings.CHECKOUT_WEBHOOK_SECRET = SECRET
    mail.install()
    caplog.set_level(logging.INFO, "checkout")
    emulator.webhooks.add(URL, SECRET)

    # Once: declined, challenged, paid; once left alone; once with a lost answer.
    checkout = begin(membership)
    for number in ("4000000000009995", "4000000000003220", "4242424242424242"):
        pay(emulator, checkout, number, authenticate=number != "4000000000003220")
        fulfillment.fulfill(checkout)
    emulator.fail(call=1, fault=faults.LostAfter())
    with pytest.raises(Exception, match="no answer"):
        begin(Membership.objects.create(email="lost@example.com"))
    Checkout.objects.filter(state="pending").update(seen_at="2026-01-01T00:00:00Z")

    # By plan: taken, refused, wanted, unknown; a new card; a card that was replaced; a customer that was deleted.
    for number in ("4242424242424242", "4000008260003178", "4000002760003184"):
        plan = save_plan(number, email=f"{number[-4:]}@example.com", name="Jo Secret")
        if plan.instalments.filter(deposit=False).exists():
            make_due(plan)
    emulator.weather.add(faults.LostAfter(), path=r"POST /v1/payment_intents$")
    runs.process_payments(workers=1)
    polling.fulfill_open_intents()
    Checkout.objects.filter(state="request").update(lease_until="2026-01-01T00:00:00Z")
    reconcile.reconcile()
    stale.tidy()
    refresh = Checkout.objects.create_checkout("card_refresh", plan, None)
    enter_card(emulator, refresh, "5555555555554444")
    fulfillment.fulfill(refresh)
    card = SavedCard.objects.earliest("pk")
    emulator.bank.replace_card(card.payment_method_id, 12, 2031, "1111")
    card_expiry.refresh_card_expiry_dates()
    headers = {"Authorization": "Bearer sk_test_emulator"}
    emulator.handle("DELETE", f"/v1/customers/{card.stripe_customer_id}", headers)
    emulator.bank.dashboard_refund(Checkout.objects.get(pk=checkout.pk).payment_intent_id)
    assert set(deliver(emulator, client)) == {200}
    client.post("/checkout/webhook/", b"{}", content_type="application/json", headers={"Stripe-Signature": "t=1,v1=0"})
    call_command("audit_failed_checkout")

    ours = [record for record in caplog.records if record.name.startswith("checkout")]
    assert len(ours) > 60
    for record in ours:
        for what, pattern in FORBIDDEN.items():
            assert not pattern.search(whole(record)), f"{what} in: {record.name}: {whole(record)}"


def test_one_line_for_an_attempt_with_all_that_is_needed_to_find_it(
    emulator: Emulator, membership: Membership, caplog: Any, django_capture_on_commit_callbacks: Any
) -> None:
    checkout = begin(membership)
    pay(emulator, checkout)
    caplog.set_level(logging.INFO, "checkout.fulfillment")
    with django_capture_on_commit_callbacks(execute=True):
        fulfillment.fulfill(checkout)
        fulfillment.fulfill(checkout)
        assert not [record for record in caplog.records if record.name == "checkout.fulfillment"], "not committed yet"
    [line] = [logs.extras(record) for record in caplog.records if record.name == "checkout.fulfillment"]
    took = line.pop("milliseconds")
    assert 0 <= took < 60_000
    assert re.fullmatch(r"req_\w+", line.pop("request_id"))
    assert line == {
        "checkout": checkout.pk,
        "action": "payment",
        "intent": checkout.payment_intent_id,
        "from": "pending",
        "to": "success",
    }


def test_one_line_for_an_event(
    emulator: Emulator, membership: Membership, client: Client, settings: Any, caplog: Any
) -> None:
    settings.CHECKOUT_WEBHOOK_SECRET = SECRET
    emulator.webhooks.add(URL, SECRET, ["payment_intent.succeeded"])
    checkout = begin(membership)
    pay(emulator, checkout)
    caplog.set_level(logging.INFO, "checkout.inbox")
    deliver(emulator, client)
    [line] = [logs.extras(record) for record in caplog.records if record.name == "checkout.inbox"]
    assert line["event"].startswith("evt_")
    assert (line["event_type"], line["object"]) == ("payment_intent.succeeded", checkout.payment_intent_id)
    assert (line["outcome"], line["attempt"]) == ("done", 1)
    assert line["milliseconds"] > 0


def test_every_call_to_stripe_has_a_line_with_its_request_id_and_time(emulator: Emulator, caplog: Any) -> None:
    caplog.set_level(logging.INFO, "checkout.gateway")
    list(gateway().list_payment_intents(since=clock.now()))
    [line] = [logs.extras(record) for record in caplog.records]
    assert line["call"] == "payment_intents.list"
    assert line["outcome"] == "ok"
    assert line["request_id"].startswith("req_")
    assert line["milliseconds"] >= 0


def record_of(**extra: Any) -> logging.LogRecord:
    return logging.makeLogRecord(
        {
            "name": "checkout.x",
            "levelname": "INFO",
            "msg": "checkout %s",
            "args": (7,),
            "created": 1790000000.5,
            **extra,
        }
    )


def test_the_formatters_show_what_is_beside_the_text() -> None:
    record = record_of(checkout=7, reason='said "no"', request_id="")
    line = logs.KeyValueFormatter().format(record)
    assert line.endswith('INFO checkout.x checkout 7 | checkout=7 reason="said \\"no\\""')
    told = json.loads(logs.JsonFormatter().format(record))
    assert told == {
        "at": "2026-09-21T14:13:20.500+00:00",
        "level": "INFO",
        "logger": "checkout.x",
        "message": "checkout 7",
        "checkout": 7,
        "reason": 'said "no"',
    }
    assert logs.KeyValueFormatter().format(record_of()).endswith("checkout 7")


def test_a_line_break_cannot_make_a_second_line() -> None:
    line = logs.KeyValueFormatter().format(record_of(reason="one\ntwo"))
    assert "\n" not in line


def test_the_filter_of_the_suite_finds_a_payers_name(db: None) -> None:
    listener = Listener()
    pre_save.connect(listener.saved)
    try:
        Membership.objects.create(name="Pat Payer")
        listener.saved(Checkout(payer="Lee Loud <lee@example.com>"))
    finally:
        pre_save.disconnect(listener.saved)
    listener.handle(logging.makeLogRecord({"name": "checkout", "msg": "membership 1 paid"}))
    assert listener.named() == []
    listener.handle(logging.makeLogRecord({"name": "checkout", "msg": "%s paid", "args": ("Pat Payer",)}))
    listener.handle(logging.makeLogRecord({"name": "checkout", "msg": "paid", "who": "Lee Loud"}))
    assert sorted(listener.named()) == ["Lee Loud", "Pat Payer"]


def test_what_staff_write_is_not_in_the_log(
    emulator: Emulator, caplog: Any, django_capture_on_commit_callbacks: Any
) -> None:
    caplog.set_level(logging.INFO, "checkout")
    with django_capture_on_commit_callbacks(execute=True):
        checkouts.manual(Membership.objects.create(), None, "Pat Payer came with cash")
        opened = begin(Membership.objects.create())
        intents.close(opened, why=Why(Code.CANCELLED_BY_STAFF, note="Pat Payer asked for it"))
    logged = "\n".join(whole(record) for record in caplog.records)
    assert "pending -> success (noted)" in logged
    assert "pending -> fail (Cancelled by staff)" in logged
    assert "Pat" not in logged
