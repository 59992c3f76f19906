"""Kinds of request parameters, and what Stripe says when one is wrong.

A specification is built once, at import; `Hash.read` then turns the strings of a request into values or raises.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol

from stripe_emulator.core.errors import ApiError, invalid, missing_param

MAX_TEXT = 5_000
_INTEGER = re.compile(r"-?[0-9]{1,18}\Z")
_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+\Z")


class Kind(Protocol):
    """How one parameter is read. `name` is its full name, as in `card[exp_month]`."""

    def read(self, value: Any, name: str) -> Any: ...


def _empty(name: str) -> ApiError:
    return invalid(
        f"You passed an empty string for '{name}'. We assume empty values are an attempt to unset a parameter; "
        f"however '{name}' cannot be unset. You should remove '{name}' from your request or supply a non-empty "
        "value.",
        name,
        "parameter_invalid_empty",
    )


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


class Text:
    """A string of at most `longest` characters. With `unset`, an empty one means null."""

    def __init__(self, longest: int = MAX_TEXT, *, unset: bool = False) -> None:
        self.longest = longest
        self.unset = unset

    def read(self, value: Any, name: str) -> str | None:
        if not isinstance(value, str):
            raise invalid(f"Invalid string: {_shown(value)}", name)
        if value == "":
            if self.unset:
                return None
            raise _empty(name)
        if len(value) > self.longest:
            raise invalid(f"Invalid string: {_shown(value)}; must be at most {self.longest} characters", name)
        return value


class Email(Text):
    def read(self, value: Any, name: str) -> str | None:
        text = super().read(value, name)
        if text is not None and not _EMAIL.match(text):
            raise invalid(f"Invalid email address: {_shown(text)}", name, "email_invalid")
        return text


class Url(Text):
    def read(self, value: Any, name: str) -> str | None:
        text = super().read(value, name)
        if text is not None and not re.match(r"https?://[^\s/?#]+", text):
            message = "Not a valid URL. URLs must begin with http:// or https:// and name a host."
            raise invalid(message, name, "url_invalid")
        return text


class Integer:
    def __init__(self, least: int | None = None, most: int | None = None, *, unset: bool = False) -> None:
        self.least, self.most, self.unset = least, most, unset

    def read(self, value: Any, name: str) -> int | None:
        if value == "":
            if self.unset:
                return None
            raise _empty(name)
        if not isinstance(value, str) or not _INTEGER.match(value):
            raise invalid(f"Invalid integer: {_shown(value)}", name, "parameter_invalid_integer")
        number = int(value)
        if self.least is not None and number < self.least:
            message = f"This value must be greater than or equal to {self.least}."
            raise invalid(message, name, "parameter_invalid_integer")
        if self.most is not None and number > self.most:
            message = f"This value must be less than or equal to {self.most}."
            raise invalid(message, name, "parameter_invalid_integer")
        return number


class Decimal:
    def read(self, value: Any, name: str) -> str:
        if not isinstance(value, str) or not re.match(r"-?[0-9]{1,12}(\.[0-9]{1,12})?\Z", value):
            raise invalid(f"Invalid decimal: {_shown(value)}", name)
        return value


class Boolean:
    def read(self, value: Any, name: str) -> bool:
        if value == "true":
            return True
        if value == "false":
            return False
        if value == "":
            raise _empty(name)
        raise invalid(f"Invalid boolean: {_shown(value)}", name)


class Choice:
    def __init__(self, *values: str, unset: bool = False) -> None:
        self.values = frozenset(values)
        self.unset = unset
        named = sorted(values)
        shown = named if len(named) <= 12 else [*named[:12], "..."]
        self.offer = shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + ", or " + shown[-1]

    def read(self, value: Any, name: str) -> str | None:
        if value == "" and self.unset:
            return None
        if not isinstance(value, str) or value not in self.values:
            if value == "":
                raise _empty(name)
            raise invalid(f"Invalid {name}: must be one of {self.offer}", name)
        return value


class BooleanOr:
    """`off_session`: true, false, or one of a few words."""

    def __init__(self, *words: str) -> None:
        self.words = Choice(*words)

    def read(self, value: Any, name: str) -> bool | str | None:
        if value in ("true", "false"):
            return bool(value == "true")
        return self.words.read(value, name)


class Hash:
    """A nested parameter with known names. With `unset`, an empty string means null."""

    def __init__(self, known: Mapping[str, Kind], required: tuple[str, ...] = (), *, unset: bool = False) -> None:
        self.known = dict(known)
        self.required = required
        self.unset = unset

    def read(self, value: Any, name: str) -> dict[str, Any] | None:
        if not isinstance(value, dict):
            if value == "" and self.unset:
                return None
            raise invalid(f"Invalid object: {_shown(value)}", name)
        found: dict[str, Any] = {}
        for key, below in value.items():
            full = f"{name}[{key}]" if name else key
            kind = self.known.get(key)
            if kind is None:
                raise invalid(f"Received unknown parameter: {full[:200]}", full[:200], "parameter_unknown")
            found[key] = kind.read(below, full)
        for key in self.required:
            if key not in found:
                raise missing_param(f"{name}[{key}]" if name else key)
        return found


class AnyHash:
    """A nested parameter that the emulator takes and does not look into (methods other than cards, mostly)."""

    def read(self, value: Any, name: str) -> Any:
        if value == "":
            return None
        if not isinstance(value, dict):
            raise invalid(f"Invalid object: {_shown(value)}", name)
        return value


class NotEmulated:
    """A parameter that Stripe has and the emulator has not: refused, rather than taken and forgotten."""

    def __init__(self, why: str) -> None:
        self.why = why

    def read(self, value: Any, name: str) -> Any:
        raise invalid(f"The emulator does not take `{name}`: {self.why}.", name)


class List:
    def __init__(self, of: Kind, *, unset: bool = False) -> None:
        self.of = of
        self.unset = unset

    def read(self, value: Any, name: str) -> list[Any] | None:
        if value == "" and self.unset:
            return None
        if not isinstance(value, dict) or not all(key.isascii() and key.isdigit() for key in value):
            raise invalid("Invalid array", name)
        order = sorted(value, key=lambda index: (len(index), index))
        return [self.of.read(value[index], f"{name}[{index}]") for index in order]


class Metadata:
    """Up to 50 keys of 40 characters with values of 500 (https://docs.stripe.com/api/metadata).

    Reads as a dict whose empty values mean "remove this key"; an empty string means "remove them all" (None).
    """

    def read(self, value: Any, name: str) -> dict[str, str] | None:
        if value == "":
            return None
        if not isinstance(value, dict):
            raise invalid("Invalid object", name)
        for key, text in value.items():
            full = f"{name}[{key}]"
            if not isinstance(text, str):
                raise invalid(
                    "Metadata values must be strings. You passed in a value that was not a string, boolean or "
                    f"integer for the key {key[:40]}.",
                    name,
                )
            if len(key) > 40:
                message = f"Metadata keys must be up to 40 characters, but you passed in one of {len(key)}."
                raise invalid(message, name)
            if len(text) > 500:
                message = f"Metadata values must have up to 500 characters, but you passed in one of {len(text)}."
                raise invalid(message, full)
        check_metadata_size(value, name)
        return value


def check_metadata_size(metadata: Mapping[str, str], name: str = "metadata") -> None:
    if len(metadata) > 50:
        message = f"You can specify up to 50 metadata keys, but you would have {len(metadata)}."
        raise invalid(message, name)


def merged_metadata(old: Mapping[str, str], sent: Mapping[str, str] | None) -> dict[str, str]:
    """The metadata after an update: keys merged, empty ones removed, None for "remove them all"."""
    if sent is None:
        return {}
    merged = {key: text for key, text in {**old, **sent}.items() if text != ""}
    check_metadata_size(merged)
    return merged


class TimeRange:
    """A time in seconds, or any of gt, gte, lt, lte: reads as (least, most), both inclusive, None when open."""

    _bounds = Hash({"gt": Integer(), "gte": Integer(), "lt": Integer(), "lte": Integer()})

    def read(self, value: Any, name: str) -> tuple[int | None, int | None]:
        if isinstance(value, str):
            exact = Integer().read(value, name)
            return exact, exact
        bounds = self._bounds.read(value, name) or {}
        least = [bounds[k] + plus for k, plus in (("gt", 1), ("gte", 0)) if k in bounds]
        most = [bounds[k] - minus for k, minus in (("lt", 1), ("lte", 0)) if k in bounds]
        return (max(least) if least else None), (min(most) if most else None)
