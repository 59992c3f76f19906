"""A record of the requests that came in, without what must not be written down."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

_KEPT_HEADERS = ("authorization", "content-type", "idempotency-key", "stripe-version", "user-agent")
# Client secrets, card[number] and card[cvc] at any depth and encoded or not, and a key sent as a parameter.
_SECRETS = re.compile(r"((?:client_secret|\bkey|(?:%5B|\[)(?:number|cvc)(?:%5D|\]))=)[^&]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """`form` is the body as it was sent, but for files; `status` is None when the request was lost before any work."""

    method: str
    path: str
    form: str
    headers: dict[str, str]
    status: int | None
    publishable: bool = False

    def line(self) -> str:
        """One line of a request log in JSON."""
        return json.dumps(
            {
                "method": self.method,
                "path": _SECRETS.sub(_hidden, self.path),
                "form": _SECRETS.sub(_hidden, self.form),
                "headers": self.headers,
                "status": self.status or 0,
            },
            ensure_ascii=False,
        )


def _hidden(match: re.Match[str]) -> str:
    return f"{match[1]}hidden"


def record(
    method: str, path: str, body: bytes, headers: dict[str, str], status: int | None, publishable: bool
) -> RecordedRequest:
    """`headers` in lower case. The key is masked, its kind is kept."""
    kept = {name: headers[name] for name in _KEPT_HEADERS if name in headers}
    if "authorization" in kept:
        scheme, _, key = kept["authorization"].partition(" ")
        kind = re.match(r"[a-z]{2}_(?:test|live)_", key)
        kept["authorization"] = f"{scheme} {kind[0] if kind else ''}…"
    multipart = headers.get("content-type", "").startswith("multipart/")
    form = "" if multipart else body.decode("utf-8", "replace")
    return RecordedRequest(method, path, form, kept, status, publishable)
