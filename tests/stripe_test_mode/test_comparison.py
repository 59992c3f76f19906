"""`make stripe` itself, with a second emulator in Stripe's place: it finds what differs, and nothing else."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from checkout.errors import GatewayError
from stripe_emulator import Clock, Emulator
from tests.stripe_test_mode import compare, run
from tests.stripe_test_mode.flows import FLOWS, an_instalment, told

pytestmark = pytest.mark.django_db


@pytest.fixture
def second(monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """Plays Stripe."""
    emulator = Emulator(seed=99, clock=Clock())
    monkeypatch.setattr(
        compare, "at_stripe", lambda key, base="": compare._side("sk_test_second", emulator.transport(), {})
    )
    monkeypatch.setenv("STRIPE_SECRET_KEY", "sk_test_second")
    return emulator


def test_two_of_a_kind_answer_alike(second: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main([]) == 0
    out = capsys.readouterr().out
    assert f"{len(FLOWS)} flows" in out
    assert "0 differ" in out
    assert "ended with" not in out


def test_every_flow_comes_to_its_end(second: Emulator) -> None:
    for flow in FLOWS:
        side = compare.at_the_emulator()
        names = [name for name, _fact in compare._facts(flow, side.here)]
        assert names, flow
        assert "ended with" not in names, flow


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"status": "processing"}, "status: 'processing' at Stripe, 'succeeded' here"),
        ({"amount": "1234"}, "amount is a text at Stripe, a number here"),
        ({"livemode": None}, ""),
    ],
)
def test_what_differs_is_told(
    second: Emulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, changed: Any, words: str
) -> None:
    """Another word, another kind; a null is no kind."""
    handle = second.handle

    def answers(*request: Any) -> Any:
        answer = handle(*request)
        plain = json.loads(answer.body)
        if plain.get("object") == "payment_intent":
            return dataclasses.replace(answer, body=json.dumps(plain | changed).encode())
        return answer

    monkeypatch.setattr(second, "handle", answers)
    assert run.main(["an_instalment"]) == (1 if words else 0)
    assert words in capsys.readouterr().out


def test_a_field_that_stripe_does_not_have_is_told() -> None:
    told = list(compare._shape({"id": "pi_1"}, {"id": "pi_2", "made_up": 1}))
    assert told == ["made_up is not in Stripe's answer"]
    assert list(compare._shape({"id": "pi_1", "more": 1}, {"id": "pi_2"})) == []
    error = {"type": "card_error", "code": "card_declined", "message": "No."}
    told = list(compare._shape({"error": error}, {"error": error | {"code": "expired_card", "message": "Never."}}))
    assert told == ["error.code 'card_declined' at Stripe, 'expired_card' here"]


@pytest.mark.parametrize(
    ("key", "words"), [("", "needs a test key of your own"), ("sk_live_x", "live key"), ("rk_live_x", "live key")]
)
def test_it_needs_a_test_key_and_refuses_a_live_one(
    key: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STRIPE_SECRET_KEY", key)
    monkeypatch.setattr(compare, "at_stripe", lambda *args: pytest.fail("it was asked"))
    assert run.main([]) == 2
    assert words in capsys.readouterr().err


def test_an_error_is_a_fact() -> None:
    def refuse() -> None:
        raise GatewayError("no")

    assert told(refuse) == {"error": "GatewayError", "code": ""}
    assert an_instalment in FLOWS
