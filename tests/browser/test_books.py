"""A bookkeeper closes a month in a real browser: explains what is left, closes, and sees what was kept."""

from __future__ import annotations

import csv
import hashlib
import io
from datetime import timedelta
from decimal import Decimal

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from checkout import clock
from checkout.models import BalanceTransaction, BookDifference, BookMonth, LookBack
from checkout.office.views.books import month_name
from tests.browser.conftest import PHONE, Payer
from tests.browser.test_staff import DESK, books, boss, keep, office, payment_plan, save_plan, site  # noqa: F401

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def last_month_with_a_correction() -> BalanceTransaction:
    """Everything was taken in, and one correction of Stripe's is not explained."""
    month = (clock.today().replace(day=1) - timedelta(days=1)).replace(day=1)
    row = BalanceTransaction.objects.create(
        transaction_id="txn_c", type="adjustment", category="other_adjustment", description="Fee correction",
        amount=Decimal("2.50"), fee=0, net=Decimal("2.50"), currency="GBP", paid_amount=Decimal("2.50"),
        paid_currency="GBP", created_at=clock.now(), day=month, available_on=month, month=month, state="differs",
        taken_in_at=clock.now() - timedelta(minutes=5),
    )  # fmt: skip
    BookDifference.objects.create(
        kind="adjustment", cause="adjustment:txn_c", subject="txn_c", amount=Decimal("2.50"), day=month,
        transaction=row,
    )  # fmt: skip
    # The month ends at least so long before, whatever the day.
    for what in ("balance", "books"):
        LookBack.objects.create(what=what, until=clock.now())
    return row


def test_a_month_is_explained_and_closed(office: Payer) -> None:  # noqa: F811
    row = last_month_with_a_correction()
    page = office.page
    page.set_viewport_size(DESK)  # type: ignore[arg-type]
    office.visit(reverse("checkout.dashboard"))
    page.get_by_role("navigation", name="Office").get_by_role("link", name="Books").click()
    page.get_by_role("navigation", name="Month").get_by_role("link", name=month_name(row.month)).click()
    expect(page.get_by_text("1 difference is open.")).to_be_visible()
    expect(page.get_by_role("link", name="Close the month")).to_have_count(0)
    keep(page, "books-open", DESK["width"])

    page.get_by_role("main").get_by_role("link", name="Differences").click()
    page.get_by_role("link", name="Stripe corrected the balance").click()
    expect(page.get_by_text("Read what Stripe says about it", exact=False)).to_be_visible()
    page.get_by_role("link", name="Explain it").click()
    page.get_by_label("Why").fill("Agreed with Stripe's support")
    page.get_by_role("button", name="Explain it").click()
    expect(page.get_by_role("status")).to_contain_text("Explained.")
    expect(page.get_by_text("Agreed with Stripe's support")).to_be_visible()
    office.expect_accessible()
    keep(page, "difference-explained", DESK["width"])

    office.visit(f"{reverse('checkout.books')}?month={row.month:%Y-%m}")
    expect(page.get_by_text("Nothing is left to explain", exact=False)).to_be_visible()
    page.get_by_role("link", name="Close the month").click()
    page.get_by_label("Note").fill("For the accountant")
    page.get_by_role("button", name="Close the month").click()
    closed = BookMonth.objects.get()
    expect(page.get_by_role("status")).to_contain_text(closed.sha256)
    expect(page.get_by_role("link", name="Close the month")).to_have_count(0)
    office.expect_accessible()
    keep(page, "books-closed", DESK["width"])
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    keep(page, "books-closed", PHONE["width"])

    with page.expect_download() as download:
        page.get_by_role("link", name="Day book (CSV)").click()
    text = download.value.path().read_bytes()
    assert hashlib.sha256(text).hexdigest() == closed.sha256
    assert [each["net"] for each in csv.DictReader(io.StringIO(text.decode("utf-8-sig")))] == ["2.50"]
