"""A letter that cannot go is a problem for a person: somebody waits for words that never come."""

from __future__ import annotations

import logging
from collections.abc import Collection

from django.db import DatabaseError, IntegrityError, transaction

from checkout import clock
from checkout.conf import conf
from checkout.models import Checkout, Problem

logger = logging.getLogger("checkout.staff")


def report(subject: str, reason: Exception, *, checkout: Checkout | None = None) -> None:
    """Open the problem, once while it lasts. `subject` says which letter, or to whom; never raises, because whatever
    the letter was about has happened.

    Staff see it on the page Problems and are sent no mail about it: the mail may be what does not work.
    """
    # Without the words: an address may be in them.
    logger.error("a letter cannot go (%s); see the page Problems", type(reason).__name__)
    detail = f"{type(reason).__name__}: {reason}"
    try:
        with transaction.atomic():
            Problem.objects.create(
                kind=Problem.Kind.LETTER,
                subject=subject[:120],
                currency=conf.CHECKOUT_CURRENCY,
                detail=detail,
                checkout=checkout,
            )
    except IntegrityError:
        pass  # it is open already
    except DatabaseError:
        logger.exception("the problem cannot be written down")


def among(subjects: Collection[str]) -> set[str]:
    """Those of them that could not go when they were tried before. One query."""
    found = Problem.objects.filter(
        kind=Problem.Kind.LETTER, subject__in=[each[:120] for each in subjects], closed_at=None
    )
    stuck = set(found.values_list("subject", flat=True))
    return {each for each in subjects if each[:120] in stuck}


def gone(subject: str) -> None:
    """The letter went after all."""
    Problem.objects.filter(kind=Problem.Kind.LETTER, subject=subject[:120], closed_at=None).update(
        closed_at=clock.now()
    )
