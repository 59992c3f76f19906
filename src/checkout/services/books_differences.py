"""Differences between Stripe and our books: found, explained, gone, found again; each step is kept."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final
from uuid import UUID, uuid5

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from checkout import clock, money
from checkout.contract import Actor, actor
from checkout.errors import CannotSettle
from checkout.gateway import gateway
from checkout.models import BalanceTransaction, BookDifference, BookNote, Checkout, Payout, Posting
from checkout.services import attempt_rows
from checkout.services.books_intake import Account
from checkout.services.books_things import Thing
from checkout.services.update_each import update_each

logger = logging.getLogger("checkout.books")

How = BookDifference.How
Kind = BookDifference.Kind
#: The movement of money that was given back is taken in within this time; until then it still looks different.
SEEN_WITHIN: Final = datetime.timedelta(days=3)


def write_down(rows: Iterable[BalanceTransaction]) -> None:
    """What the match found about movements, in one statement."""
    update_each(
        BalanceTransaction,
        {
            row.pk: {"state": row.state, "booked": row.booked, "posting": row.posting_id, "checkout": row.checkout_id}
            for row in rows
        },
    )


class Found:
    """What one match found: opens what is new, and closes what it looked at and is not different any more."""

    def __init__(self, whose: Account, only: BookDifference | None = None) -> None:
        self._whose = whose
        self._only = only
        self._causes: set[str] = set()
        self.opened = 0

    def say(self, thing: Thing) -> None:
        """A thing was compared."""
        if thing.kind is None:
            return
        row = thing.rows[0]
        self._open(
            thing.kind, thing.subject, thing.difference, row.paid_currency, row.day,
            gone_back=thing.gone_back, transaction=row, checkout=thing.checkout,
        )  # fmt: skip

    def missing(self, posting: Posting, stripe_id: str) -> None:
        """A posting has no movement at Stripe."""
        checkout = posting.checkout
        currency = checkout.currency if checkout is not None else posting.debt.currency
        self._open(
            Kind.NOT_AT_STRIPE, stripe_id, -posting.amount, currency, posting.day,
            cause=f"{Kind.NOT_AT_STRIPE}:{posting.cause}", posting=posting, checkout=checkout,
        )  # fmt: skip

    def of_payout(self, kind: Kind, payout: Payout, amount: Decimal) -> None:
        day = clock.on_the_wall(payout.created_at)
        self._open(kind, payout.payout_id, amount, payout.currency, day, payout=payout)

    def _open(
        self,
        kind: Kind,
        subject: str,
        amount: Decimal,
        currency: str,
        day: datetime.date,
        *,
        cause: str = "",
        gone_back: frozenset[str] = frozenset(),
        **about: Any,
    ) -> None:
        cause = cause or f"{kind}:{subject}"
        self._causes.add(cause)
        columns = {**self._whose, "kind": kind, "subject": subject, "amount": amount, "currency": currency, "day": day}
        try:
            with transaction.atomic():
                made = BookDifference.objects.create(cause=cause, **columns, **about)
                BookNote.objects.create(difference=made, amount=amount)
        except IntegrityError:
            self._found_again(BookDifference.objects.get(cause=cause), amount, gone_back)
            return
        self.opened += 1
        logger.warning("difference %s: %s %s", made.pk, kind, subject, extra={"difference": made.pk})

    def _found_again(self, known: BookDifference, amount: Decimal, gone_back: frozenset[str]) -> None:
        """What was explained stays so while it is the same amount; what was gone and is there again is open again. So
        is what was given back, once the refund's own movement is here: it differs because the refund failed."""
        if known.is_open:
            if known.amount != amount:
                BookDifference.objects.filter(pk=known.pk).update(amount=amount)
                BookNote.objects.create(difference=known, amount=amount)
            return
        if known.how == How.EXPLAINED and known.amount == amount:
            return
        young = known.closed_at is not None and known.closed_at > clock.now() - SEEN_WITHIN
        if known.how == How.GIVEN_BACK and young and str(known.pk) not in gone_back:
            return
        with transaction.atomic():
            closed = BookDifference.objects.filter(pk=known.pk).exclude(closed_at=None)
            if closed.update(how=How.OPEN, closed_at=None, amount=amount):
                BookNote.objects.create(difference=known, amount=amount)
                self.opened += 1

    def close_what_is_gone(self) -> int:
        """How many were different, and are not any more."""
        rows = BookDifference.objects.filter(**self._whose, closed_at=None)
        if self._only is not None:
            rows = rows.filter(pk=self._only.pk)
        gone = [row for row in rows if row.cause not in self._causes]
        return sum(_close(row, How.GONE) for row in gone)


def _close(difference: BookDifference, how: How, user: Actor = None, note: str = "") -> bool:
    """One closes it; False for whoever was later."""
    with transaction.atomic():
        rows = BookDifference.objects.filter(pk=difference.pk, closed_at=None)
        if not rows.update(how=how, closed_at=clock.now()):
            return False
        BookNote.objects.create(
            difference=difference, how=how, amount=difference.amount, user=actor(user), note=note[:255]
        )
    difference.refresh_from_db()
    return True


# -- what staff do about one -------------------------------------------------------------------------------


def _check_open(difference: BookDifference) -> None:
    if not difference.is_open:
        raise CannotSettle(_("This difference is closed already."))


def explain(difference: BookDifference, user: Actor, note: str) -> None:
    """It is right as it is, and `note` says why. Raises CannotSettle when it is closed."""
    _check_open(difference)
    if not _close(difference, How.EXPLAINED, user, note):
        raise CannotSettle(_("This difference is closed already."))


def adopted(difference: BookDifference, user: Actor, note: str = "") -> None:
    """Stripe's truth was brought in, and the match has closed the difference: say by whom."""
    _say_how(difference, How.ADOPTED, user, note)


def _say_how(difference: BookDifference, how: How, user: Actor, note: str) -> None:
    """The match has closed it, because somebody did something about it: say what, and who."""
    with transaction.atomic():
        BookDifference.objects.filter(pk=difference.pk, how=How.GONE).update(how=how)
        BookNote.objects.create(
            difference=difference, how=how, amount=difference.amount, user=actor(user), note=note[:255]
        )
    difference.refresh_from_db()


def why_not_back(difference: BookDifference) -> str:
    """Why the money of this difference cannot be given back here; empty when it can."""
    if not difference.is_open:
        return _("This difference is closed already.")
    if difference.kind not in BookDifference.CAN_GO_BACK or difference.amount <= 0:
        return _("There is no money of a payer in this difference.")
    if Checkout.objects.filter(payment_intent_id=difference.subject).exists():
        return _("This payment is in our books. Refund it on the page of its checkout.")
    return ""


def give_back(difference: BookDifference, user: Actor, note: str) -> None:
    """Give the money of a payment back that nobody here owes: all that is left of it. The same difference is one refund
    at Stripe, however often it is asked for; after one that failed, another.

    Raises CannotSettle when there is nothing to give back, and GatewayError when Stripe refuses or gives no answer.
    """
    # Under the key of a refund that failed Stripe repeats its answer from before it did. Counted first: whoever counts
    # what a colleague has just done finds the difference closed.
    before = difference.notes.filter(how=How.GIVEN_BACK).count()
    difference.refresh_from_db()
    if why := why_not_back(difference):
        raise CannotSettle(why)
    asked = f"{difference.cause}:{difference.amount}" + (f":{before}" if before else "")
    key = uuid5(UUID(attempt_rows.site()), asked)
    answer = gateway().create_refund(
        payment_intent_id=difference.subject,
        amount_minor=money.to_minor(difference.amount, difference.currency),
        reason="duplicate" if difference.kind == Kind.DOUBLE else "requested_by_customer",
        metadata={"site": attempt_rows.site(), "difference": str(difference.pk)},
        idempotency_key=str(key),
    )
    if answer.status == "failed":
        raise CannotSettle(answer.failure or _("The refund failed."))
    if not _close(difference, How.GIVEN_BACK, user, note):
        # The match was faster, and has found that nothing is left.
        _say_how(difference, How.GIVEN_BACK, user, note)
    logger.info("difference %s given back: %s", difference.pk, answer.id, extra={"difference": difference.pk})
