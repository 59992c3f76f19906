"""What a change makes of a plan: the sums, the days, and who has to agree."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkout import money, plan_changes, states
from checkout.errors import CheckoutError, PlanError
from checkout.plan_changes import Ended, Kind, Line

TODAY = datetime.date(2026, 3, 10)
pennies = st.integers(30, 200_000).map(lambda minor: Decimal(minor) / 100)


@st.composite
def plans(draw: st.DrawFn) -> list[Line]:
    """A plan in the middle of its life: some of it paid, perhaps one declined, one waiting, one paid in part."""
    count = draw(st.integers(2, 9))
    paid = draw(st.integers(1, count))
    lines = []
    due = TODAY - datetime.timedelta(days=31 * paid)
    for number in range(1, count + 1):
        amount = draw(pennies)
        if number <= paid:
            lines.append(Line(number, number, due, amount, amount, states.SUCCESS))
        else:
            state = draw(st.sampled_from([states.PENDING, states.PENDING, states.FAIL, states.PAY_ON_SESSION]))
            part = draw(st.sampled_from([Decimal(0), Decimal(0), Decimal("0.10")]))
            lines.append(Line(number, number, due, amount + part, part, state))
        due += datetime.timedelta(days=draw(st.integers(1, 45)))
    return lines


def day(later: int) -> datetime.date:
    return TODAY + datetime.timedelta(days=later)


def _nothing(_lines: list[Line]) -> Decimal:
    return Decimal(0)


#: Each way to change a plan, with something that it may be asked for, and by how much the sum changes then.
changes: st.SearchStrategy[tuple[str, Callable[[list[Line]], list[Line]], Callable[[list[Line]], Decimal]]]
changes = st.one_of(
    st.integers(1, 24).map(
        lambda months: (Kind.PAUSE, lambda lines: plan_changes.pause(lines, months=months, today=TODAY), _nothing)
    ),
    st.integers(1, 31).map(
        lambda number: (Kind.PAY_DAY, lambda lines: plan_changes.pay_day(lines, day=number, today=TODAY), _nothing)
    ),
    st.tuples(st.integers(1, 12), st.integers(0, 400), st.integers(1, 3)).map(
        lambda asked: (
            Kind.SPLIT,
            lambda lines: plan_changes.split(
                lines, count=asked[0], first=day(asked[1]), interval=asked[2], currency="GBP"
            ),
            _nothing,
        )
    ),
    pennies.map(
        lambda amount: (
            Kind.DISCOUNT,
            lambda lines: plan_changes.discount(lines, amount=amount, currency="GBP"),
            lambda _lines: -amount,
        )
    ),
    pennies.map(
        lambda amount: (
            Kind.FEE,
            lambda lines: plan_changes.fee(lines, amount=amount, currency="GBP"),
            lambda _lines: amount,
        )
    ),
    st.just((Kind.WRITE_OFF, plan_changes.write_off, lambda lines: -plan_changes.to_come(lines))),
    st.just((Kind.REOPEN, lambda lines: plan_changes.reopen(lines, today=TODAY), _nothing)),
)


def changed(before: list[Line], change: Any) -> list[Line] | None:
    """The lines afterwards, as `check` lets them pass; None where the change is refused with a sentence."""
    kind, work_out, by = change
    try:
        after: list[Line] = work_out(before)
        plan_changes.check(before, after, kind=kind, by=by(before), currency="GBP", today=TODAY)
    except CheckoutError as problem:
        assert str(problem)
        return None
    return after


@given(plans(), st.lists(changes, max_size=6))
def test_whatever_is_changed_the_sums_hold_and_what_is_paid_stands(lines: list[Line], wanted: list[Any]) -> None:
    for change in wanted:
        after = changed(lines, change)
        if after is None:
            continue
        assert plan_changes.owed(after) == plan_changes.owed(lines) + change[2](lines)
        assert [line for line in lines if line.is_over] == [line for line in after if line in lines and line.is_over]
        assert {line.pk for line in lines} <= {line.pk for line in after}
        assert sum(line.paid for line in after) == sum(line.paid for line in lines)
        for line in after:
            if line.is_open and line not in lines:
                money.check_chargeable(line.left, "GBP")
        in_use = [line.due for line in after if not line.ended]
        assert len(set(in_use)) == len(in_use)
        # As the books number a line that was made.
        lines = [replace(line, pk=line.pk or 1000 + line.count) for line in after]


@given(plans(), changes)
def test_only_what_takes_no_more_and_nothing_earlier_favours_the_payer(lines: list[Line], change: Any) -> None:
    after = changed(lines, change)
    if after is None:
        return
    earlier = any(
        sum((line.to_come for line in after if line.due <= each), Decimal(0))
        > sum((line.to_come for line in lines if line.due <= each), Decimal(0))
        for each in {line.due for line in after}
    )
    larger = max((line.to_come for line in after), default=0) > max((line.to_come for line in lines), default=0)
    assert plan_changes.favours_payer(lines, after) is not (earlier or larger)
    if change[0] in (Kind.PAUSE, Kind.PAY_DAY, Kind.DISCOUNT, Kind.WRITE_OFF):
        assert plan_changes.favours_payer(lines, after)
    if change[0] == Kind.FEE:
        assert not plan_changes.favours_payer(lines, after)


@given(plans(), changes)
def test_what_the_books_keep_is_read_back_as_it_was(lines: list[Line], change: Any) -> None:
    for line in changed(lines, change) or lines:
        assert Line.from_data(line.as_data()) == line


def example() -> list[Line]:
    """40 paid, then three payments of 20 on the first of the next months."""
    paid = Line(1, 1, datetime.date(2026, 2, 20), Decimal(40), Decimal(40), states.SUCCESS)
    return [paid, *(Line(n, n, datetime.date(2026, n + 2, 1), Decimal(20)) for n in (2, 3, 4))]


def owes(lines: list[Line]) -> list[tuple[str, str]]:
    return [(line.due.isoformat(), str(line.to_come)) for line in lines if line.is_open]


def test_a_pause_moves_everything_to_come() -> None:
    after = plan_changes.pause(example(), months=2, today=TODAY)
    assert owes(after) == [("2026-06-01", "20"), ("2026-07-01", "20"), ("2026-08-01", "20")]


def test_fewer_payments_take_lines_off_and_more_add_some() -> None:
    one = plan_changes.split(example(), count=1, first=day(30), currency="GBP")
    assert owes(one) == [("2026-04-09", "60.00")]
    assert [line.ended for line in one] == ["", "", Ended.TAKEN_OFF, Ended.TAKEN_OFF]
    seven = plan_changes.split(example(), count=7, first=day(30), currency="GBP")
    assert [amount for _due, amount in owes(seven)] == ["8.57"] * 3 + ["8.57", "8.57", "8.57", "8.58"]
    assert [line.pk for line in seven][4:] == [None] * 4


def test_a_discount_takes_the_last_payments_off() -> None:
    after = plan_changes.discount(example(), amount=Decimal(25), currency="GBP")
    assert owes(after) == [("2026-04-01", "20"), ("2026-05-01", "15")]


def test_what_a_card_cannot_pay_is_never_left_over() -> None:
    with pytest.raises(PlanError, match=r"0.10 GBP of one payment.*19.70 GBP or 20.00 GBP"):
        plan_changes.discount(example(), amount=Decimal("19.90"), currency="GBP")


def test_another_pay_day_is_never_before_the_day_agreed() -> None:
    after = plan_changes.pay_day(example(), day=31, today=TODAY)
    assert [due for due, _amount in owes(after)] == ["2026-04-30", "2026-05-31", "2026-06-30"]


def test_what_went_back_is_owed_again_by_a_line_of_its_own() -> None:
    lines = example()
    lines[0] = replace(lines[0], paid=Decimal(10))
    after = plan_changes.owed_again(lines, pk=1, due=day(60))
    plan_changes.check(lines, after, kind=Kind.OWED_AGAIN, by=Decimal(0), currency="GBP", today=TODAY)
    assert after[-1] == Line(None, 5, day(60), Decimal(30), replaces=1)
    assert after[0].left == 0
    with pytest.raises(PlanError, match="owed again already"):
        plan_changes.owed_again(after, pk=1, due=day(90))


def test_a_plan_that_goes_on_owes_nothing_on_days_that_have_gone_by() -> None:
    late = [replace(line, due=line.due - datetime.timedelta(days=100)) for line in example()]
    assert [due for due, _amount in owes(plan_changes.reopen(late, today=TODAY))] == [
        "2026-04-10",
        "2026-05-10",
        "2026-06-10",
    ]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ([(2, day(20), "20"), (3, day(50), "20")], "add up to 40"),
        ([(2, day(20), "20"), (3, day(50), "20"), (4, day(80), "21")], "add up to 61"),
        ([(2, day(20), "59.90"), (3, day(50), "0.10")], "cannot be paid by card"),
        ([(2, day(20), "-5"), (3, day(50), "65")], "more than nothing"),
        ([(2, day(-1), "20"), (3, day(50), "20"), (4, day(80), "20")], "has gone by"),
        ([(2, day(40_000), "60")], "thirty years"),
        ([(2, day(20), "30"), (3, day(20), "30")], "would be due on"),
        ([(1, day(20), "60")], "no line of this plan"),
        ([(2, day(20), "30"), (2, day(21), "30")], "named twice"),
        ([(None, day(20), "0"), (2, day(30), "60")], "more than nothing"),
        ([(2, day(20), "30.001"), (3, day(30), "29.999")], "multiple"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(wanted: Any, said: str) -> None:
    rows = [(pk, due, Decimal(amount)) for pk, due, amount in wanted]

    def change() -> None:
        after = plan_changes.rewrite(example(), wanted=rows)
        plan_changes.check(example(), after, kind=Kind.LINES, by=Decimal(0), currency="GBP", today=TODAY)

    with pytest.raises(CheckoutError, match=said):
        change()


def test_a_payment_that_is_on_its_way_is_left_alone() -> None:
    lines = example()
    lines[1] = replace(lines[1], state=states.REQUEST)
    with pytest.raises(PlanError, match="at this moment"):
        plan_changes.check(
            lines,
            plan_changes.pause(lines, months=1, today=TODAY),
            kind=Kind.PAUSE,
            by=Decimal(0),
            currency="GBP",
            today=TODAY,
        )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: [replace(lines[0], owed=Decimal(50)), *lines[1:]], "never changes"),
        (lambda lines: [replace(lines[0], due=day(9)), *lines[1:]], "never changes"),
        (lambda lines: lines[1:], "never vanishes"),
        (lambda lines: [lines[0], replace(lines[1], paid=Decimal(1)), *lines[2:]], "that part never changes"),
    ],
)
def test_what_is_paid_is_never_touched(change: Any, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        plan_changes.check(example(), change(example()), kind=Kind.LINES, by=Decimal(0), currency="GBP", today=TODAY)


def test_one_large_payment_in_place_of_small_ones_needs_the_payer_however_late() -> None:
    assert not plan_changes.favours_payer(
        example(), plan_changes.split(example(), count=1, first=day(300), currency="GBP")
    )
