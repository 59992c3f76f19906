"""Whose login opens which plans."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser

from checkout.models import ObjectPaymentPlan
from checkout.services import payers, plans
from tests.services.conftest import SavePlan

pytestmark = pytest.mark.django_db


@pytest.fixture
def login(django_user_model: Any) -> Any:
    """`login(name, email)`: somebody who may log in."""
    return lambda name, email, **more: django_user_model.objects.create_user(name, email, "secret", **more)


def test_a_login_finds_its_own_plans_and_nobody_elses_the_newest_first(save_plan: SavePlan, login: Any) -> None:
    first, _other = save_plan(), save_plan(email="b@example.com")
    # However the address is written there.
    second = save_plan(email="Member@Example.com")
    member = login("member", "member@example.com")
    assert payers.plans_of(member) == [second, first]
    assert payers.plans_of(login("stranger", "stranger@example.com")) == []
    for nobody in (None, AnonymousUser()):
        assert payers.plans_of(nobody) == []


def test_a_login_without_an_address_finds_the_plans_that_it_agreed_itself(save_plan: SavePlan, login: Any) -> None:
    plan, _other = save_plan(), save_plan(email="b@example.com")
    member = login("member", "")
    ObjectPaymentPlan.objects.filter(pk=plan.pk).update(user=member)
    assert payers.plans_of(member) == [plan]


def test_two_logins_with_one_address_tell_neither_about_the_other(save_plan: SavePlan, login: Any) -> None:
    plan = save_plan()
    one, two = login("one", "member@example.com"), login("two", "MEMBER@example.com")
    assert (payers.plans_of(one), payers.plans_of(two)) == ([], [])
    type(two).objects.filter(pk=two.pk).update(is_active=False)
    assert payers.plans_of(one) == [plan], "whoever cannot log in is not asked about"


def test_a_plan_that_was_stopped_is_shown_but_not_as_one_that_is_owed(save_plan: SavePlan, login: Any) -> None:
    plan, member = save_plan(), login("member", "member@example.com")
    assert payers.outstanding_plans_of(member) == [plan]
    plans.stop(plan)
    assert payers.outstanding_plans_of(member) == []
    assert payers.plans_of(member) == [plan]
