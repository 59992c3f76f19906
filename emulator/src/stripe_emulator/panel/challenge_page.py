"""The bank's page for intents confirmed by a server: the payer is sent here by `next_action.redirect_to_url`.

Payments confirmed by Stripe.js show the same choice in a dialog instead (static/challenge.html).
"""

import json
import urllib.parse
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from stripe_emulator import Emulator

from .markup import Html, form, money, tag

# No form-action: Chromium would apply it to the redirect back to the shop as well.
POLICY: Final = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors *"
REDIRECT_STATUS: Final = {"processing": "processing", "succeeded": "succeeded", "requires_capture": "succeeded"}


class ChallengePage:
    """The page over one emulator. It asks the API with the publishable key, as a browser would."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator

    def routes(self) -> list[Route]:
        return [
            Route("/emulator/challenge/{intent_id}", self.show),
            Route("/emulator/challenge/{intent_id}", self.answer, methods=["POST"]),
        ]

    def _ask(self, method: str, path: str, **params: str) -> tuple[int, dict[str, Any]]:
        headers = {
            "authorization": f"Bearer {self.emulator.publishable_key}",
            "content-type": "application/x-www-form-urlencoded",
        }
        encoded = urllib.parse.urlencode(params)
        if method == "GET":
            response = self.emulator.handle(method, f"{path}?{encoded}", headers)
        else:
            response = self.emulator.handle(method, path, headers, encoded.encode())
        return response.status, json.loads(response.body)

    def _waiting(self, request: Request, secret: str) -> dict[str, Any] | Response:
        """The intent that waits for its payer here, or the page that says why there is none."""
        intent_id = request.path_params["intent_id"]
        kind = "setup_intents" if intent_id.startswith("seti_") else "payment_intents"
        path = f"/v1/{kind}/{urllib.parse.quote(intent_id, safe='')}"
        status, intent = self._ask("GET", path, client_secret=secret)
        if status != 200:
            return page("Nothing to confirm", tag("p", intent["error"]["message"]), status=404)
        if (intent.get("next_action") or {}).get("type") != "redirect_to_url":
            return page("Nothing to confirm", tag("p", "This payment does not wait for its payer."), status=410)
        return intent

    async def show(self, request: Request) -> Response:
        secret = request.query_params.get("client_secret", "")
        intent = self._waiting(request, secret)
        if isinstance(intent, Response):
            return intent
        asks = "your shop asks to keep this card for later payments"
        if intent["object"] == "payment_intent":
            asks = f"your shop asks for {money(intent['amount'], intent['currency'])}"
        return page(
            "3-D Secure test page",
            tag("p", f"Here your bank would ask you to prove that it is you: {asks}. This is a test, so choose."),
            form("", "Complete authentication", client_secret=secret, outcome="complete"),
            form("", "Fail authentication", client_secret=secret, outcome="fail"),
        )

    async def answer(self, request: Request) -> Response:
        data = dict(urllib.parse.parse_qsl((await request.body()).decode("utf-8", "replace")))
        secret = data.get("client_secret", "")
        intent = self._waiting(request, secret)
        if isinstance(intent, Response):
            return intent
        back = intent["next_action"]["redirect_to_url"]["return_url"]
        path = f"/v1/emulator/challenges/{intent['id']}"
        status, answer = self._ask("POST", path, client_secret=secret, outcome=data.get("outcome", ""))
        if status == 400:
            return page("That did not work", tag("p", answer["error"]["message"]), status=400)
        kind = intent["object"]
        settled = answer if status == 200 else answer["error"].get(kind, {})
        added = {
            kind: intent["id"],
            f"{kind}_client_secret": secret,
            "redirect_status": REDIRECT_STATUS.get(str(settled.get("status")), "failed"),
        }
        url = urllib.parse.urlsplit(back)
        query = urllib.parse.urlencode([*urllib.parse.parse_qsl(url.query, keep_blank_values=True), *added.items()])
        return RedirectResponse(urllib.parse.urlunsplit(url._replace(query=query)), 303)


def page(title: str, *content: Html, status: int = 200) -> Response:
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{title} · Test bank"),
        tag("link", rel="stylesheet", href="/panel.css"),
    )
    main = tag("main", tag("p", "Test bank", class_="muted"), tag("h1", title), *content, class_="bank")
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store", "Referrer-Policy": "same-origin"}
    return HTMLResponse(f"<!doctype html>\n{tag('html', head, tag('body', main), lang='en')}", status, headers)
