"""Pages of lists (https://docs.stripe.com/api/pagination)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

from stripe_emulator.core.errors import invalid, missing
from stripe_emulator.core.tables import JSON, Table
from stripe_emulator.core.world import World

from .routing import Call

# Filters that name an object, which must be there: by parameter, its table and what Stripe calls it.
_NAMED = {
    "charge": ("charge", "charge"),
    "customer": ("customer", "customer"),
    "payment_intent": ("payment_intent", "payment_intent"),
    "payment_method": ("payment_method", "PaymentMethod"),
    "setup_intent": ("setup_intent", "setupintent"),
}


def page(
    world: World,
    call: Call,
    kind: str,
    url: str,
    filters: dict[str, Any] | None = None,
    where: Callable[[JSON], bool] | None = None,
    *,
    among: Table | None = None,
) -> JSON:
    """One page, newest first, of the rows whose attributes equal `filters` and for which `where` is true.

    `among` are the rows to choose from; without it, all of that kind. An id among `filters` that does not exist is
    refused, as any in a parameter is. A limit outside 1 to 100 is brought back into that range, as Stripe's lists do.
    """
    params = call.params
    table = among if among is not None else world.tables[kind]
    after, before = params.get("starting_after"), params.get("ending_before")
    if after and before:
        raise invalid("Received both starting_after and ending_before parameters. Please pass in only one.")
    for name, cursor in (("starting_after", after), ("ending_before", before)):
        if cursor is not None and not table.placed(cursor):
            raise missing(kind.rsplit(".", 1)[-1], cursor[:200], name, in_path=False)
    wanted = {name: value for name, value in (filters or {}).items() if value is not None}
    for name, value in wanted.items():
        if name in _NAMED:
            table_name, called = _NAMED[name]
            world.find(table_name, value, name, name=called)
    limit = max(1, min(100, params.get("limit", 10)))
    rows = table.newest_first(wanted, params.get("created", (None, None)), after=after, before=before)
    found = list(islice(rows if where is None else filter(where, rows), limit + 1))
    more = len(found) > limit
    data = found[:limit]
    if before:
        data.reverse()
    return {"object": "list", "data": data, "has_more": more, "url": url}


def everything(rows: list[JSON], url: str) -> JSON:
    """A list that is always complete, inside another object."""
    return {"object": "list", "data": rows, "has_more": False, "url": url}
