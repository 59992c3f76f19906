"""Today and now, asked in one place so that every rule uses the site's time zone."""

from __future__ import annotations

import datetime

from django.utils import timezone


def now() -> datetime.datetime:
    """This moment, aware."""
    return timezone.now()


def today() -> datetime.date:
    """The date on the site's wall (settings.TIME_ZONE), whatever zone a visitor has activated."""
    return on_the_wall(now())


def on_the_wall(moment: datetime.datetime) -> datetime.date:
    """The date on the site's wall at that moment (aware)."""
    return timezone.localdate(moment, timezone.get_default_timezone())
