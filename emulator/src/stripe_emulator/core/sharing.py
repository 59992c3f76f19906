"""One object for equal parts of rows: thousands of charges say the same of the same test card.

It asks that no part of a row is ever changed in place: `World.change` puts a new one there.
"""

from __future__ import annotations

import json
from typing import Any

_LONGEST, _MOST = 700, 20_000
_known: dict[str, Any] = {}
_encode = json.JSONEncoder(separators=(",", ":")).encode


def share(value: Any) -> Any:
    """`value`, or an equal one that was seen before. Hashes and lists only, and none that is large."""
    if isinstance(value, dict):
        for name, part in value.items():
            if isinstance(part, dict | list):
                value[name] = share(part)
    elif not isinstance(value, list):
        return value
    key = _encode(value)
    if len(key) > _LONGEST:
        return value
    found = _known.get(key)
    if found is None:
        if len(_known) < _MOST:
            _known[key] = value
        return value
    return found
