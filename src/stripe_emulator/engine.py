"""The emulator: one request in, one answer out, and what a test may do besides."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from . import faults, idempotency
from .api import JOBS, resolve
from .bank import Bank
from .clock import Clock
from .errors import (
    ApiError,
    invalid,
    lock_timeout,
    no_such_url,
    rate_limited,
    secret_key_required,
    status_error,
)
from .expanding import check_paths, expand
from .forms import Tree, decode
from .idempotency import Keys
from .intents import trimmed
from .keys import is_publishable, sent_key
from .ledger import Ledger
from .payer import pay
from .requests_log import RecordedRequest, record
from .resources import challenges
from .routing import Call, Route
from .tables import JSON
from .weather import Weather
from .webhooks import Webhooks
from .world import API_VERSION, World, compact

if TYPE_CHECKING:
    import stripe

logger = logging.getLogger("stripe_emulator")

RECORDED_REQUESTS = 10_000
LONGEST_BODY = 1_000_000
_PRIVATE = "/v1/emulator/"


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. A server closes the connection without a word when it is `lost`, and in the middle when `cut`."""

    status: int
    headers: dict[str, str]
    body: bytes
    lost: bool = False
    cut: bool = False

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class _Request:
    """A request on its way through the emulator."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    id: str
    fault: faults.Fault | None = None
    route: Route | None = None
    call: Call | None = None
    key: str | None = None
    entry: idempotency.Entry | None = None
    """What is remembered of the idempotency key; its own while this request is in flight."""
    publishable: bool = False
    locked: str | None = None
    answer_headers: dict[str, str] = field(default_factory=dict)


class Emulator:
    """A stand-in for Stripe with its own clock, ledger and weather. The same for the same seed; safe with threads."""

    def __init__(
        self,
        seed: int = 0,
        clock: Clock | None = None,
        secret_key: str = "sk_test_emulator",  # noqa: S107 - any test key is accepted; this one is for display
        publishable_key: str = "pk_test_emulator",
        *,
        public_url: str = "http://127.0.0.1:12111",
        request_log_path: str | Path | None = None,
    ) -> None:
        self.seed = seed
        self.clock = clock or Clock()
        self.secret_key = secret_key
        self.publishable_key = publishable_key
        self.request_log_path = Path(request_log_path) if request_log_path else None
        self.rate_limit: int | None = None
        """Requests per second of real time; more are answered with 429. None: no limit."""
        self.sleep: Callable[[float], None] = time.sleep
        """How `Slow` waits; a server may put its own here."""
        self.lock = threading.RLock()
        self._public_url = public_url
        self.ledger = Ledger(self)
        self.bank = Bank(self)
        self.weather = Weather(seed)
        self.webhooks = Webhooks(self, seed)
        self.keys = Keys()
        self.requests: deque[RecordedRequest] = deque(maxlen=RECORDED_REQUESTS)
        self._busy: set[str] = set()
        self._second, self._in_second = 0, 0
        self.world = self._new_world()

    def _new_world(self) -> World:
        world = World(self.clock, self.seed)
        world.public_url = self._public_url
        world.jobs = JOBS
        world.on_event = self.webhooks.on_event
        return world

    @property
    def public_url(self) -> str:
        """Where a payer's browser finds the emulator: the bank's page and the checkout page are under it."""
        return self._public_url

    @public_url.setter
    def public_url(self, url: str) -> None:
        self._public_url = self.world.public_url = url

    def reset(self) -> None:
        """Forget everything, faults and endpoints too; the clock goes on."""
        with self.lock:
            self.world = self._new_world()
            self.weather.reset()
            self.webhooks.reset()
            self.keys = Keys()
            self.requests.clear()
            self._busy.clear()

    # -- requests ------------------------------------------------------------------------------------
    def handle(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Response:
        """Answer one request. `path` may have a query. Never raises: nonsense gets an error like Stripe's."""
        method = method.upper()
        path, _, query = path.encode("utf-8", "replace").decode().partition("?")
        lowered = {str(name).lower(): str(value) for name, value in headers.items()}
        with self.lock:
            self.world.run_due()
            request = _Request(method, path, query, lowered, bytes(body), self.world.ids.new("req", 14))
            private = path.startswith(_PRIVATE)
            if self.rate_limit is not None and not private and self._too_fast():
                response = self._error(request, rate_limited())
                self._record(request, response.status)
                return response
            request.fault = None if private else self.weather.strike(method, path)
        if isinstance(request.fault, faults.Duplicate):
            self._exchange(request)
            with self.lock:
                request = _Request(method, path, query, lowered, bytes(body), self.world.ids.new("req", 14))
        return self._exchange(request)

    def _exchange(self, request: _Request) -> Response:
        with self.lock:
            response = self._before(request) or self._receive(request)
            if response is not None:
                self._record(request, None if response.lost else response.status)
                return response
        if isinstance(request.fault, faults.Slow):
            self.sleep(request.fault.seconds)
        with self.lock:
            status, body, kept = self._work(request)
            response = self._after(request, status, body, kept=kept)
            self._record(request, status)
            return response

    def _before(self, request: _Request) -> Response | None:
        """The answer of a fault that strikes before any work."""
        match request.fault:
            case faults.LostBefore():
                return Response(0, {}, b"", lost=True)
            case faults.Status(status=status, after=False, kept=kept) if not kept:
                return self._error(request, status_error(status))
            case faults.LockTimeout():
                return self._error(request, lock_timeout())
            case faults.KeyInUse():
                return self._error(request, idempotency.in_use())
            case faults.HtmlBody(status=status, after=False):
                return _html(status)
        return None

    def _receive(self, request: _Request) -> Response | None:
        """Read and check a request. An answer means that no work is needed: an error, or a replay."""
        try:
            self._read(request)
        except ApiError as error:
            self._let_go(request)
            return self._error(request, error)
        except _Replay as replay:
            known = replay.entry
            headers = {"Idempotent-Replayed": "true", "Original-Request": known.request_id}
            return self._response(request, known.status, known.body, headers)
        except Exception:
            # A bug of the emulator's must look like Stripe being down, not take the server down.
            logger.exception("Could not read %s %s", request.method, request.path)
            self._let_go(request)
            return self._error(request, status_error(500))
        return None

    def _read(self, request: _Request) -> None:
        if len(request.body) > LONGEST_BODY:
            raise ApiError(413, "Request entity too large.")
        tree = self._parameters(request)
        key = sent_key(request.headers) or _text(tree.pop("key", None))
        request.publishable = is_publishable(key)
        version = request.headers.get("stripe-version") or _text(tree.pop("_stripe_version", None)) or API_VERSION
        if version != API_VERSION:
            raise invalid(
                f"Invalid Stripe API version: {version[:40]}. This emulator speaks {API_VERSION} only: use an SDK that "
                "pins it, or send it in the Stripe-Version header."
            )
        account = request.headers.get("stripe-account")
        if account is not None and account != self.world.ids.account():
            raise ApiError(
                403,
                f"The provided key does not have access to account '{account[:60]}' (or that account does not exist). "
                "Application access may have been revoked. (The emulator has one account and no connected ones.)",
                code="account_invalid",
            )
        found = resolve(request.method, request.path.strip("/").split("/"))
        if found is None:
            raise no_such_url(request.method, request.path[:200])
        request.route, ids = found
        if request.publishable and not request.route.publishable:
            raise secret_key_required()
        sent_idempotency = request.headers.get("idempotency-key")
        if request.method == "POST" and sent_idempotency:
            self._begin_key(request, sent_idempotency, tree)
        params = request.route.params.read(tree, "") or {}
        check_paths(request.route.answers, params.get("expand") or ())
        if request.method == "POST" and ids:
            self._take(request, ids[0])
        request.call = Call(
            tuple(unquote(i, errors="replace") for i in ids), params, request.publishable, request.id, request.path
        )

    def _parameters(self, request: _Request) -> Tree:
        if request.method != "POST" or not request.body:
            return decode(request.query)
        kind = request.headers.get("content-type", "application/x-www-form-urlencoded")
        if "x-www-form-urlencoded" not in kind:
            raise invalid(
                "Invalid request (check that your POST content type is application/x-www-form-urlencoded). If you have "
                "any questions, we can help at https://support.stripe.com/."
            )
        return decode(request.query, request.body.decode("utf-8", "replace"))

    def _begin_key(self, request: _Request, key: str, tree: Tree) -> None:
        print_ = idempotency.fingerprint(request.method, request.path, tree)
        entry = self.keys.begin(key, request.path, print_, self.world.now(), request.id)
        if not entry.in_flight:
            raise _Replay(entry)
        request.key, request.entry = key, entry

    def _take(self, request: _Request, object_id: str) -> None:
        """While a slow request works on an object, others that would write it are turned away."""
        if object_id in self._busy:
            raise lock_timeout()
        if isinstance(request.fault, faults.Slow):
            self._busy.add(object_id)
            request.locked = object_id

    def _work(self, request: _Request) -> tuple[int, str, bool]:
        """Do what is asked: status, body, and whether the answer is remembered under the idempotency key."""
        world = self.world
        if isinstance(request.fault, faults.Status) and not request.fault.after:
            error = status_error(request.fault.status)
            return error.status, self._error_body(error, request), True
        assert request.route is not None  # noqa: S101 - _read has set it
        assert request.call is not None  # noqa: S101 - _read has set it
        world.cause = {"id": request.id, "idempotency_key": request.key}
        try:
            row = request.route.handler(world, request.call)
            if request.publishable and row["object"] in ("payment_intent", "setup_intent"):
                row = trimmed(row)
            row = expand(world, row, request.call.params.get("expand") or [])
            return 200, compact(row), True
        except ApiError as error:
            request.answer_headers = error.headers
            return error.status, self._error_body(error, request), error.begun
        except Exception:
            logger.exception("Could not answer %s %s", request.method, request.path)
            return 500, self._error_body(status_error(500), request), False
        finally:
            world.cause = None

    def _after(self, request: _Request, status: int, body: str, *, kept: bool) -> Response:
        """Remember the answer, and give it unless a fault strikes now."""
        fault = request.fault
        if isinstance(fault, faults.Status) and fault.after:
            error = status_error(fault.status)
            status, body, kept = error.status, self._error_body(error, request), fault.kept is not False
        if request.entry is not None and kept:
            request.entry.status, request.entry.body = status, body
        self._let_go(request)
        response = self._response(request, status, body, request.answer_headers)
        match fault:
            case faults.LostAfter():
                return Response(status, response.headers, b"", lost=True)
            case faults.CutBody():
                return Response(status, response.headers, response.body[: len(response.body) // 2], cut=True)
            case faults.HtmlBody(status=html_status):
                return _html(html_status)
        return response

    def _let_go(self, request: _Request) -> None:
        if request.key is not None and request.entry is not None:
            self.keys.release(request.key, request.entry)
        if request.locked is not None:
            self._busy.discard(request.locked)

    # -- answers -------------------------------------------------------------------------------------
    def _error(self, request: _Request, error: ApiError) -> Response:
        return self._response(request, error.status, self._error_body(error, request), error.headers)

    def _error_body(self, error: ApiError, request: _Request) -> str:
        shown = {**error.error, "request_log_url": f"https://dashboard.stripe.com/test/logs/{request.id}"}
        if request.publishable:
            for name in ("payment_intent", "setup_intent"):
                if name in shown:
                    shown = {**shown, name: trimmed(shown[name])}
        return compact({"error": shown})

    def _response(self, request: _Request, status: int, body: str, extra: Mapping[str, str]) -> Response:
        headers = {
            "Content-Type": "application/json",
            "Request-Id": request.id,
            "Stripe-Version": API_VERSION,
            "Cache-Control": "no-cache, no-store",
        }
        sent = request.headers.get("idempotency-key", "")
        if request.method == "POST" and sent.isascii() and sent.isprintable():
            headers["Idempotency-Key"] = sent[:255]
        headers.update(extra)
        return Response(status, headers, body.encode("utf-8", "replace"))

    def _too_fast(self) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._in_second = second, 0
        self._in_second += 1
        return self.rate_limit is not None and self._in_second > self.rate_limit

    def _record(self, request: _Request, status: int | None) -> None:
        if request.path.startswith(_PRIVATE):
            return
        path = f"{request.path}?{request.query}" if request.query else request.path
        made = record(request.method, path, request.body, request.headers, status, request.publishable)
        self.requests.append(made)
        if self.request_log_path is not None and not made.publishable:
            with self.request_log_path.open("a", encoding="utf-8") as log:
                log.write(made.line() + "\n")

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


class _Replay(Exception):
    """The answer to this idempotency key is known."""

    def __init__(self, entry: idempotency.Entry) -> None:
        super().__init__()
        self.entry = entry


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _html(status: int) -> Response:
    body = b"<html><head><title>Bad gateway</title></head><body><h1>Bad gateway</h1></body></html>"
    return Response(status, {"Content-Type": "text/html"}, body)
