"""When each scheduled job last did its work, written down whether cron or Celery started it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db.models import F, Q

from checkout import clock
from checkout.models import ScheduledJob
from checkout.services import heartbeat


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
        _beat(names, well=False)
        raise
    _note(names, last_succeeded_at=clock.now(), last_error="")
    _beat(names, well=True)


@contextmanager
def recorded_alone(name: str, at_most: timedelta) -> Iterator[bool]:
    """As `recorded`, for a job that must not be done in two places at once: gives False while another has it.

    The other has begun and not succeeded. When that was longer ago than `at_most` (the longest that it can take), it
    was killed or has failed, and we may begin.
    """
    now = clock.now()
    ScheduledJob.objects.get_or_create(name=name)
    is_free = Q(last_started_at=None) | Q(last_started_at__lt=now - at_most)
    is_free |= Q(last_succeeded_at__gte=F("last_started_at"))
    if ScheduledJob.objects.filter(is_free, name=name).update(last_started_at=now):
        with recorded(name):
            yield True
    else:
        yield False


def _beat(names: tuple[str, ...], *, well: bool) -> None:
    for name in names:
        heartbeat.beat(name, well=well)


def _note(names: tuple[str, ...], **columns: object) -> None:
    for name in names:
        ScheduledJob.objects.update_or_create(name=name, defaults=columns)
