"""More of what happens to money: strangers, changed prices, hooks that refuse, parts, disputes, restored backups.

And what must hold of it: the postings of each debt are what Stripe has of it, and no card is charged without an
agreement that names it.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from functools import partial
from typing import Any

from django.db import transaction
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from checkout import actions, states
from checkout.models import (
    Agreement,
    Checkout,
    Debt,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    PlanChange,
    Posting,
    Problem,
    Refund,
)
from checkout.services import (
    applying,
    bank_news,
    booking,
    by_hand,
    disputes,
    look_back,
    plans,
    polling,
    reconcile,
    refunds,
    runs,
)
from tests.chaos.life import CARDS, PaymentLife, minor
from tests.host.models import Membership

#: Postings that are movements at Stripe.
AT_STRIPE = ("taken", "given_back", "give_back_failed", "disputed", "dispute_won")


def _debt_of(charge: dict[str, Any]) -> str:
    """The uuid of the debt that a charge at Stripe is for. A deposit that was paid while the card was saved bears the
    mark of the attempt that began its plan, for its debt was opened by it."""
    mark = charge["metadata"]
    if "debt" in mark:
        return str(mark["debt"])
    deposit = Checkout.objects.filter(begun_by__uuid=mark["checkout"]).select_related("debt").first()
    return str(deposit.debt.uuid) if deposit is not None and deposit.debt is not None else str(mark["checkout"])


class MoneyLife(PaymentLife):
    def __init__(self) -> None:
        super().__init__()
        self.backup: str | None = None
        self.restored = False

    # -- strangers -----------------------------------------------------------------------------------

    @rule(data=st.data(), number=CARDS, kind=st.sampled_from(["payment", "payment_plan"]))
    def a_stranger_types_the_address_of_a_payer(self, data: Any, number: str, kind: str) -> None:
        """An order of their own, with somebody else's address, and a card of their own."""
        victim = data.draw(st.sampled_from(self.members))
        order = Membership.objects.create(email=victim.email.upper(), total=Decimal("60.00"))
        options = {"payment_plan": self.template} if kind == "payment_plan" else {}
        checkout = self.on_a_bad_day(lambda: Checkout.objects.create_checkout(kind, order, None, **options))
        if checkout is not None:
            self._pay(checkout, number, True)

    # -- the site ------------------------------------------------------------------------------------

    @rule(data=st.data(), change=st.sampled_from([-10, 15]))
    def the_price_changes_under_an_open_page(self, data: Any, change: int) -> None:
        row = data.draw(st.sampled_from(self.members))
        Membership.objects.filter(pk=row.pk, total__gt=20).update(total=row.total + change)

    @rule(data=st.data(), how=st.sampled_from(["hook_refuses", "hook_raises"]), well=st.booleans())
    def the_site_refuses_or_breaks(self, data: Any, how: str, well: bool) -> None:
        row = data.draw(st.sampled_from(self.members))
        Membership.objects.filter(pk=row.pk).update(**{how: not well})

    @rule(data=st.data())
    def the_row_is_settled_elsewhere(self, data: Any) -> None:
        Membership.objects.filter(pk=data.draw(st.sampled_from(self.members)).pk).update(can_charge=False)

    # -- the office ----------------------------------------------------------------------------------

    @rule(data=st.data(), how=st.sampled_from(["apply", "give back"]))
    def the_office_solves_a_problem(self, data: Any, how: str) -> None:
        checkout = self._any(data, Checkout.objects.filter(unapplied=True))
        if checkout is None:
            return
        if how == "apply":
            self.on_a_bad_day(lambda: applying.apply(checkout))
        elif left := refunds.left(checkout):
            self.on_a_bad_day(lambda: refunds.refund(checkout, left))

    @rule(data=st.data())
    def a_part_comes_in_cash(self, data: Any) -> None:
        line = self._any(data, ObjectPaymentPlanInstalment.objects.exclude(state_id=states.SUCCESS))
        if line is not None:
            self.on_a_bad_day(lambda: by_hand.part_paid(line, Decimal(2), None, "cash"))

    # -- the bank ------------------------------------------------------------------------------------

    @rule(data=st.data(), verdict=st.sampled_from(["won", "lost", None]))
    def a_bank_takes_money_back(self, data: Any, verdict: str | None) -> None:
        paid = self._any(data, Checkout.objects.success().exclude(payment_intent_id=""))
        if paid is None:
            return
        try:
            number = self.emulator.bank.dispute(paid.payment_intent_id)["id"]
        except ValueError:
            return
        self.on_a_bad_day(lambda: disputes.dispute_updated_at_stripe(number))
        if verdict is not None:
            self.emulator.bank.decide_dispute(number, verdict)

    # -- the database --------------------------------------------------------------------------------

    @precondition(lambda self: self.backup is None)
    @rule(data=st.data(), hours=st.sampled_from([0, 1, 49]))
    def a_night_is_lost(self, data: Any, hours: int) -> None:
        """A run, a payment on a page and a card that was saved, and then the backup of the evening before."""
        evening = transaction.savepoint()
        for plan in ObjectPaymentPlan.objects.filter(deleted=False):
            self.on_a_bad_day(partial(plans.testing_set_pending_instalment_due, plan))
        self.on_a_bad_day(lambda: runs.process_payments(workers=1))
        self.buy(data, "4242424242424242", True)
        self.on_a_bad_day(polling.fulfill_open_intents)
        transaction.savepoint_rollback(evening)
        self.members = list(Membership.objects.order_by("email"))[:8]
        if hours:
            self.time_passes(hours)
        self.on_a_bad_day(lambda: runs.process_payments(workers=1))

    @precondition(lambda self: self.backup is None)
    @rule()
    def a_backup_is_made(self) -> None:
        self.backup = transaction.savepoint()

    @precondition(lambda self: self.backup is not None)
    @rule()
    def the_backup_is_restored(self) -> None:
        """What was written since is lost here, and stands at Stripe as it was."""
        transaction.savepoint_rollback(self.backup)
        self.backup, self.restored = None, True
        self.members = list(Membership.objects.order_by("email"))[:8]

    @rule(job=st.sampled_from(["look back", "bank news"]))
    def stripe_is_listed(self, job: str) -> None:
        self.on_a_bad_day({"look back": look_back.look_back, "bank news": bank_news.look}[job])

    # -- what must hold ------------------------------------------------------------------------------

    @invariant()
    def hooks_ran_once_for_each_success(self) -> None:
        for member in Membership.objects.all():
            told = Checkout.objects.for_content_object(member).success().filter(unapplied=False)
            assert member.successes == told.count()

    @invariant()
    def a_debt_is_settled_once(self) -> None:
        """The same thing may have been paid twice here (it was settled elsewhere, or costs more): then staff know."""
        for debt in Debt.objects.all():
            if debt.paid > debt.owed:
                known = Problem.objects.filter(closed_at=None)
                assert known.filter(subject=str(debt.uuid)).exists() or known.filter(checkout__debt=debt).exists()

    @invariant()
    def no_debt_is_taken_twice(self) -> None:
        """What came for a debt by card is no more than was ever asked of it, round by round."""
        taken: Counter[Any] = Counter()
        for charge in self.emulator.ledger.charges(succeeded=True):
            taken[(_debt_of(charge), charge["metadata"].get("attempt", "1"))] += 1
        assert max(taken.values(), default=0) <= 1, "an attempt took money twice"
        lines = {str(line.debt.uuid): line for line in ObjectPaymentPlanInstalment.objects.filter(debt__isnull=False)}
        net: Counter[str] = Counter()
        for charge in self.emulator.ledger.charges(succeeded=True):
            if _debt_of(charge) in lines:
                net[_debt_of(charge)] += charge["amount_captured"] - charge["amount_refunded"]
        for uuid, amount in net.items():
            assert amount <= minor(lines[uuid].amount), f"{lines[uuid]} was taken twice"

    @invariant()
    def no_card_is_charged_without_an_agreement_that_names_it(self) -> None:
        # One that waited for its payer may have been paid with any card: they typed it themselves.
        for checkout in Checkout.objects.success().filter(action=actions.CHARGE, on_session=False):
            line = checkout.content_object
            if not isinstance(line, ObjectPaymentPlanInstalment):
                continue
            plan = line.object_payment_plan
            named = Agreement.objects.filter(saved_card__payment_method_id=checkout.payment_method_id)
            rows = {each.checkout.content_object for each in named if each.checkout is not None}
            about = {row.plan if isinstance(row, PlanChange) else row for row in rows}
            assert about & {plan, plan.content_object, *plan.payments}, f"{checkout} was taken from a card of {about}"

    @invariant()
    def counters_are_the_sums_of_postings(self) -> None:
        assert not booking.wrong_counters()

    def calm(self) -> None:
        super().calm()
        Membership.objects.update(hook_raises=False)
        for _again in range(2):
            look_back.look_back()
            bank_news.look()
            reconcile.reconcile()
            refunds.resolve_all()

    def the_truth_is_known(self) -> None:
        """Sum of the postings of a debt = what Stripe has of it; what is not known here is a problem."""
        self.no_debt_is_taken_twice()
        self.hooks_ran_once_for_each_success()
        self.lines_add_up()
        self.counters_are_the_sums_of_postings()
        assert not Checkout.objects.filter(state_id=states.REQUEST).exists(), "nothing is unknown any more"
        unknown = set(Problem.objects.filter(kind="unknown_payment").values_list("subject", flat=True))
        wrong = set(
            Problem.objects.filter(kind="not_written_down", closed_at=None).values_list(
                "checkout__debt__uuid", flat=True
            )
        )
        at_stripe: Counter[str] = Counter()
        for charge in self.emulator.ledger.charges(succeeded=True):
            if charge["payment_intent"] not in unknown:
                at_stripe[_debt_of(charge)] += self.emulator.ledger.net_minor(
                    metadata={"checkout": charge["metadata"]["checkout"]}
                )
        for debt in Debt.objects.exclude(uuid__in=wrong):
            posted = Posting.objects.filter(debt=debt, kind__in=AT_STRIPE).values_list("amount", flat=True)
            assert minor(sum(posted, Decimal(0))) == at_stripe.pop(str(debt.uuid), 0), f"{debt.uuid}: {list(posted)}"
        left = {uuid for uuid, amount in at_stripe.items() if amount} - {str(uuid) for uuid in wrong}
        assert not left, "Stripe has money of debts that are not known here"
        assert not Refund.objects.filter(state=Refund.PENDING).exists() or not self.emulator.weather.fair
        for line in ObjectPaymentPlanInstalment.objects.all():
            done = Checkout.objects.for_content_object(line).success().filter(unapplied=False)
            # What the office wrote down in part is an attempt of its own, and leaves the rest to pay.
            whole = done.exclude(action=actions.MANUAL, allocated=True)
            assert (line.state_id == states.SUCCESS) == whole.exists()
        assert ObjectPaymentPlan.objects.filter(agreement=None).count() == 0
