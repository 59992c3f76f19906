"""For machines: can this process serve (told to anybody), and how is the site (to whoever has the token)?"""

from __future__ import annotations

import logging

from django.db import connection, transaction
from django.db.utils import Error
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from checkout.conf import conf
from checkout.services import doctor, metrics

logger = logging.getLogger("checkout.health")


@never_cache
@require_safe
def health(request: HttpRequest) -> HttpResponse:
    """200 while the database answers, else 503. What is wrong is in the log, and `checkout_doctor` says the rest."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchone()
    except Error:
        logger.exception("the database does not answer")
        return HttpResponse("unavailable\n", content_type="text/plain", status=503)
    return HttpResponse("ok\n", content_type="text/plain")


@never_cache
@require_safe
@transaction.non_atomic_requests
def full(request: HttpRequest) -> HttpResponse:
    """The doctor's verdict as JSON: 200 when there is no error, else 503. With `?ask=1` Stripe and others are asked."""
    if not _has_token(request):
        return _refused()
    findings = doctor.examine(ask=_asks(request))
    healthy = doctor.is_healthy(findings)
    told = {"ok": healthy, "findings": [finding.as_dict() for finding in findings]}
    return JsonResponse(told, status=200 if healthy else 503)


@never_cache
@require_safe
@transaction.non_atomic_requests
def figures(request: HttpRequest) -> HttpResponse:
    """The same in numbers, in Prometheus' text format. With `?ask=1` how long Stripe takes as well."""
    if not _has_token(request):
        return _refused()
    text = metrics.as_text(metrics.gauges(ask=_asks(request)))
    return HttpResponse(text, content_type="text/plain; version=0.0.4; charset=utf-8")


def _asks(request: HttpRequest) -> bool:
    return request.GET.get("ask") == "1"


def _has_token(request: HttpRequest) -> bool:
    """`Authorization: Bearer <CHECKOUT_HEALTH_TOKEN>`. Without the setting nobody has it."""
    scheme, _space, given = request.headers.get("Authorization", "").partition(" ")
    token = conf.CHECKOUT_HEALTH_TOKEN
    return bool(token) and scheme.lower() == "bearer" and constant_time_compare(given.strip(), token)


def _refused() -> HttpResponse:
    answer = HttpResponse("The token is missing or wrong.\n", content_type="text/plain", status=401)
    answer.headers["WWW-Authenticate"] = "Bearer"
    return answer
