"""A cause asks for its letter, in the commit that makes it true."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from django.db.models import Q

from checkout import actions, clock, letters
from checkout.journal import Code
from checkout.models import (
    Agreement,
    Checkout,
    Letter,
    Notice,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    PlanChange,
    Posting,
    Refund,
    StateChange,
)
from checkout.services.insert_each import insert_each
from checkout.services.pile import Pile

#: The payer of a deposit has just saved the card, most likely is still on the page, and reads there what became of it.
DEPOSIT_GRACE: Final = timedelta(minutes=30)

#: Staff who rearrange a plan change more than one line; one letter tells of all of it.
CHANGE_GRACE: Final = timedelta(minutes=15)

#: A plan that is being stopped may go on, for something of it is being paid; that is known within this time.
STOP_GRACE: Final = timedelta(minutes=5)

#: What `plan_changed` tells.
CHANGES: Final = (
    Code.DUE_CHANGED,
    Code.DUE_MOVED_BY_PAYER,
    Code.LINE_OWED_AGAIN,
    Code.LINE_TAKEN_OFF,
    Code.PLAN_CHANGED,
)

_waiting: ContextVar[list[Letter] | None] = ContextVar("checkout_letters", default=None)


@contextmanager
def together(pile: Pile | None = None) -> Iterator[None]:
    """Ask for all letters of a batch in one INSERT, at the end of the transaction that the caller holds; or lay them on
    its pile."""
    waiting: list[Letter] = []
    token = _waiting.set(waiting)
    try:
        yield
        if pile is None:
            _insert(waiting)
        else:
            pile.add(waiting, ignore_conflicts=True)
    finally:
        _waiting.reset(token)


@contextmanager
def none_if_undone() -> Iterator[None]:
    """Around a savepoint in such a batch: what was asked for within, before something raised, is not asked for."""
    waiting = _waiting.get()
    before = len(waiting) if waiting is not None else 0
    try:
        yield
    except BaseException:
        if waiting is not None:
            del waiting[before:]
        raise


def ask(kind: str, cause: str, *, after: timedelta = timedelta(0), **about: Any) -> None:
    """Ask for a letter, once per cause, unless the site has switched it off. `about` are the rows that it is about:
    `checkout`, `instalment`, `plan`, `refund`. It is written no sooner than `after` from now."""
    if not letters.is_wanted(kind):
        return
    letter = Letter(cause=cause, kind=kind, write_after=clock.now() + after, **about)
    waiting = _waiting.get()
    if waiting is None:
        _insert([letter])
    else:
        waiting.append(letter)


def _insert(rows: list[Letter]) -> None:
    # A cause that has asked before is left as it is, without a savepoint for each.
    if rows:
        insert_each(rows, ignore_conflicts=True)


# -- the causes -----------------------------------------------------------------------------------------


def paid(checkout: Checkout) -> None:
    """An attempt took money, and its row has been told."""
    if checkout.action_id not in actions.TAKES_MONEY:
        return
    line = checkout.content_object
    if isinstance(line, ObjectPaymentPlanInstalment):
        ask("instalment_paid", f"paid:{checkout.pk}", checkout=checkout, instalment=line)
    elif line is not None:
        ask("payment_received", f"paid:{checkout.pk}", checkout=checkout)


def declined(checkout: Checkout) -> None:
    """A line of a plan could not be taken while its payer was away. Anything else is charged by staff, who see it."""
    line = checkout.content_object
    if isinstance(line, ObjectPaymentPlanInstalment):
        after = DEPOSIT_GRACE if line.deposit else timedelta(0)
        ask(letters.DECLINED, f"declined:{checkout.pk}", after=after, checkout=checkout, instalment=line)


def plan_agreed(plan: ObjectPaymentPlan) -> None:
    """Its deposit came, and the plan has begun."""
    ask(letters.PLAN_AGREED, agreed_cause(plan), plan=plan)


def agreed_cause(plan: ObjectPaymentPlan) -> str:
    return f"plan_agreed:{plan.pk}"


def plan_changed(plan: ObjectPaymentPlan, change: StateChange) -> None:
    """Something that its payer agreed to is not so any more: a line of the journal, one of CHANGES. What was to be told
    and has not been is told together with it."""
    waiting = Letter.objects.filter(kind="plan_changed", plan=plan, ended_at=None)
    waiting.update(ended_at=clock.now(), outcome=Letter.Outcome.TOGETHER)
    ask("plan_changed", f"plan_changed:{plan.pk}:{change.pk}", after=CHANGE_GRACE, plan=plan)


def change_proposed(change: PlanChange) -> None:
    """A change waits for its payer's agreement; another payer, for theirs."""
    kind = "change_proposed" if change.new_payer is None else "payer_proposed"
    ask(kind, f"{kind}:{change.pk}", plan=change.plan)


def payer_changed(change: PlanChange) -> None:
    """Another payer has taken over a plan: they are told, and whoever paid before."""
    for kind in ("payer_changed", "payer_released"):
        ask(kind, f"{kind}:{change.pk}", plan=change.plan)


def first_change(letter: Letter) -> int:
    """The first line of the journal that this letter tells of, by its primary key."""
    same = Letter.objects.filter(kind=letter.kind, plan=letter.plan_id, pk__lt=letter.pk).order_by("-pk")
    causes = [letter.cause]
    for earlier in same:
        if earlier.outcome != Letter.Outcome.TOGETHER:
            break
        causes.append(earlier.cause)
    return min(int(cause.rpartition(":")[2]) for cause in causes)


def card_changed(plan: ObjectPaymentPlan, agreement: Agreement) -> None:
    """What is left of a plan is taken from another card from now on."""
    ask("card_changed", f"card_changed:{plan.pk}:{agreement.pk}", plan=plan)


def payment_undone(posting: Posting, row: Any) -> None:
    """Staff undid what they had written down as paid by other means: a payer who was told of it is told. In the
    transaction that undoes it."""
    checkout, line = posting.checkout, row if isinstance(row, ObjectPaymentPlanInstalment) else None
    if checkout is None:
        return  # it came over from an older system, which told nobody by a letter of ours
    # One that waits is not written any more: it would not be true.
    told = Q(cause=f"paid:{checkout.pk}")
    if line is not None and line.deposit:
        told |= Q(cause=agreed_cause(line.object_payment_plan))
    if Notice.objects.filter(told).exists():
        ask("payment_undone", f"payment_undone:{posting.pk}", checkout=checkout, instalment=line)


def plan_stopped(plan: ObjectPaymentPlan, at: datetime) -> None:
    """Nothing more is taken for this plan, which was stopped at that moment, and may have been before: it waits for
    `plan_is_stopped`, or STOP_GRACE where that does not come."""
    ask("plan_stopped", f"plan_stopped:{plan.pk}:{at:%Y%m%d%H%M%S%f}", after=STOP_GRACE, plan=plan)


def plan_is_stopped(plan: ObjectPaymentPlan) -> None:
    """What was open at it has ended, so it does not go on any more."""
    now = clock.now()
    for letter in filter(partial(_is_of_stop, plan), _waiting.get() or []):
        letter.write_after = now
    Letter.objects.filter(kind="plan_stopped", plan=plan, ended_at=None).update(write_after=now)


def plan_goes_on(plan: ObjectPaymentPlan) -> None:
    """It could not be stopped after all."""
    waiting = _waiting.get()
    if waiting is not None:
        waiting[:] = [letter for letter in waiting if not _is_of_stop(plan, letter)]
    Letter.objects.filter(kind="plan_stopped", plan=plan, ended_at=None).delete()


def _is_of_stop(plan: ObjectPaymentPlan, letter: Letter) -> bool:
    return letter.kind == "plan_stopped" and letter.plan_id == plan.pk


def link_asked(plan: ObjectPaymentPlan) -> None:
    """Somebody holds a link to a plan that has expired, and asks for another: once an hour at most, to the address that
    we know."""
    ask("plan_link", f"plan_link:{plan.pk}:{clock.now():%Y%m%d%H}", plan=plan)


def statement_asked(plan: ObjectPaymentPlan) -> bool:
    """Staff send its payer the statement: once a day at most. False when there was one today."""
    cause = f"plan_statement:{plan.pk}:{clock.today().isoformat()}"
    if Letter.objects.filter(cause=cause).exists():
        return False
    ask("plan_statement", cause, plan=plan)
    return True


def invoice_requested(checkout: Checkout) -> None:
    """Somebody asked for an invoice, and the office has been told."""
    ask("invoice_requested", f"invoice-payer-{checkout.pk}", checkout=checkout)


def refunded(refund: Refund) -> None:
    """Stripe has given money back."""
    ask("payment_refunded", f"refunded:{refund.pk}", refund=refund, checkout=refund.checkout)


def refund_failed(refund: Refund) -> None:
    """Money that was given back has come back to us."""
    ask("refund_failed", f"refund_failed:{refund.pk}", refund=refund, checkout=refund.checkout)
