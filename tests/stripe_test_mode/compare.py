"""Each flow at both: what it found out, and the shape of each answer on the way. What differs, in words."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import stripe

from checkout.gateway import API_VERSION, Gateway
from stripe_emulator import Clock, Emulator
from tests.stripe_test_mode.flows import Facts, Here

#: Of an error the app reads these.
OF_ERRORS = ("type", "code", "decline_code")
#: Keys of maps that the caller chooses, and what Stripe words as it likes.
FREE = {"metadata"}


@dataclass(slots=True)
class Answer:
    method: str
    path: str
    status: int
    body: dict[str, Any]


class Recorder(stripe.HTTPClient):
    """Under the SDK, and over another client: every answer is kept."""

    name = "recorder"

    def __init__(self, inner: stripe.HTTPClient) -> None:
        super().__init__()
        self.inner = inner
        self.answers: list[Answer] = []
        self._thread_local = threading.local()

    def request(self, method: str, url: str, headers: Any, post_data: Any = None, **how: Any) -> Any:
        body, status, got = self.inner.request(method, url, headers, post_data, **how)
        path = re.sub(r"/(?:pi|seti|pm|cus|re|ch)_\w+", "/{id}", urlsplit(url).path)
        self.answers.append(Answer(method.upper(), path, status, json.loads(body)))
        return body, status, got

    def close(self) -> None:
        self.inner.close()


@dataclass(slots=True)
class Side:
    """One of the two, at its first call."""

    recorder: Recorder
    here: Here
    facts: list[tuple[str, Any]] = field(default_factory=list)


def at_stripe(key: str, base: str = "") -> Side:
    """Stripe itself, or whatever answers at `base`. The caller has made sure that the key is no live one."""
    return _side(key, stripe.RequestsClient(timeout=80), {"api": base} if base else {})


def at_the_emulator() -> Side:
    return _side("sk_test_emulator", Emulator(seed=1, clock=Clock()).transport(), {})


def _side(key: str, http_client: stripe.HTTPClient, addresses: Any) -> Side:
    recorder = Recorder(http_client)
    client = stripe.StripeClient(
        key, stripe_version=API_VERSION, base_addresses=addresses, http_client=recorder, max_network_retries=2
    )
    return Side(recorder, Here(Gateway(client), client))


def compare(flow: Callable[[Here], Facts], stripe_side: Side, emulator_side: Side) -> list[str]:
    """What differs between the two; nothing when the emulator answers as Stripe does."""
    found = []
    sides = (stripe_side, emulator_side)
    for side in sides:
        side.recorder.answers.clear()
        side.facts = list(_facts(flow, side.here))
    there, here = (dict(side.facts) for side in sides)
    for name in there | here:
        if there.get(name) != here.get(name):
            found += list(_difference(name, there.get(name), here.get(name)))
    pairs = zip(*(side.recorder.answers for side in sides), strict=False)
    for number, (real, ours) in enumerate(pairs, 1):
        call = f"call {number}, {ours.method} {ours.path}"
        if (real.method, real.path) != (ours.method, ours.path):
            found.append(f"call {number}: {real.method} {real.path} at Stripe, {ours.method} {ours.path} here")
            break
        if real.status != ours.status:
            found.append(f"{call}: status {real.status} at Stripe, {ours.status} here")
        found += [f"{call}: {words}" for words in _shape(real.body, ours.body)]
    return found


def _facts(flow: Callable[[Here], Facts], here: Here) -> Iterator[tuple[str, Any]]:
    """What a flow found out, and how it ended when it did not come to its end."""
    try:
        yield from flow(here)
    except Exception as problem:  # noqa: BLE001 - whatever it is, the other side has to end so, too
        yield "ended with", f"{type(problem).__name__}: {problem}"


def _difference(name: str, there: Any, here: Any) -> Iterator[str]:
    if isinstance(there, dict) and isinstance(here, dict):
        for key in there | here:
            if there.get(key) != here.get(key):
                yield from _difference(f"{name}, {key}", there.get(key), here.get(key))
    else:
        yield f"{name}: {there!r} at Stripe, {here!r} here"


def _shape(real: Any, ours: Any, path: str = "") -> Iterator[str]:
    """What the emulator tells, Stripe has to tell, and in the same kind; Stripe may tell more."""
    if "error" in ours or "error" in real:
        of_both = [body.get("error") or {} for body in (real, ours)]
        for key in OF_ERRORS:
            if of_both[0].get(key) != of_both[1].get(key):
                yield f"error.{key} {of_both[0].get(key)!r} at Stripe, {of_both[1].get(key)!r} here"
        return
    yield from _kinds(real, ours, path)


def _kinds(real: Any, ours: Any, path: str) -> Iterator[str]:
    if isinstance(ours, dict) and isinstance(real, dict):
        for key, value in ours.items():
            where = f"{path}.{key}".lstrip(".")
            if key in FREE:
                continue
            if key not in real:
                yield f"{where} is not in Stripe's answer"
            else:
                yield from _kinds(real[key], value, where)
    elif isinstance(ours, list) and isinstance(real, list):
        if ours and real:
            yield from _kinds(real[0], ours[0], f"{path}[]")
    elif real is not None and ours is not None and _kind(real) != _kind(ours):
        yield f"{path} is {_kind(real)} at Stripe, {_kind(ours)} here"


def _kind(value: Any) -> str:
    match value:
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case _:
            return "an object"
