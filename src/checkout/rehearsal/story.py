"""The story: who does what on which day, what Stripe and the jobs make of it, told in a line each."""

from __future__ import annotations

import contextlib
import datetime
import io
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from django.core.management import CommandError, call_command
from django.db.models import Q
from django.utils import timezone
from post_office.models import Email

from checkout import money, states
from checkout.errors import CheckoutError
from checkout.models import Checkout, ObjectPaymentPlan, ObjectPaymentPlanInstalment, PaymentPlan, Problem, StateChange
from checkout.rehearsal import days
from checkout.rehearsal.models import Order
from checkout.rehearsal.stage import OFFICE, PAYER, Stage
from checkout.services import agreements, fulfillment, intents, plan_cards, plans

#: The jobs of a morning, in the order of the timetable's hours.
MORNING: Final = (
    "refresh_card_expiry_dates",
    "process_payments",
    "reconcile",
    "send_on_session_payment_emails",
    "send_letters",
)
GOOD_CARD: Final = "5555555555554444"
#: A plan that nobody pays is told for so long after its last day.
AFTERWARDS: Final = datetime.timedelta(days=70)


@dataclass(slots=True)
class Cast:
    """How the payer and their bank behave."""

    card: str
    #: Payment (1 is the deposit) and what the bank says when it is asked for the first time.
    declines: dict[int, str] = field(default_factory=dict)
    #: After a letter asked them to, the payer comes and pays so many days later; None: never, nor stays on a page.
    comes_after: int | None = 2
    #: Play also the days on which nothing can happen.
    every_day: bool = False


class Story:
    """One plan from its agreement to its end."""

    def __init__(self, stage: Stage, template: PaymentPlan, total: Decimal, currency: str, cast: Cast) -> None:
        self.stage, self.template, self.cast = stage, template, cast
        self.order = Order.objects.create(total=total, currency=currency)
        self.asked_on: datetime.date | None = None
        self.seen: dict[type, int] = {StateChange: 0, Email: 0, Problem: 0}

    # -- the days ------------------------------------------------------------------------------------

    def lines(self) -> Iterator[str]:
        """The story, a line at a time; days on which nothing happens are left out."""
        news = list(self._day([self._agree]))
        yield from news
        while self._goes_on():
            self._put_forward(after_news=bool(news))
            news = list(self._day([self._bank, self._payer, self._jobs]))
            yield from news
        yield from self._end()

    def _put_forward(self, *, after_news: bool) -> None:
        """To the next day on which something can happen; what has happened may go on tomorrow."""
        today = timezone.localdate()
        day = today + days.DAY
        if not self.cast.every_day and not after_news:
            known = [self._last_day(), days.next_day(today), self._comes_on()]
            day = min(found for found in known if found is not None and found > today)
        self.stage.put_forward(self.stage.now + (day - today))

    def _day(self, acts: list[Any]) -> Iterator[str]:
        said = [line for act in acts for line in self._happens(act)]
        if acts == [self._agree]:
            said += self._happens(self._jobs)
        day = timezone.localdate()
        for number, line in enumerate(said):
            yield f"{day:%a %d %b %Y}  {line}" if not number else f"{'':15}  {line}"

    def _happens(self, act: Any) -> list[str]:
        said = list(act() or ())
        return [*said, *self._news()]

    def _goes_on(self) -> bool:
        plan = self._plan()
        if plan is None or plan.deleted:
            return False
        unpaid = plan.instalments.exclude(Q(state=states.SUCCESS)).exists()
        return unpaid and timezone.localdate() < self._last_day()

    def _last_day(self) -> datetime.date:
        dues = ObjectPaymentPlanInstalment.objects.values_list("due", flat=True)
        return max(dues) + AFTERWARDS

    # -- what is done --------------------------------------------------------------------------------

    def _agree(self) -> Iterator[str]:
        yield (
            f"The payer agrees to “{self.template.name}”: {self._money(self.order.total)}, "
            f"{self.template.deposit} % now and {self.template.count} more, and enters the card {self.cast.card}."
        )
        # As the payer's own page has it, which takes the deposit while it saves the card.
        text = agreements.wording(self.template, self.order)
        terms = agreements.agreement_terms(self.template, self.order, text=text)
        begun = Checkout.objects.create_checkout(
            "payment_plan", self.order, None, payment_plan=self.template, agreement=terms
        )
        code = self.cast.declines.pop(1, "")
        card = self.stage.refused_once(self.cast.card, code) if code else self.cast.card
        refused = yield from self._enter(begun, card)
        yield from self._news()
        if self.cast.comes_after is not None:
            yield from self._stay(begun, refused=refused)

    def _stay(self, begun: Checkout, *, refused: bool) -> Iterator[str]:
        """The payer is still on the page: another card for one that was refused, and what the bank asks for."""
        if refused:
            yield f"The payer enters another card, {GOOD_CARD}, on the same page."
            yield from self._enter(begun, GOOD_CARD)
            yield from self._news()
        deposit = plans.deposit_for(begun)
        if deposit is None or deposit.state_id not in (states.PAY_ON_SESSION, states.FAIL):
            return
        declined = deposit.state_id == states.FAIL
        yield (
            f"The payer enters another card, {GOOD_CARD}, on the same visit."
            if declined
            else f"The payer confirms {deposit.name} at the bank, on the same visit."
        )
        page = Checkout.objects.create_checkout_pay_on_session(deposit, None, another_card=declined)
        yield from self._enter(page, GOOD_CARD if declined else self.cast.card)

    def _enter(self, checkout: Checkout, card: str) -> Generator[str, None, bool]:
        """A card is entered on a page; True when it is refused there."""
        secret = intents.page(checkout).client_secret
        answer = self.stage.emulator.pay(secret, card)
        refused = "error" in answer
        if refused:
            yield f"Stripe refuses the card on the page: {answer['error'].get('message', '')}"
        fulfillment.fulfill(checkout)
        return refused

    def _bank(self) -> None:
        """What the bank is to say is arranged on the day on which the payment is due."""
        plan = self._plan()
        due = self._waiting(state=states.PENDING, due__lte=timezone.localdate())
        if plan is None or plan.card is None or due is None:
            return
        code = self.cast.declines.pop(due.count, "")
        if code:
            self.stage.emulator.bank.decline_next(plan.card.payment_method_id, code)

    def _payer(self) -> Iterator[str]:
        """A letter asked them to come; some days later they do."""
        line = self._waiting(Q(state=states.PAY_ON_SESSION) | Q(state=states.FAIL))
        if line is None or self.cast.comes_after is None:
            self.asked_on = None
            return
        today = timezone.localdate()
        # By the letter of yesterday's jobs.
        self.asked_on = self.asked_on or today - days.DAY
        if today < self.asked_on + self.cast.comes_after * days.DAY:
            return
        try:
            if line.state_id == states.PAY_ON_SESSION:
                yield f"The payer comes by the link, and confirms {line.name} at the bank."
                page = Checkout.objects.create_checkout_pay_on_session(line, None)
                yield from self._enter(page, self.cast.card)
            else:
                yield f"The payer comes by the link, and pays {line.name} with another card, {GOOD_CARD}."
                page = Checkout.objects.create_checkout_pay_on_session(line, None, another_card=True)
                yield from self._enter(page, GOOD_CARD)
        except CheckoutError as problem:
            yield f"The page says: {problem}"

    def _comes_on(self) -> datetime.date | None:
        if self.asked_on is None or self.cast.comes_after is None:
            return None
        return self.asked_on + self.cast.comes_after * days.DAY

    def _jobs(self) -> None:
        for job in MORNING:
            # What a job has to say is in the rows, and told from there.
            with contextlib.suppress(CommandError):
                call_command(job, stdout=io.StringIO(), stderr=io.StringIO())

    # -- what came of it -----------------------------------------------------------------------------

    def _news(self) -> Iterator[str]:
        """What was written since the last look: money first, then letters, then what staff see."""
        changes = StateChange.objects.filter(pk__gt=self.seen[StateChange], instalment__isnull=False)
        for change in changes.select_related("instalment").order_by("pk"):
            yield from self._told(change)
        for letter in Email.objects.filter(pk__gt=self.seen[Email]).order_by("pk"):
            if letter.to == [PAYER]:
                yield f"Letter to the payer: {letter.subject}"
            elif letter.to == [OFFICE]:
                yield f"Mail to the office: {letter.subject}"
        for problem in Problem.objects.filter(pk__gt=self.seen[Problem]).order_by("pk"):
            yield f"The office has to look at something: {problem.get_kind_display()}"
        for model in self.seen:
            newest = model.objects.order_by("-pk").values_list("pk", flat=True).first()  # type: ignore[attr-defined]
            self.seen[model] = newest or 0

    def _told(self, change: StateChange) -> Iterator[str]:
        line = change.instalment
        if line is None:
            return
        amount = self._money(line.amount)
        match change.to_state:
            case states.SUCCESS:
                yield f"{line.name}: {amount} is paid."
            case states.FAIL:
                attempt = Checkout.objects.for_content_object(line).order_by("-pk").first()
                code = (attempt.decline_code or attempt.error_code) if attempt is not None else ""
                yield f"{line.name}: {amount} is declined ({code})."
            case states.PAY_ON_SESSION:
                yield f"{line.name}: the bank requires the payer for {amount}."

    def _end(self) -> Iterator[str]:
        plan = self._plan()
        if plan is None:
            yield "No plan began."
            return
        lines = [*plan.payments.select_related("debt"), *plan_cards.not_made_yet(plan)]
        paid, left = sum(line.net_paid for line in lines), sum(line.left for line in lines)
        taken = money.from_minor(self.stage.emulator.ledger.taken_minor(), plan.currency)
        ends = "is stopped" if plan.deleted else "is paid" if not left else "is not paid to its end"
        sums = f"{self._money(paid)} paid, {self._money(left)} left; Stripe has taken {self._money(taken)}."
        yield f"The plan {ends}: {sums}"

    # -- where it stands -----------------------------------------------------------------------------

    def _plan(self) -> ObjectPaymentPlan | None:
        return ObjectPaymentPlan.objects.order_by("-pk").first()

    def _waiting(self, *where: Q, **more: Any) -> ObjectPaymentPlanInstalment | None:
        return ObjectPaymentPlanInstalment.objects.filter(*where, **more).order_by("due", "pk").first()

    def _money(self, amount: Decimal | int) -> str:
        return money.format_money(Decimal(amount), self.order.currency, "en-gb")
