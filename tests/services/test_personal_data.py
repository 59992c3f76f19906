"""What is kept about a payer is shown, erased as far as the law lets, and forgotten in time."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models import QuerySet
from post_office.models import Email

from checkout import clock, errors, links, mail
from checkout.models import Agreement, Checkout, CheckoutAdditional, Customer, Notice, ObjectPaymentPlan, Posting
from checkout.services import personal_data
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


def test_visitors_are_forgotten_when_nothing_is_owed_any_more(payer_with_history: ObjectPaymentPlan) -> None:
    agreements: QuerySet[Agreement] = QuerySet(Agreement)
    assert personal_data.forget_old() == 0
    agreements.update(agreed_at=clock.now() - timedelta(days=731))
    assert personal_data.forget_old() == 0, "a plan is charged under it"
    payer_with_history.delete_plan()
    call_command("process_events", stdout=StringIO())
    assert set(agreements.values_list("ip_address", "user_agent")) == {(None, "")}
