"""The office in a real browser: a morning of its staff, and the pages that only their steps lead to."""

from __future__ import annotations

import os
import re
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings as django_settings
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from playwright.sync_api import expect
from post_office.models import Email

from checkout import links, states
from checkout.models import Checkout, CustomerPayment
from checkout.services import requests
from stripe_emulator import Emulator
from tests.browser.conftest import PHONE, Payer
from tests.host.models import Membership
from tests.services.conftest import payment_plan, save_plan  # noqa: F401 - fixtures
from tests.staff.conftest import Books, books, boss, site, staff_with  # noqa: F401 - fixtures

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

DESK = {"width": 1280, "height": 900}


@pytest.fixture
def office(visitor: Payer, books: Books, boss: Any, settings: Any) -> Payer:  # noqa: F811
    """A member of staff, logged in, at an office with a bit of everything."""
    cache.clear()
    settings.CHECKOUT_BASE_URL = visitor.base
    client = Client()
    client.force_login(boss)
    session = client.cookies[django_settings.SESSION_COOKIE_NAME].value
    visitor.page.context.add_cookies(
        [{"name": django_settings.SESSION_COOKIE_NAME, "value": session, "url": visitor.base}]
    )
    return visitor


def keep(page: Any, name: str, width: int) -> None:
    """A picture to look at, when CHECKOUT_SCREENSHOTS names a folder."""
    folder = os.environ.get("CHECKOUT_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(Path(folder) / f"{name}-{width}.png"), full_page=True)


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_the_payers_pages_are_free_of_barriers(visitor: Payer, books: Books, viewport: dict[str, int]) -> None:  # noqa: F811
    visitor.page.set_viewport_size(viewport)  # type: ignore[arg-type]
    visitor.visit(requests.payer_path(books.request))
    visitor.expect_accessible()
    keep(visitor.page, "request-pay", viewport["width"])
    visitor.visit(links.invoice_form(Membership.objects.create(name="Dan")))
    visitor.expected.append("status of 422")
    visitor.page.get_by_role("button", name="Ask for the invoice").click()
    expect(visitor.page.get_by_text("Enter the town or city.")).to_be_visible()
    visitor.expect_accessible()
    keep(visitor.page, "invoice", viewport["width"])


def test_a_plan_is_changed_in_the_office_and_agreed_to_by_its_payer(office: Payer, books: Books) -> None:  # noqa: F811
    """Four presses of staff, and one of the payer."""
    page = office.page
    office.visit(books.plan.get_absolute_url())
    page.get_by_role("link", name="Change the plan").click()
    page.get_by_role("link", name="A fee").click()
    page.get_by_label("Amount").fill("5")
    page.get_by_role("button", name="See what it does").click()
    expect(page.get_by_text("so they have to agree")).to_be_visible()
    for width in (PHONE["width"], DESK["width"]):
        page.set_viewport_size({"width": width, "height": 900})
        office.expect_accessible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        keep(page, "plan-change", width)
        # A box to tick stands at the edge of its card, like the fields above it, and not in the middle of a line.
        why, tick = (page.get_by_label(name).bounding_box() for name in ("Why", "agreement on paper"))
        assert why is not None
        assert tick is not None
        assert (tick["x"], tick["width"] < 48) == (why["x"], True)
    page.get_by_label("Why").fill("late")
    page.get_by_role("button", name="Change the plan").click()
    expect(page.get_by_text("The payer is asked by mail.")).to_be_visible()
    keep(page, "plan-changed", DESK["width"])
    office.visit(urlsplit(links.plan_page(books.plan)).path)
    expect(page.get_by_role("heading", name="A change of your plan is proposed")).to_be_visible()
    for width in (PHONE["width"], DESK["width"]):
        page.set_viewport_size({"width": width, "height": 900})
        office.expect_accessible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        keep(page, "plan-proposed", width)
    page.get_by_role("button", name="I agree", exact=True).click()
    expect(page.get_by_text("Thank you. Your plan is changed")).to_be_visible()
    assert books.plan.payments.get(count=4).amount == Decimal("31.67")


def test_what_was_cash_is_written_down_and_undone_in_the_office(office: Payer, books: Books) -> None:  # noqa: F811
    page, line = office.page, books.failed_line
    office.visit(line.get_absolute_url())
    page.get_by_role("link", name="Mark as paid").click()
    page.get_by_label("How it came").select_option("cash")
    page.get_by_label("Why").fill("at the desk")
    for width in (PHONE["width"], DESK["width"]):
        page.set_viewport_size({"width": width, "height": 900})
        office.expect_accessible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        keep(page, "mark-paid", width)
    page.get_by_role("button", name="Mark as paid").click()
    page.get_by_role("link", name="Undo £26.66").click()
    expect(page.get_by_text("It cannot itself be undone")).to_be_visible()
    for width in (PHONE["width"], DESK["width"]):
        page.set_viewport_size({"width": width, "height": 900})
        office.expect_accessible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        keep(page, "undo", width)
    page.get_by_label("Why").fill("the wrong student")
    page.get_by_role("button", name="Undo it").click()
    expect(page.get_by_text("Undone: £26.66 is not paid any more.")).to_be_visible()
    expect(page.get_by_role("cell", name="Undone", exact=True)).to_be_visible()
    keep(page, "undone", DESK["width"])
    line.refresh_from_db()
    assert line.left == Decimal("26.66")


def test_every_page_of_the_menu_is_reached_by_keyboard(office: Payer) -> None:
    page = office.page
    office.visit(reverse("checkout.list"))
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "office-main"
    names = page.get_by_role("navigation", name="Office").get_by_role("link").all_inner_texts()
    for name in names:
        page.get_by_role("navigation", name="Office").get_by_role("link", name=name, exact=True).focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("navigation", name="Office").locator("[aria-current=page]")).to_have_text(name)


def test_a_morning_in_the_office(office: Payer, books: Books, emulator: Emulator, settings: Any) -> None:  # noqa: F811
    """Find a failed instalment, read why, charge it again, mark another as paid, refund part of a third, stop a plan,
    ask a customer for money and see it paid by the link."""
    page = office.page

    # Find what failed, read why, and charge it again.
    office.visit(reverse("checkout.dashboard"))
    page.get_by_role("link", name="To look at", exact=True).click()
    expect(page.get_by_text("There was not enough money on the card.")).to_be_visible()
    page.get_by_role("link", name=str(books.failed.pk), exact=True).click()
    expect(page.get_by_text("Charge it again in a few days", exact=False)).to_be_visible()
    page.get_by_role("link", name=re.compile("Membership, One year, Instalment 1")).click()
    page.get_by_role("link", name="Charge the card now").click()
    page.get_by_label("Note").fill("spoke to her, she has money now")
    page.get_by_role("button", name="Charge now").click()
    expect(page.get_by_role("status")).to_contain_text("Charged: it is paid.")
    books.failed_line.refresh_from_db()
    assert books.failed_line.state_id == states.SUCCESS

    # Mark another as paid.
    office.visit(books.plan.get_absolute_url())
    page.get_by_role("link", name="Instalment 3").click()
    page.get_by_role("link", name="Mark as paid").click()
    office.expected.append("status of 422")
    page.get_by_role("button", name="Mark as paid").click()
    expect(page.get_by_text("This field is required.")).to_be_visible()
    page.get_by_label("Why").fill("paid in cash at the desk")
    page.get_by_role("button", name="Mark as paid").click()
    expect(page.get_by_role("status")).to_contain_text("Marked as paid.")
    expect(page.get_by_text("paid in cash at the desk").first).to_be_visible()

    # Refund part of a third.
    office.visit(reverse("checkout.list"))
    page.get_by_label("Search").fill("bob")
    page.get_by_role("button", name="Show").click()
    page.get_by_role("link", name=str(books.paid.pk), exact=True).click()
    page.get_by_role("link", name="Refund", exact=True).click()
    page.get_by_label("Amount").fill("12.50")
    page.get_by_label("Why").fill("left early")
    page.get_by_role("button", name="Refund it").click()
    expect(page.get_by_role("status")).to_contain_text("£12.50 refunded.")
    assert emulator.ledger.refunded_minor(metadata={"checkout": str(books.paid.uuid)}) == 1250

    # Stop a plan.
    office.visit(books.plan.get_absolute_url())
    page.get_by_role("link", name="Stop this plan").click()
    page.get_by_label("Why").fill("moved abroad")
    page.get_by_role("button", name="Stop the plan").click()
    expect(page.get_by_role("status")).to_contain_text("The plan was stopped.")
    books.plan.refresh_from_db()
    assert books.plan.deleted

    # Ask a customer for money, and see it paid by the link.
    page.get_by_role("link", name="Requests", exact=True).click()
    page.get_by_role("link", name="Ask for an amount").click()
    page.get_by_label("E-mail address").fill("finn@example.com")
    page.get_by_label("Name").fill("Finn")
    page.get_by_label("What for").fill("Materials")
    page.get_by_label("Amount").fill("18.00")
    page.get_by_role("button", name="Ask for it").click()
    expect(page.get_by_role("status")).to_contain_text("The mail with the link is on its way.")
    mail = Email.objects.filter(to="finn@example.com").get()
    link = re.search(r"http\S+/request/\S+", mail.message)
    assert link is not None
    page.context.clear_cookies()
    page.goto(link[0])
    page.get_by_role("button", name="Continue to payment").click()
    office.pay()
    expect(page.get_by_role("heading", name="Thank you, this is paid")).to_be_visible()
    payment = CustomerPayment.objects.get(customer__email="finn@example.com")
    assert payment.state_id == states.SUCCESS
    paid = Checkout.objects.for_content_object(payment).get()
    assert paid.total == Decimal(18)
    assert emulator.ledger.taken_minor(metadata={"checkout": str(paid.uuid)}) == 1800


def test_the_overview_fits_a_phone_in_a_language_of_long_words(office: Payer) -> None:
    office.page.set_extra_http_headers({"Accept-Language": "de"})
    office.page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    for name in ("checkout.dashboard", "checkout.doctor", "checkout.books"):
        office.visit(reverse(name))
        assert office.page.evaluate("document.documentElement.lang") == "de"
        assert office.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], name


def test_the_list_is_exported_as_it_is_shown(office: Payer, books: Books) -> None:  # noqa: F811
    page = office.page
    office.visit(reverse("checkout.list"))
    page.get_by_label("State").select_option("fail")
    page.get_by_role("button", name="Show").click()
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download as CSV").click()
    text = Path(waiting.value.path()).read_text("utf-8-sig")
    assert text.splitlines()[0].startswith("Number,Payer,What for")
    assert [line.split(",")[0] for line in text.splitlines()[1:]] == [str(books.failed.pk)]


def test_staff_find_a_payment_by_its_charge_and_pause_a_plan_they_ticked(
    office: Payer,
    books: Books,  # noqa: F811
    emulator: Emulator,
) -> None:
    page = office.page
    charge = next(row["id"] for row in emulator.world.tables["charge"].values() if row["amount"] == 10000)
    office.visit(reverse("checkout.dashboard"))
    page.get_by_role("searchbox", name="Find anything").fill(charge)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Ask Stripe").click()
    expect(page.get_by_role("link", name=f"Checkout {books.paid.pk}")).to_be_visible()
    for width in (PHONE["width"], DESK["width"]):
        page.set_viewport_size({"width": width, "height": 900})
        office.expect_accessible()
        keep(page, "search-asked", width)
    for width, name in ((PHONE["width"], "many-list"), (DESK["width"], "many-list")):
        page.set_viewport_size({"width": width, "height": 900})
        office.visit(reverse("checkout.object.payment.plan.list"))
        office.expect_accessible()
        keep(page, name, width)
    page.get_by_role("checkbox").first.check()
    page.get_by_label("Many at once").select_option("pause")
    page.get_by_role("button", name="To the chosen rows").click()
    expect(page.get_by_role("heading", name="What would become of them")).to_be_visible()
    for width in (PHONE["width"], DESK["width"]):
        page.set_viewport_size({"width": width, "height": 900})
        office.expect_accessible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        keep(page, "many-looked-at", width)
    page.get_by_label("Why").fill("the hall burnt down")
    page.get_by_role("button", name="Begin").click()
    expect(page.get_by_text("Finished. Done: 1 of 1. the hall burnt down")).to_be_visible()
