"""Problems: opened once while they last, closed when their cause is gone."""

from __future__ import annotations

import logging
from decimal import Decimal

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from checkout import clock, money
from checkout.models import Checkout, Debt, Problem
from checkout.services import staff_notices

logger = logging.getLogger("checkout.problems")


def open_problem(
    kind: str, subject: str, *, amount: Decimal | None, currency: str, checkout: Checkout | None = None
) -> Problem:
    """The open problem of that kind and subject, made if there is none; staff are told once."""
    try:
        with transaction.atomic():
            made = Problem.objects.create(
                kind=kind, subject=subject, amount=amount, currency=currency, checkout=checkout
            )
            with staff_notices.in_office_language():
                shown = money.format_money(amount, currency) if amount is not None else ""
                staff_notices.tell_staff(
                    f"problem-{made.pk}",
                    _("Please look at this: %(what)s %(amount)s") % {"what": made.get_kind_display(), "amount": shown},
                    [subject, "", staff_notices.link("checkout.problem.list")],
                    checkout=checkout,
                )
    except IntegrityError:
        return Problem.objects.get(kind=kind, subject=subject, closed_at=None)
    logger.error("problem %s: %s %s", made.pk, kind, subject, extra={"problem": made.pk})
    return made


def close(kind: str, subject: str, *, note: str = "") -> int:
    """Its cause is gone; how many were open."""
    rows = Problem.objects.filter(kind=kind, subject=subject, closed_at=None)
    return rows.update(closed_at=clock.now(), note=note[:255]) if note else rows.update(closed_at=clock.now())


def check_debt(debt: Debt, checkout: Checkout | None = None) -> None:
    """More came than was owed: open the problem, or close it once the difference was given back."""
    if debt.left < 0:
        open_problem(
            Problem.Kind.PAID_TOO_MUCH, str(debt.uuid), amount=-debt.left, currency=debt.currency, checkout=checkout
        )
    else:
        close(Problem.Kind.PAID_TOO_MUCH, str(debt.uuid))
