"""The server's postman: lets the emulator's time pass and carries its webhooks to their endpoints."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import logging
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, cast

from stripe_emulator.resources.webhook_endpoints import MOST_ENDPOINTS

from .outbox import Delivery

if TYPE_CHECKING:
    from stripe_emulator.engine import Emulator

logger = logging.getLogger("stripe_emulator")

TICK_SECONDS: Final = 0.5
DELIVERY_TIMEOUT_SECONDS: Final = 5.0
AT_ONCE: Final = 4
"""Deliveries to one endpoint that may be under way together."""


class Postman:
    """Looks twice a second for what is due, and at once when nudged."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self._nudge = asyncio.Event()
        self._pool = ThreadPoolExecutor(max_workers=AT_ONCE * MOST_ENDPOINTS, thread_name_prefix="stripe-webhook")
        self._underway: set[asyncio.Future[None]] = set()

    def nudge(self) -> None:
        """Something happened: look for due webhooks now rather than at the next half second."""
        self._nudge.set()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        next_tick = loop.time()
        while True:
            wait = max(0.0, next_tick - loop.time())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._nudge.wait(), timeout=wait)
            self._nudge.clear()
            if loop.time() >= next_tick:
                next_tick = loop.time() + TICK_SECONDS
                self._tick()
            self._set_out()
            # A burst of requests is one walk through the queue, not one each.
            await asyncio.sleep(0.02)

    def _set_out(self) -> None:
        for delivery in self.emulator.webhooks.due(AT_ONCE):
            task = asyncio.ensure_future(self._carry(delivery))
            self._underway.add(task)
            task.add_done_callback(self._underway.discard)

    def _tick(self) -> None:
        try:
            self.emulator.tick()
        except Exception:
            # One piece of background work that fails is forgotten; the post goes on.
            logger.exception("Background work failed")

    async def _carry(self, delivery: Delivery) -> None:
        loop = asyncio.get_running_loop()
        status = await loop.run_in_executor(self._pool, post, delivery)
        self.emulator.webhooks.record(delivery, status)
        self._set_out()

    async def close(self) -> None:
        for task in list(self._underway):
            task.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Stripe counts a 3xx answer to a webhook as a failure and never follows it."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


# Webhooks mostly go to a program on this machine: a proxy from the environment would only be in the way.
_opener = urllib.request.build_opener(_NoRedirects, urllib.request.ProxyHandler({}))


def post(delivery: Delivery) -> int | None:
    """Send one webhook. The HTTP status of the answer, or None when there was none."""
    if urllib.parse.urlsplit(delivery.url).scheme not in {"http", "https"}:
        return None
    request = urllib.request.Request(delivery.url, data=delivery.body, headers=delivery.headers, method="POST")  # noqa: S310
    try:
        with _opener.open(request, timeout=DELIVERY_TIMEOUT_SECONDS) as reply:
            return cast("int", reply.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except (OSError, http.client.HTTPException, ValueError):
        return None
