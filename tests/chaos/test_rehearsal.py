"""A rehearsal leaves out the days on which no job finds anything to do, and tells the story of every day.

The suite compares one story, `make chaos` each of them.
"""

from __future__ import annotations

import os
from typing import Final

import pytest

from checkout.models import PaymentPlan
from tests.services.test_rehearsal import told

pytestmark = pytest.mark.django_db

#: Each is announced, refused, and reminded of before the payer comes, or never comes.
STORIES: Final = (
    ("--decline=2=lost_card", "--payer-comes-after=8"),
    ("--decline=2=authentication_required", "--payer-comes-after=8"),
    ("--decline=2=insufficient_funds",),
    ("--decline=2=lost_card", "--payer-comes-after=-1"),
    ("--decline=1=insufficient_funds", "--payer-comes-after=0"),
    # Summer time ends in it.
    ("--decline=2=authentication_required", "--payer-comes-after=-1", "--start=2027-09-28"),
)


@pytest.mark.parametrize("arguments", STORIES if os.environ.get("CHAOS_EXAMPLES") else STORIES[:1], ids=" ".join)
def test_no_day_is_left_out_on_which_something_would_have_happened(arguments: tuple[str, ...]) -> None:
    PaymentPlan.objects.create_payment_plan("short", "Short", 20, 1, 1)
    # The payment after the deposit is due two weeks later.
    arguments = ("--start=2027-01-15", *arguments)
    story = told(*arguments, plan="short")
    assert len(story) > 5
    assert told(*arguments, "--every-day", plan="short") == story
