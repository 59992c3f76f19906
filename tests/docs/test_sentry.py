"""The recipe for Sentry as it stands in docs/operations.md, given what Sentry's SDK sends."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse

from checkout import links
from checkout.models import CustomerPayment

ROOT = Path(__file__).parents[2]
Event = dict[str, Any]


@pytest.fixture
def before_send() -> Callable[[Event, Any], Event]:
    text = (ROOT / "docs" / "operations.md").read_text()
    found = re.search(r"```python\n(# mysite/errors\.py\n.*?)```", text, re.DOTALL)
    assert found
    module: dict[str, Any] = {}
    exec(found[1], module)
    return module["before_send"]  # type: ignore[no-any-return]


def an_event(address: str) -> Event:
    """An error on a payment page, in the shape of https://develop.sentry.dev/sdk/data-model/event-payloads/."""
    return {
        "event_id": "9d2c", "level": "error", "platform": "python", "transaction": "/checkout/pay/{uuid}/",
        "logentry": {"message": "checkout %s", "params": ["Pat Payer"], "formatted": "checkout Pat Payer"},
        "user": {"id": "7", "email": "pat@example.com", "username": "pat", "ip_address": "192.0.2.1"},
        "request": {
            "url": f"https://shop.example{address}", "method": "POST", "query_string": "email=pat@example.com",
            "data": {"name": "Pat Payer"}, "cookies": {"sessionid": "abc"}, "headers": {"Cookie": "sessionid=abc"},
            "env": {"REMOTE_ADDR": "192.0.2.1"},
        },
        "exception": {
            "values": [
                {
                    "type": "IntentMismatch", "value": "pi_1_secret_x of Pat Payer <pat@example.com>",
                    "stacktrace": {
                        "frames": [
                            {
                                "function": "settle", "lineno": 7, "context_line": "raise IntentMismatch(message)",
                                "vars": {"payer": "Pat Payer", "client_secret": "pi_1_secret_x"},
                            }
                        ]
                    },
                }
            ]
        },
        "breadcrumbs": {"values": [{"message": "Mail to Pat Payer", "data": {"to": "pat@example.com"}}]},
        "extra": {"sys.argv": ["manage.py", "personal_data", "pat@example.com"]},
        "tags": {"key": "sk_live_abc", "hook": "whsec_abc", "intent": "pi_1_secret_x", "who": "pat@example.com"},
    }  # fmt: skip


def test_what_happened_is_sent_and_whose_it_was_is_not(before_send: Callable[[Event, Any], Event]) -> None:
    token = links.make_token(CustomerPayment(customer=_customer()))
    sent = before_send(an_event(reverse("checkout.request.pay", args=[token])), {})
    text = json.dumps(sent)
    kept = sent["exception"]["values"][0]
    assert (kept["type"], kept["stacktrace"]["frames"][0]["lineno"]) == ("IntentMismatch", 7)
    assert (sent["logentry"], sent["request"]["method"]) == ({"message": "checkout %s"}, "POST")
    assert sent["request"]["url"].startswith("https://shop.example/checkout/")
    for secret in ("Pat", "pat@", "_secret_", "sk_live", "whsec_", "192.0.2.1", "sessionid", token):
        assert secret not in text, secret


def _customer() -> Any:
    from checkout.models import Customer

    return Customer(email="pat@example.com")
