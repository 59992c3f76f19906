"""The site's brand as a stylesheet: the policy of the payment pages allows none within the page."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from checkout import brand


@require_safe
@cache_control(public=True, max_age=3600)
def stylesheet(request: HttpRequest) -> HttpResponse:
    """CHECKOUT_BRAND, for everybody. Pages name it with a hash of what it holds, so a new brand is seen at once."""
    return HttpResponse(brand.stylesheet(), content_type="text/css; charset=utf-8")
