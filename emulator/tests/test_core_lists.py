"""Lists, searches, expanding, parameters, keys and versions."""

from __future__ import annotations

import pytest
import stripe

from .helpers import ONLY_CARDS, Bench, bench

HEADERS = {"Authorization": "Bearer sk_test_x"}


@pytest.fixture
def shop() -> Bench:
    return bench()


def refusal(shop: Bench, method: str, path: str, body: str = "", **headers: str) -> tuple[int, str | None, str | None]:
    answer = shop.emulator.handle(method, path, {**HEADERS, **headers}, body.encode())
    error = answer.json()["error"]
    return answer.status, error.get("code"), error.get("param")


def test_pages_forward_and_backward_cover_everything_once(shop: Bench) -> None:
    ids = [shop.customer() for _ in range(25)][::-1]
    assert [c.id for c in shop.v1.customers.list({"limit": 7}).auto_paging_iter()] == ids
    back = shop.v1.customers.list({"limit": 7, "ending_before": ids[-1]})
    assert [c.id for c in back.data] == ids[-8:-1]
    assert [c.id for c in back.auto_paging_iter()] == ids[:-1][::-1]


def test_created_windows(shop: Bench) -> None:
    moments = []
    for _ in range(4):
        shop.emulator.clock.advance(hours=1)
        moments.append((int(shop.emulator.clock.now()), shop.customer()))
    at, wanted = moments[2]
    for window in ({"gte": at, "lte": at}, {"gt": at - 1, "lt": at + 1}, at):
        assert [c.id for c in shop.v1.customers.list({"created": window}).data] == [wanted]
    newer = shop.v1.customers.list({"created": {"gte": at}, "limit": 1})
    assert ([c.id for c in newer.data], newer.has_more) == ([moments[3][1]], True)


def test_the_intents_of_a_customer_are_found_by_metadata_in_a_window(shop: Bench) -> None:
    """How a lost reply is looked up: there is no filter on metadata in lists."""
    customer, method = shop.saved()
    shop.charge(customer, method, metadata={"checkout": "1"})
    shop.emulator.clock.advance(hours=1)
    since = int(shop.emulator.clock.now())
    wanted = shop.charge(customer, method, metadata={"checkout": "2"})
    found = shop.v1.payment_intents.list({"customer": customer, "created": {"gte": since}}).data
    assert [intent.id for intent in found if intent.metadata.checkout == "2"] == [wanted.id]


def test_a_list_follows_attaching_and_detaching(shop: Bench) -> None:
    customer = shop.customer()
    methods = [shop.v1.payment_methods.attach("pm_card_visa", {"customer": customer}).id for _ in range(3)]
    shop.v1.payment_methods.detach(methods[1])
    assert [m.id for m in shop.v1.customers.payment_methods.list(customer).data] == [methods[2], methods[0]]
    assert shop.v1.payment_methods.list().data == []


def test_search(shop: Bench) -> None:
    made = [shop.v1.customers.create({"name": f"Person {n}", "metadata": {"n": str(n)}}).id for n in range(3)]
    for query, wanted in (
        ("metadata['n']:'1'", [made[1]]),
        ('name~"person" AND -metadata["n"]:"1"', [made[2], made[0]]),
        ("metadata['n']:'0' OR metadata['n']:'2'", [made[2], made[0]]),
        ("email:null", made[::-1]),
    ):
        assert [c.id for c in shop.v1.customers.search({"query": query}).data] == wanted
    for query in ("", "colour:'red'", "name:'a' AND name:'b' OR name:'c'", "name", "'"):
        assert refusal(shop, "GET", f"/v1/customers/search?query={query}")[0] == 400


def test_expanding(shop: Bench) -> None:
    customer, method = shop.saved()
    intent = shop.charge(customer, method)
    shop.emulator.clock.advance(seconds=2)
    paths = ["customer", "latest_charge.balance_transaction", "latest_charge.refunds"]
    shown = shop.v1.payment_intents.retrieve(intent.id, {"expand": paths})
    assert shown.customer.id == customer
    assert shown.latest_charge.balance_transaction.object == "balance_transaction"
    assert shown.latest_charge.refunds.data == []
    assert shop.v1.payment_intents.retrieve(intent.id).customer == customer


def test_a_bad_expand_stops_the_work_before_it_begins(shop: Bench) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        shop.v1.customers.create({"expand": ["wat"]})
    assert shop.v1.customers.list().data == []


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ("amount=500", "parameter_missing", "currency"),
        ("amount=&currency=gbp", "parameter_invalid_empty", "amount"),
        ("amount=0&currency=gbp", "parameter_invalid_integer", "amount"),
        ("amount=-5&currency=gbp", "parameter_invalid_integer", "amount"),
        ("amount=5.5&currency=gbp", "parameter_invalid_integer", "amount"),
        ("amount[a]=5&currency=gbp", "parameter_invalid_integer", "amount"),
        ("amount=29&currency=gbp", "amount_too_small", "amount"),
        ("amount=100000000&currency=gbp", "amount_too_large", "amount"),
        ("amount=5001&currency=kwd", None, "amount"),
        ("amount=550&currency=isk", None, "amount"),
        ("amount=500&currency=zzz", None, "currency"),
        ("amount=500&currency=gbp&wat=1", "parameter_unknown", "wat"),
        ("amount=500&currency=gbp&payment_method_options[card][wat]=1", "parameter_unknown",
         "payment_method_options[card][wat]"),
        ("amount=500&currency=gbp&confirm=yes", None, "confirm"),
        ("amount=500&currency=gbp&customer=cus_none", "resource_missing", "customer"),
        ("amount=500&currency=gbp&payment_method=pm_none", "resource_missing", "payment_method"),
        ("amount=500&currency=gbp&payment_method_types[]=card", "payment_method_types_no_longer_supported",
         "payment_method_types"),
        ("amount=500&currency=gbp&off_session=true", None, "off_session"),
        ("amount=500&currency=gbp&statement_descriptor=x", None, "statement_descriptor"),
        ("amount=500&currency=gbp&metadata=x", None, "metadata"),
        ("amount=500&currency=gbp&metadata[a][b]=x", None, "metadata"),
        ("amount=500&currency=gbp&receipt_email=x", "email_invalid", "receipt_email"),
        ("amount=500&currency=gbp&confirm=true&payment_method=pm_card_visa", None, "return_url"),
        ("amount=500&currency=gbp&allowed_payment_method_types[]=card&automatic_payment_methods[enabled]=true", None,
         "allowed_payment_method_types"),
        ("amount=500&currency=gbp&on_behalf_of=acct_1", None, "on_behalf_of"),
    ],
)  # fmt: skip
def test_bad_parameters_of_a_payment_intent(shop: Bench, body: str, code: str | None, param: str) -> None:
    assert refusal(shop, "POST", "/v1/payment_intents", body) == (400, code, param)
    assert shop.v1.payment_intents.list().data == []


def test_card_on_file_indicators(shop: Bench) -> None:
    customer, method = shop.saved()
    usage = {"payment_method_options": {"card": {"stored_credential_usage": "installment"}}}
    intent = shop.charge(customer, method, **usage, expand=["latest_charge"])
    assert intent.latest_charge.payment_method_details.card.stored_credential_usage == "installment"
    with pytest.raises(stripe.InvalidRequestError, match="setup_future_usage"):
        shop.charge(customer, method, **usage, setup_future_usage="off_session")


@pytest.mark.parametrize("key", ["sk_live_1", "rk_live_1", "pk_live_1", "wat", ""])
def test_other_keys_are_refused_and_not_repeated(shop: Bench, key: str) -> None:
    answer = shop.emulator.handle("GET", "/v1/customers", {"Authorization": f"Bearer {key}"})
    assert answer.status == 401
    assert not key.startswith("sk_live") or key.encode() not in answer.body


def test_restricted_keys_and_basic_auth_are_accepted(shop: Bench) -> None:
    for header in ("Bearer rk_test_1", "Basic c2tfdGVzdF8xOg=="):
        assert shop.emulator.handle("GET", "/v1/customers", {"authorization": header}).status == 200


def test_a_publishable_key_sees_and_does_little(shop: Bench) -> None:
    intent = shop.v1.payment_intents.create({"amount": 900, "currency": "gbp", "customer": shop.customer()})
    path = f"/v1/payment_intents/{intent.id}"
    public = {"Authorization": "Bearer pk_test_x"}
    seen = shop.emulator.handle("GET", f"{path}?client_secret={intent.client_secret}", public)
    assert seen.status == 200
    assert {"customer", "metadata", "latest_charge"}.isdisjoint(seen.json())
    by_parameter = shop.emulator.handle("GET", f"{path}?client_secret={intent.client_secret}&key=pk_test_x", {})
    assert by_parameter.body == seen.body
    for method, refused in (("GET", path), ("GET", f"{path}?client_secret=no"), ("POST", path), ("GET", "/v1/events")):
        assert 400 <= shop.emulator.handle(method, refused, public).status < 500


def test_a_browser_cannot_lower_the_future_use(shop: Bench) -> None:
    intent = shop.v1.payment_intents.create({"amount": 900, "currency": "gbp", "setup_future_usage": "off_session"})
    body = f"client_secret={intent.client_secret}&payment_method=pm_card_visa&return_url=http://x&setup_future_usage="
    answer = shop.emulator.handle(
        "POST", f"/v1/payment_intents/{intent.id}/confirm", {"Authorization": "Bearer pk_test_x"}, body.encode()
    )
    assert answer.json()["error"]["param"] == "setup_future_usage"


def test_another_api_version_is_refused_in_a_sentence(shop: Bench) -> None:
    headers = {**HEADERS, "Stripe-Version": "2020-08-27"}
    answer = shop.emulator.handle("GET", "/v1/customers", headers)
    assert (answer.status, "2026-10-28.endive" in answer.json()["error"]["message"]) == (400, True)


def test_json_is_refused_as_stripe_does(shop: Bench) -> None:
    answer = refusal(shop, "POST", "/v1/customers", '{"name": "x"}', **{"Content-Type": "application/json"})
    assert answer == (400, None, None)


def test_a_deleted_customer_is_nothing_but_deleted(shop: Bench) -> None:
    customer, method = shop.saved()
    shop.v1.customers.delete(customer)
    assert shop.v1.customers.retrieve(customer).to_dict() == {"id": customer, "object": "customer", "deleted": True}
    assert shop.v1.payment_methods.retrieve(method).customer is None
    with pytest.raises(stripe.InvalidRequestError):
        shop.v1.payment_methods.attach(method, {"customer": shop.customer()})
    assert shop.events()[-3:-1] == ["payment_method.detached", "customer.deleted"]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/payment_intents?customer=x", "customer"),
        ("/v1/setup_intents?customer=x", "customer"),
        ("/v1/setup_intents?payment_method=x", "PaymentMethod"),
        ("/v1/charges?customer=x", "customer"),
        ("/v1/charges?payment_intent=x", "payment_intent"),
        ("/v1/refunds?charge=x", "charge"),
        ("/v1/refunds?payment_intent=x", "payment_intent"),
        ("/v1/disputes?charge=x", "charge"),
        ("/v1/payment_methods?customer=x", "customer"),
        ("/v1/setup_attempts?setup_intent=x", "setupintent"),
    ],
)
def test_a_list_about_nobody_is_refused(shop: Bench, path: str, kind: str) -> None:
    answer = shop.emulator.handle("GET", path, {"Authorization": "Bearer sk_test_x"})
    error = answer.json()["error"]
    assert (answer.status, error["code"], error["message"]) == (400, "resource_missing", f"No such {kind}: 'x'")
    assert error["param"] == path.partition("?")[2].partition("=")[0]


def test_the_lists_of_a_deleted_customer_can_still_be_read(shop: Bench) -> None:
    customer, method = shop.saved()
    paid = shop.charge(customer, method)
    shop.v1.customers.delete(customer)
    assert [intent.id for intent in shop.v1.payment_intents.list({"customer": customer}).data] == [paid.id]


def test_wrong_owner(shop: Bench) -> None:
    _, method = shop.saved()
    form = {"amount": 900, "currency": "gbp", "payment_method": method, **ONLY_CARDS}
    with pytest.raises(stripe.InvalidRequestError, match="belongs to the Customer") as caught:
        shop.v1.payment_intents.create(form)
    assert (caught.value.code, caught.value.param) == ("parameter_missing", "source")
    with pytest.raises(stripe.InvalidRequestError, match="does not belong"):
        shop.v1.payment_intents.create({**form, "customer": shop.customer()})


def test_the_request_log_holds_what_servers_sent_and_no_secret(shop: Bench, tmp_path) -> None:  # type: ignore[no-untyped-def]
    intent = shop.v1.payment_intents.create({"amount": 900, "currency": "gbp"})
    shop.emulator.pay(intent.client_secret)
    assert shop.emulator.write_request_log(tmp_path / "log.jsonl") == 1
    text = (tmp_path / "log.jsonl").read_text()
    assert '"path": "/v1/payment_intents"' in text
    assert "sk_test_" in text
    assert "sk_test_emulator" not in text
    assert "4242424242424242" not in text
    assert len(shop.emulator.requests) == 2
