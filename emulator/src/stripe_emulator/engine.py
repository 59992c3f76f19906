"""The emulator: one request in, one answer out, and what a test may do besides."""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .api import JOBS
from .bank import Bank
from .core import faults, versions
from .core.changes import Changes
from .core.clock import Clock
from .core.errors import rate_limited, status_error
from .core.tables import JSON
from .core.weather import Weather
from .core.world import World, compact
from .exchange import Exchange, Response
from .ledger import Ledger
from .payer import pay
from .resources import challenges
from .webhooks.outbox import Webhooks
from .wire.idempotency import Keys
from .wire.requests_log import RecordedRequest

if TYPE_CHECKING:
    import stripe

logger = logging.getLogger("stripe_emulator")

RECORDED_REQUESTS = 10_000


class Emulator:
    """A stand-in for Stripe with its own clock, ledger and weather. Safe with threads.

    The same `seed` gives the same ids and the same chances. Without one they differ each time, as Stripe's do: a
    database that outlives the emulator never meets other objects under ids that it knows.
    """

    def __init__(
        self,
        seed: int | None = None,
        clock: Clock | None = None,
        secret_key: str = "sk_test_emulator",  # noqa: S107 - any test key is accepted; this one is for display
        publishable_key: str = "pk_test_emulator",
        *,
        public_url: str = "http://127.0.0.1:12111",
        request_log_path: str | Path | None = None,
        api_version: str = versions.NEWEST,
    ) -> None:
        """`api_version` is the account's own: of requests that send none, and of events. Raises ApiError for others."""
        self.api_version = versions.check(api_version)
        self._given_seed = seed
        self.seed = self._new_seed()
        self.clock = clock or Clock()
        self.secret_key = secret_key
        self.publishable_key = publishable_key
        self.request_log_path = Path(request_log_path) if request_log_path else None
        self.rate_limit: int | None = None
        """Requests per second of real time; more are answered with 429. None: no limit."""
        self.sleep: Callable[[float], None] = time.sleep
        """How `Slow` waits; a server may put its own here."""
        self.lock: AbstractContextManager[object] = threading.RLock()
        """Held by whoever reads or writes the state; re-entrant."""
        self.changes: Changes | None = None
        """What changed, while a journal is kept."""
        self._public_url = public_url
        self.script_url: str | None = None
        """Where Stripe.js and its frames are, if not under `public_url`."""
        self._bank_url: str | None = None
        self.ledger = Ledger(self)
        self.bank = Bank(self)
        self.weather = Weather(self.seed)
        self.webhooks = Webhooks(self, self.seed)
        self.keys = Keys()
        self.requests: deque[RecordedRequest] = deque(maxlen=RECORDED_REQUESTS)
        self.busy: set[str] = set()
        """Ids of the objects that slow requests work on."""
        self._second, self._in_second = 0, 0
        self.world = self._new_world()

    def _new_seed(self) -> int:
        # Not the time: a test may have frozen it.
        return secrets.randbits(48) if self._given_seed is None else self._given_seed

    def _new_world(self) -> World:
        world = World(self.clock, self.seed)
        world.public_url = self._public_url
        world.bank_url = self.bank_url or self._public_url
        world.api_version = self.api_version
        world.jobs = JOBS
        world.changes = self.changes
        world.on_event = self.webhooks.on_event
        return world

    @property
    def public_url(self) -> str:
        """Where a payer's browser finds the emulator: the bank's page and the checkout page are under it."""
        return self._public_url

    @public_url.setter
    def public_url(self, url: str) -> None:
        self._public_url = self.world.public_url = url
        self.world.bank_url = self._bank_url or url

    @property
    def bank_url(self) -> str | None:
        """Where the bank's pages and frames are, if not under `public_url`."""
        return self._bank_url

    @bank_url.setter
    def bank_url(self, url: str | None) -> None:
        self._bank_url = url
        self.world.bank_url = url or self._public_url

    def reset(self) -> None:
        """Forget everything: objects, keys, faults, how far the clock was moved, the requests that were recorded.

        Webhook endpoints go too, but for the standing ones, which belong to the set-up. A seed that was given begins
        anew; without one the next ids are other ones than before.
        """
        with self.lock:
            standing = self.webhooks.standing()
            self.seed = self._new_seed()
            self.clock.reset()
            self.world = self._new_world()
            self.weather.reset(self.seed)
            self.webhooks.reset(self.seed)
            for endpoint in standing:
                self.webhooks.add(endpoint["url"], endpoint["secret"], endpoint["enabled_events"], standing=True)
            self.keys = Keys()
            self.requests.clear()
            self.busy.clear()
            if self.changes is not None:
                self.changes.whole = True

    # -- requests ------------------------------------------------------------------------------------
    def handle(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Response:
        """Answer one request. `path` may have a query. Never raises: nonsense gets an error like Stripe's."""
        method = method.upper()
        path, _, query = path.encode("utf-8", "replace").decode().partition("?")
        lowered = {str(name).lower(): str(value) for name, value in headers.items()}
        with self.lock:
            exchange = Exchange(self, method, path, query, lowered, bytes(body))
            try:
                self.world.run_due()
            except Exception:
                # A bug of the emulator's must look like Stripe being down, not take the server down.
                logger.exception("Background work failed before %s %s", method, path)
                return exchange.refuse(status_error(500))
            if not exchange.private:
                if self._too_fast():
                    return exchange.refuse(rate_limited())
                exchange.fault = self.weather.strike(method, path)
        if isinstance(exchange.fault, faults.Duplicate):
            exchange.answer()
            with self.lock:
                exchange = exchange.again()
        return exchange.answer()

    def _too_fast(self) -> bool:
        if self.rate_limit is None:
            return False
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._in_second = second, 0
        self._in_second += 1
        return self._in_second > self.rate_limit

    def keep(self, request: RecordedRequest) -> None:
        """Add a request to those that are recorded, and to the log of what servers sent."""
        self.requests.append(request)
        if self.request_log_path is not None and not request.publishable:
            with self.request_log_path.open("a", encoding="utf-8") as log:
                log.write(request.line() + "\n")

    def write_request_log(self, path: str | Path) -> int:
        """Write the recorded requests of servers (not of browsers) as lines of JSON; how many."""
        with self.lock:
            lines = [request.line() for request in self.requests if not request.publishable]
        Path(path).write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        return len(lines)

    # -- time, faults, state -------------------------------------------------------------------------
    def tick(self) -> int:
        """Do the background work that is due by the clock; how much that was."""
        with self.lock:
            return self.world.run_due()

    def fail(self, call: int, fault: faults.Fault) -> None:
        """Let the `call`-th request from now (1: the next) meet `fault`."""
        with self.lock:
            self.weather.add(fault, call=call)

    def snapshot(self) -> JSON:
        """Everything there is, as JSON (faults that are set and the request log are not part of it)."""
        with self.lock:
            state = {
                "version": 1,
                "world": self.world.to_json(),
                "keys": self.keys.to_json(),
                "webhooks": self.webhooks.to_json(),
            }
            return dict(json.loads(compact(state)))

    def restore(self, snapshot: JSON) -> None:
        """Go back to a snapshot, clock included. The snapshot can be restored again.

        Raises KeyError, TypeError, ValueError or AttributeError for what is no snapshot, and changes nothing then.
        """
        copy = json.loads(compact(snapshot))
        with self.lock:
            world, keys = self._new_world(), Keys()
            world.load(copy["world"])
            keys.load(copy["keys"])
            Clock().load(copy["world"]["clock"])  # raises before anything that lives on is touched
            self.webhooks.load(copy["webhooks"])
            self.clock.load(copy["world"]["clock"])
            self.world, self.keys = world, keys
            if self.changes is not None:
                self.changes.whole = True

    def transport(self) -> stripe.HTTPClient:
        """For `stripe.StripeClient(key, http_client=emulator.transport())`: the real SDK without a socket."""
        from .transport import make_transport

        return make_transport(self)

    # -- the payer -----------------------------------------------------------------------------------
    def complete_challenge(self, intent_id: str) -> JSON:
        """The payer authenticates at the bank; the intent afterwards."""
        return self._challenge(intent_id, passed=True)

    def fail_challenge(self, intent_id: str) -> JSON:
        """The payer fails to authenticate; the intent afterwards."""
        return self._challenge(intent_id, passed=False)

    def _challenge(self, intent_id: str, *, passed: bool) -> JSON:
        with self.lock:
            self.world.run_due()
            intent = challenges.find(self.world, intent_id)
            challenges.settle(self.world, intent, passed=passed)
            return dict(intent)

    def pay(
        self, client_secret: str, number: str = "4242424242424242", authenticate: bool | None = True
    ) -> dict[str, Any]:
        """What a payer does in the browser with a PaymentIntent or SetupIntent: type a card, confirm, authenticate.

        `number` may also be the id or name of a payment method. `authenticate`: True passes the bank's challenge,
        False fails it, None closes the tab. Returns the intent as the browser sees it, or the body of the error.
        """
        return pay(self, client_secret, number, authenticate=authenticate)
