"""What the payer, the bank and staff in the Dashboard do, asked for by the panel or the control API: input checked."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from stripe_emulator import Emulator
from stripe_emulator.core.errors import ApiError

from .refusals import RefusedError, number

JSON = dict[str, Any]
_WORD = re.compile(r"[a-z][a-z0-9_]{0,59}\Z")
_TWO_CHARACTERS = re.compile(r"[0-9A-Z]{2}\Z")
_FOUR_DIGITS = re.compile(r"[0-9]{4}\Z")


@dataclass(frozen=True)
class Deed:
    """One thing that can be asked for: on which kinds of object, with which fields, and how it is done."""

    kinds: tuple[str, ...]
    fields: tuple[str, ...]
    do: Callable[[Emulator, str, JSON], object]


def _decline_next(emulator: Emulator, object_id: str, data: JSON) -> None:
    code = word(data, "code")
    times = whole(data, "times", 1, 100) or 1
    advice = data.get("network_advice_code") or None
    if advice is not None and not (isinstance(advice, str) and _TWO_CHARACTERS.match(advice)):
        raise RefusedError("network_advice_code should be two characters, such as 24.")
    emulator.bank.decline_next(
        object_id, word(data, "decline_code") or "insufficient_funds", times, code=code, network_advice_code=advice
    )


def _decline_for_days(emulator: Emulator, object_id: str, data: JSON) -> None:
    days = number(data, "days")
    if days is None or not 0 <= days <= 3660:
        raise RefusedError("Say for how many days, up to ten years.")
    emulator.bank.decline_for_days(object_id, days, word(data, "decline_code") or "insufficient_funds")


def _replace_card(emulator: Emulator, object_id: str, data: JSON) -> None:
    month, year = whole(data, "exp_month", 1, 12), whole(data, "exp_year", 2000, 2100)
    if month is None or year is None:
        raise RefusedError("Say exp_month and exp_year of the new card.")
    last4 = data.get("last4") or None
    if last4 is not None and not (isinstance(last4, str) and _FOUR_DIGITS.match(last4)):
        raise RefusedError("last4 should be four digits.")
    emulator.bank.replace_card(object_id, month, year, last4)


def _refund(emulator: Emulator, object_id: str, data: JSON) -> None:
    emulator.bank.dashboard_refund(object_id, whole(data, "amount", 1, 10**12))


def _dispute(emulator: Emulator, object_id: str, data: JSON) -> None:
    inquiry = data.get("inquiry", False)
    if inquiry not in (True, False, "true", "false"):
        raise RefusedError("inquiry should be true or false.")
    emulator.bank.dispute(object_id, word(data, "reason") or "fraudulent", inquiry=inquiry in (True, "true"))


def _decide_dispute(emulator: Emulator, object_id: str, data: JSON) -> None:
    emulator.bank.decide_dispute(object_id, word(data, "status") or "")


def _fail_payout(emulator: Emulator, object_id: str, data: JSON) -> None:
    emulator.bank.fail_payout(object_id, word(data, "failure_code") or "account_closed")


_INTENTS = ("payment_intent", "setup_intent")
DEEDS: Final[dict[str, Deed]] = {
    "complete_challenge": Deed(_INTENTS, (), lambda emulator, object_id, _: emulator.complete_challenge(object_id)),
    "fail_challenge": Deed(_INTENTS, (), lambda emulator, object_id, _: emulator.fail_challenge(object_id)),
    "decline_next": Deed(("payment_method",), ("decline_code", "code", "times", "network_advice_code"), _decline_next),
    "decline_for_days": Deed(("payment_method",), ("days", "decline_code"), _decline_for_days),
    "replace_card": Deed(("payment_method",), ("exp_month", "exp_year", "last4"), _replace_card),
    "refund": Deed(("payment_intent",), ("amount",), _refund),
    "dispute": Deed(("payment_intent",), ("reason", "inquiry"), _dispute),
    "fail_payout": Deed(("payout",), ("failure_code",), _fail_payout),
    "decide_dispute": Deed(("dispute",), ("status",), _decide_dispute),
}


def word(data: JSON, name: str) -> str | None:
    """The value of a field that is one of Stripe's words; None when it is absent or empty."""
    value = data.get(name) or None
    if value is not None and not (isinstance(value, str) and _WORD.match(value)):
        raise RefusedError(f"{name} should be a word such as insufficient_funds.")
    return value


def whole(data: JSON, name: str, least: int, most: int) -> int | None:
    """The value of a field as a whole number; None when it is absent or empty."""
    value = number(data, name, int)
    if value is not None and not least <= value <= most:
        raise RefusedError(f"{name} should be between {least} and {most}.")
    return None if value is None else int(value)


def pull(emulator: Emulator, data: JSON) -> JSON:
    """Do {"do": "decline_next", "object": "pm_...", ...}; the object afterwards. Raises RefusedError."""
    name, object_id = data.get("do"), data.get("object")
    deed = DEEDS.get(name) if isinstance(name, str) else None
    if deed is None:
        raise RefusedError(f"do should be one of {', '.join(DEEDS)}.")
    unknown = data.keys() - {"do", "object", *deed.fields}
    if unknown:
        raise RefusedError(f"{name} knows no {', '.join(sorted(unknown))}.")
    with emulator.lock:
        tables = emulator.world.tables
        if not isinstance(object_id, str) or not any(object_id in tables[kind] for kind in deed.kinds):
            raise RefusedError(f"object should be the id of a {' or '.join(deed.kinds)} that is kept here.")
        try:
            deed.do(emulator, object_id, data)
        except (ApiError, ValueError) as error:  # a RefusedError too
            raise RefusedError(str(error)) from None
        return next(dict(tables[kind].rows[object_id]) for kind in deed.kinds if object_id in tables[kind])
