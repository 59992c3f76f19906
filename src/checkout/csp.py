"""The Content-Security-Policy of the app's own pages, and the scripts that they load.

A payment page on which a foreign script runs is a skimmer's. So every page of ours carries a policy (the setting
CHECKOUT_CSP), whatever middleware the site has; a policy that the response has already is the site's, and stays.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final
from urllib.parse import urlsplit

from django.contrib.staticfiles import finders
from django.contrib.staticfiles.storage import ManifestFilesMixin, staticfiles_storage
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext_noop

from checkout import brand
from checkout.conf import conf

ENFORCE, REPORT, OFF = "enforce", "report", "off"
HEADERS: Final = {ENFORCE: "Content-Security-Policy", REPORT: "Content-Security-Policy-Report-Only"}
ENDPOINT: Final = "checkout-csp"

#: Where Stripe.js comes from in live mode: from nowhere else.
STRIPE_HOST: Final = "js.stripe.com"
#: https://docs.stripe.com/security/guide#content-security-policy
STRIPE: Final[Mapping[str, tuple[str, ...]]] = {
    "script-src": ("https://js.stripe.com", "https://*.js.stripe.com"),
    "frame-src": ("https://js.stripe.com", "https://*.js.stripe.com", "https://hooks.stripe.com"),
    "connect-src": ("https://api.stripe.com",),
    "img-src": ("https://*.stripe.com",),
}
#: What every page of ours needs, and no more: no inline script or style, no plugin, no frame around it.
SELF: Final[Mapping[str, tuple[str, ...]]] = {
    "default-src": ("'self'",),
    "script-src": ("'self'",),
    "frame-src": (),
    "connect-src": ("'self'",),
    "img-src": ("'self'", "data:"),
    "base-uri": ("'none'",),
    "object-src": ("'none'",),
    "form-action": ("'self'",),
    "frame-ancestors": ("'none'",),
}


@dataclass(frozen=True, slots=True)
class Script:
    """A script of a payment page. `path` is that of our static file; empty for Stripe's."""

    path: str
    why: str


#: All of them, with the reason that PCI DSS 6.4.3 asks for.
SCRIPTS: Final = (
    Script("", gettext_noop("Stripe.js shows the card form in Stripe's own frame, so that no card data comes here.")),
    Script("checkout/elements.js", gettext_noop("Starts the card form, and says what the bank has answered.")),
    Script("checkout/status.js", gettext_noop("Looks again whether the bank has answered.")),
)


def origin(address: str) -> str:
    """`https://js.stripe.com` of an address there."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def is_stripes(address: str) -> bool:
    """True if a script of this address comes from Stripe, and safely."""
    parts = urlsplit(address)
    return parts.scheme == "https" and parts.hostname == STRIPE_HOST and parts.port in (None, 443)


def policy(*, stripe: bool = True, nonce: str = "") -> str:
    """The header's value. `stripe`: the page takes cards. `nonce`: what the site's own inline scripts carry."""
    sources = {name: list(allowed) for name, allowed in SELF.items()}
    if stripe:
        # The emulator's script, frames and calls all have one address.
        address = conf.CHECKOUT_STRIPE_JS_URL
        for name, allowed in STRIPE.items():
            sources[name] += allowed if is_stripes(address) else [origin(address)]
    if logo := brand.brand()["logo"]:
        sources["img-src"].append(origin(logo))
    for name, more in conf.CHECKOUT_CSP_SOURCES.items():
        # The first own source of a kind takes the place of what default-src allowed.
        sources[name] = [*sources.get(name, ["'self'"]), *more]
        if sources[name][0] == "'none'":
            sources[name] = list(more)
    if nonce:
        sources["script-src"].append(f"'nonce-{nonce}'")
    if reports := report_address():
        sources |= {"report-uri": [reports], "report-to": [ENDPOINT]}
    return "; ".join(" ".join([name, *(sources[name] or ["'none'"])]) for name in sources)


def report_address() -> str:
    """Where browsers report what the policy stopped: the site's address, or our own; empty when there is none."""
    if conf.CHECKOUT_CSP_REPORT_URI:
        return str(conf.CHECKOUT_CSP_REPORT_URI)
    try:
        return reverse("checkout.csp.report")
    except NoReverseMatch:
        return ""


def protect(request: HttpRequest, response: HttpResponseBase, *, stripe: bool) -> None:
    """Give a page of ours its policy, unless the site has given it one."""
    header = HEADERS.get(conf.CHECKOUT_CSP)
    if header is None or any(name in response.headers for name in HEADERS.values()):
        return
    # Of Django 6 or of django-csp, when the page has used it.
    nonce = getattr(request, "_csp_nonce", None) or getattr(request, "csp_nonce", None) or ""
    response.headers[header] = policy(stripe=stripe, nonce=str(nonce))
    if address := report_address():
        response.headers.setdefault("Reporting-Endpoints", f'{ENDPOINT}="{address}"')


# -- our scripts ---------------------------------------------------------------------------------------------------


def integrity(path: str) -> str:
    """The hash by which a browser knows our static file: `sha384-…`. Empty when it cannot be found."""
    found = finders.find(path)
    if not isinstance(found, str):
        return ""
    return _hash(found)


def is_pinned() -> bool:
    """True where the name of a static file changes with its content, so that a page and its script always fit. A hash
    beside a name that stays would stop the payments of everybody whose browser still has the older file."""
    return isinstance(staticfiles_storage, ManifestFilesMixin) and bool(staticfiles_storage.hashed_files)


@cache
def _hash(file: str) -> str:
    with open(file, "rb") as script:  # noqa: PTH123 - a path of Django's
        return "sha384-" + base64.b64encode(hashlib.sha384(script.read()).digest()).decode()
