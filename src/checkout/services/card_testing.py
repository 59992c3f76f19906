"""A brake on card testing: thieves try out stolen cards on whatever form takes them, and the declines cost its owner
fees and trust.

Counted are the attempts that a visitor begins, and the cards that are declined for one debt. The counts are in Django's
cache; one that cannot be reached stops nobody from paying.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final

from django.core.cache import cache

from checkout import clock
from checkout.conf import conf
from checkout.errors import CheckoutError
from checkout.journal import Code, Why
from checkout.models import Checkout, Problem
from checkout.services import intents, problems

logger = logging.getLogger("checkout.card_testing")

ADDRESS, DEBT, DECLINES = "address", "debt", "declines"

#: How many of each are allowed within CHECKOUT_LIMIT_MINUTES.
MOST: Final[dict[str, Callable[[], int]]] = {
    ADDRESS: lambda: conf.CHECKOUT_MAX_ATTEMPTS_PER_ADDRESS,
    DEBT: lambda: conf.CHECKOUT_MAX_ATTEMPTS,
    DECLINES: lambda: conf.CHECKOUT_MAX_DECLINES,
}


def debt_of(row: Any) -> str:
    """What stands for the row that is paid for, whatever attempts there are at it."""
    return f"{row._meta.label_lower}:{row.pk}"


def until(counts: Iterable[tuple[str, str]]) -> datetime.datetime | None:
    """When one may go on, if one of these counts, each (what, of whom), has reached its limit; None while none has."""
    ends = [_end(what, whom) for what, whom in counts if _number(what, whom) >= MOST[what]()]
    return max(ends) if ends else None


def count(what: str, whom: str) -> int:
    """One more; how many there are now. The first begins the window, and it ends however busily somebody goes on."""
    key, seconds = _key(what, whom), conf.CHECKOUT_LIMIT_MINUTES * 60
    try:
        if cache.add(key, 1, seconds):
            cache.set(f"{key}.end", clock.now() + datetime.timedelta(seconds=seconds), seconds)
            return 1
        return int(cache.incr(key))
    except ValueError:
        return 1  # it ended at this moment
    except Exception:
        logger.exception("attempts cannot be counted")
        return 0


def forget(counts: Iterable[tuple[str, str]]) -> None:
    """Whoever it was has proved to be a person."""
    for what, whom in counts:
        try:
            cache.delete(_key(what, whom))
        except Exception:
            logger.exception("attempts cannot be counted")


def declined(checkout: Checkout) -> bool:
    """A card was declined on the payer's page. At the limit the attempt is cancelled at Stripe, so that its page takes
    no more cards, and staff are told. True then."""
    row = checkout.content_object
    if row is None or not checkout.on_session or not checkout.is_open:
        return False
    if count(DECLINES, debt_of(row)) < conf.CHECKOUT_MAX_DECLINES:
        return False
    tell(checkout)
    try:
        intents.close(checkout, why=Why(Code.TOO_MANY_DECLINES))
    except CheckoutError as problem:
        logger.warning("checkout %s takes cards still: %s", checkout.pk, problem, extra={"checkout": checkout.pk})
    return True


def tell(checkout: Checkout | None = None) -> None:
    """One problem a day: a wave of thousands must not become thousands of mails."""
    day = clock.today().isoformat()
    problems.open_problem(
        Problem.Kind.CARD_TESTING, day, amount=None, currency=conf.CHECKOUT_CURRENCY, checkout=checkout
    )


def _number(what: str, whom: str) -> int:
    try:
        return int(cache.get(_key(what, whom), 0))
    except Exception:
        logger.exception("attempts cannot be counted")
        return 0


def _end(what: str, whom: str) -> datetime.datetime:
    end: datetime.datetime | None = cache.get(f"{_key(what, whom)}.end")
    return end or clock.now() + datetime.timedelta(minutes=conf.CHECKOUT_LIMIT_MINUTES)


def _key(what: str, whom: str) -> str:
    return f"checkout.{what}.{whom}"
