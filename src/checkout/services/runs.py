"""A payment run: one thread claims in batches, many ask Stripe, and the first settles what comes back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from django.db import IntegrityError, InterfaceError, OperationalError, connection, transaction
from django.db.models import Count, Q, QuerySet, prefetch_related_objects
from django.utils.translation import gettext_noop

from checkout import clock, money, states, tracing
from checkout.conf import conf
from checkout.contract import Actor, actor
from checkout.errors import (
    GatewayError,
    KeyRefused,
    MoneyError,
    OtherAccount,
    OutcomeUnknown,
    RunStopped,
    TooManyRequests,
)
from checkout.gateway import PaymentIntent, gateway
from checkout.journal import Code, Why, in_english
from checkout.models import (
    Checkout,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    PaymentPlan,
    PaymentRun,
    PaymentRunItem,
)
from checkout.services import (
    attempt_rows,
    cards,
    charging,
    debts,
    look_back,
    moves,
    reconcile,
    recovery,
    releases,
    settling,
    unpaid,
)
from checkout.services.insert_each import insert_each
from checkout.services.pace import site_pace
from checkout.services.update_each import LostRace

logger = logging.getLogger("checkout.runs")

#: Kept in English, and shown in the reader's language.
OTHERS_AT_IT: Final = gettext_noop("The payer or staff have another payment for it open.")

Outcome = PaymentRunItem.Outcome
Progress = Callable[["Tally"], None]

#: How many instalments are claimed in one transaction: few at first, so that the first cards are asked at once while
#: more are claimed.
BATCH = 50
FIRST_BATCH = 10
#: What comes back within so many seconds of the first answer is settled with it: one commit costs no more for ten.
GATHERED_FOR = 0.05
#: How often the same request is sent when Stripe was too busy to take it.
TRIES_WHEN_BUSY = 6


@dataclass(slots=True)
class Tally:
    """What a run did so far: how many of each outcome, and the money really taken per currency."""

    due: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    taken: dict[str, Decimal] = field(default_factory=dict)

    def add(self, outcome: str, checkout: Checkout | None = None) -> None:
        self.counts[outcome] = self.counts.get(outcome, 0) + 1
        if outcome == Outcome.CHARGED and checkout is not None and checkout.total is not None:
            self.taken[checkout.currency] = self.taken.get(checkout.currency, Decimal(0)) + checkout.total

    @property
    def done(self) -> int:
        return sum(self.counts.values())


def due_instalments(
    payment_plan: PaymentPlan | None = None, currency: str = ""
) -> QuerySet[ObjectPaymentPlanInstalment]:
    """What a run would take, the longest due first."""
    return chosen(ObjectPaymentPlanInstalment.objects.due, payment_plan, currency).select_related(
        "object_payment_plan__customer",
        "object_payment_plan__payment_plan",
        "object_payment_plan__agreement__saved_card",
        "debt",
    )


def chosen(
    rows: QuerySet[ObjectPaymentPlanInstalment], payment_plan: PaymentPlan | None, currency: str
) -> QuerySet[ObjectPaymentPlanInstalment]:
    """Of these the lines of one template, and in one currency, where a run is told so."""
    if payment_plan is not None:
        rows = rows.filter(object_payment_plan__payment_plan=payment_plan)
    if currency:
        rows = rows.filter(object_payment_plan__currency=money.check_currency(currency))
    return rows


def process_payments(
    *,
    user: Actor = None,
    workers: int | None = None,
    limit: int | None = None,
    max_total: Decimal | None = None,
    payment_plan: PaymentPlan | None = None,
    currency: str = "",
    progress: Progress | None = None,
) -> PaymentRun:
    """Charge what is due, off session. The run's items tell what became of each instalment.

    Attempts whose answer an earlier run never saw are reconciled first. `max_total` (Decimal, whole units) stops before
    it is passed, and needs a single currency. A bad row is counted, logged and skipped. Safe to run at the
    same time as another run, and again after it was killed: what was claimed is found by `reconcile`.

    Of what needs a release (CHECKOUT_RUN_RELEASE, CHECKOUT_RUN_CEILING) only what was released is taken; the rest
    waits, and staff are told. Raises MoneyError when `max_total` is given and more than one currency is due,
    GatewayError when Stripe cannot be asked what it has taken already, RunStopped while a person keeps runs from going
    on.
    """
    releases.check_not_stopped()
    rows = due_instalments(payment_plan, currency)
    if max_total is not None:
        check_one_currency(rows, currency)
    reconcile.reconcile()
    # What was taken and is not known here would be taken again: a restored database has lost its last hours.
    look_back.look_back()
    recovery.release_due()
    unpaid.end()
    run = PaymentRun.objects.create(user=actor(user))
    # What else is due on the day counts, whatever a run is limited to.
    gate = releases.gate(due_instalments())
    working = Run(run, gate.let_through(rows), user, limit, max_total, progress, gate)
    working.work(workers or conf.CHECKOUT_WORKERS)
    releases.note_waiting(run, working.gate, rows)
    return run


class Run:
    """The moving parts of one run; only this thread touches the database."""

    def __init__(
        self,
        run: PaymentRun,
        rows: QuerySet[ObjectPaymentPlanInstalment],
        user: Actor,
        limit: int | None,
        max_total: Decimal | None,
        progress: Progress | None,
        gate: releases.Gate | None = None,
    ) -> None:
        self.gate = gate or releases.gate(due_instalments())
        self.run, self.rows, self.user, self.limit, self.max_total = run, rows, user, limit, max_total
        self.progress = progress
        self.tally = Tally(due=min(rows.count(), limit) if limit is not None else rows.count())
        self.pace = site_pace()
        self.account = gateway().account_id() if self.tally.due else ""
        self.foreign = 0
        self.claimed_total = Decimal(0)
        self.claimed_count = 0
        self.batch = FIRST_BATCH
        self.stopped = ""
        self.after: tuple[Any, int] | None = None

    def work(self, workers: int) -> None:
        with tracing.span("checkout.run", run=self.run.pk):
            # The spans of other threads belong to this one.
            self.trace = tracing.here()
            try:
                self._work(workers)
            finally:
                tracing.note(due=self.tally.due, claimed=self.claimed_count, stopped=bool(self.stopped))

    def _work(self, workers: int) -> None:
        asking: dict[Future[PaymentIntent | GatewayError], tuple[Checkout, int]] = {}
        try:
            with ThreadPoolExecutor(workers, thread_name_prefix="charge") as pool:
                more = True
                while more or asking:
                    # Claim ahead just enough to keep everyone busy: what is claimed and not asked is lost time for a
                    # reconcile if this process is killed.
                    while more and len(asking) < workers * 2:
                        claimed = self._claim_batch(min(self.batch, workers * 2))
                        self.batch = min(self.batch * 2, BATCH)
                        more = claimed is not None and not self.stopped
                        for checkout, item_pk in claimed or ():
                            future = pool.submit(self._ask, charging.request_for(checkout))
                            asking[future] = (checkout, item_pk)
                    if not asking:
                        break
                    try:
                        wait(asking, return_when=FIRST_COMPLETED)
                        done, _waiting = wait(asking, timeout=GATHERED_FOR)
                    except KeyboardInterrupt:
                        # What was asked is still settled; a second Ctrl-C leaves it to reconcile.
                        self.stopped = "Stopped by hand."
                        done = set()
                    # In the order in which they were asked; a set has none.
                    answered = [future for future in asking if future in done]
                    self._settle_all([(*asking.pop(future), future.result()) for future in answered])
                    more = more and not self.stopped
        except BaseException as problem:
            self.stopped = f"Stopped by an error: {type(problem).__name__}: {problem}"
            raise
        finally:
            self._finish()

    def _finish(self) -> None:
        if not self.stopped and self.foreign and self.foreign == self.tally.done:
            self.stopped = (
                "Every card was saved with a key of another mode or account of Stripe. "
                "Is STRIPE_SECRET_KEY the right one?"
            )
        PaymentRun.objects.filter(pk=self.run.pk).update(finished_at=clock.now(), note=self.stopped)
        self.run.refresh_from_db()

    # -- claim -------------------------------------------------------------------------------------

    def _claim_batch(self, size: int) -> list[tuple[Checkout, int]] | None:
        """Claim the next few; None when there is nothing left that this run has not looked at."""
        if self.limit is not None:
            size = min(size, self.limit - self.claimed_count)
        page = list(self._next_page()[:size]) if size > 0 else []
        if not page:
            return None
        self.after = (page[-1].due, page[-1].pk)
        # The hosts' rows are read in one query per model, not one per instalment.
        prefetch_related_objects(page, "object_payment_plan__content_object")
        ready = self._ready(page)
        debts.open_lines(ready)
        try:
            return self._claim(ready)
        except RunStopped as problem:
            # A person pulled the brake: nothing new is claimed, and what is asked is settled.
            self.stopped = str(problem)
            return None
        except Exception as problem:
            if _database_is_gone(problem):
                raise
            logger.info("claiming one by one, because of one of %d: %s", len(ready), problem)
        # One of them has another attempt open or was taken, or its host's row raises: only that one is left out.
        for instalment in ready:
            instalment.state_id = states.PENDING
        claimed: list[tuple[Checkout, int]] = []
        for instalment in ready:
            try:
                claimed += self._claim_alone(instalment)
            except RunStopped as problem:
                self.stopped = str(problem)
                break
        return claimed

    def _next_page(self) -> QuerySet[ObjectPaymentPlanInstalment]:
        if self.after is None:
            return self.rows
        due, pk = self.after
        return self.rows.filter(Q(due__gt=due) | Q(due=due, pk__gt=pk))

    def _ready(self, page: list[ObjectPaymentPlanInstalment]) -> list[ObjectPaymentPlanInstalment]:
        """Leave out what cannot be asked, and say why: it stays `pending` for the day somebody has put it right. Stops
        the run before its largest total is passed."""
        ready = []
        for instalment in page:
            card = instalment.object_payment_plan.card
            self.foreign += card is not None and not cards.is_of_this_key(card, self.account)
            if problem := trouble(instalment, self.account):
                self._skip(instalment, Outcome.ERROR, problem)
                continue
            if self.max_total is not None and self.claimed_total + instalment.left > self.max_total:
                self.stopped = f"Stopped before the total of {self.max_total} was passed."
                break
            self.claimed_total += instalment.left
            ready.append(instalment)
        return ready

    def _skip(self, instalment: ObjectPaymentPlanInstalment, outcome: str, note: str) -> None:
        logger.warning("instalment %s not charged: %s", instalment.pk, note, extra={"instalment": instalment.pk})
        PaymentRunItem.objects.update_or_create(
            payment_run=self.run, instalment=instalment, defaults={"outcome": outcome, "note": note}
        )
        self._count(outcome)

    def _claim(self, page: list[ObjectPaymentPlanInstalment]) -> list[tuple[Checkout, int]]:
        """Commit that these are about to be asked. A row that somebody else has taken is left to them."""
        with transaction.atomic(durable=True), moves.journal():
            releases.check_may_claim(self.run)
            # The lock meets the UPDATE that stops a plan: either that sees these claims, or this sees the stopped plan.
            plans = ObjectPaymentPlan.objects.select_for_update(no_key=True).filter(
                pk__in={row.object_payment_plan_id for row in page}
            )
            agreed = dict(plans.order_by("pk").values_list("pk", "agreement"))
            if any(agreed[row.object_payment_plan_id] != row.object_payment_plan.agreement_id for row in page):
                # Its payer gave another card, or another payer took it over, since the look: the next run knows.
                raise LostRace
            won = moves.move_many(
                page,
                # Asked again under the locks: staff may have moved a day, stopped or paused a plan since the look.
                among=self.gate.let_through(ObjectPaymentPlanInstalment.objects.may_be_taken(clock.today())),
                from_state=states.PENDING,
                to=states.REQUEST,
                user=self.user,
                why=Why(Code.PAYMENT_RUN, run=self.run.pk),
            )
            attempts = [
                charging.build_claimed(row, card, self.user)
                for row in won
                if (card := row.object_payment_plan.card) is not None
            ]
            for row, attempt in zip(won, attempts, strict=True):
                attempt_rows.hold(attempt, row)
            attempt_rows.insert_many(attempts, self.user)
            self.gate.count_claim(won, [attempt.total or Decimal(0) for attempt in attempts])
            # In a run that many workers share, the item is there already and says that it was planned.
            items = insert_each(
                (
                    PaymentRunItem(payment_run_id=self.run.pk, instalment_id=row.pk, checkout_id=attempt.pk)
                    for row, attempt in zip(won, attempts, strict=True)
                ),
                or_update=(("payment_run", "instalment"), ("checkout", "outcome", "note")),
            )
        self.claimed_count += len(items)
        return [(attempt, item.pk) for attempt, item in zip(attempts, items, strict=True)]

    def _claim_alone(self, instalment: ObjectPaymentPlanInstalment) -> list[tuple[Checkout, int]]:
        try:
            return self._claim([instalment])
        except RunStopped:
            raise
        except LostRace:
            return []
        except releases.CeilingReached as problem:
            self.gate = self.gate.without(problem.currency)
            self._skip(instalment, Outcome.WAITING, releases.WAITS)
        except IntegrityError:
            self._skip(instalment, Outcome.SKIPPED, OTHERS_AT_IT)
        except Exception as problem:
            if _database_is_gone(problem):
                raise
            logger.exception("instalment %s could not be claimed", instalment.pk, extra={"instalment": instalment.pk})
            self._skip(instalment, Outcome.ERROR, f"{type(problem).__name__}: {problem}")
        return []

    # -- ask (in a worker thread, no database) -------------------------------------------------------

    def _ask(self, request: charging.ChargeRequest) -> PaymentIntent | GatewayError:
        with tracing.span("checkout.attempt", self.trace, checkout=request.checkout_pk):
            answer = self._ask_at_its_pace(request)
            tracing.note(answer=answer.status if isinstance(answer, PaymentIntent) else type(answer).__name__)
            return answer

    def _ask_at_its_pace(self, request: charging.ChargeRequest) -> PaymentIntent | GatewayError:
        answer: PaymentIntent | GatewayError = OutcomeUnknown("not asked")
        for _attempt in range(TRIES_WHEN_BUSY):
            self.pace.wait()
            answer = charging.ask(request)
            if not isinstance(answer, TooManyRequests):
                self.pace.went_well()
                return answer
            # Refused before any work (https://docs.stripe.com/rate-limits), and not remembered under the key.
            self.pace.slow_down()
        return answer

    # -- settle --------------------------------------------------------------------------------------

    def _settle_all(self, answers: list[tuple[Checkout, int, PaymentIntent | GatewayError]]) -> None:
        """Settle what came back at the same time in one commit; when one of them is bad, one by one."""
        intents = {checkout.pk: answer for checkout, _item, answer in answers if isinstance(answer, PaymentIntent)}
        in_hand = {checkout.pk: checkout.content_object for checkout, _item, _answer in answers}
        settled: dict[int, Checkout] = {}
        if len(intents) > 1:
            try:
                settled = settling.settle_many(intents, in_hand=in_hand)
            except Exception as problem:
                if _database_is_gone(problem):
                    raise
                logger.warning("settling one by one, because of one of %d: %s", len(intents), problem)
        charged = []
        for checkout, item_pk, answer in answers:
            done = settled.get(checkout.pk)
            if done is None:
                self._settle(checkout, item_pk, answer)
            elif done.succeeded:
                charged.append(item_pk)
                self._count(Outcome.CHARGED, done)
            else:
                outcome = _outcome(done, answer)
                PaymentRunItem.objects.filter(pk=item_pk).update(outcome=outcome, note=_note(done))
                self._count(outcome, done)
        if charged:
            PaymentRunItem.objects.filter(pk__in=charged).update(outcome=Outcome.CHARGED)

    def _settle(self, checkout: Checkout, item_pk: int, answer: PaymentIntent | GatewayError) -> None:
        note = ""
        try:
            settled = charging.settle(checkout, answer)
            outcome = _outcome(settled, answer)
            note = _note(settled) if outcome != Outcome.CHARGED else ""
        except Exception as problem:
            if _database_is_gone(problem):
                raise
            logger.exception("checkout %s could not be settled", checkout.pk, extra={"checkout": checkout.pk})
            # Stays in `request`: the next reconcile settles it, and until then nobody else may ask.
            settled, outcome, note = checkout, Outcome.ERROR, str(problem)
            if isinstance(problem, OtherAccount):
                self.stopped = str(problem)
        if isinstance(answer, KeyRefused):
            self.stopped = str(answer)
        PaymentRunItem.objects.filter(pk=item_pk).update(outcome=outcome, note=note)
        self._count(outcome, settled)

    def _count(self, outcome: str, checkout: Checkout | None = None) -> None:
        self.tally.add(outcome, checkout)
        if self.progress is not None:
            self.progress(self.tally)


def _database_is_gone(problem: Exception) -> bool:
    """Then there is no row to blame and nothing to go on with: the run ends, and `reconcile` finds what was asked."""
    return isinstance(problem, InterfaceError) or (isinstance(problem, OperationalError) and not connection.is_usable())


def _outcome(checkout: Checkout, answer: PaymentIntent | GatewayError) -> str:
    if isinstance(answer, KeyRefused | TooManyRequests):
        return Outcome.ERROR
    return {
        states.SUCCESS: Outcome.CHARGED,
        states.FAIL: Outcome.DECLINED,
        states.PAY_ON_SESSION: Outcome.PAY_ON_SESSION,
    }.get(checkout.state_id or "", Outcome.UNKNOWN)


def _note(checkout: Checkout) -> str:
    with in_english():
        return checkout.failure_text


def check_options(payment_plan: PaymentPlan | None, currency: str, max_total: Decimal | None) -> None:
    """Raises MoneyError for a currency that there is not, and for a largest total of several currencies."""
    rows = due_instalments(payment_plan, currency)
    if max_total is not None:
        check_one_currency(rows, currency)


def check_one_currency(rows: QuerySet[ObjectPaymentPlanInstalment], currency: str) -> None:
    if currency:
        return
    currencies = rows.order_by().values_list("object_payment_plan__currency", flat=True).distinct()
    if len(names := sorted(currencies)) > 1:
        raise MoneyError(f"A largest total needs one currency, but {', '.join(names)} are due. Choose one of them.")


def trouble(instalment: ObjectPaymentPlanInstalment, account: str) -> str:
    """Why Stripe cannot even be asked for this line, with a key of `account`; empty when it can. In English, as the run
    keeps it; pages translate what is ours."""
    plan = instalment.object_payment_plan
    if plan.content_object is None:
        return gettext_noop("What this plan was agreed for no longer exists. Stop the plan, or charge it by hand.")
    card = plan.card
    if card is None:
        return gettext_noop("There is no saved card. Ask the payer for one, on their page (Staff > Customers).")
    if not cards.is_of_this_key(card, account):
        return gettext_noop(
            "The card was saved with a key of another mode or account of Stripe, so this key cannot charge it. "
            "Ask the payer for a new card, on their page (Staff > Customers), or stop the plan."
        )
    try:
        money.check_chargeable(instalment.left, plan.currency)
    except MoneyError as problem:
        return str(problem)
    return ""


def counts(run: PaymentRun) -> dict[str, int]:
    """How many instalments of a run ended how."""
    rows = PaymentRunItem.objects.filter(payment_run=run).order_by().values_list("outcome").annotate(Count("pk"))
    return {str(Outcome(outcome).value): number for outcome, number in rows}
