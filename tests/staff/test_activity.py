"""Since yesterday: what changed, by whom and why; and the digest of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from post_office.models import Email

from checkout import clock
from checkout.models import CheckoutSettings, PaymentPlan, RecoveryPolicy, StateChange
from checkout.office import people
from checkout.services import checkouts, staff_notices
from tests.staff.conftest import Books
from tests.staff.test_pages import rows_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann_was_called(books: Books, boss: Any, staff_with: Any) -> Books:
    """The boss wrote a note and was paid by transfer; a colleague wrote one a week ago."""
    other = staff_with("checkout.view_statechange")
    people.note(books.plan.customer, "A week ago.", other)
    StateChange.objects.filter(user=other).update(at=clock.now() - timedelta(days=7))
    people.note(books.plan.customer, "Calls back on Tuesday.", boss)
    checkouts.manual(books.request, boss, "BACS 778")
    return books


def listed(client: Client, **query: Any) -> list[list[str]]:
    return rows_of(client.get(reverse("checkout.change.list"), {"format": "csv", **query}))


def test_it_tells_what_people_did_since_yesterday_the_newest_first(
    client: Client, ann_was_called: Books, boss: Any
) -> None:
    client.force_login(boss)
    rows = listed(client)
    assert {row[1] for row in rows} == {"boss", "payer"}
    assert [row[0] for row in rows] == sorted((row[0] for row in rows), reverse=True)
    assert ["Ann Smith <ann@example.com>", "Noted", "Calls back on Tuesday."] in [row[2:] for row in rows]
    assert "BACS 778" in {row[4] for row in rows}
    assert {row[1] for row in listed(client, show="jobs")} == {""}
    page = client.get(reverse("checkout.change.list")).content.decode()
    assert f'value="{clock.today() - timedelta(days=1)}"' in page
    assert ann_was_called.request.get_absolute_url() in page


def test_it_is_narrowed_by_day_person_kind_and_words(client: Client, ann_was_called: Books, boss: Any) -> None:
    client.force_login(boss)
    assert [row[4] for row in listed(client, kind="customer")] == ["Calls back on Tuesday."]
    week_ago = clock.today() - timedelta(days=8)
    assert len(listed(client, kind="customer", since=week_ago)) == 2
    assert [row[4] for row in listed(client, since=week_ago, until=clock.today() - timedelta(days=5))] == [
        "A week ago."
    ]
    other = StateChange.objects.get(note="A week ago.").user_id
    assert [row[4] for row in listed(client, since=week_ago, person=other)] == ["A week ago."]
    assert [row[4] for row in listed(client, q="tuesday")] == ["Calls back on Tuesday."]


def test_the_digest_tells_what_each_colleague_did_and_where_to_read_it(
    ann_was_called: Books, boss: Any, settings: Any
) -> None:
    settings.CHECKOUT_NOTIFY = "digest"
    week_ago = clock.today() - timedelta(days=7)
    assert staff_notices.digest(week_ago) == 0
    mail = Email.objects.get(subject__startswith="Payments of")
    other = StateChange.objects.get(note="A week ago.").user
    page = f"https://shop.example/checkout/staff/changes/?since={week_ago}&until={week_ago}&person={other.pk}"
    assert f"{other}: 1 change ({page})" in mail.message
    assert "boss" not in mail.message


def test_who_changed_what_holds_for_the_whole_site_is_in_the_log(
    client: Client, boss: Any, caplog: pytest.LogCaptureFixture
) -> None:
    client.force_login(boss)
    policy = RecoveryPolicy.objects.create(name="Gentle", days=[7])
    with caplog.at_level("INFO", "checkout.staff"):
        client.post(reverse("checkout.settings"), {"recovery": policy.pk})
        terms = {"name": "Thirds", "slug": "thirds", "deposit": 20, "count": 2, "interval": 1}
        client.post(reverse("checkout.payment.plan.create"), terms)
    assert CheckoutSettings.objects.settings.recovery == policy
    assert f"user {boss.pk} changed the settings: recovery" in caplog.messages
    assert PaymentPlan.objects.filter(slug="thirds").exists()
    assert f"user {boss.pk}: PaymentPlanCreateView " in caplog.messages
