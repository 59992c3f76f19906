"""What banks, and people in Stripe's dashboard, did to payments of ours: listed, for events get lost."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Final, TypeVar

from checkout import clock, money
from checkout.errors import NotFoundAtStripe
from checkout.gateway import gateway
from checkout.gateway.money_back import DisputeAnswer, FraudWarning, RefundAnswer
from checkout.models import Checkout, Dispute, LookBack, Problem, Refund
from checkout.services import disputes, look_back, problems, refunds

logger = logging.getLogger("checkout.look_back")

#: What is known is looked at again so often, and for so long: a refund may fail, and a dispute end, weeks later
#: (https://docs.stripe.com/refunds#failed-refunds).
AGAIN_EVERY: Final = timedelta(days=1)
AGAIN_FOR: Final = timedelta(days=30)

Answer = TypeVar("Answer", RefundAnswer, DisputeAnswer, FraudWarning)


@dataclass(slots=True)
class News:
    """Counts of one look: how many were compared, and how many were news. `errors` are tried again by the next one."""

    compared: int = 0
    found: int = 0
    errors: int = 0


def look() -> News:
    """List refunds, disputes and warnings of fraud since the last look, and once a day those of a month and every
    dispute that is open. One call for each hundred, none for what is known. Safe to run at any time, again.

    Raises GatewayError when Stripe cannot be asked.
    """
    news = News()
    cursor, again = (look_back.Cursor(LookBack.What(what)) for what in ("money_back", "money_back_again"))
    since, before = cursor.since(), again.until()
    if since is None:
        cursor.move_on()
        return news
    anew = before is None or before < again.began - AGAIN_EVERY
    if anew:
        since = min(since, again.began - AGAIN_FOR)
    for page in _pages(gateway().list_all_refunds(since=since)):
        known = dict(Refund.objects.filter(refund_id__in=[each.id for each in page]).values_list("refund_id", "state"))
        _take(page, known, news, refunds.take_refund)
    read_at = clock.now()
    for disputed in _pages(gateway().list_disputes(since=since)):
        _take(disputed, _statuses(disputed), news, lambda answer: disputes.take_dispute(answer, read_at))
    for warned in _pages(gateway().list_fraud_warnings(since=since)):
        _take(warned, _statuses(warned), news, lambda answer: disputes.take_warning(answer, read_at))
    if anew:
        _read_open_disputes(since, news)
    _close_what_went_back()
    if not news.errors:
        cursor.move_on()
        if anew:
            again.move_on()
    return news


def _pages(answers: Iterable[Answer]) -> Iterator[list[Answer]]:
    left = iter(answers)
    while page := list(islice(left, look_back.PAGE)):
        yield page


def _statuses(page: Iterable[DisputeAnswer | FraudWarning]) -> dict[str, str]:
    # One that was known before its payment was (which a restored database had lost) is booked nowhere yet.
    rows = Dispute.objects.filter(dispute_id__in=[each.id for each in page], checkout__isnull=False)
    return dict(rows.values_list("dispute_id", "status"))


def _take(page: list[Answer], known: dict[str, str], news: News, take: Callable[[Answer], object]) -> None:
    """Take in what is not known as it is, of payments that are ours: others may use the account as well."""
    intents = {each.payment_intent_id for each in page} - {""}
    ours = set(Checkout.objects.filter(payment_intent_id__in=intents).values_list("payment_intent_id", flat=True))
    for answer in page:
        news.compared += 1
        if answer.payment_intent_id not in ours or known.get(answer.id) == answer.status:
            continue
        try:
            take(answer)
        except Exception:
            # The host has hooks in it, so anything may come out.
            logger.exception("%s could not be taken in", answer.id)
            news.errors += 1
        else:
            news.found += 1


def _read_open_disputes(since: datetime, news: News) -> None:
    """Those that are older than the list: a bank may take months."""
    for row in Dispute.objects.filter(is_open=True, opened_at__lt=since).exclude(kind=Dispute.Kind.FRAUD_WARNING):
        try:
            now = disputes.dispute_updated_at_stripe(row.dispute_id)
        except Exception:
            logger.exception("%s could not be read", row.dispute_id)
            news.errors += 1
        else:
            news.compared += 1
            news.found += now.status != row.status


def _close_what_went_back() -> None:
    """A payment that is not known here is no problem once it is known, or was given back in the dashboard."""
    for problem in Problem.objects.filter(kind=Problem.Kind.UNKNOWN_PAYMENT, closed_at=None):
        if Checkout.objects.filter(payment_intent_id=problem.subject).exists():
            problems.close(problem.kind, problem.subject)
            continue
        try:
            answers = list(gateway().list_refunds(payment_intent_id=problem.subject))
        except NotFoundAtStripe as missing:
            # Taken under a key of another mode or account. It stays open, and holds up nothing else.
            logger.warning("%s cannot be looked up: %s", problem.subject, missing)
            continue
        back = sum(answer.amount_minor for answer in answers if answer.status == Refund.SUCCEEDED)
        if problem.amount is not None and back >= money.to_minor(problem.amount, problem.currency):
            problems.close(problem.kind, problem.subject)
