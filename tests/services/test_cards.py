"""The card that is charged while its owner is away: refreshed, running out, replaced by the bank, gone."""

from __future__ import annotations

import csv
import datetime
import io
import re
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from dateutil.relativedelta import relativedelta
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.utils import formats, translation
from post_office.models import Email, EmailTemplate

from checkout import clock, errors, links, states, tasks
from checkout.gateway import gateway
from checkout.models import (
    Agreement,
    Checkout,
    Customer,
    Notice,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    PaymentPlan,
    SavedCard,
    StripeCustomer,
)
from checkout.services import (
    by_hand,
    card_expiry,
    cards,
    charging,
    fulfillment,
    intents,
    on_session,
    plan_cards,
    runs,
    stale,
)
from stripe_emulator import Emulator, faults
from tests.host.models import Membership
from tests.services.conftest import SavePlan, enter_card, letters_installed, make_due

pytestmark = pytest.mark.django_db

ALWAYS_FAILS = "4000000000000341"


def letters() -> Any:
    """The mails that this is about; the confirmation of the plan is another."""
    return Email.objects.filter(
        template__name__in=[Customer.MAIL_TEMPLATE_CARD_EXPIRY, Customer.MAIL_TEMPLATE_CARD_REFRESH_REQUEST]
    )


def notes() -> Any:
    return Notice.objects.filter(
        template__in=[Customer.MAIL_TEMPLATE_CARD_EXPIRY, Customer.MAIL_TEMPLATE_CARD_REFRESH_REQUEST]
    )


@pytest.fixture(autouse=True)
def mail_templates(db: None) -> None:
    letters_installed()


@pytest.fixture
def plan(save_plan: SavePlan) -> ObjectPaymentPlan:
    return save_plan()


def the_customer(plan: ObjectPaymentPlan) -> Customer:
    assert plan.customer is not None
    plan.customer.refresh_from_db()
    return plan.customer


def the_card(plan: ObjectPaymentPlan) -> SavedCard:
    """The card that the plan's agreement names, whether it is still good or not."""
    agreement = ObjectPaymentPlan.objects.get(pk=plan.pk).agreement
    assert agreement is not None
    assert agreement.saved_card is not None
    return agreement.saved_card


def bank_sends_card(emulator: Emulator, card: SavedCard, months: int, last4: str | None = None) -> None:
    day = clock.today() + relativedelta(months=months)
    emulator.bank.replace_card(card.payment_method_id, day.month, day.year, last4)


def reads(emulator: Emulator) -> int:
    return sum(entry.path.startswith("/v1/payment_methods/") for entry in emulator.requests if entry.method == "GET")


def refresh(
    emulator: Emulator, plan: ObjectPaymentPlan, number: str = "4242424242424242", user: Any = None
) -> Checkout:
    checkout = Checkout.objects.create_checkout("card_refresh", plan, user)
    enter_card(emulator, checkout, number)
    return fulfillment.fulfill(checkout)


# -- refresh --------------------------------------------------------------------------------------------


def test_a_refresh_stores_the_card_clears_the_flag_and_detaches_the_old_one(
    emulator: Emulator, plan: ObjectPaymentPlan
) -> None:
    old = the_card(plan)
    SavedCard.objects.update(refresh=True)
    assert refresh(emulator, plan, "5555555555554444").succeeded
    card = the_card(plan)
    assert (card.brand, card.last4, card.refresh, the_customer(plan).refresh) == ("mastercard", "4444", False, False)
    assert gateway().retrieve_payment_method(old.payment_method_id).customer_id == ""
    assert gateway().retrieve_payment_method(card.payment_method_id).customer_id == card.stripe_customer_id


def test_the_old_card_stays_where_the_site_wants_it(emulator: Emulator, plan: ObjectPaymentPlan, settings: Any) -> None:
    settings.CHECKOUT_DETACH_OLD_CARDS = False
    old = the_card(plan)
    refresh(emulator, plan)
    assert gateway().retrieve_payment_method(old.payment_method_id).customer_id == old.stripe_customer_id


def test_a_refresh_that_fails_leaves_the_old_card_in_use(emulator: Emulator, plan: ObjectPaymentPlan) -> None:
    old = the_card(plan).payment_method_id
    assert refresh(emulator, plan, "4000000000000002").state_id == states.PENDING
    assert the_card(plan).payment_method_id == old


def test_an_instalment_that_failed_is_paid_with_the_new_card(emulator: Emulator, save_plan: SavePlan) -> None:
    plan = save_plan()
    old = the_card(plan).payment_method_id
    emulator.bank.decline_next(old, "expired_card")
    (line,) = make_due(plan)
    runs.process_payments(workers=1)
    line.refresh_from_db()
    assert line.state_id == states.FAIL
    refresh(emulator, plan)
    line.refresh_from_db()
    assert line.state_id == states.SUCCESS
    assert emulator.ledger.taken_minor() == 2000 + 2666


def test_a_plan_without_anything_left_to_pay_takes_no_new_card(plan: ObjectPaymentPlan) -> None:
    from checkout.services import plans

    plans.stop(plan)
    with pytest.raises(errors.CannotPay):
        Checkout.objects.create_checkout("card_refresh", plan)


# -- cards of the old system ----------------------------------------------------------------------------


def test_a_card_of_the_old_system_is_charged_until_it_is_refreshed(emulator: Emulator, plan: ObjectPaymentPlan) -> None:
    legacy = emulator.bank.add_legacy_card(the_card(plan).stripe_customer_id, "4000056655665556")
    SavedCard.objects.update(payment_method_id=legacy, brand="", last4="", expiry_date=None)
    assert legacy.startswith("card_")
    (first,) = make_due(plan)
    runs.process_payments(workers=1)
    first.refresh_from_db()
    assert first.state_id == states.SUCCESS
    assert Checkout.objects.for_content_object(first).get().payment_method_id == legacy
    # Its expiry is read like any other's.
    assert card_expiry.refresh_card_expiry_dates().read == 1
    assert the_card(plan).last4 == "5556"
    refresh(emulator, plan)
    card = the_card(plan)
    assert card.payment_method_id.startswith("pm_")
    (second,) = make_due(plan)
    runs.process_payments(workers=1)
    second.refresh_from_db()
    assert second.state_id == states.SUCCESS
    assert Checkout.objects.for_content_object(second).get().payment_method_id == card.payment_method_id


# -- expiry ---------------------------------------------------------------------------------------------


def test_a_card_that_runs_out_is_flagged_and_its_payer_told_once(
    emulator: Emulator, plan: ObjectPaymentPlan, settings: Any
) -> None:
    bank_sends_card(emulator, the_card(plan), months=0)
    done = ObjectPaymentPlan.objects.refresh_card_expiry_dates()
    assert (done.read, done.flagged, done.mailed, done.errors) == (1, 1, 1, 0)
    customer = the_customer(plan)
    assert customer.refresh
    assert customer.is_expiring
    assert list(Customer.objects.refresh) == [customer]
    assert Customer.objects.refresh_credit_card("MEMBER@example.com")
    for days in (1, 2, 3):
        with time_machine.travel(clock.now() + datetime.timedelta(days=days)):
            assert card_expiry.refresh_card_expiry_dates().mailed == 0
    letter = letters().get()
    assert letter.template.name == Customer.MAIL_TEMPLATE_CARD_EXPIRY
    assert "Visa ending in 4242" in letter.message
    assert "Membership, One year" in letter.message
    # This payer has no login, so the page that wants one is not named.
    assert "card-refresh" not in letter.message
    assert settings.CHECKOUT_CONTACT_TEXT in letter.message


@pytest.mark.parametrize("has_login", [True, False])
def test_whoever_has_a_login_or_none_is_led_to_the_page(
    emulator: Emulator, plan: ObjectPaymentPlan, settings: Any, has_login: bool
) -> None:
    if has_login:
        get_user_model().objects.create_user("member", "member@example.com", "secret")
    bank_sends_card(emulator, the_card(plan), months=0)
    card_expiry.refresh_card_expiry_dates()
    assert f"{settings.CHECKOUT_BASE_URL}/checkout/plan/" in letters().get().message


def test_a_card_that_is_good_for_long_is_left_alone(emulator: Emulator, plan: ObjectPaymentPlan) -> None:
    done = card_expiry.refresh_card_expiry_dates()
    assert (done.read, done.flagged, done.mailed) == (1, 0, 0)
    assert not letters().exists()


def test_one_call_for_a_customer_and_none_twice_a_day(
    emulator: Emulator, plan: ObjectPaymentPlan, save_plan: SavePlan
) -> None:
    # The site has asked its payer whether the same card may be charged for a second plan.
    other = Membership.objects.create(total=Decimal(200))
    ObjectPaymentPlan.objects.create_object_payment_plan(
        other, plan.payment_plan, Decimal(200), saved_card=the_card(plan)
    )
    card_expiry.refresh_card_expiry_dates()
    card_expiry.refresh_card_expiry_dates()
    assert reads(emulator) == 1
    with time_machine.travel(clock.now() + datetime.timedelta(hours=21)):
        card_expiry.refresh_card_expiry_dates()
    assert reads(emulator) == 2


def test_cards_that_are_as_they_were_cost_no_statement_each(
    emulator: Emulator, plan: ObjectPaymentPlan, save_plan: SavePlan, count_queries: Any
) -> None:
    one = count_queries(card_expiry.refresh_card_expiry_dates)
    for number in range(4):
        save_plan(email=f"payer{number}@example.com")
    with time_machine.travel(clock.now() + datetime.timedelta(days=1)):
        assert count_queries(card_expiry.refresh_card_expiry_dates) == one
        assert reads(emulator) == 1 + 5
        assert SavedCard.objects.filter(read_at__lt=clock.now() - datetime.timedelta(minutes=5)).count() == 0


def test_what_was_read_before_the_key_was_refused_is_not_read_again(
    emulator: Emulator, plan: ObjectPaymentPlan, save_plan: SavePlan, settings: Any
) -> None:
    save_plan(email="other@example.com")
    SavedCard.objects.update(read_at=None)
    newest = SavedCard.objects.latest("pk")
    settings.CHECKOUT_WORKERS = 1
    emulator.weather.add(faults.Status(401), path=f"/v1/payment_methods/{newest.payment_method_id}")
    with pytest.raises(errors.KeyRefused):
        card_expiry.refresh_card_expiry_dates()
    assert SavedCard.objects.filter(read_at=None).count() == 1


def test_a_card_whose_plan_is_paid_or_stopped_is_not_read(emulator: Emulator, plan: ObjectPaymentPlan) -> None:
    from checkout.services import plans

    plans.stop(plan)
    assert card_expiry.refresh_card_expiry_dates().read == 0
    assert reads(emulator) == 0


def test_a_new_card_that_runs_out_later_is_a_new_cause(emulator: Emulator, plan: ObjectPaymentPlan) -> None:
    bank_sends_card(emulator, the_card(plan), months=0)
    assert card_expiry.refresh_card_expiry_dates().mailed == 1
    with time_machine.travel(clock.now() + datetime.timedelta(days=2)):
        bank_sends_card(emulator, the_card(plan), months=0, last4="0005")
        assert card_expiry.refresh_card_expiry_dates().mailed == 1


def test_a_card_replaced_by_the_bank_is_taken_in_and_the_flag_cleared(
    emulator: Emulator, plan: ObjectPaymentPlan
) -> None:
    card = the_card(plan)
    bank_sends_card(emulator, card, months=0)
    card_expiry.refresh_card_expiry_dates()
    assert the_customer(plan).refresh
    bank_sends_card(emulator, card, months=40, last4="0005")
    assert cards.card_updated_at_stripe(card.payment_method_id) == card
    customer = the_customer(plan)
    assert (the_card(plan).last4, customer.refresh, customer.is_expiring) == ("0005", False, False)


def test_a_replacement_that_runs_out_as_well_stays_flagged(emulator: Emulator, plan: ObjectPaymentPlan) -> None:
    SavedCard.objects.update(refresh=True)
    bank_sends_card(emulator, the_card(plan), months=0)
    cards.card_updated_at_stripe(the_card(plan).payment_method_id)
    assert the_customer(plan).refresh


def test_a_card_that_is_not_ours_is_nobodys(emulator: Emulator) -> None:
    assert cards.card_updated_at_stripe("pm_somebody_elses") is None
    assert cards.card_updated_at_stripe("") is None
    assert len(emulator.requests) == 0


def test_reading_the_same_card_again_keeps_what_staff_asked_for(emulator: Emulator, plan: ObjectPaymentPlan) -> None:
    SavedCard.objects.update(refresh=True)
    card_expiry.refresh_card_expiry_dates()
    assert the_customer(plan).refresh


@pytest.mark.parametrize("language", ["en-gb", "de"])
def test_the_payer_of_a_card_that_was_taken_off_is_told_once_before_a_charge_fails(
    emulator: Emulator, plan: ObjectPaymentPlan, language: str
) -> None:
    Customer.objects.update(language=language)
    gateway().detach_payment_method(the_card(plan).payment_method_id)
    done = card_expiry.refresh_card_expiry_dates()
    assert (done.read, done.mailed, done.errors) == (1, 1, 0)
    assert the_customer(plan).refresh
    assert the_card(plan).gone
    assert not StripeCustomer.objects.get().gone
    with time_machine.travel(clock.now() + datetime.timedelta(days=1)):
        assert card_expiry.refresh_card_expiry_dates().mailed == 0
    letter = letters().get()
    subject, words = {
        "en-gb": ("Your card can no longer be charged", "Without a new card the next instalment cannot be taken."),
        "de": ("Ihre Karte kann nicht mehr belastet werden", "Ohne eine neue Karte kann die nächste Rate nicht"),
    }[language]
    assert letter.subject.startswith(subject)
    assert words in letter.message
    assert words in " ".join(letter.html_message.split())


def test_a_customer_deleted_at_stripe_is_flagged_and_can_give_a_new_card(
    emulator: Emulator, plan: ObjectPaymentPlan
) -> None:
    headers = {"Authorization": "Bearer sk_test_emulator"}
    emulator.handle("DELETE", f"/v1/customers/{the_card(plan).stripe_customer_id}", headers, b"")
    card_expiry.refresh_card_expiry_dates()
    customer = the_customer(plan)
    assert (customer.refresh, StripeCustomer.objects.get().gone, customer.has_card) == (True, True, False)
    assert card_expiry.refresh_card_expiry_dates().read == 0
    assert refresh(emulator, ObjectPaymentPlan.objects.get(pk=plan.pk)).succeeded
    assert the_customer(plan).has_card


def test_a_card_that_cannot_be_read_is_counted_and_the_others_go_on(
    emulator: Emulator, plan: ObjectPaymentPlan, save_plan: SavePlan, capsys: pytest.CaptureFixture[str], settings: Any
) -> None:
    settings.CHECKOUT_WORKERS = 1
    save_plan(email="second@example.com")
    emulator.fail(call=1, fault=faults.Status(500))
    with pytest.raises(CommandError, match="1 could not be dealt with"):
        call_command("refresh_card_expiry_dates")
    assert capsys.readouterr().out.strip() == "read 1, flagged 0, mailed 0, errors 1"
    call_command("refresh_card_expiry_dates")
    assert capsys.readouterr().out.strip() == "read 1, flagged 0, mailed 0, errors 0"


def test_a_mail_that_could_not_be_queued_goes_out_the_next_day(emulator: Emulator, plan: ObjectPaymentPlan) -> None:
    bank_sends_card(emulator, the_card(plan), months=0)
    Customer.objects.update(email="no address")
    assert card_expiry.refresh_card_expiry_dates().errors == 1
    assert not notes().exists()
    assert not the_customer(plan).refresh
    Customer.objects.update(email="member@example.com")
    done = card_expiry.refresh_card_expiry_dates()
    assert (done.read, done.flagged, done.mailed) == (0, 1, 1)


@pytest.mark.parametrize("missing", ["template", "address"])
def test_what_is_missing_is_named_before_anything_is_done(
    emulator: Emulator, plan: ObjectPaymentPlan, settings: Any, missing: str
) -> None:
    if missing == "template":
        EmailTemplate.objects.all().delete()
    else:
        settings.CHECKOUT_BASE_URL = ""
    with pytest.raises(CommandError, match="init_app_checkout" if missing == "template" else "CHECKOUT_BASE_URL"):
        call_command("refresh_card_expiry_dates")
    assert reads(emulator) == 0


def test_a_refused_key_stops_the_sweep(emulator: Emulator, plan: ObjectPaymentPlan) -> None:
    emulator.weather.add(faults.Status(401), times=None)
    with pytest.raises(CommandError, match="refused our key"):
        call_command("refresh_card_expiry_dates")


def test_the_task(emulator: Emulator, plan: ObjectPaymentPlan) -> None:
    bank_sends_card(emulator, the_card(plan), months=0)
    assert tasks.refresh_card_expiry_dates.delay().get() == 1


@pytest.mark.parametrize(("months", "expiring"), [(-1, True), (0, True), (2, False)])
def test_is_expiring(months: int, expiring: bool) -> None:
    day = clock.today() + relativedelta(months=months)
    assert SavedCard(expiry_date=SavedCard.last_good_day(day.month, day.year)).is_expiring is expiring
    assert not SavedCard().is_expiring


def test_the_card_of_one_address_is_read_on_request(emulator: Emulator, plan: ObjectPaymentPlan) -> None:
    bank_sends_card(emulator, the_card(plan), months=40, last4="0005")
    assert Customer.objects.update_card_expiry("member@example.com") == the_customer(plan)
    assert the_card(plan).last4 == "0005"
    assert Customer.objects.update_card_expiry("nobody@example.com") is None


# -- the report and the look ahead ------------------------------------------------------------------------


def test_the_report_lists_the_soonest_first_and_looks_ahead(
    emulator: Emulator, plan: ObjectPaymentPlan, save_plan: SavePlan, capsys: pytest.CaptureFixture[str]
) -> None:
    early = save_plan(email="early@example.com", name="=HYPERLINK(1)")
    bank_sends_card(emulator, the_card(early), months=1)
    card_expiry.refresh_card_expiry_dates()
    assert [row.pk for row in ObjectPaymentPlan.objects.report_card_expiry_dates] == [early.pk, plan.pk]
    assert list(card_expiry.running_out_before_the_end()) == [early]
    capsys.readouterr()
    call_command("report_card_expiry_dates")
    out = capsys.readouterr().out.splitlines()
    assert "last is" in out[0]
    assert out[-1] == "2 outstanding plans; 1 cards run out before the last instalment."
    call_command("report_card_expiry_dates", "--csv")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["email"] for row in rows] == ["early@example.com", "member@example.com"]
    assert rows[0]["customer"] == "'=HYPERLINK(1)"
    assert rows[0]["runs out before it"] == "yes"


def test_the_report_makes_as_many_queries_for_many_plans(
    emulator: Emulator, plan: ObjectPaymentPlan, save_plan: SavePlan, count_queries: Any
) -> None:
    few = count_queries(lambda: call_command("report_card_expiry_dates", "--csv", stdout=io.StringIO()))
    for number in range(3):
        save_plan(email=f"{number}@example.com")
    assert count_queries(lambda: call_command("report_card_expiry_dates", "--csv", stdout=io.StringIO())) == few


# -- staff ask --------------------------------------------------------------------------------------------


def test_staff_ask_for_a_new_card_once_a_day(plan: ObjectPaymentPlan, staff: Any) -> None:
    assert card_expiry.send_card_refresh_mail(the_customer(plan), staff)
    assert not card_expiry.send_card_refresh_mail(the_customer(plan), staff)
    assert the_customer(plan).refresh
    assert letters().get().template.name == Customer.MAIL_TEMPLATE_CARD_REFRESH_REQUEST
    with time_machine.travel(clock.now() + datetime.timedelta(days=1)):
        assert card_expiry.send_card_refresh_mail(the_customer(plan), staff)


def test_staff_are_told_when_no_card_is_needed(staff: Any) -> None:
    customer = Customer.objects.create(email="done@example.com")
    with pytest.raises(errors.CheckoutError, match="no card is needed"):
        card_expiry.send_card_refresh_mail(customer, staff)
    assert not letters().exists()


def test_the_language_of_the_payers_visit_is_kept(emulator: Emulator, membership: Membership) -> None:
    with translation.override("de"):
        assert cards.ensure_customer("new@example.com", "Neu").language == "de"
    with translation.override("fr"):
        assert cards.ensure_customer("new@example.com", "Neu").language == "de"


# -- whose card -------------------------------------------------------------------------------------------


def agree(emulator: Emulator, payment_plan: PaymentPlan, number: str, **about: Any) -> ObjectPaymentPlan:
    row = Membership.objects.create(**about)
    checkout = Checkout.objects.create_checkout("payment_plan", row, None, payment_plan=payment_plan)
    enter_card(emulator, checkout, number)
    fulfillment.fulfill(checkout)
    return ObjectPaymentPlan.objects.for_content_object(row)


def charged_to(plan: ObjectPaymentPlan) -> str:
    make_due(plan)
    runs.process_payments(workers=1)
    attempt = Checkout.objects.for_content_object(plan.payments.get(count=2)).success().get()
    card = gateway().retrieve_payment_method(attempt.payment_method_id).card
    return card.last4 if card is not None else ""


def test_each_plan_is_charged_to_the_card_that_was_agreed_for_it(emulator: Emulator, payment_plan: PaymentPlan) -> None:
    """Whoever types a payer's address touches nobody's card, and one payer may have two plans and two cards."""
    hers = agree(emulator, payment_plan, "4242424242424242", email="vera@example.com")
    mallorys = agree(emulator, payment_plan, "5555555555554444", email="VERA@example.com ", name="Mallory")
    assert hers.customer == mallorys.customer
    assert not SavedCard.objects.exclude(detached_at=None).exists()
    assert (charged_to(hers), charged_to(mallorys)) == ("4242", "4444")


def test_a_page_offers_the_card_of_its_own_plan_only(emulator: Emulator, payment_plan: PaymentPlan) -> None:
    mallorys = agree(emulator, payment_plan, "4000002760003184", email="vera@example.com")
    hers = agree(emulator, payment_plan, "4242424242424242", email="vera@example.com")
    page = intents.page(Checkout.objects.create_checkout_pay_on_session(mallorys.payments.get(count=1)))
    assert page.payment_method_id != hers.card.payment_method_id


def test_news_of_an_older_card_does_not_replace_a_newer_one(emulator: Emulator, plan: ObjectPaymentPlan) -> None:
    older = Checkout.objects.create_checkout("card_refresh", plan)
    enter_card(emulator, older, "4000056655665556")
    with time_machine.travel(clock.now() + datetime.timedelta(minutes=5)):
        emulator.clock.advance(minutes=5)
        # Another visit of the payer's, which does not find the first: its tab was closed.
        Checkout.objects.filter(pk=older.pk).update(state=states.FAIL)
        newer = Checkout.objects.create_checkout("card_refresh", plan)
        enter_card(emulator, newer, "5555555555554444")
        fulfillment.fulfill(newer)
        fulfillment.fulfill(older)
    assert the_card(plan).last4 == "4444"
    assert gateway().retrieve_payment_method(the_card(plan).payment_method_id).customer_id


def test_an_old_agreement_takes_no_deposit_of_another_plan(
    emulator: Emulator, membership: Membership, payment_plan: PaymentPlan, staff: Any
) -> None:
    checkout = Checkout.objects.create_checkout("payment_plan", membership, None, payment_plan=payment_plan)
    enter_card(emulator, checkout, "4242424242424242")
    fulfillment.fulfill(checkout)
    ObjectPaymentPlan.objects.for_content_object(membership).delete_plan(staff)
    taken = emulator.ledger.taken_minor()
    made_by_staff = ObjectPaymentPlan.objects.create_object_payment_plan(membership, payment_plan, Decimal(900))
    fulfillment.fulfill_setup_intent(checkout.setup_intent_id)
    stale.tidy()
    assert made_by_staff.card is None
    assert emulator.ledger.taken_minor() == taken
    with pytest.raises(errors.NoSavedCard):
        made_by_staff.charge_deposit(staff)


def test_no_deposit_is_taken_before_its_day(
    emulator: Emulator, membership: Membership, payment_plan: PaymentPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hook(self: Membership, checkout: Checkout) -> None:
        if checkout.is_payment_plan:
            later = clock.today() + datetime.timedelta(days=30)
            ObjectPaymentPlan.objects.create_object_payment_plan(self, payment_plan, checkout.total, deposit_due=later)

    monkeypatch.setattr(Membership, "checkout_success", hook)
    checkout = Checkout.objects.create_checkout("payment_plan", membership, None, payment_plan=payment_plan)
    enter_card(emulator, checkout, "4242424242424242")
    fulfillment.fulfill(checkout)
    stale.tidy()
    assert ObjectPaymentPlan.objects.for_content_object(membership).card is not None
    assert emulator.ledger.taken_minor() == 0


def test_a_deposit_paid_late_brings_one_instalment_a_month(
    emulator: Emulator, membership: Membership, payment_plan: PaymentPlan
) -> None:
    with time_machine.travel(datetime.datetime(2026, 1, 10, 9, tzinfo=datetime.UTC)):
        plan = agree(emulator, payment_plan, "4000008260003178")
    with time_machine.travel(datetime.datetime(2026, 4, 20, 9, tzinfo=datetime.UTC)):
        page = Checkout.objects.create_checkout_pay_on_session(plan.payments.get(count=1), another_card=True)
        enter_card(emulator, page, "4242424242424242")
        fulfillment.fulfill(page)
        runs.process_payments(workers=1)
        assert emulator.ledger.taken_minor() == 2000
    assert [str(line.due) for line in plan.payments if not line.deposit] == ["2026-05-01", "2026-06-01", "2026-07-01"]


def test_an_address_is_compared_without_case_in_every_alphabet(emulator: Emulator) -> None:
    assert cards.ensure_customer("MÜLLER@example.com", "A") == cards.ensure_customer(" müller@EXAMPLE.com", "B")


def test_an_address_that_is_too_long_is_refused_with_a_sentence(db: None) -> None:
    longest = "a" * (254 - len("@example.com")) + "@example.com"
    assert cards.ensure_customer(longest, "A").email == longest
    with pytest.raises(errors.CannotPay, match="too long"):
        cards.ensure_customer(f"a{longest}", "A")


# -- whose card it is -----------------------------------------------------------------------------------


def somebody_else_pays(plan: ObjectPaymentPlan) -> Customer:
    other = Customer.objects.create(email="grandmother@example.com", name="A Grandmother")
    ObjectPaymentPlan.objects.filter(pk=plan.pk).update(customer=other)
    return other


def test_a_late_card_of_whoever_paid_before_is_not_charged_and_is_let_go(
    emulator: Emulator, plan: ObjectPaymentPlan
) -> None:
    before = the_card(plan)
    late = Checkout.objects.create_checkout("card_refresh", plan, None)
    somebody_else_pays(plan)
    enter_card(emulator, late, "5555555555554444")
    settled = fulfillment.fulfill(late)
    assert (settled.state_id, settled.failure_code) == (states.FAIL, "payer_is_another")
    assert the_card(plan) == before
    card = SavedCard.objects.exclude(pk=before.pk).get()
    assert card.replaced
    stale.end_setups()
    card.refresh_from_db()
    assert card.detached_at is not None
    make_due(plan)
    runs.process_payments(workers=1)
    assert not Checkout.objects.filter(payment_method_id=card.payment_method_id).taking_money().exists()


def test_a_plan_that_a_hook_makes_for_somebody_else_is_not_charged_to_the_card_of_the_attempt(
    emulator: Emulator, membership: Membership, payment_plan: PaymentPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Customer.objects.create(email="grandmother@example.com", name="A Grandmother")

    def hook(self: Membership, checkout: Checkout) -> None:
        ObjectPaymentPlan.objects.create_object_payment_plan(self, payment_plan, Decimal(100), customer=other)

    monkeypatch.setattr(Membership, "checkout_success", hook)
    begun = Checkout.objects.create_checkout("payment_plan", membership, None, payment_plan=payment_plan)
    enter_card(emulator, begun, "4242424242424242")
    assert fulfillment.fulfill(begun).succeeded
    made = ObjectPaymentPlan.objects.for_content_object(membership)
    assert (made.customer, made.agreement) == (other, None)
    assert SavedCard.objects.get().replaced
    assert emulator.ledger.taken_minor() == 0


def test_a_card_that_is_agreed_to_once_more_is_not_asked_for_any_longer(
    plan: ObjectPaymentPlan,
) -> None:
    card = the_card(plan)
    SavedCard.objects.filter(pk=card.pk).update(refresh=True)
    card.refresh_from_db()
    agreement = Agreement.objects.create(saved_card=card, text="", version="1")
    assert plan_cards.of_new_plan(the_customer(plan), agreement) == agreement
    assert not the_card(plan).refresh


def test_a_payment_by_whoever_paid_before_takes_no_place_of_the_card(
    emulator: Emulator, plan: ObjectPaymentPlan
) -> None:
    before = the_card(plan)
    [line] = make_due(plan)
    page = on_session.create_checkout_pay_on_session(line, another_card=True)
    somebody_else_pays(plan)
    enter_card(emulator, page, "5555555555554444")
    assert fulfillment.fulfill(page).succeeded
    assert the_card(plan) == before
    assert SavedCard.objects.exclude(pk=before.pk).get().replaced


def test_nothing_is_charged_by_an_agreement_that_another_has_taken_the_place_of(
    emulator: Emulator, plan: ObjectPaymentPlan
) -> None:
    [line] = make_due(plan)
    looked_at = ObjectPaymentPlanInstalment.objects.select_related("object_payment_plan__agreement__saved_card").get(
        pk=line.pk
    )
    assert looked_at.object_payment_plan.card is not None
    refresh(emulator, plan, "5555555555554444")
    with pytest.raises(errors.AttemptInProgress, match="look again"):
        charging.charge(looked_at)
    assert emulator.ledger.taken_minor() == 2000


def test_a_card_for_a_plan_that_the_site_made_is_given_for_every_line_of_it(
    emulator: Emulator, membership: Membership, payment_plan: PaymentPlan
) -> None:
    plan = ObjectPaymentPlan.objects.create_object_payment_plan(membership, payment_plan, Decimal(100))
    assert plan.agreement is None
    refresh(emulator, plan, "4242424242424242")
    plan.refresh_from_db()
    assert plan.agreement is not None
    named = [(line["count"], Decimal(line["amount"]), line["due"]) for line in plan.agreement.lines]
    assert sum(amount for _count, amount, _due in named) == plan.total
    plan.charge_deposit()
    assert [(line.count, line.amount, line.due.isoformat()) for line in plan.payments] == named


def test_each_plan_of_a_card_that_runs_out_has_a_mail_of_its_own(emulator: Emulator, payment_plan: PaymentPlan) -> None:
    """A new card is for the plan whose page the mail leads to, and for no other."""
    plans = [agree(emulator, payment_plan, "4242424242424242", name=name) for name in ("first", "second")]
    for plan in plans:
        bank_sends_card(emulator, the_card(plan), months=0)
    assert card_expiry.refresh_card_expiry_dates().mailed == 2
    tokens = [re.search(r"/checkout/plan/(\S+)/", each.message) for each in letters()]
    assert {links.read_token(token[1], ObjectPaymentPlan) for token in tokens if token} == {plan.uuid for plan in plans}
    refresh(emulator, plans[0], "5555555555554444")
    assert card_expiry.refresh_card_expiry_dates().mailed == 0


def test_the_mail_about_a_card_says_what_comes_next_and_is_left_of_it(
    emulator: Emulator, plan: ObjectPaymentPlan, staff: Any
) -> None:
    first, second, _third = plan.payments.filter(deposit=False)
    ObjectPaymentPlanInstalment.objects.filter(pk=first.pk).update(
        state=states.FAIL, due=clock.today() - datetime.timedelta(days=3)
    )
    by_hand.part_paid(second, Decimal(10), staff, "cash")
    bank_sends_card(emulator, the_card(plan), months=0)
    assert card_expiry.refresh_card_expiry_dates().mailed == 1
    message = letters().get().message
    assert f"£16.67 on {formats.date_format(second.due, 'DATE_FORMAT')}" in message
