"""The domains of the payment pages are registered at Stripe once, however often the command runs."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from checkout.gateway import PaymentDomain, gateway
from stripe_emulator import Emulator

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("register_payment_domain", *arguments, stdout=out)
    return out.getvalue()


def changes(emulator: Emulator) -> int:
    return sum(each.method == "POST" for each in emulator.requests)


def test_it_is_registered_once_and_looked_at_again(emulator: Emulator) -> None:
    assert "pay.example.org: would be registered" in run("pay.example.org", "--dry-run")
    assert changes(emulator) == 0
    said = run("Pay.example.org", "www.example.org")
    for line in ("pay.example.org: registered", "www.example.org: registered", "apple_pay: active"):
        assert line in said
    assert changes(emulator) == 2
    assert "pay.example.org: was registered" in run("pay.example.org")
    found = gateway().find_payment_domain("pay.example.org")
    assert found is not None
    assert (found.enabled, found.wallets) == (True, {"apple_pay": "", "google_pay": ""})
    assert "pay.example.org: is registered" in run("pay.example.org", "--dry-run")


def test_one_that_was_switched_off_is_switched_on(emulator: Emulator) -> None:
    run("pay.example.org")
    found = gateway().find_payment_domain("pay.example.org")
    assert found is not None
    gateway()._v1.payment_method_domains.update(found.id, {"enabled": False})
    assert "would be switched on" in run("pay.example.org", "--dry-run")
    assert "pay.example.org: switched on" in run("pay.example.org")
    again = gateway().find_payment_domain("pay.example.org")
    assert again is not None
    assert (again.id, again.enabled) == (found.id, True)


def test_without_a_name_it_is_the_site_s_own(emulator: Emulator, settings: Any) -> None:
    settings.CHECKOUT_BASE_URL = "https://shop.example:8443/"
    assert "shop.example: registered" in run()
    settings.CHECKOUT_BASE_URL = ""
    with pytest.raises(CommandError, match="Name a domain"):
        run()


def test_what_is_no_domain_is_refused_with_stripe_s_words(emulator: Emulator) -> None:
    with pytest.raises(CommandError, match=r"https://shop\.example"):
        run("https://shop.example/")


def test_a_wallet_that_cannot_be_shown_says_why_and_fails(emulator: Emulator, monkeypatch: Any) -> None:
    seen = PaymentDomain("pmd_1", "pay.example.org", True, True, {"apple_pay": "No file was found.", "google_pay": ""})
    monkeypatch.setattr(gateway(), "register_payment_domain", lambda name: seen)
    with pytest.raises(CommandError, match="1 wallets cannot be shown"):
        run("pay.example.org")


@pytest.mark.parametrize(("key", "warns"), [("sk_test_emulator", True), ("sk_live_1", False)])
def test_a_test_key_is_pointed_out(emulator: Emulator, settings: Any, key: str, warns: bool) -> None:
    settings.STRIPE_SECRET_KEY = key
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(gateway()), "find_payment_domain", lambda self, name: None)
        assert ("This is a test key" in run("pay.example.org", "--dry-run")) == warns
