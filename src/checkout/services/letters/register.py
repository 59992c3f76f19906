"""Every letter that a cause asks for, in one place.

The name is the one of its template and of its switch in CHECKOUT_LETTERS; what goes into it is listed in
docs/reference.md. Templates that are not here are sent by `services.notices`, by whoever stands behind them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from checkout.models import Letter
from checkout.services.letters import words


@dataclass(frozen=True, slots=True)
class Entry:
    """`write` reads what the letter says from the rows, in the language that is active; None when it is not true any
    more. `cause` is what asks for it, and `when` it is written, in English, for developers."""

    cause: str
    when: str
    write: Callable[[Letter], words.Words | None]


AT_ONCE: Final = "at once"

LETTERS: Final[dict[str, Entry]] = {
    "payment_received": Entry("a payment that is no line of a plan came", AT_ONCE, words.payment_received),
    "instalment_paid": Entry(
        "a payment of a plan came; the last one is thanked for by `plan_finished`", AT_ONCE, words.instalment_paid
    ),
    "instalment_declined": Entry(
        "a bank declined a payment while its payer was away",
        "at once; of a deposit after half an hour, if it is not paid by then",
        words.instalment_declined,
    ),
    "payment_due": Entry("a payment is taken soon", "CHECKOUT_NOTICE_DAYS before its day", words.payment_due),
    "card_changed": Entry("a plan is charged to another card", AT_ONCE, words.card_changed),
    "plan_link": Entry("a payer asked for a new link to their plan", AT_ONCE, words.plan_link),
    "plan_stopped": Entry("a plan was stopped", AT_ONCE, words.plan_stopped),
    "payment_refunded": Entry("money was given back", AT_ONCE, words.payment_refunded),
    "refund_failed": Entry("money that was given back came back", AT_ONCE, words.refund_failed),
}
