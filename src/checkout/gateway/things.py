"""Anything of Stripe's by its id, for people who have only that: what it is, and which other ids it names."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from checkout.errors import GatewayError

if TYPE_CHECKING:
    from stripe._v1_services import V1Services

#: What an id begins with -> the service of the SDK that knows it.
SERVICES: Final[Mapping[str, str]] = {
    "pi": "payment_intents",
    "seti": "setup_intents",
    "ch": "charges",
    "py": "charges",
    "re": "refunds",
    "pyr": "refunds",
    "du": "disputes",
    "dp": "disputes",
    "txn": "balance_transactions",
    "po": "payouts",
    "cus": "customers",
    "pm": "payment_methods",
    "card": "payment_methods",
    "src": "payment_methods",
    "in": "invoices",
    "evt": "events",
}

#: Where an object names another.
_NAMES: Final = ("payment_intent", "charge", "latest_charge", "source", "customer", "payment_method")


@dataclass(frozen=True, slots=True)
class Thing:
    """Something of Stripe's as it was when it was read. `kind` is Stripe's own word for it; `amount_minor` is in minor
    units of `currency`, None where it has no amount; `names` are the ids of other things that it is about."""

    id: str
    kind: str
    status: str
    amount_minor: int | None
    currency: str
    created_at: datetime.datetime | None
    names: tuple[str, ...]
    metadata: Mapping[str, str]


class ThingVerbs:
    """The part of `Gateway` that looks something up by whatever id there is."""

    _v1: V1Services
    _call: Callable[..., Any]

    def look_up(self, thing_id: str) -> Thing:
        """One read. Raises NotFoundAtStripe for what our account does not have, and GatewayError for an id of a kind
        that is not known here."""
        name = SERVICES.get(thing_id.partition("_")[0])
        if name is None or not thing_id.partition("_")[2]:
            raise GatewayError(f"{thing_id!r} is no id of Stripe's that can be looked up.")
        return thing(self._call(f"{name}.look_up", lambda: getattr(self._v1, name).retrieve(thing_id)))


def thing(source: Any) -> Thing:
    plain = source if isinstance(source, dict) else source.to_dict()
    # An event is about what it carries.
    about = (plain.get("data") or {}).get("object") or {} if plain.get("object") == "event" else plain
    named = [plain["id"], about.get("id"), *(about.get(name) for name in _NAMES)]
    ids = [str(each.get("id") or "") if isinstance(each, dict) else (each or "") for each in named]
    created = plain.get("created")
    amount = about.get("amount")
    return Thing(
        id=plain["id"],
        kind=plain.get("object") or "",
        status=about.get("status") or plain.get("type") or "",
        amount_minor=amount if isinstance(amount, int) else None,
        currency=(about.get("currency") or "").upper(),
        created_at=datetime.datetime.fromtimestamp(created, tz=datetime.UTC) if created else None,
        names=tuple(dict.fromkeys(each for each in ids if each and each != plain["id"])),
        metadata=about.get("metadata") or {},
    )
