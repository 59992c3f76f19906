"""When each scheduled job last did its work, written down whether cron or Celery started it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from checkout import clock
from checkout.models import ScheduledJob


@contextmanager
def recorded(name: str, *also: str) -> Iterator[None]:
    """Note that the job `name` (and those it does as well, `also`) began, and that it succeeded or how it failed.

    An error goes on to the caller. A job that was killed leaves a start without a success.
    """
    names = (name, *also)
    _note(names, last_started_at=clock.now())
    try:
        yield
    except BaseException as problem:
        _note(names, last_error=f"{type(problem).__name__}: {problem}"[:2000])
        raise
    _note(names, last_succeeded_at=clock.now(), last_error="")


def _note(names: tuple[str, ...], **columns: object) -> None:
    for name in names:
        ScheduledJob.objects.update_or_create(name=name, defaults=columns)
