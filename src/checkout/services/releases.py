"""What a run may take: the ceiling of a day, what a second person released, and the brake.

A run computes its gate once, and every claim asks it again in the transaction that claims: a line that nobody released,
an amount that has grown since, or a ceiling that another run has reached meanwhile stays outside.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.db.models import Count, DecimalField, Exists, F, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from checkout import clock
from checkout.conf import conf
from checkout.contract import Actor, actor
from checkout.errors import CheckoutError, RunStopped
from checkout.models import (
    ObjectPaymentPlanInstalment,
    PaymentRun,
    PaymentRunItem,
    Problem,
    RunDay,
    RunRelease,
    RunReleaseLine,
)
from checkout.services import problems

Outcome = PaymentRunItem.Outcome
State = RunRelease.State
Lines = QuerySet[ObjectPaymentPlanInstalment]

#: A release holds on the day of its run and the day after: runs may begin in the early morning, and people work later.
HOLDS_FOR: Final = timedelta(days=1)
#: Kept in English, and shown in the reader's language.
WAITS: Final = gettext_noop("It waits for a release by a second person (Staff > Runs > The next run).")

#: What is left of a line, in SQL.
LEFT: Final = Coalesce(
    F("debt__owed") - F("debt__paid"), F("amount"), output_field=DecimalField(max_digits=15, decimal_places=3)
)
_LEFT_OUTSIDE: Final = Coalesce(
    OuterRef("debt__owed") - OuterRef("debt__paid"),
    OuterRef("amount"),
    output_field=DecimalField(max_digits=15, decimal_places=3),
)


class CeilingReached(Exception):
    """Another run has claimed meanwhile what was left below the ceiling."""

    def __init__(self, currency: str) -> None:
        super().__init__(f"the ceiling of {currency} is reached")
        self.currency = currency


# -- the gate ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Gate:
    """Which lines a run of a day may take."""

    day: datetime.date
    #: Currencies of which only what was released is taken; None: all of them.
    held: frozenset[str] | None = frozenset()

    @property
    def is_open(self) -> bool:
        """True when nothing is held back."""
        return self.held is not None and not self.held

    def let_through(self, rows: Any) -> Any:
        """Of these lines those that may be taken."""
        if self.is_open:
            return rows
        return rows.filter(~self._is_held() | Exists(_released(self.day)))

    def keep_back(self, rows: Any) -> Any:
        """Of these lines those that wait for a release."""
        if self.is_open:
            return rows.none()
        return rows.filter(self._is_held(), ~Exists(_released(self.day)))

    def without(self, currency: str) -> Gate:
        """As this one, with a currency held back as well."""
        return self if self.held is None else replace(self, held=self.held | {currency})

    def _is_held(self) -> Q:
        # Of all currencies: `~Q(pk__in=[])` is true of every row.
        return ~Q(pk__in=[]) if self.held is None else Q(object_payment_plan__currency__in=sorted(self.held))

    def count_claim(self, rows: Sequence[ObjectPaymentPlanInstalment], amounts: Sequence[Decimal]) -> None:
        """Book what is about to be asked on the day, in the transaction that claims it. Raises CeilingReached when what
        nobody released does not fit below the ceiling any more."""
        ceilings = _ceilings()
        if self.held is None or not ceilings or not rows:
            return
        released = _released_of(rows, self.day)
        sums: dict[tuple[str, bool], Decimal] = {}
        for row, amount in zip(rows, amounts, strict=True):
            currency = row.object_payment_plan.currency
            if currency in ceilings:
                key = (currency, row.pk in released)
                sums[key] = sums.get(key, Decimal(0)) + amount
        for (currency, is_released), amount in sorted(sums.items()):
            RunDay.objects.get_or_create(day=self.day, currency=currency)
            day = RunDay.objects.filter(day=self.day, currency=currency)
            if not is_released:
                day = day.filter(claimed__lte=ceilings[currency] - amount)
            if day.update(claimed=F("claimed") + amount) != 1:
                raise CeilingReached(currency)


def gate(due: Lines, day: datetime.date | None = None) -> Gate:
    """The gate for everything that is due on a day (today by default). What was claimed on that day counts as well, so
    that a run in two pieces is one."""
    day = day or clock.today()
    if conf.CHECKOUT_RUN_RELEASE:
        return Gate(day, None)
    ceilings = _ceilings()
    held = set()
    if ceilings:
        # The days first: what is claimed meanwhile is then counted at most once, and the claim itself asks again.
        claimed = dict(RunDay.objects.filter(day=day).values_list("currency", "claimed"))
        for currency, _number, total in sums(due):
            if currency in ceilings and claimed.get(currency, Decimal(0)) + total > ceilings[currency]:
                held.add(currency)
    return Gate(day, frozenset(held))


def sums(rows: Any) -> list[tuple[str, int, Decimal]]:
    """(currency, how many, how much is left) of lines."""
    by_currency = rows.select_related(None).order_by().values("object_payment_plan__currency")
    found = by_currency.annotate(number=Count("pk"), total=Sum(LEFT)).order_by("object_payment_plan__currency")
    return [(row["object_payment_plan__currency"], row["number"], row["total"]) for row in found]


def _ceilings() -> dict[str, Decimal]:
    return {currency: Decimal(ceiling) for currency, ceiling in conf.CHECKOUT_RUN_CEILING.items()}


def _released_of(rows: Sequence[ObjectPaymentPlanInstalment], day: datetime.date) -> set[int]:
    """Which of these lines were released."""
    these = ObjectPaymentPlanInstalment.objects.filter(Exists(_released(day)), pk__in=[row.pk for row in rows])
    return set(these.values_list("pk", flat=True))


def _released(day: datetime.date) -> QuerySet[RunReleaseLine]:
    """Within `Exists`: the line was released for that day, for no less than what is left of it."""
    return RunReleaseLine.objects.filter(
        instalment=OuterRef("pk"),
        amount__gte=_LEFT_OUTSIDE,
        release__state=State.RELEASED,
        release__day__range=(day - HOLDS_FOR, day),
    )


def note_waiting(run: PaymentRun, gate_of_run: Gate, due: Lines) -> int:
    """Write down in the run which lines wait, and tell staff of each currency once a day; how many lines wait."""
    waiting = gate_of_run.keep_back(due).select_related(None)
    pks = list(waiting.values_list("pk", flat=True))
    for start in range(0, len(pks), 1000):
        PaymentRunItem.objects.bulk_create(
            (
                PaymentRunItem(payment_run=run, instalment_id=pk, outcome=Outcome.WAITING, note=WAITS)
                for pk in pks[start : start + 1000]
            ),
            ignore_conflicts=True,
        )
    tell(gate_of_run, due)
    return len(pks)


def tell(gate_of_run: Gate, due: Lines) -> None:
    """Open a problem for each currency of which something waits today, and close those whose cause is gone."""
    waiting = {currency: (number, total) for currency, number, total in sums(gate_of_run.keep_back(due))}
    keep = [_subject(gate_of_run.day, currency) for currency in waiting]
    gone = Problem.objects.filter(kind=Problem.Kind.RUN_WAITS, closed_at=None).exclude(subject__in=keep)
    for subject in gone.values_list("subject", flat=True):
        problems.close(Problem.Kind.RUN_WAITS, subject)
    for currency, (number, total) in waiting.items():
        problems.open_problem(
            Problem.Kind.RUN_WAITS,
            _subject(gate_of_run.day, currency),
            amount=total,
            currency=currency,
            detail=_("Payments that wait: %(number)d.") % {"number": number},
        )


def _subject(day: datetime.date, currency: str) -> str:
    return f"{day:%Y-%m-%d} {currency}"


# -- asking, and deciding --------------------------------------------------------------------------------------


def ask(
    day: datetime.date, currency: str, lines: Iterable[tuple[int, Decimal]], user: Actor, note: str = ""
) -> RunRelease:
    """Write down what was shown: (line, amount), of one currency. What the same day waited with before is withdrawn.

    Raises CheckoutError when nothing was shown, or when a colleague asks at the same moment.
    """
    shown = [(pk, amount) for pk, amount in lines if amount > 0]
    if not shown:
        raise CheckoutError(_("There is nothing that could be released for that day."))
    try:
        with transaction.atomic(durable=True):
            before = RunRelease.objects.filter(day=day, currency=currency, state=State.WAITING)
            before.update(
                state=State.WITHDRAWN, decided_by=actor(user), decided_at=clock.now(), decision="Asked for anew."
            )
            made = RunRelease.objects.create(
                day=day,
                currency=currency,
                count=len(shown),
                total=sum((amount for _pk, amount in shown), Decimal(0)),
                note=note[:255],
                asked_by=actor(user),
            )
            rows = (RunReleaseLine(release=made, instalment_id=pk, amount=amount) for pk, amount in shown)
            RunReleaseLine.objects.bulk_create(rows, batch_size=1000)
            return made
    except IntegrityError as error:
        raise CheckoutError(_("A colleague asks for the same day at this moment. Look again.")) from error


def why_not(release: RunRelease, user: Actor) -> str:
    """Why this person cannot release it; empty when they can."""
    if not release.waits:
        return _("Already done: this was decided.")
    if release.day + HOLDS_FOR < clock.today():
        return _("Its day is over. Ask for a new release.")
    if (who := actor(user)) is not None and release.asked_by_id == who.pk:
        return _("You asked for this release yourself. Somebody else has to give it.")
    return ""


def release(asked: RunRelease, user: Actor, note: str = "") -> RunRelease:
    """Let runs take what was shown. Raises CheckoutError when it was decided already, or asked for by the same person.

    Of two people who press at once one decides: the UPDATE says who.
    """
    with transaction.atomic():
        asked = RunRelease.objects.get(pk=asked.pk)
        if problem := why_not(asked, user):
            raise CheckoutError(problem)
        _decide(asked, State.RELEASED, user, note, ~Q(asked_by=actor(user)) | Q(asked_by=None))
        problems.close(Problem.Kind.RUN_WAITS, _subject(asked.day, asked.currency))
    asked.refresh_from_db()
    return asked


def turn_down(asked: RunRelease, user: Actor, note: str) -> RunRelease:
    """Nothing is taken by it. Whoever asked withdraws it so. Raises CheckoutError when it was decided already."""
    who = actor(user)
    own = who is not None and asked.asked_by_id == who.pk
    _decide(asked, State.WITHDRAWN if own else State.TURNED_DOWN, user, note, Q())
    asked.refresh_from_db()
    return asked


def _decide(asked: RunRelease, state: str, user: Actor, note: str, only_if: Q) -> None:
    rows = RunRelease.objects.filter(only_if, pk=asked.pk, state=State.WAITING)
    if not rows.update(state=state, decided_by=actor(user), decided_at=clock.now(), decision=note[:255]):
        raise CheckoutError(_("Already done: this was decided."))


# -- the brake -------------------------------------------------------------------------------------------------


def stop(user: Actor, why: str) -> int:
    """Stop every run that is under way, and let none begin until `go_on`. What is claimed already is asked and settled.
    Raises CheckoutError when none is under way."""
    rows = PaymentRun.objects.filter(finished_at=None, stopped_at=None)
    stopped = rows.update(stopped_at=clock.now(), stopped_by=actor(user), stopped_why=why[:255])
    if not stopped:
        raise CheckoutError(_("No run is under way."))
    return stopped


def go_on(user: Actor) -> int:
    """Let runs begin again: the next one takes what is left. Raises CheckoutError when none was stopped."""
    rows = PaymentRun.objects.filter(stopped_at__isnull=False, resumed_at=None)
    resumed = rows.update(resumed_at=clock.now(), resumed_by=actor(user))
    if not resumed:
        raise CheckoutError(_("No run is stopped."))
    return resumed


def stopped_run() -> PaymentRun | None:
    """The run that a person stopped, while nothing may go on."""
    rows = PaymentRun.objects.filter(stopped_at__isnull=False, resumed_at=None)
    return rows.select_related("stopped_by").first()


def check_not_stopped() -> None:
    """Raises RunStopped, with who and why, while a person keeps runs from going on."""
    run = stopped_run()
    if run is not None:
        raise RunStopped(
            f"Payment run {run.pk} was stopped by {run.stopped_by or 'somebody'}: {run.stopped_why}. "
            f"Nothing is taken until runs are allowed to go on: Staff > Runs > {run.pk} > Let runs go on."
        )


def check_may_claim(run: PaymentRun) -> None:
    """As `check_not_stopped`, in the transaction that claims: the lock on the run meets the UPDATE of `stop`, so after
    the brake nothing new is claimed."""
    list(PaymentRun.objects.select_for_update(no_key=True).filter(pk=run.pk).values_list("pk", flat=True))
    check_not_stopped()
