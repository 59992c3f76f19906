"""Celery tasks (extra `celery`): each holds one service call, takes ids, and is safe to run twice.

Every task is acknowledged late and put back when its worker is killed: what was claimed is found by `reconcile`, what
was not is simply done by whoever gets it next.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar

from celery import Task, shared_task

from checkout import mail
from checkout.errors import DifferencesFound
from checkout.services import (
    audit,
    bank_news,
    books_intake,
    books_match,
    card_expiry,
    doctor,
    fan_out,
    inbox,
    jobs,
    look_back,
    many,
    on_session,
    personal_data,
    polling,
    reconcile,
    refunds,
    requests,
    staff_notices,
    stale,
)
from checkout.services.letters import due, writing

P = ParamSpec("P")
R = TypeVar("R")


def _task(seconds: int, **options: Any) -> Callable[[Callable[P, R]], Task[P, R]]:
    """A task that is told to end after so many seconds, and ended a minute later."""
    return shared_task(
        acks_late=True,
        reject_on_worker_lost=True,
        soft_time_limit=seconds,
        time_limit=seconds + 60,
        **options,
    )


@_task(540)
def payment_intent_fulfillment() -> int:
    """Settle every open payment attempt, and end those that nobody finished; the number that changed."""
    with jobs.recorded("payment_intent_fulfillment"):
        return polling.fulfill_payment_intents().changed + stale.end_payments().changed


@_task(540)
def payment_intent_on_session_fulfillment() -> int:
    """Settle every instalment whose payer is awaited or on the page; the number that changed."""
    with jobs.recorded("payment_intent_on_session_fulfillment"):
        return polling.fulfill_payment_intents(polling.waiting_for_payer(polling.open_payment_attempts())).changed


@_task(540)
def setup_intent_fulfillment() -> int:
    """Settle every open attempt at saving a card, end those that nobody finished, and take deposits that were left; the
    number that changed."""
    with jobs.recorded("setup_intent_fulfillment"):
        return polling.fulfill_setup_intents().changed + stale.end_setups().changed


@_task(540)
def stripe_intent_fulfillment() -> int:
    """Settle every open attempt of any kind, and end what nobody finished; the number that changed."""
    with jobs.recorded(
        "stripe_intent_fulfillment",
        "payment_intent_fulfillment",
        "payment_intent_on_session_fulfillment",
        "setup_intent_fulfillment",
    ):
        return polling.fulfill_open_intents().changed + stale.tidy().changed


@_task(540)
def process_payments() -> int:
    """Begin a payment run and hand its chunks to the workers; how many chunks."""
    with jobs.recorded("process_payments"):
        _run, chunks = fan_out.plan()
        _hand_out(chunks)
    return len(chunks)


def _hand_out(chunks: list[fan_out.Chunk]) -> None:
    for chunk in chunks:
        charge_chunk.delay(chunk.run_pk, chunk.first, chunk.last)


@_task(540)
def charge_chunk(run_pk: int, first: int, last: int) -> None:
    """Charge one chunk of a payment run; whoever does the last one ends the run."""
    fan_out.charge(fan_out.Chunk(run_pk, first, last))


@_task(540)
def send_on_session_payment_emails() -> int:
    """Mail payers whose bank requires them; how many."""
    with jobs.recorded("send_on_session_payment_emails"):
        return on_session.send_on_session_payment_emails().mailed


@_task(540)
def send_letters() -> int:
    """Write the letters that were asked for, notices before payments and reminders; how many."""
    with jobs.recorded("send_letters"):
        due.ask()
        reminded, _errors = requests.remind()
        return writing.write_waiting().mailed + reminded


@_task(540)
def refresh_card_expiry_dates() -> int:
    """Read the cards of outstanding plans, flag and mail those that run out; how many were flagged."""
    with jobs.recorded("refresh_card_expiry_dates"):
        return card_expiry.refresh_card_expiry_dates().flagged


@_task(540, name="checkout.tasks.reconcile")
def reconcile_requests() -> int:
    """Find out what became of charges whose answer was lost, and hand out again what of a run nobody took; how many
    were settled."""
    with jobs.recorded("reconcile"):
        settled = reconcile.reconcile().settled + look_back.look_back().settled
        _hand_out(fan_out.left_over())
    return settled


@_task(540)
def settle_refunds() -> int:
    """Find out what became of refunds that are on their way, and what banks did; how many were settled or news."""
    with jobs.recorded("settle_refunds"):
        settled = refunds.resolve_all().settled
        return settled + bank_news.look().found


@_task(540)
def send_staff_digest() -> int:
    """Mail staff yesterday's payments, once, if the site wants a digest; how many payments."""
    with jobs.recorded("send_staff_digest"):
        return staff_notices.digest(warnings=doctor.warnings()) or 0


@_task(540)
def checkout_books() -> int:
    """Take in the account's books at Stripe and match them with ours; how many differences are open."""
    with jobs.recorded("checkout_books"):
        books_intake.take_in()
        return books_match.match().left


@_task(540)
def audit_failed_checkout() -> int:
    """Compare attempts that are over with Stripe; how many differ. `checkout_doctor` tells when there are any."""
    with jobs.recorded("audit_failed_checkout"):
        audited = audit.audit_failed_checkouts()
        if audited.wrong or audited.unread:
            raise DifferencesFound(
                f"{audited.wrong - audited.unpaid} attempts failed here and not at Stripe, {audited.unpaid} are paid "
                f"here and not at Stripe, {audited.unread} could not be compared. Run audit_failed_checkout."
            )
    return audited.wrong


@_task(540)
def send_queued_mail() -> bool:
    """Send what post_office has queued; False when it is being sent elsewhere.

    Begins no batch in the last minutes of its time: a worker that is ended in the middle of one has sent mails that are
    still queued, and they would go out again.
    """
    with jobs.recorded_alone("send_queued_mail", timedelta(minutes=11)) as ours:
        return ours and mail.send_queued(seconds=300)


@_task(540)
def process_events() -> int:
    """Work on webhook events that wait, and forget old ones; how many were done."""
    with jobs.recorded("process_events"):
        inbox.forget_old()
        personal_data.forget_old()
        return inbox.work().done


@_task(540)
def bulk_actions() -> int:
    """Go on with what staff asked to be done to many; how many of those are finished now."""
    with jobs.recorded("bulk_actions"):
        return many.work_on_all(seconds=480)


@_task(60)
def handle_event(pk: int) -> bool | None:
    """Work on one webhook event."""
    return inbox.handle(pk)
