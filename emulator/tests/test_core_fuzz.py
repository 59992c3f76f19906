"""No request can crash the emulator: whatever comes, the answer has Stripe's shape."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from hypothesis import given, settings
from hypothesis import strategies as st

from stripe_emulator import Emulator, Response
from stripe_emulator.api import ROUTES
from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import World
from stripe_emulator.wire.params import (
    AnyHash,
    Boolean,
    BooleanOr,
    Choice,
    Email,
    Hash,
    Integer,
    List,
    Metadata,
    Text,
    TimeRange,
    Url,
)
from stripe_emulator.wire.routing import Route

from .helpers import Bench, bench

TYPES = {"api_error", "card_error", "idempotency_error", "invalid_request_error"}
KEYS = ("Bearer sk_test_x", "Bearer pk_test_x", "Basic c2tfdGVzdF8xOg==", "Bearer", "Basic !", "")


def check_shape(answer: Response) -> None:
    assert answer.status == 200 or 400 <= answer.status < 500, answer.body
    body = json.loads(answer.body)
    assert answer.headers["Request-Id"].startswith("req_")
    if answer.status != 200:
        assert body["error"]["type"] in TYPES
        assert body["error"]["message"]
    json.dumps(answer.headers).encode()


@settings(max_examples=300, deadline=None)
@given(
    method=st.sampled_from(("GET", "POST", "DELETE", "PATCH", "")) | st.text(max_size=5),
    path=st.text(max_size=40) | st.binary(max_size=40).map(lambda raw: "/v1/customers" + raw.decode("latin-1")),
    headers=st.dictionaries(
        st.sampled_from(("Authorization", "Idempotency-Key", "Stripe-Version", "Content-Type")) | st.text(max_size=9),
        st.sampled_from(KEYS) | st.text(max_size=30),
        max_size=4,
    ),
    body=st.binary(max_size=200),
)
def test_any_bytes(method: str, path: str, headers: dict[str, str], body: bytes) -> None:
    check_shape(Emulator().handle(method, path, headers, body))


@settings(max_examples=300, deadline=None)
@given(
    path=st.sampled_from(("/v1/customers", "/v1/payment_intents", "/v1/payment_methods", "/v1/refunds")),
    body=st.binary(max_size=120)
    | st.text(alphabet="amount[]=&0123currency=gbp%\x00é", max_size=80).map(lambda text: text.encode()),
)
def test_any_body_to_a_known_path(path: str, body: bytes) -> None:
    check_shape(Emulator().handle("POST", path, {"Authorization": "Bearer sk_test_x"}, body))


def _values(kind: Any, name: str) -> st.SearchStrategy[Any]:
    """Values for a parameter of that kind and name: mostly good, now and then not."""
    return st.one_of(*[_good(kind, name)] * 9, st.text(max_size=12))


def _good(kind: Any, name: str) -> st.SearchStrategy[Any]:
    match kind:
        case Hash():
            return _some_of(kind)
        case List():
            return st.lists(_values(kind.of, name), min_size=1, max_size=2)
        case Choice():
            return st.sampled_from(["card"] if "card" in kind.values else sorted(kind.values))
        case Boolean():
            return st.sampled_from(("true", "false"))
        case BooleanOr():
            return st.sampled_from(("true", "false", "one_off"))
        case Integer() | TimeRange():
            return st.integers(0, 3_000) | st.just(int(STOCK.emulator.clock.now()) + 9)
        case Metadata() | AnyHash():
            return st.dictionaries(st.text(min_size=1, max_size=5), st.text(max_size=5), max_size=2)
        case Email():
            return st.just("a@example.com")
        case Url():
            return st.just("https://example.com/x")
        case Text():
            return st.sampled_from(_TEXTS.get(name) or _ids_for(name) or ["gbp", "x", "12", "Ann"])
    return st.text(max_size=12)


_TEXTS = {
    "currency": ["gbp"],
    "token": ["tok_visa", "tok_chargeDeclined"],
    "exp_month": ["12"],
    "exp_year": ["2031"],
    "number": ["4242424242424242", "4000000000000002", "1"],
    "query": ["status:'succeeded'", "metadata['a']:'b'", "created>1 AND amount<=2000"],
}
_PREFIXES = {
    "balance_transactions": "txn_", "charge": "ch_", "charges": "ch_", "customer": "cus_", "customers": "cus_",
    "disputes": "du_", "events": "evt_", "payment_intent": "pi_", "payment_intents": "pi_", "payment_method": "pm_",
    "payment_methods": "pm_", "refunds": "re_", "setup_intent": "seti_", "setup_intents": "seti_", "source": "ch_",
    "webhook_endpoints": "we_", "challenges": "pi_", "sessions": "cs_",
}  # fmt: skip


def _ids_for(name: str) -> list[str]:
    prefix = _PREFIXES.get(name)
    return [i for i in IDS if i.startswith(prefix)] if prefix else []


def _some_of(kind: Hash) -> st.SearchStrategy[dict[str, Any]]:
    """The required parameters, and up to three others."""
    others = sorted(set(kind.known) - set(kind.required))
    names = st.lists(st.sampled_from(others), max_size=3, unique=True) if others else st.just([])
    return names.flatmap(
        lambda drawn: st.fixed_dictionaries({n: _values(kind.known[n], n) for n in (*kind.required, *drawn)})
    )


def _pairs(name: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [pair for key, below in value.items() for pair in _pairs(f"{name}[{key}]" if name else key, below)]
    if isinstance(value, list):
        return [pair for place, below in enumerate(value) for pair in _pairs(f"{name}[{place}]", below)]
    return [(name, str(value))]


def _stocked() -> tuple[Bench, list[str]]:
    """An emulator that holds one of each, in several states, and the ids of it all."""
    shop = bench()
    customer, method = shop.saved()
    shop.charge(customer, method)
    shop.v1.refunds.create({"payment_intent": shop.charge(customer, method).id, "amount": 100})
    waiting = shop.v1.payment_intents.create({"amount": 900, "currency": "gbp", "customer": customer})
    shop.emulator.pay(waiting.client_secret, "4000000000003220", authenticate=None)
    shop.v1.payment_intents.create({"amount": 900, "currency": "gbp"})
    shop.set_up("4000002500003155")
    shop.v1.setup_intents.create()
    shop.charge(*shop.saved("pm_card_createDispute"))
    shop.v1.webhook_endpoints.create({"url": "https://example.com/hook", "enabled_events": ["*"]})
    shop.emulator.clock.advance(seconds=2)
    ids = [i for table in shop.emulator.world.tables.values() for i in list(table.rows)[:9]]
    return shop, sorted([*ids, "pm_card_visa", "pm_card_chargeDeclined", "pm_card_threeDSecure2Required"])


STOCK, IDS = _stocked()
SNAPSHOT = STOCK.emulator.snapshot()


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, bytes]:
    route: Route = draw(st.sampled_from(ROUTES))
    parts = route.pattern.split("/")
    for place, part in enumerate(parts):
        if part == "*":
            parts[place] = draw(st.sampled_from(_ids_for(parts[place - 1]) or IDS) | st.sampled_from(IDS))
    form = draw(_some_of(route.params))
    return route.method, "/".join(parts), urlencode(_pairs("", form), errors="replace").encode()


@settings(max_examples=250, deadline=None)
@given(st.lists(requests(), min_size=1, max_size=5), st.sampled_from(("sk_test_x", "pk_test_x")))
def test_any_parameters_to_any_endpoint(sent: list[tuple[str, str, bytes]], key: str) -> None:
    STOCK.emulator.restore(SNAPSHOT)
    for method, path, form in sent:
        target = path if method == "POST" else f"{path}?{form.decode()}"
        body = form if method == "POST" else b""
        check_shape(STOCK.emulator.handle(method, target, {"Authorization": f"Bearer {key}"}, body))
        STOCK.emulator.clock.advance(seconds=3)


def test_a_mistake_in_background_work_looks_like_stripe_being_down() -> None:
    def broken(world: World, about: JSON) -> None:
        raise KeyError("a mistake of ours")

    shop = bench()
    shop.charge(*shop.saved())
    shop.emulator.world.jobs = dict.fromkeys(shop.emulator.world.jobs, broken)
    shop.emulator.clock.advance(seconds=5)
    headers = {"Authorization": "Bearer sk_test_x"}
    first, second = (shop.emulator.handle("GET", "/v1/customers", headers) for _ in range(2))
    assert (first.status, first.json()["error"]["type"]) == (500, "api_error")
    assert second.status == 200
