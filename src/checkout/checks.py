"""System checks: what is wrong with the settings, and what to do about it, before a payer finds out."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as CheckWarning
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections, router, transaction
from django.db.models import Model

from checkout import brand, contract, letters, money
from checkout.conf import DEFAULTS, conf, is_live_key, webhook_secrets
from checkout.errors import MoneyError


@register(Tags.security)
def check_keys(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Both keys are there, of one mode, each in its place."""
    found: list[CheckMessage] = []
    secret, publishable = conf.STRIPE_SECRET_KEY, conf.STRIPE_PUBLISH_KEY
    if not secret:
        found.append(
            Error(
                "STRIPE_SECRET_KEY is not set, so nothing can be paid.",
                hint="Stripe dashboard > Developers > API keys. A restricted key (rk_…) is best.",
                id="checkout.E001",
            )
        )
    elif str(secret).startswith("pk_"):
        found.append(
            Error(
                "STRIPE_SECRET_KEY holds a publishable key.",
                hint="Put the key that begins sk_ or rk_ there.",
                id="checkout.E002",
            )
        )
    if not publishable:
        found.append(
            Error(
                "STRIPE_PUBLISH_KEY is not set, so the payment page cannot start Stripe.js.",
                hint="Stripe dashboard > Developers > API keys > Publishable key.",
                id="checkout.E003",
            )
        )
    elif not str(publishable).startswith("pk_"):
        found.append(
            Error(
                "STRIPE_PUBLISH_KEY is not a publishable key, and it is shown to every payer.",
                hint="Put the key that begins pk_ there. If a secret key was there, roll it now.",
                id="checkout.E004",
            )
        )
    if secret and publishable and is_live_key(secret) != is_live_key(publishable):
        found.append(
            Error(
                "One Stripe key is a live key and the other a test key.",
                hint="Take both from the same mode of the Stripe dashboard.",
                id="checkout.E005",
            )
        )
    if is_live_key(secret) and settings.DEBUG:
        found.append(
            CheckWarning(
                "A live Stripe key is used while DEBUG is on: real money, with tracebacks on show.",
                hint="Use a test key for development.",
                id="checkout.W001",
            )
        )
    if conf.CHECKOUT_STRIPE_API_BASE and is_live_key(secret):
        found.append(
            Error(
                "CHECKOUT_STRIPE_API_BASE sends a live key to an address that is not Stripe's.",
                hint="Remove CHECKOUT_STRIPE_API_BASE, or use a test key.",
                id="checkout.E006",
            )
        )
    return found


@register(Tags.security, deploy=True)
def check_emulator(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    if conf.CHECKOUT_STRIPE_API_BASE and not settings.DEBUG:
        return [
            CheckWarning(
                "Payments go to an emulator (CHECKOUT_STRIPE_API_BASE) with DEBUG off: nobody is really charged.",
                hint="Remove CHECKOUT_STRIPE_API_BASE and CHECKOUT_STRIPE_JS_URL in production.",
                id="checkout.W002",
            )
        ]
    return []


@register()
def check_currency(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    try:
        money.check_currency(conf.CHECKOUT_CURRENCY)
    except MoneyError as problem:
        return [Error(f"CHECKOUT_CURRENCY: {problem}", hint="For example GBP or EUR.", id="checkout.E007")]
    return []


@register()
def check_can_login_and_pay(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    hint = "A dotted path to a function that takes the contact and returns True or False."
    try:
        function = conf.load("CHECKOUT_CAN_LOGIN_AND_PAY")
    except ImproperlyConfigured as problem:
        return [Error(str(problem), hint=hint, id="checkout.E008")]
    if len(inspect.signature(function).parameters) != 1:
        return [Error("CHECKOUT_CAN_LOGIN_AND_PAY must take exactly one parameter.", hint=hint, id="checkout.E009")]
    return []


@register(Tags.security, deploy=True)
def check_webhook_secret(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    if webhook_secrets() or settings.DEBUG:
        return []
    return [
        CheckWarning(
            "CHECKOUT_WEBHOOK_SECRET is not set, so no webhook can be checked and every one is refused.",
            hint=(
                "Stripe dashboard > Developers > Webhooks > your endpoint > Signing secret (whsec_…). Without webhooks "
                "results are found only as often as the fulfilment commands run; then silence this check."
            ),
            id="checkout.W003",
        )
    ]


@register()
def check_background(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    ways = ("inline", "celery", "sweep")
    if conf.CHECKOUT_BACKGROUND in ways:
        return []
    return [
        Error(
            f"CHECKOUT_BACKGROUND is {conf.CHECKOUT_BACKGROUND!r}; it must be one of {', '.join(ways)}.",
            hint="inline: after the answer, in the web process. celery: by a task. sweep: by `process_events` only.",
            id="checkout.E011",
        )
    ]


@register()
def check_base_url(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Mails are written where no request can tell the site's address."""
    hint = "The address of your site, for example https://www.example.org."
    if not conf.CHECKOUT_BASE_URL:
        text = "CHECKOUT_BASE_URL is not set, so no mail with a link can be sent to a payer."
        return [CheckWarning(text, hint=hint, id="checkout.W004")]
    if not str(conf.CHECKOUT_BASE_URL).startswith(("https://", "http://")):
        text = f"CHECKOUT_BASE_URL is {conf.CHECKOUT_BASE_URL!r}, which is not an absolute URL: links in mails fail."
        return [Error(text, hint=hint, id="checkout.E012")]
    return []


#: What our tests prove. Others leave out the partial unique constraints, which keep a debt from being taken twice.
VENDORS: Final = ("postgresql", "sqlite")
#: A router that picks a replica at random is asked this often.
TIMES: Final = 20


def _tables() -> list[type[Model]]:
    """Our tables, and those of the site that can be paid for: money is decided by both."""
    ours = apps.get_app_config("checkout").get_models()
    payable = (model for model in apps.get_models() if not contract.missing_members_of(model))
    return list(dict.fromkeys([*ours, *payable]))


@register()
def check_databases(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """One database that is written to and decided by, of a kind that keeps our promises."""
    found: list[CheckMessage] = []
    database = connections[DEFAULT_DB_ALIAS]
    if database.vendor not in VENDORS:
        found.append(
            Error(
                f"The database is {database.display_name}, which lacks constraints that keep a debt from being taken "
                "twice.",
                hint="Use PostgreSQL, or SQLite for a small site.",
                id="checkout.E015",
            )
        )
    level = database.settings_dict["OPTIONS"].get("isolation_level")
    if database.vendor == "postgresql" and level is not None and getattr(level, "name", level) != "READ_COMMITTED":
        found.append(_wrong_level(getattr(level, "name", level)))
    elsewhere = [model for model in _tables() if router.db_for_write(model) != DEFAULT_DB_ALIAS]
    if elsewhere:
        found.append(
            Error(
                f"{_labels(elsewhere)} are not written to the database `default`, so a payment and what follows from "
                "it are not one commit.",
                hint="Let `db_for_write` of your routers return `default` for these tables.",
                id="checkout.E017",
            )
        )
    lagging = [
        model
        for model in _tables()
        if {router.db_for_read(model) for _time in range(TIMES)} != {router.db_for_write(model)}
    ]
    if lagging:
        found.append(
            Error(
                f"{_labels(lagging)} are read from another database than they are written to. One that lags behind "
                "offers what is paid for to be paid again.",
                hint="Let `db_for_read` of your routers return what `db_for_write` returns for these tables.",
                id="checkout.E018",
            )
        )
    return found


def _labels(tables: list[type[Model]]) -> str:
    labels = [model._meta.label for model in tables]
    return ", ".join(labels[:3]) + (f" and {len(labels) - 3} more tables" if len(labels) > 3 else "")


def _wrong_level(level: object) -> CheckMessage:
    return Error(
        f"Transactions of the database `default` are {str(level).replace('_', ' ').upper()}: they decide by what stood "
        "there when they began, and a debt that was paid since is taken again.",
        hint=(
            "READ COMMITTED is PostgreSQL's default: take `isolation_level` out of DATABASES, and "
            "`default_transaction_isolation` off the role or the database."
        ),
        id="checkout.E016",
    )


@register(Tags.database)
def check_isolation(
    app_configs: Sequence[Any] | None = None, databases: Collection[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """The isolation level as the server has it: a role or a database may have one of its own."""
    database = connections[DEFAULT_DB_ALIAS]
    if DEFAULT_DB_ALIAS not in (databases or ()) or database.vendor != "postgresql":
        return []
    with transaction.atomic(), database.cursor() as cursor:
        cursor.execute("SHOW transaction_isolation")
        [level] = cursor.fetchone()
    return [] if level == "read committed" else [_wrong_level(level)]


#: The smallest value of each setting that counts something.
LEAST: Final = {
    "CHECKOUT_ACTIVE_LOGIN_MONTHS": 1,
    "CHECKOUT_CHUNK": 1,
    "CHECKOUT_KEEP_EVENTS_DAYS": 1,
    "CHECKOUT_KEEP_INVOICES_DAYS": 0,
    "CHECKOUT_KEEP_VISITORS_DAYS": 0,
    "CHECKOUT_LEASE_MINUTES": 1,
    "CHECKOUT_LIMIT_MINUTES": 1,
    "CHECKOUT_LINK_DAYS": 1,
    "CHECKOUT_MAX_ATTEMPTS": 1,
    "CHECKOUT_MAX_ATTEMPTS_PER_ADDRESS": 1,
    "CHECKOUT_MAX_DECLINES": 1,
    "CHECKOUT_NOTICE_DAYS": 0,
    "CHECKOUT_PAYER_MAY_MOVE_DAYS": 0,
    "CHECKOUT_ON_SESSION_REMINDER_DAYS": 0,
    "CHECKOUT_RATE_LIMIT": 1,
    "CHECKOUT_REMINDER_DAYS": 0,
    "CHECKOUT_STALE_MINUTES": 1,
    "CHECKOUT_STRIPE_MAX_RETRIES": 0,
    "CHECKOUT_WORKERS": 1,
}


@register()
def check_numbers(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Settings that count something are numbers, and large enough to mean something."""
    return [
        Error(
            f"{name} is {getattr(conf, name)!r}; it must be a whole number of at least {minimum}.",
            hint=f"The default is {DEFAULTS[name]}.",
            id="checkout.E010",
        )
        for name, minimum in LEAST.items()
        if not isinstance(getattr(conf, name), int) or getattr(conf, name) < minimum
    ]


@register()
def check_letters(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Every switch is one of a letter, and none turns off what somebody waits for."""
    found: list[CheckMessage] = []
    for name, on in conf.CHECKOUT_LETTERS.items():
        entry = letters.REGISTER.get(name)
        if entry is None:
            close = difflib.get_close_matches(str(name), letters.REGISTER, n=1, cutoff=0.6)
            hint = f"Did you mean {close[0]}?" if close else "docs/reference.md lists the letters, under Mails."
            found.append(Error(f"CHECKOUT_LETTERS names {name!r}, which is no letter.", hint=hint, id="checkout.E035"))
        elif entry.always and not on:
            text = f"CHECKOUT_LETTERS switches off {name}, and somebody waits for it: {entry.always}."
            hint = "Take it out of the setting; you may reword the letter in the admin."
            found.append(Error(text, hint=hint, id="checkout.E036"))
    return found


@register()
def check_brand(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """The brand goes into style sheets and letters as it is."""
    found: list[CheckMessage] = []
    for name, value in conf.CHECKOUT_BRAND.items():
        if name not in brand.DEFAULTS:
            hint = f"There are {', '.join(brand.DEFAULTS)}."
            found.append(Error(f"CHECKOUT_BRAND has {name!r}, which is no part of it.", hint=hint, id="checkout.E037"))
        elif re.search(r"""[;{}<>"\\]""", str(value)):
            text = f"CHECKOUT_BRAND's {name} is {value!r}, which cannot stand in a style sheet."
            hint = "A colour such as #1d5c3f, a font family with single quotes, an address."
            found.append(Error(text, hint=hint, id="checkout.E038"))
    return found


@register()
def check_second_person(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """The amount above which two people decide, if there is one."""
    limit = conf.CHECKOUT_SECOND_PERSON_ABOVE
    if limit is None or (isinstance(limit, int | Decimal) and not isinstance(limit, bool) and limit >= 0):
        return []
    return [
        Error(
            f"CHECKOUT_SECOND_PERSON_ABOVE is {limit!r}; it must be None or an amount of at least 0.",
            hint='For example Decimal("500"), in the currency of CHECKOUT_CURRENCY.',
            id="checkout.E019",
        )
    ]


@register()
def check_plan_rules(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """What is done about terms of a plan that law or a card network may not allow."""
    known = ("warn", "refuse", "off")
    if conf.CHECKOUT_PLAN_RULES in known:
        return []
    text = f"CHECKOUT_PLAN_RULES is {conf.CHECKOUT_PLAN_RULES!r}; it must be one of {', '.join(known)}."
    return [Error(text, hint='"warn" tells staff, "refuse" keeps them from it.', id="checkout.E039")]


@register()
def check_run_ceiling(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """What runs may take without a release: an amount for each currency."""
    ceilings = conf.CHECKOUT_RUN_CEILING
    hint = 'For example {"GBP": Decimal("10000")}; an empty one for no ceiling.'
    if not isinstance(ceilings, Mapping):
        text = f"CHECKOUT_RUN_CEILING is {ceilings!r}; it must have an amount for each currency."
        return [Error(text, hint=hint, id="checkout.E040")]
    found: list[CheckMessage] = []
    for currency, ceiling in ceilings.items():
        try:
            known = money.check_currency(str(currency)) == currency
        except MoneyError:
            known = False
        fits = isinstance(ceiling, int | Decimal) and not isinstance(ceiling, bool) and ceiling >= 0
        if not known or not fits:
            text = f"CHECKOUT_RUN_CEILING has {currency!r}: {ceiling!r}; it must be a currency and an amount in it."
            found.append(Error(text, hint=hint, id="checkout.E040"))
    return found


@register()
def check_notify(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Who of the staff is told, and when."""
    found: list[CheckMessage] = []
    when = ("immediate", "digest", "off")
    if conf.CHECKOUT_NOTIFY not in when:
        text = f"CHECKOUT_NOTIFY is {conf.CHECKOUT_NOTIFY!r}; it must be one of {', '.join(when)}."
        found.append(Error(text, hint="digest: once a day, by `send_staff_digest`.", id="checkout.E013"))
    if not isinstance(conf.CHECKOUT_NOTIFY_EMAILS, list | tuple | set | frozenset):
        text = f"CHECKOUT_NOTIFY_EMAILS is {conf.CHECKOUT_NOTIFY_EMAILS!r}; it must be a list of addresses."
        found.append(Error(text, hint='For example ["office@example.org"].', id="checkout.E014"))
    return found


@register()
def check_names(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """A setting whose name is misspelt does nothing, and nobody would notice."""
    names = [name for name in dir(settings) if name.startswith("CHECKOUT_") and name not in DEFAULTS]
    meant = {name: difflib.get_close_matches(name, DEFAULTS, n=1, cutoff=0.85) for name in names}
    return [
        CheckWarning(
            f"{name} is not a setting of checkout, so it does nothing.",
            hint=f"Did you mean {close[0]}?",
            id="checkout.W005",
        )
        for name, close in meant.items()
        if close
    ]
