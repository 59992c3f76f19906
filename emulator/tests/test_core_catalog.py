"""Products, prices, payment links, tax ids, files and configurations, by the real SDK."""

from __future__ import annotations

import io
from typing import Any

import pytest
import stripe

from .helpers import Bench, bench


@pytest.fixture
def it() -> Bench:
    return bench()


def refused(do: Any, *args: Any) -> stripe.InvalidRequestError:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        do(*args)
    return caught.value


def test_a_product_has_a_price_and_each_change_is_told(it: Bench) -> None:
    product = it.v1.products.create(
        {"name": "Course", "default_price_data": {"currency": "gbp", "unit_amount": 1250}, "metadata": {"code": "c1"}}
    )
    price = it.v1.prices.retrieve(product.default_price, {"expand": ["product"]})
    assert (price.unit_amount, price.type, price.product.name) == (1250, "one_time", "Course")
    it.v1.products.update(product.id, {"name": "Long course", "active": False})
    it.v1.prices.update(price.id, {"nickname": "early"})
    assert [one.id for one in it.v1.products.list({"active": False}).data] == [product.id]
    (listed,) = it.v1.prices.list({"product": product.id, "expand": ["data.tiers", "data.product"]}).data
    assert (listed.id, listed.product.name, "tiers" in listed) == (price.id, "Long course", False)
    assert "one or more user-created prices" in str(refused(it.v1.products.delete, product.id))
    other = it.v1.products.create({"name": "Mistake"})
    assert it.v1.products.delete(other.id).deleted is True
    assert refused(it.v1.products.retrieve, other.id).code == "resource_missing"
    assert it.events() == [
        "product.created", "price.created", "product.updated", "price.updated", "product.created", "product.deleted",
    ]  # fmt: skip


def test_a_lookup_key_belongs_to_one_price_at_a_time(it: Bench) -> None:
    form = {"currency": "gbp", "unit_amount": 100, "lookup_key": "standard", "product_data": {"name": "Seat"}}
    first = it.v1.prices.create(form)
    assert refused(it.v1.prices.create, form).param == "lookup_key"
    second = it.v1.prices.create({**form, "transfer_lookup_key": True})
    assert [one.id for one in it.v1.prices.list({"lookup_keys": ["standard"]}).data] == [second.id]
    assert it.v1.prices.retrieve(first.id).lookup_key is None


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ({"currency": "gbp", "product_data": {"name": "x"}}, "unit_amount"),
        ({"currency": "gbp", "unit_amount": 1}, "product"),
        ({"currency": "gbp", "unit_amount": 1, "product": "prod_none"}, "product"),
        ({"currency": "gbp", "unit_amount": 1, "product_data": {"name": "x"}, "recurring": {"interval": "month"}},
         "recurring"),
        ({"currency": "xxx", "unit_amount": 1, "product_data": {"name": "x"}}, "currency"),
    ],
)  # fmt: skip
def test_a_price_that_cannot_be_is_refused(it: Bench, form: dict[str, Any], param: str) -> None:
    assert refused(it.v1.prices.create, form).param == param
    assert it.events() == [], "no product was made for it either"


def test_a_session_sells_a_price(it: Bench) -> None:
    price = it.v1.prices.create({"currency": "gbp", "unit_amount": 700, "product_data": {"name": "Seat"}})
    form = {"mode": "payment", "success_url": "https://shop.example/"}
    session = it.v1.checkout.sessions.create({**form, "line_items": [{"price": price.id, "quantity": 3}]})
    assert session.amount_total == 2100
    (line,) = it.v1.checkout.sessions.line_items.list(session.id).data
    assert (line.description, line.price.id, line.quantity) == ("Seat", price.id, 3)
    it.v1.prices.update(price.id, {"active": False})
    again = {**form, "line_items": [{"price": price.id}]}
    assert refused(it.v1.checkout.sessions.create, again).param == "line_items[0][price]"


def test_a_payment_link_is_made_changed_and_switched_off(it: Bench) -> None:
    price = it.v1.prices.create({"currency": "gbp", "unit_amount": 700, "product_data": {"name": "Seat"}})
    link = it.v1.payment_links.create({"line_items": [{"price": price.id, "quantity": 2}], "metadata": {"a": "1"}})
    assert (link.active, link.currency, link.after_completion.type) == (True, "gbp", "hosted_confirmation")
    assert it.v1.payment_links.line_items.list(link.id).data[0].amount_total == 1400
    after = {"type": "redirect", "redirect": {"url": "https://shop.example/thanks"}}
    it.v1.payment_links.update(link.id, {"active": False, "after_completion": after})
    assert [one.id for one in it.v1.payment_links.list({"active": False}).data] == [link.id]
    assert refused(it.v1.payment_links.create, {"line_items": [], "metadata": {}}).param == "line_items"
    taxed = {"line_items": [{"price": price.id, "quantity": 1}], "automatic_tax": {"enabled": True}}
    assert "emulator does not take" in str(refused(it.v1.payment_links.create, taxed))
    assert it.events()[-2:] == ["payment_link.created", "payment_link.updated"]


def test_tax_ids_belong_to_their_customer(it: Bench) -> None:
    customer = it.v1.customers.create({"tax_id_data": [{"type": "gb_vat", "value": "GB123456789"}]}).id
    other = it.v1.customers.tax_ids.create(customer, {"type": "eu_vat", "value": "DE123456789"})
    assert (other.country, other.verification.status, other.owner.customer) == ("DE", "pending", customer)
    assert [one.type for one in it.v1.customers.tax_ids.list(customer).data] == ["eu_vat", "gb_vat"]
    shown = it.v1.customers.retrieve(customer, {"expand": ["tax_ids"]})
    assert [one.value for one in shown.tax_ids.data] == ["DE123456789", "GB123456789"]
    stranger = it.customer()
    assert refused(it.v1.customers.tax_ids.retrieve, stranger, other.id).code == "resource_missing"
    assert it.v1.customers.tax_ids.delete(customer, other.id).deleted is True
    assert refused(it.v1.customers.tax_ids.create, customer, {"type": "wat", "value": "1"}).param == "type"
    assert [kind for kind in it.events() if "tax_id" in kind] == [
        "customer.tax_id.created", "customer.tax_id.created", "customer.tax_id.deleted",
    ]  # fmt: skip


def test_a_file_is_evidence_of_a_dispute(it: Bench) -> None:
    intent = it.v1.payment_intents.create({"amount": 2000, "currency": "gbp"})
    it.emulator.pay(intent.client_secret, "4000000000000259")
    dispute = it.v1.disputes.list().data[0].id
    receipt = io.BytesIO(b"%PDF-1.4 a receipt \xff\x00")
    receipt.name = "receipt.pdf"
    file = it.v1.files.create({"purpose": "dispute_evidence", "file": receipt})
    assert (file.filename, file.type, file.size) == ("receipt.pdf", "pdf", 21)
    assert it.v1.files.list({"purpose": "dispute_evidence"}).data[0].id == file.id
    shown = it.v1.disputes.update(dispute, {"evidence": {"receipt": file.id}, "submit": False})
    assert (shown.evidence.receipt, shown.evidence_details.has_evidence) == (file.id, True)
    unknown = refused(it.v1.disputes.update, dispute, {"evidence": {"receipt": "file_none"}})
    assert (unknown.code, unknown.param) == ("resource_missing", "evidence[receipt]")
    assert "file.created" in it.events()
    text = io.BytesIO(b"hello")
    text.name = "notes.txt"
    assert refused(it.v1.files.create, {"purpose": "dispute_evidence", "file": text}).param == "file"
    assert refused(it.v1.files.create, {"purpose": "business_logo", "file": receipt}).param == "purpose"
    answer = it.emulator.handle(
        "POST", "/v1/files", {"Authorization": "Bearer sk_test_x"}, b"purpose=dispute_evidence&file[filename]=x.pdf"
    )
    assert answer.status == 400
    assert all("PDF" not in request.form for request in it.emulator.requests)


def test_a_wallet_that_the_account_switched_off_is_offered_nowhere(it: Bench) -> None:
    it.v1.payment_method_domains.create({"domain_name": "shop.example"})
    (own,) = it.v1.payment_method_configurations.list().data
    assert (own.is_default, own.card.available, own.klarna.available) == (True, True, False)
    assert it.v1.payment_intents.create(
        {"amount": 100, "currency": "gbp"}
    ).payment_method_configuration_details.id == own.id  # fmt: skip
    it.v1.payment_method_configurations.update(own.id, {"apple_pay": {"display_preference": {"preference": "off"}}})
    answer = it.emulator.handle(
        "POST", "/v1/emulator/wallets", {"Authorization": "Bearer pk_test_x"}, b"domain_name=shop.example"
    )
    assert answer.json()["wallets"] == ["google_pay"]
    on = {"klarna": {"display_preference": {"preference": "on"}}}
    assert "cards only" in str(refused(it.v1.payment_method_configurations.update, own.id, on))
    off = {"card": {"display_preference": {"preference": "off"}}}
    assert refused(it.v1.payment_method_configurations.update, own.id, off).param == "card"
    made = it.v1.payment_method_configurations.create({"name": "Plans"})
    assert it.v1.payment_method_configurations.retrieve(made.id).name == "Plans"
    assert len(it.v1.payment_method_configurations.list().data) == 2
