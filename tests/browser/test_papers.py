"""Receipts and statements, from the link of a letter and without a login, on a phone."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pypdf
import pytest
from playwright.sync_api import expect
from post_office.models import Email

from checkout import mail
from checkout.services import papers
from checkout.services.letters import writing
from stripe_emulator import Emulator
from tests.browser.conftest import PHONE, VISA, Payer
from tests.browser.test_on_session import owe

pytestmark = pytest.mark.browser

DESK = {"width": 1280, "height": 900}


def look_at(visitor: Payer, name: str) -> None:
    """On a phone and at a desk, light and dark: nothing sticks out, and everybody can read it. With SCREENSHOTS, a
    folder, it leaves pictures there."""
    page = visitor.page
    for size in (PHONE, DESK):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            visitor.expect_accessible()
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
            if folder := os.environ.get("SCREENSHOTS"):
                page.screenshot(path=f"{folder}/{name}-{size['width']}-{scheme}.png", full_page=True)
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(PHONE)


def test_the_receipt_of_an_instalment_as_a_file_from_the_link_of_its_letter(
    visitor: Payer, emulator: Emulator, settings: Any, tmp_path: Path
) -> None:
    mail.install()
    settings.CHECKOUT_PAYER_MAY_MOVE_DAYS = 7
    debt = owe(emulator, VISA)
    writing.write_waiting()
    letter = Email.objects.filter(message__contains="?receipt=").latest("pk")
    [link] = re.findall(r"https?://\S+\?receipt=\S+", letter.message)
    visitor.page.set_viewport_size(PHONE)
    visitor.visit(urlsplit(link)._replace(scheme="", netloc="").geturl())
    [number] = set(re.findall(r"R-\d{4}-\d{5}", letter.message))
    visitor.expect_heading(f"Receipt {number}")
    expect(visitor.page.get_by_text("Visa ending in 4242")).to_be_visible()
    look_at(visitor, "receipt")
    with visitor.page.expect_download() as download:
        visitor.page.get_by_role("link", name="Save as PDF").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    assert file.name == f"receipt-{number}.pdf"
    printed = " ".join(pypdf.PdfReader(file).pages[0].extract_text().split())
    assert f"Receipt {number}" in printed
    assert "£21.25" in printed
    # The page hides the rest of the site from the printer.
    visitor.page.emulate_media(media="print")
    expect(visitor.page.get_by_role("link", name="Save as PDF")).to_be_hidden()
    expect(visitor.page.get_by_text("Visa ending in 4242")).to_be_visible()
    visitor.page.emulate_media(media="screen")
    visitor.page.get_by_role("link", name="All payments").click()
    visitor.expect_heading("Your payments")
    visitor.page.get_by_text("Move it to a later day").click()
    expect(visitor.page.get_by_label("New day")).to_be_visible()
    look_at(visitor, "plan")
    visitor.page.get_by_role("link", name="Statement of what was agreed").click()
    visitor.expect_heading("Statement")
    expect(visitor.page.get_by_text("Left to pay")).to_be_visible()
    look_at(visitor, "statement")
    assert sum(row.total or 0 for row in papers.receipts_of(debt.plan)) * 100 == emulator.ledger.taken_minor()
