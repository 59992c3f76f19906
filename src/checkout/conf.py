"""Every setting of this app, read late (so that tests can override it) and in one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

#: What each setting is when the site does not set it. `None` means that the site has to. docs/reference.md says what
#: each means and in what unit.
DEFAULTS: dict[str, Any] = {
    "STRIPE_SECRET_KEY": None,
    "STRIPE_PUBLISH_KEY": None,
    "STRIPE_CAPTION": "",
    "CHECKOUT_ACTIVE_LOGIN_MONTHS": 6,
    "CHECKOUT_AGREEMENT_VERSION": "1",
    "CHECKOUT_BACKGROUND": "inline",
    "CHECKOUT_BASE_TEMPLATE": "checkout/base.html",
    "CHECKOUT_BASE_URL": "",
    "CHECKOUT_CAN_LOGIN_AND_PAY": "checkout.services.on_session.user_has_active_account",
    # Instalments that one Celery task charges: about a minute of work, so that little waits behind a worker that died.
    "CHECKOUT_CHUNK": 100,
    "CHECKOUT_CONTACT_TEXT": "",
    "CHECKOUT_CURRENCY": "GBP",
    "CHECKOUT_DETACH_OLD_CARDS": True,
    "CHECKOUT_LEASE_MINUTES": 10,
    "CHECKOUT_LINK_DAYS": 14,
    "CHECKOUT_NOTIFY": "immediate",
    "CHECKOUT_NOTIFY_EMAILS": (),
    "CHECKOUT_ON_SESSION_REMINDER_DAYS": 3,
    "CHECKOUT_PAUSE_DISPUTED_PLANS": True,
    "CHECKOUT_RATE_LIMIT": 100,
    "CHECKOUT_RATE_LIMIT_REDIS": "",
    "CHECKOUT_STAFF_BASE_TEMPLATE": "checkout/staff/base.html",
    "CHECKOUT_STALE_MINUTES": 60,
    "CHECKOUT_STRIPE_API_BASE": "",
    "CHECKOUT_STRIPE_HTTP_CLIENT": "",
    "CHECKOUT_STRIPE_JS_URL": "https://js.stripe.com/endive/stripe.js",
    "CHECKOUT_STRIPE_MAX_RETRIES": 2,
    "CHECKOUT_STRIPE_TIMEOUT": (5, 20),
    "CHECKOUT_WEBHOOK_SECRET": "",
    "CHECKOUT_WORKERS": 8,
}


class Conf:
    """`conf.CHECKOUT_LINK_DAYS` is the site's value, or the default above."""

    def __getattr__(self, name: str) -> Any:
        try:
            default = DEFAULTS[name]
        except KeyError:
            raise AttributeError(f"{name} is not a setting of checkout.") from None
        return getattr(django_settings, name, default)

    def required(self, name: str) -> str:
        """The text of a setting that has no default.

        Raises ImproperlyConfigured, which names the setting, when it is missing or empty.
        """
        value = getattr(self, name)
        if not value:
            raise ImproperlyConfigured(f"Set {name} in your settings: checkout cannot talk to Stripe without it.")
        return str(value)

    def load(self, name: str) -> Callable[..., Any]:
        """The function or class that a dotted-path setting names (a callable is taken as it is)."""
        value = getattr(self, name)
        if callable(value):
            return value
        try:
            return import_string(value)
        except ImportError as error:
            raise ImproperlyConfigured(f"{name} is {value!r}, which cannot be imported: {error}") from error


conf = Conf()


def webhook_secrets() -> list[str]:
    """CHECKOUT_WEBHOOK_SECRET as a list: while Stripe rolls a secret, the old and the new one both sign.

    Several are given as a list, or in one text with commas between them, as environment variables are.
    """
    value = conf.CHECKOUT_WEBHOOK_SECRET
    secrets = value.split(",") if isinstance(value, str) else list(value or ())
    return [secret.strip() for secret in secrets if secret and secret.strip()]


def is_live_key(key: str | None) -> bool:
    """True for a key that moves real money. Stripe's live keys begin sk_live_, rk_live_ or pk_live_."""
    return bool(key) and "_live_" in str(key)[:9]
