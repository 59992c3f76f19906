"""Some weeks of a few plans, in bad weather and with a day that is lost; `make soak` lives a year of thousands."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.soak.checks import _pence
from tests.soak.run import live

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_sum_of_sqlite_is_read_to_the_penny() -> None:
    assert _pence(Decimal("3.06999999999894")) == 307


def test_some_weeks_end_with_books_that_agree() -> None:
    said: list[str] = []
    assert live(3, 6, 40, weather=0.05, workers=1, say=said.append) == []
    assert " 0 charges" not in said[0]
