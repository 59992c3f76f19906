"""The Content-Security-Policy, enforced in Chromium: a payer's whole life with a plan, and pages without one.

Each page of the office is watched as it is looked at, in test_office_pages.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.management import call_command
from django.urls import reverse
from playwright.sync_api import Request, Response, expect

from checkout import links, mail, states
from checkout.models import ObjectPaymentPlan
from checkout.services import plans, requests, runs
from example_checkout.models import SalesLedger
from tests.browser.conftest import Payer
from tests.browser.test_on_session import ALWAYS_ASKS, MASTERCARD, expect_progress, path_in_mail
from tests.browser.test_plan import agree, sale, save  # noqa: F401 - a fixture
from tests.host.models import Membership
from tests.services.conftest import payment_plan, save_plan  # noqa: F401 - fixtures
from tests.staff.conftest import Books, books, site  # noqa: F401 - fixtures

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


class Watch:
    """Every document of ours that the browser was given, with its policy, and every report that it sent."""

    def __init__(self, visitor: Payer) -> None:
        self.visitor = visitor
        self.policies: dict[str, str] = {}
        self.reports: list[str] = []
        visitor.page.on("response", self.response)
        visitor.page.on("request", self.request)

    def response(self, response: Response) -> None:
        address = urlsplit(response.url)
        ours = response.url.startswith(self.visitor.base) and response.request.resource_type == "document"
        if ours and response.status < 300 and re.match(r"/checkout/|/orders/\d+/how-to-pay/", address.path):
            self.policies[address.path] = response.headers.get("content-security-policy", "")

    def request(self, request: Request) -> None:
        if urlsplit(request.url).path == reverse("checkout.csp.report"):
            self.reports.append(request.post_data or "")

    def expect_nothing_stopped(self) -> None:
        assert {path for path, policy in self.policies.items() if "script-src 'self'" not in policy} == set()
        assert {path for path, policy in self.policies.items() if "unsafe" in policy} == set()
        assert (self.visitor.problems, self.reports) == ([], [])


@pytest.fixture
def watch(visitor: Payer, settings: Any) -> Iterator[Watch]:
    settings.CHECKOUT_BASE_URL = visitor.base
    made = Watch(visitor)
    yield made
    made.expect_nothing_stopped()


def test_while_a_plan_is_agreed_paid_authenticated_and_refreshed(
    watch: Watch,
    visitor: Payer,
    sale: SalesLedger,  # noqa: F811
) -> None:
    mail.install()
    page = visitor.page
    agree(visitor, sale)
    save(visitor, ALWAYS_ASKS)
    visitor.at_the_bank("Complete authentication")
    visitor.expect_thanks()

    plan = ObjectPaymentPlan.objects.get()
    line = plans.testing_set_pending_instalment_due(plan)
    runs.process_payments(workers=1)
    page.context.clear_cookies()
    visitor.visit(path_in_mail())
    page.get_by_role("button", name=re.compile("^Pay £210.00 now with Visa")).click()
    visitor.at_the_bank("Complete authentication")
    expect_progress(visitor)

    page.context.clear_cookies()
    visitor.visit(urlsplit(links.plan_page(ObjectPaymentPlan.objects.get())).path)
    page.get_by_role("link", name="Enter a new card").click()
    page.get_by_role("button", name="Enter the new card").click()
    visitor.fill(MASTERCARD)
    page.get_by_role("button", name="Save card").click()
    page.wait_for_url("**/checkout/plans/**")
    expect(page.get_by_text("Mastercard ending in 4444")).to_be_visible()

    call_command("testing_set_pending_instalment_due", plan.pk)
    runs.process_payments(workers=1)
    line.refresh_from_db()
    assert (line.state_id, visitor.emulator.ledger.taken_minor(currency="gbp")) == (states.SUCCESS, 63000)
    # Choosing and agreeing, the card form with the deposit, the link of the mail, the plan, and its new card.
    assert len(watch.policies) >= 5


def test_on_the_pages_without_a_plan(watch: Watch, visitor: Payer, books: Books) -> None:  # noqa: F811
    visitor.visit(requests.payer_path(books.request))
    visitor.visit(links.invoice_form(Membership.objects.create(name="Dan")))
    assert len(watch.policies) == 2


def test_what_the_policy_stops_is_seen(watch: Watch, visitor: Payer, books: Books) -> None:  # noqa: F811
    """The tests above, and those of the office, could not fail if nobody saw a script being stopped."""
    visitor.visit(requests.payer_path(books.request))
    visitor.page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {text: 'window.x = 1'}))"
    )
    expect(visitor.page.get_by_role("button", name="Continue to payment")).to_be_visible()
    visitor.page.wait_for_timeout(500)
    assert visitor.page.evaluate("window.x") is None
    assert any("CSP script-src" in problem for problem in visitor.problems)
    visitor.problems.clear()
    watch.reports.clear()
