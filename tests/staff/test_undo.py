"""What staff wrote down can be undone: by a posting, with a reason, and everybody who was told is told."""

from __future__ import annotations

import datetime
import uuid
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import formats
from post_office.models import Email

from checkout import clock, errors, states
from checkout.models import Checkout, ObjectPaymentPlan, Posting, Proposal, StateChange
from checkout.office import proposals
from checkout.services import booking, by_hand, checkouts, on_session, papers, requests, runs
from checkout.services.letters import writing
from stripe_emulator import Emulator
from tests.host.models import Membership
from tests.services.conftest import SavePlan, make_due
from tests.staff.conftest import boss, site, staff_with  # noqa: F401 - fixtures
from tests.views.test_plan_link import link, page_of, text

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]

PAID = "checkout.object.payment.plan.instalment.paid"
UNDO = "checkout.paid.undo"


@pytest.fixture
def office(boss: Any) -> Client:  # noqa: F811
    client = Client()
    client.force_login(boss)
    return client


@pytest.fixture
def plan(save_plan: SavePlan) -> ObjectPaymentPlan:
    """£20.00 paid; £26.66 due today, £26.67 and £26.67 to come."""
    found = save_plan(email="ann@example.com")
    make_due(found)
    return found


def mark_paid(office: Client, line: Any, **said: Any) -> Posting:
    url = reverse(PAID, args=[line.pk])
    data = {"seen": office.get(url).context["seen"], "key": uuid.uuid4(), "reason": "cash"} | said
    assert office.post(url, data).status_code == 302
    return Posting.objects.filter(kind="other_means").latest("pk")


def undo(office: Client, posting: Posting, **said: Any) -> Any:
    url = reverse(UNDO, args=[posting.pk])
    page = office.get(url)
    due = page.context["form"].fields["due"].initial if "due" in page.context["form"].fields else ""
    data = {"seen": page.context["seen"], "key": uuid.uuid4(), "due": due, "reason": "the wrong student"} | said
    return office.post(url, data, follow=True)


def mails(subject: str) -> list[Email]:
    writing.write_waiting()
    return list(Email.objects.filter(to="ann@example.com", subject__contains=subject).order_by("pk"))


def test_day_method_and_reference_are_kept_and_stand_on_the_receipt(office: Client, plan: ObjectPaymentPlan) -> None:
    line = plan.payments.get(count=2)
    day = clock.today() - timedelta(days=3)
    posting = mark_paid(office, line, day=day.isoformat(), method="cheque", reference="000123")
    assert (posting.day, posting.method, posting.reference, posting.note) == (day, "cheque", "000123", "")
    sheet = papers.receipt(Checkout.objects.get(action="manual"))
    assert ("Paid with", "Cheque") in sheet.facts
    assert dict(sheet.facts)["Paid on"] == formats.date_format(day, "DATE_FORMAT")
    url = reverse(PAID, args=[plan.payments.get(count=3).pk])
    data = {"seen": office.get(url).context["seen"], "key": uuid.uuid4(), "reason": "cash"}
    future = (clock.today() + timedelta(days=1)).isoformat()
    assert "has not come yet" in text(office.post(url, data | {"day": future}))


def test_a_line_is_owed_again_and_taken_on_its_new_day_and_every_page_says_so(
    office: Client, plan: ObjectPaymentPlan, emulator: Emulator, client: Client
) -> None:
    line = plan.payments.get(count=2)
    posting = mark_paid(office, line)
    [told] = mails("Thank you") or mails("payment")[-1:]
    assert "Undo £26.66" in text(office.get(line.get_absolute_url()))
    answer = undo(office, posting)
    assert "Undone: £26.66 is not paid any more." in text(answer)
    line.refresh_from_db()
    assert (line.state_id, line.net_paid, line.left) == (states.PENDING, Decimal(0), Decimal("26.66"))
    assert line.due == clock.today() + timedelta(days=7), "its payer hears of it first"
    undone = Posting.objects.get(kind="undone")
    assert (undone.amount, undone.note) == (Decimal("-26.66"), "the wrong student")
    assert Posting.objects.filter(pk=posting.pk).exists(), "nothing is deleted"
    assert not booking.wrong_counters()
    page = text(office.get(plan.get_absolute_url()))
    assert "£20.00 paid" in page
    assert "26.66 GBP by other means was undone: the wrong student" in page
    assert "Undo £26.66" not in text(office.get(line.get_absolute_url()))
    [letter] = mails("Not paid after all: £26.66")
    assert "So £26.66 is still to pay." in letter.message
    assert told.pk < letter.pk
    client.get(link(plan))
    assert "withdrawn" in text(client.get(page_of(plan)))
    sheet = papers.receipt(Checkout.objects.get(action="manual"))
    assert (sheet.title, sheet.amount[1]) == ("Receipt, withdrawn", "£0.00")
    assert runs.process_payments(workers=1).items.count() == 0
    with time_machine.travel(clock.now() + timedelta(days=7)):
        runs.process_payments(workers=1)
    line.refresh_from_db()
    assert line.state_id == states.SUCCESS
    assert emulator.ledger.taken_minor() == 2000 + 2666


def test_a_payer_who_was_told_nothing_gets_no_letter_and_the_receipt_that_waits_does_not_go(
    office: Client, plan: ObjectPaymentPlan
) -> None:
    writing.write_waiting()
    before = Email.objects.filter(to="ann@example.com").count()
    undo(office, mark_paid(office, plan.payments.get(count=2)))
    part = mark_paid(office, plan.payments.get(count=3), amount="6.66")
    undo(office, part)
    with time_machine.travel(clock.now() + timedelta(hours=1)):
        writing.write_waiting()
    assert Email.objects.filter(to="ann@example.com").count() == before


def test_a_part_is_undone_and_its_payer_who_was_told_is_told(office: Client, plan: ObjectPaymentPlan) -> None:
    line = plan.payments.get(count=3)
    posting = mark_paid(office, line, amount="6.66")
    with time_machine.travel(clock.now() + timedelta(hours=1)):
        writing.write_waiting()
        before, due = line.state_id, line.due
        undo(office, posting)
        [letter] = mails("Not paid after all: £6.66")
    assert "So £26.67 is still to pay." in letter.message
    line.refresh_from_db()
    assert (line.state_id, line.due, line.left) == (before, due, Decimal("26.67"))


def test_a_line_that_was_paid_in_part_and_by_card_owes_the_part_again(
    office: Client, plan: ObjectPaymentPlan, emulator: Emulator
) -> None:
    line = plan.payments.get(count=2)
    posting = mark_paid(office, line, amount="6.66")
    runs.process_payments(workers=1)
    undo(office, posting)
    line.refresh_from_db()
    assert (line.state_id, line.left) == (states.PENDING, Decimal("6.66"))
    with time_machine.travel(clock.now() + timedelta(days=7)):
        runs.process_payments(workers=1)
    line.refresh_from_db()
    assert (line.state_id, line.left) == (states.SUCCESS, 0)
    assert emulator.ledger.taken_minor() == 2000 + 2666
    assert not booking.wrong_counters()


def test_it_is_undone_once_however_often_it_is_pressed(office: Client, plan: ObjectPaymentPlan, boss: Any) -> None:  # noqa: F811
    posting = mark_paid(office, plan.payments.get(count=2))
    undo(office, posting)
    page = office.get(reverse(UNDO, args=[posting.pk]))
    assert "This was undone already." in text(page)
    with pytest.raises(errors.AlreadyPaid):
        by_hand.undo(posting, boss, "again")
    assert Posting.objects.filter(kind="undone").count() == 1
    taken = Posting.objects.filter(kind="taken").latest("pk")
    assert office.get(reverse(UNDO, args=[taken.pk])).status_code == 404
    with pytest.raises(errors.CannotPay, match="given back"):
        by_hand.undo(taken, boss, "a card")


def test_a_page_that_asks_for_the_rest_is_ended_first(
    office: Client, plan: ObjectPaymentPlan, emulator: Emulator
) -> None:
    line = plan.payments.get(count=2)
    posting = mark_paid(office, line, amount="6.66")
    open_page = on_session.create_checkout_pay_on_session(line)
    undo(office, posting)
    open_page.refresh_from_db()
    assert open_page.failed
    line.refresh_from_db()
    assert on_session.create_checkout_pay_on_session(line).total == Decimal("26.66")


def test_what_cannot_be_is_refused_and_nothing_is_done(office: Client, plan: ObjectPaymentPlan) -> None:
    line, other = plan.payments.get(count=2), plan.payments.get(count=3)
    posting = mark_paid(office, line)
    assert "This plan has a payment on that day already" in text(undo(office, posting, due=other.due.isoformat()))
    yesterday = (clock.today() - timedelta(days=1)).isoformat()
    assert "Choose today or a later day." in text(undo(office, posting, due=yesterday))
    assert not Posting.objects.filter(kind="undone").exists()
    part = mark_paid(office, other, amount="6.67")
    plan.propose_change("write_off", "moved away")
    assert "Undo that change of the plan first." in text(office.get(reverse(UNDO, args=[part.pk])))


def test_a_request_waits_again(office: Client, boss: Any) -> None:  # noqa: F811
    payment = requests.create(email="ann@example.com", name="Ann", description="Books", total=Decimal(25))
    url = reverse("checkout.customer.payment.paid", args=[payment.uuid])
    office.post(url, {"seen": office.get(url).context["seen"], "reason": "cash", "method": "cash"})
    posting = Posting.objects.get(kind="other_means")
    assert posting.method == "cash"
    assert mails("£25.00")
    assert reverse(UNDO, args=[posting.pk]) in office.get(payment.get_absolute_url()).content.decode()
    undo(office, posting)
    payment.refresh_from_db()
    assert payment.state_id == states.PENDING
    [letter] = mails("Not paid after all")
    assert "https://shop.example/checkout/request/" in letter.message
    requests.paid_by_hand(payment, boss, "after all")
    assert booking.wrong_counters().count() == 0


def test_a_row_of_the_site_is_told_and_its_invoice_can_be_paid_again(
    office: Client,
    boss: Any,  # noqa: F811
    monkeypatch: Any,
) -> None:
    heard: list[Checkout] = []
    monkeypatch.setattr(Membership, "checkout_undone", lambda _row, checkout: heard.append(checkout), raising=False)
    membership = Membership.objects.create(name="Ann", email="ann@example.com")
    paid = checkouts.manual(membership, boss, "bank transfer")
    assert Checkout.objects.paid().filter(pk=paid.pk).exists()
    posting = Posting.objects.get(kind="other_means")
    undo(office, posting)
    assert heard == [paid]
    paid.refresh_from_db()
    assert paid.undone_at is not None
    assert not Checkout.objects.paid().filter(pk=paid.pk).exists()
    assert "Undone" in text(office.get(paid.get_absolute_url()))
    assert [row.note for row in StateChange.objects.filter(checkout=paid, code="payment_undone")] == [
        "the wrong student"
    ]

    def refuse(_row: Membership, _checkout: Checkout) -> None:
        raise RuntimeError("no")

    Membership.objects.filter(pk=membership.pk).update(can_charge=True)
    membership.refresh_from_db()
    again = checkouts.manual(membership, boss, "after all")
    monkeypatch.setattr(Membership, "checkout_undone", refuse, raising=False)
    assert undo(office, Posting.objects.filter(checkout=again, kind="other_means").get()).status_code == 409
    again.refresh_from_db()
    assert again.undone_at is None, "what the site's row refuses is not undone"


def test_above_the_limit_a_second_person_undoes_it(
    office: Client,
    plan: ObjectPaymentPlan,
    settings: Any,
    staff_with: Any,  # noqa: F811
) -> None:
    line = plan.payments.get(count=2)
    posting = mark_paid(office, line)
    settings.CHECKOUT_SECOND_PERSON_ABOVE = Decimal(20)
    assert "waits for a second person" in text(undo(office, posting))
    line.refresh_from_db()
    assert line.state_id == states.SUCCESS
    proposal = Proposal.objects.get()
    assert (proposal.kind, proposal.posting, proposal.amount) == ("undo", posting, Decimal("26.66"))
    bob = staff_with("checkout.approve", "checkout.view_proposal")
    second = Client()
    second.force_login(bob)
    page = second.get(proposal.get_absolute_url())
    assert page.context["before_and_after"] == [("Paid by other means", "£26.66", "£0.00")]
    url = reverse("checkout.proposal.approve", args=[proposal.pk])
    answer = second.post(url, {"seen": second.get(url).context["seen"]}, follow=True)
    assert "Approved, and undone: £26.66." in text(answer)
    line.refresh_from_db()
    assert (line.state_id, line.due) == (states.PENDING, proposal.day)
    with pytest.raises(errors.CheckoutError):
        proposals.approve(proposal, bob)


def test_several_small_amounts_are_no_way_around_the_second_person(
    office: Client, plan: ObjectPaymentPlan, settings: Any
) -> None:
    line = plan.payments.get(count=3)
    parts = [mark_paid(office, line, amount="8") for _time in range(3)]
    settings.CHECKOUT_SECOND_PERSON_ABOVE = Decimal(20)
    undo(office, parts[0])
    undo(office, parts[1])
    assert "waits for a second person" in text(undo(office, parts[2]))
    assert Posting.objects.filter(kind="undone").count() == 2


# -- changes of a plan -------------------------------------------------------------------------------------


def standing(plan: ObjectPaymentPlan) -> list[tuple[Any, ...]]:
    rows = plan.payments.select_related("debt")
    return [(row.count, row.due, row.debt.owed, row.ended, row.state_id) for row in rows if row.debt is not None]


@pytest.mark.parametrize(
    ("kind", "terms"),
    [
        ("discount", {"amount": Decimal(30)}),
        ("write_off", {}),
        ("pause", {"months": 2}),
        ("fee", {"amount": Decimal(5), "on_paper": True}),
        ("split", {"count": 5, "first": datetime.date(2031, 1, 1), "interval": 1, "on_paper": True}),
    ],
)
def test_a_change_is_undone_by_another_version(
    plan: ObjectPaymentPlan,
    boss: Any,  # noqa: F811
    kind: str,
    terms: dict[str, Any],
) -> None:
    plan.instalments.filter(count=2).update(due=clock.today() + timedelta(days=1))
    before, total = standing(plan), plan.total
    plan.propose_change(kind, "as agreed", boss, **terms)
    change = plan.propose_change("undo", "a slip", boss, number=1, on_paper=True)
    assert change.is_in_force
    made = [row for row in standing(plan) if row[3] == "taken_off" and row[0] > 4]
    assert [row for row in standing(plan) if row not in made] == before
    assert [row[2] for row in made] == [0] * len(made)
    plan.refresh_from_db()
    assert plan.total == total
    assert not booking.wrong_counters()
    assert sum(row.amount for row in Posting.objects.filter(kind__in=["discount", "fee", "written_off"])) == 0
    with pytest.raises(errors.PlanError, match="undone already"):
        plan.propose_change("undo", "again", boss, number=1)


def test_the_payer_agrees_before_a_discount_is_undone_and_hears_it_in_words(
    office: Client, plan: ObjectPaymentPlan
) -> None:
    plan.propose_change("discount", "early bird", amount=Decimal(5))
    page = office.get(plan.get_absolute_url())
    assert "?kind=undo&amp;number=1&amp;look=1" in page.content.decode()
    url = reverse("checkout.object.payment.plan.change", args=[plan.uuid])
    looked = office.get(url, {"kind": "undo", "number": "1", "look": "1"})
    data = {"kind": "undo", "number": "1", "seen": looked.context["found"].seen, "reason": "not paid early"}
    office.post(url, data)
    assert plan.changes.get(number=2).waits
    [letter] = mails("Please decide")
    assert "A discount does not hold any more: £5.00 more is to pay." in letter.message
    assert "Undo it" not in text(office.get(plan.get_absolute_url()))


def test_what_has_changed_since_is_not_undone(plan: ObjectPaymentPlan, boss: Any) -> None:  # noqa: F811
    plan.propose_change("discount", "early bird", boss, amount=Decimal(5))
    checkouts.manual(plan.payments.get(count=4), boss, "cash")
    with pytest.raises(errors.PlanError, match="has changed since"):
        plan.propose_change("undo", "a slip", boss, number=1)
    with pytest.raises(errors.PlanError, match="no such change"):
        plan.propose_change("undo", "a slip", boss, number=7)
