"""Closing a month: what is left to explain, the day book as it was then, and its fingerprint."""

from __future__ import annotations

import datetime
import gzip
import hashlib
import logging
from collections.abc import Callable

from dateutil.relativedelta import relativedelta
from django.db import IntegrityError, transaction
from django.db.models import Min
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from checkout import bookkeeping, clock
from checkout.contract import Actor, actor
from checkout.errors import CannotSettle
from checkout.models import BalanceTransaction, BookDifference, BookMonth, LookBack
from checkout.services import books_intake, books_lines, books_match
from checkout.services.books_intake import Account

logger = logging.getLogger("checkout.books")


def last_day(month: datetime.date) -> datetime.date:
    return month + relativedelta(months=1) - datetime.timedelta(days=1)


def closed(month: datetime.date, whose: Account) -> BookMonth | None:
    return BookMonth.objects.filter(**whose, month=month).select_related("closed_by").first()


def what_is_left(month: datetime.date, whose: Account) -> list[str]:
    """Why this month cannot be closed yet, a sentence each; nothing when it can."""
    checks: tuple[Callable[[datetime.date, Account], str], ...] = (
        _not_over, _not_taken_in, _still_coming, _not_compared, _not_looked_for, _not_explained, _earlier_is_open,
    )  # fmt: skip
    return [left for check in checks if (left := check(month, whose))]


def _not_over(month: datetime.date, whose: Account) -> str:
    # What was begun before midnight may still be written down.
    today = clock.on_the_wall(clock.now() - books_intake.JUST_NOW)
    return _("The month is not over yet.") if last_day(month) >= today else ""


def _not_taken_in(month: datetime.date, whose: Account) -> str:
    looked = LookBack.objects.filter(**whose, what=LookBack.What.BALANCE).first()
    if looked is not None and clock.on_the_wall(looked.until) > last_day(month):
        return ""
    return _("What moved at Stripe was not taken in to its end. Run checkout_books.")


def _still_coming(month: datetime.date, whose: Account) -> str:
    """A look that is going on may write down another movement of the month after its day book was read, and so may
    whoever writes down what came by other means."""
    just_now = clock.now() - books_intake.JUST_NOW
    movements = BalanceTransaction.objects.filter(**whose, month=month, taken_in_at__gt=just_now)
    if movements.exists() or books_lines.postings_of(month, whose).filter(at__gt=just_now).exists():
        return _("Something of this month is being written down just now. Wait for a minute.")
    return ""


def _not_compared(month: datetime.date, whose: Account) -> str:
    waiting = BalanceTransaction.objects.filter(**whose, state__in=["new", "waiting"], day__lte=last_day(month))
    number = waiting.count()
    return (
        ngettext(
            "%(number)d movement was not compared yet, or waits for an answer.",
            "%(number)d movements were not compared yet, or wait for an answer.",
            number,
        )
        % {"number": number}
        if number
        else ""
    )


def _not_looked_for(month: datetime.date, whose: Account) -> str:
    """The match looks for our postings at Stripe after some days, so the last ones of a month are looked for in the
    next."""
    looked = LookBack.objects.filter(**whose, what=LookBack.What.BOOKS).first()
    if looked is not None and clock.on_the_wall(looked.until) > last_day(month):
        return ""
    days = books_match.GRACE.days
    return ngettext(
        "Our own entries of its last day are looked for at Stripe by checkout_books, %(number)d day after its end.",
        "Our own entries of its last days are looked for at Stripe by checkout_books, %(number)d days after its end.",
        days,
    ) % {"number": days}


def _not_explained(month: datetime.date, whose: Account) -> str:
    number = BookDifference.objects.filter(**whose, closed_at=None, day__lte=last_day(month)).count()
    return (
        ngettext("%(number)d difference is open.", "%(number)d differences are open.", number) % {"number": number}
        if number
        else ""
    )


def _earlier_is_open(month: datetime.date, whose: Account) -> str:
    months = BookMonth.objects.filter(**whose).values("month")
    rows = BalanceTransaction.objects.filter(**whose, month__lt=month).exclude(month__in=months)
    first = rows.aggregate(first=Min("month"))["first"]
    return _("Close %(month)s first.") % {"month": date_format(first, "F Y")} if first is not None else ""


def close(month: datetime.date, whose: Account, user: Actor, note: str = "") -> BookMonth:
    """Freeze the day book of that month. What comes later stands in the month that it comes in.

    Raises CannotSettle when something is left to explain, or somebody has closed it already.
    """
    if left := what_is_left(month, whose):
        raise CannotSettle(" ".join(left))
    try:
        with transaction.atomic():
            made = BookMonth.objects.create(
                **whose, month=month, lines=0, sha256="", day_book=b"", closed_by=actor(user), note=note[:255]
            )
            text, number = day_book(month, whose)
            BookMonth.objects.filter(pk=made.pk).update(
                lines=number, sha256=hashlib.sha256(text).hexdigest(), day_book=gzip.compress(text, mtime=0)
            )
    except IntegrityError:
        raise CannotSettle(_("This month is closed already.")) from None
    books_intake.move_latecomers(whose)
    made.refresh_from_db()
    logger.info("month %s closed by user %s: %s", made, made.closed_by_id, made.sha256, extra={"month": str(made)})
    return made


def day_book(month: datetime.date, whose: Account) -> tuple[bytes, int]:
    """The day book as a file, and how many lines it has."""
    number = -1
    parts = []
    for part in bookkeeping.day_book_csv(books_lines.lines(month, whose)):
        parts.append(part)
        number += 1
    return "".join(parts).encode(), number


def frozen(month: BookMonth) -> bytes:
    """The day book as it was when the month was closed. Raises CannotSettle when it is not what was closed."""
    text = gzip.decompress(month.day_book)
    if hashlib.sha256(text).hexdigest() != month.sha256:
        raise CannotSettle(_("The day book of this month is not the one that was closed. Tell a developer."))
    return text
