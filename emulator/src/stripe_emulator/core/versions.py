"""The versions of Stripe's API that are spoken, and all that differs between them here: one table.

A version shapes the answer to the request that sent it, and the events of an endpoint that was made with it. Sources:
docs.stripe.com/changelog/endive, /changelog/dahlia, /changelog/clover; recorded replies at 2026-08-26.dahlia.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .errors import ApiError, invalid

JSON = dict[str, Any]

NEWEST = "2026-10-28.endive"
# The first of each release. On what is emulated, no difference between clover and dahlia is known.
_RELEASES = {"clover": "2025-09-30", "dahlia": "2026-03-25", "endive": "2026-09-30"}
_FORM = re.compile(r"(2\d{3}-\d\d-\d\d)\.([a-z]+)\Z")

# Parameters that came with a version; before it they are unknown.
PARAMETERS_SINCE = {
    "allowed_payment_method_types": "2026-07-29",
    "payment_method_options[card][setup_credential_usage]": "2026-10-28",
    "payment_method_options[card][stored_credential_usage]": "2026-10-28",
}
# Parameters that went with a version.
PARAMETERS_UNTIL = {"payment_method_types": "2026-09-30"}
# Attributes that came with a version, by object; before it they are not there.
ATTRIBUTES_SINCE = {
    ("payment_intent", "allowed_payment_method_types"): "2026-07-29",
    ("setup_intent", "allowed_payment_method_types"): "2026-07-29",
    ("checkout.session", "allowed_payment_method_types"): "2026-07-29",
}


def check(version: str, param: str | None = None) -> str:
    """The version, or the refusal of one that is not spoken."""
    match = _FORM.match(version)
    if match:
        day, name = match.groups()
        known = [release for release, first in _RELEASES.items() if first <= day]
        if known and known[-1] == name and version <= NEWEST:
            return version
    raise invalid(
        f"Invalid Stripe API version: {version[:40]}. This emulator speaks those from {_RELEASES['clover']}.clover to "
        f"{NEWEST}: use an SDK that pins one of them, or send it in the Stripe-Version header.",
        param,
    )


def check_parameters(version: str, params: Mapping[str, Any]) -> None:
    """Refuse what that version does not have yet, or has no longer."""
    for name, day in PARAMETERS_UNTIL.items():
        if version >= day and name in params:
            raise no_longer_supported(name)
    if version == NEWEST:
        return
    for name, day in PARAMETERS_SINCE.items():
        if version < day and _sent(name, params):
            raise invalid(f"Received unknown parameter: {name}", name, "parameter_unknown")


def no_longer_supported(name: str) -> ApiError:
    return invalid(
        f"The parameter `{name}` is no longer supported. Leave it out to use the payment methods of your Dashboard, or "
        "use `allowed_payment_method_types` or `excluded_payment_method_types`.",
        name,
        f"{name}_no_longer_supported",
    )


def _sent(name: str, params: Mapping[str, Any]) -> bool:
    found: Any = params
    for part in re.findall(r"[^\[\]]+", name):
        if not isinstance(found, Mapping) or part not in found:
            return False
        found = found[part]
    return True


def render(version: str, answer: Any) -> Any:
    """An answer as that version shows it. An event inside stays as it was recorded."""
    if version == NEWEST:
        return answer
    if isinstance(answer, list):
        return [render(version, one) for one in answer]
    if not isinstance(answer, dict):
        return answer
    kind = answer.get("object")
    if kind == "event":
        return answer
    return {
        name: render(version, value)
        for name, value in answer.items()
        if version >= ATTRIBUTES_SINCE.get((kind, name) if isinstance(kind, str) else ("", ""), "")
    }
