"""What a WSGI server makes of a webhook's request."""

from __future__ import annotations

import io
import json
from typing import Any

from checkout.gateway.webhooks import sign


def environment(address: str, event: dict[str, Any], secret: str) -> dict[str, Any]:
    """The environment of a POST of that event, signed with that secret."""
    body = json.dumps(event).encode()
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": address,
        "SERVER_NAME": "shop.example",
        "SERVER_PORT": "443",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_STRIPE_SIGNATURE": sign(body, secret),
        "wsgi.input": io.BytesIO(body),
        "wsgi.url_scheme": "https",
    }
