"""One line of what the doctor says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

#: Whatever has waited this long should have been looked at by a job by now.
LONG: Final = timedelta(hours=2)


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    ERROR = "error"
    #: Not looked at, and why: nobody may read that as "no problems found".
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was checked, the result, and what to do when there is a problem."""

    check: str
    level: Level
    message: str
    do: str = ""

    def as_dict(self) -> dict[str, str]:
        return {name: str(value) for name, value in asdict(self).items()}


def skipped(check: str, reason: str) -> Finding:
    """The check could not be made here; `reason` is translated."""
    return Finding(check, Level.SKIPPED, _("Not looked at: %(reason)s") % {"reason": reason})


Check = Callable[[], Iterator[Finding]]


def moment(value: datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M} UTC"


def age(value: timedelta) -> str:
    hours = int(value.total_seconds() // 3600)
    if hours >= 48:
        days = hours // 24
        return ngettext("%(number)d day", "%(number)d days", days) % {"number": days}
    if hours:
        return ngettext("%(number)d hour", "%(number)d hours", hours) % {"number": hours}
    return _("less than an hour")
