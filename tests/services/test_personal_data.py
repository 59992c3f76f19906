"""What is kept about a payer is shown, erased as far as the law lets, and forgotten in time."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models import QuerySet
from post_office.models import STATUS, Email

from checkout import clock, errors, links, mail
from checkout.journal import Why
from checkout.models import (
    Agreement,
    Checkout,
    CheckoutAdditional,
    Customer,
    CustomerPayment,
    Notice,
    ObjectPaymentPlan,
    Posting,
    Refund,
)
from checkout.services import by_staff, moves, personal_data, plan_changes, refunds, requests
from checkout.services.letters import writing
from stripe_emulator import Emulator
from tests.host.models import Membership
from tests.services.conftest import SavePlan
from tests.services.test_one_off import begin, pay
from tests.staff.conftest import ADDRESS

pytestmark = pytest.mark.django_db

EMAIL = "pat.payer@example.com"


@pytest.fixture
def payer_with_history(client: Any, emulator: Emulator, save_plan: SavePlan) -> ObjectPaymentPlan:
    """A plan that has begun, a payment at once, an invoice, and mails about them."""
    mail.install()
    plan = save_plan(email=EMAIL, name="Pat Payer")
    QuerySet(Agreement).update(ip_address="203.0.113.9", user_agent="Browser of Pat")
    pay(emulator, checkout := begin(Membership.objects.create(email=EMAIL, name="Pat Payer")))
    client.get(f"/checkout/{checkout.uuid}/return/")
    from checkout.services import fulfillment

    fulfillment.fulfill(checkout)
    row = Membership.objects.create(email=EMAIL, name="Pat Payer")
    client.post(links.invoice_form(row), ADDRESS | {"email": EMAIL, "contact_name": "Pat Payer"})
    writing.write_waiting()
    return plan


def everything() -> str:
    """All that our tables and the mails hold, as text."""
    tables = [Customer, Checkout, CheckoutAdditional, Notice, Email]
    return json.dumps([list(QuerySet(table).values()) for table in [*tables, Agreement]], default=str)


def test_all_that_is_kept_is_shown(payer_with_history: ObjectPaymentPlan) -> None:
    out = StringIO()
    call_command("personal_data", EMAIL.upper(), stdout=out)
    told = json.loads(out.getvalue())
    assert told["customer"][0]["name"] == "Pat Payer"
    assert told["agreements"][0]["ip_address"] == "203.0.113.9"
    assert len(told["attempts"]) >= 3
    assert told["invoice_addresses"][0]["postcode"] == "BA1 1AA"
    assert told["mails"]
    assert {row["card_last4"] for row in told["receipts"]} >= {"4242"}
    assert told["saved_cards"][0]["last4"] == "4242"


def test_nothing_is_told_of_others(payer_with_history: ObjectPaymentPlan, emulator: Emulator) -> None:
    told = json.dumps(personal_data.export("somebody.else@example.com"))
    assert "Pat" not in told
    assert all(found == [] for found in json.loads(told).values())


def test_who_owes_something_is_not_erased(payer_with_history: ObjectPaymentPlan) -> None:
    before = everything()
    with pytest.raises(CommandError, match="left to pay"):
        call_command("personal_data", EMAIL, "--erase")
    assert everything() == before


def test_an_open_payment_is_not_erased(payer_with_history: ObjectPaymentPlan, emulator: Emulator) -> None:
    payer_with_history.delete_plan()
    begin(Membership.objects.create(email=EMAIL, name="Pat Payer"))
    with pytest.raises(errors.StillNeeded, match="open"):
        personal_data.erase(EMAIL)


def test_nobody_is_in_what_stays_and_the_money_is(payer_with_history: ObjectPaymentPlan, settings: Any) -> None:
    settings.CHECKOUT_KEEP_INVOICES_DAYS = 0
    payer_with_history.delete_plan()
    money = list(Posting.objects.order_by("pk").values_list("kind", "amount"))
    attempts = Checkout.objects.count()
    call_command("personal_data", EMAIL, "--erase", stdout=StringIO())
    left = everything()
    for word in ("pat.payer", "Pat Payer", "Browser of Pat", "203.0.113.9", "High Street", "BA1 1AA"):
        assert word not in left, word
    assert list(Posting.objects.order_by("pk").values_list("kind", "amount")) == money
    assert Checkout.objects.count() == attempts
    # Again, it finds nothing and breaks nothing.
    assert set(personal_data.erase(EMAIL).values()) == {0}


def test_an_invoice_address_stays_as_long_as_the_books(payer_with_history: ObjectPaymentPlan) -> None:
    payer_with_history.delete_plan()
    personal_data.erase(EMAIL)
    assert CheckoutAdditional.objects.get().postcode == "BA1 1AA"


def test_what_was_agreed_to_before_is_shown_and_erased_too(payer_with_history: ObjectPaymentPlan, staff: Any) -> None:
    """A change that the payer agreed to has no attempt, and another agreement is in use by now."""
    plan = payer_with_history
    change = plan.propose_change("fee", "late", staff, amount=Decimal(5))
    plan_changes.agree(change, text="Yes.", ip_address="192.0.2.77", user_agent="Telephone of Pat")
    plan.refresh_from_db()
    plan.propose_change("write_off", "ill", staff)
    plan.delete_plan()
    assert "192.0.2.77" in json.dumps(personal_data.export(EMAIL))
    personal_data.erase(EMAIL)
    assert "192.0.2.77" not in everything()
    assert "Telephone of Pat" not in everything()


def test_who_was_asked_for_money_is_not_erased_before_that_is_over(
    payer_with_history: ObjectPaymentPlan, staff: Any
) -> None:
    payer_with_history.delete_plan()
    asked = CustomerPayment.objects.create(
        customer=Customer.objects.get(), description="A book", total=Decimal(10), currency="GBP"
    )
    with pytest.raises(errors.StillNeeded, match="asked for money"):
        personal_data.erase(EMAIL)
    requests.withdraw(asked, staff, "A mistake")
    personal_data.erase(EMAIL)


def test_who_was_asked_to_take_over_a_plan_is_not_erased_before_that_is_over(
    payer_with_history: ObjectPaymentPlan, staff: Any
) -> None:
    change = payer_with_history.propose_change(
        "payer", "grandmother pays", staff, name="A Grandmother", email="grandmother@example.com"
    )
    with pytest.raises(errors.StillNeeded, match="take over"):
        personal_data.erase("grandmother@example.com")
    plan_changes.withdraw(change, staff, "No")
    personal_data.erase("grandmother@example.com")
    assert not Customer.objects.filter(name="A Grandmother").exists()


def test_who_waits_for_a_refund_is_not_erased(payer_with_history: ObjectPaymentPlan) -> None:
    """It may fail, and somebody has to be told then."""
    payer_with_history.delete_plan()
    paid = Checkout.objects.get(action="payment", state="success")
    row = Refund.objects.create(checkout=paid, amount=Decimal(1), currency="GBP")
    with pytest.raises(errors.StillNeeded, match="refund"):
        personal_data.erase(EMAIL)
    assert row.pending


def test_mails_to_staff_that_name_the_payer_are_erased_once_they_were_sent(
    payer_with_history: ObjectPaymentPlan,
) -> None:
    payer_with_history.delete_plan()
    stay = [(STATUS.queued, f"Not told yet: {EMAIL}"), (STATUS.sent, f"Paid: Another <not.{EMAIL}>")]
    for status, text in [(STATUS.sent, f"Paid: Pat Payer <{EMAIL}>"), *stay]:
        mail.queue_text("office@example.com", text, text)
        Email.objects.filter(subject=text).update(status=status)
    personal_data.erase(EMAIL)
    assert sorted(row.message for row in Email.objects.filter(to="office@example.com")) == [text for _s, text in stay]


@pytest.mark.parametrize("text", ["", " ", "@", "Pat Payer", "pat.payer@"])
@pytest.mark.parametrize("more", [[], ["--erase"]])
def test_what_is_no_address_is_nobodys(payer_with_history: ObjectPaymentPlan, text: str, more: list[str]) -> None:
    payer_with_history.delete_plan()
    before = everything()
    with pytest.raises(CommandError, match="not an e-mail address"):
        call_command("personal_data", text, *more)
    assert everything() == before


def test_what_staff_wrote_anywhere_about_a_payer_is_shown(payer_with_history: ObjectPaymentPlan, staff: Any) -> None:
    plan = payer_with_history
    by_staff.note_stop(plan, staff, "note on the plan")
    moves.note(plan.instalments.latest("pk"), user=staff, why=Why(note="note on a line"))
    plan.propose_change("write_off", "note on a change", staff)
    paid = Checkout.objects.get(action="payment", state="success")
    refunds.refund(paid, Decimal(10), user=staff, note="note on a refund")
    told = personal_data.export(EMAIL)["notes_of_staff"]
    for where in ("the plan", "a line", "a change", "a refund"):
        assert told.count(f"note on {where}") == 1, where


def test_visitors_are_forgotten_when_nothing_is_owed_any_more(payer_with_history: ObjectPaymentPlan) -> None:
    agreements: QuerySet[Agreement] = QuerySet(Agreement)
    assert personal_data.forget_old() == 0
    agreements.update(agreed_at=clock.now() - timedelta(days=731))
    assert personal_data.forget_old() == 0, "a plan is charged under it"
    payer_with_history.delete_plan()
    call_command("process_events", stdout=StringIO())
    assert set(agreements.values_list("ip_address", "user_agent")) == {(None, "")}
