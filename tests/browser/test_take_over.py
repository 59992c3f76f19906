"""Another payer takes over a plan: the office asks, and they agree on a phone, with a card that their bank checks."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect
from post_office.models import Email

from checkout import states
from checkout.models import ObjectPaymentPlan
from checkout.services import plans, runs
from checkout.services.letters import writing
from stripe_emulator import Emulator
from tests.browser.conftest import CHALLENGED, PHONE, Payer
from tests.browser.test_staff import DESK, keep, office  # noqa: F401 - fixture
from tests.services.conftest import payment_plan, save_plan  # noqa: F401 - fixtures
from tests.staff.conftest import Books, books, boss, site  # noqa: F401 - fixtures

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def phone(office: Payer) -> Iterator[Payer]:  # noqa: F811
    """Of the new payer, who has never been here."""
    browser = office.page.context.browser
    assert browser is not None
    context = browser.new_context(viewport=PHONE)  # type: ignore[arg-type]
    yield Payer(context.new_page(), office.base, office.emulator)
    context.close()


def looked_at(visitor: Payer, name: str, width: int) -> None:
    visitor.expect_accessible()
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= width
    keep(visitor.page, name, width)


def both(visitor: Payer, name: str) -> None:
    """At a desk, and on a phone."""
    for size in (DESK, PHONE):
        visitor.page.set_viewport_size(size)  # type: ignore[arg-type]
        looked_at(visitor, name, size["width"])


def test_the_office_asks_and_the_new_payer_takes_it_over_on_a_phone(
    office: Payer,  # noqa: F811
    phone: Payer,
    books: Books,  # noqa: F811
    emulator: Emulator,
) -> None:
    desk, plan = office.page, books.plan
    desk.set_viewport_size(DESK)  # type: ignore[arg-type]
    office.visit(plan.get_absolute_url())
    desk.get_by_role("link", name="Change the plan").click()
    desk.get_by_role("link", name="Another payer").click()
    desk.get_by_label("Name of the new payer").fill("Rose Lee")
    desk.get_by_label("E-mail address of the new payer").fill("rose@example.com")
    desk.get_by_role("button", name="See what it does").click()
    expect(desk.get_by_text("agrees by giving a card of their own")).to_be_visible()
    assert "rose" not in desk.url
    both(office, "take-over-asked")
    desk.get_by_label("Why").fill("she pays from now on")
    desk.get_by_role("button", name="Ask the new payer").click()
    expect(desk.get_by_role("status").first).to_contain_text("The new payer is asked by mail")
    both(office, "take-over-waits")

    writing.write_waiting()
    message = Email.objects.filter(to="rose@example.com").latest("pk").message
    link = next(word for word in message.split() if "/take-over/" in word)
    page = phone.page
    phone.visit(urlsplit(link).path)
    phone.expect_heading("Take over a payment plan")
    expect(page.get_by_text("Until now Ann Smith pays.")).to_be_visible()
    both(phone, "take-over")
    page.get_by_role("button", name="I agree, and go on to my card").click()
    phone.expect_heading("Your card")
    both(phone, "take-over-card")
    phone.fill(CHALLENGED)
    page.get_by_role("button", name="Save card").click()
    phone.at_the_bank("Complete authentication")
    page.wait_for_url("**/checkout/plans/**")
    expect(page.get_by_text("your new card is saved")).to_be_visible()
    expect(page.get_by_text("Visa ending in 3220").first).to_be_visible()
    both(phone, "take-over-done")

    office.visit(plan.get_absolute_url())
    expect(desk.get_by_text("Ann Smith <ann@example.com> → Rose Lee <rose@example.com>")).to_be_visible()
    both(office, "take-over-in-force")
    phone.visit(urlsplit(link).path)
    phone.expect_heading("This link is no longer valid")
    assert ObjectPaymentPlan.objects.get(pk=plan.pk).checkout_email == "rose@example.com"
    plans.testing_set_pending_instalment_due(plan)
    runs.process_payments(workers=1)
    assert not plan.instalments.filter(state=states.REQUEST).exists()
