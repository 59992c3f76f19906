"""Each page of the office in a real browser: no barriers, no wider than a phone, and its policy stops nothing.

A long proof: `make pages` looks at every page, `make test` at ALWAYS and at one of PART, the same each time. What the
policy of a page says does not hang on what axe finds there, so that both are seen in one visit.
"""

from __future__ import annotations

import os
import zlib
from typing import Final
from urllib.parse import urlsplit

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from tests.browser.conftest import PHONE, Payer
from tests.browser.test_policy import Watch, watch  # noqa: F401 - a fixture
from tests.browser.test_staff import DESK, keep, office  # noqa: F401 - a fixture
from tests.services.conftest import payment_plan, save_plan  # noqa: F401 - fixtures
from tests.staff.conftest import Books, books, boss, site  # noqa: F401 - fixtures
from tests.staff.test_access import PLAN, TABLE, Staff

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

#: Downloads, and a letter as a mail program shows it, which has a policy of its own (tests/staff/test_letters.py).
NO_PAGE = {
    "checkout.dispute.evidence", "checkout.invoice.paper.pdf", "checkout.letter.html", "checkout.month.day.book",
    "checkout.month.day.book.xlsx", "checkout.month.journal", "checkout.customer.statement.pdf",
    "checkout.debtors",
}  # fmt: skip
PAGES: Final = {name: row for name, row in TABLE.items() if isinstance(row, Staff) and name not in NO_PAGE}
#: One page of so many is looked at; 1: every page.
PART: Final = int(os.environ.get("PAGES_PART", "6"))
#: Those that staff have before them most of the day are among them in any case.
ALWAYS: Final = {"checkout.dashboard", "checkout.detail", f"{PLAN}.detail", "checkout.customer.detail"}
CHOSEN: Final = [name for name in PAGES if name in ALWAYS or zlib.crc32(name.encode()) % PART == 0]


# In two halves, for two processes.
@pytest.mark.parametrize("half", [0, 1])
def test_each_page_has_no_barriers_fits_a_phone_and_keeps_its_policy(
    watch: Watch,  # noqa: F811
    office: Payer,  # noqa: F811
    books: Books,  # noqa: F811
    half: int,
) -> None:
    page = office.page
    seen = set()
    for name in CHOSEN[half::2]:
        page.set_viewport_size(DESK)  # type: ignore[arg-type]
        office.visit(reverse(name, args=list(PAGES[name].args(books))))
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        # Two of them lead back to a list when nothing is chosen.
        seen.add(urlsplit(page.url).path)
        office.expect_accessible()
        keep(page, name, DESK["width"])
        # The same page made narrow: nothing may stick out.
        page.set_viewport_size(PHONE)  # type: ignore[arg-type]
        too_wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert too_wide <= 0, (name, too_wide)
        keep(page, name, PHONE["width"])
    assert watch.policies.keys() == seen != set(), "each was watched; the fixture says what is in its policy"
