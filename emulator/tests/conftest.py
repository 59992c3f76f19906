"""What the emulator's own tests share."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from stripe_emulator import Emulator

from .launch import browser_type_launch_args
from .shop import host, host_url, payment, status_of

__all__ = ["browser_type_launch_args", "host", "host_url", "payment", "status_of"]


@pytest.fixture
def emulator() -> Emulator:
    return Emulator(seed=7)


@pytest.fixture
def served(emulator: Emulator) -> Iterator[str]:
    """The base URL of `emulator`, served from this process."""
    from stripe_emulator.server import serve_in_thread

    with serve_in_thread(emulator) as base:
        yield base


@pytest.fixture
def api(emulator: Emulator) -> Callable[..., dict[str, Any]]:
    """Call the emulator as a server would: api("POST", "/v1/customers", email="a@example.com")."""
    import json
    from urllib.parse import urlencode

    def call(method: str, path: str, **form: Any) -> dict[str, Any]:
        headers = {
            "authorization": f"Bearer {emulator.secret_key}",
            "content-type": "application/x-www-form-urlencoded",
        }
        response = emulator.handle(method, path, headers, urlencode(form).encode())
        answer: dict[str, Any] = json.loads(response.body)
        assert response.status == 200, answer
        return answer

    return call
