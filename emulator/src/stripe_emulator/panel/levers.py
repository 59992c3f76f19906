"""What panel and control API do to an emulator, with input checked: text from a form as well as values from JSON."""

import dataclasses
import json
import re
from collections import Counter
from typing import Any, Final
from urllib.parse import urlsplit

from stripe_emulator import Emulator
from stripe_emulator.core import faults
from stripe_emulator.core.errors import ApiError

from . import bank_levers
from .refusals import RefusedError, number

JSON = dict[str, Any]
MONTH_DAYS: Final = 30
UNITS: Final = {
    "seconds": 1 / 86_400,
    "minutes": 1 / 1440,
    "hours": 1 / 24,
    "days": 1,
    "weeks": 7,
    "months": MONTH_DAYS,
}
LONGEST_STEP_DAYS: Final = 3660


class Levers:
    """The levers of one emulator."""

    # What the panel says after a lever was pulled.
    said: Final = {
        "advance": "The clock was moved.",
        "reset": "Everything was forgotten.",
        "fault": "The fault is set.",
        "unfault": "The fault was removed.",
        "clear": "The weather is fair.",
        "knobs": "Webhooks will go as set.",
        "endpoint": "The endpoint will be told of events.",
        "resend": "The event will be sent again.",
        "bank": "It has happened.",
    }

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator

    # -- reading -------------------------------------------------------------------------------------
    @property
    def tables(self) -> dict[str, Any]:
        return self.emulator.world.tables

    def rows(self, kind: str) -> list[JSON]:
        """All rows of one table, newest first; a copy, for other threads go on adding."""
        with self.emulator.lock:
            return list(self.tables[kind].rows.values())[::-1]

    def find(self, object_id: str) -> JSON | None:
        with self.emulator.lock:
            for table in self.tables.values():
                row: JSON | None = table.get(object_id)
                if row is not None:
                    return self.readable(row)
        return None

    def readable(self, row: JSON) -> JSON:
        """A row as its API object."""
        return self.emulator.world.archive.shown(row) if row.get("object") == "event" else dict(row)

    def events_about(self, object_id: str, limit: int) -> list[JSON]:
        quoted = f'"{object_id}"'
        found = []
        for event in self.rows("event"):
            if quoted in self.emulator.world.archive.unpack(event):
                found.append(event)
                if len(found) == limit:
                    break
        return found

    def requests(self) -> list[JSON]:
        """The requests that came in, oldest first, without secrets."""
        with self.emulator.lock:
            kept = list(self.emulator.requests)
        return [json.loads(request.line()) for request in kept]

    def ledger_sums(self, **filters: Any) -> JSON:
        ledger = self.emulator.ledger
        with self.emulator.lock:
            return {
                "taken_minor": ledger.taken_minor(**filters),
                "refunded_minor": ledger.refunded_minor(**filters),
                "disputed_minor": ledger.disputed_minor(**filters),
                "net_minor": ledger.net_minor(**filters),
            }

    def ledger_rows(self, customers: int = 200) -> tuple[list[JSON], list[JSON]]:
        """A row for each currency; and one for each currency of the customers with the newest charges."""
        with self.emulator.lock:
            pairs: Counter[tuple[str | None, str]] = Counter()
            for charge in self.rows("charge"):
                pairs[charge["customer"], charge["currency"]] += charge["amount_captured"]
            currencies = dict.fromkeys(currency for _, currency in pairs)
            totals = [{"currency": one, **self.ledger_sums(currency=one)} for one in currencies]
            known = [(customer, currency) for customer, currency in pairs if customer is not None][:customers]
            by_customer = [
                {"customer": customer, "currency": one, **self.ledger_sums(customer=customer, currency=one)}
                for customer, one in known
            ]
        return totals, by_customer

    def endpoints(self) -> list[JSON]:
        """Webhook endpoints with the secret that signs for them."""
        webhooks = self.emulator.webhooks
        return [{**row, "secret": next(iter(webhooks.secrets(row["id"])), "")} for row in webhooks.endpoints]

    def deliveries(self) -> dict[str, list[JSON]]:
        """The newest attempts by event id, oldest first."""
        found: dict[str, list[JSON]] = {}
        with self.emulator.lock:
            log = list(self.emulator.webhooks.log)
        for line in log:
            found.setdefault(line["event_id"], []).append(line)
        return found

    def rules(self) -> list[JSON]:
        """The faults that are set, as the control API shows them."""
        with self.emulator.lock:
            seen = self.emulator.weather.seen
            return [
                {
                    "fault": name_of(rule.fault),
                    **dataclasses.asdict(rule.fault),
                    "call": None if rule.call is None else rule.call - seen,
                    "path": None if rule.path is None else rule.path.pattern,
                    "times": rule.times,
                    "probability": rule.probability,
                }
                for rule in self.emulator.weather
            ]

    def knobs(self) -> dict[str, float]:
        return dataclasses.asdict(self.emulator.webhooks.weather)

    # -- pulling -------------------------------------------------------------------------------------
    def advance(self, data: JSON) -> None:
        unknown = data.keys() - UNITS.keys()
        if unknown or not data:
            raise RefusedError(f"Say how far in {', '.join(UNITS)}.")
        days = sum((number(data, unit) or 0) * size for unit, size in UNITS.items())
        if not 0 <= days <= LONGEST_STEP_DAYS:
            raise RefusedError("The clock can only be moved forward, and by ten years at most.")
        with self.emulator.lock:
            self.emulator.clock.advance(days=days)
            self.emulator.tick()

    def reset(self) -> None:
        """Forget everything but the endpoints that were given on the command line."""
        self.emulator.reset()

    def add_fault(self, data: JSON) -> None:
        name = data.get("fault")
        kind = faults.ALL.get(name) if isinstance(name, str) else None
        if kind is None:
            raise RefusedError(f"fault should be one of {', '.join(faults.ALL)}.")
        own = {field.name for field in dataclasses.fields(kind)}
        unknown = data.keys() - own - {"fault", "call", "path", "times", "probability"}
        if unknown:
            raise RefusedError(f"{name} knows no {', '.join(sorted(unknown))}.")
        call, times, chance = number(data, "call", int), number(data, "times", int), number(data, "probability")
        path = data.get("path") or None
        if (call is not None and call < 1) or (times is not None and times < 1):
            raise RefusedError("call and times count from 1.")
        if chance is not None and not 0 <= chance <= 1:
            raise RefusedError("probability is between 0 and 1.")
        if path is not None and not isinstance(path, str):
            raise RefusedError("path should be text.")
        try:
            re.compile(path or "")
        except re.error as error:
            raise RefusedError(f"path is no regular expression: {error}.") from None
        fault = kind(**{field: fault_value(data, field) for field in own if data.get(field) not in (None, "")})
        with self.emulator.lock:
            self.emulator.weather.add(
                fault,
                call=None if call is None else int(call),
                path=path,
                times=None if times is None else int(times),
                probability=chance,
            )

    def remove_fault(self, data: JSON) -> None:
        index = number(data, "index", int)
        with self.emulator.lock:
            rules = self.emulator.weather.rules
            if index is None or not 0 <= index < len(rules):
                raise RefusedError("That fault is not set any more.")
            del rules[int(index)]

    def clear_weather(self) -> None:
        with self.emulator.lock:
            self.emulator.weather.clear()

    def restore(self, snapshot: JSON) -> None:
        try:
            self.emulator.restore(snapshot)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise RefusedError("That is no snapshot of this version of the emulator; nothing was changed.") from None

    def bank(self, data: JSON) -> JSON:
        return bank_levers.pull(self.emulator, data)

    def set_knobs(self, data: JSON) -> None:
        known = self.knobs()
        unknown = data.keys() - known.keys()
        if unknown:
            raise RefusedError(f"Webhooks know no {', '.join(sorted(unknown))}. They know {', '.join(known)}.")
        values = {name: float(data[name]) if isinstance(data[name], bool) else number(data, name) for name in data}
        for name, value in values.items():
            if value is None or value < 0 or (name != "delay" and value > 1):
                raise RefusedError(f"{name} should be {'seconds' if name == 'delay' else 'between 0 and 1'}.")
        with self.emulator.lock:
            for name, value in values.items():
                setattr(self.emulator.webhooks.weather, name, value)

    def add_endpoint(self, data: JSON) -> None:
        url, secret, events = data.get("url"), data.get("secret") or None, data.get("events") or ["*"]
        if not isinstance(url, str) or not is_web_url(url):
            raise RefusedError("url should begin with http:// or https:// and name a host.")
        if secret is not None and not isinstance(secret, str):
            raise RefusedError("secret should be text.")
        if isinstance(events, str):
            events = [name.strip() for name in events.split(",") if name.strip()]
        if not isinstance(events, list) or not all(isinstance(name, str) for name in events):
            raise RefusedError("events should be a list of event types.")
        try:
            self.emulator.webhooks.add(url, secret, events)
        except ApiError as error:
            raise RefusedError(str(error)) from None

    def resend(self, data: JSON) -> None:
        event_id = str(data.get("event", ""))
        with self.emulator.lock:
            event = self.tables["event"].get(event_id)
            if event is None:
                raise RefusedError("That event is not kept any more.")
            if not self.emulator.webhooks.on_event(event):
                raise RefusedError("No endpoint wants this event.")


def fault_value(data: JSON, name: str) -> Any:
    value = data[name]
    if name in {"after", "kept"}:
        if value not in (True, False, "true", "false"):
            raise RefusedError(f"{name} should be true or false.")
        return value in (True, "true")
    found = number(data, name, int if name == "status" else float) or 0
    if name == "status" and not 400 <= found <= 599:
        raise RefusedError("status should be between 400 and 599.")
    if name == "seconds" and not 0 <= found <= 600:
        raise RefusedError("seconds should be between 0 and 600.")
    return found


def name_of(fault: faults.Fault) -> str:
    return next((name for name, kind in faults.ALL.items() if type(fault) is kind), type(fault).__name__)


def is_web_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
