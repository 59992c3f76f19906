"""Whatever happens in whatever order, the promises hold. Longer by `make soak`; a failing seed becomes a test."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.chaos.life import PaymentLife

EXAMPLES = int(os.environ.get("CHAOS_EXAMPLES", "24"))
STEPS = int(os.environ.get("CHAOS_STEPS", "15"))
DERANDOMIZE = "CHAOS_EXAMPLES" not in os.environ


def test_whatever_happens_in_whatever_order(db: None) -> None:
    run_state_machine_as_test(
        PaymentLife,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            derandomize=DERANDOMIZE,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        ),
    )
