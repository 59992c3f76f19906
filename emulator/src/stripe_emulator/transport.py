"""The emulator under stripe-python, in the same process: no socket, yet the SDK's real encoding and exceptions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import stripe

    from .engine import Emulator


def make_transport(emulator: Emulator) -> stripe.HTTPClient:
    """A `stripe.HTTPClient`. The SDK is imported here only, so that the emulator works without it."""
    import stripe
    from requests.structures import CaseInsensitiveDict

    class EmulatorTransport(stripe.HTTPClient):
        name = "emulator"

        def request(
            self,
            method: str,
            url: str,
            headers: Mapping[str, str] | None,
            post_data: Any = None,
            *,
            _usage: list[str] | None = None,
        ) -> tuple[str, int, Mapping[str, str]]:
            parts = urlsplit(url)
            path = f"{parts.path}?{parts.query}" if parts.query else parts.path
            body = post_data.encode() if isinstance(post_data, str) else (post_data or b"")
            answer = emulator.handle(method.upper(), path, headers or {}, body)
            if answer.lost or answer.cut:
                raise stripe.APIConnectionError(  # type: ignore[no-untyped-call]
                    "Unexpected error communicating with Stripe: the connection was closed. (A fault of the emulator.)",
                    should_retry=answer.lost,
                )
            return answer.body.decode(), answer.status, CaseInsensitiveDict(answer.headers)

        async def request_async(
            self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
        ) -> tuple[Any, int, Mapping[str, str]]:
            return self.request(method, url, headers, post_data)

        def close(self) -> None:
            return None

        async def close_async(self) -> None:
            return None

    return EmulatorTransport()
