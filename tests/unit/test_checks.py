"""Each mistake in a site's settings is named at start, with what to do about it."""

from __future__ import annotations

import random
import tempfile
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.core.checks import ERROR, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.test import override_settings

from checkout import checks, conf, deployment

LIVE = {"STRIPE_SECRET_KEY": "sk_live_1", "STRIPE_PUBLISH_KEY": "pk_live_1"}


CACHE = "django.core.cache.backends"
SMTP = {"BACKENDS": {"default": "django.core.mail.backends.smtp.EmailBackend"}}
#: What a site has to set besides the test settings. SQLite, on which these tests run, is complained about by itself.
RIGHT: dict[str, Any] = {
    "CACHES": {"default": {"BACKEND": f"{CACHE}.filebased.FileBasedCache", "LOCATION": tempfile.gettempdir()}},
    "CHECKOUT_NOTIFY_EMAILS": ["office@example.org"],
    "CHECKOUT_BASE_URL": "https://shop.example",
    "CHECKOUT_STRIPE_JS_URL": "https://js.stripe.com/endive/stripe.js",
    "POST_OFFICE": SMTP,
    "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
}


def found(**changes: Any) -> dict[str, Any]:
    """The app's complaints about a site that is right but for these changes, by id."""
    with override_settings(**(RIGHT | changes)):
        messages = run_checks(include_deployment_checks=True)
    ours = {message.id: message for message in messages if str(message.id).startswith("checkout.")}
    if connections["default"].vendor == "sqlite" and not settings.DEBUG:
        assert "checkout.W037" in ours or changes.get("DEBUG")
        ours.pop("checkout.W037", None)
    return ours


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
        ("checkout.E019", {"CHECKOUT_SECOND_PERSON_ABOVE": "500"}),
        ("checkout.E019", {"CHECKOUT_SECOND_PERSON_ABOVE": -1}),
        ("checkout.E039", {"CHECKOUT_PLAN_RULES": "yes"}),
        ("checkout.E040", {"CHECKOUT_RUN_CEILING": 500}),
        ("checkout.E040", {"CHECKOUT_RUN_CEILING": {"GBP": "500"}}),
        ("checkout.E040", {"CHECKOUT_RUN_CEILING": {"GBP": -1}}),
        ("checkout.E040", {"CHECKOUT_RUN_CEILING": {"POUNDS": 500}}),
        ("checkout.E011", {"CHECKOUT_BACKGROUND": "thread"}),
        ("checkout.E012", {"CHECKOUT_BASE_URL": "www.example.org"}),
        ("checkout.E013", {"CHECKOUT_NOTIFY": "weekly"}),
        ("checkout.E014", {"CHECKOUT_NOTIFY_EMAILS": "office@example.org"}),
        ("checkout.W001", LIVE | {"DEBUG": True}),
        ("checkout.W002", {"CHECKOUT_STRIPE_API_BASE": "http://127.0.0.1:12111"}),
        ("checkout.W003", {"CHECKOUT_WEBHOOK_SECRET": ""}),
        ("checkout.W004", {"CHECKOUT_BASE_URL": ""}),
        ("checkout.W005", {"CHECKOUT_CURENCY": "EUR"}),
        ("checkout.E030", LIVE | {"CHECKOUT_STRIPE_JS_URL": "https://evil.example/stripe.js"}),
        ("checkout.E030", LIVE | {"CHECKOUT_STRIPE_JS_URL": "http://js.stripe.com/endive/stripe.js"}),
        ("checkout.E030", LIVE | {"CHECKOUT_STRIPE_JS_URL": "https://js.stripe.com.evil.example/stripe.js"}),
        ("checkout.E031", {"CHECKOUT_NOTIFY_EMAILS": ["office@example.org", "left the company"]}),
        ("checkout.E032", {"DEFAULT_FROM_EMAIL": "webmaster@localhost"}),
        ("checkout.E033", {"ROOT_URLCONF": "tests.unit.no_urls"}),
        ("checkout.E034", {"LOGIN_URL": "/nowhere/"}),
        ("checkout.E034", {"LOGIN_URL": "no-such-name"}),
        ("checkout.W030", {"CHECKOUT_CSP": "off"}),
        ("checkout.W030", {"CHECKOUT_CSP": "on"}),
        ("checkout.W031", LIVE),
        ("checkout.W032", {"CHECKOUT_BASE_URL": "http://shop.example"}),
        ("checkout.W033", {"CACHES": {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}}),
        ("checkout.W033", {"CACHES": {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}}),
        ("checkout.W034", {"CHECKOUT_NOTIFY_EMAILS": []}),
        ("checkout.W035", {"POST_OFFICE": {"BACKENDS": {"default": "django.core.mail.backends.console.EmailBackend"}}}),
        ("checkout.W036", {"EMAIL_BACKEND": "post_office.EmailBackend"}),
    ],
)
def test_a_mistake_is_named_with_what_to_do(identifier: str, changes: dict[str, Any]) -> None:
    message = found(**changes)[identifier]
    assert message.hint
    assert "sk_live_1" not in message.msg


def test_sqlite_is_named_where_debug_is_off(monkeypatch: Any) -> None:
    assert [message.id for message in deployment.check_sqlite()] == (
        ["checkout.W037"] if connections["default"].vendor == "sqlite" else []
    )
    with override_settings(DEBUG=True):
        assert deployment.check_sqlite() == []


def test_without_post_office_the_start_says_what_to_add(monkeypatch: Any) -> None:
    monkeypatch.setattr(apps, "is_installed", lambda name: name != "post_office")
    with pytest.raises(ImproperlyConfigured, match="post_office"):
        apps.get_app_config("checkout").ready()


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
    assert found(STRIPE_SECRET_KEY="rk_live_1", STRIPE_PUBLISH_KEY="pk_live_1") == {}


def test_every_setting_that_counts_is_checked() -> None:
    counting = {name for name, default in conf.DEFAULTS.items() if type(default) is int}
    assert counting == set(checks.LEAST)
    assert all(conf.DEFAULTS[name] >= least for name, least in checks.LEAST.items())
