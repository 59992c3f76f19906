"""A payer with a browser, in front of the example shop and an emulator of their own."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from axe_playwright_python.base import AXE_SCRIPT, AxeResults
from django.contrib.sessions.backends.db import SessionStore
from django.templatetags.static import static
from playwright.sync_api import ConsoleMessage, FrameLocator, Locator, Page, Request, expect

from checkout import csp
from checkout.conf import conf
from checkout.models import Checkout
from example_checkout import views as shop_views
from example_checkout.models import Contact, Product, SalesLedger
from stripe_emulator import Emulator
from stripe_emulator.server import serve_in_thread

# The emulator's host too: Chromium then keeps page and card form in one process, which saves half of the time.
os.environ.setdefault("DJANGO_LIVE_TEST_SERVER_ADDRESS", "127.0.0.1")

# Patience costs nothing where all is well, and a busy machine is no failure.
SECONDS = 30
expect.set_options(timeout=SECONDS * 1000)

FRAME = "iframe[title='Secure payment input frame']"
BANK = "iframe[title='Card authentication']"
PHONE = {"width": 390, "height": 844}

#: Every rule is tried. Not inside the card form, which is Stripe's; asking its frame would be a complaint of the
#: browser's. What was found to be right is neither described nor handed over, as `Axe().run` has it: that takes most of
#: the time.
AXE = f"{AXE_SCRIPT}; axe.run({{iframes: false, resultTypes: ['violations']}}).then(found => found.violations)"

VISA = "4242424242424242"
DECLINED = "4000000000000002"
NO_MONEY = "4000000000009995"
CHALLENGED = "4000000000003220"


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """The system's Chromium (scripts/chromium.py says which is best), without anything that talks to the outside."""
    installed = (shutil.which(name) for name in ("chromium-headless-shell", "chromium", "chromium-browser"))
    executable = os.environ.get("CHROMIUM") or next(filter(None, installed), None)
    quiet = "--no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update"
    arguments = [*quiet.split(), "--disable-sync", "--disable-quic"]
    return {**browser_type_launch_args, "args": arguments, **({"executable_path": executable} if executable else {})}


@dataclass
class Payer:
    """Somebody at the shop: what they can do, and what is true afterwards."""

    page: Page
    base: str
    emulator: Emulator
    problems: list[str] = field(default_factory=list)
    #: Complaints that a test brings about on purpose: a piece of the text.
    expected: list[str] = field(default_factory=list)
    #: The scripts that pages (not Stripe's frames in them) have loaded.
    scripts: set[str] = field(default_factory=set)

    # -- doing -------------------------------------------------------------------------------------
    def visit(self, path: str) -> None:
        self.page.goto(f"{self.base}{path}")

    def order(self, slug: str = "pottery") -> SalesLedger:
        self.visit(f"/courses/{slug}/")
        if self.page.get_by_label("Name").is_enabled():
            self.page.get_by_label("Name").fill("Alex Example")
            self.page.get_by_label("E-mail").fill("alex@example.com")
        self.page.get_by_role("button", name="Order").click()
        expect(self.page.get_by_role("heading", name="Order", exact=False)).to_be_visible()
        return SalesLedger.objects.latest("pk")

    def has_ordered(self) -> SalesLedger:
        """What `order` does, without the clicks."""
        contact = Contact.objects.create(name="Alex Example", email="alex@example.com")
        sale = SalesLedger.objects.create(contact=contact, product=Product.objects.get(slug="pottery"))
        self.remember(shop_views.SESSION_KEY, [sale.pk])
        return sale

    def remember(self, key: str, value: Any) -> None:
        """Put something into this browser's session."""
        cookies = {cookie["name"]: cookie["value"] for cookie in self.page.context.cookies(self.base)}
        session = SessionStore(cookies.get("sessionid"))
        session[key] = value
        session.save()
        self.page.context.add_cookies([{"name": "sessionid", "value": str(session.session_key), "url": self.base}])

    def begin(self) -> SalesLedger:
        """Order, and stand before the card form."""
        sale = self.has_ordered()
        self.go_to_payment(sale)
        return sale

    def go_to_payment(self, sale: SalesLedger) -> None:
        self.visit(f"/orders/{sale.pk}/")
        self.page.get_by_role("button", name="Pay now").click()
        expect(self.button).to_be_visible()

    def fill(self, number: str = VISA) -> None:
        card: FrameLocator = self.page.frame_locator(FRAME)
        card.get_by_label("Card number").fill(number)
        card.get_by_label("Expiration date").fill("12 / 34")
        card.get_by_label("Security code").fill("123")
        card.get_by_label("Postal code").fill("SW1A 1AA")

    def pay(self, number: str = VISA) -> None:
        self.fill(number)
        self.button.click()

    def at_the_bank(self, answer: str) -> None:
        self.page.frame_locator(BANK).get_by_role("button", name=answer).click()

    def look(self) -> Payer:
        """Write down what the browser complains about on this payer's page."""

        def note(message: ConsoleMessage) -> None:
            url = message.location.get("url", "")
            if message.type in {"error", "warning"}:
                self.complain(f"{message.text} ({urlsplit(url).path})")

        def load(request: Request) -> None:
            if request.resource_type == "script" and request.frame.parent_frame is None:
                self.scripts.add(request.url)

        self.page.on("request", load)
        self.page.set_default_timeout(SECONDS * 1000)
        self.page.on("console", note)
        self.page.on("pageerror", lambda error: self.complain(f"uncaught: {error}"))
        self.page.add_init_script(
            "addEventListener('securitypolicyviolation', e => console.error('CSP', e.violatedDirective, e.blockedURI))"
        )
        return self

    def complain(self, text: str) -> None:
        if not any(piece in text for piece in self.expected):
            self.problems.append(text)

    def another_tab(self) -> Payer:
        return Payer(self.page.context.new_page(), self.base, self.emulator, self.problems, self.expected).look()

    # -- seeing ------------------------------------------------------------------------------------
    @property
    def button(self) -> Locator:
        return self.page.get_by_role("button", name=re.compile(r"^Pay £[\d.,]+ now$"))

    @property
    def alert(self) -> Locator:
        return self.page.get_by_role("alert")

    def expect_thanks(self) -> None:
        self.page.wait_for_url("**/thank-you/")
        expect(self.page.get_by_role("heading", name="Thank you")).to_be_visible()

    def expect_heading(self, text: str) -> None:
        expect(self.page.get_by_role("heading", level=1)).to_have_text(text)

    def expect_accessible(self) -> None:
        violations = self.page.evaluate(AXE)
        assert violations == [], AxeResults({"violations": violations}).generate_report()

    # -- the truth ---------------------------------------------------------------------------------
    @property
    def checkout(self) -> Checkout:
        return Checkout.objects.get()

    def expect_paid_once(self, sale: SalesLedger) -> None:
        """Our row says so, the host was told, and Stripe took that amount once."""
        checkout = self.checkout
        assert checkout.state_id == "success"
        assert checkout.content_object == sale
        sale.refresh_from_db()
        assert sale.status == SalesLedger.Status.PAID
        charges = self.emulator.ledger.charges(succeeded=True)
        assert [charge["amount"] for charge in charges] == [int(sale.checkout_total * 100)]
        assert charges[0]["payment_intent"] == checkout.payment_intent_id

    def as_server(self, path: str, **form: str) -> Any:
        """What Stripe's API answers to a POST."""
        headers = {
            "authorization": f"Bearer {self.emulator.secret_key}",
            "content-type": "application/x-www-form-urlencoded",
        }
        return self.emulator.handle("POST", path, headers, urlencode(form).encode()).json()

    def intents(self) -> int:
        return self._asked(r"/v1/payment_intents$")

    def confirms(self) -> int:
        return self._asked(r"/v1/payment_intents/pi_\w+/confirm$")

    def _asked(self, path: str) -> int:
        return sum(r.method == "POST" and bool(re.match(path, r.path)) for r in self.emulator.requests)


@pytest.fixture
def products(transactional_db: None) -> None:
    for slug, name, price in [("pottery", "Pottery for beginners", "85.00"), ("library", "Library", "30.00")]:
        Product.objects.create(slug=slug, name=name, price=Decimal(price), description="Ten evenings.", when="Tuesdays")


@pytest.fixture
def shop(products: None, emulator: Emulator, live_server: Any, settings: Any) -> Iterator[str]:
    """The shop's address. One emulator answers the SDK in process and the browser over HTTP."""
    with serve_in_thread(emulator) as base:
        settings.CHECKOUT_STRIPE_JS_URL = f"{base}/stripe.js"
        yield live_server.url


@pytest.fixture
def visitor(shop: str, page: Page, emulator: Emulator) -> Iterator[Payer]:
    """Somebody without a login, whose browser must have nothing to complain about."""
    made = Payer(page, shop, emulator).look()
    yield made
    # The policy is enforced, and whatever it stops is a complaint.
    assert made.problems == []
    # Nothing is loaded but what the inventory names: our own files, and Stripe's (here the emulator's).
    ours = {f"{shop}{static(script.path)}" for script in csp.SCRIPTS if script.path}
    stripes = csp.origin(conf.CHECKOUT_STRIPE_JS_URL)
    # A host's own page may load what is the host's.
    ours |= {f"{shop}{static('host/own_action.js')}"}
    assert [url for url in made.scripts if url not in ours and csp.origin(url) != stripes] == []
