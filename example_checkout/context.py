"""What every page of the shop knows."""

from __future__ import annotations

import os

from django.conf import settings
from django.http import HttpRequest

#: What `make demo` was told; a command in a second terminal has to be told the same.
TOLD = ("PORT", "EMULATOR_PORT", "CHECKOUT_DEMO_DIR")


def shop(request: HttpRequest) -> dict[str, object]:
    """`demo` switches on what only a demonstration shows: logins, test cards, commands to try, everybody's mails."""
    told = [f"{name}={os.environ[name]}" for name in TOLD if os.environ.get(name)]
    return {"demo": settings.DEBUG, "demo_command": " ".join([*told, ".venv/bin/python manage.py"])}
