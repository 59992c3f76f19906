"""Each mistake in a site's settings is named at start, with what to do about it."""

from __future__ import annotations

import random
from typing import Any

import pytest
from django.apps import apps
from django.core.checks import ERROR, run_checks
from django.db import connections
from django.test import override_settings

from checkout import checks, conf

LIVE = {"STRIPE_SECRET_KEY": "sk_live_1", "STRIPE_PUBLISH_KEY": "pk_live_1"}


def found(**changes: Any) -> dict[str, Any]:
    """The app's complaints about the test settings with these changes, by id."""
    with override_settings(**changes):
        messages = run_checks(include_deployment_checks=True)
    return {message.id: message for message in messages if str(message.id).startswith("checkout.")}


def test_settings_that_are_right_bring_no_complaint() -> None:
    assert found() == {}


@pytest.mark.parametrize(
    ("identifier", "changes"),
    [
        ("checkout.E001", {"STRIPE_SECRET_KEY": ""}),
        ("checkout.E002", {"STRIPE_SECRET_KEY": "pk_test_1"}),
        ("checkout.E003", {"STRIPE_PUBLISH_KEY": ""}),
        ("checkout.E004", {"STRIPE_PUBLISH_KEY": "sk_test_1"}),
        ("checkout.E005", {"STRIPE_SECRET_KEY": "rk_live_1"}),
        ("checkout.E006", LIVE | {"CHECKOUT_STRIPE_API_BASE": "http://127.0.0.1:12111"}),
        ("checkout.E007", {"CHECKOUT_CURRENCY": "XYZ"}),
        ("checkout.E008", {"CHECKOUT_CAN_LOGIN_AND_PAY": "nowhere.at_all"}),
        ("checkout.E009", {"CHECKOUT_CAN_LOGIN_AND_PAY": lambda contact, payment: True}),
        ("checkout.E010", {"CHECKOUT_WORKERS": 0}),
        ("checkout.E010", {"CHECKOUT_LINK_DAYS": "14"}),
        ("checkout.E010", {"CHECKOUT_ON_SESSION_REMINDER_DAYS": -1}),
        ("checkout.E011", {"CHECKOUT_BACKGROUND": "thread"}),
        ("checkout.E012", {"CHECKOUT_BASE_URL": "www.example.org"}),
        ("checkout.E013", {"CHECKOUT_NOTIFY": "weekly"}),
        ("checkout.E014", {"CHECKOUT_NOTIFY_EMAILS": "office@example.org"}),
        ("checkout.W001", LIVE | {"DEBUG": True}),
        ("checkout.W002", {"CHECKOUT_STRIPE_API_BASE": "http://127.0.0.1:12111"}),
        ("checkout.W003", {"CHECKOUT_WEBHOOK_SECRET": ""}),
        ("checkout.W004", {"CHECKOUT_BASE_URL": ""}),
        ("checkout.W005", {"CHECKOUT_CURENCY": "EUR"}),
    ],
)
def test_a_mistake_is_named_with_what_to_do(identifier: str, changes: dict[str, Any]) -> None:
    message = found(**changes)[identifier]
    assert message.hint
    assert "sk_live_1" not in message.msg


class Routed:
    """A router that sends what is asked of it somewhere else."""

    def __init__(self, *, reads: str = "default", writes: str = "default", only: str = "") -> None:
        self.reads, self.writes, self.only = reads, writes, only

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return self.reads if model._meta.label_lower.startswith(self.only) else None

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return self.writes if model._meta.label_lower.startswith(self.only) else None


class AtRandom(Routed):
    """As sites share reads among a primary and its replica."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return random.choice(["default", "replica"])


@pytest.mark.parametrize(
    ("identifier", "router", "named"),
    [
        ("checkout.E017", Routed(writes="other", reads="other"), "checkout."),
        ("checkout.E017", Routed(writes="other", reads="other", only="host.membership"), "host.Membership"),
        ("checkout.E018", Routed(reads="replica"), "checkout."),
        ("checkout.E018", Routed(reads="replica", only="host.membership"), "host.Membership"),
        ("checkout.E018", AtRandom(), "checkout."),
    ],
)
def test_a_router_that_lets_money_be_decided_elsewhere_is_an_error(identifier: str, router: Any, named: str) -> None:
    messages = found(DATABASE_ROUTERS=[router])
    assert set(messages) == {identifier}
    assert messages[identifier].level == ERROR
    assert named in messages[identifier].msg


def test_a_router_may_send_other_tables_anywhere() -> None:
    assert found(DATABASE_ROUTERS=[Routed(reads="replica", writes="other", only="auth.")]) == {}


def test_a_database_that_lacks_our_constraints_is_an_error(monkeypatch: Any) -> None:
    monkeypatch.setattr(connections["default"], "vendor", "mysql")
    assert found()["checkout.E015"].level == ERROR


def test_every_table_of_ours_is_read_where_it_is_written() -> None:
    """By its manager, and by what Django follows foreign keys with."""
    tables = list(apps.get_app_config("checkout").get_models())
    assert len(tables) > 20
    with override_settings(DATABASE_ROUTERS=[Routed(reads="replica")]):
        elsewhere = {model.__name__: model.objects.db for model in tables if model.objects.all().db != "default"}
        followed = {model.__name__ for model in tables if model._base_manager.all().db != "default"}
    assert (elsewhere, followed) == ({}, set())


def test_a_setting_of_the_sites_own_is_let_be() -> None:
    assert found(CHECKOUT_SHOP_OPENS="9:00") == {}


def test_a_live_site_without_debug_is_fine() -> None:
    assert found(**LIVE) == {}


def test_every_setting_that_counts_is_checked() -> None:
    counting = {name for name, default in conf.DEFAULTS.items() if type(default) is int}
    assert counting == set(checks.LEAST)
    assert all(conf.DEFAULTS[name] >= least for name, least in checks.LEAST.items())
