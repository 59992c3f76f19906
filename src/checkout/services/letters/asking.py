"""A cause asks for its letter, in the commit that makes it true."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, Final

from checkout import actions, clock
from checkout.conf import conf
from checkout.models import (
    Agreement,
    Checkout,
    Letter,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    Refund,
)

#: The payer of a deposit has just saved the card, most likely is still on the page, and reads there what became of it.
DEPOSIT_GRACE: Final = timedelta(minutes=30)

_waiting: ContextVar[list[Letter] | None] = ContextVar("checkout_letters", default=None)


@contextmanager
def together() -> Iterator[None]:
    """Ask for all letters of a batch in one INSERT, at the end of the transaction that the caller holds."""
    waiting: list[Letter] = []
    token = _waiting.set(waiting)
    try:
        yield
        _insert(waiting)
    finally:
        _waiting.reset(token)


def is_on(kind: str) -> bool:
    """False for a letter that the site has switched off (CHECKOUT_LETTERS)."""
    return bool(conf.CHECKOUT_LETTERS.get(kind, True))


def ask(kind: str, cause: str, *, after: timedelta = timedelta(0), **about: Any) -> None:
    """Ask for a letter, once per cause, unless the site has switched it off. `about` are the rows that it is about:
    `checkout`, `instalment`, `plan`, `refund`. It is written no sooner than `after` from now."""
    if not is_on(kind):
        return
    letter = Letter(cause=cause, kind=kind, write_after=clock.now() + after, **about)
    waiting = _waiting.get()
    if waiting is None:
        _insert([letter])
    else:
        waiting.append(letter)


def _insert(letters: list[Letter]) -> None:
    # A cause that has asked before is left as it is, without a savepoint for each.
    if letters:
        Letter.objects.bulk_create(letters, ignore_conflicts=True)


def take_back(cause: str) -> None:
    """What asked for the letter was undone. One that has been written stays written."""
    Letter.objects.filter(cause=cause, ended_at=None).delete()


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
        ask("instalment_declined", f"declined:{checkout.pk}", after=after, checkout=checkout, instalment=line)


def card_changed(plan: ObjectPaymentPlan, agreement: Agreement) -> None:
    """What is left of a plan is taken from another card from now on."""
    ask("card_changed", f"card_changed:{plan.pk}:{agreement.pk}", plan=plan)


def plan_stopped(plan: ObjectPaymentPlan) -> None:
    """Nothing more is taken for this plan."""
    ask("plan_stopped", _stopped(plan), plan=plan)


def plan_goes_on(plan: ObjectPaymentPlan) -> None:
    """It could not be stopped after all."""
    take_back(_stopped(plan))


def _stopped(plan: ObjectPaymentPlan) -> str:
    return f"plan_stopped:{plan.pk}"


def link_asked(plan: ObjectPaymentPlan) -> None:
    """Somebody holds a link to a plan that has expired, and asks for another: once an hour at most, to the address that
    we know."""
    ask("plan_link", f"plan_link:{plan.pk}:{clock.now():%Y%m%d%H}", plan=plan)


def refunded(refund: Refund) -> None:
    """Stripe has given money back."""
    ask("payment_refunded", f"refunded:{refund.pk}", refund=refund, checkout=refund.checkout)


def refund_failed(refund: Refund) -> None:
    """Money that was given back has come back to us."""
    ask("refund_failed", f"refund_failed:{refund.pk}", refund=refund, checkout=refund.checkout)
