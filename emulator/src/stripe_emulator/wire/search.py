"""Search queries (https://docs.stripe.com/search#search-query-language): `status:'succeeded' AND metadata['k']:'v'`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from stripe_emulator.core.errors import ApiError, invalid
from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import World

from .routing import Call

_CLAUSE = re.compile(
    r"""\s*(?P<negated>-)?(?P<field>[a-z_][a-z_.0-9]*)(?:\[(?P<q>["'])(?P<key>.*?)(?P=q)\])?\s*
    (?P<operator>[:~<>]=?)\s*
    (?:"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>(?:[^'\\]|\\.)*)'|(?P<bare>null|-?[0-9]+))\s*""",
    re.VERBOSE,
)
_JOIN = re.compile(r"(AND|OR)\s|(?=\S)", re.IGNORECASE)

Condition = Callable[[JSON], bool]


def _unclear(query: str) -> ApiError:
    return invalid(f"We were unable to parse your search query: {query[:200]}", "query")


def parse(query: str, fields: frozenset[str]) -> Condition:
    """The condition that a query states. AND and OR cannot be mixed, as at Stripe."""
    conditions: list[Condition] = []
    joins: set[str] = set()
    place = 0
    while place < len(query):
        match = _CLAUSE.match(query, place)
        if match is None:
            raise _unclear(query)
        conditions.append(_condition(match, fields))
        place = match.end()
        if place < len(query):
            join = _JOIN.match(query, place)
            if join is None:
                raise _unclear(query)
            joins.add((join[1] or "AND").upper())
            place = join.end()
    if not conditions:
        raise _unclear(query)
    if len(joins) > 1:
        raise invalid("You cannot combine AND and OR in the same query.", "query")
    every = all if joins != {"OR"} else any
    return lambda row: every(condition(row) for condition in conditions)


def _condition(match: re.Match[str], fields: frozenset[str]) -> Condition:
    field, key, operator, negated = match["field"], match["key"], match["operator"], bool(match["negated"])
    if field not in fields or (key is not None) != (field == "metadata"):
        raise invalid(f"Field `{field[:60]}` is an unsupported search field for this resource.", "query")
    quoted = match["double"] if match["double"] is not None else match["single"]
    wanted = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else match["bare"]
    absent = quoted is None and wanted == "null"

    def value(row: JSON) -> Any:
        found = row.get(field)
        return found.get(key) if key is not None and isinstance(found, dict) else found

    def holds(row: JSON) -> bool:
        found = value(row)
        if absent:
            return found is None
        if found is None:
            return False
        if operator == ":":
            return str(found).lower() == wanted.lower()
        if operator == "~":
            return wanted.lower() in str(found).lower()
        if not isinstance(found, int) or not re.fullmatch(r"-?[0-9]{1,18}", wanted):
            return False
        number = int(wanted)
        return {">": found > number, "<": found < number, ">=": found >= number, "<=": found <= number}[operator]

    return (lambda row: not holds(row)) if negated else holds


def search(world: World, call: Call, kind: str, url: str, fields: frozenset[str]) -> JSON:
    """A page of what matches, newest first. Here at once; at Stripe it may lag by a minute and more."""
    params = call.params
    limit = params.get("limit", 10)
    if not 1 <= limit <= 100:
        raise invalid("Limit must be between 1 and 100.", "limit")
    condition = parse(params["query"], fields)
    after = params.get("page")
    if after is not None and not world.tables[kind].listed(after):
        raise invalid("Invalid page.", "page")
    rows = (row for row in world.tables[kind].newest_first({}, after=after) if condition(row))
    found: list[JSON] = []
    for row in rows:
        found.append(row)
        if len(found) > limit:
            break
    more = len(found) > limit
    data = found[:limit]
    return {
        "object": "search_result",
        "data": data,
        "has_more": more,
        "next_page": data[-1]["id"] if more else None,
        "url": url,
    }
