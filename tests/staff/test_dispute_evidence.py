"""Evidence is drafted from the books, kept at Stripe until somebody sends it, and sent to the bank once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from checkout import clock
from checkout.gateway import gateway
from checkout.models import Debt, Dispute, StateChange
from checkout.office.views.disputes import countdown
from checkout.services import disputes
from stripe_emulator import Emulator, faults
from tests.staff.conftest import Books

pytestmark = pytest.mark.django_db


@pytest.fixture
def office(client: Client, boss: Any) -> Client:
    client.force_login(boss)
    return client


def press(office: Client, dispute: Dispute, how: str, **changes: str) -> Any:
    url = reverse("checkout.dispute.send", args=[dispute.pk])
    page = office.get(url)
    data = {**page.context["form"].initial, "how": how, "seen": page.context["seen"], **changes}
    return office.post(url, data, follow=True)


def at_stripe(dispute: Dispute) -> Any:
    return gateway()._v1.disputes.retrieve(dispute.dispute_id)


def test_evidence_is_kept_then_sent_and_what_the_bank_decides_is_posted(
    office: Client, books: Books, emulator: Emulator
) -> None:
    dispute = books.dispute
    answer = press(office, dispute, "keep").content.decode()
    assert "kept at Stripe, and not sent yet" in answer
    kept = at_stripe(dispute)
    assert kept.evidence["customer_email_address"] == "ann@example.com"
    assert "agreement" in kept.evidence["uncategorized_text"]
    assert (kept.status, kept.evidence_details.submission_count) == ("needs_response", 0)
    answer = press(office, dispute, "send", uncategorized_text="winning_evidence").content.decode()
    assert "The evidence was sent to the bank." in answer
    dispute.refresh_from_db()
    assert (dispute.status, dispute.evidence_sent) == ("under_review", True)
    story = office.get(dispute.checkout.get_absolute_url()).content.decode()
    assert "was sent to the bank" in story
    assert "boss" in story
    emulator.bank.decide_dispute(dispute.dispute_id, "won")
    disputes.dispute_updated_at_stripe(dispute.dispute_id)
    debt = Debt.objects.get(pk=dispute.checkout.debt_id)
    assert debt.paid == debt.owed


def test_what_was_sent_is_not_sent_twice(office: Client, books: Books, emulator: Emulator) -> None:
    dispute = books.dispute
    url = reverse("checkout.dispute.send", args=[dispute.pk])
    page = office.get(url)
    data = {**page.context["form"].initial, "how": "send", "seen": page.context["seen"]}
    for _ in range(2):
        office.post(url, data)
    assert at_stripe(dispute).evidence_details.submission_count == 1
    assert StateChange.objects.filter(code="evidence_sent").count() == 1
    assert "the bank takes it once" in office.get(url).content.decode()
    shown = [
        action["url"] for action in office.get(reverse("checkout.dispute.detail", args=[dispute.pk])).context["actions"]
    ]
    assert url not in shown


def test_without_an_answer_nothing_is_called_sent(office: Client, books: Books, emulator: Emulator) -> None:
    emulator.weather.add(faults.LostBefore(), path=r"POST /v1/disputes/")
    answer = press(office, books.dispute, "send").content.decode()
    assert "Stripe gave no answer" in answer
    assert not StateChange.objects.filter(code="evidence_sent").exists()
    books.dispute.refresh_from_db()
    assert not books.dispute.evidence_sent


def test_the_days_count_down_and_after_the_date_nothing_is_asked_for(office: Client, books: Books) -> None:
    dispute, url = books.dispute, reverse("checkout.dispute.detail", args=[books.dispute.pk])
    listed = reverse("checkout.dispute.list")
    for days, words in ((3, "3 days left"), (1, "1 day left"), (-2, "the date has passed")):
        dispute.due_by = clock.now() + timedelta(days=days)
        dispute.save()
        assert countdown(dispute) == words
        assert words in office.get(url).content.decode()
        assert words in office.get(listed).content.decode()
    assert "The date has passed, so the bank takes no evidence any more." in office.get(url).content.decode()
    assert "Send the evidence before the date" not in office.get(url).content.decode()
