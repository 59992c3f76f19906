"""How levers say no, and numbers from forms as well as from JSON."""

from typing import Any

JSON = dict[str, Any]


class RefusedError(ValueError):
    """What was asked makes no sense; the message says so to a person."""


def number(data: JSON, name: str, kind: type[float] | type[int] = float) -> float | None:
    """The value of a field as a number; None when it is absent or empty."""
    value = data.get(name)
    if value is None or value == "":
        return None
    try:
        if isinstance(value, bool):
            raise ValueError
        found = kind(value)
    except (TypeError, ValueError, OverflowError):
        raise RefusedError(f"{name} should be a number.") from None
    if not -1e12 < found < 1e12:
        raise RefusedError(f"{name} is out of range.")
    return found
