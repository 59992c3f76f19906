"""The whole shop with one command: database, data, emulator, mails, web server."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import socket
import subprocess  # for the emulator alone  # nosec B404
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.urls import NoReverseMatch, reverse
from post_office.mail import get_queued, send_queued

from checkout import mail, timetable
from checkout.conf import is_live_key
from checkout.models import ObjectPaymentPlanInstalment
from example_checkout import demo_data, demo_past

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
MAILS_EVERY_SECONDS = 3
EMULATOR_STATE = settings.VAR_DIR / "emulator.json"
#: What a real site runs by cron or Celery (docs/operations.md), but for its digest; `mails_going_out` sends the queue.
JOBS = tuple(dict.fromkeys(job.name for job in timetable.JOBS if job.silent_for and not job.for_digest))
JOBS_EVERY_SECONDS = 15 * 60
EMULATOR_STARTS_WITHIN_SECONDS = 30

BANNER = """
  Green Lane College, a shop that is not real

    Shop        http://{host}:{port}/
    Mails       http://{host}:{port}/mails/
    Office      http://{host}:{port}/checkout/staff/
    Admin       http://{host}:{port}/admin/
    Stripe      {stripe}

    Log in as   payer / payer   or   staff / staff

    Cards       4242 4242 4242 4242   paid
                4000 0000 0000 3220   the bank asks who you are (3-D Secure)
                4000 0000 0000 0002   declined
                4000 0000 0000 9995   not enough money
                4000 0025 0000 3155   for payment plans
                4000 0027 6000 3184   asks for every payment of a plan, by mail
                any expiry in the future, any three digits, any postal code

  Everything is kept in {folder}; remove that folder to start afresh.
  Ctrl-C stops.
"""


class Command(BaseCommand):
    help = (
        "Serves the example shop on this computer, with an emulator in Stripe's place unless STRIPE_SECRET_KEY and "
        "STRIPE_PUBLISH_KEY hold test keys. Safe to run again: the data is kept. "
        "PORT and EMULATOR_PORT choose other ports."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        refuse_wrong_keys()
        port = free_port("PORT", "8000")
        emulator_port = free_port("EMULATOR_PORT", "12111") if settings.USES_EMULATOR else 0
        if port == emulator_port:
            raise CommandError(f"PORT and EMULATOR_PORT are both {port}. Choose two different ports.", returncode=2)
        # `kill` ends it as Ctrl-C does, so that nothing is left running; a shell that starts us in the background has
        # Ctrl-C ignored, which must not make us deaf to `kill -INT`.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _interrupt)
        with contextlib.suppress(KeyboardInterrupt):
            settings.VAR_DIR.mkdir(parents=True, exist_ok=True)
            call_command("migrate", verbosity=0)
            mail.install()
            demo_data.load()
            self.serve(port, emulator_port)

    def serve(self, port: int, emulator_port: int) -> None:
        with contextlib.ExitStack() as running:
            if settings.USES_EMULATOR:
                demo_past.tell(EMULATOR_STATE)
                running.enter_context(emulator(port, emulator_port))
            running.enter_context(mails_going_out())
            running.enter_context(jobs_running())
            stripe = f"{settings.EMULATOR_URL}/  (the emulator)" if settings.USES_EMULATOR else "Stripe's test mode"
            self.stdout.write(BANNER.format(host=HOST, port=port, stripe=stripe, folder=settings.VAR_DIR))
            self.stdout.flush()
            # It leaves by SystemExit when it is interrupted.
            call_command("runserver", f"{HOST}:{port}", use_reloader=False, use_threading=True, skip_checks=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def refuse_wrong_keys() -> None:
    """Raises CommandError for live keys, and for one key without the other."""
    keys = {name: os.environ.get(name, "") for name in ("STRIPE_SECRET_KEY", "STRIPE_PUBLISH_KEY")}
    for name, key in keys.items():
        if is_live_key(key):
            raise CommandError(
                f"{name} is a live key, which moves real money. The demo runs with test keys (sk_test_…, pk_test_…) "
                "or without any.",
                returncode=2,
            )
    given = [name for name, key in keys.items() if key]
    if len(given) == 1:
        missing = next(name for name in keys if name not in given)
        raise CommandError(
            f"{given[0]} is set, {missing} is not. Set both to use Stripe's test mode, or neither to use the emulator.",
            returncode=2,
        )


def free_port(variable: str, default: str) -> int:
    """The port that an environment variable names. Raises CommandError when it is not a port, or taken."""
    text = os.environ.get(variable) or default
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise CommandError(f"{variable} is {text!r}; it should be a number from 1 to 65535.", returncode=2)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, int(text)))
        except OSError as error:
            raise CommandError(
                f"Port {text} cannot be used ({error.strerror}). Stop the program that listens there, or choose "
                f"another port, for example: {variable}={suggestion(int(text))} make demo",
                returncode=2,
            ) from error
    return int(text)


def suggestion(port: int) -> int:
    return port + 1 if port < 65535 else port - 1


@contextlib.contextmanager
def emulator(port: int, emulator_port: int) -> Iterator[None]:
    """Runs the emulator as a child, from the moment it answers until we leave."""
    command = [sys.executable, "-m", "stripe_emulator", "--port", str(emulator_port), "--state", str(EMULATOR_STATE)]
    with contextlib.suppress(NoReverseMatch):
        webhook = f"http://{HOST}:{port}{reverse('checkout.webhook')}"
        command += ["--webhook", webhook, "--secret", settings.CHECKOUT_WEBHOOK_SECRET]
    # A session of its own: Ctrl-C is for us, and the child must answer until we are done.
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)  # noqa: S603 - words of ours  # nosec B603
    try:
        _wait_until_it_answers(child)
        yield
    finally:
        child.terminate()
        try:
            child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _wait_until_it_answers(child: subprocess.Popen[bytes]) -> None:
    # Nothing of ours goes through a proxy: the child is on this computer.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + EMULATOR_STARTS_WITHIN_SECONDS
    while time.monotonic() < deadline and child.poll() is None:
        try:
            with opener.open(f"{settings.EMULATOR_URL}/emulator/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise CommandError("The emulator did not start; what it said is above.", returncode=1)


@contextlib.contextmanager
def mails_going_out() -> Iterator[None]:
    """Writes the letters that were asked for, tells payers whose bank requires them, and sends what is queued, every
    few seconds. A real site does all three by cron or Celery.
    """

    def send() -> None:
        call_command("send_letters", stdout=io.StringIO())
        ObjectPaymentPlanInstalment.objects.send_on_session_payment_emails()
        # Without post_office's lock file, which would stay behind when we are killed: nobody else sends here.
        if get_queued().exists():
            send_queued(processes=1)

    with _again_and_again("mails", send, MAILS_EVERY_SECONDS):
        yield


@contextlib.contextmanager
def jobs_running() -> Iterator[None]:
    """Runs what is scheduled, at once and then every quarter of an hour."""

    def run() -> None:
        for name in JOBS:
            try:
                call_command(name, stdout=io.StringIO(), stderr=io.StringIO())
            except CommandError as problem:
                logger.warning("%s: %s", name, problem)

    with _again_and_again("jobs", run, JOBS_EVERY_SECONDS, at_once=True):
        yield


@contextlib.contextmanager
def _again_and_again(
    name: str, do: Callable[[], None], every_seconds: float, *, at_once: bool = False
) -> Iterator[None]:
    """Does it in a thread of its own until we leave."""
    stop = threading.Event()

    def go_on() -> None:
        wait = 0 if at_once else every_seconds
        while not stop.wait(wait):
            wait = every_seconds
            try:
                do()
            except Exception:
                logger.exception("The %s did not go well; they are tried again.", name)
            finally:
                connection.close()

    thread = threading.Thread(target=go_on, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=5)
