"""A payer without a browser: the requests that Stripe.js would send."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from .resources.cards import card_for

if TYPE_CHECKING:
    from .engine import Emulator

RETURN_URL = "https://example.com/return"


def pay(emulator: Emulator, client_secret: str, number: str, *, authenticate: bool | None) -> dict[str, Any]:
    """See `Emulator.pay`."""
    intent_id = quote(client_secret.partition("_secret_")[0], safe="")
    kind = "setup_intents" if intent_id.startswith("seti_") else "payment_intents"
    form = {"client_secret": client_secret, "return_url": RETURN_URL, "use_stripe_sdk": "true"}
    if number.startswith(("pm_", "card_", "src_")):
        form["payment_method"] = number
    else:
        form["payment_method_data[type]"] = "card"
        form["payment_method_data[card][number]"] = number
        form["payment_method_data[card][exp_month]"] = "12"
        form["payment_method_data[card][exp_year]"] = str(time.gmtime(emulator.clock.now()).tm_year + 3)
        form["payment_method_data[card][cvc]"] = "1234" if card_for(number).cvc_length == 4 else "123"
    body = _send(emulator, f"/v1/{kind}/{intent_id}/confirm", form)
    if body.get("status") == "requires_action" and authenticate is not None:
        form = {"client_secret": client_secret, "outcome": "complete" if authenticate else "fail"}
        body = _send(emulator, f"/v1/emulator/challenges/{intent_id}", form)
    return body


def _send(emulator: Emulator, path: str, form: dict[str, str]) -> dict[str, Any]:
    headers = {
        "Authorization": f"Bearer {emulator.publishable_key}",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    answer = emulator.handle("POST", path, headers, urlencode(form).encode())
    if answer.lost or answer.cut or answer.headers.get("Content-Type") != "application/json":
        # What Stripe.js resolves with when the network, or something on the way, fails it.
        message = "We are experiencing issues connecting to our payments provider. Please try again."
        return {"error": {"type": "api_connection_error", "message": message}}
    body: dict[str, Any] = answer.json()
    return body
