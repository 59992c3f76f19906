"""Problems: opened once while they last, closed when their cause is gone."""

from __future__ import annotations

import logging
from decimal import Decimal

from django.db import IntegrityError, transaction
from django.db.models import Sum
from django.utils.translation import gettext as _

from checkout import clock, money
from checkout.contract import Actor, actor
from checkout.models import Checkout, Debt, Posting, Problem, Refund
from checkout.services import staff_notices

logger = logging.getLogger("checkout.problems")


def open_problem(
    kind: str,
    subject: str,
    *,
    amount: Decimal | None,
    currency: str,
    checkout: Checkout | None = None,
    detail: str = "",
) -> Problem:
    """The open problem of that kind and subject, made if there is none; staff are told once."""
    try:
        with transaction.atomic():
            made = Problem.objects.create(
                kind=kind, subject=subject, amount=amount, currency=currency, checkout=checkout, detail=detail
            )
            with staff_notices.in_office_language():
                shown = money.format_money(amount, currency) if amount is not None else ""
                staff_notices.tell_staff(
                    f"problem-{made.pk}",
                    _("Please look at this: %(what)s %(amount)s") % {"what": made.get_kind_display(), "amount": shown},
                    [*_about(made), "", staff_notices.link("checkout.problem.detail", made.pk)],
                    checkout=checkout,
                )
    except IntegrityError:
        return Problem.objects.get(kind=kind, subject=subject, closed_at=None)
    logger.error("problem %s: %s %s", made.pk, kind, subject, extra={"problem": made.pk})
    return made


def _about(problem: Problem) -> list[str]:
    checkout = problem.checkout
    if checkout is None:
        return [problem.subject]
    return [*filter(None, [checkout.payer, *checkout.description_lines, problem.detail])]


def open_about(checkout: Checkout, kind: str, detail: str = "") -> Problem:
    """A problem of one attempt and its money."""
    return open_problem(
        kind, str(checkout.uuid), amount=checkout.total, currency=checkout.currency, checkout=checkout, detail=detail
    )


def close_about(checkout: Checkout, user: Actor = None) -> None:
    """The money of an attempt was applied after all, or given back."""
    rows = Problem.objects.filter(checkout=checkout, kind__in=Problem.UNAPPLIED, closed_at=None)
    rows.update(closed_at=clock.now(), owner=actor(user))


def reopen_about(checkout: Checkout) -> None:
    """What was given back came back to us."""
    if checkout.unapplied:
        last = Problem.objects.filter(checkout=checkout, kind__in=Problem.UNAPPLIED).first()
        if last is not None and not last.is_open:
            open_about(checkout, last.kind, last.detail)


def close(kind: str, subject: str, *, note: str = "") -> int:
    """Its cause is gone; how many were open."""
    rows = Problem.objects.filter(kind=kind, subject=subject, closed_at=None)
    return rows.update(closed_at=clock.now(), note=note[:255]) if note else rows.update(closed_at=clock.now())


def check_debt(debt: Debt, checkout: Checkout | None = None) -> None:
    """More came than was owed: open the problem, or close it once the difference was given back."""
    if debt.left >= 0:
        close(Problem.Kind.PAID_TOO_MUCH, str(debt.uuid))
        return
    too_much = -debt.left - _going_back(debt)
    known = Problem.objects.filter(checkout__debt=debt, kind__in=Problem.UNAPPLIED, closed_at=None)
    if too_much > 0 and not known.exists():
        open_problem(
            Problem.Kind.PAID_TOO_MUCH, str(debt.uuid), amount=too_much, currency=debt.currency, checkout=checkout
        )


def _going_back(debt: Debt) -> Decimal:
    """What another line owes by now in place of this debt, while the refund of it is still on its way."""
    moved = Posting.objects.filter(debt=debt, kind=Posting.Kind.MOVED, refund__state=Refund.PENDING)
    return -(moved.aggregate(sum=Sum("amount"))["sum"] or Decimal(0))
