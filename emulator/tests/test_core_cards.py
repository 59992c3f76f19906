"""Every test card of docs.stripe.com/testing, on session, off session and when it is saved."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import stripe

from stripe_emulator.resources.cards import _COUNTRIES, BY_NAME, BY_TOKEN, CARDS, luhn

from .helpers import Bench, bench

OK = "succeeded"
AUTH = "authentication_required"


@dataclass(frozen=True)
class Row:
    """What a card does. A decline code, `OK`, or a pair: with the challenge passed, then."""

    number: str
    pays: str = OK
    challenged: bool = False
    saves: bool = True
    later: str = OK
    """Charged off session after it was set up; for a card that cannot be saved, unused."""


ROWS = (
    Row("4242424242424242"),
    Row("4000056655665556"),
    Row("5555555555554444"),
    Row("2223003122003222"),
    Row("5200828282828210"),
    Row("5105105105105100"),
    Row("378282246310005"),
    Row("6011111111111117"),
    Row("3056930009020004"),
    Row("3566002020360505"),
    Row("6200000000000005"),
    Row("6011000990139424"),
    Row("6011981111111113"),
    Row("6555900000604105"),
    Row("3530111333300000"),
    Row("6200000000000047"),
    Row("6205500000000000004"),
    Row("4000002500001001"),
    Row("5555552500001001"),
    Row("4000050360000001"),
    Row("5555050360000080"),
    Row("5200007840000022"),
    Row("4000007640000003"),
    Row("4000057640000008"),
    *(Row(number) for number in _COUNTRIES.values()),
    Row("4000008260000000"),
    Row("4000058260000005"),
    Row("5555558265554449"),
    Row("4000002500003155", challenged=True),
    Row("4000002760003184", challenged=True, later=AUTH),
    Row("4000003800000446", challenged=True),
    Row("4000002760009009", challenged=True, later=AUTH),
    Row("4000008260003178", "insufficient_funds", challenged=True, later="insufficient_funds"),
    Row("4000000000003220", challenged=True, later=AUTH),
    Row("4000008400001629", "generic_decline", challenged=True, saves=False),
    Row("4000008400001280", "generic_decline", saves=False),
    Row("4000000000003055"),
    Row("4000000000003097"),
    Row("4000000032200000"),
    Row("4000000000000002", "generic_decline", saves=False),
    Row("4000000000009995", "insufficient_funds", saves=False),
    Row("4000000000009987", "lost_card", saves=False),
    Row("4000000000009979", "stolen_card", saves=False),
    Row("4000000000000069", "expired_card", saves=False),
    Row("4000000000000127", "incorrect_cvc", saves=False),
    Row("4000000000000119", "processing_error", saves=False),
    Row("4000000000006975", "card_velocity_exceeded", saves=False),
    Row("4000000000000341", "generic_decline", later="generic_decline"),
    Row("4100000000000019", "fraudulent", later="fraudulent"),
    Row("4000000000004954"),
    Row("4000000000009235"),
    Row("4000000000000101"),
    Row("4000000000000036"),
    Row("4000000000000010"),
    Row("4000058400307872"),
    Row("4000058400306072"),
    Row("4000000000000044"),
    Row("4000000000000259"),
    Row("4000000000002685"),
    Row("4000000000001976"),
    Row("4000000000005423"),
    Row("4000000000007726"),
    Row("4000000000005126"),
    Row("4000000000000077"),
    Row("4000003720000278"),
)
by_number = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.number)


@pytest.fixture
def shop() -> Bench:
    return bench()


@by_number
def test_on_session(shop: Bench, row: Row) -> None:
    intent = shop.v1.payment_intents.create({"amount": 2000, "currency": "gbp"})
    shown = shop.emulator.pay(intent.client_secret, row.number, authenticate=None)
    assert (shown.get("status") == "requires_action") == row.challenged
    if row.challenged:
        shown = shop.emulator.complete_challenge(intent.id)
    after = shop.v1.payment_intents.retrieve(intent.id)
    if row.pays == OK:
        assert after.status == "succeeded"
        assert shop.emulator.ledger.taken_minor() == 2000
    else:
        error = after.last_payment_error
        assert (after.status, error.type, error.decline_code) == ("requires_payment_method", "card_error", row.pays)
        assert (after.payment_method, error.charge) == (None, after.latest_charge)
        assert shop.emulator.ledger.taken_minor() == 0


@by_number
def test_saved_and_charged_off_session(shop: Bench, row: Row) -> None:
    customer = shop.customer()
    intent = shop.v1.setup_intents.create({"customer": customer})
    shop.emulator.pay(intent.client_secret, row.number)
    after = shop.v1.setup_intents.retrieve(intent.id)
    if not row.saves:
        assert after.status == "requires_payment_method"
        assert after.last_setup_error.type == "card_error"
        assert shop.v1.customers.payment_methods.list(customer).data == []
        return
    assert after.status == "succeeded"
    if row.later == OK:
        assert shop.charge(customer, after.payment_method).status == "succeeded"
        return
    with pytest.raises(stripe.CardError) as caught:
        shop.charge(customer, after.payment_method)
    assert caught.value.error.decline_code == row.later
    assert shop.emulator.ledger.taken_minor() == 0


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_every_name_makes_a_payment_method_of_its_own(shop: Bench, name: str) -> None:
    first, second = (shop.v1.payment_methods.retrieve(name) for _ in range(2))
    assert first.id != second.id
    assert first.card.fingerprint == second.card.fingerprint
    assert first.card.last4 == BY_NAME[name].last4


@pytest.mark.parametrize(
    ("words", "last4"),
    [
        (("visa_createDispute", "createDispute"), "0259"),
        (("visa_chargeDeclined", "chargeDeclined"), "0002"),
        (("chargeDeclinedExpiredCard", "visa_chargeDeclinedExpiredCard"), "0069"),
        (("threeDSecure2Required", "visa_threeDSecure2Required"), "3220"),
        (("authenticationRequired",), "3184"),
        (("mastercard_prepaid",), "5100"),
        (("br", ), "0002"),
        (("gb_mastercard",), "4449"),
    ],
)  # fmt: skip
def test_a_name_and_a_token_are_known_with_and_without_their_brand(
    shop: Bench, words: tuple[str, ...], last4: str
) -> None:
    for word in words:
        assert shop.v1.payment_methods.retrieve(f"pm_card_{word}").card.last4 == last4
        data = {"type": "card", "card": {"token": f"tok_{word}"}}
        assert shop.v1.payment_methods.create(data).card.last4 == last4


def test_no_name_stands_for_two_cards() -> None:
    assert not {"pm_card_debit", "pm_card_visa_visa", "pm_card_visa_br", "tok_visa_gb_debit"} & {*BY_NAME, *BY_TOKEN}
    assert BY_NAME.keys() >= {name for card in CARDS for name in card.names}
    assert all(BY_NAME[name] is card for card in CARDS for name in card.names)
    assert all(BY_TOKEN[token] is card for card in CARDS for token in card.tokens)


def test_a_card_of_two_networks_names_both(shop: Bench) -> None:
    card = shop.v1.payment_methods.retrieve("pm_card_visa_cartesBancaires").card
    assert (card.brand, card.country, card.networks.available) == ("visa", "FR", ["cartes_bancaires", "visa"])


def test_a_bank_that_cannot_check_an_address_says_so(shop: Bench) -> None:
    method = shop.v1.payment_methods.create(
        {
            "type": "card",
            "card": {"token": "tok_avsUnchecked"},
            "billing_details": {"address": {"line1": "1 High Street", "postal_code": "94107"}},
        }
    )
    checks = shop.v1.payment_methods.attach(method.id, {"customer": shop.customer()}).card.checks
    assert checks.to_dict() == {
        "address_line1_check": "unavailable",
        "address_postal_code_check": "unavailable",
        "cvc_check": "pass",
    }


def test_every_card_of_the_table_is_a_valid_number_and_is_tested() -> None:
    assert [card.number for card in CARDS if not luhn(card.number)] == []
    spare = {"371449635398431", "36227206271667", "4000000000003063", "4000000000000028"}
    assert {card.number for card in CARDS} - spare == {row.number for row in ROWS}


@pytest.mark.parametrize(
    ("card", "off_session"),
    [("pm_card_authenticationRequiredOnSetup", AUTH), ("pm_card_authenticationRequiredSetupForOffSession", OK)],
)
def test_cards_that_were_attached_without_the_payer(shop: Bench, card: str, off_session: str) -> None:
    customer, method = shop.saved(card)
    if off_session == OK:
        assert shop.charge(customer, method).status == "succeeded"
        return
    with pytest.raises(stripe.CardError) as caught:
        shop.charge(customer, method)
    assert caught.value.code == off_session


@pytest.mark.parametrize(
    ("card", "asked"), [("4000000000003055", "requires_action"), ("4000000000003097", "requires_payment_method")]
)
def test_three_d_secure_on_request(shop: Bench, card: str, asked: str) -> None:
    options = {"payment_method_options": {"card": {"request_three_d_secure": "any"}}}
    intent = shop.v1.payment_intents.create({"amount": 2000, "currency": "gbp", **options})
    shop.emulator.pay(intent.client_secret, card, authenticate=None)
    assert shop.v1.payment_intents.retrieve(intent.id).status == asked


@pytest.mark.parametrize(
    ("card", "at_first", "later", "event", "refunded"),
    [
        ("pm_card_pendingRefund", "pending", "succeeded", "refund.updated", 2000),
        ("pm_card_refundFail", "succeeded", "failed", "refund.failed", 0),
    ],
)
def test_refunds_that_end_later(shop: Bench, card: str, at_first: str, later: str, event: str, refunded: int) -> None:
    customer, method = shop.saved(card)
    intent = shop.charge(customer, method)
    refund = shop.v1.refunds.create({"payment_intent": intent.id})
    assert refund.status == at_first
    shop.emulator.clock.advance(minutes=1)
    assert shop.v1.refunds.retrieve(refund.id).status == later
    assert event in shop.events()
    assert shop.emulator.ledger.refunded_minor() == refunded
