"""The states of a checkout and of an instalment, and the moves between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

PENDING: Final = "pending"
REQUEST: Final = "request"
PAY_ON_SESSION: Final = "pay_on_session"
SUCCESS: Final = "success"
FAIL: Final = "fail"

#: Every slug with the name that staff read. The rows of `CheckoutState` are made from it.
STATES: Final[dict[str, str]] = {
    PENDING: "Pending",
    REQUEST: "Request",
    PAY_ON_SESSION: "Pay on session",
    SUCCESS: "Success",
    FAIL: "Fail",
}

#: An attempt in one of these may still take money, so a second attempt has to wait.
OPEN: Final = frozenset({PENDING, REQUEST, PAY_ON_SESSION})

#: What is owed and in one of these has not been paid.
UNPAID: Final = frozenset({PENDING, REQUEST, PAY_ON_SESSION, FAIL})

#: From where to where a row may move.
Diagram: TypeAlias = Mapping[str, frozenset[str]]

#: The whole diagram of checkouts and instalments. `request` means "asked, no answer known": unknown is not fail.
MOVES: Final[Diagram] = {
    PENDING: frozenset({REQUEST, PAY_ON_SESSION, SUCCESS, FAIL}),
    REQUEST: frozenset({SUCCESS, PAY_ON_SESSION, FAIL, PENDING}),
    PAY_ON_SESSION: frozenset({PENDING, REQUEST, SUCCESS, FAIL}),
    FAIL: frozenset({PENDING, REQUEST, SUCCESS}),
    SUCCESS: frozenset(),
}


def sources(to: str, diagram: Diagram = MOVES) -> frozenset[str]:
    """The states from which a row may move to `to`.

    >>> sorted(sources("success"))
    ['fail', 'pay_on_session', 'pending', 'request']

    Raises ValueError for a word that is not a state.
    """
    if to not in diagram:
        raise ValueError(f"{to!r} is not a state of this diagram; the states are {', '.join(diagram)}.")
    return frozenset(state for state, targets in diagram.items() if to in targets)


def may_move(from_state: str, to: str, diagram: Diagram = MOVES) -> bool:
    """True if the diagram has an arrow from `from_state` to `to`."""
    return from_state in sources(to, diagram)
