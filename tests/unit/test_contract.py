import datetime

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.test import override_settings
from django.utils import timezone

from checkout import clock, contract
from checkout.errors import CheckoutError, GatewayRefused, InsideTransaction, NothingHappened, OutcomeUnknown
from tests.host.models import Membership


def test_a_host_that_fits_lacks_nothing() -> None:
    assert contract.missing_members(Membership()) == []
    assert isinstance(Membership(), contract.ContentObject)


def test_what_is_missing_is_named() -> None:
    assert contract.missing_members(object()) == [
        "checkout_actions",
        "checkout_can_charge",
        "checkout_description",
        "checkout_email",
        "checkout_fail",
        "checkout_fail_url",
        "checkout_name",
        "checkout_success",
        "checkout_success_url",
        "checkout_total",
        "get_absolute_url",
    ]


@override_settings(TIME_ZONE="Pacific/Auckland")
def test_today_is_the_sites_date_whatever_zone_a_visitor_has() -> None:
    with time_machine.travel("2026-06-30T13:00:00Z"), timezone.override("America/New_York"):
        assert clock.today() == datetime.date(2026, 7, 1)


def test_now_is_aware() -> None:
    assert clock.now().tzinfo is not None


def test_a_programming_error_is_never_handled_as_trouble_with_stripe() -> None:
    assert issubclass(InsideTransaction, RuntimeError)
    assert not issubclass(InsideTransaction, CheckoutError)


@pytest.mark.django_db
def test_whoever_acts_is_a_user_or_nobody() -> None:
    user = get_user_model().objects.create_user("ada")
    assert contract.actor(user) == user
    assert contract.actor(AnonymousUser()) is None
    assert contract.actor(None) is None


def test_an_unknown_outcome_is_never_a_kind_of_nothing_happened() -> None:
    assert not issubclass(OutcomeUnknown, NothingHappened)
    assert issubclass(GatewayRefused, NothingHappened)
    assert issubclass(OutcomeUnknown, CheckoutError)
