"""Which browser is driven, and how it is started."""

import os
import shutil
from typing import Any

import pytest


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Prefer the system's Chromium, and of two the one without windows; without any, Playwright's own download."""
    installed = (shutil.which(name) for name in ("chromium-headless-shell", "chromium", "chromium-browser"))
    executable = os.environ.get("CHROMIUM") or next(filter(None, installed), None)
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    quiet += ["--disable-sync", "--no-first-run"]
    return {**browser_type_launch_args, "args": quiet, **({"executable_path": executable} if executable else {})}
