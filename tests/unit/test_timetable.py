"""One timetable: Celery's beat is made from it, and it can be said in a crontab."""

from __future__ import annotations

from datetime import time, timedelta

import pytest
from celery.schedules import crontab
from django.core.management import get_commands

from checkout.timetable import CELERY_BEAT_SCHEDULE, JOBS, Job

BY_NAME = {job.name: job for job in JOBS}


@pytest.mark.parametrize(
    ("name", "minutes"),
    [("payment_intent_fulfillment", 16), ("setup_intent_fulfillment", 14), ("send_on_session_payment_emails", 20)],
)
def test_the_promised_intervals(name: str, minutes: int) -> None:
    assert BY_NAME[name].every == timedelta(minutes=minutes)


def test_a_payer_who_is_refused_in_a_run_has_the_mail_within_half_an_hour() -> None:
    steps = [BY_NAME[name].every for name in ("send_on_session_payment_emails", "send_queued_mail")]
    assert sum((step for step in steps if isinstance(step, timedelta)), timedelta()) <= timedelta(minutes=30)


def test_the_beat_runs_every_job_when_the_timetable_says() -> None:
    from example_checkout.celery import app

    app.loader.import_default_modules()
    beat = {entry["task"]: entry for entry in CELERY_BEAT_SCHEDULE.values()}
    assert set(beat) == {job.task for job in JOBS}
    assert set(beat) <= set(app.tasks)
    for job in JOBS:
        schedule, expires = beat[job.task]["schedule"], beat[job.task]["options"]["expires"]
        if isinstance(job.every, timedelta):
            assert (schedule, expires) == (job.every, job.every.total_seconds())
        else:
            assert schedule == crontab(hour=job.every.hour, minute=job.every.minute)
            assert 0 < expires < timedelta(days=1).total_seconds()


def test_every_job_has_a_command() -> None:
    assert {job.name for job in JOBS} <= set(get_commands())


def test_a_job_that_misses_one_turn_is_not_yet_reported() -> None:
    for job in JOBS:
        if job.silent_for is not None:
            least = 2 * job.every if isinstance(job.every, timedelta) else timedelta(days=1, hours=1)
            assert job.silent_for >= least, job.name


def test_times_as_cron_and_as_the_documents_say_them() -> None:
    often, daily = Job("often", timedelta(minutes=16), None), Job("daily", time(6, 10), None)
    assert (often.cron, often.how_often) == ("*/16 * * * *", "every 16 minutes")
    assert (daily.cron, daily.how_often) == ("10 6 * * *", "daily")


@pytest.mark.parametrize("every", [timedelta(), timedelta(seconds=90), timedelta(hours=1), timedelta(days=1)])
def test_an_interval_that_a_crontab_cannot_express_is_refused(every: timedelta) -> None:
    with pytest.raises(ValueError, match="crontab cannot express"):
        Job("odd", every, None)
