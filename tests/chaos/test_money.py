"""Whatever happens to money in whatever order, Stripe and the books say the same. Longer by `make soak`."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.chaos.money import MoneyLife
from tests.chaos.test_life import DERANDOMIZE, EXAMPLES, STEPS


def test_the_books_and_stripe_say_the_same(db: None) -> None:
    run_state_machine_as_test(
        MoneyLife,
        settings=settings(
            max_examples=max(EXAMPLES // 2, 1),
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            derandomize=DERANDOMIZE,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        ),
    )
