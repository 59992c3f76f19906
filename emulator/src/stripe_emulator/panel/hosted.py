"""Pages that Stripe hosts for a payer: of a Checkout Session, of a payment link, and the receipt of a charge.

Plain forms without JavaScript, with a test card to choose; what they ask of the API they ask as a browser would.
"""

import json
import time
import urllib.parse
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from stripe_emulator import Emulator
from stripe_emulator.resources.cards import card_for
from stripe_emulator.resources.charges import RECEIPT_DAYS

from .markup import Html, field, form, moment, money, table, tag

# No form-action: Chromium would apply it to the redirect to the bank, and back to the shop, as well.
POLICY: Final = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'"
CARD_HINT: Final = "A test card. 4000 0027 6000 3184 asks for authentication, 4000 0000 0000 0002 is declined."


class HostedPages:
    """The pages over one emulator."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator

    def routes(self) -> list[Route]:
        return [
            Route("/emulator/links/{link_id}", self.link),
            Route("/emulator/checkout/{session_id}", self.checkout),
            Route("/emulator/checkout/{session_id}", self.pay, methods=["POST"]),
            Route("/emulator/receipts/{token}", self.receipt),
        ]

    def _ask(self, method: str, path: str, **params: str) -> tuple[int, dict[str, Any]]:
        """As the payer's browser asks."""
        return self._send(self.emulator.publishable_key, method, path, params)

    def _ask_as_server(self, method: str, path: str, **params: str) -> tuple[int, dict[str, Any]]:
        return self._send(self.emulator.secret_key, method, path, params)

    def _send(self, key: str, method: str, path: str, params: dict[str, str]) -> tuple[int, dict[str, Any]]:
        headers = {"authorization": f"Bearer {key}", "content-type": "application/x-www-form-urlencoded"}
        response = self.emulator.handle(method, path, headers, urllib.parse.urlencode(params).encode())
        return response.status, json.loads(response.body)

    async def link(self, request: Request) -> Response:
        """A session for this visitor, and its page."""
        status, session = self._ask("POST", f"/v1/emulator/links/{_quoted(request, 'link_id')}")
        if status != 200:
            return page("Not available", tag("p", session["error"]["message"]), status=status)
        return RedirectResponse(f"/emulator/checkout/{session['id']}", 303)

    async def checkout(self, request: Request) -> Response:
        return self._session_page(_quoted(request, "session_id"))

    def _session_page(self, session_id: str, slip: str = "") -> Response:
        path = f"/v1/checkout/sessions/{session_id}"
        status, session = self._ask_as_server("GET", f"{path}?expand[]=line_items")
        if status != 200:
            return page("Nothing to pay", tag("p", session["error"]["message"]), status=404)
        if session["status"] == "complete":
            return self._done(session)
        if session["status"] != "open":
            return page("Nothing to pay", tag("p", "This page has expired. Begin again in the shop."), status=410)
        rows: list[list[object]] = [
            [line["description"] or "Item", line["quantity"], money(line["amount_total"], line["currency"])]
            for line in session["line_items"]["data"]
        ]
        paying = session["mode"] == "payment"
        what = f"Pay {money(session['amount_total'], session['currency'])}" if paying else "Save the card"
        asked = [] if session["customer"] else [field("Email", "email", "email", required=True, autocomplete="email")]
        back = tag("p", tag("a", "Back to the shop", href=session["cancel_url"])) if session["cancel_url"] else ""
        return page(
            what,
            table("Items", ["Item", "Quantity", "Amount"], rows, "") if rows else "",
            tag("p", slip, role="alert", class_="slip") if slip else "",
            form("", what, *asked, field("Card number", "number", hint=CARD_HINT, value="4242424242424242")),
            back,
            status=402 if slip else 200,
        )

    def _done(self, session: dict[str, Any]) -> Response:
        if session["success_url"]:
            url = session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"])
            return RedirectResponse(url, 303)
        message = "Thank you. Your payment was received."
        if session["payment_link"]:
            _, link = self._ask_as_server("GET", f"/v1/payment_links/{session['payment_link']}")
            message = link["after_completion"]["hosted_confirmation"]["custom_message"] or message
        return page("Thank you", tag("p", message))

    async def pay(self, request: Request) -> Response:
        session_id = _quoted(request, "session_id")
        data = dict(urllib.parse.parse_qsl((await request.body()).decode("utf-8", "replace")))
        told = {"email": data["email"]} if data.get("email") else {}
        status, intent = self._ask("POST", f"/v1/emulator/checkout/{session_id}", **told)
        if status != 200:
            return self._session_page(session_id, intent["error"]["message"])
        if intent["status"] == "requires_action":
            # They came back without an answer: the bank is asked anew.
            self._ask("POST", f"/v1/emulator/challenges/{intent['id']}",
                      client_secret=intent["client_secret"], outcome="fail")  # fmt: skip
        number = "".join(filter(str.isdigit, data.get("number", "")))
        kind = "setup_intents" if intent["object"] == "setup_intent" else "payment_intents"
        card = {
            "number": number,
            "exp_month": "12",
            "exp_year": str(time.gmtime(self.emulator.clock.now()).tm_year + 3),
            "cvc": "1" * card_for(number).cvc_length,
        }
        status, method = self._ask(
            "POST",
            "/v1/payment_methods",
            type="card",
            **{f"card[{name}]": value for name, value in card.items()},
            **{f"billing_details[{name}]": value for name, value in told.items()},
        )
        if status != 200:
            return self._session_page(session_id, method["error"]["message"])
        # As a server confirms, for the bank's page is reached by a redirect from here.
        back = f"{request.url.scheme}://{request.url.netloc}/emulator/checkout/{session_id}"
        path = f"/v1/{kind}/{intent['id']}/confirm"
        status, answer = self._ask_as_server("POST", path, payment_method=method["id"], return_url=back)
        if status != 200:
            return self._session_page(session_id, answer["error"]["message"])
        if answer["status"] == "requires_action":
            return RedirectResponse(answer["next_action"]["redirect_to_url"]["url"], 303)
        return RedirectResponse(back, 303)

    async def receipt(self, request: Request) -> Response:
        """What was paid and given back until now. The address ends after thirty days, as Stripe's does."""
        token = request.path_params["token"]
        with self.emulator.lock:
            rows = self.emulator.world.tables["charge"].newest_first({})
            charge = next((row for row in rows if (row["receipt_url"] or "").endswith(f"/{token}")), None)
            charge = charge and dict(charge)
        if charge is None:
            return page("No receipt", tag("p", "There is no such receipt."), status=404)
        if self.emulator.clock.now() - charge["created"] > RECEIPT_DAYS * 86_400:
            return page("This link has expired", tag("p", "Ask the shop for the receipt."), status=410)
        card = charge["payment_method_details"]["card"]
        currency = charge["currency"]
        facts: list[tuple[str, object]] = [
            ("Paid", money(charge["amount_captured"], currency)),
            ("On", moment(charge["created"])),
            ("With", f"{card['brand'].capitalize()} ending in {card['last4']}"),
        ]
        if charge["description"]:
            facts.insert(0, ("For", charge["description"]))
        if charge["amount_refunded"]:
            facts.append(("Refunded", money(charge["amount_refunded"], currency)))
        rows_shown = [tag("div", tag("dt", name), tag("dd", value)) for name, value in facts]
        return page("Receipt", tag("dl", *rows_shown, class_="facts"))


def _quoted(request: Request, name: str) -> str:
    return urllib.parse.quote(request.path_params[name], safe="")


def page(title: str, *content: Html | str, status: int = 200) -> Response:
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{title} · Stripe emulator"),
        tag("link", rel="stylesheet", href="/panel.css"),
    )
    note = tag("p", "Stripe emulator: nothing here is real, and no card is charged.", class_="muted")
    main = tag("main", note, tag("h1", title), *content, class_="bank")
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store", "Referrer-Policy": "same-origin"}
    return HTMLResponse(f"<!doctype html>\n{tag('html', head, tag('body', main), lang='en')}", status, headers)
