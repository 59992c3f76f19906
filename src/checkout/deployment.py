"""System checks of `check --deploy`: what is wrong with a site that is about to take real money."""

from __future__ import annotations

from collections.abc import Sequence
from email.utils import parseaddr
from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as CheckWarning
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import connections
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch, Resolver404, get_script_prefix, resolve, reverse

from checkout import csp
from checkout.conf import conf, is_live_key

#: Caches that each process has for itself, or that keep nothing.
ALONE: Final = ("locmem.LocMemCache", "dummy.DummyCache")
#: Backends that send nothing to anybody.
SILENT: Final = ("console.EmailBackend", "dummy.EmailBackend", "filebased.EmailBackend", "locmem.EmailBackend")


@register(Tags.security, deploy=True)
def check_scripts(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Where the script of the payment page comes from, and what may run beside it."""
    found: list[CheckMessage] = []
    if is_live_key(conf.STRIPE_SECRET_KEY) and not csp.is_stripes(conf.CHECKOUT_STRIPE_JS_URL):
        text = f"Stripe.js is loaded from {csp.origin(conf.CHECKOUT_STRIPE_JS_URL)}, with a live key."
        hint = "Whoever serves it sees every card. Remove CHECKOUT_STRIPE_JS_URL: the default is Stripe's own address."
        found.append(Error(text, hint=hint, id="checkout.E030"))
    if conf.CHECKOUT_CSP not in csp.HEADERS:
        text = f"CHECKOUT_CSP is {conf.CHECKOUT_CSP!r}, so payment pages have no Content-Security-Policy."
        hint = 'Set it to "enforce", or to "report" while you look at what your base template loads.'
        found.append(CheckWarning(text, hint=hint, id="checkout.W030"))
    return found


@register(Tags.security, deploy=True)
def check_live_key(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    if not is_live_key(conf.STRIPE_SECRET_KEY) or str(conf.STRIPE_SECRET_KEY).startswith("rk_"):
        return []
    hint = "Make a restricted key (rk_live_…) that may do what docs/reference.md lists under Calls to Stripe."
    return [CheckWarning("The live key may do everything at Stripe, payouts included.", hint=hint, id="checkout.W031")]


@register(Tags.security, deploy=True)
def check_base_url_is_safe(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    if not str(conf.CHECKOUT_BASE_URL).startswith("http://"):
        return []
    hint = "Set it to https://…: links in mails open payments."
    return [CheckWarning("CHECKOUT_BASE_URL begins with http://.", hint=hint, id="checkout.W032")]


@register(Tags.caches, deploy=True)
def check_cache(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Limits are counted there, for all processes together."""
    backend = str(settings.CACHES.get("default", {}).get("BACKEND", ""))
    if not backend.endswith(ALONE):
        return []
    text = f"The cache {backend} is not shared by processes, so the limits on guessing and card testing hardly hold."
    hint = "Use Redis, Memcached or the database cache as CACHES['default']."
    return [CheckWarning(text, hint=hint, id="checkout.W033")]


@register(deploy=True)
def check_mail(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Do mails reach payers and the office?"""
    found: list[CheckMessage] = []
    given = conf.CHECKOUT_NOTIFY_EMAILS
    addresses = list(given) if isinstance(given, list | tuple | set | frozenset) else []
    if not addresses:
        text = "CHECKOUT_NOTIFY_EMAILS is empty, so nobody hears of disputes, failed refunds and invoices to send."
        hint = 'For example ["office@example.org"].'
        found.append(CheckWarning(text, hint=hint, id="checkout.W034"))
    if wrong := [str(address) for address in addresses if not _is_address(address)]:
        text = f"CHECKOUT_NOTIFY_EMAILS holds what is no address: {', '.join(map(repr, wrong))}."
        found.append(Error(text, hint="Correct it: that person hears of nothing.", id="checkout.E031"))
    if not _is_address(settings.DEFAULT_FROM_EMAIL) or settings.DEFAULT_FROM_EMAIL == "webmaster@localhost":
        text = f"DEFAULT_FROM_EMAIL is {settings.DEFAULT_FROM_EMAIL!r}, which no mail server takes."
        found.append(Error(text, hint="The address that payers may answer to.", id="checkout.E032"))
    backend = _mail_backend()
    if backend.endswith(SILENT):
        text = f"Mails go to {backend}, which sends none."
        hint = "Name one that sends under POST_OFFICE['BACKENDS'], django.core.mail.backends.smtp.EmailBackend for one."
        found.append(CheckWarning(text, hint=hint, id="checkout.W035"))
    if str(settings.EMAIL_BACKEND).startswith("post_office."):
        text = "EMAIL_BACKEND is post_office's, which runs the text of every mail that your site sends as a template."
        hint = "Use a backend of Django's there; checkout queues its own mails without it (checkout.mail.queue_text)."
        found.append(CheckWarning(text, hint=hint, id="checkout.W036"))
    return found


@register(Tags.database, deploy=True)
def check_sqlite(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    if settings.DEBUG or connections["default"].vendor != "sqlite":
        return []
    hint = "Use PostgreSQL: SQLite locks the whole database for each write, and a run for a payer's page."
    return [CheckWarning("The database is SQLite, with DEBUG off.", hint=hint, id="checkout.W037")]


@register(Tags.urls, deploy=True)
def check_urls(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Are our addresses there, and does the login page exist to which payers and staff are sent?"""
    found: list[CheckMessage] = []
    try:
        reverse("checkout.webhook")
    except NoReverseMatch:
        text = "checkout.urls is not included in the site's urls, so no payment can be finished."
        hint = 'Add path("checkout/", include("checkout.urls")) to your urls.'
        found.append(Error(text, hint=hint, id="checkout.E033"))
    if not _leads_somewhere(str(settings.LOGIN_URL)):
        text = f"LOGIN_URL is {settings.LOGIN_URL!r}, which leads nowhere: payers who are asked to log in get a 404."
        hint = "Name a URL pattern of yours there, or an address that exists."
        found.append(Error(text, hint=hint, id="checkout.E034"))
    return found


#: What the doctor looks at as well.
CHECKS: Final = (
    check_scripts, check_live_key, check_base_url_is_safe, check_cache, check_mail, check_sqlite, check_urls,
)  # fmt: skip


def _leads_somewhere(login_url: str) -> bool:
    try:
        address = resolve_url(login_url)
        if "://" in address:
            return True  # another site's, which cannot be asked here
        resolve(address.partition("?")[0].removeprefix(get_script_prefix().rstrip("/")) or "/")
    except (NoReverseMatch, Resolver404):
        return False
    return True


def _is_address(text: object) -> bool:
    try:
        validate_email(parseaddr(str(text))[1])
    except ValidationError:
        return False
    return True


def _mail_backend() -> str:
    """What post_office sends with."""
    backends = getattr(settings, "POST_OFFICE", {}).get("BACKENDS", {})
    return str(backends.get("default") or getattr(settings, "EMAIL_BACKEND", ""))
