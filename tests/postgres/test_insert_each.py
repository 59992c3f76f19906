"""Rows that are written with arrays are the rows that `bulk_create` would have written."""

from __future__ import annotations

import copy
from datetime import timedelta
from decimal import Decimal
from typing import Any, cast

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import DataError, IntegrityError, models, transaction
from django.utils.translation import gettext_lazy

from checkout import clock
from checkout.journal import Code
from checkout.models import Checkout, Debt, Letter, PaymentRun, Posting, StateChange
from checkout.services.insert_each import insert_each
from checkout.services.pile import pile
from checkout.services.update_each import update_each
from tests.host.models import Membership

pytestmark = [pytest.mark.postgres, pytest.mark.django_db]


def debts(count: int) -> list[Debt]:
    kind = ContentType.objects.get_for_model(Membership)
    return [
        Debt(content_type=kind, object_id=str(number), currency="GBP", owed=Decimal(number + 1), paid=Decimal("0.10"))
        for number in range(count)
    ]


def stored(row: models.Model) -> dict[str, Any]:
    values = type(row)._base_manager.filter(pk=row.pk).values().get()
    return {name: value for name, value in values.items() if name != "id"}


@pytest.mark.parametrize("count", [1, 3])
def test_every_kind_of_column_is_stored_as_bulk_create_stores_it(count: int) -> None:
    owed = insert_each(debts(count))
    kind = ContentType.objects.get_for_model(Membership)
    attempts = [
        Checkout(
            action_id="charge",
            content_type=kind,
            object_id=debt.object_id,
            description="50%s off, 'quoted', {in braces}\n\\N",
            total=debt.owed,
            debt=debt,
            number=1,
            on_session=bool(number),
            settled_at=clock.now() if number else None,
        )
        for number, debt in enumerate(owed)
    ]
    insert_each(attempts)
    today, note = clock.today(), cast("str", gettext_lazy("Paid"))
    rows: list[list[models.Model]] = [
        [
            StateChange(checkout=attempt, to_state="request", code=Code.CHARGE_BEGUN, facts={"n": attempt.pk, "ü": "'"})
            for attempt in attempts
        ],
        [
            Posting(
                debt=attempt.debt,
                kind=Posting.Kind.TAKEN,
                amount=attempt.total,
                day=today - timedelta(days=number),
                cause=f"taken:{attempt.uuid}",
                checkout=attempt,
                note=note,
            )
            for number, attempt in enumerate(attempts)
        ],
    ]
    for mine in rows:
        insert_each(mine)
        for row in mine:
            assert not row._state.adding
        expected = [stored(row) for row in mine]
        type(mine[0])._base_manager.filter(pk__in=[row.pk for row in mine]).delete()
        again = [copy.copy(row) for row in mine]
        for row in again:
            row.pk = None
        type(mine[0])._base_manager.bulk_create(again)
        assert [stored(row) for row in again] == expected
    assert [stored(attempt)["object_id"] for attempt in attempts] == [str(number) for number in range(count)]


def test_what_the_database_refuses_is_refused() -> None:
    twice = debts(2)
    twice[1].object_id = twice[0].object_id
    with pytest.raises(IntegrityError), transaction.atomic():
        insert_each(twice)
    too_long = debts(2)
    too_long[1].object_id = "9" * 65
    with pytest.raises(DataError), transaction.atomic():
        insert_each(too_long)
    assert not Debt.objects.exists()
    assert insert_each(list[Debt]()) == []


def test_a_cause_that_has_asked_before_is_left_as_it_is() -> None:
    then = clock.now() - timedelta(days=1)
    insert_each([Letter(cause="a", kind="plan_link", write_after=then)], ignore_conflicts=True)
    insert_each(
        [Letter(cause=cause, kind="plan_link", write_after=clock.now()) for cause in "ab"], ignore_conflicts=True
    )
    assert dict(Letter.objects.values_list("cause", "write_after"))["a"] == then
    assert Letter.objects.count() == 2


def test_a_text_that_is_too_long_is_not_cut_short() -> None:
    rows = insert_each(debts(2))
    with pytest.raises(DataError), transaction.atomic():
        update_each(Debt, {row.pk: {"object_id": str(row.pk) * 65} for row in rows})
    run = PaymentRun.objects.create()
    assert update_each(PaymentRun, {run.pk: {"note": "one row, all the same"}}) == 1
    run.refresh_from_db()
    assert run.note == "one row, all the same"


def test_a_pile_is_one_statement_and_all_of_it_or_nothing(count_queries: Any) -> None:
    owed = insert_each(debts(2))
    kind = ContentType.objects.get_for_model(Membership)
    attempts = insert_each(
        Checkout(action_id="charge", content_type=kind, object_id=debt.object_id, total=debt.owed, debt=debt, number=1)
        for debt in owed
    )

    def write(causes: str) -> None:
        with pile() as collected:
            collected.add([StateChange(checkout=attempt, to_state="success") for attempt in attempts])
            collected.add(
                [Letter(cause=cause, kind="plan_link", write_after=clock.now()) for cause in "ab"],
                ignore_conflicts=True,
            )
            collected.add([])
            collected.add(
                Posting(debt=debt, kind=Posting.Kind.TAKEN, amount=debt.owed, day=clock.today(), cause=cause)
                for debt, cause in zip(owed, causes, strict=True)
            )

    assert count_queries(lambda: write("cd")) == 1
    assert (StateChange.objects.count(), Letter.objects.count(), Posting.objects.count()) == (2, 2, 2)
    with pytest.raises(IntegrityError), transaction.atomic():
        write("ee")
    assert (StateChange.objects.count(), Letter.objects.count(), Posting.objects.count()) == (2, 2, 2)
    with pile():
        pass
