"""A decline is explained to the payer where that is allowed, and always to staff; and only some are tried again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkout import declines
from checkout.declines import BY_ITSELF, MEANINGS, Refusal, Retry, Verdict, judge
from stripe_emulator.resources.cards import CARDS

DAY = timedelta(days=1)


def test_every_decline_of_a_test_card_is_in_the_table() -> None:
    declined = {card.decline.decline_code for card in CARDS if card.decline is not None}
    assert len(declined) > 5
    assert declined <= set(MEANINGS)


def test_a_payer_never_learns_what_is_for_staff_only() -> None:
    private = {code for code, said in MEANINGS.items() if said.next_step == MEANINGS["lost_card"].next_step}
    assert {"lost_card", "stolen_card", "pickup_card", "fraudulent"} <= private
    plain = declines.sentence("card_declined", "generic_decline")
    assert {declines.sentence("card_declined", code) for code in private} == {plain}


def test_what_is_not_in_the_table_is_a_decline_without_a_reason() -> None:
    assert declines.meaning("", "code_of_tomorrow") == MEANINGS["generic_decline"]
    assert judge(Refusal(decline_code="code_of_tomorrow")) == Verdict(Retry.ONCE)


@pytest.mark.parametrize(
    ("refusal", "verdict"),
    [
        (Refusal("card_declined", "insufficient_funds"), Verdict(Retry.LATER)),
        (Refusal("card_declined", "insufficient_funds", advice_code="try_again_later"), Verdict(Retry.LATER, 3 * DAY)),
        (Refusal("card_declined", "generic_decline", advice_code="try_again_later"), Verdict(Retry.LATER, 3 * DAY)),
        (Refusal("card_declined", "insufficient_funds", advice_code="do_not_try_again"), Verdict(Retry.NEVER)),
        (Refusal("card_declined", "do_not_honor", advice_code="confirm_card_data"), Verdict(Retry.ENTER_AGAIN)),
        (Refusal("expired_card", ""), Verdict(Retry.NEVER)),
        (Refusal("authentication_required", "authentication_required"), Verdict(Retry.WITH_PAYER)),
        (Refusal("card_declined", "insufficient_funds", "", "27", "51", "mastercard"), Verdict(Retry.LATER, 4 * DAY)),
        (Refusal("card_declined", "insufficient_funds", "", "03", "51", "mastercard"), Verdict(Retry.NEVER)),
        (Refusal("card_declined", "insufficient_funds", "", "03", "51", "visa"), Verdict(Retry.LATER)),
        (Refusal("card_declined", "generic_decline", "", "", "41", "visa"), Verdict(Retry.NEVER)),
        (Refusal("card_declined", "previously_declined_do_not_retry"), Verdict(Retry.LATER, 3 * DAY)),
    ],
)
def test_the_advice_of_bank_and_network_outranks_the_code(refusal: Refusal, verdict: Verdict) -> None:
    assert judge(refusal) == verdict


codes = st.sampled_from(["", *MEANINGS, "nonsense"])


@given(
    st.builds(
        Refusal,
        codes,
        codes,
        st.sampled_from(["", "do_not_try_again", "try_again_later", "confirm_card_data", "new"]),
        st.sampled_from(["", "01", "02", "03", "21", "24", "30"]),
        st.sampled_from(["", "04", "51", "R1", "1A"]),
        st.sampled_from(["", "visa", "mastercard", "amex"]),
    )
)
def test_advice_never_makes_a_card_worth_asking_that_the_code_rules_out(refusal: Refusal) -> None:
    found = judge(refusal)
    if declines.meaning(refusal.error_code, refusal.decline_code).retry not in BY_ITSELF:
        assert found.retry not in BY_ITSELF
    if refusal.advice_code == "do_not_try_again":
        assert found.retry not in BY_ITSELF
    assert timedelta(0) <= found.wait <= 10 * DAY
    assert found.wait == timedelta(0) or found.retry in BY_ITSELF
