"""Another payer takes over a plan: nothing changes before their card is saved, and all of it is theirs afterwards."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.db import IntegrityError, transaction
from post_office.models import Email

from checkout import clock, errors, links, states
from checkout.models import Agreement, Checkout, Customer, Notice, ObjectPaymentPlan, PlanChange, SavedCard
from checkout.office import accounts, people
from checkout.office import services as office
from checkout.services import (
    by_hand,
    by_staff,
    disputes,
    fulfillment,
    on_session,
    payers,
    plan_changes,
    promises,
    refunds,
    runs,
    stale,
    take_overs,
)
from checkout.services.letters import writing
from stripe_emulator import Emulator, faults
from tests.services.conftest import SavePlan, enter_card, letters_installed, make_due

pytestmark = pytest.mark.django_db

State = PlanChange.State
GRANDMOTHER = {"name": "A Grandmother", "email": "grandmother@example.com"}


@pytest.fixture(autouse=True)
def mail_templates(db: None) -> None:
    letters_installed()


@pytest.fixture
def plan(save_plan: SavePlan) -> ObjectPaymentPlan:
    """£20.00 paid; £26.66, £26.67 and £26.67 to come."""
    return save_plan()


def propose(plan: ObjectPaymentPlan, staff: Any = None, **more: Any) -> PlanChange:
    return plan.propose_change("payer", "grandmother pays", staff, **(GRANDMOTHER | more))


def begin(change: PlanChange) -> Checkout:
    return take_overs.begin(change, ip_address="192.0.2.1", user_agent="phone")


def takes_over(emulator: Emulator, change: PlanChange, number: str = "5555555555554444") -> Checkout:
    begun = begin(change)
    enter_card(emulator, begun, number)
    settled = fulfillment.fulfill(begun)
    change.refresh_from_db()
    change.plan.refresh_from_db()
    return settled


def letters_of(kind: str) -> list[str]:
    return list(Notice.objects.filter(template=kind).values_list("recipient", flat=True))


def test_until_the_new_payer_has_given_a_card_everything_is_as_it_was(
    emulator: Emulator, plan: ObjectPaymentPlan, staff: Any
) -> None:
    card = plan.card
    change = propose(plan, staff)
    assert (change.state, change.user, change.favours_payer) == (State.WAITING, staff, False)
    assert change.before == change.after
    begin(change)
    make_due(plan)
    runs.process_payments(workers=1)
    plan.refresh_from_db()
    assert (plan.customer.email, plan.card) == ("member@example.com", card)  # type: ignore[union-attr]
    assert emulator.ledger.taken_minor() == 4666
    writing.write_waiting()
    assert letters_of("payer_proposed") == ["grandmother@example.com"]
    assert not letters_of("payer_changed") + letters_of("payer_released")


def test_the_new_payer_agrees_and_their_card_is_charged_from_then_on(
    emulator: Emulator, plan: ObjectPaymentPlan, staff: Any
) -> None:
    old, former, version = plan.card, plan.customer, plan.version
    change = propose(plan, staff)
    settled = takes_over(emulator, change)
    assert settled.succeeded
    plan.refresh_from_db()
    assert (plan.customer, plan.user, plan.checkout_name) == (change.new_payer, None, "A Grandmother")
    assert (change.state, change.former_payer, change.agreement) == (State.IN_FORCE, former, plan.agreement)
    assert plan.version > version
    agreement = plan.agreement
    assert agreement is not None
    assert (agreement.kind, agreement.checkout, agreement.ip_address) == ("payer", settled, "192.0.2.1")
    assert [line["count"] for line in agreement.lines] == [2, 3, 4]
    assert "£26.66" in agreement.text
    new = agreement.saved_card
    assert new is not None
    assert old is not None
    assert new.customer == change.new_payer
    assert new.stripe_customer_id != old.stripe_customer_id
    make_due(plan, 3)
    runs.process_payments(workers=1)
    charges = Checkout.objects.filter(action="charge").order_by("pk")
    assert [each.payment_method_id for each in charges] == [old.payment_method_id, *[new.payment_method_id] * 3]
    assert emulator.ledger.taken_minor() == 10_000
    writing.write_waiting()
    assert letters_of("payer_changed") == ["grandmother@example.com"]
    assert letters_of("payer_released") == ["member@example.com"]
    assert set(letters_of("instalment_paid") + letters_of("plan_finished")) == {"grandmother@example.com"}
    stale.end_setups()
    old.refresh_from_db()
    assert old.detached_at is not None


def test_the_links_of_whoever_paid_before_are_dead(emulator: Emulator, plan: ObjectPaymentPlan) -> None:
    line = plan.payments.get(count=2)
    before = [(links.make_token(row), row) for row in (plan, line)]
    change = propose(plan)
    asked = links.make_token(change)
    assert links.is_current(asked, change)
    takes_over(emulator, change)
    for token, row in [*before, (asked, change)]:
        fresh = type(row).objects.get(pk=row.pk)
        assert not links.is_current(token, fresh)


def test_the_letter_to_whoever_paid_before_holds_no_link(emulator: Emulator, plan: ObjectPaymentPlan) -> None:
    takes_over(emulator, propose(plan))
    writing.write_waiting()
    told = Email.objects.filter(to="member@example.com").latest("pk")
    assert "Hello A Member" in told.message
    assert "http" not in told.message


@pytest.mark.parametrize(
    "more", [{"email": "MEMBER@example.com"}, {"email": "nobody"}, {"name": " "}, {"on_paper": True}]
)
def test_what_cannot_be_is_refused_with_a_sentence(plan: ObjectPaymentPlan, more: dict[str, Any]) -> None:
    with pytest.raises(errors.PlanError):
        propose(plan, **more)
    assert not PlanChange.objects.exists()


def test_a_plan_that_is_stopped_paid_or_not_begun_is_not_taken_over(
    emulator: Emulator, plan: ObjectPaymentPlan, save_plan: SavePlan
) -> None:
    not_begun = save_plan("4000000000000341", email="other@example.com")
    make_due(plan, 3)
    runs.process_payments(workers=1)
    for each in (not_begun, plan):
        with pytest.raises(errors.PlanError):
            propose(each)


def test_nobody_agrees_for_the_new_payer(plan: ObjectPaymentPlan) -> None:
    change = propose(plan)
    with pytest.raises(errors.PlanError, match="card of their own"):
        plan_changes.agree(change)
    with pytest.raises(errors.AttemptInProgress):
        plan.propose_change("pause", "and a pause", months=1)


def test_what_is_withdrawn_while_the_payer_is_at_the_bank_is_not_taken_over(
    emulator: Emulator, plan: ObjectPaymentPlan, staff: Any
) -> None:
    change = propose(plan, staff)
    begun = begin(change)
    enter_card(emulator, begun, "5555555555554444")
    PlanChange.objects.filter(pk=change.pk).update(state=State.WITHDRAWN)
    settled = fulfillment.fulfill(begun)
    assert (settled.state_id, settled.failure_code) == (states.FAIL, "take_over_ended")
    plan.refresh_from_db()
    assert plan.customer.email == "member@example.com"  # type: ignore[union-attr]
    assert SavedCard.objects.get(customer=change.new_payer).replaced


def test_what_is_withdrawn_ends_its_card_form(emulator: Emulator, plan: ObjectPaymentPlan, staff: Any) -> None:
    change = propose(plan, staff)
    begun = begin(change)
    change.withdraw(staff, "a mistake")
    begun.refresh_from_db()
    assert (begun.failed, begun.superseded) == (True, True)
    with pytest.raises(errors.CannotPay):
        begin(PlanChange.objects.get(pk=change.pk))


def test_more_than_was_agreed_is_not_taken_over_and_can_be_agreed_anew(
    emulator: Emulator, plan: ObjectPaymentPlan
) -> None:
    line = plan.payments.get(count=2)
    part = by_hand.part_paid(line, Decimal(6), None, "cash")
    change = propose(plan)
    begun = begin(change)
    enter_card(emulator, begun, "5555555555554444")
    by_hand.undo(part.postings.get(), None, "a slip")
    assert fulfillment.fulfill(begun).failure_code == "plan_is_another"
    change.refresh_from_db()
    assert change.waits
    assert takes_over(emulator, change).succeeded


def test_less_than_was_agreed_is_taken_over(emulator: Emulator, plan: ObjectPaymentPlan) -> None:
    change = propose(plan)
    begun = begin(change)
    by_hand.part_paid(plan.payments.get(count=2), Decimal(6), None, "cash")
    by_staff.change_due(plan.payments.get(count=4), plan.payments.get(count=4).due + timedelta(days=9), None, "later")
    enter_card(emulator, begun, "5555555555554444")
    assert fulfillment.fulfill(begun).succeeded


def test_what_was_declined_or_waits_for_a_bank_is_taken_from_the_new_card_at_once(
    emulator: Emulator, plan: ObjectPaymentPlan
) -> None:
    assert plan.card is not None
    for code in ("insufficient_funds", "authentication_required"):
        emulator.bank.decline_next(plan.card.payment_method_id, code)
        make_due(plan)
        runs.process_payments(workers=1)
    assert [each.state_id for each in plan.payments] == [states.SUCCESS, states.FAIL, states.PAY_ON_SESSION, "pending"]
    page = on_session.create_checkout_pay_on_session(plan.payments.get(count=3))
    takes_over(emulator, propose(plan))
    assert [each.state_id for each in plan.payments] == [*[states.SUCCESS] * 3, "pending"]
    page.refresh_from_db()
    assert page.failed
    assert emulator.ledger.taken_minor() == 2000 + 2666 + 2667


def test_a_page_of_whoever_paid_before_that_was_left_open_is_ended_by_the_sweep(
    emulator: Emulator, plan: ObjectPaymentPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    [line] = make_due(plan)
    page = on_session.create_checkout_pay_on_session(line)
    with monkeypatch.context() as killed:
        killed.setattr(take_overs, "take_what_waits", lambda plan: None)
        takes_over(emulator, propose(plan))
    page.refresh_from_db()
    assert page.is_open
    assert stale.end_payments().closed == 1
    page.refresh_from_db()
    assert page.failed
    runs.process_payments(workers=1)
    line.refresh_from_db()
    assert line.state_id == states.SUCCESS


@pytest.mark.parametrize(("known_as", "afterwards"), [("", "A Grandmother"), ("Granny", "Granny")])
def test_whoever_is_known_already_keeps_their_name_and_gets_one_if_they_had_none(
    plan: ObjectPaymentPlan, known_as: str, afterwards: str
) -> None:
    known = Customer.objects.create(email="grandmother@example.com", name=known_as)
    change = propose(plan)
    known.refresh_from_db()
    assert (change.new_payer, known.name) == (known, afterwards)


def test_a_page_that_stripe_does_not_end_now_holds_up_nothing_and_is_ended_by_the_sweep(
    emulator: Emulator, plan: ObjectPaymentPlan
) -> None:
    assert plan.card is not None
    emulator.bank.decline_next(plan.card.payment_method_id, "authentication_required")
    [line] = make_due(plan)
    runs.process_payments(workers=1)
    page = on_session.create_checkout_pay_on_session(line)
    emulator.weather.add(faults.LostBefore(), path=r"/cancel$", times=None)
    assert takes_over(emulator, propose(plan)).succeeded
    assert stale.end_payments().closed == 0
    page.refresh_from_db()
    assert page.is_open
    emulator.weather.clear()
    assert stale.end_payments().closed == 1
    runs.process_payments(workers=1)
    line.refresh_from_db()
    assert line.state_id == states.SUCCESS
    assert emulator.ledger.taken_minor() == 2000 + 2666


def test_the_new_payer_never_goes_on_with_a_page_of_the_former_one(
    emulator: Emulator, plan: ObjectPaymentPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    [line] = make_due(plan)
    page = on_session.create_checkout_pay_on_session(line)
    monkeypatch.setattr(take_overs, "take_what_waits", lambda plan: None)
    takes_over(emulator, propose(plan))
    begun = on_session.create_checkout_pay_on_session(line)
    assert begun.pk != page.pk
    assert begun.customer == Customer.objects.get(email="grandmother@example.com")


def test_a_late_card_of_the_former_payer_is_let_go(emulator: Emulator, plan: ObjectPaymentPlan) -> None:
    late = Checkout.objects.create_checkout("card_refresh", plan, None)
    takes_over(emulator, propose(plan))
    with time_machine.travel(clock.now() + timedelta(minutes=5)):
        enter_card(emulator, late, "4242424242424242")
        settled = fulfillment.fulfill(late)
    assert settled.failure_code == "payer_is_another"
    plan.refresh_from_db()
    assert plan.card is not None
    assert plan.card.last4 == "4444"


def test_what_was_paid_before_stays_with_whoever_paid_it(emulator: Emulator, plan: ObjectPaymentPlan) -> None:
    deposit = Checkout.objects.success().taking_money().get()
    takes_over(emulator, propose(plan))
    writing.write_waiting()
    refunds.refund(deposit, Decimal(5), reason="requested_by_customer")
    writing.write_waiting()
    assert letters_of("payment_refunded") == ["member@example.com"]
    assert "Hello A Member" in Email.objects.latest("pk").message
    deposit.refresh_from_db()
    assert deposit.payer == "A Member <member@example.com>"


def test_the_login_of_the_new_payer_opens_the_plan_and_that_of_the_former_one_does_not(
    emulator: Emulator, plan: ObjectPaymentPlan, django_user_model: Any
) -> None:
    former = django_user_model.objects.create_user("member", "member@example.com", "secret")
    other = django_user_model.objects.create_user("grandmother", "grandmother@example.com", "secret")
    ObjectPaymentPlan.objects.filter(pk=plan.pk).update(user=former)
    plan.refresh_from_db()
    assert (payers.is_payer(former, plan), payers.is_payer(other, plan)) == (True, False)
    takes_over(emulator, propose(plan))
    plan.refresh_from_db()
    assert (payers.is_payer(former, plan), payers.is_payer(other, plan)) == (False, True)
    assert payers.outstanding_plans_of(former) == []


def test_customers_that_are_merged_take_their_changes_with_them(emulator: Emulator, plan: ObjectPaymentPlan) -> None:
    change = propose(plan)
    other = Customer.objects.create(email="gran@example.org", name="Gran")
    assert change.new_payer is not None
    people.merge(change.new_payer, other, None, "the same person")
    change.refresh_from_db()
    assert change.new_payer == other
    assert takes_over(emulator, change).succeeded
    assert change.plan.customer == other


def test_a_corrected_address_ends_the_link_and_the_card_form(emulator: Emulator, plan: ObjectPaymentPlan) -> None:
    change = propose(plan)
    token, begun = links.make_token(change), begin(change)
    assert change.new_payer is not None
    people.correct(change.new_payer, "A Grandmother", "granny@example.com", None, "a typing error")
    assert not links.is_current(token, PlanChange.objects.get(pk=change.pk))
    begun.refresh_from_db()
    assert begun.failed


def test_a_run_that_looked_before_asks_nothing_of_the_old_card(
    emulator: Emulator, plan: ObjectPaymentPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_due(plan)
    begun = begin(propose(plan))
    enter_card(emulator, begun, "5555555555554444")
    real = runs.debts.open_lines

    def meanwhile(lines: Any) -> None:
        """Between the look of the run and its claim."""
        monkeypatch.setattr(runs.debts, "open_lines", real)
        real(lines)
        assert fulfillment.fulfill(begun).succeeded

    monkeypatch.setattr(runs.debts, "open_lines", meanwhile)
    runs.process_payments(workers=1)
    assert emulator.ledger.taken_minor() == 2000
    runs.process_payments(workers=1)
    assert emulator.ledger.taken_minor() == 4666
    plan.refresh_from_db()
    charge = Checkout.objects.filter(action="charge").latest("pk")
    assert plan.card is not None
    assert charge.payment_method_id == plan.card.payment_method_id


def test_a_letter_that_asked_the_former_payer_is_not_sent_again(emulator: Emulator, plan: ObjectPaymentPlan) -> None:
    by_staff.ask_payer(plan.payments.get(count=2), None)
    asked = Notice.objects.latest("pk")
    takes_over(emulator, propose(plan))
    with pytest.raises(errors.CannotPay, match="Somebody else pays"):
        office.send_again(Notice.objects.get(pk=asked.pk), None)


def test_a_change_of_the_payer_names_one(plan: ObjectPaymentPlan) -> None:
    change = propose(plan)
    with pytest.raises(IntegrityError), transaction.atomic():
        PlanChange.objects.filter(pk=change.pk).update(new_payer=None)
    assert Agreement.objects.count() == 1


def test_a_bank_hears_nothing_of_whoever_else_has_paid(emulator: Emulator, plan: ObjectPaymentPlan, staff: Any) -> None:
    writing.write_waiting()
    takes_over(emulator, propose(plan, staff))
    plan.refresh_from_db()
    make_due(plan)
    runs.process_payments(workers=1)
    writing.write_waiting()
    told = {}
    for count, name in ((1, "former"), (2, "new")):
        paid = Checkout.objects.for_content_object(plan.payments.get(count=count)).success().get()
        theirs = emulator.bank.dispute(paid.payment_intent_id)
        texts = disputes.evidence_texts(disputes.dispute_updated_at_stripe(theirs["id"]))
        told[name] = "\n".join(text for title, text in texts if title.startswith(("4-", "5-")))
        assert any(title.startswith("5-mail") for title, _text in texts)
    assert "grandmother@example.com" not in told["former"]
    assert "member@example.com" not in told["new"]
    assert "I pay what is left of this payment plan from now on" in told["new"]
    assert "I pay what is left of this payment plan from now on" not in told["former"]


def test_each_payer_has_their_own_part_on_their_page_and_statement(
    emulator: Emulator, plan: ObjectPaymentPlan, staff: Any
) -> None:
    former = plan.customer
    assert former is not None
    by_hand.part_paid(plan.payments.get(count=2), Decimal(6), staff, "in cash")
    change = propose(plan, staff)
    takes_over(emulator, change)
    plan.refresh_from_db()
    make_due(plan)
    runs.process_payments(workers=1)
    refunds.refund(Checkout.objects.for_content_object(plan.payments.get(count=1)).success().get(), Decimal(5))
    new = change.new_payer
    assert new is not None
    seen = {}
    for customer in (former, new):
        account = accounts.account(customer)
        [entry] = account.plans
        moved = [posting.amount for posting, row in accounts.movements(account) if row == plan]
        assert sum(moved) == entry.paid
        assert entry.agreed == entry.paid + entry.left
        seen[customer] = (entry.paid, entry.back, entry.left, sorted(moved))
    assert seen[former] == (Decimal(21), Decimal(5), Decimal(0), [Decimal(-5), Decimal(6), Decimal(20)])
    assert seen[new] == (Decimal("20.66"), Decimal(0), Decimal("53.34"), [Decimal("20.66")])


def test_what_the_former_payer_promised_does_not_hold_for_the_new_one(
    emulator: Emulator, plan: ObjectPaymentPlan, staff: Any
) -> None:
    [line] = make_due(plan)
    plan.instalments.filter(pk=line.pk).update(state=states.FAIL)
    plan.pay_day = 28
    plan.save(update_fields=["pay_day"])
    line.refresh_from_db()
    promises.promise(line, clock.today() + timedelta(days=20), staff)
    takes_over(emulator, propose(plan, staff), "4000000000000341")
    line.refresh_from_db()
    plan.refresh_from_db()
    assert (line.state_id, plan.pay_day, promises.is_held(line)) == (states.FAIL, None, False)
    writing.write_waiting()
    assert letters_of("instalment_declined") == ["grandmother@example.com"]
