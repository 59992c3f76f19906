"""What browsers report that the policy stopped on our pages: perhaps a skimmer, perhaps an extension."""

from __future__ import annotations

import json
import logging
from typing import Any
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, resolve
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from checkout.ids import network_of, storable
from checkout.services import card_testing

logger = logging.getLogger("checkout.csp")

#: Bytes; reports are a few hundred.
LARGEST = 20_000
#: Reports of one network address that are logged within CHECKOUT_LIMIT_MINUTES; anybody can send them.
MOST = 50


@csrf_exempt
@require_POST
def report(request: HttpRequest) -> HttpResponse:
    """Log what was stopped, and where, without the address of the page: a signed link may be in it. Always 204."""
    body = request.read(LARGEST + 1)
    if len(body) <= LARGEST and card_testing.count("csp", network_of(request.META.get("REMOTE_ADDR", ""))) <= MOST:
        for each in _reports(body):
            logger.warning(
                "a policy stopped %s from %s on %s",
                _word(each, "effective-directive", "effectiveDirective", "violated-directive"),
                _origin(_word(each, "blocked-uri", "blockedURL")),
                _page(_word(each, "document-uri", "documentURL")),
            )
    return HttpResponse(status=204)


def _reports(body: bytes) -> list[dict[str, Any]]:
    """Of both forms: one of `report-uri`, a list of `report-to`."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return []
    found = [each.get("body") for each in data if isinstance(each, dict)] if isinstance(data, list) else []
    if isinstance(data, dict):
        found = [data.get("csp-report")]
    return [each for each in found if isinstance(each, dict)][:10]


def _word(report: dict[str, Any], *names: str) -> str:
    value = next((report[name] for name in names if report.get(name)), "")
    return " ".join(storable(str(value)).split())[:500]


def _origin(address: str) -> str:
    try:
        parts = urlsplit(address)
    except ValueError:
        return "?"
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else address[:20]


def _page(address: str) -> str:
    try:
        return str(resolve(urlsplit(address).path).view_name or "?")
    except (Resolver404, ValueError):
        return "?"
