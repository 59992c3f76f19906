"""Telling a row that it was paid. The money is in the books before: no row that refuses, raises or is gone hides it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from django.db import DatabaseError, transaction
from django.utils.translation import gettext as _

from checkout import actions, signals, states
from checkout.contract import Actor
from checkout.errors import AlreadyPaid, CannotPay, CheckoutError, HookFailed, NotWanted
from checkout.models import Checkout, Dispute, Problem
from checkout.services import agreements, booking, debts, hooks, moves, problems, staff_notices
from checkout.services.letters import asking as letters

logger = logging.getLogger("checkout.fulfillment")

Kind = Problem.Kind


class Unguarded(Exception):
    """The hook of a row that was to be told without a savepoint raised, or refused, or the database refused what a row
    of our own did: the transaction has to be rolled back, and all of it done again with care."""


def tell(checkout: Checkout, *, guarded: bool = True) -> bool:
    """Run the `checkout_success` of what was paid for, in the transaction that settles. False when it was not told, or
    refused: the attempt then says so, and a problem is open for staff.

    Unless `guarded`, a hook that raises or refuses raises Unguarded: nearly none does, and a savepoint for each is two
    statements.
    """
    row = checkout.content_object
    if row is not None and (row._meta.app_label == "checkout" or checkout.action_id not in actions.BY_CARD):
        # Rows of our own refuse no money. Where none came, what refuses or raises undoes everything.
        try:
            _run(checkout)
        except HookFailed as error:
            if not guarded and isinstance(error.__cause__, DatabaseError):
                raise Unguarded from error
            raise
        return True
    refusal = ask(checkout, guarded=guarded)
    if refusal is not None:
        set_aside(checkout, refusal)
        return False
    if checkout.debt is not None and checkout.total != checkout.debt.owed:
        # This was the rest of a price that had changed: what came before it is applied with it.
        for former in Checkout.objects.filter(
            unapplied=True, problems__kind=Kind.PRICE_CHANGED, problems__closed_at=None, debt=checkout.debt_id
        ):
            Checkout.objects.filter(pk=former.pk).update(unapplied=False)
            problems.close_about(former)
    return True


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a row was not told of its money, or would not have it."""

    kind: Problem.Kind
    detail: str = ""


def ask(checkout: Checkout, then: Callable[[], None] | None = None, *, guarded: bool = True) -> Refusal | None:
    """Tell the row, and do what follows; or say why that cannot be, with whatever was done undone. `then` raises
    CheckoutError to refuse. `guarded` as `tell`."""
    row = checkout.content_object
    if row is None:
        return Refusal(Kind.NO_ROW)
    if not row.checkout_can_charge:
        return Refusal(Kind.NOT_PAYABLE)
    if checkout.action_id in actions.BY_CARD and agreements.has_live_plan(row):
        # The site made it while a page was open: a plan that takes the same once more is not to be told of this.
        return Refusal(Kind.NOT_PAYABLE)
    if debts.missing_at(checkout, row.checkout_total):
        return Refusal(Kind.PRICE_CHANGED)
    try:
        with undone_by_itself() if guarded else nullcontext():
            _run(checkout)
            if then is not None:
                then()
            if transaction.get_rollback():
                raise HookFailed(f"{type(row).__name__}.checkout_success hid an error of the database.")
    except (CheckoutError, DatabaseError) as error:
        if not guarded:
            raise Unguarded from error
        return Refusal(Kind.NOT_WANTED if isinstance(error, NotWanted) else Kind.HOOK_FAILED, str(error))
    return None


@contextmanager
def undone_by_itself() -> Iterator[None]:
    """What is done within, by a hook for example, before it raises, is undone, and nothing else."""
    with letters.none_if_undone(), transaction.atomic(), moves.journal(), booking.batch():
        yield


def _run(checkout: Checkout) -> None:
    token = agreements.hook_of.set(checkout)
    try:
        hooks.run(checkout.content_object, "checkout_success", checkout)
    finally:
        agreements.hook_of.reset(token)


def set_aside(checkout: Checkout, refusal: Refusal) -> None:
    """The money of this attempt waits for a person. Of a deposit that began no plan, the attempt that was to begin it
    waits with it."""
    for each in filter(None, [checkout, checkout.begun_by]):
        Checkout.objects.filter(pk=each.pk).update(unapplied=True)
        each.unapplied = True
    problems.open_about(checkout, refusal.kind, refusal.detail)


def went_back(checkout: Checkout) -> bool:
    """Whether all of its money was given back, is on its way back, or was taken back by the payer's bank."""
    if checkout.total is not None and checkout.refunded >= checkout.total:
        return True
    disputed = Dispute.objects.filter(checkout=checkout, kind=Dispute.Kind.DISPUTE)
    return disputed.exclude(status__in=["won", "prevented"]).exists()


def apply(checkout: Checkout, user: Actor = None) -> None:
    """Tell the row after all that it was paid: staff press a button, or its hook is well again.

    Raises AlreadyPaid when it was told meanwhile, CannotPay when it is gone or the money is, NotWanted or HookFailed
    when it refuses.
    """
    with transaction.atomic(durable=True), moves.journal(), booking.batch():
        # Of two who press at once one waits here, and finds that it is done.
        held = Checkout.objects.select_for_update(of=("self",)).get(pk=checkout.pk)
        waiting = Checkout.objects.filter(pk=held.pk, unapplied=True, state_id=states.SUCCESS)
        if not waiting.update(unapplied=False):
            raise AlreadyPaid("This was applied already, so nothing was done.")
        # Under the lock of its row, which whoever gives it back has to change first.
        if went_back(held):
            raise CannotPay(_("The money of this payment went back, or is on its way, so there is nothing to apply."))
        held.unapplied = False
        for each in filter(None, [held.begun_by, held]):
            if each.content_object is None:
                raise CannotPay("What this was paid for is gone. Give the money back.")
            _run(each)
            if each.deposit is not None:
                Checkout.objects.filter(pk=each.pk).update(unapplied=False)
                agreements.begin_after_all(each)
            staff_notices.settled(each)
            letters.paid(each)
            signals.send_after_commit(signals.checkout_succeeded, each)
        problems.close_about(held, user)


@dataclass(slots=True)
class Applied:
    """Counts of one sweep. `errors` are rows that still refuse."""

    applied: int = 0
    errors: int = 0


def apply_all(limit: int | None = None) -> Applied:
    """Try again what a hook could not take in, unless its money went back. Safe to run at any time, again."""
    counts = Applied()
    waiting = Problem.objects.filter(kind=Kind.HOOK_FAILED, closed_at=None).select_related("checkout").order_by("pk")
    for problem in waiting[:limit]:
        checkout: Any = problem.checkout
        if went_back(checkout):
            continue
        try:
            apply(checkout)
        except AlreadyPaid:
            problems.close_about(checkout)
        except (CheckoutError, DatabaseError) as error:
            logger.warning("checkout %s is still refused: %s", checkout.pk, error, extra={"checkout": checkout.pk})
            counts.errors += 1
        else:
            counts.applied += 1
    return counts
