"""Whatever happens to money in whatever order, Stripe and the books say the same. Longer by `make chaos`."""

from __future__ import annotations

from hypothesis.stateful import run_state_machine_as_test

from tests.chaos.money import MoneyLife
from tests.chaos.test_life import EXAMPLES, stories


def test_the_books_and_stripe_say_the_same(db: None) -> None:
    run_state_machine_as_test(MoneyLife, settings=stories(EXAMPLES // 2))
