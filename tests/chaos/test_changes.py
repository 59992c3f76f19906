"""However a plan is changed, its sums, its history and its payer's agreement hold. Longer by `make chaos`."""

from __future__ import annotations

from hypothesis.stateful import run_state_machine_as_test

from tests.chaos.changes import ChangeLife
from tests.chaos.test_life import EXAMPLES, stories


def test_a_plan_that_is_changed_in_every_way_says_the_truth(db: None) -> None:
    run_state_machine_as_test(ChangeLife, settings=stories(EXAMPLES // 3))
