"""How many attempts one visitor may begin: by session, by network address and by debt."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from django.http import HttpRequest

from checkout.conf import conf
from checkout.errors import TooManyAttempts
from checkout.ids import network_of
from checkout.models import Checkout
from checkout.services import card_testing

logger = logging.getLogger("checkout.views")

#: When this session began attempts, in seconds since 1970.
SESSION_KEY = "checkout_begun"


def check(request: HttpRequest, row: Any) -> None:
    """Call it before an attempt at paying for `row` is begun. Raises TooManyAttempts at a limit, unless the site's
    CHECKOUT_CAPTCHA says that this visitor is a person."""
    if row is None:
        return
    counts = [
        (card_testing.ADDRESS, network_of(request.META.get("REMOTE_ADDR", ""))),
        (card_testing.DEBT, card_testing.debt_of(row)),
        (card_testing.DECLINES, card_testing.debt_of(row)),
    ]
    until = card_testing.until(counts)
    begun = _begun(request)
    if until is None and len(begun) < conf.CHECKOUT_MAX_ATTEMPTS:
        return
    answer = conf.load("CHECKOUT_CAPTCHA")(request, row) if conf.CHECKOUT_CAPTCHA else False
    if answer is True:
        card_testing.forget(counts)
        request.session[SESSION_KEY] = []
        return
    logger.warning("too many attempts at a %s", row._meta.label_lower)
    card_testing.tell()
    if until is None:
        until = datetime.fromtimestamp(begun[0], tz=UTC) + _window()
    raise TooManyAttempts(until=until, url=answer if isinstance(answer, str) else "")


def count(request: HttpRequest, checkout: Checkout) -> None:
    """An attempt was begun in this browser."""
    request.session[SESSION_KEY] = [*_begun(request), int(time.time())]
    card_testing.count(card_testing.ADDRESS, network_of(request.META.get("REMOTE_ADDR", "")))
    if checkout.content_object is not None:
        card_testing.count(card_testing.DEBT, card_testing.debt_of(checkout.content_object))


def _begun(request: HttpRequest) -> list[int]:
    since = time.time() - _window().total_seconds()
    return [moment for moment in request.session.get(SESSION_KEY, []) if moment > since]


def _window() -> timedelta:
    return timedelta(minutes=conf.CHECKOUT_LIMIT_MINUTES)
