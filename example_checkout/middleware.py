"""The shop's own pages under the same policy as the app's, which sets it on its pages by itself."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from checkout import csp


class ContentSecurityPolicyMiddleware:
    """No inline script or style anywhere, and nothing of other origins but Stripe's (or the emulator's)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if not request.path.startswith("/admin/"):
            csp.protect(request, response, stripe=False)
        return response
