"""A site whose only scheduler is our beat sends its mails, each once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core import mail as outbox
from post_office.models import STATUS, Email

from checkout import clock, mail, tasks
from checkout.models import ScheduledJob
from checkout.services import jobs
from checkout.timetable import CELERY_BEAT_SCHEDULE

# post_office closes the connection after it has sent, as a job of its own would.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def lock_file(tmp_path: Path, monkeypatch: Any) -> Path:
    """The machine's own is shared with whatever else runs here."""
    path = tmp_path / "post_office"
    monkeypatch.setattr(mail, "default_lockfile", str(path))
    return path


@pytest.fixture
def queued() -> Email:
    return Email.objects.create(
        from_email="shop@example.com", to="payer@example.com", subject="Paid", status=STATUS.queued
    )


def beat() -> None:
    """What beat and a worker do with the one entry that is about queued mail."""
    from example_checkout.celery import app

    [entry] = [entry for entry in CELERY_BEAT_SCHEDULE.values() if entry["task"].endswith("queued_mail")]
    app.tasks[entry["task"]].apply(throw=True)


def test_our_beat_alone_sends_what_is_queued(queued: Email) -> None:
    beat()
    assert [message.to for message in outbox.outbox] == [["payer@example.com"]]
    queued.refresh_from_db()
    assert queued.status == STATUS.sent
    assert ScheduledJob.objects.get(name="send_queued_mail").last_succeeded_at is not None


def test_many_batches_are_sent_in_one_go(queued: Email, settings: Any) -> None:
    settings.POST_OFFICE = {**settings.POST_OFFICE, "BATCH_SIZE": 1}
    Email.objects.create(from_email="shop@example.com", to="other@example.com", status=STATUS.queued)
    beat()
    assert len(outbox.outbox) == 2


def test_no_batch_is_begun_when_the_time_is_up(queued: Email) -> None:
    assert mail.send_queued(seconds=0)
    assert outbox.outbox == []


def test_a_worker_on_another_machine_that_sends_is_left_alone(queued: Email) -> None:
    with jobs.recorded_alone("send_queued_mail", timedelta(minutes=11)) as ours:
        assert ours
        assert tasks.send_queued_mail() is False
    assert outbox.outbox == []
    assert tasks.send_queued_mail() is True


def test_a_worker_that_was_killed_is_waited_for_no_longer_than_it_could_take(queued: Email) -> None:
    ScheduledJob.objects.create(name="send_queued_mail", last_started_at=clock.now() - timedelta(minutes=12))
    assert tasks.send_queued_mail() is True
    assert len(outbox.outbox) == 1


def test_a_process_of_this_machine_that_holds_post_offices_lock_is_left_alone(queued: Email, lock_file: Path) -> None:
    from post_office.lockfile import FileLock

    with FileLock(str(lock_file)):
        assert tasks.send_queued_mail() is False
    assert outbox.outbox == []
