"""Every address of the app, tried by everybody, by GET and by POST. An address without a row here fails the test."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import Sum
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, resolve, reverse

from checkout import clock, links
from checkout.models import (
    BalanceTransaction,
    BookDifference,
    BookNote,
    BulkItem,
    BulkJob,
    Checkout,
    CheckoutSettings,
    Customer,
    CustomerPayment,
    Dispute,
    Notice,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    PaymentPlan,
    PaymentRun,
    Payout,
    PlanChange,
    Posting,
    Problem,
    Proposal,
    Refund,
    RunRelease,
    SavedCard,
    StateChange,
    StripeEvent,
)
from checkout.office.views.lists import StaffListView
from checkout.services import by_hand, plan_previews, problems, releases
from stripe_emulator import Emulator
from tests.host.models import Membership
from tests.staff.conftest import ADDRESS, Books

pytestmark = pytest.mark.django_db

PLAN = "checkout.object.payment.plan"
OK, TO_LOGIN, MOVED, FORBIDDEN, MISSING, NOT_ALLOWED = {200}, {302}, {302}, {403}, {404}, {405}


@dataclass
class Staff:
    """A staff page. `post` is what an action wants; None means that the page takes no POST."""

    permission: str
    args: Callable[[Books], Iterable[Any]] = lambda books: ()
    post: Callable[[Books], dict[str, Any]] | None = None
    #: What a POST with the permission answers.
    done: set[int] = field(default_factory=lambda: {302})
    #: What a GET with the permission answers.
    shown: set[int] = field(default_factory=lambda: {200})


@dataclass
class Public:
    """Any other address: what each visitor is answered, (GET, POST)."""

    args: Callable[[Books], Iterable[Any]]
    anonymous: tuple[set[int], set[int]]
    payer: tuple[set[int], set[int]]
    other: tuple[set[int], set[int]]
    staff: tuple[set[int], set[int]]


def a_change_that_waits(books: Books) -> PlanChange:
    waiting = books.plan.changes.filter(state=PlanChange.State.WAITING).first()
    return waiting or books.plan.propose_change("payer", "§ 4", name="Cleo", email="gran@example.com")


def a_part_in_cash(books: Books) -> Posting:
    found = by_hand.standing_for(books.failed_line.debt_id)
    if not found:
        by_hand.part_paid(books.failed_line, Decimal(5), None, "12 x 5")
        found = by_hand.standing_for(books.failed_line.debt_id)
    return found[0]


def reason(books: Books) -> dict[str, Any]:
    return {"reason": "asked by phone"}


def a_later_day(books: Books) -> dict[str, Any]:
    return {"day": clock.today() + timedelta(days=7), "reason": "by phone"}


def a_problem(books: Books) -> Problem:
    return problems.open_problem("paid_too_much", "12", amount=Decimal(5), currency="GBP", checkout=books.paid)


def refused(books: Books) -> Problem:
    Checkout.objects.filter(pk=books.paid.pk).update(unapplied=True)
    return problems.open_about(books.paid, "not_wanted", "12")


def a_run_under_way() -> PaymentRun:
    return PaymentRun.objects.filter(finished_at=None).first() or PaymentRun.objects.create()


def a_stopped_run() -> PaymentRun:
    if releases.stopped_run() is None:
        a_run_under_way()
        releases.stop(None, "spare")
    found = releases.stopped_run()
    assert found is not None
    return found


def a_release(books: Books) -> RunRelease:
    found = RunRelease.objects.filter(state=RunRelease.State.WAITING).first()
    return found or releases.ask(clock.today(), "GBP", [(books.failed_line.pk, Decimal(5))], None)


def a_payout() -> Payout:
    """With a payment in it, and a penny that nobody can name."""
    today = clock.today()
    payout, new = Payout.objects.get_or_create(
        payout_id="po_1",
        defaults={
            "amount": Decimal("98.31"), "status": "paid", "arrival_on": today, "created_at": clock.now(),
            "reconciled": True, "held_at": clock.now(),
        },
    )  # fmt: skip
    if new:
        BalanceTransaction.objects.create(
            transaction_id="txn_1", type="charge", category="charge", amount=100, fee=Decimal("1.70"),
            net=Decimal("98.30"), currency="GBP", paid_amount=100, paid_currency="GBP", created_at=clock.now(),
            day=today, available_on=today, month=today.replace(day=1), payout=payout, state="matched", booked=100,
        )  # fmt: skip
    return payout


def a_difference(books: Books) -> BookDifference:
    """Money of nobody: Stripe does not know it, either."""
    a_payout()
    row, new = BookDifference.objects.get_or_create(
        cause="charge_not_here:pi_12",
        defaults={
            "kind": "charge_not_here", "subject": "pi_12", "amount": Decimal(42), "day": clock.today(),
            "transaction": BalanceTransaction.objects.get(transaction_id="txn_1"),
        },
    )  # fmt: skip
    if new:
        BookNote.objects.create(difference=row, amount=row.amount)
    return row


def a_proposal(books: Books) -> Proposal:
    """One of a colleague's, who has left since."""
    about: Any = {"kind": "paid", "instalment": books.failed_line, "state": "waiting"}
    made = Proposal.objects.filter(**about).first()
    left = books.failed_line.left
    return made or Proposal.objects.create(amount=left, whole=True, note="12", **about)


def a_bulk_job(books: Books) -> BulkJob:
    """Of a colleague's; the line was paid meanwhile."""
    made = BulkJob.objects.filter(finished_at=None).first()
    if made is None:
        made = BulkJob.objects.create(kind="remind")
        BulkItem.objects.create(job=made, instalment=books.paid_line)
    return made


def nothing(books: Books) -> dict[str, Any]:
    return {}


def ask_form(books: Books) -> dict[str, Any]:
    return {
        "key": uuid.uuid4(), "email": "new@example.com", "name": "New", "description": "Books", "amount": "12.50",
        "how": "link",
    }  # fmt: skip


TABLE: dict[str, Staff | Public] = {
    "checkout.dashboard": Staff("checkout.view_dashboard"),
    "checkout.search": Staff("checkout.view_checkout", post=lambda b: {"q": "ch_unknown"}, done=OK),
    "checkout.change.list": Staff("checkout.view_statechange"),
    "checkout.many.list": Staff("checkout.view_bulkjob"),
    "checkout.many.detail": Staff("checkout.view_bulkjob", lambda b: [a_bulk_job(b).uuid]),
    "checkout.many.go": Staff("checkout.change_bulkjob", lambda b: [a_bulk_job(b).uuid], nothing),
    # Without a word of what is to be done they lead back to the list.
    "checkout.many.plans": Staff("checkout.view_objectpaymentplan", shown=MOVED),
    "checkout.many.overdue": Staff("checkout.view_objectpaymentplaninstalment", shown=MOVED),
    # Nothing is chosen, so nothing is begun.
    **{
        f"checkout.many.{kind}": Staff(
            permission,
            lambda b: ["plans"],
            lambda b: {"key": uuid.uuid4(), "months": 1, "due": clock.today()} | reason(b),
            done={409},
        )
        for kind, permission in (
            ("remind", "checkout.send_mail"),
            ("move", "checkout.change_objectpaymentplaninstalment"),
            ("pause", "checkout.change_objectpaymentplan"),
            ("stop", "checkout.delete_objectpaymentplan"),
            ("write_off", "checkout.change_objectpaymentplan"),
        )
    },
    "checkout.list": Staff("checkout.view_checkout"),
    "checkout.list.success": Staff("checkout.view_checkout"),
    "checkout.list.invoice": Staff("checkout.view_checkout"),
    "checkout.list.audit": Staff("checkout.view_checkout"),
    "checkout.detail": Staff("checkout.view_checkout", lambda b: [b.paid.uuid]),
    "checkout.cancel": Staff("checkout.cancel_attempt", lambda b: [b.open.uuid], reason),
    "checkout.look": Staff("checkout.view_checkout", lambda b: [b.open.uuid], nothing),
    "checkout.invoice.paid": Staff("checkout.settle_by_hand", lambda b: [b.invoice.uuid], reason),
    "checkout.invoice.paper": Staff("checkout.view_checkout", lambda b: [b.invoice.uuid]),
    "checkout.invoice.paper.pdf": Staff("checkout.view_checkout", lambda b: [b.invoice.uuid]),
    "checkout.refund.create": Staff(
        "checkout.refund",
        lambda b: [b.paid.uuid],
        lambda b: {"key": uuid.uuid4(), "amount": "5", "reason": "duplicate", "note": "twice"},
    ),
    "checkout.refund.list": Staff("checkout.view_refund"),
    "checkout.refund.look": Staff("checkout.refund", lambda b: [b.refund.uuid], nothing),
    "checkout.problem.list": Staff("checkout.view_problem"),
    "checkout.problem.detail": Staff("checkout.view_problem", lambda b: [a_problem(b).pk]),
    "checkout.problem.apply": Staff("checkout.change_problem", lambda b: [refused(b).pk], nothing),
    "checkout.problem.take": Staff("checkout.change_problem", lambda b: [a_problem(b).pk], nothing),
    "checkout.problem.close": Staff("checkout.change_problem", lambda b: [a_problem(b).pk], reason),
    "checkout.paid.undo": Staff(
        "checkout.settle_by_hand", lambda b: [a_part_in_cash(b).pk], lambda b: {"key": uuid.uuid4(), "reason": "a slip"}
    ),
    "checkout.proposal.list": Staff("checkout.view_proposal"),
    "checkout.proposal.detail": Staff("checkout.view_proposal", lambda b: [a_proposal(b).pk]),
    "checkout.proposal.approve": Staff("checkout.approve", lambda b: [a_proposal(b).pk], nothing),
    "checkout.proposal.refuse": Staff("checkout.approve", lambda b: [a_proposal(b).pk], reason),
    # Somebody else's: nothing is done, and the page says why.
    "checkout.proposal.withdraw": Staff("checkout.view_proposal", lambda b: [a_proposal(b).pk], reason),
    "checkout.books": Staff("checkout.view_payout"),
    # Nobody has taken in what moved in it, so it stays open.
    "checkout.month.close": Staff("checkout.close_month", lambda b: ["2026-01"], nothing),
    "checkout.month.day.book": Staff("checkout.view_balancetransaction", lambda b: ["2026-01"]),
    "checkout.month.day.book.xlsx": Staff("checkout.view_balancetransaction", lambda b: ["2026-01"]),
    "checkout.month.journal": Staff("checkout.view_balancetransaction", lambda b: ["2026-01", "datev"]),
    "checkout.debtors": Staff("checkout.view_objectpaymentplaninstalment"),
    "checkout.payout.list": Staff("checkout.view_payout"),
    "checkout.payout.detail": Staff("checkout.view_payout", lambda b: [a_payout().pk]),
    "checkout.movement.list": Staff("checkout.view_balancetransaction"),
    "checkout.difference.list": Staff("checkout.view_bookdifference"),
    "checkout.difference.detail": Staff("checkout.view_bookdifference", lambda b: [a_difference(b).pk]),
    # Stripe knows nothing of it.
    "checkout.difference.adopt": Staff(
        "checkout.change_bookdifference", lambda b: [a_difference(b).pk], nothing, done={409}
    ),
    "checkout.difference.give.back": Staff("checkout.refund", lambda b: [a_difference(b).pk], reason, done={409}),
    "checkout.difference.explain": Staff("checkout.change_bookdifference", lambda b: [a_difference(b).pk], reason),
    "checkout.dispute.list": Staff("checkout.view_dispute"),
    "checkout.dispute.detail": Staff("checkout.view_dispute", lambda b: [b.dispute.pk]),
    "checkout.dispute.send": Staff(
        "checkout.change_dispute",
        lambda b: [b.dispute.pk],
        lambda b: {"product_description": "A course", "uncategorized_text": "She came.", "how": "keep"},
    ),
    "checkout.dispute.evidence": Staff("checkout.view_dispute", lambda b: [b.dispute.pk]),
    f"{PLAN}.list": Staff("checkout.view_objectpaymentplan"),
    f"{PLAN}.detail": Staff("checkout.view_objectpaymentplan", lambda b: [b.plan.uuid]),
    f"{PLAN}.delete": Staff("checkout.delete_objectpaymentplan", lambda b: [b.plan.uuid], reason),
    f"{PLAN}.resume": Staff("checkout.charge", lambda b: [b.plan.uuid], reason),
    f"{PLAN}.change": Staff(
        "checkout.change_objectpaymentplan",
        lambda b: [b.plan.uuid],
        lambda b: (
            {
                "kind": "discount",
                "amount": "5",
                "seen": plan_previews.preview(b.plan, "discount", amount=Decimal(5)).seen,
            }
            | reason(b)
        ),
    ),
    f"{PLAN}.withdraw": Staff("checkout.change_objectpaymentplan", lambda b: [a_change_that_waits(b).uuid], reason),
    f"{PLAN}.payday": Staff("checkout.change_objectpaymentplan", lambda b: [b.plan.uuid], lambda b: {"pay_day": "25"}),
    f"{PLAN}.statement": Staff("checkout.send_mail", lambda b: [b.plan.uuid], nothing),
    f"{PLAN}.revoke": Staff("checkout.send_mail", lambda b: [b.plan.uuid], reason),
    f"{PLAN}.card.expiry.list": Staff("checkout.view_customer"),
    "checkout.card.refresh.list": Staff("checkout.view_customer"),
    f"{PLAN}.instalment": Staff("checkout.view_objectpaymentplaninstalment", lambda b: [b.failed_line.pk]),
    f"{PLAN}.instalment.paid": Staff(
        "checkout.settle_by_hand", lambda b: [b.failed_line.pk], lambda b: {"key": uuid.uuid4(), "reason": "cash"}
    ),
    f"{PLAN}.instalment.charge": Staff("checkout.charge", lambda b: [b.failed_line.pk], nothing),
    f"{PLAN}.instalment.ask": Staff("checkout.send_mail", lambda b: [b.failed_line.pk], nothing),
    "checkout.ahead.list": Staff("checkout.view_objectpaymentplaninstalment"),
    "checkout.overdue.list": Staff("checkout.view_objectpaymentplaninstalment"),
    f"{PLAN}.instalment.promise": Staff("checkout.change_followup", lambda b: [b.failed_line.pk], a_later_day),
    f"{PLAN}.instalment.snooze": Staff("checkout.change_followup", lambda b: [b.failed_line.pk], a_later_day),
    f"{PLAN}.instalment.done": Staff("checkout.change_followup", lambda b: [b.failed_line.pk], reason),
    f"{PLAN}.instalment.due": Staff(
        "checkout.change_objectpaymentplaninstalment",
        lambda b: [b.plan.payments.get(count=4).pk],
        # Years away, so it is asked about once more.
        lambda b: {"due": "2031-05-17", "reason": "holiday", "sure": "on"},
    ),
    "checkout.payment.plan.list": Staff("checkout.view_paymentplan"),
    "checkout.payment.plan.create": Staff(
        "checkout.add_paymentplan",
        post=lambda b: {"name": "New", "slug": "new", "deposit": 10, "count": 2, "interval": 1},
    ),
    "checkout.payment.plan.update": Staff(
        "checkout.change_paymentplan",
        lambda b: [b.unused_template.pk],
        lambda b: {"name": "Other", "slug": "spare", "deposit": 10, "count": 3, "interval": 1},
    ),
    "checkout.payment.plan.version": Staff(
        "checkout.add_paymentplan",
        lambda b: [b.template.pk],
        lambda b: {"name": "Standard", "deposit": 30, "count": 3, "interval": 1},
    ),
    "checkout.payment.plan.delete": Staff("checkout.delete_paymentplan", lambda b: [b.unused_template.pk], nothing),
    "checkout.payment.run.list": Staff("checkout.view_paymentrun"),
    "checkout.payment.run.detail": Staff("checkout.view_paymentrun", lambda b: [b.run.pk]),
    "checkout.payment.run.next": Staff("checkout.view_paymentrun"),
    "checkout.payment.run.stop": Staff("checkout.stop_run", lambda b: [a_run_under_way().pk], reason),
    "checkout.payment.run.go": Staff("checkout.stop_run", lambda b: [a_stopped_run().pk], lambda b: {}),
    "checkout.run.release.list": Staff("checkout.view_paymentrun"),
    "checkout.run.release.ask": Staff("checkout.ask_release", post=reason),
    "checkout.run.release.detail": Staff("checkout.view_paymentrun", lambda b: [a_release(b).pk]),
    "checkout.run.release.give": Staff("checkout.release_run", lambda b: [a_release(b).pk], reason),
    "checkout.run.release.refuse": Staff("checkout.view_paymentrun", lambda b: [a_release(b).pk], reason),
    "checkout.customer.list": Staff("checkout.view_customer"),
    "checkout.customer.detail": Staff("checkout.view_customer", lambda b: [b.plan.customer_id]),
    "checkout.customer.refresh": Staff("checkout.send_mail", lambda b: [b.plan.customer_id], nothing),
    "checkout.customer.statement.send": Staff("checkout.send_mail", lambda b: [b.plan.customer_id], nothing),
    "checkout.customer.correct": Staff(
        "checkout.change_customer",
        lambda b: [b.plan.customer_id],
        lambda b: {"name": "Ann Smith", "email": "ann.smith@example.com", "reason": "by phone"},
    ),
    "checkout.customer.merge": Staff(
        "checkout.change_customer",
        lambda b: [b.plan.customer_id],
        lambda b: {"into": b.request.customer.email, "reason": "same person"},
        # The other one was not looked at yet.
    ),
    "checkout.customer.note": Staff(
        "checkout.change_customer", lambda b: [b.plan.customer_id], lambda b: {"note": "Calls back in May."}
    ),
    "checkout.customer.statement": Staff("checkout.view_customer", lambda b: [b.plan.customer_id]),
    "checkout.customer.statement.pdf": Staff("checkout.view_customer", lambda b: [b.plan.customer_id]),
    "checkout.customer.payment.list": Staff("checkout.view_customerpayment"),
    "checkout.customer.payment.create": Staff("checkout.add_customerpayment", post=ask_form),
    "checkout.customer.payment.detail": Staff("checkout.view_customerpayment", lambda b: [b.request.uuid]),
    "checkout.customer.payment.send": Staff("checkout.send_mail", lambda b: [b.request.uuid], nothing),
    "checkout.customer.payment.charge": Staff("checkout.charge", lambda b: [b.request.uuid], reason, done={409}),
    "checkout.customer.payment.paid": Staff("checkout.settle_by_hand", lambda b: [b.request.uuid], reason),
    "checkout.customer.payment.withdraw": Staff("checkout.add_customerpayment", lambda b: [b.request.uuid], reason),
    "checkout.customer.payment.revoke": Staff("checkout.send_mail", lambda b: [b.request.uuid], reason),
    "checkout.notice.again": Staff("checkout.send_mail", lambda b: [b.notice.pk], nothing),
    "checkout.event.list": Staff("checkout.view_stripeevent"),
    # Stripe does not know what it is about, so it fails again, and the page says so.
    "checkout.event.retry": Staff("checkout.change_stripeevent", lambda b: [b.event.pk], nothing, done={409}),
    "checkout.doctor": Staff("checkout.view_scheduledjob", post=nothing, done=OK),
    "checkout.letter.register": Staff("checkout.view_checkoutsettings"),
    "checkout.letter.detail": Staff("checkout.view_checkoutsettings", lambda b: ["plan_agreed"]),
    "checkout.letter.html": Staff("checkout.view_checkoutsettings", lambda b: ["plan_agreed"]),
    "checkout.settings": Staff("checkout.view_checkoutsettings", post=lambda b: {"default_payment_plan": ""}),
    # -- payers' addresses. "payer" began the attempt `books.open` by login; nobody here paid in this browser.
    "checkout.health": Public(lambda b: [], *[(OK | {503}, NOT_ALLOWED)] * 4),
    "checkout.brand": Public(lambda b: [], *[(OK, NOT_ALLOWED)] * 4),
    "checkout.csp.report": Public(lambda b: [], *[(NOT_ALLOWED, {204})] * 4),
    "checkout.health.full": Public(lambda b: [], *[({401}, NOT_ALLOWED)] * 4),
    "checkout.health.metrics": Public(lambda b: [], *[({401}, NOT_ALLOWED)] * 4),
    "checkout.webhook": Public(lambda b: [], *[(NOT_ALLOWED, {400})] * 4),
    "checkout.return": Public(
        lambda b: [b.open.uuid],
        anonymous=(MISSING, MISSING | NOT_ALLOWED),
        payer=(OK, NOT_ALLOWED),
        other=(MISSING, MISSING | NOT_ALLOWED),
        staff=(MISSING, MISSING | NOT_ALLOWED),
    ),
    "checkout.pay": Public(
        lambda b: [b.open.uuid],
        anonymous=(MISSING, MISSING | NOT_ALLOWED),
        payer=(OK, MOVED | NOT_ALLOWED),
        other=(MISSING, MISSING | NOT_ALLOWED),
        staff=(MISSING, MISSING | NOT_ALLOWED),
    ),
    "checkout.deposit": Public(
        lambda b: [b.open.uuid],
        anonymous=(MISSING, MISSING | NOT_ALLOWED),
        payer=(MISSING | MOVED, MISSING | MOVED | NOT_ALLOWED),
        other=(MISSING, MISSING | NOT_ALLOWED),
        staff=(MISSING, MISSING | NOT_ALLOWED),
    ),
    # The signed link is the permission: whoever holds it may pay this one debt.
    "checkout.pay.link": Public(lambda b: [links.make_token(b.waiting_line)], *[(OK, MOVED)] * 4),
    "checkout.request.pay": Public(lambda b: [links.make_token(b.request)], *[(OK, MOVED)] * 4),
    "checkout.invoice": Public(
        lambda b: [links.invoice_form(Membership.objects.create(name="Dan")).rstrip("/").rsplit("/", 1)[1]],
        *[(OK, MOVED)] * 4,
    ),
    "checkout.pay.on.session": Public(lambda b: [b.waiting_line.uuid], (TO_LOGIN, TO_LOGIN), *[(MISSING, MISSING)] * 3),
    **{
        f"checkout.{name}": Public(
            lambda b, name=name: [b.plan.uuid if "statement" in name else b.paid.uuid],
            (TO_LOGIN, NOT_ALLOWED),
            *[(MISSING, NOT_ALLOWED)] * 3,
        )
        for name in ("receipt", "receipt.pdf", "statement", "statement.pdf")
    },
    "checkout.receipt.link": Public(lambda b: [links.make_token(b.paid)], *[(MOVED, NOT_ALLOWED)] * 4),
    "checkout.plan.progress": Public(
        lambda b: [b.plan.uuid], (TO_LOGIN | MISSING, TO_LOGIN | MISSING), *[(MISSING, MISSING)] * 3
    ),
    # Whoever is logged in sees their own plans.
    "checkout.plan.list": Public(lambda b: [], (TO_LOGIN, NOT_ALLOWED | TO_LOGIN), *[(OK, NOT_ALLOWED)] * 3),
    "checkout.plan.link": Public(lambda b: [links.make_token(b.plan)], *[(MOVED, NOT_ALLOWED)] * 4),
    # Whoever holds the link was asked to take over the plan.
    "checkout.plan.take.over": Public(lambda b: [links.make_token(a_change_that_waits(b))], *[(OK, MOVED)] * 4),
    "checkout.plan.pay": Public(lambda b: [b.plan.uuid], (TO_LOGIN, TO_LOGIN), *[(MISSING, MISSING)] * 3),
    "checkout.plan.card": Public(lambda b: [b.plan.uuid], (TO_LOGIN, TO_LOGIN), *[(MISSING, MISSING)] * 3),
    "checkout.card.refresh": Public(lambda b: [], (TO_LOGIN, TO_LOGIN), *[(OK, OK)] * 3),
    "checkout.card.refresh.plan": Public(lambda b: [b.plan.uuid], (TO_LOGIN, TO_LOGIN), *[(MISSING, MISSING)] * 3),
}


def names(patterns: Iterable[Any], inside: bool = False) -> set[str]:
    found: set[str] = set()
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            module = getattr(pattern.urlconf_name, "__name__", pattern.urlconf_name)
            found |= names(pattern.url_patterns, inside or module == "checkout.urls")
        elif isinstance(pattern, URLPattern) and inside:
            found.add(str(pattern.name))
    return found


def test_the_table_has_every_address_and_no_other() -> None:
    assert names(get_resolver().url_patterns) == set(TABLE)


def as_user(user: Any = None) -> Client:
    client = Client()
    if user is not None:
        client.force_login(user)
    return client


def state_of_the_books() -> tuple[Any, ...]:
    """Changes whenever anything that staff can do was done."""
    return (
        StateChange.objects.count(), Refund.objects.count(), Notice.objects.count(), Checkout.objects.count(),
        CustomerPayment.objects.count(), PaymentPlan.objects.filter(deleted=False).count(),
        ObjectPaymentPlan.objects.filter(deleted=True).count(), PaymentPlan.objects.aggregate(Sum("count")),
        list(ObjectPaymentPlanInstalment.objects.values_list("state", "due")),
        list(StripeEvent.objects.values_list("next_attempt_at")),
        list(PlanChange.objects.values_list("state")),
        list(BulkJob.objects.values_list("finished_at")), list(BulkItem.objects.values_list("outcome")),
        list(BookDifference.objects.values_list("how")),
        list(Proposal.objects.values_list("state", "decided_by")),
        list(CheckoutSettings.objects.values_list("default_payment_plan")),
    )  # fmt: skip


STAFF = [name for name, row in TABLE.items() if isinstance(row, Staff)]
PUBLIC = [name for name, row in TABLE.items() if isinstance(row, Public)]


@pytest.mark.parametrize("name", STAFF)
def test_a_staff_page(
    name: str, books: Books, payer: Any, other_payer: Any, staff: Any, staff_with: Any, emulator: Emulator
) -> None:
    row = TABLE[name]
    assert isinstance(row, Staff)
    url = reverse(name, args=list(row.args(books)))
    allowed = as_user(staff_with(row.permission))
    shown = allowed.get(url)
    assert shown.status_code in row.shown, shown.content.decode()[-2000:]
    data = (row.post or nothing)(books)
    if row.post is not None and "seen" in (shown.context or {}):
        data["seen"] = shown.context["seen"]
    before, asked = state_of_the_books(), len(emulator.requests)
    retired = staff_with(row.permission, "checkout.view_notice")
    retired.is_staff = False
    retired.save()
    for user, expected in ((None, 302), (payer, 403), (other_payer, 403), (staff, 403), (retired, 403)):
        client = as_user(user)
        for method in ("get", "post"):
            answer = getattr(client, method)(url, data)
            assert answer.status_code == expected, (user, method)
            if user is None:
                assert answer.headers["Location"].startswith(reverse("login"))
    assert (state_of_the_books(), len(emulator.requests)) == (before, asked)
    answer = allowed.post(url, data)
    assert answer.status_code in (row.done if row.post is not None else NOT_ALLOWED), answer.content.decode()[-2000:]


@pytest.mark.parametrize("name", PUBLIC)
@pytest.mark.parametrize("who", ["anonymous", "payer", "other", "staff"])
def test_a_payers_page(name: str, who: str, books: Books, payer: Any, other_payer: Any, staff: Any) -> None:
    row = TABLE[name]
    assert isinstance(row, Public)
    url = reverse(name, args=list(row.args(books)))
    client = as_user({"anonymous": None, "payer": payer, "other": other_payer, "staff": staff}[who])
    got, posted = getattr(row, who)
    assert client.get(url).status_code in got
    data = ADDRESS if name == "checkout.invoice" else {}
    assert client.post(url, data).status_code in posted


def test_csrf_protects_every_action(books: Books, boss: Any) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(boss)
    for name in STAFF:
        row = TABLE[name]
        assert isinstance(row, Staff)
        assert client.post(reverse(name, args=list(row.args(books)))).status_code == 403, name


def _the_hosts_rows_are_gone(books: Books) -> None:
    Membership.objects.all().delete()


def _nobody_is_known(books: Books) -> None:
    ObjectPaymentPlan.objects.update(customer=None)
    Checkout.objects.update(customer=None, payer="", description="", user=None)


def _the_money_is_yen(books: Books) -> None:
    for model in (Checkout, ObjectPaymentPlan, CustomerPayment, Refund, Dispute):
        model._default_manager.update(currency="JPY")


def _a_dispute_is_about_nothing_of_ours(books: Books) -> None:
    Dispute.objects.update(checkout=None, due_by=None, reason="")


def _cards_are_not_known(books: Books) -> None:
    SavedCard.objects.update(last4="", expiry_date=None, exp_year=None, gone=True)
    Customer.objects.update(name="")


@pytest.mark.parametrize(
    "miss",
    [
        _the_hosts_rows_are_gone,
        _nobody_is_known,
        _the_money_is_yen,
        _a_dispute_is_about_nothing_of_ours,
        _cards_are_not_known,
    ],
)
def test_every_staff_page_opens_with_less_than_usual(miss: Callable[[Books], None], books: Books, boss: Any) -> None:
    urls = {name: reverse(name, args=list(row.args(books))) for name, row in TABLE.items() if isinstance(row, Staff)}
    miss(books)
    client = as_user(boss)
    answers = {name: client.get(url).status_code for name, url in urls.items()}
    shown = {name: row.shown for name, row in TABLE.items() if isinstance(row, Staff)}
    assert {name: status for name, status in answers.items() if status not in shown[name]} == {}


def test_the_csv_of_every_list_is_read_to_its_end_and_one_of_nothing_is_not_found(books: Books, boss: Any) -> None:
    client = as_user(boss)
    read: list[str] = []
    for name, row in TABLE.items():
        if not isinstance(row, Staff):
            continue
        url = reverse(name, args=list(row.args(books)))
        if not issubclass(getattr(resolve(url).func, "view_class", object), StaffListView):
            continue
        answer = client.get(url, {"format": "csv"})
        assert b"".join(answer.streaming_content).startswith(b"\xef\xbb\xbf"), name  # type: ignore[attr-defined]
        read.append(name)
        if any(isinstance(each, int) for each in row.args(books)):
            assert client.get(reverse(name, args=[987654321]), {"format": "csv"}).status_code == 404, name
    assert {"checkout.list", "checkout.payment.run.detail", "checkout.run.release.detail"} <= set(read)


def test_every_list_opens_on_the_first_day_and_says_that_it_is_empty(boss: Any) -> None:
    client = as_user(boss)
    lists = {reverse(name) for name, row in TABLE.items() if name.endswith("list") and isinstance(row, Staff)}
    assert len(lists) == 21
    for url in lists:
        answer = client.get(url)
        assert (answer.status_code, answer.context["rows"], answer.context["count"]) == (200, [], "0"), url
        assert "office-empty" in answer.content.decode(), url
    assert client.get(reverse("checkout.dashboard")).status_code == 200
    assert client.get(reverse("checkout.settings")).status_code == 200
