"""Which function answers which request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import World

from .params import Hash, Kind, List, Text

EXPAND = List(Text(300))


@dataclass(slots=True)
class Call:
    """One request, read and checked."""

    ids: tuple[str, ...]
    params: JSON
    publishable: bool
    request_id: str
    path: str = ""


Handler = Callable[[World, Call], JSON]


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    pattern: str
    params: Hash
    handler: Handler
    publishable: bool = False
    """May be called with a publishable key (by Stripe.js, that is)."""
    answers: str = ""
    """The kind of object answered with; "list:" before it for lists."""


_KINDS = {
    "account": "account",
    "accounts": "account",
    "balance": "balance",
    "charges": "charge",
    "checkout/sessions": "checkout.session",
    "confirmation_tokens": "confirmation_token",
    "customer_sessions": "customer_session",
    "line_items": "item",
    "radar/early_fraud_warnings": "radar.early_fraud_warning",
    "test_helpers/confirmation_tokens": "confirmation_token",
    "test_helpers/test_clocks": "test_helpers.test_clock",
}


def _answers(method: str, pattern: str) -> str:
    """The kind of object that a request is answered with, read off its path."""
    parts = pattern.removeprefix("/v1/").split("/")
    nested = [part for part in parts if part in ("payment_methods", "line_items", "dispute", "tax_ids")]
    name = nested[-1] if nested else parts[0]
    if name in ("checkout", "radar", "test_helpers"):
        name = f"{name}/{parts[1]}"
    kind = _KINDS.get(name, name.removesuffix("s"))
    many = method == "GET" and (parts[-1] == name.split("/")[-1] or parts[-1] == "search")
    return f"list:{kind}" if many and name not in ("account", "balance", "dispute") else kind


@dataclass(slots=True)
class _Node:
    below: dict[str, _Node] = field(default_factory=dict)
    any: _Node | None = None
    routes: dict[str, Route] = field(default_factory=dict)


_root = _Node()
ROUTES: list[Route] = []


def route(
    method: str,
    pattern: str,
    params: dict[str, Kind] | None = None,
    required: tuple[str, ...] = (),
    *,
    publishable: bool = False,
) -> Callable[[Handler], Handler]:
    """Register a handler for e.g. POST "/v1/customers/*"; each `*` is an id and comes in `Call.ids`."""
    known: dict[str, Kind] = {**(params or {}), "expand": EXPAND}

    def register(handler: Handler) -> Handler:
        node = _root
        for part in pattern.strip("/").split("/"):
            if part == "*":
                node.any = node.any or _Node()
                node = node.any
            else:
                node = node.below.setdefault(part, _Node())
        made = Route(method, pattern, Hash(known, required), handler, publishable, _answers(method, pattern))
        node.routes[method] = made
        ROUTES.append(made)
        return handler

    return register


def resolve(method: str, parts: list[str]) -> tuple[Route, tuple[str, ...]] | None:
    """The route for the segments of a path, and the ids in it. Words win over ids."""
    node: Any = _root
    ids: list[str] = []
    for part in parts:
        if part in node.below:
            node = node.below[part]
        elif node.any is not None and part:
            node = node.any
            ids.append(part)
        else:
            return None
    found = node.routes.get(method)
    return None if found is None else (found, tuple(ids))
