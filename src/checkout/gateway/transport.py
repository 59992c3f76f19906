"""How a request travels: over connections that each thread keeps, without asking the environment anew each time."""

from __future__ import annotations

import threading
from typing import Any
from urllib.parse import urlsplit

import requests
import stripe

from checkout.conf import conf


class _Session(requests.Session):
    """Asks the environment for its proxies once for each host, and not before every request: that took a fifth of the
    CPU time of a charge. A .netrc is not read at all: the key is in the header, where one for the host would take its
    place."""

    def __init__(self) -> None:
        super().__init__()
        self.auth = _as_it_is
        self._merged: dict[Any, dict[str, Any]] = {}

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        if proxies:
            return super().merge_environment_settings(url, proxies, stream, verify, cert)
        parts = urlsplit(str(url))
        key = (parts.scheme, parts.netloc, stream, verify, cert)
        if key not in self._merged:
            self._merged[key] = dict(super().merge_environment_settings(url, {}, stream, verify, cert))
        # The caller may change what it is given.
        merged = self._merged[key]
        return {**merged, "proxies": dict(merged["proxies"])}


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


class _Sessions(threading.local):
    """A session for each thread, as the SDK would make them."""

    def __init__(self) -> None:
        self._session = _Session()

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        return self._session.request(*args, **kwargs)

    def close(self) -> None:
        self._session.close()


def http_client() -> stripe.HTTPClient:
    """What the SDK sends its requests with, unless CHECKOUT_STRIPE_HTTP_CLIENT names another."""
    sessions: Any = _Sessions()
    return stripe.RequestsClient(timeout=conf.CHECKOUT_STRIPE_TIMEOUT, session=sessions)
