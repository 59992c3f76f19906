"""Cards saved by the old Cards and Sources APIs: charged and read like payment methods, told of as sources."""

from __future__ import annotations

import pytest
import stripe

from .helpers import ONLY_CARDS, Bench, bench


@pytest.fixture
def shop() -> Bench:
    return bench()


@pytest.fixture(params=["card", "source"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def saved(shop: Bench, kind: str) -> tuple[str, str]:
    """A customer with an old card or source: their ids."""
    customer = shop.customer()
    bank = shop.emulator.bank
    return customer, (bank.add_legacy_card if kind == "card" else bank.add_legacy_source)(customer)


def test_it_is_charged_and_read_like_a_payment_method(shop: Bench, kind: str) -> None:
    customer, old = saved(shop, kind)
    assert old.startswith({"card": "card_", "source": "src_"}[kind])
    assert shop.charge(customer, old).payment_method == old
    method = shop.v1.payment_methods.retrieve(old)
    assert (method.object, method.card.last4, method.customer) == ("payment_method", "4242", customer)


def test_a_payer_may_choose_it_again_in_the_browser(shop: Bench, kind: str) -> None:
    customer, old = saved(shop, kind)
    intent = shop.v1.payment_intents.create({"amount": 900, "currency": "gbp", "customer": customer})
    assert shop.emulator.pay(intent.client_secret, old)["status"] == "succeeded"


def test_a_forgotten_payment_method_charges_the_old_default(shop: Bench, kind: str) -> None:
    customer, old = saved(shop, kind)
    form = {"amount": 900, "currency": "gbp", "customer": customer, "confirm": True, "off_session": True, **ONLY_CARDS}
    assert shop.v1.payment_intents.create(form).payment_method == old
    shown = shop.v1.customers.retrieve(customer, {"expand": ["default_source"]}).default_source
    assert (shown.id, shown.object) == (old, kind)


def test_the_bank_replaces_it(shop: Bench, kind: str) -> None:
    _, old = saved(shop, kind)
    shop.emulator.bank.replace_card(old, exp_month=4, exp_year=2033, last4="1881")
    event = shop.v1.events.list({"type": "customer.source.updated"}).data[0]
    now, before = event.data.object, event.data.previous_attributes
    assert now.object == kind
    if kind == "source":
        now, before = now.card, before.card
    assert (now.exp_year, now.last4) == (2033, "1881")
    assert (before.last4, set(before.to_dict())) == ("4242", {"exp_month", "exp_year", "fingerprint", "last4"})
    assert shop.events()[-1] == "customer.source.updated"


def test_detaching_it_is_told_and_final(shop: Bench, kind: str) -> None:
    customer, old = saved(shop, kind)
    shop.v1.payment_methods.detach(old)
    assert shop.events()[-1] == "customer.source.deleted"
    assert shop.v1.customers.retrieve(customer).default_source is None
    with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
        shop.charge(customer, old)


def test_the_default_is_one_of_the_customers_own_old_cards(shop: Bench, kind: str) -> None:
    customer, _ = saved(shop, kind)
    _, strangers = saved(shop, kind)
    method = shop.v1.payment_methods.attach("pm_card_visa", {"customer": customer}).id
    for wrong in (strangers, method, "card_none"):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            shop.v1.customers.update(customer, {"default_source": wrong})
        assert (caught.value.http_status, caught.value.code) == (400, "resource_missing")


def test_a_customer_shows_old_cards_and_no_subscriptions_when_asked(shop: Bench) -> None:
    customer, _ = shop.saved()
    card = shop.emulator.bank.add_legacy_card(customer)
    (shown,) = shop.v1.customers.list({"expand": ["data.sources", "data.subscriptions"]}).data
    assert [one.id for one in shown.sources.data] == [card]
    assert (shown.subscriptions.data, shown.subscriptions.url) == ([], f"/v1/customers/{customer}/subscriptions")
    assert "sources" not in shop.v1.customers.retrieve(customer)
