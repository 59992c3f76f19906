"""Whatever comes in between when a declined line is tried again, its debt is taken once. Longer by `make chaos`."""

from __future__ import annotations

from hypothesis.stateful import run_state_machine_as_test

from tests.chaos.recovery import RecoveryLife
from tests.chaos.test_life import EXAMPLES, stories


def test_a_try_that_meets_anybody_takes_a_debt_once(db: None) -> None:
    run_state_machine_as_test(RecoveryLife, settings=stories(EXAMPLES // 3))
