"""Whatever happens in whatever order, the promises hold. Longer by `make chaos`; a failing seed becomes a test."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.chaos.life import PaymentLife

EXAMPLES = int(os.environ.get("CHAOS_EXAMPLES", "9"))
STEPS = int(os.environ.get("CHAOS_STEPS", "15"))


def stories(number: int) -> settings:
    """So many of them: the same ones in the suite, others each time in `make chaos`, unless it is told SAME=1."""
    return settings(
        max_examples=max(number, 1),
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        derandomize="CHAOS_EXAMPLES" not in os.environ or bool(os.environ.get("CHAOS_SAME")),
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )


def test_whatever_happens_in_whatever_order(db: None) -> None:
    run_state_machine_as_test(PaymentLife, settings=stories(EXAMPLES))
