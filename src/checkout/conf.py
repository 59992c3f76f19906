"""Every setting of this app, read late (so that tests can override it) and in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Generic, TypeVar

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

T = TypeVar("T")


class Setting(Generic[T]):
    """One setting, with its default: the site's value, read anew each time.

    docs/reference.md says what each means and in what unit.
    """

    def __init__(self, default: T) -> None:
        self.default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, owner: type | None = None) -> T:
        value: T = getattr(django_settings, self.name, self.default)
        return value


class Conf:
    """`conf.CHECKOUT_LINK_DAYS` is the site's value, or the default below."""

    STRIPE_SECRET_KEY = Setting[str | None](None)
    STRIPE_PUBLISH_KEY = Setting[str | None](None)
    STRIPE_CAPTION = Setting("")
    # Names of accounts -> numbers (or names) in the site's chart of accounts; the rest as in checkout.bookkeeping.
    CHECKOUT_ACCOUNTS = Setting[Mapping[str, str]]({})
    CHECKOUT_ACTIVE_LOGIN_MONTHS = Setting(6)
    CHECKOUT_AGREEMENT_VERSION = Setting("1")
    CHECKOUT_BACKGROUND = Setting("inline")
    CHECKOUT_BASE_TEMPLATE = Setting("checkout/base.html")
    CHECKOUT_BASE_URL = Setting("")
    CHECKOUT_BRAND = Setting[Mapping[str, str]]({})
    CHECKOUT_CAN_LOGIN_AND_PAY = Setting[str | Callable[[Any], object]]("checkout.logins.user_has_active_account")
    CHECKOUT_CAPTCHA = Setting[str | Callable[[Any, Any], object]]("")
    # Instalments that one Celery task charges: about a minute of work, so that little waits behind a worker that died.
    CHECKOUT_CHUNK = Setting(100)
    CHECKOUT_CONTACT_TEXT = Setting("")
    CHECKOUT_CSP = Setting("enforce")
    CHECKOUT_CSP_REPORT_URI = Setting("")
    CHECKOUT_CSP_SOURCES = Setting[Mapping[str, Sequence[str]]]({})
    CHECKOUT_CURRENCY = Setting("GBP")
    # One visit to the bank; off: the card is saved first, and its deposit is charged to it then.
    CHECKOUT_DEPOSIT_WITH_CARD = Setting(True)
    CHECKOUT_DETACH_OLD_CARDS = Setting(True)
    # Off: staff decide what becomes of money that the site refused.
    CHECKOUT_GIVE_BACK_REFUSED = Setting(False)
    CHECKOUT_HEALTH_TOKEN = Setting("")
    CHECKOUT_HEARTBEAT_URL = Setting("")
    CHECKOUT_INVOICE_SERIES = Setting("I-%Y")
    # About as long as Stripe keeps them.
    CHECKOUT_KEEP_EVENTS_DAYS = Setting(90)
    # Seven years, as tax law in the UK asks, and more than most others.
    CHECKOUT_KEEP_INVOICES_DAYS = Setting(2557)
    # Longer than any dispute may come after the payment.
    CHECKOUT_KEEP_VISITORS_DAYS = Setting(730)
    CHECKOUT_LEASE_MINUTES = Setting(10)
    # Names of letters -> False for those that the site does without, or writes itself. All are on.
    CHECKOUT_LETTERS = Setting[Mapping[str, bool]]({})
    CHECKOUT_LIMIT_MINUTES = Setting(60)
    CHECKOUT_LINK_DAYS = Setting(14)
    CHECKOUT_MAX_ATTEMPTS = Setting(10)
    CHECKOUT_MAX_ATTEMPTS_PER_ADDRESS = Setting(60)
    CHECKOUT_MAX_DECLINES = Setting(10)
    CHECKOUT_NOTICE_DAYS = Setting(3)
    CHECKOUT_NOTIFY = Setting("immediate")
    CHECKOUT_NOTIFY_EMAILS = Setting[Sequence[str]](())
    CHECKOUT_ON_SESSION_REMINDER_DAYS = Setting(3)
    CHECKOUT_ORGANISATION = Setting[Mapping[str, str]]({})
    CHECKOUT_PAUSE_DISPUTED_PLANS = Setting(True)
    # None of its payments can be moved by a payer.
    CHECKOUT_PAYER_MAY_MOVE_DAYS = Setting(0)
    CHECKOUT_PLAN_RULES = Setting("warn")
    CHECKOUT_RATE_LIMIT = Setting(100)
    CHECKOUT_RATE_LIMIT_REDIS = Setting("")
    CHECKOUT_RECEIPT_SERIES = Setting("R-%Y")
    CHECKOUT_REMINDER_DAYS = Setting(7)
    # Currencies -> what runs may take on one day without a release; the others have no ceiling.
    CHECKOUT_RUN_CEILING = Setting[Mapping[str, Decimal | int]]({})
    # On: runs take only what one person was shown and another one released.
    CHECKOUT_RUN_RELEASE = Setting(False)
    # None: one person is enough, whatever the amount.
    CHECKOUT_SECOND_PERSON_ABOVE = Setting[Decimal | int | None](None)
    CHECKOUT_STAFF_BASE_TEMPLATE = Setting("checkout/staff/base.html")
    CHECKOUT_STALE_MINUTES = Setting(60)
    CHECKOUT_STRIPE_API_BASE = Setting("")
    CHECKOUT_STRIPE_HTTP_CLIENT = Setting[str | Callable[[], object]]("")
    CHECKOUT_STRIPE_JS_URL = Setting("https://js.stripe.com/endive/stripe.js")
    CHECKOUT_STRIPE_MAX_RETRIES = Setting(2)
    CHECKOUT_STRIPE_RECEIPTS = Setting(False)
    CHECKOUT_STRIPE_TIMEOUT = Setting[tuple[float, float]]((5, 20))
    CHECKOUT_WEBHOOK_SECRET = Setting[str | Sequence[str]]("")
    CHECKOUT_WORKERS = Setting(8)

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

#: What each setting is when the site does not set it.
DEFAULTS: dict[str, Any] = {name: each.default for name, each in vars(Conf).items() if isinstance(each, Setting)}


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
