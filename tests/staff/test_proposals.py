"""Above an amount two people decide: what one proposes waits, and another one does it or turns it down."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from post_office.models import Email

from checkout import errors, states
from checkout.models import Checkout, Debt, Posting, Proposal, Refund, StateChange
from checkout.office import proposals
from checkout.services import by_hand, checkouts, plans, refunds
from stripe_emulator import Emulator, faults
from tests.host.models import Membership
from tests.services.test_refunds import paid
from tests.staff.conftest import Books

pytestmark = pytest.mark.django_db

PLAN = "checkout.object.payment.plan"
Kind, State = Proposal.Kind, Proposal.State
StaffWith = Callable[..., Any]
LOOK = (
    "checkout.view_checkout",
    "checkout.view_objectpaymentplaninstalment",
    "checkout.view_customerpayment",
)


@pytest.fixture(autouse=True)
def limit(settings: Any) -> Decimal:
    settings.CHECKOUT_SECOND_PERSON_ABOVE = Decimal(20)
    return Decimal(20)


@pytest.fixture
def ann(staff_with: StaffWith) -> Any:
    """May refund and mark as paid, and see what waits."""
    return staff_with("checkout.refund", "checkout.settle_by_hand", "checkout.view_proposal", *LOOK)


@pytest.fixture
def bob(staff_with: StaffWith) -> Any:
    """May approve."""
    return staff_with("checkout.approve", "checkout.view_proposal")


def browser(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def press(user: Any, name: str, key: Any, **data: Any) -> Any:
    """Open a page as that user and send its form."""
    client, url = browser(user), reverse(name, args=[key])
    shown = client.get(url)
    return client.post(url, {"seen": shown.context["seen"], "key": uuid.uuid4(), **data}, follow=True)


def ask_refund(user: Any, checkout: Checkout, amount: str, **more: str) -> str:
    form = {"amount": amount, "reason": "duplicate", "note": "Twice on 3 May", **more}
    text: str = press(user, "checkout.refund.create", checkout.uuid, **form).content.decode()
    return text


@pytest.fixture
def paid_100(emulator: Emulator, membership: Membership) -> Checkout:
    return paid(emulator, membership)


@pytest.fixture
def proposal(paid_100: Checkout, ann: Any) -> Proposal:
    """Ann wants to give 60 of 100 back."""
    assert "waits for a second person" in ask_refund(ann, paid_100, "60")
    return Proposal.objects.get()


def test_up_to_the_amount_one_person_is_enough(paid_100: Checkout, ann: Any) -> None:
    assert "£20.00 refunded" in ask_refund(ann, paid_100, "20")
    assert (Refund.objects.get().state, Proposal.objects.count()) == (Refund.SUCCEEDED, 0)


def test_without_the_setting_one_person_is_always_enough(paid_100: Checkout, ann: Any, settings: Any) -> None:
    settings.CHECKOUT_SECOND_PERSON_ABOVE = None
    assert "£100.00 refunded" in ask_refund(ann, paid_100, "100")
    assert Proposal.objects.count() == 0
    menu = browser(ann).get(reverse("checkout.refund.create", args=[paid_100.uuid])).content.decode()
    assert reverse("checkout.proposal.list") not in menu


def test_several_small_amounts_are_no_way_around(paid_100: Checkout, ann: Any) -> None:
    assert "£15.00 refunded" in ask_refund(ann, paid_100, "15")
    assert "waits for a second person" in ask_refund(ann, paid_100, "6")
    assert Refund.objects.get().amount == 15


def test_other_currencies_wait_whatever_the_amount(ann: Any, emulator: Emulator) -> None:
    membership = Membership.objects.create(currency="EUR", total=Decimal(5))
    checkout = paid(emulator, membership)
    assert "waits for a second person" in ask_refund(ann, checkout, "1")
    assert Refund.objects.count() == 0


def test_above_it_nothing_is_asked_of_stripe_and_the_row_says_who_what_when_and_why(
    proposal: Proposal, paid_100: Checkout, ann: Any, emulator: Emulator
) -> None:
    assert not [sent for sent in emulator.requests if "/v1/refunds" in sent.path]
    assert (proposal.kind, proposal.checkout, proposal.amount, proposal.currency) == (
        Kind.REFUND, paid_100, Decimal(60), "GBP",
    )  # fmt: skip
    assert (proposal.proposed_by, proposal.note, proposal.reason, proposal.state) == (
        ann, "Twice on 3 May", "duplicate", State.WAITING,
    )  # fmt: skip
    assert proposal.proposed_at is not None
    paid_100.refresh_from_db()
    assert paid_100.refunded == 0


def test_the_second_person_sees_before_and_after_and_approves_once(
    proposal: Proposal, paid_100: Checkout, ann: Any, bob: Any, emulator: Emulator
) -> None:
    page = browser(bob).get(proposal.get_absolute_url())
    assert page.context["before_and_after"] == [
        ("Refunded", "£0.00", "£60.00"),
        ("Can be refunded", "£100.00", "£40.00"),
    ]
    assert "Twice on 3 May" in page.content.decode()
    assert "Approved, and refunded: £60.00" in press(bob, "checkout.proposal.approve", proposal.pk).content.decode()
    proposal.refresh_from_db()
    assert (proposal.state, proposal.decided_by) == (State.APPROVED, bob)
    refund = Refund.objects.get()
    assert (refund.uuid, refund.amount, refund.requested_by) == (proposal.uuid, Decimal(60), ann)
    assert "Already done" in press(bob, "checkout.proposal.approve", proposal.pk).content.decode()
    assert emulator.ledger.refunded_minor(metadata={"checkout": str(paid_100.uuid)}) == 6000
    told = [
        (change.code, change.user)
        for change in StateChange.objects.filter(checkout=paid_100, code__in=["proposed", "approved"]).order_by("pk")
    ]
    assert told == [("proposed", ann), ("approved", bob)]


def test_nobody_approves_their_own(proposal: Proposal, paid_100: Checkout, boss: Any) -> None:
    Proposal.objects.update(proposed_by=boss)
    answer = press(boss, "checkout.proposal.approve", proposal.pk)
    assert "Somebody else has to approve it" in answer.content.decode()
    proposal.refresh_from_db()
    with pytest.raises(errors.CannotPay):
        proposals.approve(proposal, boss)
    with pytest.raises(IntegrityError), transaction.atomic():
        Proposal.objects.update(state=State.APPROVED, decided_by=boss)
    proposal.refresh_from_db()
    assert (proposal.state, Refund.objects.count()) == (State.WAITING, 0)
    offered = browser(boss).get(proposal.get_absolute_url()).context["actions"]
    assert [each["text"] for each in offered] == ["Withdraw it"]


def test_turned_down_is_turned_down(proposal: Proposal, bob: Any) -> None:
    answer = press(bob, "checkout.proposal.refuse", proposal.pk, reason="It was one payment")
    assert "Turned down. Nothing was done." in answer.content.decode()
    proposal.refresh_from_db()
    assert (proposal.state, proposal.decided_by, proposal.decision) == (State.TURNED_DOWN, bob, "It was one payment")
    assert "Already done" in press(bob, "checkout.proposal.approve", proposal.pk).content.decode()
    with pytest.raises(errors.AlreadyPaid):
        proposals.approve(proposal, bob)
    assert Refund.objects.count() == 0


def test_only_whoever_proposed_it_withdraws_it(proposal: Proposal, ann: Any, bob: Any) -> None:
    assert (
        "Only whoever proposed it"
        in press(bob, "checkout.proposal.withdraw", proposal.pk, reason="No").content.decode()
    )
    assert "Withdrawn" in press(ann, "checkout.proposal.withdraw", proposal.pk, reason="A slip").content.decode()
    proposal.refresh_from_db()
    assert (proposal.state, proposal.decided_by) == (State.WITHDRAWN, ann)


def test_while_one_waits_no_other_is_made_about_the_same(proposal: Proposal, paid_100: Checkout, ann: Any) -> None:
    url = reverse("checkout.refund.create", args=[paid_100.uuid])
    assert "A proposal about this waits" in browser(ann).get(url).content.decode()
    with pytest.raises(errors.AttemptInProgress):
        proposals.do_or_propose(Kind.REFUND, paid_100, Decimal(1), ann, "again")
    assert (Proposal.objects.count(), Refund.objects.count()) == (1, 0)


def test_a_form_that_is_sent_twice_proposes_once(paid_100: Checkout, ann: Any) -> None:
    key = uuid.uuid4()
    first, second = (
        proposals.do_or_propose(Kind.REFUND, paid_100, Decimal(60), ann, "twice", reason="duplicate", key=key)
        for _time in range(2)
    )
    assert first == second == Proposal.objects.get()
    small = uuid.uuid4()
    Proposal.objects.update(state=State.WITHDRAWN)
    done = [
        proposals.do_or_propose(Kind.REFUND, paid_100, Decimal(15), ann, "once", reason="duplicate", key=small)
        for _time in range(2)
    ]
    assert done[0] == done[1] == Refund.objects.get()


@pytest.mark.parametrize("gone", ["refunded elsewhere", "disputed"])
def test_a_proposal_whose_ground_is_gone_says_so_and_does_nothing(
    gone: str, proposal: Proposal, paid_100: Checkout, bob: Any
) -> None:
    amount = Decimal(50) if gone == "refunded elsewhere" else Decimal(100)
    refunds.refund(paid_100, amount)
    page = browser(bob).get(proposal.get_absolute_url()).content.decode()
    assert "This can no longer be done" in page
    assert reverse("checkout.proposal.approve", args=[proposal.pk]) not in page
    assert reverse("checkout.proposal.refuse", args=[proposal.pk]) in page
    press(bob, "checkout.proposal.approve", proposal.pk)
    with pytest.raises(errors.CannotPay):
        proposals.approve(proposal, bob)
    proposal.refresh_from_db()
    assert (proposal.state, Refund.objects.count()) == (State.WAITING, 1)


def test_a_page_that_is_old_approves_nothing(proposal: Proposal, paid_100: Checkout, bob: Any) -> None:
    url = reverse("checkout.proposal.approve", args=[proposal.pk])
    client = browser(bob)
    seen = client.get(url).context["seen"]
    refunds.refund(paid_100, Decimal(10))
    assert "look again" in client.post(url, {"seen": seen}, follow=True).content.decode()
    proposal.refresh_from_db()
    assert proposal.waits


def test_a_refund_that_stripe_refuses_is_decided_and_says_why(
    proposal: Proposal, paid_100: Checkout, bob: Any, emulator: Emulator
) -> None:
    emulator.bank.dispute(paid_100.payment_intent_id)
    answer = press(bob, "checkout.proposal.approve", proposal.pk).content.decode()
    assert "Approved, and refused by Stripe" in answer
    proposal.refresh_from_db()
    assert (proposal.state, Refund.objects.get().state) == (State.APPROVED, Refund.FAILED)
    assert "Failed: " in browser(bob).get(proposal.get_absolute_url()).content.decode()


def test_an_answer_of_stripe_that_is_lost_leaves_one_refund_on_its_way(
    proposal: Proposal, bob: Any, emulator: Emulator
) -> None:
    emulator.weather.add(faults.LostAfter(), path=r"POST /v1/refunds$", times=10)
    assert "Stripe gave no answer" in press(bob, "checkout.proposal.approve", proposal.pk).content.decode()
    proposal.refresh_from_db()
    assert (proposal.state, Refund.objects.get().state) == (State.APPROVED, Refund.PENDING)


# -- paid by other means -----------------------------------------------------------------------------------


def test_a_line_that_was_paid_in_cash_waits_and_is_paid_when_approved(books: Books, ann: Any, bob: Any) -> None:
    line = books.failed_line
    answer = press(ann, f"{PLAN}.instalment.paid", line.pk, reason="cash").content.decode()
    assert "waits for a second person" in answer
    line.refresh_from_db()
    assert line.state_id == states.FAIL
    waiting = Proposal.objects.get()
    assert (waiting.amount, waiting.whole, waiting.instalment) == (line.amount, True, line)
    page = browser(bob).get(waiting.get_absolute_url())
    shown = page.context["before_and_after"]
    assert [name for name, _before, _after in shown] == ["Paid by other means", "Left to pay"]
    assert shown[1][2] == "£0.00"
    assert "marked as paid" in press(bob, "checkout.proposal.approve", waiting.pk).content.decode()
    line.refresh_from_db()
    assert (line.state_id, line.left) == (states.SUCCESS, 0)
    settled = Checkout.objects.for_content_object(line).success().get()
    assert (settled.is_manual, settled.user) == (True, ann)


def test_parts_of_a_line_count_together(books: Books, ann: Any, bob: Any) -> None:
    line = books.failed_line
    assert "is left" in press(ann, f"{PLAN}.instalment.paid", line.pk, amount="15", reason="cash").content.decode()
    assert Proposal.objects.count() == 0
    press(ann, f"{PLAN}.instalment.paid", line.pk, amount="7", reason="cash")
    waiting = Proposal.objects.get()
    assert (waiting.amount, waiting.whole) == (Decimal(7), False)
    press(bob, "checkout.proposal.approve", waiting.pk)
    line.refresh_from_db()
    assert line.net_paid == Decimal(22)
    press(bob, "checkout.proposal.approve", waiting.pk)
    assert Posting.objects.filter(debt=line.debt, kind=Posting.Kind.OTHER_MEANS).count() == 2


@pytest.mark.parametrize("what", ["paid", "stopped", "a part came"])
def test_a_line_that_moved_on_is_not_marked_as_paid(what: str, books: Books, ann: Any, bob: Any) -> None:
    line = books.failed_line
    press(ann, f"{PLAN}.instalment.paid", line.pk, reason="cash")
    if what == "paid":
        checkouts.manual(line)
    elif what == "stopped":
        plans.stop(books.plan)
    else:
        by_hand.part_paid(line, Decimal(5), None, "cash")
    postings = Posting.objects.count()
    waiting = Proposal.objects.get()
    assert "This can no longer be done" in browser(bob).get(waiting.get_absolute_url()).content.decode()
    press(bob, "checkout.proposal.approve", waiting.pk)
    with pytest.raises(errors.CannotPay):
        proposals.approve(waiting, bob)
    waiting.refresh_from_db()
    assert (waiting.waits, Posting.objects.count()) == (True, postings)


def test_what_comes_between_looking_and_doing_undoes_the_approval(
    books: Books, ann: Any, bob: Any, monkeypatch: Any
) -> None:
    line = books.failed_line
    press(ann, f"{PLAN}.instalment.paid", line.pk, reason="cash")
    waiting = Proposal.objects.get()

    def too_late(_proposal: Proposal) -> str:
        by_hand.part_paid(line, Decimal(5), None, "cash")
        return ""

    monkeypatch.setattr(proposals, "why_not", too_late)
    with pytest.raises(errors.CannotPay):
        proposals.approve(waiting, bob)
    waiting.refresh_from_db()
    line.refresh_from_db()
    assert (waiting.state, line.state_id, line.net_paid) == (State.WAITING, states.FAIL, Decimal(5))


def test_a_request_and_an_invoice_wait_as_well(books: Books, ann: Any, bob: Any) -> None:
    # Asking for an invoice is not yet paying.
    Membership.objects.filter(name="Inv").update(can_charge=True)
    press(ann, "checkout.customer.payment.paid", books.request.uuid, reason="cheque")
    press(ann, "checkout.invoice.paid", books.invoice.uuid, reason="bank transfer")
    request, invoice = Proposal.objects.order_by("pk")
    assert (request.customer_payment, request.amount) == (books.request, Decimal(25))
    assert (invoice.checkout, invoice.amount) == (books.invoice, Decimal(100))
    listed = browser(bob).get(reverse("checkout.proposal.list")).content.decode()
    for each in (request, invoice):
        assert each.get_absolute_url() in listed
        answer = press(bob, "checkout.proposal.approve", each.pk)
        assert "Approved, and marked as paid" in answer.content.decode()
        each.refresh_from_db()
        assert each.state == State.APPROVED
    books.request.refresh_from_db()
    assert books.request.state_id == states.SUCCESS
    assert Checkout.objects.for_content_object(books.invoice.content_object).filter(action="manual").count() == 1
    assert not [debt for debt in Debt.objects.all() if debt.left < 0]


# -- that something waits is seen ----------------------------------------------------------------------------


def test_the_overview_and_what_to_look_at_say_that_something_waits(proposal: Proposal, boss: Any) -> None:
    client, url = browser(boss), reverse("checkout.proposal.list")
    overview = client.get(reverse("checkout.dashboard"))
    assert [(str(card["text"]), card["number"]) for card in overview.context["cards"] if card["url"] == url] == [
        ("For a second person", "1")
    ]
    assert "1 waits for a second person" in client.get(reverse("checkout.list.audit")).content.decode()
    Proposal.objects.update(state=State.WITHDRAWN)
    assert [card for card in client.get(reverse("checkout.dashboard")).context["cards"] if card["url"] == url] == []
    assert "waits for a second person" not in client.get(reverse("checkout.list.audit")).content.decode()


def test_staff_get_one_mail(settings: Any, paid_100: Checkout, ann: Any) -> None:
    settings.CHECKOUT_NOTIFY_EMAILS = ["office@example.com"]
    settings.CHECKOUT_BASE_URL = "https://shop.example"
    ask_refund(ann, paid_100, "60")
    [sent] = Email.objects.filter(subject__contains="second person")
    assert sent.subject == "This waits for a second person: Refund, £60.00"
    assert "https://shop.example" + Proposal.objects.get().get_absolute_url() in sent.message


def test_before_the_form_is_sent_its_page_says_the_amount(paid_100: Checkout, ann: Any) -> None:
    page = browser(ann).get(reverse("checkout.refund.create", args=[paid_100.uuid])).content.decode()
    assert "Above this a second person approves" in page
    assert "£20.00" in page
