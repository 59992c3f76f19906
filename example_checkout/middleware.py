"""A strict Content-Security-Policy, to show that every page of checkout works under one."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from checkout.conf import conf

#: https://docs.stripe.com/security/guide#content-security-policy
STRIPE = {
    "script-src": "https://js.stripe.com https://*.js.stripe.com",
    "frame-src": "https://js.stripe.com https://*.js.stripe.com https://hooks.stripe.com",
    "connect-src": "https://api.stripe.com",
}


class ContentSecurityPolicyMiddleware:
    """`default-src 'self'` plus Stripe's own origins, or the emulator's; no inline script or style anywhere."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if not request.path.startswith("/admin/"):
            response.headers.setdefault("Content-Security-Policy", self.policy())
        return response

    @staticmethod
    def policy() -> str:
        parts = urlsplit(conf.CHECKOUT_STRIPE_JS_URL)
        emulated = getattr(settings, "USES_EMULATOR", False)
        origin = f"{parts.scheme}://{parts.netloc}"
        sources = dict.fromkeys(STRIPE, origin) if emulated else STRIPE
        rules = [f"{name} 'self' {allowed}" for name, allowed in sources.items()]
        return "; ".join(["default-src 'self'", *rules, "base-uri 'none'", "object-src 'none'", "form-action 'self'"])
