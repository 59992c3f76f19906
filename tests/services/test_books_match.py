"""Stripe and our books agree to the penny, or a difference has a name, a history, and a way to be settled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from django.db.models import Sum

from checkout import clock
from checkout.errors import CannotSettle
from checkout.gateway import Gateway, RefundAnswer, gateway
from checkout.models import (
    BalanceTransaction,
    BookDifference,
    Checkout,
    Debt,
    Dispute,
    Paper,
    Payout,
    Posting,
    Refund,
    StateChange,
)
from checkout.services import (
    attempt_rows,
    booking,
    books_adopt,
    books_differences,
    books_intake,
    books_match,
    disputes,
    refunds,
)
from stripe_emulator import Emulator
from tests.host.models import Membership
from tests.shop_days import Shop, open_shop

pytestmark = pytest.mark.django_db

Kind = BookDifference.Kind
How = BookDifference.How


@pytest.fixture
def shop(emulator: Emulator) -> Iterator[Shop]:
    with open_shop(emulator) as opened:
        yield opened


def look(shop: Shop) -> dict[str, Decimal]:
    """Take in, match, and what is open then: amounts by kind."""
    shop.take_in()
    books_match.match()
    return dict(BookDifference.objects.filter(closed_at=None).values_list("kind", "amount"))


def ends_in_zero() -> bool:
    """Every movement has a name, and what is called ours is what was posted."""
    first, last = clock.today() - timedelta(days=400), clock.today()
    days = books_match.days(first, last, books_intake.account())
    assert [(day.day, day.unnamed) for day in days if day.unnamed] == []
    matched = BalanceTransaction.objects.filter(state="matched").aggregate(sum=Sum("paid_amount"))["sum"] or 0
    posted = Posting.objects.filter(kind__in=books_match.BY_STRIPE).aggregate(sum=Sum("amount"))["sum"] or 0
    return matched == posted and not any(day.differences for day in days)


def intent_of_another_site(shop: Shop, amount: int = 4200, card: str = "pm_card_gb", **metadata: str) -> str:
    """A payment on the same account that no attempt here has made."""
    made: Any = gateway()._v1.payment_intents.create(
        {
            "amount": amount, "currency": "gbp", "confirm": True, "payment_method": card,
            "description": "Somebody else's", "metadata": metadata,
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        }
    )  # fmt: skip
    shop.clock.shift(timedelta(seconds=5))
    shop.emulator.tick()
    return str(made.id)


def mark_of(checkout: Checkout) -> dict[str, str]:
    return attempt_rows.metadata(checkout)


def test_payments_refunds_disputes_and_payouts_end_in_zero(shop: Shop) -> None:
    first, second, third = shop.pay("100"), shop.pay("50", "pm_card_de"), shop.pay("80", "pm_card_us")
    refunds.refund(first, Decimal(30))
    disputed = shop.bank.dispute(second.payment_intent_id)
    disputes.dispute_updated_at_stripe(disputed["id"])
    shop.pass_days(3)
    shop.bank.decide_dispute(disputed["id"], "won")
    disputes.dispute_updated_at_stripe(disputed["id"])
    shop.bank.dashboard_refund(third.payment_intent_id, 1000)
    refunds.import_refunds(third)
    shop.pass_days(6)
    assert look(shop) == {}
    assert ends_in_zero()
    assert set(BalanceTransaction.objects.values_list("state", flat=True)) == {"matched", "payout"}
    # The fee of a dispute belongs to its posting, as that of the charge to its own.
    taken_back = BalanceTransaction.objects.get(category="dispute")
    assert (taken_back.fee, taken_back.posting.kind, taken_back.checkout) == (Decimal(20), "disputed", second)
    charged = BalanceTransaction.objects.get(type="charge", checkout=first)
    assert (charged.fee, charged.posting.kind, charged.booked) == (Decimal("1.70"), "taken", Decimal(100))


def test_another_settlement_currency_is_compared_in_the_payers(shop: Shop) -> None:
    shop.bank.settle_in("gbp", {"eur": 0.86})
    paid = shop.pay("100", "pm_card_de", "EUR")
    refunds.refund(paid, Decimal(40))
    shop.pay("20")
    assert look(shop) == {}
    days = books_match.days(clock.today(), clock.today(), books_intake.account())
    assert [(day.currency, day.at_stripe, day.here) for day in days] == [
        ("EUR", Decimal(60), Decimal(60)), ("GBP", Decimal(20), Decimal(20))
    ]  # fmt: skip


def test_a_payout_that_failed_is_open_until_it_went_out_again(shop: Shop) -> None:
    shop.pay()
    shop.pass_days(5)
    shop.bank.fail_payout(Payout.objects.first().payout_id if look(shop) else Payout.objects.get().payout_id)
    assert look(shop) == {Kind.PAYOUT_FAILED: Decimal("98.30")}
    shop.pass_days(2)
    assert look(shop) == {}
    gone = BookDifference.objects.get()
    assert (gone.how, [note.how for note in gone.notes.all()]) == (How.GONE, ["", How.GONE])
    assert ends_in_zero()


def test_a_payout_whose_money_came_back_twice_is_open_until_it_went_out_for_good(shop: Shop) -> None:
    shop.pay()
    shop.pass_days(5)
    shop.take_in()
    for _time in range(2):
        shop.bank.fail_payout(Payout.objects.exclude(status__in=Payout.CAME_BACK).get().payout_id)
        assert Kind.PAYOUT_FAILED in look(shop)
        shop.pass_days(2)
        shop.take_in()
    assert look(shop) == {}
    assert BookDifference.objects.filter(kind=Kind.PAYOUT_FAILED, how=How.GONE).count() == 2
    assert ends_in_zero()


def test_what_a_payout_that_failed_adds_up_to_is_asked_once_its_content_is_read(shop: Shop) -> None:
    shop.pay()
    shop.pass_days(5)
    shop.take_in()
    payout = Payout.objects.get()
    shop.bank.fail_payout(payout.payout_id)
    assert look(shop) == {"payout_failed": payout.amount}
    # As where the reading of its content was cut off in the middle.
    Payout.objects.update(held_at=None)
    BalanceTransaction.objects.filter(type="charge").update(payout=None)
    books_match.match()
    kinds = BookDifference.objects.filter(closed_at=None).values_list("kind", flat=True)
    assert list(kinds) == ["payout_failed"]


def test_what_is_not_ours_is_shown_as_such_and_is_no_difference(shop: Shop) -> None:
    shop.pay("10")
    intent_of_another_site(shop, 4200, site="another")
    shop.bank.move_balance(-700, description="Radar")
    assert look(shop) == {}
    (day,) = books_match.days(clock.today(), clock.today(), books_intake.account())
    assert (day.at_stripe, day.here, day.foreign, day.stripes_own, day.unnamed) == (
        Decimal(45), Decimal(10), Decimal(42), Decimal(-7), 0
    )  # fmt: skip


def plant_refund(shop: Shop, paid: Checkout) -> None:
    """Made in the dashboard, and the news of it lost."""
    shop.bank.dashboard_refund(paid.payment_intent_id, 1000)


def plant_double(shop: Shop, paid: Checkout) -> None:
    """The same debt, taken once more by an attempt that nobody knows."""
    intent_of_another_site(shop, 10_000, **{**mark_of(paid), "checkout": str(paid.debt.attempt_uuid(99))})


def plant_lost_charge(shop: Shop, paid: Checkout) -> None:
    """With our mark, for a debt that is not here any more."""
    other = "7f7f7f7f-0000-4000-8000-000000000001"
    intent_of_another_site(shop, 4200, **{**mark_of(paid), "checkout": other, "debt": other})


def plant_adjustment(shop: Shop, paid: Checkout) -> None:
    shop.bank.move_balance(250, kind="adjustment", description="Fee correction for January")


def plant_unknown_type(shop: Shop, paid: Checkout) -> None:
    """A type that Stripe has added since."""
    shop.bank.move_balance(-100, description="New")
    shop.take_in()
    BalanceTransaction.objects.filter(type="stripe_fee").update(type="stripe_novelty")


def plant_failed_payout(shop: Shop, paid: Checkout) -> None:
    shop.pass_days(5)
    shop.take_in()
    shop.bank.fail_payout(Payout.objects.get().payout_id)


def plant_payout_sum(shop: Shop, paid: Checkout) -> None:
    """A row of it is not what Stripe listed: somebody has changed our copy."""
    shop.pass_days(5)
    shop.take_in()
    BalanceTransaction.objects.filter(type="charge").update(net=Decimal("97.30"))


def plant_posting(shop: Shop, paid: Checkout) -> None:
    """Somebody wrote down by SQL that money came which Stripe never took."""
    other = shop.pay("30")
    Checkout.objects.filter(pk=other.pk).update(payment_intent_id="pi_never_was")
    shop.pass_days(4)
    for row in list(shop.emulator.world.tables["balance_transaction"].values()):
        if row["amount"] == 3000:
            shop.emulator.world.tables["balance_transaction"].remove(row["id"])


def plant_other_amount(shop: Shop, paid: Checkout) -> None:
    booking.post(paid.debt, Posting.Kind.TAKEN, Decimal(5), cause="by hand", checkout=paid)


def plant_dispute(shop: Shop, paid: Checkout) -> None:
    shop.bank.dispute(paid.payment_intent_id)


def plant_refund_that_came_back(shop: Shop, paid: Checkout) -> None:
    """Here it went to the payer; at Stripe it came back, and the news of that is lost."""
    other = shop.pay("60", "pm_card_refundFail")
    refunds.refund(other, Decimal(60))
    shop.pass_days(1)


PLANTED: list[tuple[Callable[[Shop, Checkout], None], Kind, str]] = [
    (plant_refund, Kind.REFUND_NOT_HERE, "-10"),
    (plant_double, Kind.DOUBLE, "100"),
    (plant_lost_charge, Kind.CHARGE_NOT_HERE, "42"),
    (plant_adjustment, Kind.ADJUSTMENT, "2.50"),
    (plant_unknown_type, Kind.UNKNOWN_TYPE, "-1"),
    (plant_failed_payout, Kind.PAYOUT_FAILED, "98.30"),
    (plant_payout_sum, Kind.PAYOUT_SUM, "-1"),
    (plant_posting, Kind.NOT_AT_STRIPE, "-30"),
    (plant_other_amount, Kind.AMOUNT, "-5"),
    (plant_dispute, Kind.DISPUTE_NOT_HERE, "-100"),
    (plant_refund_that_came_back, Kind.REFUND_CAME_BACK, "60"),
]


def test_every_kind_of_difference_is_planted_here() -> None:
    assert {kind for _plant, kind, _amount in PLANTED} == set(Kind)


@pytest.mark.parametrize(("plant", "kind", "amount"), PLANTED, ids=[kind for _plant, kind, _amount in PLANTED])
def test_a_planted_difference_has_its_right_name_and_its_amount(
    shop: Shop, plant: Callable[[Shop, Checkout], None], kind: Kind, amount: str
) -> None:
    paid = shop.pay("100")
    plant(shop, paid)
    assert look(shop) == {kind: Decimal(amount)}
    # Found again, it is the same row.
    assert look(shop) == {kind: Decimal(amount)}
    (row,) = BookDifference.objects.all()
    books_differences.explain(row, None, "Looked at with the bank")
    assert look(shop) == {}
    assert [(note.how, note.note) for note in row.notes.all()] == [
        ("", ""), (How.EXPLAINED, "Looked at with the bank")
    ]  # fmt: skip
    with pytest.raises(CannotSettle):
        books_differences.explain(row, None, "Again")


@pytest.mark.parametrize(
    ("plant", "kind"),
    [
        (plant_refund, "refund_not_here"),
        (plant_dispute, "dispute_not_here"),
        (plant_refund_that_came_back, "refund_came_back"),
    ],
)
def test_what_stripe_knows_is_adopted_by_the_same_doors_as_any_news(
    shop: Shop, plant: Callable[[Shop, Checkout], None], kind: str, staff: Any
) -> None:
    paid = shop.pay("100")
    plant(shop, paid)
    look(shop)
    row = BookDifference.objects.get(kind=kind)
    books_adopt.adopt(row, staff)
    assert (row.how, row.notes.last().user) == (How.ADOPTED, staff)
    assert look(shop) == {}
    assert ends_in_zero()
    if kind == "refund_not_here":
        assert Refund.objects.get(checkout=paid).from_dashboard
    if kind == "dispute_not_here":
        assert Dispute.objects.get().checkout == paid


def test_a_payment_whose_news_is_young_waits_and_differs_after_some_days(shop: Shop) -> None:
    checkout = Checkout.objects.create_checkout("payment", Membership.objects.create(total=Decimal(100)))
    shop.emulator.pay(gateway().retrieve_payment_intent(checkout.payment_intent_id).client_secret)
    shop.pass_days(1)
    assert look(shop) == {}
    assert set(BalanceTransaction.objects.values_list("state", flat=True)) == {"waiting"}
    shop.pass_days(2)
    assert look(shop)[Kind.CHARGE_NOT_HERE] == Decimal(100)


def test_what_is_closed_or_cannot_be_at_stripe_is_not_adopted(shop: Shop, staff: Any) -> None:
    paid = shop.pay("100")
    plant_refund(shop, paid)
    plant_double(shop, paid)
    look(shop)
    refund, double = (BookDifference.objects.get(kind=kind) for kind in (Kind.REFUND_NOT_HERE, Kind.DOUBLE))
    books_differences.explain(refund, staff, "Looked at with the bank")
    for row in (refund, double):
        with pytest.raises(CannotSettle, match="nothing at Stripe to take"):
            books_adopt.adopt(row, staff)
    assert not Refund.objects.exists()


def test_a_charge_whose_attempt_was_lost_is_adopted(shop: Shop, staff: Any) -> None:
    paid = shop.pay("100")
    # The database was restored from before the payment.
    debt = paid.debt
    Posting.rows.filter(checkout=paid).delete()
    StateChange.objects.filter(checkout=paid).delete()
    Paper.objects.filter(checkout=paid).delete()
    Debt.objects.filter(pk=debt.pk).update(paid=0, asked=0)
    Checkout.objects.filter(pk=paid.pk).delete()
    assert look(shop) == {Kind.CHARGE_NOT_HERE: Decimal(100)}
    row = BookDifference.objects.get()
    books_adopt.adopt(row, staff)
    assert row.how == How.ADOPTED
    debt.refresh_from_db()
    assert (debt.paid, look(shop)) == (Decimal(100), {})
    assert ends_in_zero()


def test_a_double_is_given_back_once_and_is_even_then(shop: Shop, staff: Any) -> None:
    paid = shop.pay("100")
    plant_double(shop, paid)
    look(shop)
    row = BookDifference.objects.get()
    books_differences.give_back(row, staff, "Taken twice")
    with pytest.raises(CannotSettle):
        books_differences.give_back(row, staff, "Taken twice")
    assert shop.emulator.ledger.refunded_minor() == 10_000
    # Before its movement is taken in, and after.
    books_match.match()
    assert look(shop) == {}
    shop.pass_days(6)
    assert look(shop) == {}
    row.refresh_from_db()
    assert row.how == How.GIVEN_BACK
    states = BalanceTransaction.objects.filter(payment_intent_id=row.subject).values_list("state", flat=True)
    assert list(states) == ["cancelled", "cancelled"]
    assert ends_in_zero()


@pytest.mark.parametrize("days", [0.5, 10])
def test_a_double_whose_refund_fails_is_open_again_and_goes_back_by_another_refund(
    shop: Shop, staff: Any, days: float
) -> None:
    paid = shop.pay("100")
    intent_of_another_site(
        shop, 10_000, "pm_card_refundFail", **{**mark_of(paid), "checkout": str(paid.debt.attempt_uuid(99))}
    )
    look(shop)
    row = BookDifference.objects.get()
    books_differences.give_back(row, staff, "Taken twice")
    # Its movement is here, and it has not failed yet.
    assert look(shop) == {}
    shop.pass_days(days)
    assert look(shop) == {Kind.DOUBLE: Decimal(100)}
    # A colleague's page, from before.
    before = BookDifference.objects.get()
    books_differences.give_back(BookDifference.objects.get(), staff, "Once more")
    with pytest.raises(CannotSettle, match="closed already"):
        books_differences.give_back(before, staff, "Once more")
    assert look(shop) == {}
    assert len(list(gateway().list_refunds(payment_intent_id=row.subject))) == 2


def test_who_gave_it_back_is_kept_when_the_match_was_faster(
    shop: Shop, staff: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid = shop.pay("100")
    plant_double(shop, paid)
    look(shop)
    row = BookDifference.objects.get()
    asks = Gateway.create_refund

    def asks_while_the_job_runs(self: Gateway, **asked: Any) -> RefundAnswer:
        answer = asks(self, **asked)
        assert look(shop) == {}
        return answer

    with monkeypatch.context() as slow:
        slow.setattr(Gateway, "create_refund", asks_while_the_job_runs)
        books_differences.give_back(row, staff, "Taken twice")
    row.refresh_from_db()
    assert row.how == How.GIVEN_BACK
    last = row.notes.latest("pk")
    assert (last.how, last.user, last.note) == (How.GIVEN_BACK, staff, "Taken twice")


def test_what_was_given_back_and_has_not_gone_after_some_days_is_open_again(shop: Shop, staff: Any) -> None:
    paid = shop.pay("100")
    plant_double(shop, paid)
    look(shop)
    row = BookDifference.objects.get()
    books_differences.give_back(row, staff, "Taken twice")
    # As if its movement never came.
    assert books_match.match().left == 0
    shop.clock.shift(books_differences.SEEN_WITHIN)
    assert books_match.match().left == 1
    assert look(shop) == {}


def test_what_is_in_our_books_is_not_given_back_here(shop: Shop, staff: Any) -> None:
    paid = shop.pay("100")
    plant_refund(shop, paid)
    look(shop)
    with pytest.raises(CannotSettle, match="no money of a payer"):
        books_differences.give_back(BookDifference.objects.get(), staff, "Why")
    assert shop.emulator.ledger.refunded_minor() == 1000


def test_what_was_explained_is_open_again_when_its_amount_changes(shop: Shop) -> None:
    paid = shop.pay("100")
    plant_double(shop, paid)
    look(shop)
    row = BookDifference.objects.get()
    books_differences.explain(row, None, "They will pay less next time")
    shop.bank.dashboard_refund(row.subject, 4000)
    assert look(shop) == {Kind.DOUBLE: Decimal(60)}
    shop.bank.dashboard_refund(row.subject, 6000)
    assert look(shop) == {}


def test_the_match_of_a_day_reads_that_day_only(shop: Shop, count_queries: Callable[..., int]) -> None:
    def one_more_day() -> int:
        shop.pass_days(1)
        for _ in range(2):
            shop.pay("10")
        shop.take_in()
        return count_queries(books_match.match)

    counts = [one_more_day() for _ in range(15)]
    # The same day of two weeks: on some there is a payout.
    assert counts[14] == counts[7] <= 25
    compared = books_match.match().compared
    assert compared == 0


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_what_is_more_than_a_batch_is_matched_batch_by_batch(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(books_match, "BATCH", batch)
    for _ in range(3):
        shop.pay("10")
    shop.take_in()
    assert books_match.match().compared == 3
    shop.pass_days(3)
    BalanceTransaction.objects.all().delete()
    assert books_match.match().opened == 3, "each is looked for"


def test_the_command_takes_in_matches_and_prints_a_day(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.pay("100")
    plant_adjustment(shop, Checkout.objects.get())
    shop.clock.shift(timedelta(seconds=5))
    call_command("checkout_books", day=clock.today())
    told = capsys.readouterr().out.splitlines()
    assert told[0] == f"{clock.today()} GBP: at Stripe 102.50, in our books 100.00, differences 2.50, unnamed 0.00"
    assert told[1] == ("taken in 2 and 0 payouts, compared 2, differences opened 1, gone 0, open 1, errors 0")
