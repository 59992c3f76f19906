"""What banks say afterwards is kept, told once, and stops the plan while it is open."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.core.management import call_command
from django.db import connection
from django.utils import translation
from post_office.models import Email

from checkout import errors, links, states
from checkout.gateway import gateway
from checkout.models import Checkout, Dispute, ObjectPaymentPlan, ObjectPaymentPlanInstalment, Posting, StateChange
from checkout.services import charging, disputes, fulfillment, plans, requests, runs
from checkout.services.agreements import AgreementTerms
from stripe_emulator import Emulator, faults
from tests.host.models import Membership
from tests.services.conftest import SavePlan, make_due

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def office(settings: Any) -> None:
    settings.CHECKOUT_NOTIFY_EMAILS = ["office@example.com"]


def deposit_of(plan: ObjectPaymentPlan) -> Checkout:
    return Checkout.objects.for_content_object(plans.deposit_of(plan)).success().get()


def mails() -> list[str]:
    return list(Email.objects.filter(subject__contains="ispute").order_by("pk").values_list("message", flat=True))


def test_a_dispute_is_kept_told_once_with_its_date_and_pauses_the_plan(emulator: Emulator, save_plan: SavePlan) -> None:
    plan = save_plan()
    make_due(plan)
    theirs = emulator.bank.dispute(deposit_of(plan).payment_intent_id)
    for _ in range(2):
        dispute = disputes.dispute_updated_at_stripe(theirs["id"])
    assert (dispute.kind, dispute.is_open, dispute.amount) == ("dispute", True, Decimal(20))
    assert dispute.due_by is not None
    [mail] = mails()
    assert f"{dispute.due_by:%B %Y}" in mail
    plan.refresh_from_db()
    assert plan.paused
    assert not ObjectPaymentPlanInstalment.objects.due.exists()
    assert runs.counts(ObjectPaymentPlanInstalment.objects.process_payments()) == {}
    assert StateChange.objects.filter(object_payment_plan=plan, to_state="paused").count() == 1


def test_a_dispute_is_posted_on_the_day_of_the_sites_own_wall(emulator: Emulator, settings: Any) -> None:
    settings.TIME_ZONE = "Pacific/Auckland"
    with time_machine.travel(datetime(2027, 1, 31, 20, tzinfo=UTC), tick=False):
        emulator.tick()
        checkout = Checkout.objects.create_checkout("payment", Membership.objects.create())
        emulator.pay(gateway().retrieve_payment_intent(checkout.payment_intent_id).client_secret)
        fulfillment.fulfill(checkout)
        disputes.dispute_updated_at_stripe(emulator.bank.dispute(checkout.payment_intent_id)["id"])
    assert Posting.objects.get(kind="disputed").day == date(2027, 2, 1)


def test_a_claim_that_began_before_the_dispute_is_refused(emulator: Emulator, save_plan: SavePlan) -> None:
    plan = save_plan()
    [line] = make_due(plan)
    disputes.dispute_updated_at_stripe(emulator.bank.dispute(deposit_of(plan).payment_intent_id)["id"])
    with pytest.raises(errors.CheckoutError, match="disputes"):
        charging.charge(line)
    line.refresh_from_db()
    assert line.state_id == states.PENDING


def test_a_won_dispute_lets_the_plan_go_on(emulator: Emulator, save_plan: SavePlan) -> None:
    plan = save_plan()
    make_due(plan)
    theirs = emulator.bank.dispute(deposit_of(plan).payment_intent_id)
    disputes.dispute_updated_at_stripe(theirs["id"])
    emulator.bank.decide_dispute(theirs["id"], "won")
    assert not disputes.dispute_updated_at_stripe(theirs["id"]).is_open
    plan.refresh_from_db()
    assert not plan.paused
    assert runs.counts(ObjectPaymentPlanInstalment.objects.process_payments()) == {"charged": 1}
    assert len(mails()) == 2


def test_a_dispute_that_opens_while_another_is_won_pauses_the_plan(emulator: Emulator, save_plan: SavePlan) -> None:
    plan = save_plan()
    [line] = make_due(plan)
    second = charging.charge(line)
    former = disputes.dispute_updated_at_stripe(emulator.bank.dispute(deposit_of(plan).payment_intent_id)["id"])
    theirs = emulator.bank.dispute(second.payment_intent_id)
    won: list[str] = []

    def meanwhile(execute: Any, sql: str, *more: Any) -> Any:
        """The plan was read, and stands still; then whoever writes down the other dispute commits."""
        answer = execute(sql, *more)
        if 'FROM "checkout_objectpaymentplan"' in sql and not won:
            won.append(sql)
            Dispute.objects.filter(pk=former.pk).update(status="won", is_open=False)
            ObjectPaymentPlan.objects.filter(pk=plan.pk).update(paused=False)
        return answer

    with connection.execute_wrapper(meanwhile):
        disputes.dispute_updated_at_stripe(theirs["id"])
    plan.refresh_from_db()
    assert (bool(won), plan.paused) == (True, True)


def test_a_lost_dispute_waits_for_staff(emulator: Emulator, save_plan: SavePlan, staff: Any) -> None:
    plan = save_plan()
    theirs = emulator.bank.dispute(deposit_of(plan).payment_intent_id)
    disputes.dispute_updated_at_stripe(theirs["id"])
    with pytest.raises(errors.PlanError):
        disputes.resume(plan, staff, "too early")
    emulator.bank.decide_dispute(theirs["id"], "lost")
    disputes.dispute_updated_at_stripe(theirs["id"])
    plan.refresh_from_db()
    assert plan.paused
    disputes.resume(plan, staff, "spoke to her")
    disputes.dispute_updated_at_stripe(theirs["id"])
    plan.refresh_from_db()
    assert not plan.paused
    assert StateChange.objects.filter(object_payment_plan=plan, user=staff, note="spoke to her").exists()


def test_a_site_may_go_on_charging(emulator: Emulator, save_plan: SavePlan, settings: Any) -> None:
    settings.CHECKOUT_PAUSE_DISPUTED_PLANS = False
    plan = save_plan()
    disputes.dispute_updated_at_stripe(emulator.bank.dispute(deposit_of(plan).payment_intent_id)["id"])
    plan.refresh_from_db()
    assert not plan.paused


def test_no_link_to_the_payers_pages_is_in_the_bundle(emulator: Emulator, save_plan: SavePlan) -> None:
    call_command("init_app_checkout", verbosity=0)
    plan = save_plan(name="Ada Example", email="ada@example.com")
    call_command("send_letters", verbosity=0)
    theirs = emulator.bank.dispute(deposit_of(plan).payment_intent_id)
    bundle = dict(disputes.evidence_texts(disputes.dispute_updated_at_stripe(theirs["id"])))
    letter, sent = bundle["5-mail-01"], Email.objects.get(to="ada@example.com")
    tokens = links.TOKEN.findall(sent.message)
    assert tokens
    assert not any(token in text for token in tokens for text in bundle.values())
    # The bank still sees that there was one, and everything else that was written.
    assert f"{links.base_url()}/checkout/plan/…/" in letter
    assert sent.subject in letter


@pytest.mark.parametrize("kind", ["plan", "line", "request", "attempt", "invoice"])
def test_whatever_a_link_opens_it_can_be_taken_out_of_a_text(save_plan: SavePlan, kind: str) -> None:
    plan = save_plan()
    path = {
        "plan": links.plan_page(plan),
        "line": links.payment_link(plan.payments[1]),
        "request": links.absolute(
            "checkout.request.pay",
            links.make_token(requests.create(email="a@example.com", name="A", description="B", total=Decimal(25))),
        ),
        "attempt": links.receipt(deposit_of(plan)),
        "invoice": links.invoice_form(plan.content_object),
    }[kind]
    text = f"See {path}. It is for v1.2.3 and www.example.com/a.b.c alone."
    shown = links.without_tokens(text)
    assert shown.count("…") == 1
    assert len(shown) < len(text) - 60
    assert shown.endswith("It is for v1.2.3 and www.example.com/a.b.c alone.")


def test_an_inquiry_is_told_as_one(emulator: Emulator, save_plan: SavePlan) -> None:
    plan = save_plan()
    theirs = emulator.bank.dispute(deposit_of(plan).payment_intent_id, inquiry=True)
    assert disputes.dispute_updated_at_stripe(theirs["id"]).kind == Dispute.Kind.INQUIRY


def test_an_early_fraud_warning_is_kept_and_told_and_pauses_nothing(emulator: Emulator, membership: Membership) -> None:
    checkout = Checkout.objects.create_checkout("payment", membership)
    secret = gateway().retrieve_payment_intent(checkout.payment_intent_id).client_secret
    emulator.pay(secret, number="4000000000005423")
    fulfillment.fulfill(checkout)
    emulator.clock.advance(days=1)
    emulator.tick()
    [warning] = emulator.world.tables["radar.early_fraud_warning"].newest_first({})
    dispute = disputes.early_fraud_warning(warning)
    assert (dispute.kind, dispute.checkout_id, dispute.is_open) == ("fraud_warning", checkout.pk, True)
    assert "no fee" in Email.objects.get(subject__startswith="Early fraud").message


def test_a_dispute_about_somebody_elses_payment_is_told_too(emulator: Emulator, membership: Membership) -> None:
    checkout = Checkout.objects.create_checkout("payment", membership)
    emulator.pay(gateway().retrieve_payment_intent(checkout.payment_intent_id).client_secret)
    theirs = emulator.bank.dispute(checkout.payment_intent_id)
    Checkout.objects.filter(pk=checkout.pk).update(payment_intent_id="pi_other")
    assert disputes.dispute_updated_at_stripe(theirs["id"]).checkout is None


def test_the_bundle_holds_agreement_mails_authentication_and_receipt(
    emulator: Emulator, membership: Membership, payment_plan: Any
) -> None:
    terms = AgreementTerms("You may charge my card.", "7", Decimal(100), "GBP", [], "192.0.2.1", "Browser 1")
    setup = Checkout.objects.create_checkout(
        "payment_plan", membership, None, payment_plan=payment_plan, agreement=terms
    )
    emulator.pay(gateway().retrieve_setup_intent(setup.setup_intent_id).client_secret)
    fulfillment.fulfill(setup)
    plan = ObjectPaymentPlan.objects.get()
    theirs = emulator.bank.dispute(deposit_of(plan).payment_intent_id)
    dispute = disputes.dispute_updated_at_stripe(theirs["id"])
    bundle = zipfile.ZipFile(io.BytesIO(disputes.evidence(dispute)))
    text = "\n".join(bundle.read(name).decode() for name in bundle.namelist())
    assert [name.split("-")[0] for name in bundle.namelist()] == ["1", "2", "3", "4", "6"]
    for expected in (
        "You may charge my card.",
        "192.0.2.1",
        "3-D Secure",
        "Charge: ch_",
        "Receipt: http",
        "Card: visa 4242",
    ):
        assert expected in text
    assert "_secret_" not in text
    with translation.override("de"):
        german = zipfile.ZipFile(io.BytesIO(disputes.evidence(dispute)))
    for history in (bundle.read(bundle.namelist()[-1]), german.read(german.namelist()[-1])):
        assert f"Dispute {dispute.dispute_id} is open" in history.decode()


def test_a_bundle_that_stripe_adds_nothing_to_says_so_and_holds_the_rest(
    emulator: Emulator, membership: Membership
) -> None:
    checkout = Checkout.objects.create_checkout("payment", membership)
    emulator.pay(gateway().retrieve_payment_intent(checkout.payment_intent_id).client_secret)
    fulfillment.fulfill(checkout)
    theirs = emulator.bank.dispute(checkout.payment_intent_id)
    dispute = disputes.dispute_updated_at_stripe(theirs["id"])
    emulator.weather.add(faults.LostBefore(), times=None)
    texts = dict(disputes.evidence_texts(dispute))
    assert "Stripe could not be asked" in texts["3-authentication-and-receipt"]
    assert "100.00 GBP" in texts["2-payment"]
    assert "6-history" in texts
