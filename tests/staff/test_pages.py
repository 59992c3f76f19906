"""The pages say what is true, narrow what is shown, and ask the database a fixed number of questions."""

from __future__ import annotations

import csv
import datetime
import io
import re
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.core.cache import cache
from django.db.models import F
from django.test import Client
from django.urls import resolve, reverse
from post_office import mail

from checkout import advice, clock, states
from checkout.letters import REGISTER
from checkout.models import (
    BalanceTransaction,
    BookDifference,
    BulkItem,
    BulkJob,
    Checkout,
    Customer,
    CustomerPayment,
    Debt,
    Dispute,
    Notice,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    PaymentPlan,
    PaymentRun,
    PaymentRunItem,
    Payout,
    Problem,
    Proposal,
    Refund,
    RunRelease,
    SavedCard,
    StateChange,
    StripeEvent,
)
from checkout.office import figures, pages, selectors
from checkout.office.views.base import MENU
from checkout.office.views.cells import show_money
from checkout.office.views.lists import StaffListView
from checkout.office.views.runs import PaymentRunDetailView
from checkout.services import inbox, refunds, runs
from stripe_emulator import Emulator
from tests.host.models import Membership
from tests.saved import agreed, saved_card
from tests.staff.conftest import Books

pytestmark = pytest.mark.django_db

PLAN = "checkout.object.payment.plan"
LISTS = [
    "checkout.list", "checkout.list.success", "checkout.list.invoice", "checkout.list.audit",
    f"{PLAN}.list", f"{PLAN}.list?show=overdue",
    "checkout.overdue.list", "checkout.overdue.list?show=all", "checkout.ahead.list",
    f"{PLAN}.list?show=waiting",
    f"{PLAN}.list?show=finished", f"{PLAN}.list?show=stopped", f"{PLAN}.list?show=paused", f"{PLAN}.card.expiry.list",
    "checkout.card.refresh.list", "checkout.payment.plan.list", "checkout.payment.run.list", "checkout.customer.list",
    "checkout.payment.run.next", "checkout.run.release.list",
    "checkout.customer.payment.list", "checkout.customer.payment.list?show=open",
    "checkout.refund.list", "checkout.dispute.list", "checkout.problem.list",
    "checkout.change.list", "checkout.change.list?show=all&sort=old", "checkout.many.list",
    "checkout.proposal.list",
    "checkout.event.list", "checkout.books", "checkout.payout.list", "checkout.movement.list",
    "checkout.difference.list?show=all",
    "checkout.dashboard", "run",
]  # fmt: skip


@pytest.fixture
def office(client: Client, boss: Any) -> Client:
    client.force_login(boss)
    return client


def address(name: str) -> str:
    name, _mark, query = name.partition("?")
    if name == "run":
        return reverse(
            "checkout.payment.run.detail", args=[PaymentRun.objects.order_by("pk").values_list("pk", flat=True)[0]]
        )
    return reverse(name) + (f"?{query}" if query else "")


def make_books(row: int, checkout: Checkout) -> None:
    """A payout with a payment in it, and a difference."""
    day = clock.today() - timedelta(days=row)
    payout = Payout.objects.create(
        payout_id=f"po_{uuid.uuid4()}", amount=Decimal("49.05"), status="paid", arrival_on=day, created_at=clock.now(),
        reconciled=True, held_at=clock.now(),
    )  # fmt: skip
    movement = BalanceTransaction.objects.create(
        transaction_id=f"txn_{uuid.uuid4()}", type="charge", category="charge", amount=50, fee=Decimal("0.95"),
        net=Decimal("49.05"), currency="GBP", paid_amount=50, paid_currency="GBP", created_at=clock.now(), day=day,
        available_on=day, month=day.replace(day=1), payout=payout, state="matched", booked=50, checkout=checkout,
    )  # fmt: skip
    BookDifference.objects.create(
        kind="amount", cause=str(uuid.uuid4()), amount=1, day=day, transaction=movement, checkout=checkout
    )


def make_rows(number: int) -> None:
    """So many of everything that any list shows."""
    template, _made = PaymentPlan.objects.get_or_create(
        slug="t", defaults={"name": "T", "deposit": 20, "count": 2, "interval": 1}
    )
    PaymentPlan.objects.create(slug=f"t-{uuid.uuid4()}", name="More", deposit=20, count=2, interval=1)
    run = PaymentRun.objects.order_by("pk").first() or PaymentRun.objects.create()
    PaymentRun.objects.create()
    kind = ContentType.objects.get_for_model(Membership)
    line_kind = ContentType.objects.get_for_model(ObjectPaymentPlanInstalment)
    today = clock.today()
    somebody = get_user_model().objects.order_by("pk").first()
    for row in range(number):
        customer = Customer.objects.create(name="Ann Smith", email=f"{uuid.uuid4()}@example.com")
        card = saved_card(customer, brand="visa", last4="4242", expiry_date=today, refresh=True)
        plan = ObjectPaymentPlan.objects.create(
            content_type=kind, object_id=str(uuid.uuid4()), payment_plan=template, customer=customer, total=100,
            agreement=agreed(card),
            deleted=row % 4 == 1, paused=row % 4 == 2,
        )  # fmt: skip
        for count in (1, 2):
            line = ObjectPaymentPlanInstalment.objects.create(
                object_payment_plan=plan, count=count, deposit=count == 1, amount=50,
                due=today.replace(year=2024, day=count),
                state_id=(
                    states.SUCCESS if row % 4 == 3 or count == 1 else states.FAIL if row % 4 else states.PAY_ON_SESSION
                ),
            )  # fmt: skip
        if row % 4 == 0:
            # To come, and its card will have run out by then.
            ObjectPaymentPlanInstalment.objects.create(
                object_payment_plan=plan, count=3, amount=50, due=today + timedelta(days=30 + row)
            )
        for state in (states.SUCCESS, states.FAIL):
            checkout = Checkout.objects.create(
                action_id="charge", state_id=state, content_type=line_kind, object_id=str(line.pk), customer=customer,
                total=50, payment_intent_id=f"pi_{uuid.uuid4()}", payer=str(customer), settled_at=clock.now(),
                decline_code="do_not_honor", description="One\nTwo",
            )  # fmt: skip
        PaymentRunItem.objects.create(payment_run=run, instalment=line, checkout=checkout, outcome="declined")
        if row % 4 == 0:
            # For the next run: taken back to what nobody has asked for yet.
            ObjectPaymentPlanInstalment.objects.create(
                object_payment_plan=plan, count=4, amount=50, due=today - timedelta(days=row)
            )
        RunRelease.objects.create(
            day=today + timedelta(days=RunRelease.objects.count()), currency="GBP", count=1, total=50, asked_by=somebody
        )
        Refund.objects.create(checkout=checkout, amount=1, state="succeeded", settled_at=clock.now())
        CustomerPayment.objects.create(customer=customer, description="Books", total=20)
        Checkout.objects.create(
            action_id="invoice", state_id=states.SUCCESS, content_type=kind, object_id=str(uuid.uuid4()), total=50,
            payer=str(customer), description="One", settled_at=clock.now(),
        )  # fmt: skip
        Dispute.objects.create(
            kind="dispute", dispute_id=f"du_{uuid.uuid4()}", status="needs_response", amount=50, checkout=checkout,
            opened_at=clock.now(),
        )  # fmt: skip
        StripeEvent.objects.create(event_id=str(uuid.uuid4()), event_type="x", livemode=False, created_at=clock.now())
        Problem.objects.create(kind="paid_too_much", subject=str(uuid.uuid4()), amount=1, checkout=checkout)
        make_books(row, checkout)
        # One of each kind of subject, by turns.
        about: Any = {"checkout": checkout} if row % 2 else {"instalment": line}
        Proposal.objects.create(kind="paid", amount=1, note="12", **about)
        BulkItem.objects.create(job=BulkJob.objects.create(kind="stop", user=somebody), plan=plan)
        StateChange.objects.create(
            from_state="fail", to_state="fail", user=somebody, at=clock.now() - timedelta(minutes=row), **about
        )


def test_the_number_of_queries_does_not_grow(office: Client, count_queries: Callable[..., int]) -> None:
    def asked(name: str) -> int:
        def look() -> None:
            cache.clear()
            assert office.get(address(name)).status_code == 200, name

        look()
        return count_queries(look)

    make_rows(4)
    few = {name: asked(name) for name in LISTS}
    make_rows(20)
    assert {name: asked(name) for name in LISTS} == few
    assert {name: number for name, number in few.items() if number >= 25} == {}


def add_to_the_story(books: Books, boss: Any, number: int) -> None:
    """More of everything that the pages of one thing show."""
    plan, customer = books.plan, books.plan.customer
    assert customer is not None
    last = plan.payments.last()
    assert last is not None
    for each in range(number):
        line = ObjectPaymentPlanInstalment.objects.create(
            object_payment_plan=plan, count=last.count + each + 1, amount=1, due=last.due + timedelta(days=each + 1)
        )
        for owed in (line, books.failed_line, books.request):
            tried = Checkout.objects.create(
                action_id="charge", state_id=states.FAIL, content_type=ContentType.objects.get_for_model(owed),
                object_id=str(owed.pk), customer=customer, total=1, payer=str(customer), description="One",
            )  # fmt: skip
            StateChange.objects.create(checkout=tried, from_state="pending", to_state="fail", user=boss)
        StateChange.objects.create(instalment=line, from_state="pending", to_state="request", user=boss)
        StateChange.objects.create(checkout=books.paid, from_state="success", to_state="success", user=boss)
        Notice.objects.create(
            cause=str(uuid.uuid4()), template="x", recipient="a@b.example", instalment=books.failed_line
        )
        Notice.objects.create(cause=str(uuid.uuid4()), template="x", recipient="a@b.example", checkout=books.paid)
        mail.send(customer.email, "a@b.example", template="plan_agreed")
        Refund.objects.create(checkout=books.paid, amount="0.01", state="succeeded", requested_by=boss)
        CustomerPayment.objects.create(customer=customer, description="Books", total=20)
        ObjectPaymentPlan.objects.create(
            content_type=plan.content_type, object_id=str(uuid.uuid4()), payment_plan=plan.payment_plan,
            customer=customer, total=100,
        )  # fmt: skip
        StripeEvent.objects.create(
            event_id=str(uuid.uuid4()), event_type="x", object_id=books.paid.payment_intent_id, livemode=False,
            created_at=clock.now(),
        )  # fmt: skip


@pytest.mark.parametrize("what", ["plan", "failed_line", "paid", "request", "customer", "dispute"])
def test_one_thing_is_shown_with_as_many_queries_however_much_happened(
    what: str, office: Client, books: Books, boss: Any, count_queries: Callable[..., int]
) -> None:
    if what == "customer":
        url = reverse("checkout.customer.detail", args=[books.plan.customer_id])
    elif what == "dispute":
        url = reverse("checkout.dispute.detail", args=[books.dispute.pk])
    else:
        url = getattr(books, what).get_absolute_url()

    def look() -> None:
        assert office.get(url).status_code == 200

    add_to_the_story(books, boss, 2)
    look()
    few = count_queries(look)
    add_to_the_story(books, boss, 6)
    assert count_queries(look) == few
    assert few < 30


@pytest.mark.parametrize("state", [states.PENDING, states.SUCCESS])
def test_a_plan_of_which_nothing_or_everything_is_paid_is_shown(office: Client, books: Books, state: str) -> None:
    ObjectPaymentPlanInstalment.objects.update(state=state)
    Debt.objects.update(paid=F("owed") if state == states.SUCCESS else 0)
    paid = "£100.00" if state == states.SUCCESS else "£0.00"
    show = "finished" if state == states.SUCCESS else "live"
    assert f">{paid}<" in office.get(reverse(f"{PLAN}.list"), {"show": show}).content.decode()
    assert f"{paid} paid" in office.get(books.plan.get_absolute_url()).content.decode()
    left = "£0.00" if state == states.SUCCESS else "£100.00"
    assert left in office.get(reverse(f"{PLAN}.delete", args=[books.plan.uuid])).content.decode()
    customer = office.get(reverse("checkout.customer.detail", args=[books.plan.customer_id])).content.decode()
    assert f"{paid} of £100.00 paid" in customer


#: The overview shows sums, not rows to page through.
PAGED = [name for name in LISTS if name not in ("checkout.dashboard", "checkout.books")]


def test_every_page_of_a_list_is_reached_once_in_both_directions(office: Client, monkeypatch: Any) -> None:
    make_rows(9)
    monkeypatch.setattr(pages.page, "__defaults__", ("", 3))
    for name in PAGED:
        everything = [row[0] for row in rows_of(office.get(as_csv(name)))]
        assert len(everything) >= 2, name
        forth, url, last = [], address(name), ""
        while url:
            context = office.get(url).context
            forth += first_squares(context)
            url, last = context["after_url"], url
        back: list[str] = []
        while last:
            context = office.get(last).context
            back = first_squares(context) + back
            last = context["before_url"]
        assert forth == everything, name
        assert back == everything, name


def as_csv(name: str) -> str:
    return f"{address(name)}{'&' if '?' in name else '?'}format=csv"


def first_squares(context: Any) -> list[str]:
    cells = [row[0] for row in context["rows"]]
    return [str(cell.text if cell.plain is None else cell.plain) for cell in cells]


def rows_of(answer: Any) -> list[list[str]]:
    text = b"".join(answer.streaming_content).decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text)))[1:]


def test_a_list_is_searched_filtered_sorted_and_exported(office: Client, books: Books) -> None:
    url = reverse("checkout.list")
    for text in (str(books.paid.pk), books.paid.payment_intent_id, str(books.paid.uuid), "bob", "BOB@example.com"):
        assert [row[0] for row in rows_of(office.get(url, {"q": text, "format": "csv"}))] == [str(books.paid.pk)], text
    failed = rows_of(office.get(url, {"state": "fail", "format": "csv"}))
    assert [row[0] for row in failed] == [str(books.failed.pk)]
    assert failed[0][5] == "fail"
    numbers = [int(row[0]) for row in rows_of(office.get(url, {"sort": "old", "format": "csv"}))]
    assert numbers == sorted(numbers)
    assert rows_of(office.get(url, {"since": "2099-01-01", "format": "csv"})) == []
    assert (
        office.get(
            url, {"q": "'; DROP TABLE x; --", "state": "nonsense", "since": "x", "at": "a9", "sort": "y"}
        ).status_code
        == 200
    )


def csv_of(client: Client, name: str) -> list[dict[str, str]]:
    answer = client.get(address(name), {"format": "csv"})
    text = b"".join(answer.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize(
    ("name", "column", "words"),
    [
        ("checkout.list.audit", "State", {"fail", "pending"}),
        (f"{PLAN}.list", "State", {"Overdue"}),
        ("run", "Outcome", {"Declined"}),
        ("checkout.customer.list", "State", {"Good", "No card"}),
        ("checkout.customer.payment.list", "State", {"pending"}),
        ("checkout.dispute.list", "State", {"Needs response"}),
        ("checkout.refund.list", "State", {"pending"}),
    ],
)
def test_a_csv_says_what_is_meant_and_not_which_colour_it_has(
    office: Client, books: Books, name: str, column: str, words: set[str]
) -> None:
    rows = csv_of(office, name)
    assert {row[column] for row in rows} == words
    if name != "checkout.customer.list":
        assert {row["Currency"] for row in rows} == {"GBP"}
        assert "Currency" not in [label["text"] for label in office.get(address(name)).context["labels"]]


def test_times_in_a_csv_are_those_of_the_page(office: Client, books: Books) -> None:
    summer = datetime.datetime(2026, 7, 1, 9, 30, tzinfo=datetime.UTC)
    Checkout.objects.update(created_at=summer)
    assert {row["Begun"] for row in csv_of(office, "checkout.list")} == {"2026-07-01 10:30:00"}
    assert "1 Jul 2026, 10:30" in office.get(address("checkout.list")).content.decode()


#: "1 Jul 2026" and "1. Juli 2026": what a spreadsheet sorts as text.
IN_WORDS = re.compile(r"\b\d{1,2}\.? [A-Z][a-z]+ \d{4}")


def test_days_in_a_csv_are_iso(office: Client) -> None:
    make_rows(4)
    PaymentRun.objects.update(finished_at=clock.now())
    # A cell that is a day and nothing else; a sentence may name one as people do.
    words = [(name, cell) for name in PAGED for row in rows_of(office.get(as_csv(name))) for cell in row]
    assert [(name, cell) for name, cell in words if IN_WORDS.match(cell)] == []


def test_why_a_run_left_a_line_out_is_told_in_the_language_of_whoever_looks(office: Client, books: Books) -> None:
    run = PaymentRun.objects.create()
    for line, note in ((books.failed_line, runs.OTHERS_AT_IT), (books.plan.payments.get(count=4), "ValueError: odd")):
        PaymentRunItem.objects.create(payment_run=run, outcome="skipped", instalment=line, note=note)
    url = reverse("checkout.payment.run.detail", args=[run.pk])
    german = office.get(url, headers={"Accept-Language": "de"}).content.decode()
    assert runs.OTHERS_AT_IT not in german
    assert "Für diese Zahlung ist schon ein anderer Versuch" in german
    assert "ValueError: odd" in german
    assert runs.OTHERS_AT_IT in office.get(url).content.decode()


def test_a_cell_that_looks_like_a_formula_is_made_harmless(office: Client, books: Books) -> None:
    Checkout.objects.filter(pk=books.paid.pk).update(payer="=HYPERLINK(1)")
    [row] = rows_of(office.get(reverse("checkout.list"), {"q": str(books.paid.pk), "format": "csv"}))
    assert row[1] == "'=HYPERLINK(1)"


def test_what_a_payer_is_called_is_text_and_never_markup(office: Client, books: Books) -> None:
    Checkout.objects.filter(pk=books.paid.pk).update(payer="<script>alert(1)</script>")
    text = office.get(reverse("checkout.list")).content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<script>alert" not in text
    assert f'<a href="{books.paid.get_absolute_url()}">{books.paid.pk}</a></th>' in text


def test_what_needs_looking_at_says_why_and_what_next(office: Client, books: Books) -> None:
    text = office.get(reverse("checkout.list.audit")).content.decode()
    assert "There was not enough money on the card." in text
    assert "Charge it again in a few days" in text


def test_one_checkouts_story_has_attempt_mail_and_refund(office: Client, books: Books) -> None:
    text = office.get(books.paid.get_absolute_url()).content.decode()
    for expected in ("£100.00", "Refund of", "Stripe: succeeded", "Bob"):
        assert expected in text


@pytest.mark.parametrize(
    ("action", "customer", "state", "code", "step"),
    [
        # Staff can charge again only what hangs on a saved card, and mail a link only for what is owed.
        ("charge", True, "fail", "insufficient_funds", "Charge it again in a few days"),
        ("payment", True, "fail", "insufficient_funds", "Charge it again in a few days"),
        ("payment", False, "pending", "insufficient_funds", "The payer may try again on the page"),
        ("payment", False, "fail", "insufficient_funds", "Ask the payer to start again"),
        ("payment", False, "fail", "", "Ask the payer to start again"),
        ("payment_plan", True, "fail", "processing_error", "Ask the payer to start again"),
        ("card_refresh", True, "pending", "authentication_required", "The payer may try again on the page"),
        ("payment", False, "fail", "stolen_card", "Do not tell the payer this reason"),
    ],
)
def test_advice_is_something_that_staff_can_do(action: str, customer: bool, state: str, code: str, step: str) -> None:
    checkout = Checkout(action_id=action, state_id=state, decline_code=code, customer_id=1 if customer else None)
    assert step in str(advice.advise(checkout).next_step)


def test_a_story_is_told_in_words(office: Client, books: Books) -> None:
    StripeEvent.objects.create(
        event_id="evt_2", event_type="payment_intent.payment_failed", object_id=books.failed.payment_intent_id,
        livemode=False, created_at=clock.now(), handled_at=clock.now(),
    )  # fmt: skip
    text = office.get(books.failed.get_absolute_url()).content.decode()
    assert "The payment failed" in text
    assert "Failed</span>" in text
    for slug in ("payment_intent.", "pay_on_session</span>", "→"):
        assert slug not in text


def test_a_failed_attempt_leads_to_what_is_owed(office: Client, books: Books) -> None:
    for checkout, action in ((books.failed, True), (books.paid, False)):
        urls = [each["url"] for each in office.get(checkout.get_absolute_url()).context["actions"]]
        assert (books.failed_line.get_absolute_url() in urls) == action


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"refresh": True}, "New card wanted"),
        ({"expiry_date": datetime.date(2020, 1, 31)}, "Has run out"),
        ({}, "Good"),
    ],
)
def test_the_same_is_said_of_a_card_wherever_it_is_listed(
    office: Client, books: Books, changes: dict[str, Any], words: str
) -> None:
    SavedCard.objects.filter(customer=books.plan.customer_id).update(**changes)
    customer = Customer.objects.get(pk=books.plan.customer_id)
    for url in (
        reverse("checkout.customer.list"),
        reverse(f"{PLAN}.card.expiry.list"),
        reverse("checkout.customer.detail", args=[customer.pk]),
    ):
        assert f">{words}</span>" in office.get(url, {"q": "ann"}).content.decode(), url


def test_what_was_given_back_is_not_called_paid(office: Client, books: Books, save_plan: Any) -> None:
    plan = save_plan(email="di@example.com")
    line = plan.payments.get(count=1)
    before = office.get(plan.get_absolute_url()).context["paid"]
    refunds.refund(Checkout.objects.for_content_object(line).success().get(), line.amount)
    after = office.get(plan.get_absolute_url()).context["paid"]
    assert (before, after) == (show_money(line.amount, "GBP"), show_money(Decimal(0), "GBP"))
    listed = selectors.progress([plan])[plan.pk]
    assert (listed.paid_lines, listed.paid) == (1, 0)


def test_what_a_bank_took_back_is_not_called_paid(office: Client, books: Books) -> None:
    """The deposit is disputed."""
    assert office.get(books.plan.get_absolute_url()).context["paid"] == show_money(Decimal(0), "GBP")


def test_stopping_that_was_cut_short_can_be_finished_on_the_plans_page(office: Client, books: Books) -> None:
    page = Checkout.objects.create_checkout_pay_on_session(books.failed_line)
    ObjectPaymentPlan.objects.filter(pk=books.plan.pk).update(deleted=True)
    url = reverse(f"{PLAN}.delete", args=[books.plan.uuid])
    assert "Finish stopping this plan" in office.get(books.plan.get_absolute_url()).content.decode()
    answer = office.post(url, {"seen": seen(office, url), "reason": "moved abroad"}, follow=True)
    assert "The plan was stopped." in answer.content.decode()
    page.refresh_from_db()
    assert page.failed
    assert "stopping this plan" not in office.get(books.plan.get_absolute_url()).content.decode()
    again = office.post(url, {"seen": seen(office, url), "reason": "again"}, follow=True)
    assert "Already done: this plan was stopped." in again.content.decode()


def an_event_that_was_given_up(object_id: str) -> StripeEvent:
    return StripeEvent.objects.create(
        event_id="evt_3", event_type="charge.dispute.updated", object_id=object_id, livemode=False,
        created_at=clock.now(), attempts=len(inbox.GAPS) + 1, next_attempt_at=None, error="Stripe gave no answer.",
    )  # fmt: skip


def test_an_event_is_tried_again_at_once(office: Client, books: Books) -> None:
    event = an_event_that_was_given_up(books.dispute.dispute_id)
    assert "Given up: try it by hand" in office.get(reverse("checkout.event.list")).content.decode()
    answer = office.post(reverse("checkout.event.retry", args=[event.pk]), {"seen": ""}, follow=True)
    assert "The event was handled." in answer.content.decode()
    event.refresh_from_db()
    assert event.outcome == StripeEvent.Outcome.DONE


def test_an_event_that_fails_again_says_why_and_goes_on_being_tried(office: Client, books: Books) -> None:
    event = an_event_that_was_given_up("du_unknown")
    answer = office.post(reverse("checkout.event.retry", args=[event.pk]), {"seen": ""})
    assert answer.status_code == 409
    assert "It failed again: NotFoundAtStripe" in answer.content.decode()
    event.refresh_from_db()
    assert event.attempts == 1
    assert event.next_attempt_at is not None


def test_the_numbers_of_the_overview_lead_to_what_they_count(office: Client, books: Books) -> None:
    # Where dates of disputes have passed, or come near, the card says so as well.
    cards = {
        str(card["text"]).partition(",")[0]: card for card in office.get(reverse("checkout.dashboard")).context["cards"]
    }
    for text in ("Payments late", "Waiting for their payer", "Disputes open", "Events not handled"):
        assert cards[text]["number"] == office.get(cards[text]["url"]).context["count"] == "1", text


def test_the_overview_names_only_cards_that_run_out_soon(office: Client, books: Books) -> None:
    assert office.get(reverse("checkout.dashboard")).context["soonest"] == []
    soon = clock.today() + datetime.timedelta(days=figures.CARD_DAYS)
    SavedCard.objects.filter(customer=books.plan.customer_id).update(expiry_date=soon)
    cache.clear()
    assert [each["name"] for each in office.get(reverse("checkout.dashboard")).context["soonest"]] == ["Ann Smith"]


def seen(client: Client, url: str) -> str:
    return str(client.get(url).context["seen"])


def test_the_same_button_pressed_twice_does_it_once(office: Client, books: Books, emulator: Emulator) -> None:
    url = reverse(f"{PLAN}.instalment.charge", args=[books.failed_line.pk])
    data = {"seen": seen(office, url), "reason": ""}
    before = emulator.ledger.taken_minor()
    for _ in range(3):
        office.post(url, data)
    assert emulator.ledger.taken_minor() == before + int(books.failed_line.amount * 100)
    assert Checkout.objects.for_content_object(books.failed_line).success().count() == 1


@pytest.mark.parametrize(("code", "tags"), [("insufficient_funds", "warning"), (None, "success")])
def test_a_charge_that_was_declined_does_not_look_like_a_success(
    office: Client, books: Books, emulator: Emulator, code: str | None, tags: str
) -> None:
    customer = books.plan.customer
    assert customer is not None
    agreed(books.plan.card)
    url = reverse(f"{PLAN}.instalment.charge", args=[books.failed_line.pk])
    data = {"seen": seen(office, url), "reason": ""}
    asked = {"key": uuid.uuid4(), "email": customer.email, "description": "Books", "amount": "9", "how": "card"}
    [written] = office.post(reverse("checkout.customer.payment.create"), asked, follow=True).context["messages"]
    assert (written.tags, str(written)) == ("info", "The request is written down. Nothing was charged yet.")
    charge = reverse("checkout.customer.payment.charge", args=[asked["key"]])
    for address, form in ((url, data), (charge, {"seen": seen(office, charge), "reason": "by phone"})):
        if code:
            emulator.bank.decline_next(books.plan.card.payment_method_id, code)
        [message] = office.post(address, form, follow=True).context["messages"]
        assert message.tags == tags, str(message)


def test_every_letter_and_every_event_that_is_worked_on_has_words() -> None:
    assert all(advice.mail_name(name) != name.replace("_", " ") for name in REGISTER)
    assert [name for name in inbox.HANDLERS if advice.event_name(name) == name] == []


def test_every_list_is_among_those_tested_here_and_has_an_entry_in_the_menu() -> None:
    listed = {resolve(reverse(name.partition("?")[0])).func.view_class for name in LISTS if name != "run"}
    listed.add(PaymentRunDetailView)
    there = {view for view in every_subclass(StaffListView) if view.heading}
    assert len(there) > 10
    assert there <= listed
    menu = {name for name, _words, _permission in MENU}
    assert {view.menu for view in there} <= menu


def every_subclass(view: type) -> Iterator[Any]:
    for each in view.__subclasses__():
        yield each
        yield from every_subclass(each)


def test_a_day_that_the_next_run_cannot_be_looked_at_for_is_said_to_be_none(office: Client, books: Books) -> None:
    url = reverse("checkout.payment.run.next")
    books.plan.instalments.filter(state="pending").update(due=clock.today() + datetime.timedelta(days=40))
    last = clock.today() + datetime.timedelta(days=31)
    for day in ("2020-01-01", "2099-01-01", "soon"):
        page = " ".join(office.get(url, {"day": day}).content.decode().split())
        assert f"Choose a day from today until {last.day} {last:%b %Y}. This is today&#x27;s run." in page, day
        assert "Nothing is due by that day." in page
        assert "Nothing fits" not in page
    assert "Choose a day from" not in office.get(url, {"day": last.isoformat()}).content.decode()


def test_a_partial_refund_sent_twice_is_one_refund(office: Client, books: Books, emulator: Emulator) -> None:
    url = reverse("checkout.refund.create", args=[books.paid.uuid])
    data = {"seen": seen(office, url), "key": uuid.uuid4(), "amount": "7", "reason": "duplicate", "note": "twice"}
    office.post(url, data)
    office.post(url, data)
    assert Refund.objects.filter(amount=7).count() == 1


def test_what_a_refund_is_filled_in_with_is_taken_in_every_language(office: Client, books: Books) -> None:
    url = reverse("checkout.refund.create", args=[books.paid.uuid])
    german = {"headers": {"accept-language": "de"}}
    filled_in = office.get(url, **german).context["form"]["amount"].value()
    assert filled_in == "90,00"
    data = {"seen": seen(office, url), "key": uuid.uuid4(), "amount": filled_in, "reason": "duplicate", "note": "twice"}
    office.post(url, data | {"sure": "on"}, **german)
    assert Refund.objects.filter(amount=90).count() == 1


def test_who_and_why_are_kept(office: Client, books: Books, boss: Any) -> None:
    url = reverse(f"{PLAN}.instalment.paid", args=[books.failed_line.pk])
    office.post(url, {"seen": seen(office, url), "key": uuid.uuid4(), "reason": "paid in cash"})
    books.failed_line.refresh_from_db()
    assert books.failed_line.state_id == states.SUCCESS
    assert StateChange.objects.filter(user=boss, note="paid in cash", checkout__action="manual").exists()
    assert (
        "paid in cash"
        in office.get(
            Checkout.objects.for_content_object(books.failed_line).get(action="manual").get_absolute_url()
        ).content.decode()
    )


def test_why_an_attempt_was_cancelled_is_told_in_the_language_of_whoever_looks(office: Client, books: Books) -> None:
    url = reverse("checkout.cancel", args=[books.open.uuid])
    office.post(url, {"seen": seen(office, url), "reason": "asked by phone"})
    books.open.refresh_from_db()
    assert (books.open.failure_code, books.open.failure) == ("cancelled_by_staff", "asked by phone")
    for language, said in (("en", "Cancelled by staff"), ("de", "Vom Personal abgebrochen")):
        page = office.get(books.open.get_absolute_url(), headers={"Accept-Language": language}).content.decode()
        # Once as the attempt's own reason, once in its history.
        assert page.count(f"{said}: asked by phone") == 2


def test_the_date_changes_only_while_nobody_has_claimed_the_line(office: Client, books: Books) -> None:
    line = books.plan.payments.get(count=4)
    url = reverse(f"{PLAN}.instalment.due", args=[line.pk])
    token = seen(office, url)
    ObjectPaymentPlanInstalment.objects.filter(pk=line.pk).update(state=states.REQUEST)
    due = line.due
    office.post(url, {"seen": token, "due": "2031-01-01", "reason": "late", "sure": "on"})
    line.refresh_from_db()
    assert line.due == due


def test_the_figures_add_up(office: Client, books: Books) -> None:
    read = figures.figures("GBP", fresh=True)
    month = next(month for month in read.months if month.first == clock.today().replace(day=1))
    assert month.taken == sum(
        (c.total for c in Checkout.objects.success().taking_money() if c.total is not None), Decimal(0)
    )
    assert [(share.name, share.number) for share in read.failures] == [("There was not enough money on the card.", 1)]
    assert read.disputes == 1
    text = office.get(reverse("checkout.dashboard")).content.decode()
    assert "<title id=" in text
    assert "<desc id=" in text
