"""Each action is complete: it takes money by card or otherwise, and a checkout says which it is."""

from __future__ import annotations

import pytest

from checkout import actions
from checkout.models import Checkout


def test_an_action_that_takes_money_does_so_by_card_or_was_paid_by_other_means() -> None:
    assert sorted(actions.TAKES_MONEY) == sorted([*actions.BY_CARD, actions.MANUAL])


def test_an_action_that_takes_no_money_saves_a_card_or_is_an_invoice() -> None:
    assert sorted({*actions.ACTIONS} - {*actions.TAKES_MONEY}) == sorted([*actions.SAVES_CARD, actions.INVOICE])


@pytest.mark.parametrize("slug", actions.ACTIONS)
def test_a_checkout_says_which_action_it_is(slug: str) -> None:
    checkout = Checkout(action_id=slug)
    assert [each for each in actions.ACTIONS if getattr(checkout, f"is_{each}")] == [slug]
