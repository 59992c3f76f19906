"""What every page of the shop knows."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest


def shop(request: HttpRequest) -> dict[str, object]:
    """`demo` switches on what only a demonstration shows: logins, test cards, everybody's mails."""
    return {"demo": settings.DEBUG}
