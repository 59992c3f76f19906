"""Each mistake in a site's settings is named at start, with what to do about it."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks
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


def test_a_setting_of_the_sites_own_is_let_be() -> None:
    assert found(CHECKOUT_SHOP_OPENS="9:00") == {}


def test_a_live_site_without_debug_is_fine() -> None:
    assert found(**LIVE) == {}


def test_every_setting_that_counts_is_checked() -> None:
    counting = {name for name, default in conf.DEFAULTS.items() if type(default) is int}
    assert counting == set(checks.LEAST)
    assert all(conf.DEFAULTS[name] >= least for name, least in checks.LEAST.items())
