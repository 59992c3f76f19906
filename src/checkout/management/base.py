"""What the commands share."""

from __future__ import annotations

import argparse
import datetime
import os
import re
import sys
from abc import ABC, abstractmethod
from typing import Any, TextIO

from django.core.management import base
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from checkout import clock
from checkout.errors import CheckoutError
from checkout.services import jobs
from checkout.services.polling import Swept
from checkout.services.stale import Tidied

_AGE = re.compile(r"(\d+)(m|h|d)")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def moment(text: str) -> datetime.datetime:
    """For `--since`: an age (90m, 36h, 7d), a date or a moment (ISO 8601; without a zone, the site's)."""
    if age := _AGE.fullmatch(text):
        return clock.now() - datetime.timedelta(**{_UNITS[age[2]]: int(age[1])})
    try:
        found = parse_datetime(text) or parse_date(text)
    except ValueError:
        found = None
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is neither an age (90m, 36h, 7d) nor a date (2026-11-23)")
    if not isinstance(found, datetime.datetime):
        found = datetime.datetime.combine(found, datetime.time())
    return found if timezone.is_aware(found) else timezone.make_aware(found)


def day(text: str) -> datetime.date:
    """For options that name a day."""
    try:
        found = parse_date(text)
    except ValueError:
        found = None
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date such as 2026-11-23")
    return found


def positive(text: str) -> int:
    """For options that count something."""
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


class BaseCommand(base.BaseCommand):
    """A command whose reader may go away, as `| head` does: it goes on with its work and says the rest to nobody, so
    that its exit code is that of its work."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        out = _Patient(options.get("stdout") or sys.stdout)
        try:
            return super().execute(*args, **options | {"stdout": out})
        finally:
            out.flush()


class _Patient:
    """A stream that takes what is written to it, whether anybody reads it or not."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._to_nobody()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._to_nobody()

    def _to_nobody(self) -> None:
        # Python flushes once more when it ends, and would complain then.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


class SweepCommand(BaseCommand, ABC):
    """A command that looks at open attempts: shows how far it is, prints counts, exits 1 when something could not be
    settled. Its name is that of a scheduled job, and its success is written down."""

    #: Jobs that this one does as well.
    also: tuple[str, ...] = ()
    since: datetime.datetime | None = None

    @abstractmethod
    def sweep(self) -> Swept:
        """What this command looks at."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--since", type=moment, help="only attempts begun since then: an age (90m, 36h, 7d) or a date"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        self.since = options["since"]
        try:
            with jobs.recorded(type(self).__module__.rpartition(".")[2], *self.also):
                swept = self.sweep()
        except CheckoutError as problem:
            raise CommandError(
                f"Stripe could not be asked, so nothing is known to have changed: {problem}"
            ) from problem
        self.done(swept)

    def tell(self, tidied: Tidied) -> Swept:
        """Print what was ended because nobody had finished it, if anything was, and count it with the rest."""
        if tidied != Tidied():
            self.stdout.write(
                f"stale: closed {tidied.closed}, paid after all {tidied.paid}, left {tidied.left}; "
                f"deposits taken {tidied.deposits}, replaced cards taken off {tidied.detached}"
            )
        return Swept(0, tidied.changed, tidied.errors)

    def done(self, swept: Swept) -> None:
        """Print the counts. Raises CommandError when they hold an error."""
        if self.stdout.isatty():
            self.stdout.write("")
        self.stdout.write(f"looked at {swept.looked_at}, changed {swept.changed}, errors {swept.errors}")
        if swept.errors:
            raise CommandError(
                f"{swept.errors} could not be settled; the log says why (logger checkout.polling). They stay open and "
                "the next run tries again."
            )

    def progress(self, swept: Swept) -> None:
        """Shown while it goes, to a person only."""
        if self.stdout.isatty():
            self.stdout.write(f"\rlooked at {swept.looked_at}, changed {swept.changed} …", ending="")
            self.stdout.flush()
