"""History is kept as codes and facts, and told in the language of whoever reads it."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path

import pytest
from django.utils import translation

import checkout
from checkout import actions
from checkout.journal import Code, Why, in_english, in_words
from checkout.models import Checkout, StateChange

SOURCE = "".join(
    path.read_text() for path in sorted(Path(checkout.__file__).parent.rglob("*.py")) if path.name != "journal.py"
)


def example(code: Code, note: str = "") -> Why:
    return Why(code, note=note, **dict.fromkeys(code.placeholders, 7))


@pytest.mark.parametrize("code", Code)
def test_every_code_is_used(code: Code) -> None:
    begun = {f"{slug}_begun" for slug in actions.ACTIONS}
    assert re.search(rf"\bCode\.{code.name}\b", SOURCE) or code in begun


def test_every_action_can_begin() -> None:
    for slug, (name, _money) in actions.ACTIONS.items():
        assert str(Why(Code(f"{slug}_begun"))) == f"{name} begun"


@pytest.mark.parametrize("code", Code)
def test_every_sentence_is_said_in_german_with_its_facts(code: Code) -> None:
    english = str(example(code))
    with translation.override("de"):
        german = str(example(code))
    # Stripe's own codes stay as they are, whatever language they stand in.
    assert (german == english) == (code is Code.STRIPE_SAYS)
    assert german.count("7") == english.count("7") == len(code.placeholders)


@pytest.mark.parametrize("code", Code)
def test_the_facts_are_those_that_the_sentence_names(code: Code) -> None:
    facts = dict.fromkeys(code.placeholders, 7)
    with pytest.raises(ValueError, match="takes the facts"):
        Why(code, **facts, whatever=7)
    for name in facts:
        with pytest.raises(ValueError, match="takes the facts"):
            Why(code, **{other: 7 for other in facts if other != name})


def test_a_note_has_no_facts() -> None:
    with pytest.raises(ValueError, match="takes the facts"):
        Why(note="asked by phone", run=7)


@pytest.mark.parametrize("code", Code)
def test_what_is_kept_reads_as_what_was_said(code: Code) -> None:
    why = example(code, note="50 % less %(run)s")
    kept = json.loads(json.dumps(why.columns))
    assert in_words(**kept) == str(why)
    assert len(why.code) <= max_length(StateChange, "code") == max_length(Checkout, "failure_code")


def max_length(model: type[StateChange | Checkout], name: str) -> int:
    length = model._meta.get_field(name).max_length
    assert length is not None
    return length


def test_numbers_stay_numbers_and_days_are_written_for_machines() -> None:
    assert Why(Code.PAYMENT_RUN, run=12).columns == {"code": "payment_run", "facts": {"run": 12}, "note": ""}
    moved = Why(Code.DUE_CHANGED, before=datetime.date(2026, 1, 1), due=datetime.date(2026, 2, 1))
    assert moved.facts == {"before": "2026-01-01", "due": "2026-02-01"}


def test_what_people_wrote_stays_as_it_is() -> None:
    with translation.override("de"):
        assert str(Why(note="Due to illness, 100 % true")) == "Due to illness, 100 % true"
        # Not even when it is a sentence of ours.
        assert str(Why(note="Claimed")) == "Claimed"
        moved = Why(Code.DUE_CHANGED, before="2026-01-01", due="2026-02-01", note="50 % less %(x)s")
        assert str(moved) == "Fällig 2026-01-01 → 2026-02-01: 50 % less %(x)s"


def test_what_somebody_said_goes_before_our_own_words() -> None:
    assert Why.said("Your card was declined.", otherwise=Code.CARD_DECLINED) == Why(note="Your card was declined.")
    assert Why.said("", otherwise=Code.CARD_DECLINED) == Why(Code.CARD_DECLINED)


def test_a_line_of_another_version_can_still_be_read() -> None:
    assert in_words("of_next_year", {"x": 1}, "a note") == "of next year: a note"
    assert in_words("payment_run", {}) == "Payment run …"
    assert in_words("", {}) == ""


def test_evidence_and_logs_are_in_english_whoever_asks() -> None:
    change = StateChange(from_state="pending", to_state="request", **Why(Code.PAYMENT_RUN, run=12).columns)
    with translation.override("de"):
        assert change.reason_text == "Abbuchungslauf 12"
        assert str(change) == "pending → request: Payment run 12"
        with in_english():
            assert change.reason_text == "Payment run 12"
