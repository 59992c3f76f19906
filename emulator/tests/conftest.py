"""What the emulator's own tests share."""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from stripe_emulator import Emulator

from .shop import host, host_url, payment, status_of

__all__ = ["host", "host_url", "payment", "status_of"]


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Prefer the system's Chromium; Playwright's own download is used when there is none."""
    executable = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    quiet += ["--disable-sync", "--no-first-run"]
    return {**browser_type_launch_args, "args": quiet, **({"executable_path": executable} if executable else {})}


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
