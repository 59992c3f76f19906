"""The emulator over HTTP: Stripe's API under /v1, Stripe.js for the browser, the panel at /.

Everything under /v1 (and /v2, which is refused) is plain ASGI straight into `Emulator.handle`, because tests and
benchmarks send thousands of such requests; the few other pages are a small Starlette app (`panel/`).
"""

import asyncio
import contextlib
import functools
import ipaddress
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from stripe_emulator import Emulator, Response
from stripe_emulator.panel.control import create_pages
from stripe_emulator.webhooks.postman import Postman

logger = logging.getLogger("stripe_emulator")

TRANSPORT: Final = "stripe_emulator.transport"
MAX_BODY_BYTES: Final = 1 << 20
MAX_HEADER_BYTES: Final = 64 << 10
# Stripe closes idle connections late; closing early would hand SDKs with a connection pool a dead socket now and then.
KEEP_ALIVE_SECONDS: Final = 75

CORS_HEADERS: Final = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"request-id, stripe-version, idempotent-replayed"),
]
PREFLIGHT_HEADERS: Final = [
    *CORS_HEADERS,
    (b"access-control-allow-methods", b"GET, POST, DELETE, OPTIONS"),
    (b"access-control-allow-headers", b"authorization, content-type, idempotency-key, stripe-version, stripe-account"),
    (b"access-control-max-age", b"600"),
    # Chromium asks for this before a page on a public address may reach a loopback one.
    (b"access-control-allow-private-network", b"true"),
    (b"content-length", b"0"),
]


# Chromium lets a page embed these frames from any site; inside them only our own files run.
FRAME_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src {api}; base-uri 'none'; form-action 'none'"
)
CONTENT_TYPES: Final = {
    ".html": b"text/html; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
}
API_PATHS: Final = ("/v1/", "/v2/")
STRIPE_JS_PATHS: Final = ("/stripe.js", "/endive/stripe.js", "/v3/", "/v3")


@dataclass(frozen=True)
class File:
    """A static file with the headers it is sent with."""

    headers: list[tuple[bytes, bytes]]
    body: bytes


def static_files(emulator: Emulator) -> dict[str, File]:
    """URL path to file: Stripe.js under the paths that pages use, and its frames under /stripe-js/."""
    found: dict[str, File] = {}
    elsewhere = {}
    if emulator.script_url or emulator.bank_url:
        elsewhere = {"api": emulator.public_url, "bank": emulator.bank_url or emulator.public_url}
    policy = FRAME_POLICY.format(api=elsewhere.get("api", "'self'")).encode()
    for path in sorted((Path(__file__).parent / "static").iterdir()):
        body = path.read_bytes()
        if path.name == "stripe.js":
            body = body.replace(b"const ELSEWHERE = {};", f"const ELSEWHERE = {json.dumps(elsewhere)};".encode())
        headers = [
            (b"content-type", CONTENT_TYPES[path.suffix]),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-cache"),
            (b"x-content-type-options", b"nosniff"),
            (b"cross-origin-resource-policy", b"cross-origin"),
            *CORS_HEADERS,
        ]
        if path.suffix == ".html":
            headers += [(b"content-security-policy", policy), (b"referrer-policy", b"no-referrer")]
        found[f"/stripe-js/{path.name}"] = File(headers, body)
    found["/panel.css"] = found.pop("/stripe-js/panel.css")
    for url in STRIPE_JS_PATHS:
        found[url] = found["/stripe-js/stripe.js"]
    return found


def error_body(message: str, kind: str = "invalid_request_error") -> bytes:
    """An error in Stripe's shape."""
    return json.dumps({"error": {"message": message, "type": kind}}, indent=2).encode()


class StripeHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which also lets the app cut the line, bounds the headers and errs in Stripe's shape."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: {"transport": self.transport}}
        self.header_bytes = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._weigh(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._weigh(len(name) + len(value))

    def _weigh(self, size: int) -> None:
        self.header_bytes += size
        if self.header_bytes > MAX_HEADER_BYTES:
            raise ValueError("headers too large")  # httptools turns this into a parser error, hence into a 400

    def handle_websocket_upgrade(self) -> None:
        self.send_400_response("There are no websockets here.")

    def send_400_response(self, msg: str) -> None:
        if self.transport.is_closing():
            return
        body = error_body(msg)
        head = (
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


class EmulatorApp:
    """The ASGI app: /v1 into the emulator, anything else to `pages`."""

    def __init__(self, emulator: Emulator, *, pages: ASGIApp, latency_ms: int = 0) -> None:
        self.emulator = emulator
        self.latency_seconds = latency_ms / 1000
        self.pages = pages
        self.files = static_files(emulator)
        self.postman: Postman | None = None
        self._stopping = threading.Event()
        self._waiting_room = ThreadPoolExecutor(max_workers=64, thread_name_prefix="stripe-weather")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
        elif not self._belongs_here(scope):
            await _error(send, 404, error_body("At Stripe this is on another host. (This server has three origins.)"))
        elif scope["path"].startswith(API_PATHS):
            await self._api(scope, receive, send)
        elif (file := self.files.get(scope["path"])) is not None:
            await self._file(file, scope, send)
        else:
            await self.pages(scope, receive, send)
            if self.postman is not None and scope["method"] == "POST":
                self.postman.nudge()

    def _belongs_here(self, scope: Scope) -> bool:
        """With origins of their own, script and bank answer only for themselves, as Stripe's hosts do."""
        script, bank = self.emulator.script_url, self.emulator.bank_url
        if not (script or bank):
            return True
        port, path = scope["server"][1], scope["path"]
        if script and port == urlsplit(script).port:
            return path in self.files
        if bank and port == urlsplit(bank).port:
            return path in self.files or path.startswith("/emulator/challenge/")
        return not (script and path in STRIPE_JS_PATHS)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        self.postman = Postman(self.emulator)
        if self.emulator.sleep is time.sleep:
            # A slow reply must not hold up the stop.
            self.emulator.sleep = self._wait
        running = asyncio.ensure_future(self.postman.run())
        running.add_done_callback(_complain)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.hurry()
        if self.emulator.sleep == self._wait:
            self.emulator.sleep = time.sleep
        running.cancel()
        await self.postman.close()
        await send({"type": "lifespan.shutdown.complete"})

    def hurry(self) -> None:
        """The server is about to stop: slow replies are given now."""
        self._stopping.set()

    def _wait(self, seconds: float) -> None:
        self._stopping.wait(seconds)

    async def _api(self, scope: Scope, receive: Receive, send: Send) -> None:
        method: str = scope["method"]
        if method == "OPTIONS":
            await _answer(send, 204, PREFLIGHT_HEADERS, b"")
            return
        try:
            body = await _read(receive)
        except _BrokenOff:
            return
        if body is None:
            await _error(send, 413, error_body("Request entity too large."), (b"connection", b"close"))
            return
        path: str = scope["raw_path"].decode("latin-1")
        if scope["query_string"]:
            path = f"{path}?{scope['query_string'].decode('latin-1')}"
        headers_in = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if self.latency_seconds:
            await asyncio.sleep(self.latency_seconds)
        if self.emulator.weather.fair:
            response = self.emulator.handle(method, path, headers_in, body)
        else:
            # A fault may be a slow reply, which must keep only its own caller waiting.
            ask = functools.partial(self.emulator.handle, method, path, headers_in, body)
            response = await asyncio.get_running_loop().run_in_executor(self._waiting_room, ask)
        if self.postman is not None and method != "GET":
            self.postman.nudge()
        await self._reply(response, scope, receive, send)

    async def _file(self, file: File, scope: Scope, send: Send) -> None:
        if scope["method"] == "OPTIONS":
            await _answer(send, 204, PREFLIGHT_HEADERS, b"")
        elif scope["method"] in {"GET", "HEAD"}:
            await _answer(send, 200, file.headers, b"" if scope["method"] == "HEAD" else file.body)
        else:
            await _answer(send, 405, [(b"allow", b"GET, HEAD"), (b"content-length", b"0")], b"")

    async def _reply(self, response: Response, scope: Scope, receive: Receive, send: Send) -> None:
        if response.lost or response.cut:
            transport = scope.get("extensions", {}).get(TRANSPORT, {}).get("transport")
            await _cut(response, transport, receive, send)
            return
        headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.items()
        ]
        headers += CORS_HEADERS
        headers.append((b"content-length", str(len(response.body)).encode()))
        await _answer(send, response.status, headers, response.body)


async def _cut(response: Response, transport: asyncio.Transport | None, receive: Receive, send: Send) -> None:
    """Break the connection, after half of the reply if it is `cut`."""
    if transport is None:
        await _error(send, 500, error_body("The reply was lost.", "api_error"))
        return
    if response.cut:
        promised = str(2 * len(response.body) + 2).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", promised), *CORS_HEADERS]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body, "more_body": True})
        transport.close()  # sends what is written, then closes
    else:
        transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass


def _complain(task: "asyncio.Future[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("The emulator's clock and webhooks stopped.", exc_info=error)


class _BrokenOff(Exception):
    """The client went away in the middle of its request. A part of a form may read as quite another one."""


async def _read(receive: Receive) -> bytes | None:
    """The whole request body, or None when it is too large to be one of Stripe's. Raises _BrokenOff."""
    body = b""
    more = True
    while more:
        if len(body) > MAX_BODY_BYTES:
            return None
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _BrokenOff
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body if len(body) <= MAX_BODY_BYTES else None


async def _error(send: Send, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    own = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await _answer(send, status, [*own, *headers, *CORS_HEADERS], body)


async def _answer(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def create_app(emulator: Emulator, *, latency_ms: int = 0) -> EmulatorApp:
    """The whole site for `emulator`: API, Stripe.js and panel. Run it under any ASGI server that speaks lifespan.

    Only `run` and `serve_in_thread` can cut a connection in the middle of a reply; under another server such faults
    become a plain 500.
    """
    return EmulatorApp(emulator, latency_ms=latency_ms, pages=create_pages(emulator))


class NotLoopbackError(ValueError):
    """The emulator holds no secrets and checks none: nobody else's machine may reach it."""


class PortBusyError(OSError):
    """Another program listens there already."""


def bind(host: str, port: int) -> socket.socket:
    """A listening socket on a loopback address.

    Raises NotLoopbackError, and PortBusyError with a sentence for the user.
    """
    address = "127.0.0.1" if host == "localhost" else host
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        raise NotLoopbackError(f"{host} is not a loopback address. Use 127.0.0.1, ::1 or localhost.") from None
    if not ip.is_loopback:
        raise NotLoopbackError(
            f"The emulator only listens on this machine (127.0.0.1, ::1 or localhost), not on {host}: it asks nobody "
            "for a password."
        )
    listener = socket.socket(socket.AF_INET6 if ip.version == 6 else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise PortBusyError(
            f"Port {port} on {host} cannot be used: {error.strerror}. Choose another with --port."
        ) from error
    listener.setblocking(False)
    return listener


def base_url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if listener.family == socket.AF_INET6 else f"http://{host}:{port}"


def announce(
    emulator: Emulator,
    listener: socket.socket,
    script: socket.socket | None = None,
    bank: socket.socket | None = None,
) -> None:
    """Tell the emulator where browsers find it, and its Stripe.js and its bank if those have origins of their own."""
    emulator.public_url = base_url(listener)
    emulator.script_url = None if script is None else base_url(script)
    emulator.bank_url = None if bank is None else base_url(bank)


class Server(uvicorn.Server):
    """uvicorn without its habit of dying by the signal that stopped it: a stop on request is exit status 0."""

    def __init__(self, config: uvicorn.Config, app: EmulatorApp) -> None:
        super().__init__(config)
        self.app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # The lifespan's end comes too late: uvicorn first waits for the replies that are still out.
        self.app.hurry()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        with super().capture_signals():
            yield
            self._captured_signals.clear()


def make_server(app: EmulatorApp) -> Server:
    config = uvicorn.Config(
        app,
        http=StripeHttpProtocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=5,
    )
    return Server(config, app)


def run(app: EmulatorApp, *listeners: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM."""
    make_server(app).run(sockets=list(listeners))


@contextlib.contextmanager
def serve_in_thread(
    emulator: Emulator, port: int = 0, *, latency_ms: int = 0, three_origins: bool = False
) -> Iterator[str]:
    """Serve `emulator` from a thread of this process; yields the base URL.

    A test can then use one Emulator object for the SDK in process and for a browser at once. With `three_origins`
    Stripe.js is at `emulator.script_url` and the bank at `emulator.bank_url`, as at Stripe they are on other hosts.
    """
    listeners = [bind("127.0.0.1", port)]
    if three_origins:
        listeners += [bind("127.0.0.1", 0), bind("127.0.0.1", 0)]
    listener = listeners[0]
    announce(emulator, *listeners)
    server = make_server(create_app(emulator, latency_ms=latency_ms))
    thread = threading.Thread(target=server.run, kwargs={"sockets": listeners}, name="stripe-emulator", daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("The emulator's server did not start.")
            thread.join(0.005)
        yield base_url(listener)
    finally:
        server.should_exit = True
        thread.join(10)
        for one in listeners:
            one.close()
