"""What needs a person: each problem says what to do, and its buttons do it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from checkout import errors
from checkout.models import Checkout, Problem
from checkout.services import fulfillment, problems
from stripe_emulator import Emulator
from tests.host.models import Membership
from tests.services.test_one_off import begin, pay

pytestmark = pytest.mark.django_db


@pytest.fixture
def office(client: Client, boss: Any) -> Client:
    client.force_login(boss)
    return client


@pytest.fixture
def problem(emulator: Emulator, membership: Membership) -> Problem:
    """The course was full when it was paid for."""

    def refuse(self: Membership, checkout: Checkout) -> None:
        raise errors.NotWanted("The course is full.")

    checkout = begin(membership)
    pay(emulator, checkout)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Membership, "checkout_success", refuse)
        fulfillment.fulfill(checkout)
    return Problem.objects.get()


def press(client: Client, name: str, problem: Problem, **data: Any) -> Any:
    url = reverse(name, args=[problem.pk])
    seen = client.get(url).context["seen"]
    return client.post(url, {"seen": seen, **data}, follow=True)


def test_the_list_leads_to_the_page_and_the_page_says_what_to_do(office: Client, problem: Problem) -> None:
    listed = office.get(reverse("checkout.problem.list")).content.decode()
    assert problem.get_absolute_url() in listed
    assert "The course is full." in listed
    page = office.get(problem.get_absolute_url()).content.decode()
    for text in (
        "£100.00",
        "The course is full.",
        "Give the money back, or make room",
        "Give it back",
        "Apply it after",
    ):
        assert text in page
    assert problem.checkout is not None
    assert reverse("checkout.refund.create", args=[problem.checkout.uuid]) in page


def test_it_is_applied_once(office: Client, problem: Problem, membership: Membership) -> None:
    assert "Applied." in press(office, "checkout.problem.apply", problem).content.decode()
    membership.refresh_from_db()
    problem.refresh_from_db()
    assert (membership.successes, problem.is_open) == (1, False)
    assert problem.owner is not None
    again = office.post(reverse("checkout.problem.apply", args=[problem.pk]), follow=True)
    assert "look again" in again.content.decode()
    membership.refresh_from_db()
    assert membership.successes == 1


def test_a_site_that_still_refuses_says_so_and_nothing_changes(
    office: Client, problem: Problem, monkeypatch: Any
) -> None:
    def refuse(self: Membership, checkout: Checkout) -> None:
        raise errors.NotWanted("Still full.")

    monkeypatch.setattr(Membership, "checkout_success", refuse)
    answer = press(office, "checkout.problem.apply", problem)
    assert (answer.status_code, "Still full." in answer.content.decode()) == (409, True)
    problem.refresh_from_db()
    assert problem.is_open


def test_somebody_looks_after_it_and_closes_it_with_a_note(office: Client, problem: Problem) -> None:
    press(office, "checkout.problem.take", problem)
    problem.refresh_from_db()
    assert (problem.is_open, problem.owner is not None) == (True, True)
    assert "Look after it" not in office.get(problem.get_absolute_url()).content.decode()
    press(office, "checkout.problem.close", problem, reason="She comes next year")
    problem.refresh_from_db()
    assert (problem.is_open, problem.note) == (False, "She comes next year")


def test_what_is_not_known_here_leads_to_stripe(office: Client, settings: Any) -> None:
    settings.CHECKOUT_STRIPE_HTTP_CLIENT = ""
    row = problems.open_problem("unknown_payment", "pi_123", amount=Decimal(5), currency="GBP")
    page = office.get(row.get_absolute_url()).content.decode()
    assert "dashboard.stripe.com" in page
    assert "Apply it after all" not in page
    assert office.post(reverse("checkout.problem.apply", args=[row.pk])).status_code == 302
