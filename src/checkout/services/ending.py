"""The end of an attempt: it came or it did not; what is owed, the row, the letters and the host hear of it in one
commit."""

from __future__ import annotations

import logging
from typing import Any, Final

from django.db import transaction

from checkout import actions, clock, signals, states
from checkout.contract import Actor
from checkout.journal import Why, in_english, in_words
from checkout.models import Checkout, ObjectPaymentPlanInstalment, Problem
from checkout.services import (
    agreements,
    applying,
    attempt_debts,
    hooks,
    moves,
    problems,
    recovery,
    staff_notices,
)
from checkout.services.letters import asking as letters

logger = logging.getLogger("checkout.fulfillment")

#: The error code of an attempt that Stripe says was paid, and that could not be settled here.
NOT_WRITTEN_DOWN: Final = "not_written_down"


def owed_anyway(checkout: Checkout) -> bool:
    """A line of a plan is owed whether its page was left or not: it stays as it is, and the host is told nothing."""
    return checkout.is_payment and isinstance(checkout.content_object, ObjectPaymentPlanInstalment)


def succeed(
    checkout: Checkout,
    *,
    user: Actor = None,
    why: Why,
    request_id: str = "",
    means: attempt_debts.Means = attempt_debts.UNSAID,
    tell: bool = True,
    guarded: bool = True,
    **fields: Any,
) -> bool:
    """Move to `success`, post what came, and only then tell the row that was paid for (unless not to `tell`: the caller
    does, or sets it aside); in the caller's transaction. False if it was a success already. `guarded` as
    `applying.tell`, and `only_from`, `only_if` and other `fields` as `moves.move`."""
    before, was_in_trouble = checkout.state_id, checkout.error_code == NOT_WRITTEN_DOWN
    won = moves.move(
        checkout,
        to=states.SUCCESS,
        user=user,
        why=why,
        settled_at=clock.now(),
        lease_until=None,
        error_code="",
        decline_code="",
        advice_code="",
        network_advice_code="",
        network_decline_code="",
        failure="",
        failure_code="",
        superseded=False,
        **fields,
    )
    if not won:
        return False
    attempt_debts.came(checkout, user, was_open=before in states.OPEN, means=means)
    if was_in_trouble:
        problems.close(Problem.Kind.NOT_WRITTEN_DOWN, str(checkout.uuid))
    if tell and applying.tell(checkout, guarded=guarded):
        if checkout.is_payment_plan:
            agreements.ensure_plan(checkout)
        told(checkout)
    log_move(checkout, before, why, request_id)
    return True


def told(checkout: Checkout) -> None:
    """The row knows: staff, the payer and who listens hear of it too."""
    staff_notices.settled(checkout)
    letters.paid(checkout)
    signals.send_after_commit(signals.checkout_succeeded, checkout)


def fail(
    checkout: Checkout,
    *,
    user: Actor = None,
    why: Why,
    failure: Why | None = None,
    superseded: bool = False,
    request_id: str = "",
    **fields: Any,
) -> bool:
    """Move to `fail` and tell the host, unless a newer attempt takes its place. False if somebody else was faster.

    `failure` is what the attempt says from now on; by default what it says already, and otherwise `why`.
    A page at a line of a plan may end in any way: the line is owed as before, and its host is told nothing.
    `only_if` and other `fields` as `moves.move`.
    """
    superseded = superseded or owed_anyway(checkout)
    if failure is None and not checkout.failure_text:
        failure = why
    before = checkout.state_id
    with transaction.atomic():
        won = moves.move(
            checkout,
            to=states.FAIL,
            user=user,
            why=why,
            settled_at=clock.now(),
            lease_until=None,
            superseded=superseded,
            **(failure_of(failure) if failure is not None else {}),
            **fields,
        )
        if not won:
            return False
        attempt_debts.release(checkout)
        content_object = checkout.content_object
        if content_object is not None and not superseded:
            hooks.run(content_object, "checkout_fail")
        if not superseded:
            recovery.after_decline(checkout)
        staff_notices.settled(checkout)
        signals.send_after_commit(signals.checkout_failed, checkout)
    log_move(checkout, before, why, request_id)
    return True


def failure_of(why: Why) -> dict[str, Any]:
    """As an attempt keeps it."""
    if why.facts:
        raise ValueError(f"An attempt has no room for the facts of {why.code}: say why it failed with a code of none.")
    return {"failure": why.note, "failure_code": why.code}


def log_move(checkout: Checkout, before: str | None, why: Why, request_id: str) -> None:
    """One line for each attempt that moved, once that is committed: our id and Stripe's, from, to, and how long ago it
    was begun."""
    if not logger.isEnabledFor(logging.INFO):
        return
    with in_english():
        # What staff wrote may name somebody. Where there is a code, it says enough.
        reason = in_words(why.code, why.facts) or ("noted" if checkout.action_id == actions.MANUAL else why.note)
    took, after = clock.now() - (checkout.claimed_at or checkout.created_at), checkout.state_id

    def line() -> None:
        logger.info(
            "checkout %s %s -> %s (%s)",
            checkout.pk,
            before,
            after,
            reason,
            extra={
                "checkout": checkout.pk,
                "action": checkout.action_id,
                "intent": checkout.intent_id,
                "request_id": request_id,
                "from": before,
                "to": after,
                "milliseconds": round(took.total_seconds() * 1000),
            },
        )

    transaction.on_commit(line)
