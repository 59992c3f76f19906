"""What will not come as things stand is known before its day, by payment and by month."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from checkout.models import Forecast, ObjectPaymentPlan, SavedCard
from checkout.services import ahead, booking, card_expiry, debts
from stripe_emulator import Emulator
from tests.services.test_recovery import AGREED, plan  # noqa: F401 - a fixture
from tests.staff.conftest import boss  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db

JANUARY = datetime.date(2027, 1, 1)


def risks() -> dict[int, str]:
    """Line (by its count) -> why it may not come."""
    with time_machine.travel(AGREED):
        rows = ahead.at_risk(["GBP"]).select_related("object_payment_plan__agreement__saved_card", "debt")
        return {line.count: ahead.why(line) for line in rows}


def test_a_card_that_is_good_until_the_last_line_is_no_risk(plan: ObjectPaymentPlan) -> None:  # noqa: F811
    assert risks() == {}


def test_a_card_that_runs_out_before_a_line_is_known_from_the_agreement_on(plan: ObjectPaymentPlan) -> None:  # noqa: F811
    SavedCard.objects.update(expiry_date=datetime.date(2026, 12, 31))
    words = "The card runs out on 31 Dec 2026, before this payment."
    assert risks() == {3: words, 4: words}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda: SavedCard.objects.update(gone=True), "There is no card that may be charged."),
        (lambda: SavedCard.objects.update(detached_at=AGREED), "There is no card that may be charged."),
        (lambda: ObjectPaymentPlan.objects.update(paused=True), "The bank disputes a payment of this plan."),
    ],
    ids=["gone", "detached", "disputed"],
)
def test_without_a_card_that_may_be_charged_no_line_comes(
    plan: ObjectPaymentPlan,  # noqa: F811
    spoil: Any,
    words: str,
) -> None:
    spoil()
    assert risks() == {2: words, 3: words, 4: words}


def test_a_rest_below_the_least_that_stripe_takes_does_not_come(plan: ObjectPaymentPlan) -> None:  # noqa: F811
    """Staff are not let make one; a host's script may."""
    line = plan.payments.get(count=3)
    booking.post(debts.of_line(line), booking.Kind.OTHER_MEANS, line.amount - Decimal("0.20"), cause="cash")
    assert risks() == {3: "What is left is less than Stripe takes."}


def test_a_plan_that_was_stopped_is_not_looked_at(plan: ObjectPaymentPlan) -> None:  # noqa: F811
    SavedCard.objects.update(gone=True)
    ObjectPaymentPlan.objects.update(deleted=True)
    assert risks() == {}


def test_each_night_the_months_to_come_are_worked_out(
    plan: ObjectPaymentPlan,  # noqa: F811
    emulator: Emulator,
    settings: Any,
) -> None:
    settings.CHECKOUT_BASE_URL = "https://shop.example"
    with time_machine.travel(AGREED):
        assert plan.card is not None
        emulator.bank.replace_card(plan.card.payment_method_id, 12, 2026, "1111")
        for _again in range(2):
            card_expiry.refresh_card_expiry_dates()
    rows = Forecast.objects.values_list("currency", "month", "expected", "shaky")
    assert list(rows) == [
        ("GBP", datetime.date(2026, 12, 1), Decimal("26.660"), 0),
        ("GBP", JANUARY, Decimal("26.670"), Decimal("26.670")),
        ("GBP", datetime.date(2027, 2, 1), Decimal("26.670"), Decimal("26.670")),
    ]


def test_the_office_reads_it_on_the_overview_the_list_and_the_plan(
    plan: ObjectPaymentPlan,  # noqa: F811
    client: Client,
    boss: Any,  # noqa: F811
) -> None:
    SavedCard.objects.update(expiry_date=datetime.date(2026, 12, 31))
    client.force_login(boss)
    with time_machine.travel(AGREED):
        ahead.look()
        cache.clear()
        overview = client.get(reverse("checkout.dashboard")).content.decode()
        assert "£53.34" in overview
        address = reverse("checkout.ahead.list")
        assert address in overview
        page = client.get(address).content.decode()
        assert page.count("The card runs out on 31 Dec 2026") == 2
        assert client.get(f"{address}?why=no_card").content.decode().count("The card runs out on") == 0
        assert client.get(f"{address}?until=2027-01-15").content.decode().count("31 Dec 2026") == 1
        said = "Instalment 2, 1 Jan 2027: The card runs out on 31 Dec 2026, before this payment."
        assert said in client.get(plan.get_absolute_url()).content.decode()


def test_the_list_asks_as_often_however_many_there_are(
    plan: ObjectPaymentPlan,  # noqa: F811
    client: Client,
    boss: Any,  # noqa: F811
    count_queries: Any,
) -> None:
    SavedCard.objects.update(gone=True)
    client.force_login(boss)
    address = reverse("checkout.ahead.list")

    def look() -> None:
        assert client.get(address).status_code == 200

    with time_machine.travel(AGREED):
        look()
        few = count_queries(look)
        for number in range(5, 15):
            day = datetime.date(2027, 3, number)
            line = plan.instalments.create(count=number, amount=1, due=day)
            debts.of_line(line)
        assert client.get(address).content.decode().count("There is no card") == 13
        assert count_queries(look) == few
