"""A shop's page in a real browser, whose Content-Security-Policy allows nothing inline, and what tests do there."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import FrameLocator, Locator, Page

FRAME = "#element iframe"
DIALOG = "dialog iframe"

HOST_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Shop</title><meta name="viewport" content="width=device-width">
<link rel="stylesheet" href="/host.css"><script src="{emulator}/stripe.js"></script>
<script src="/host.js" defer></script></head>
<body><main><h1>Pay for the course</h1><form id="form"><div id="element"></div><button id="pay">Pay</button></form>
<p id="status" role="status"></p></main></body></html>"""

HOST_CSS = """body { font-family: sans-serif; margin: 24px } main { max-width: 480px; margin: auto }
#pay { margin-top: 16px; min-height: 44px; width: 100% }"""

HOST_JS = """
const q = new URLSearchParams(location.search);
const status = document.getElementById("status");
window.events = [];
window.results = [];
if (q.get("cs")) {
  window.stripe = Stripe(q.get("pk") || "pk_test_emulator");
  const setup = q.get("cs").startsWith("seti_");
  const theme = q.get("theme") || "stripe";
  const own = JSON.parse(q.get("elements") || "{}");
  const options = q.get("deferred")
    ? {mode: setup ? "setup" : "payment", amount: 1000, currency: "gbp", ...own}
    : {clientSecret: q.get("cs"), appearance: {theme}, ...own};
  window.elements = stripe.elements(options);
  window.element = elements.create("payment", JSON.parse(q.get("options") || "{}"));
  for (const name of ["ready", "change", "focus", "blur", "escape", "loaderror", "loaderstart"])
    element.on(name, (event) => window.events.push({name, ...event}));
  element.mount("#element");
  document.getElementById("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    status.textContent = "";
    const redirect = q.get("redirect") || "always";
    const how = {elements, redirect, confirmParams: {return_url: location.origin + "/thanks?order=7"}};
    if (q.get("deferred")) {
      const {error} = await elements.submit();
      if (error) { window.results.push({error}); status.textContent = error.message; return; }
      how.clientSecret = q.get("cs");
    }
    const result = await (setup ? stripe.confirmSetup(how) : stripe.confirmPayment(how));
    window.results.push(result);
    const intent = result.paymentIntent || result.setupIntent;
    status.textContent = result.error ? result.error.message : "Status: " + intent.status;
  });
}
"""


@dataclass
class Host:
    """A shop's page on an origin of its own, and what the browser complained about there."""

    page: Page
    url: str
    problems: list[str] = field(default_factory=list)

    def visit(self, secret: str = "", **options: str) -> None:
        self.page.goto(f"{self.url}/?{urlencode({'cs': secret, **options})}")

    @property
    def card(self) -> FrameLocator:
        return self.page.frame_locator(FRAME)

    @property
    def bank(self) -> FrameLocator:
        return self.page.frame_locator(DIALOG)

    @property
    def pay(self) -> Locator:
        return self.page.get_by_role("button", name="Pay")

    @property
    def status(self) -> Locator:
        return self.page.get_by_role("status")

    def fill(self, number: str, *, expiry: str = "12 / 34", cvc: str = "123", postal: str | None = "SW1A 1AA") -> None:
        self.card.get_by_label("Card number").fill(number)
        self.card.get_by_label("Expiration date").fill(expiry)
        self.card.get_by_label("Security code").fill(cvc)
        if postal is not None:
            self.card.get_by_label("Postal code").fill(postal)

    def result(self) -> dict[str, Any]:
        self.page.wait_for_function("() => window.results.length > 0")
        answer: dict[str, Any] = self.page.evaluate("window.results.at(-1)")
        return answer

    def returned(self) -> dict[str, str]:
        self.page.wait_for_url("**/thanks?*")
        return {name: values[0] for name, values in parse_qs(urlsplit(self.page.url).query).items()}

    def event(self, name: str) -> dict[str, Any]:
        self.page.wait_for_function("name => window.events.some(e => e.name === name)", arg=name)
        last: dict[str, Any] = self.page.evaluate("name => window.events.filter(e => e.name === name).at(-1)", name)
        return last


@pytest.fixture
def host_url(served: str) -> Iterator[str]:
    policy = f"default-src 'self'; script-src 'self' {served}; frame-src {served}; connect-src {served}"
    with shop(served, policy) as url:
        yield url


@contextlib.contextmanager
def shop(script: str, policy: str) -> Iterator[str]:
    """A shop's page that loads Stripe.js from `script`, under that policy."""
    pages = {
        "/": ("text/html", HOST_PAGE.format(emulator=script)),
        "/thanks": ("text/html", "<!doctype html><title>Thanks</title><h1>Thank you</h1>"),
        "/host.js": ("text/javascript", HOST_JS),
        "/host.css": ("text/css", HOST_CSS),
        "/favicon.ico": ("image/x-icon", ""),
    }

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, text = pages.get(self.path.partition("?")[0], ("text/plain", "?"))
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Security-Policy", policy)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def host(page: Page, host_url: str) -> Iterator[Host]:
    host = Host(page, host_url)

    def note(text: str) -> None:
        # A declined card is a 402, which Chromium reports like a missing picture; the rest is ours to answer for.
        if "Failed to load resource" not in text:
            host.problems.append(text)

    page.set_default_timeout(10_000)
    page.on("console", lambda message: note(message.text) if message.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: note(str(error)))
    yield host
    assert host.problems == []


@pytest.fixture
def payment(api: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def make(amount: int = 1250, **form: Any) -> dict[str, Any]:
        return api("POST", "/v1/payment_intents", amount=amount, currency="gbp", **form)

    return make


@pytest.fixture
def status_of(api: Callable[..., dict[str, Any]]) -> Callable[[dict[str, Any]], str]:
    def read(intent: dict[str, Any]) -> str:
        path = "setup_intents" if intent["id"].startswith("seti_") else "payment_intents"
        status: str = api("GET", f"/v1/{path}/{intent['id']}")["status"]
        return status

    return read
