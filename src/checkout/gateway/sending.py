"""Sending what moves money, again and again under one key, without mistaking a later refusal for the first answer."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from checkout.conf import conf
from checkout.errors import GatewayRefused, NothingHappened, OutcomeUnknown

Answer = TypeVar("Answer")

#: Seconds between two tries.
PAUSE = (0.5, 1.0)


def longest_call() -> timedelta:
    """How long one request may take, with all its tries."""
    tries = conf.CHECKOUT_STRIPE_MAX_RETRIES + 1
    return timedelta(seconds=tries * (sum(conf.CHECKOUT_STRIPE_TIMEOUT) + PAUSE[1]))


def until_answered(send: Callable[[], Answer]) -> Answer:
    """Send a request, and the same again while no answer comes, as often as CHECKOUT_STRIPE_MAX_RETRIES says.

    In place of the SDK's own retries, which hide that an earlier try was lost. Once one was, a later refusal for the
    key (401, 403) or the pace (429) proves nothing: Stripe gives those before it looks whether it did the work already.
    Read as "nothing happened" they would free a debt to be charged, or money to be given back, a second time. A refusal
    of the request itself comes after that look (https://docs.stripe.com/api/idempotent_requests).
    """
    lost = False
    for further_tries in reversed(range(conf.CHECKOUT_STRIPE_MAX_RETRIES + 1)):
        try:
            return send()
        except OutcomeUnknown:
            lost = True
            if not further_tries:
                raise
            time.sleep(random.uniform(*PAUSE))  # noqa: S311 - only so that many processes do not come at once  # nosec B311
        except GatewayRefused:
            raise
        except NothingHappened as problem:
            if not lost:
                raise
            raise OutcomeUnknown(
                "An earlier try of this request was lost, so a refusal of a later one proves nothing.",
                code=problem.code,
                request_id=problem.request_id,
            ) from problem
    raise AssertionError("unreachable: the last try returns or raises")
