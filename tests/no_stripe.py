"""The HTTP client of tests that asked for no emulator: any call to Stripe is a mistake and says so."""

from typing import Any

import stripe


class _Refusing(stripe.HTTPClient):
    name = "refusing"

    def request(self, method: str, url: str, headers: Any, post_data: Any = None, **kwargs: Any) -> Any:
        raise AssertionError(f"This test called Stripe ({method} {url}) without the `emulator` fixture.")

    def close(self) -> None:
        pass


def refuse() -> stripe.HTTPClient:
    return _Refusing()
