"""`expand[]` (https://docs.stripe.com/expand): ids become the objects they stand for."""

from __future__ import annotations

from collections.abc import Iterable

from stripe_emulator.core.errors import invalid
from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import World
from stripe_emulator.wire import legacy
from stripe_emulator.wire.listing import everything

from . import balance, disputes

MAX_LEVELS = 4

# By object: the attribute (dotted when inside a hash), and the table that its id points into. None: Stripe can expand
# it, but in the emulator it is always null.
EXPANDABLE: dict[str, dict[str, str | None]] = {
    "payment_intent": {
        "application": None, "customer": "customer", "latest_charge": "charge", "on_behalf_of": None,
        "payment_method": "payment_method", "review": None, "source": None, "payment_record": None,
    },
    "setup_intent": {
        "application": None, "customer": "customer", "latest_attempt": "setup_attempt", "mandate": "mandate",
        "on_behalf_of": None, "payment_method": "payment_method", "single_use_mandate": None,
    },
    "setup_attempt": {
        "application": None, "customer": "customer", "on_behalf_of": None, "payment_method": "payment_method",
        "setup_intent": "setup_intent",
    },
    "charge": {
        "application": None, "application_fee": None, "balance_transaction": "balance_transaction",
        "customer": "customer", "dispute": "dispute", "failure_balance_transaction": None, "on_behalf_of": None,
        "payment_intent": "payment_intent", "review": None, "source_transfer": None, "refunds": "refund",
    },
    "refund": {
        "balance_transaction": "balance_transaction", "charge": "charge", "customer": "customer",
        "failure_balance_transaction": "balance_transaction", "payment_intent": "payment_intent",
        "payment_method": "payment_method", "source_transfer_reversal": None, "transfer_reversal": None,
    },
    "dispute": {"charge": "charge", "payment_intent": "payment_intent"},
    "radar.early_fraud_warning": {"charge": "charge", "payment_intent": "payment_intent"},
    "balance_transaction": {"source": "*"},
    "payment_method": {"customer": "customer"},
    "customer": {
        "default_source": "source", "invoice_settings.default_payment_method": "payment_method",
        "sources": "sources", "subscriptions": "subscriptions", "tax_ids": "tax_id",
        "test_clock": "test_helpers.test_clock",
    },
    "checkout.session": {
        "customer": "customer", "invoice": None, "line_items": "item", "payment_intent": "payment_intent",
        "payment_link": "payment_link", "setup_intent": "setup_intent", "subscription": None,
    },
    "customer_session": {"customer": "customer"},
    "payment_link": {"application": None, "line_items": "item", "on_behalf_of": None},
    "price": {"currency_options": None, "product": "product", "tiers": None},
    "product": {"default_price": "price"},
    "item": {"price.product": "product"},
    "tax_id": {"customer": "customer"},
    "mandate": {"payment_method": "payment_method"},
    "payout": {
        "application_fee": None, "balance_transaction": "balance_transaction", "destination": None,
        "failure_balance_transaction": "balance_transaction", "original_payout": None, "reversed_by": None,
    },
}  # fmt: skip


# Not shown unless they are asked for.
_HIDDEN = ("dispute", "line_items", "refunds", "sources", "subscriptions", "tax_ids")


def check_paths(answers: str, paths: Iterable[str]) -> None:
    """Refuse what cannot be expanded before any work is done. `answers` as in `Route.answers`."""
    for path in paths:
        parts = path.split(".")
        if len(parts) > MAX_LEVELS:
            raise invalid(f"You cannot expand more than {MAX_LEVELS} levels of a property: {path[:100]}", "expand")
        _check(answers, parts, path)


def _check(answers: str, parts: list[str], path: str) -> None:
    refusal = invalid(f"This property cannot be expanded ({path[:100]}).", "expand")
    if answers.startswith("list:"):
        if parts[0] != "data" or len(parts) < 2:
            raise refusal
        answers, parts = answers.removeprefix("list:"), parts[1:]
    known = EXPANDABLE.get(answers, {})
    for length in (1, 2):
        name = ".".join(parts[:length])
        if name in known:
            target, rest = known[name], parts[length:]
            if rest and target is None:
                raise refusal
            if rest and target != "*":
                _check(f"list:{target}" if name in ("refunds", "line_items", "tax_ids") else str(target), rest, path)
            return
    raise refusal


def expand(world: World, answer: JSON, paths: list[str]) -> JSON:
    """A copy of `answer` in which the named attributes hold objects. `paths` were checked."""
    for path in paths:
        answer = _expanded(world, answer, path.split("."), path)
    return answer


def _expanded(world: World, obj: JSON, parts: list[str], path: str) -> JSON:
    kind = obj.get("object")
    if kind in ("list", "search_result"):
        return {**obj, "data": [_expanded(world, row, parts[1:], path) for row in obj["data"]]}
    known = EXPANDABLE.get(str(kind), {})
    if obj.get("deleted"):
        return obj
    name, rest = parts[0], parts[1:]
    if name not in known and rest and f"{name}.{rest[0]}" in known:
        inner = dict(obj[name])
        target = known[f"{name}.{rest[0]}"]
        inner[rest[0]] = _target(world, obj, target, inner.get(rest[0]), rest[1:], path)
        return {**obj, name: inner}
    if name not in known or (name not in obj and name not in _HIDDEN):
        return obj
    return {**obj, name: _target(world, obj, known[name], obj.get(name), rest, path)}


def _target(world: World, owner: JSON, target: str | None, value: object, rest: list[str], path: str) -> object:
    if target == "refund" and owner["object"] == "charge":
        rows = list(world.tables["refund"].newest_first({"charge": owner["id"]}))
        found: object = everything(rows, f"/v1/charges/{owner['id']}/refunds")
    elif target == "item":
        place = "payment_links" if owner["object"] == "payment_link" else "checkout/sessions"
        found = everything(world.hidden[owner["id"]]["line_items"], f"/v1/{place}/{owner['id']}/line_items")
    elif target == "sources":
        methods = world.tables["payment_method"].newest_first({"customer": owner["id"]})
        cards = [legacy.shown(method) for method in methods if legacy.is_legacy(method["id"])]
        found = everything(cards, f"/v1/customers/{owner['id']}/sources")
    elif target == "subscriptions":
        found = everything([], f"/v1/customers/{owner['id']}/subscriptions")
    elif target == "tax_id" and owner["object"] == "customer":
        rows = list(world.tables["tax_id"].newest_first({"customer": owner["id"]}))
        found = everything(rows, f"/v1/customers/{owner['id']}/tax_ids")
    elif target == "dispute" and owner["object"] == "charge":
        found = disputes.of_charge(world, owner["id"])
    elif isinstance(value, str) and target is not None:
        found = _row(world, target, value)
    else:
        found = value
    return _expanded(world, found, rest, path) if rest and isinstance(found, dict) else found


def _row(world: World, target: str, object_id: str) -> JSON | str:
    if target == "source":
        return legacy.shown(world.get("payment_method", object_id))
    if target == "balance_transaction":
        return balance.refresh(world, world.get(target, object_id))
    if target != "*":
        return world.tables[target].rows.get(object_id, object_id)
    for kind in ("charge", "refund", "dispute", "payout"):
        row = world.tables[kind].get(object_id)
        if row is not None:
            return row
    return object_id
