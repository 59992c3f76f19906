"""One request on its way through the emulator: received, checked, worked on and answered, in whatever weather."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from .api import resolve
from .core import faults, versions
from .core.errors import (
    ApiError,
    invalid,
    lock_timeout,
    secret_key_required,
    status_error,
)
from .core.keys import is_publishable, sent_key
from .core.world import compact
from .resources.expanding import check_paths, expand
from .resources.intents import trimmed
from .wire import elsewhere, idempotency
from .wire.forms import Tree, decode, decode_multipart
from .wire.requests_log import record
from .wire.routing import Call, Route

if TYPE_CHECKING:
    from .engine import Emulator

logger = logging.getLogger("stripe_emulator")

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


class Exchange:
    """A request and what becomes of it. The emulator's lock is held but while a slow request waits."""

    __slots__ = (
        "_entry", "_key", "_locked", "_publishable", "_version",
        "body", "emulator", "fault", "headers", "id", "method", "path", "private", "query",
    )  # fmt: skip

    def __init__(
        self, emulator: Emulator, method: str, path: str, query: str, headers: dict[str, str], body: bytes
    ) -> None:
        """`headers` by their names in lower case."""
        self.emulator = emulator
        self.method, self.path, self.query, self.headers, self.body = method, path, query, headers, body
        self.id = emulator.world.ids.new("req", 14)
        self.private = path.startswith(_PRIVATE)
        """The bank's page rather than Stripe: no weather, no limit, no record."""
        self.fault: faults.Fault | None = None
        self._publishable = False
        self._version = emulator.api_version
        self._key: str | None = None
        self._entry: idempotency.Entry | None = None
        """What is remembered of the idempotency key; its own while this request is in flight."""
        self._locked: str | None = None

    def again(self) -> Exchange:
        """The same request arriving once more, in fair weather."""
        return Exchange(self.emulator, self.method, self.path, self.query, self.headers, self.body)

    def refuse(self, error: ApiError) -> Response:
        """An answer before anything was looked at."""
        response = self._error(error)
        self._record(response.status)
        return response

    def answer(self) -> Response:
        with self.emulator.lock:
            received = self._struck_before() or self._receive()
            if isinstance(received, Response):
                self._record(None if received.lost else received.status)
                return received
        if isinstance(self.fault, faults.Slow):
            self.emulator.sleep(self.fault.seconds)
        with self.emulator.lock:
            response = self._work(*received)
            self._record(response.status)
            return self._struck_after(response)

    # -- receiving -----------------------------------------------------------------------------------
    def _struck_before(self) -> Response | None:
        """The answer of a fault that strikes before any work."""
        match self.fault:
            case faults.LostBefore():
                return Response(0, {}, b"", lost=True)
            case faults.Status(status=status, after=False, kept=kept) if not kept:
                return self._error(status_error(status))
            case faults.LockTimeout():
                return self._error(lock_timeout())
            case faults.KeyInUse():
                return self._error(idempotency.in_use())
            case faults.HtmlBody(status=status, after=False):
                return _html(status)
        return None

    def _receive(self) -> Response | tuple[Route, Call]:
        """Read and check the request. An answer means that no work is needed: an error, or a replay."""
        try:
            return self._read()
        except ApiError as error:
            self._let_go()
            return self._error(error)
        except _Replay as replay:
            known = replay.entry
            headers = {"Idempotent-Replayed": "true", "Original-Request": known.request_id}
            return self._response(known.status, known.body, headers)
        except Exception:
            # A bug of the emulator's must look like Stripe being down, not take the server down.
            logger.exception("Could not read %s %s", self.method, self.path)
            self._let_go()
            return self._error(status_error(500))

    def _read(self) -> tuple[Route, Call]:
        if len(self.body) > LONGEST_BODY:
            raise ApiError(413, "Request entity too large.")
        found = resolve(self.method, self.path.strip("/").split("/"))
        if found is None:
            # Before the body is read, which may be of another form than any that is known here.
            is_publishable(sent_key(self.headers) or _text(decode(self.query).get("key")))
            raise elsewhere.unknown(self.method, self.path)
        tree = self._parameters()
        key = sent_key(self.headers) or _text(tree.pop("key", None))
        self._publishable = is_publishable(key)
        version = self.headers.get("stripe-version") or _text(tree.pop("_stripe_version", None))
        if version is not None:
            self._version = versions.check(version)
        account = self.headers.get("stripe-account")
        if account is not None and account != self.emulator.world.ids.account():
            raise ApiError(
                403,
                f"The provided key does not have access to account '{account[:60]}' (or that account does not exist). "
                "Application access may have been revoked. (The emulator has one account and no connected ones.)",
                code="account_invalid",
            )
        route, ids = found
        if self._publishable and not route.publishable:
            raise secret_key_required()
        sent_idempotency = self.headers.get("idempotency-key")
        if self.method == "POST" and sent_idempotency:
            self._begin_key(sent_idempotency, tree)
        params = route.params.read(tree, "") or {}
        versions.check_parameters(self._version, params)
        check_paths(route.answers, params.get("expand") or ())
        if self.method == "POST" and ids:
            self._take(ids[0])
        named = tuple(unquote(i, errors="replace") for i in ids)
        return route, Call(named, params, self._publishable, self.id, self.path)

    def _parameters(self) -> Tree:
        if self.method != "POST" or not self.body:
            return decode(self.query)
        kind = self.headers.get("content-type", "application/x-www-form-urlencoded")
        if kind.startswith("multipart/form-data"):
            return {**decode(self.query), **decode_multipart(kind, self.body)}
        if "x-www-form-urlencoded" not in kind:
            raise invalid(
                "Invalid request (check that your POST content type is application/x-www-form-urlencoded). If you have "
                "any questions, we can help at https://support.stripe.com/."
            )
        return decode(self.query, self.body.decode("utf-8", "replace"))

    def _begin_key(self, key: str, tree: Tree) -> None:
        print_ = idempotency.fingerprint(self.method, self.path, tree)
        entry = self.emulator.keys.begin(key, self.path, print_, self.emulator.world.now(), self.id)
        if not entry.in_flight:
            raise _Replay(entry)
        self._key, self._entry = key, entry

    def _take(self, object_id: str) -> None:
        """While a slow request works on an object, others that would write it are turned away."""
        if object_id in self.emulator.busy:
            raise lock_timeout()
        if isinstance(self.fault, faults.Slow):
            self.emulator.busy.add(object_id)
            self._locked = object_id

    # -- working -------------------------------------------------------------------------------------
    def _work(self, route: Route, call: Call) -> Response:
        """Do what is asked, and remember the answer under the idempotency key if the work had begun."""
        status, body, kept, headers = self._done(route, call)
        fault = self.fault
        if isinstance(fault, faults.Status) and fault.after:
            error = status_error(fault.status)
            status, body, kept = error.status, self._error_body(error), fault.kept is not False
        if self._entry is not None and kept:
            self._entry.status, self._entry.body = status, body
            if self._key is not None and self.emulator.changes is not None:
                self.emulator.changes.keys[self._key] = asdict(self._entry)
        self._let_go()
        return self._response(status, body, headers)

    def _done(self, route: Route, call: Call) -> tuple[int, str, bool, dict[str, str]]:
        """Status, body, whether they are to be remembered, and headers."""
        world = self.emulator.world
        if isinstance(self.fault, faults.Status) and not self.fault.after:
            error = status_error(self.fault.status)
            return error.status, self._error_body(error), True, {}
        world.cause = {"id": self.id, "idempotency_key": self._key}
        try:
            row = route.handler(world, call)
            if self._publishable and row["object"] in ("payment_intent", "setup_intent"):
                row = trimmed(row)
            row = expand(world, row, call.params.get("expand") or [])
            return 200, compact(versions.render(self._version, row)), True, {}
        except ApiError as error:
            return error.status, self._error_body(error), error.begun, error.headers
        except Exception:
            logger.exception("Could not answer %s %s", self.method, self.path)
            return 500, self._error_body(status_error(500)), False, {}
        finally:
            world.cause = None

    def _struck_after(self, response: Response) -> Response:
        """The answer as it arrives."""
        match self.fault:
            case faults.LostAfter():
                return Response(response.status, response.headers, b"", lost=True)
            case faults.CutBody():
                half = response.body[: len(response.body) // 2]
                return Response(response.status, response.headers, half, cut=True)
            case faults.HtmlBody(status=status):
                return _html(status)
        return response

    def _let_go(self) -> None:
        if self._key is not None and self._entry is not None:
            self.emulator.keys.release(self._key, self._entry)
        if self._locked is not None:
            self.emulator.busy.discard(self._locked)

    # -- answering -----------------------------------------------------------------------------------
    def _error(self, error: ApiError) -> Response:
        return self._response(error.status, self._error_body(error), error.headers)

    def _error_body(self, error: ApiError) -> str:
        shown = {**error.error, "request_log_url": f"https://dashboard.stripe.com/test/logs/{self.id}"}
        if self._publishable:
            for name in ("payment_intent", "setup_intent"):
                if name in shown:
                    shown = {**shown, name: trimmed(shown[name])}
        return compact({"error": versions.render(self._version, shown)})

    def _response(self, status: int, body: str, extra: Mapping[str, str]) -> Response:
        headers = {
            "Content-Type": "application/json",
            "Request-Id": self.id,
            "Stripe-Version": self._version,
            "Cache-Control": "no-cache, no-store",
        }
        sent = self.headers.get("idempotency-key", "")
        if self.method == "POST" and sent.isascii() and sent.isprintable():
            headers["Idempotency-Key"] = sent[:255]
        headers.update(extra)
        return Response(status, headers, body.encode("utf-8", "replace"))

    def _record(self, status: int | None) -> None:
        """Write the request down; None when it was lost before any work."""
        if not self.private:
            path = f"{self.path}?{self.query}" if self.query else self.path
            self.emulator.keep(record(self.method, path, self.body, self.headers, status, self._publishable))


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
