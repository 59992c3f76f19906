"""A month's work of an office in a real browser, and how many clicks each job takes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

import pytest
from django.urls import reverse
from playwright.sync_api import Locator, expect

from checkout import clock, states
from checkout.journal import Code
from checkout.models import Customer, Letter, ObjectPaymentPlan, ObjectPaymentPlanInstalment, Refund, StateChange
from stripe_emulator import Emulator
from tests.browser.conftest import Payer
from tests.browser.test_staff import office  # noqa: F401 - fixture
from tests.services.conftest import SavePlan, payment_plan, save_plan  # noqa: F401 - fixtures
from tests.staff.conftest import Books, books, boss, site  # noqa: F401 - fixtures

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

#: job: the clicks that it took when the office was first tried as its users would (None: it could not be done at all),
#: and the most that it may take, which is what it takes now. A click is a link, a button, a box or a choice, from the
#: overview on; typing and the Enter key are none.
JOBS: Final[dict[str, tuple[int | None, int]]] = {
    "see why a payment failed, and what to tell the payer": (2, 2),
    "charge the card again": (4, 4),
    "write down a part that came by bank transfer": (None, 5),
    "refund a part": (4, 3),
    "a payment holiday": (42, 5),
    "move the day of a payment that was declined": (None, 4),
    "other amounts, over more months": (None, 5),
    "a fee": (6, 5),
    "a discount": (None, 5),
    "another payer": (None, 5),
    "ask for another card": (None, 3),
    "correct an e-mail address": (None, 3),
    "has everything been paid": (None, 1),
    "send the statement": (None, 3),
    "find a payment by the id of its charge": (None, 1),
    "remind everybody who is late": (160, 4),
    "stop ten plans": (30, 4),
    "send evidence for a dispute": (None, 5),
    "what changed since yesterday": (None, 1),
    "cards that run out": (2, 2),
    "the day book of a month": (None, 2),
    "what comes in the next months": (1, 0),
    "merge two customers": (None, 3),
    "stop a plan": (3, 3),
    "write off what is left": (None, 4),
}


@dataclass
class Desk:
    """Somebody at the office who counts their clicks."""

    visitor: Payer
    save_plan: SavePlan
    clicks: int = 0
    took: dict[str, int] = field(default_factory=dict)

    @property
    def page(self) -> Any:
        return self.visitor.page

    def click(self, what: Locator) -> None:
        self.clicks += 1
        what.click()

    def link(self, name: str | re.Pattern[str]) -> None:
        self.click(self.page.get_by_role("link", name=name, exact=isinstance(name, str)).first)

    def button(self, name: str) -> None:
        self.click(self.page.get_by_role("button", name=name, exact=True))

    def choose(self, label: str, value: str) -> None:
        self.clicks += 1
        self.page.get_by_label(label).select_option(value)

    def menu(self, name: str) -> None:
        self.click(self.page.get_by_role("navigation", name="Office").get_by_role("link", name=name, exact=True))

    def type(self, label: str, text: str) -> None:
        self.page.get_by_label(label).first.fill(text)

    def plan(self, plan: ObjectPaymentPlan, *, of: str) -> None:
        """Its page, by the payer's address."""
        self.search(of)
        self.link(re.compile(f"^Plan {plan.pk}"))

    def search(self, text: str) -> None:
        self.page.get_by_role("searchbox", name="Find anything").fill(text)
        self.page.keyboard.press("Enter")

    def told(self, text: str) -> None:
        expect(self.page.get_by_role("status").first).to_contain_text(text)

    def sees(self, text: str) -> None:
        expect(self.page.get_by_text(text).first).to_be_visible()

    @contextmanager
    def job(self, name: str) -> Iterator[None]:
        """From the overview on."""
        self.visitor.visit(reverse("checkout.dashboard"))
        self.clicks = 0
        yield
        self.took[name] = self.clicks


@pytest.fixture
def desk(office: Payer, save_plan: SavePlan) -> Desk:  # noqa: F811
    return Desk(office, save_plan)


def test_the_month_takes_few_clicks(desk: Desk, books: Books, emulator: Emulator) -> None:  # noqa: F811
    for job in (_what_went_wrong, _money, _the_plan, _people, _looking, _many, _the_end):
        job(desk, books, emulator)
    rows = [(job, before, desk.took[job], most) for job, (before, most) in JOBS.items() if job in desk.took]
    for name, before, now, _most in rows:
        print(f"{name:55} {'not possible' if before is None else before:>12} {now:>4}")
    assert desk.took.keys() == JOBS.keys()
    assert [(name, now) for name, _before, now, most in rows if now > most] == []


def _what_went_wrong(desk: Desk, books: Books, emulator: Emulator) -> None:  # noqa: F811
    with desk.job("see why a payment failed, and what to tell the payer"):
        desk.menu("To look at")
        desk.link(str(books.failed.pk))
        desk.sees("Charge it again in a few days")
    with desk.job("move the day of a payment that was declined"):
        desk.plan(books.plan, of="ann@example.com")
        desk.link("Instalment 1")
        desk.link("Change the due date")
        desk.type("New due date", (clock.today() + timedelta(days=3)).isoformat())
        desk.type("Why", "she is paid on that day")
        desk.button("Change the date")
        desk.told("The date was changed to")
    with desk.job("charge the card again"):
        desk.plan(books.plan, of="ann@example.com")
        desk.link("Instalment 1")
        desk.link("Charge the card now")
        desk.type("Note", "she has money now")
        desk.button("Charge now")
        desk.told("Charged: it is paid.")


def _money(desk: Desk, books: Books, emulator: Emulator) -> None:  # noqa: F811
    with desk.job("write down a part that came by bank transfer"):
        desk.plan(books.plan, of="ann@example.com")
        desk.link("Instalment 3")
        desk.link("Mark as paid")
        desk.type("Amount", "6.67")
        desk.choose("How it came", "bank_transfer")
        desk.type("Why", "came on the third")
        desk.button("Mark as paid")
        desk.told("Written down. £20.00 is left.")
    with desk.job("refund a part"):
        desk.search("bob@example.com")
        desk.link(re.compile(f"^Checkout {books.paid.pk}"))
        desk.link("Refund")
        desk.type("Amount", "12.50")
        desk.type("Why", "left early")
        desk.button("Refund it")
        desk.told("£12.50 refunded.")
    assert Refund.objects.filter(amount="12.50", state="succeeded").count() == 1


def _the_plan(desk: Desk, books: Books, emulator: Emulator) -> None:  # noqa: F811
    def change(kind: str, **terms: str) -> None:
        desk.plan(books.plan, of="ann@example.com")
        desk.link("Change the plan")
        desk.link(kind)
        for label, value in terms.items():
            desk.type(label.replace("_", " "), value)
        if terms or kind == "A pause":
            desk.button("See what it does")
        desk.type("Why", "she asked for it")
        desk.button("Change the plan")

    with desk.job("a payment holiday"):
        change("A pause")
        desk.sees("The plan was changed, and its payer is told.")
    with desk.job("a discount"):
        change("A discount", Amount="2")
        desk.sees("The plan was changed, and its payer is told.")
    with desk.job("a fee"):
        change("A fee", Amount="2")
        desk.sees("The payer is asked by mail.")
    books.plan.changes.get(state="waiting").withdraw()
    with desk.job("another payer"):
        desk.plan(books.plan, of="ann@example.com")
        desk.link("Change the plan")
        desk.link("Another payer")
        desk.type("Name of the new payer", "Rose Lee")
        desk.type("E-mail address of the new payer", "rose@example.com")
        desk.button("See what it does")
        desk.type("Why", "she pays from now on")
        desk.button("Ask the new payer")
        desk.told("The new payer is asked by mail")
    books.plan.changes.get(state="waiting").withdraw()
    with desk.job("other amounts, over more months"):
        first = (clock.today() + timedelta(days=200)).isoformat()
        change("Another number of payments", How_many_payments="4", The_first_on=first)
        desk.sees("The plan was changed, and its payer is told.")


def _people(desk: Desk, books: Books, emulator: Emulator) -> None:  # noqa: F811
    with desk.job("has everything been paid"):
        desk.search("ann@example.com")
        desk.link(re.compile("^Ann Smith"))
        desk.sees("£44.67 to pay")
    with desk.job("send the statement"):
        desk.search("ann@example.com")
        desk.link(re.compile("^Ann Smith"))
        desk.link("Send the statement")
        desk.button("Send the mail")
        desk.told("1 mail is on its way.")
    assert Letter.objects.filter(kind="plan_statement", plan=books.plan).count() == 1
    with desk.job("ask for another card"):
        desk.search("ann@example.com")
        desk.link(re.compile("^Ann Smith"))
        desk.link("Ask for a new card")
        desk.button("Send the mail")
        desk.told("The mail is on its way.")
    with desk.job("correct an e-mail address"):
        desk.search("ann@example.com")
        desk.link(re.compile("^Ann Smith"))
        desk.link("Correct name or address")
        desk.type("E-mail address", "ann.smith@example.com")
        desk.type("Why", "by phone")
        desk.button("Correct it")
        desk.told("Corrected.")
    Customer.objects.create(name="A. Smith", email="a.smith@example.com")
    with desk.job("merge two customers"):
        desk.search("a.smith@example.com")
        desk.link(re.compile("^A. Smith"))
        desk.link("Merge with another")
        desk.page.get_by_label("E-mail address").first.fill("ann.smith@example.com")
        desk.page.keyboard.press("Enter")
        desk.type("Why", "the same person")
        desk.button("Merge them")
        desk.told("Merged.")


def _looking(desk: Desk, books: Books, emulator: Emulator) -> None:  # noqa: F811
    charge = next(row["id"] for row in emulator.world.tables["charge"].values() if row["amount"] == 10000)
    with desk.job("find a payment by the id of its charge"):
        desk.search(charge)
        desk.button("Ask Stripe")
        expect(desk.page.get_by_role("link", name=f"Checkout {books.paid.pk}")).to_be_visible()
    with desk.job("what changed since yesterday"):
        desk.menu("Since yesterday")
        desk.sees("she asked for it")
    with desk.job("cards that run out"):
        desk.menu("Cards")
        desk.link("Running out")
        expect(desk.page.get_by_role("heading", level=1, name="Cards that run out")).to_be_visible()
    with desk.job("what comes in the next months"):
        desk.sees("Expected")
    with desk.job("the day book of a month"):
        desk.menu("Books")
        with desk.page.expect_download():
            desk.link(re.compile("Day book"))
    with desk.job("send evidence for a dispute"):
        desk.menu("Disputes")
        desk.click(desk.page.get_by_role("row").nth(1).get_by_role("link").first)
        desk.link("Send evidence")
        desk.click(desk.page.get_by_label("Send it to the bank now"))
        desk.button("Do it")
        expect(desk.page.get_by_role("status").first).to_be_visible()
    assert StateChange.objects.filter(code=Code.EVIDENCE_SENT).exists()


def _many(desk: Desk, books: Books, emulator: Emulator) -> None:  # noqa: F811
    rows = ObjectPaymentPlanInstalment.objects.filter(object_payment_plan=books.plan).exclude(state_id=states.SUCCESS)
    rows.filter(pk=rows.order_by("count")[:1]).update(due=clock.today() - timedelta(days=9))
    with desk.job("remind everybody who is late"):
        desk.menu("Overdue")
        desk.choose("Many at once", "remind")
        desk.button("To all in this list")
        desk.button("Begin")
        desk.sees("Finished. Done: ")
    for number in range(10):
        desk.save_plan(email=f"zoe{number}@example.com", name=f"Zoe {number}")
    with desk.job("stop ten plans"):
        desk.menu("Plans")
        desk.page.locator("#office-q").fill("zoe")
        desk.page.keyboard.press("Enter")
        desk.choose("Many at once", "stop")
        desk.button("To all in this list")
        desk.type("Why", "the course is cancelled")
        desk.button("Begin")
        desk.sees("Finished. Done: 10 of 10.")
    assert ObjectPaymentPlan.objects.filter(deleted=True, customer__email__startswith="zoe").count() == 10


def _the_end(desk: Desk, books: Books, emulator: Emulator) -> None:  # noqa: F811
    with desk.job("stop a plan"):
        desk.plan(books.plan, of="ann.smith@example.com")
        desk.link("Stop this plan")
        desk.type("Why", "moved abroad")
        desk.button("Stop the plan")
        desk.told("The plan was stopped.")
    with desk.job("write off what is left"):
        desk.plan(books.plan, of="ann.smith@example.com")
        desk.link("Change the plan")
        desk.link("The rest is written off")
        desk.type("Why", "we let it go")
        desk.button("Change the plan")
        desk.sees("Written down.")
    books.plan.refresh_from_db()
    left = sum((line.left for line in books.plan.payments if line.state_id != states.SUCCESS), Decimal(0))
    assert left == 0
