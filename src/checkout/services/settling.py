"""What Stripe says of an intent, brought into our rows: state, hook and queued mail in one commit, or none of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from datetime import timedelta
from typing import Any, Final

from django.db import DatabaseError, transaction
from django.db.models import Q, prefetch_related_objects

from checkout import clock, money, signals, states
from checkout.conf import conf
from checkout.contract import Actor
from checkout.errors import IntentMismatch, NotWanted, NotWrittenDown
from checkout.gateway import Decline, PaymentIntent, SetupIntent
from checkout.journal import Code, Why
from checkout.models import Agreement, Checkout, ObjectPaymentPlan, ObjectPaymentPlanInstalment, Problem
from checkout.services import (
    applying,
    attempt_rows,
    booking,
    cards,
    ending,
    hooks,
    moves,
    numbering,
    plan_cards,
    plan_deposits,
    problems,
)
from checkout.services.letters import asking as letters
from checkout.services.pile import Pile, pile
from checkout.services.update_each import LostRace

logger = logging.getLogger("checkout.fulfillment")

Beside = Callable[[Pile], None]


def nothing_beside(_pile: Pile) -> None:
    """Nothing else belongs into the commit."""


NOTHING_IN_HAND: Final[Mapping[int, Any]] = {}


def settle(
    checkout_pk: int,
    intent: PaymentIntent | SetupIntent,
    user: Actor = None,
    *,
    read: Checkout | None = None,
    beside: Beside = nothing_beside,
) -> Checkout:
    """Bring what was read into the rows: state, hook and queued mail in one commit, or none of them.

    `read` is the attempt's row where it was read, with its debt, right before Stripe was asked; `beside` lays on the
    pile what else belongs into that commit.

    When Stripe took the money and that cannot be written down, the attempt says why, for staff and the doctor; every
    sweep tries again. Raises IntentMismatch or NotWrittenDown then, and HookFailed when the hook of a row that was not
    paid, but declined or agreed to, raised.
    """
    try:
        settled = _settle_one(checkout_pk, intent, user, read, beside)
    except Exception as problem:
        if intent.succeeded:
            _note_trouble(checkout_pk, problem)
        if isinstance(problem, DatabaseError | AttributeError):
            raise NotWrittenDown(
                f"What Stripe said of checkout {checkout_pk} could not be written down: {problem}. "
                "Nothing was settled; the next sweep tries again."
            ) from problem
        raise
    if checkout_pk not in settled:
        raise Checkout.DoesNotExist(f"There is no checkout {checkout_pk}.")
    return settled[checkout_pk]


def _settle_one(
    checkout_pk: int, intent: PaymentIntent | SetupIntent, user: Actor, read: Checkout | None, beside: Beside
) -> dict[int, Checkout]:
    """At first as if nobody else were there and no hook ever raised. When that is not so, all of it is undone, and done
    again with locks and a savepoint, which every settlement would have to pay for otherwise."""
    # A success is one whatever was written since; what failed may have been replaced, and then the host hears nothing.
    # A deposit that begins its plan does too much for it to be undone and done again.
    in_hand = read if intent.succeeded and read is not None and read.deposit is None else None
    try:
        return settle_many({checkout_pk: intent}, user, read=in_hand, beside=beside)
    except (DatabaseError, LostRace, applying.Unguarded):
        return settle_many({checkout_pk: intent}, user, careful=True, beside=beside)


def _note_trouble(checkout_pk: int, problem: Exception) -> None:
    logger.error("checkout %s is paid and not settled: %s", checkout_pk, problem, extra={"checkout": checkout_pk})
    rows = Checkout.objects.filter(pk=checkout_pk).exclude(Q(state=states.SUCCESS))
    try:
        with transaction.atomic():
            if rows.update(
                error_code=ending.NOT_WRITTEN_DOWN, decline_code="", **ending.failure_of(Why(note=str(problem)))
            ):
                checkout = Checkout.objects.get(pk=checkout_pk)
                problems.open_about(checkout, Problem.Kind.NOT_WRITTEN_DOWN, str(problem))
    except DatabaseError:
        logger.exception("checkout %s cannot say so", checkout_pk, extra={"checkout": checkout_pk})


def settle_many(
    intents: Mapping[int, PaymentIntent | SetupIntent],
    user: Actor = None,
    *,
    in_hand: Mapping[int, Any] = NOTHING_IN_HAND,
    read: Checkout | None = None,
    careful: bool = False,
    beside: Beside = nothing_beside,
) -> dict[int, Checkout]:
    """`settle` for several attempts (by primary key) in one commit: all of them, or none when one raises.

    A run settles so what came back at the same time. When it raises, settle them one by one. `in_hand` are the lines
    that it has claimed, by their attempts' keys: to a line that was paid nothing happens but the move, which asks where
    it stands. Of what was not paid the host hears, and its row is read anew.

    Unless it is to be `careful`, a hook that raises, or anybody else who changes what is settled here, makes it raise
    Unguarded, LostRace or DatabaseError. `read` and `beside` as `settle`, for a single attempt.
    """
    with (
        transaction.atomic(durable=True),
        pile() as to_write,
        booking.batch(None if careful else to_write),
        moves.journal(to_write),
        letters.together(to_write),
        moves.together(to_write) if len(intents) > 1 else nullcontext(),
    ):
        checkouts = [read] if read is not None else _held(intents)
        unpaid = [checkout for checkout in checkouts if not checkout.succeeded]
        if len(checkouts) > 1:
            for checkout in checkouts:
                if intents[checkout.pk].succeeded and checkout.pk in in_hand:
                    attempt_rows.hold(checkout, in_hand[checkout.pk])
            prefetch_related_objects(checkouts, "content_object")
        for checkout in checkouts:
            intent = intents[checkout.pk]
            if isinstance(intent, SetupIntent):
                _verify_setup(checkout, intent)
                _settle_setup(checkout, intent, user)
            else:
                _verify_payment(checkout, intent)
                _settle_payment(checkout, intent, user, careful, was_read=read is not None)
        beside(to_write)
    paid_with = {pk: intent.card for pk, intent in intents.items()}
    if with_deposit := [each for each in unpaid if each.deposit is not None]:
        for deposit in Checkout.objects.filter(begun_by__in=with_deposit):
            unpaid.append(deposit)
            paid_with[deposit.pk] = paid_with[deposit.begun_by_id or 0]
    numbering.give(unpaid, paid_with)
    return {checkout.pk: checkout for checkout in checkouts}


def _held(keys: Iterable[int]) -> list[Checkout]:
    """The lock makes a second caller wait for the first one's commit; where locks are ignored, the move decides."""
    rows = Checkout.objects.select_for_update(of=("self",)).select_related("debt").filter(pk__in=keys)
    return list(rows.order_by("pk"))


def _settle_payment(
    checkout: Checkout, intent: PaymentIntent, user: Actor, careful: bool, *, was_read: bool = False
) -> None:
    if intent.succeeded and checkout.deposit is not None:
        plan_deposits.came(checkout, intent, user)
    elif intent.succeeded:
        stood = checkout.state_id or ""
        won = ending.succeed(
            checkout,
            user=user,
            why=Why(Code.STRIPE_SUCCEEDED),
            request_id=intent.request_id,
            guarded=careful,
            # What it has reserved follows from where it stands: a row that may be old moves from there or not at all.
            only_from=None if careful else {stood},
            # Whether a problem is to be closed says its error, which another worker may have written since.
            only_if={"error_code": checkout.error_code} if was_read else None,
            payment_intent_id=intent.id,
            payment_method_id=intent.payment_method_id or checkout.payment_method_id,
        )
        if not won and not careful and stood != states.SUCCESS:
            raise LostRace
        if won and checkout.is_payment:
            _adopt_card(checkout, intent)
    elif intent.canceled:
        if checkout.is_open:
            ending.fail(
                checkout,
                user=user,
                why=Why(Code.STRIPE_CANCELED),
                failure=Why(Code.PAYMENT_CANCELLED),
                superseded=checkout.superseded,
                request_id=intent.request_id,
            )
    elif intent.processing:
        if not checkout.payment_intent_id:
            # Polling looks for it by its id.
            Checkout.objects.filter(pk=checkout.pk, payment_intent_id="").update(payment_intent_id=intent.id)
            checkout.payment_intent_id = intent.id
        if checkout.state_id in (states.PENDING, states.PAY_ON_SESSION):
            lease = clock.now() + timedelta(minutes=conf.CHECKOUT_LEASE_MINUTES)
            why = Why(Code.STRIPE_PROCESSING)
            moves.move(checkout, to=states.REQUEST, user=user, why=why, lease_until=lease)
    elif checkout.state_id == states.REQUEST:
        _settle_unpaid_request(checkout, intent, user)
    elif intent.decline is not None and checkout.is_open:
        _remember_decline(checkout, intent.decline)


def _settle_unpaid_request(checkout: Checkout, intent: PaymentIntent, user: Actor) -> None:
    """We asked while the payer was away (or it was processing), and it was not paid."""
    if checkout.on_session:
        # The payer's tab can still pay this intent, so the attempt is open as before; to end it, it is cancelled.
        back = states.PAY_ON_SESSION if checkout.is_charge else states.PENDING
        why = Why(Code.STRIPE_SAYS, code=intent.status)
        moves.move(checkout, to=back, user=user, why=why, lease_until=None)
        if intent.decline is not None:
            _remember_decline(checkout, intent.decline)
    elif intent.wants_payer:
        _wait_for_payer(checkout, intent, user)
    elif intent.decline is not None or intent.status == "requires_payment_method":
        decline = intent.decline or Decline(code="")
        failed = ending.fail(
            checkout,
            user=user,
            why=Why(Code.STRIPE_SAYS, code=decline.decline_code or decline.code or intent.status),
            failure=Why.said(decline.message, otherwise=Code.CARD_DECLINED),
            request_id=intent.request_id,
            error_code=decline.code,
            decline_code=decline.decline_code,
            advice_code=decline.advice_code,
            network_advice_code=decline.network_advice_code,
            network_decline_code=decline.network_decline_code,
            payment_intent_id=intent.id,
        )
        if failed:
            letters.declined(checkout)


def _settle_setup(checkout: Checkout, intent: SetupIntent, user: Actor) -> None:
    if intent.succeeded:
        if checkout.state_id == states.SUCCESS:
            return
        try:
            with applying.undone_by_itself():
                _keep_card(checkout, intent, user)
        except NotWanted as refusal:
            # No money came, so there is nothing to keep: the plan does not begin, and no agreement uses the card.
            checkout.refresh_from_db()
            cards.let_go(checkout, intent)
            said = Why.said(str(refusal), otherwise=Code.NOT_WANTED)
            failure = Why(Code(refusal.code)) if refusal.code else said
            ending.fail(checkout, user=user, why=Why(Code.NOT_WANTED), failure=failure)
    elif intent.canceled:
        if checkout.is_open:
            ending.fail(
                checkout,
                user=user,
                why=Why(Code.STRIPE_CANCELED),
                failure=Why(Code.SAVING_CANCELLED),
                superseded=checkout.superseded,
            )
    elif intent.decline is not None and checkout.is_open:
        _remember_decline(checkout, intent.decline)


def _keep_card(checkout: Checkout, intent: SetupIntent, user: Actor) -> None:
    cards.store_card(checkout, intent)
    if isinstance(plan := checkout.content_object, ObjectPaymentPlan):
        if not plan_cards.is_of_payer(plan, checkout.customer_id):
            raise plan_cards.not_taken(Code.PAYER_IS_ANOTHER)
        plan_cards.take_card(plan, Agreement.objects.filter(checkout=checkout).first())
    ending.succeed(
        checkout,
        user=user,
        why=Why(Code.STRIPE_CARD_SAVED),
        request_id=intent.request_id,
        setup_intent_id=intent.id,
        payment_method_id=intent.payment_method_id,
    )


def _adopt_card(checkout: Checkout, intent: PaymentIntent) -> None:
    """A payer of a plan paid with a card that they agreed to: what is left is taken from it from now on."""
    if checkout.customer_id is None or not attempt_rows.is_plan_line(checkout):
        return
    line = checkout.content_object
    agreement = Agreement.objects.filter(checkout=checkout).first()
    if agreement is None or not isinstance(line, ObjectPaymentPlanInstalment):
        return
    cards.store_card(checkout, intent)
    agreement.refresh_from_db()
    plan_cards.take_card(line.object_payment_plan, agreement)


def _wait_for_payer(checkout: Checkout, intent: PaymentIntent, user: Actor) -> None:
    """Authentication wanted is not failed: keep the intent, wait for the payer, tell the host."""
    before = checkout.state_id
    decline = intent.decline or Decline(code="authentication_required")
    won = moves.move(
        checkout,
        to=states.PAY_ON_SESSION,
        user=user,
        why=Why(Code.STRIPE_WANTS_PAYER),
        lease_until=None,
        on_session=True,
        payment_intent_id=intent.id,
        error_code=decline.code,
        decline_code=decline.decline_code,
        **ending.failure_of(Why.said(decline.message, otherwise=Code.CONFIRMATION_WANTED)),
    )
    if not won:
        return
    if hooks.has(checkout.content_object, "checkout_pay_on_session"):
        hooks.run(checkout.content_object, "checkout_pay_on_session", checkout)
    signals.send_after_commit(signals.pay_on_session_required, checkout)
    ending.log_move(checkout, before, Why(note=decline.code), intent.request_id)


def _remember_decline(checkout: Checkout, decline: Decline) -> None:
    """The payer may try again on the page, so the attempt stays open; staff see why it has not been paid."""
    known = {"error_code": decline.code, "decline_code": decline.decline_code} | ending.failure_of(
        Why(note=decline.message)
    )
    # Whoever was just declined is on the page.
    known["seen_at"] = clock.now()
    Checkout.objects.filter(pk=checkout.pk).update(**known)
    for name, value in known.items():
        setattr(checkout, name, value)


def _verify_payment(checkout: Checkout, intent: PaymentIntent) -> None:
    """Raises IntentMismatch unless the intent is the one that was agreed: whose, how much, in what."""
    if checkout.asks_for is None or checkout.by_setup_intent:
        raise IntentMismatch(f"{intent.id} takes money, checkout {checkout.pk} does not.")
    expected = {
        "amount": (intent.amount_minor, money.to_minor(checkout.asks_for, checkout.currency)),
        "currency": (intent.currency, checkout.currency),
        "customer": (intent.customer_id, checkout.stripe_customer_id),
    }
    if intent.succeeded:
        expected["amount received"] = (intent.amount_received_minor, expected["amount"][1])
    _compare(checkout, intent, expected)


def _verify_setup(checkout: Checkout, intent: SetupIntent) -> None:
    expected = {"customer": (intent.customer_id, checkout.stripe_customer_id)}
    _compare(checkout, intent, expected)


def _compare(checkout: Checkout, intent: PaymentIntent | SetupIntent, expected: dict[str, tuple[Any, Any]]) -> None:
    expected = expected | {
        "intent": (intent.id, checkout.intent_id or intent.id),
        "metadata": (intent.metadata.get("checkout"), checkout.mark),
        "live mode": (intent.livemode, checkout.livemode),
    }
    wrong = [f"{name} is {got!r}, agreed was {want!r}" for name, (got, want) in expected.items() if got != want]
    if wrong:
        message = f"{intent.id} does not match checkout {checkout.pk}: {'; '.join(wrong)}. Nothing was settled."
        logger.error(message, extra={"checkout": checkout.pk, "intent": intent.id})
        raise IntentMismatch(message)
