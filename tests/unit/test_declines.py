"""A decline is explained to the payer where that is allowed, and always to staff."""

from __future__ import annotations

from checkout import advice, declines
from stripe_emulator.resources.cards import CARDS


def test_staff_are_advised_about_every_reason_that_a_payer_is_told() -> None:
    assert set(declines.SENTENCES) <= set(advice.CODES)


def test_staff_are_advised_about_the_decline_of_every_test_card() -> None:
    declined = {card.decline.decline_code for card in CARDS if card.decline is not None}
    assert len(declined) > 5
    assert declined <= set(advice.CODES)


def test_a_payer_never_learns_what_is_for_staff_only() -> None:
    private = {code for code, said in advice.CODES.items() if said.next_step == advice.CODES["lost_card"].next_step}
    assert {"lost_card", "stolen_card", "pickup_card", "fraudulent"} <= private
    assert private.isdisjoint(declines.SENTENCES)
