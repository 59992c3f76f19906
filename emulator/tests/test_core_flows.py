"""The flows that a shop goes through, with the real SDK in process."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
import stripe

from .helpers import ONLY_CARDS, Bench, bench


@pytest.fixture
def shop() -> Bench:
    return bench()


def test_a_payer_pays_at_once(shop: Bench) -> None:
    intent = shop.v1.payment_intents.create({"amount": 2500, "currency": "GBP", "metadata": {"checkout": "7"}})
    assert (intent.status, intent.currency, intent.capture_method) == (
        "requires_payment_method",
        "gbp",
        "automatic_async",
    )
    shown = shop.emulator.pay(intent.client_secret)
    assert shown["status"] == "succeeded"
    assert "metadata" not in shown
    assert "customer" not in shown
    paid = shop.v1.payment_intents.retrieve(intent.id, {"expand": ["latest_charge"]})
    assert (paid.amount_received, paid.latest_charge.metadata.to_dict()) == (2500, {"checkout": "7"})
    assert shop.events() == ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]
    assert shop.emulator.ledger.taken_minor("gbp", metadata={"checkout": 7}) == 2500


def test_money_arrives_a_little_later_and_is_announced(shop: Bench) -> None:
    intent = shop.v1.payment_intents.create(
        {"amount": 2500, "currency": "gbp", "payment_method": "pm_card_visa", "confirm": True, **ONLY_CARDS}
    )
    assert shop.v1.charges.retrieve(intent.latest_charge).balance_transaction is None
    shop.emulator.clock.advance(seconds=2)
    charge = shop.v1.charges.retrieve(intent.latest_charge, {"expand": ["balance_transaction"]})
    moved = charge.balance_transaction
    assert (moved.net, moved.status) == (2500 - moved.fee, "pending")
    assert shop.events()[-1] == "charge.updated"
    shop.emulator.clock.advance(days=3)
    paid = shop.v1.payment_intents.retrieve(intent.id, {"expand": ["latest_charge.balance_transaction"]})
    assert paid.latest_charge.balance_transaction.status == "available"


def test_a_saved_card_is_charged_while_the_payer_is_away(shop: Bench) -> None:
    customer, method = shop.set_up("4000002500003155")
    intent = shop.charge(customer, method)
    assert (intent.status, intent.amount_received) == ("succeeded", 2000)
    assert shop.emulator.ledger.taken_minor(customer=customer) == 2000


def test_a_card_that_was_only_attached_needs_the_payer(shop: Bench) -> None:
    customer, method = shop.saved("pm_card_authenticationRequiredOnSetup")
    with pytest.raises(stripe.CardError) as caught:
        shop.charge(customer, method)
    assert caught.value.code == "authentication_required"


def test_the_bank_requires_the_payer_and_the_payer_comes(shop: Bench) -> None:
    customer, method = shop.set_up("4000002760003184")
    with pytest.raises(stripe.CardError) as caught:
        shop.charge(customer, method)
    error = caught.value.error
    assert (caught.value.http_status, error.code) == (402, "authentication_required")
    assert error.decline_code == "authentication_required"
    intent = error.payment_intent
    assert (intent.status, intent.payment_method, intent.latest_charge) == ("requires_payment_method", None, None)
    assert intent.last_payment_error.payment_method.id == method
    assert error.charge is None
    shown = shop.emulator.pay(intent.client_secret, method)
    assert shown["status"] == "succeeded"
    assert shop.emulator.ledger.taken_minor() == 2000


def test_leaving_the_challenge_leaves_the_intent_waiting(shop: Bench) -> None:
    intent = shop.v1.payment_intents.create({"amount": 2000, "currency": "gbp"})
    shown = shop.emulator.pay(intent.client_secret, "4000000000003220", authenticate=None)
    assert shown["status"] == "requires_action"
    assert shown["next_action"]["type"] == "use_stripe_sdk"
    assert shop.emulator.complete_challenge(intent.id)["status"] == "succeeded"


def test_a_failed_challenge_takes_nothing(shop: Bench) -> None:
    intent = shop.v1.payment_intents.create({"amount": 2000, "currency": "gbp"})
    shown = shop.emulator.pay(intent.client_secret, "4000000000003220", authenticate=False)
    error = shown["last_payment_error"]
    assert shown["status"] == "requires_payment_method"
    assert (error["type"], error["code"]) == ("invalid_request_error", "payment_intent_authentication_failure")
    assert shop.v1.payment_intents.retrieve(intent.id).latest_charge is None
    assert shop.events()[-2:] == ["payment_intent.requires_action", "payment_intent.payment_failed"]


def test_a_decline_leaves_a_failed_charge_and_the_same_intent_can_be_paid_after_all(shop: Bench) -> None:
    intent = shop.v1.payment_intents.create({"amount": 2000, "currency": "gbp"})
    refusal = shop.emulator.pay(intent.client_secret, "4000000000009995")["error"]
    assert (refusal["code"], refusal["decline_code"]) == ("card_declined", "insufficient_funds")
    assert shop.v1.charges.retrieve(refusal["charge"]).outcome.reason == "insufficient_funds"
    assert shop.events()[-2:] == ["charge.failed", "payment_intent.payment_failed"]
    paid = shop.emulator.pay(intent.client_secret)
    assert (paid["status"], paid["last_payment_error"]) == ("succeeded", None)
    assert shop.emulator.ledger.taken_minor() == 2000


def test_paying_twice_is_refused(shop: Bench) -> None:
    intent = shop.v1.payment_intents.create({"amount": 2000, "currency": "gbp"})
    shop.emulator.pay(intent.client_secret)
    error = shop.emulator.pay(intent.client_secret)["error"]
    assert (error["code"], error["payment_intent"]["status"]) == ("payment_intent_unexpected_state", "succeeded")
    assert shop.emulator.ledger.taken_minor() == 2000


def test_paying_and_saving_in_one_go(shop: Bench) -> None:
    customer = shop.customer()
    intent = shop.v1.payment_intents.create(
        {"amount": 2000, "currency": "gbp", "customer": customer, "setup_future_usage": "off_session"}
    )
    assert shop.emulator.pay(intent.client_secret, "4000002500003155")["status"] == "succeeded"
    method = shop.v1.payment_intents.retrieve(intent.id).payment_method
    assert [m.id for m in shop.v1.customers.payment_methods.list(customer).data] == [method]
    assert shop.charge(customer, method).status == "succeeded"
    assert shop.events()[1:5] == [
        "payment_intent.created",
        "payment_intent.requires_action",
        "payment_method.attached",
        "charge.succeeded",
    ]


def test_what_may_be_written_once_a_card_is_set_up(shop: Bench) -> None:
    intent = shop.v1.setup_intents.create({"payment_method": "pm_card_visa", "confirm": True, **ONLY_CARDS})
    customer = shop.customer()
    plain = {"description": "d", "metadata": {"order": "7"}, "customer": customer, "expand": ["payment_method"]}
    after = shop.v1.setup_intents.update(intent.id, plain)
    assert (after.status, after.description, after.customer) == ("succeeded", "d", customer)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.v1.setup_intents.update(intent.id, {"payment_method": "pm_card_gb"})
    assert (caught.value.code, caught.value.param) == ("setup_intent_unexpected_state", "payment_method")


def test_raw_numbers_are_for_the_browser_only(shop: Bench) -> None:
    with pytest.raises(stripe.CardError, match="unsafe"):
        shop.v1.payment_methods.create(
            {"type": "card", "card": {"number": "4242424242424242", "exp_month": 12, "exp_year": 2030}}
        )


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("number", "4242424242424241", "incorrect_number"),
        ("number", "42", "invalid_number"),
        ("exp_month", "13", "invalid_expiry_month"),
        ("exp_year", "2001", "invalid_expiry_year"),
        ("cvc", "99", "invalid_cvc"),
    ],
)
def test_a_mistyped_card_is_refused_before_any_bank_is_asked(shop: Bench, field: str, value: str, code: str) -> None:
    card = {"number": "4242424242424242", "exp_month": "12", "exp_year": "2030", "cvc": "123", field: value}
    form = "&".join(["type=card", *(f"card[{name}]={text}" for name, text in card.items())])
    headers = {"Authorization": "Bearer pk_test_x"}
    answer = shop.emulator.handle("POST", "/v1/payment_methods", headers, form.encode())
    assert (answer.status, answer.json()["error"]["code"]) == (402, code)


def test_manual_capture_and_the_hold_that_lapses(shop: Bench) -> None:
    form = {"amount": 2000, "currency": "gbp", "payment_method": "pm_card_visa", "confirm": True, **ONLY_CARDS}
    held = [shop.v1.payment_intents.create({**form, "capture_method": "manual"}) for _ in range(2)]
    assert held[0].status == "requires_capture"
    shop.v1.payment_intents.capture(held[0].id, {"amount_to_capture": 1500})
    assert shop.emulator.ledger.taken_minor() == 1500
    shop.emulator.clock.advance(days=7, seconds=1)
    lapsed = shop.v1.payment_intents.retrieve(held[1].id)
    assert (lapsed.status, lapsed.cancellation_reason) == ("canceled", "automatic")
    assert shop.emulator.ledger.taken_minor() == 1500


def test_a_capture_that_is_refused_names_its_parameter_and_shows_the_intent(shop: Bench) -> None:
    form = {"amount": 2000, "currency": "gbp", "payment_method": "pm_card_visa", "confirm": True, **ONLY_CARDS}
    held = shop.v1.payment_intents.create({**form, "capture_method": "manual"})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.v1.payment_intents.capture(held.id, {"amount_to_capture": 2001})
    error = caught.value.error
    assert error is not None
    assert (error.code, error.param, error.payment_intent.id) == ("amount_too_large", "amount_to_capture", held.id)
    shop.v1.payment_intents.capture(held.id)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.v1.payment_intents.capture(held.id)
    error = caught.value.error
    assert error is not None
    assert (error.code, error.payment_intent.status) == ("payment_intent_unexpected_state", "succeeded")


def test_a_space_in_a_path_is_part_of_the_id(shop: Bench) -> None:
    answer = shop.emulator.handle("GET", "/v1/customers/cus%20x", {"Authorization": "Bearer sk_test_x"}, b"")
    assert (answer.status, answer.json()["error"]["message"]) == (404, "No such customer: 'cus x'")


def test_refunds_in_part_in_full_and_never_more(shop: Bench) -> None:
    customer, method = shop.saved()
    intent = shop.charge(customer, method, 4000)
    shop.v1.refunds.create({"payment_intent": intent.id, "amount": 1000})
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded amount"):
        shop.v1.refunds.create({"payment_intent": intent.id, "amount": 4000})
    shop.v1.refunds.create({"payment_intent": intent.id})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.v1.refunds.create({"payment_intent": intent.id})
    assert caught.value.code == "charge_already_refunded"
    assert (shop.emulator.ledger.refunded_minor(), shop.emulator.ledger.net_minor()) == (4000, 0)
    shop.emulator.clock.advance(seconds=10)
    assert shop.events()[-2:] == ["refund.updated", "charge.refund.updated"]


def test_an_unattached_method_pays_once(shop: Bench) -> None:
    method = shop.v1.payment_methods.create({"type": "card", "card": {"token": "tok_visa"}})
    form = {"amount": 900, "currency": "gbp", "payment_method": method.id, "confirm": True, **ONLY_CARDS}
    shop.v1.payment_intents.create(form)
    with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
        shop.v1.payment_intents.create(form)
    assert shop.emulator.ledger.taken_minor() == 900


def test_the_bank_replaces_a_card(shop: Bench) -> None:
    customer, method = shop.saved()
    shop.emulator.bank.replace_card(method, exp_month=4, exp_year=2033, last4="1881")
    event = shop.v1.events.list({"type": "payment_method.automatically_updated"}).data[0]
    assert event.data.previous_attributes.card.last4 == "4242"
    assert shop.charge(customer, method).status == "succeeded"


def test_a_card_runs_out_of_money_on_the_second_charge(shop: Bench) -> None:
    customer, method = shop.saved()
    shop.charge(customer, method)
    shop.emulator.bank.decline_next(method, "insufficient_funds")
    with pytest.raises(stripe.CardError) as caught:
        shop.charge(customer, method)
    assert caught.value.error.decline_code == "insufficient_funds"
    assert shop.charge(customer, method).status == "succeeded"


def test_a_refund_in_the_dashboard_is_heard_of_by_event_only(shop: Bench) -> None:
    customer, method = shop.saved()
    intent = shop.charge(customer, method)
    shop.emulator.bank.dashboard_refund(intent.id, 500)
    event = shop.v1.events.list({"type": "refund.created"}).data[0]
    assert (event.data.object.amount, event.request.id) == (500, None)


def test_the_same_seed_gives_the_same_ids() -> None:
    first, second, other = bench(3), bench(3), bench(4)
    second.v1.customers.list()  # a poll more does not change the ids of what is made
    assert first.customer() == second.customer() != other.customer()


def test_a_forgotten_payment_method_is_refused(shop: Bench) -> None:
    customer = shop.customer()
    form = {"amount": 900, "currency": "gbp", "customer": customer, "confirm": True, "off_session": True, **ONLY_CARDS}
    with pytest.raises(stripe.InvalidRequestError, match=customer) as caught:
        shop.v1.payment_intents.create(form)
    assert caught.value.code == "payment_intent_unexpected_state"


def test_manual_confirmation_goes_back_to_the_server_after_the_challenge(shop: Bench) -> None:
    intent = shop.v1.payment_intents.create({"amount": 900, "currency": "gbp", "confirmation_method": "manual"})
    shown = shop.emulator.pay(intent.client_secret, "4000000000003220")
    assert shown["status"] == "requires_confirmation"
    assert shop.emulator.ledger.taken_minor() == 0
    done = shop.v1.payment_intents.confirm(intent.id, {"return_url": "https://example.com"})
    assert done.status == "succeeded"


def test_a_server_that_confirms_is_given_a_redirect(shop: Bench) -> None:
    intent = shop.v1.payment_intents.create({"amount": 900, "currency": "gbp"})
    waiting = shop.v1.payment_intents.confirm(
        intent.id, {"payment_method": "pm_card_threeDSecure2Required", "return_url": "https://example.com/back"}
    )
    assert waiting.next_action.redirect_to_url.return_url == "https://example.com/back"
    assert waiting.next_action.redirect_to_url.url.startswith(shop.emulator.public_url)


async def _create(client: stripe.StripeClient) -> str:
    return str((await client.v1.customers.create_async({"name": "Ann"})).id)


def test_the_async_sdk_works_too(shop: Bench) -> None:
    # In a thread of its own: a browser test of the same worker keeps an event loop running in this one.
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(lambda: asyncio.run(_create(shop.client))).result()
    assert made.startswith("cus_")
