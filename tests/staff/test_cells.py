"""How values are shown to staff."""

from __future__ import annotations

import datetime

import pytest
from django.urls import reverse
from django.utils import translation

from checkout.office.views import cells

MORNING = datetime.datetime(2026, 7, 5, 7, 4, tzinfo=datetime.UTC)


@pytest.mark.parametrize(("language", "day"), [("en", "5 Jul 2026"), ("de", "5. Jul 2026")])
def test_a_moment_is_shown_in_the_readers_words_and_the_sites_zone(language: str, day: str) -> None:
    with translation.override(language):
        assert cells.show_date(MORNING.date()) == day
        assert cells.show_time(MORNING) == f"{day}, 08:04"


def test_an_address_is_the_one_of_its_row() -> None:
    name = "checkout.object.payment.plan.instalment.promise"
    address = cells.address_of(name)
    assert [address(pk) for pk in (1, 4242)] == [reverse(name, args=[1]), reverse(name, args=[4242])]
