import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkout import actions, states

names = st.sampled_from(list(states.STATES))


@given(names, names)
def test_sources_and_moves_are_the_same_diagram(source: str, target: str) -> None:
    assert (source in states.sources(target)) == (target in states.MOVES[source]) == states.may_move(source, target)


def test_nothing_leaves_success() -> None:
    assert states.MOVES[states.SUCCESS] == frozenset()


def test_everything_else_can_still_become_a_success() -> None:
    assert states.sources(states.SUCCESS) == set(states.STATES) - {states.SUCCESS}


def test_no_state_moves_to_itself() -> None:
    assert all(state not in targets for state, targets in states.MOVES.items())


@given(st.text())
def test_a_word_that_is_not_a_state_is_named_in_the_error(word: str) -> None:
    if word not in states.MOVES:
        with pytest.raises(ValueError, match=re.escape(f"{word!r} is not a state")):
            states.sources(word)


def test_open_attempts_are_those_that_may_still_take_money() -> None:
    assert set(states.STATES) - {states.SUCCESS, states.FAIL} == states.OPEN


def test_money_takers_are_the_actions_that_say_so() -> None:
    assert set(actions.TAKES_MONEY) == {"payment", "charge", "manual"}


def test_what_failed_waits_for_nobody_before_it_is_tried_again() -> None:
    assert states.MOVES[states.FAIL] == {states.PENDING, states.REQUEST, states.SUCCESS}
