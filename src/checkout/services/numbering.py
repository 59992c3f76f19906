"""The numbers of receipts and invoices: one after another in each series, given right after the payment is settled,
with the card that Stripe told us of."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Final

from django.db import DatabaseError, IntegrityError, connections, router, transaction
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from checkout import actions, clock, states
from checkout.conf import conf
from checkout.gateway import Card
from checkout.models import Checkout, Paper, PaperSeries, Posting, SavedCard
from checkout.services.insert_each import insert_each, one_statement

logger = logging.getLogger("checkout.fulfillment")

#: How far back the sweep looks for payments whose number was not given, because the process ended between the two.
LOOKED_AFTER: Final = timedelta(days=30)

NO_CARDS: Final[Mapping[int, Card | None]] = {}


def has_receipt(checkout: Checkout) -> bool:
    """True for an attempt that took money."""
    return checkout.succeeded and checkout.action_id in actions.TAKES_MONEY and bool(checkout.total)


def has_invoice(checkout: Checkout) -> bool:
    """True for an invoice that was asked for."""
    return checkout.succeeded and checkout.is_invoice and bool(checkout.total)


def paid_on(checkout: Checkout) -> datetime.date:
    """The day on which it was settled here (or the invoice was asked for), where the site is."""
    return clock.on_the_wall(checkout.settled_at or checkout.created_at)


def came_on(checkouts: Iterable[Checkout]) -> dict[int, datetime.date]:
    """The day on which the money of each attempt came, by its primary key: by other means, the day that staff wrote
    down. One query at most."""
    checkouts = list(checkouts)
    by_hand = [each.pk for each in checkouts if each.is_manual]
    rows = Posting.objects.filter(checkout__in=by_hand, kind=Posting.Kind.OTHER_MEANS) if by_hand else []
    return {each.pk: paid_on(each) for each in checkouts} | {row.checkout_id or 0: row.day for row in rows}


def give(checkouts: Iterable[Checkout], cards: Mapping[int, Card | None] = NO_CARDS) -> None:
    """Number the receipts and invoices of attempts that were settled just now, after the commit that settled them:
    a record of money must not wait for a number, nor be lost with it.

    `cards` are those that were paid with, by the attempt's primary key, where Stripe told. Two statements, however many
    attempts. What goes wrong is logged, and `give_missing` makes up for it.
    """
    wanted = [each for each in checkouts if has_receipt(each) or has_invoice(each)]
    if not wanted:
        return
    try:
        _number(wanted, cards)
    except DatabaseError:
        logger.exception("%d receipts have no number yet; reconcile gives it to them", len(wanted))


def give_missing(limit: int | None = None) -> int:
    """Number what was settled in the last days and has no number; how many there were."""
    rows = Checkout.objects.filter(state=states.SUCCESS, settled_at__gte=clock.now() - LOOKED_AFTER, paper=None)
    numbered = {*actions.TAKES_MONEY, actions.INVOICE}
    found = list(rows.filter(action__in=numbered, total__gt=0).order_by("settled_at", "pk")[:limit])
    for checkout in found:
        number_of(checkout)
    return len(found)


def number_of(checkout: Checkout) -> Paper | None:
    """The number of its receipt or invoice, given now where it is missing; None when it has neither."""
    # Read with the attempt, maybe; a number that was given is never taken back.
    found: Paper | None = getattr(checkout, "paper", None)
    if found is None and (has_receipt(checkout) or has_invoice(checkout)):
        try:
            _number([checkout], NO_CARDS)
        except IntegrityError:
            # Somebody else was faster, and theirs is the number.
            logger.info("checkout %s was numbered at the same time", checkout.pk)
        found = Paper.objects.filter(checkout=checkout).first()
    return found


def _number(checkouts: list[Checkout], cards: Mapping[int, Card | None]) -> None:
    by_series: dict[str, list[Checkout]] = {}
    for checkout in checkouts:
        pattern = conf.CHECKOUT_INVOICE_SERIES if checkout.is_invoice else conf.CHECKOUT_RECEIPT_SERIES
        by_series.setdefault(paid_on(checkout).strftime(pattern), []).append(checkout)
    database = router.db_for_write(PaperSeries)
    one = len(by_series) == 1 and connections[database].vendor == "postgresql"
    with one_statement(PaperSeries) if one else transaction.atomic(using=database):
        # In one order everywhere, so that no two wait for each other.
        for series, found in sorted(by_series.items()):
            papers = [Paper(checkout_id=each.pk, series=series, **_printed(cards.get(each.pk))) for each in found]
            _write(series, papers)


def _write(series: str, papers: list[Paper]) -> None:
    """Write papers with the next numbers of their series, which are the caller's if it commits: the counter's row is
    held until then. On PostgreSQL one statement takes the numbers and writes the papers."""
    connection = connections[router.db_for_write(PaperSeries)]
    counters, table = PaperSeries._meta.db_table, Paper._meta.db_table
    # Names of tables are ours, and every value is a parameter.
    take = (
        f"INSERT INTO {counters} (name, last) VALUES (%s, %s) "  # noqa: S608  # nosec B608
        f"ON CONFLICT (name) DO UPDATE SET last = {counters}.last + excluded.last RETURNING last"
    )
    taken: list[Any] = [series, len(papers)]
    with connection.cursor() as cursor:
        if connection.vendor != "postgresql":
            cursor.execute(take, taken)
            last = int(cursor.fetchone()[0])
            for number, paper in enumerate(papers, last - len(papers) + 1):
                paper.number = number
            insert_each(papers)
            return
        printed = [[getattr(paper, name) for paper in papers] for name in ("card_brand", "card_last4", "card_wallet")]
        cursor.execute(
            f"WITH counter AS ({take}) INSERT INTO {table} "  # noqa: S608  # nosec B608
            "(checkout_id, series, number, card_brand, card_last4, card_wallet, issued_at) "
            "SELECT given.checkout, %s, counter.last - %s + given.place, given.brand, given.last4, given.wallet, %s "
            "FROM counter, UNNEST(%s::bigint[], %s::text[], %s::text[], %s::text[]) WITH ORDINALITY "
            "AS given (checkout, brand, last4, wallet, place)",
            [*taken, *taken, papers[0].issued_at, [paper.checkout_id for paper in papers], *printed],
        )


def _printed(card: Card | None) -> dict[str, str]:
    """What a receipt says of a card."""
    if card is None:
        return {}
    return {"card_brand": card.brand[:30], "card_last4": card.last4[:4], "card_wallet": card.wallet[:30]}


def paid_with(checkout: Checkout, paper: Paper | None) -> str:
    """The card as the payer knows it, and the wallet that it was in; empty where Stripe did not tell us."""
    if checkout.is_manual:
        posting = Posting.objects.filter(checkout=checkout, kind=Posting.Kind.OTHER_MEANS).first()
        said = posting.get_method_display() if posting is not None else ""
        return capfirst(said) if said else _("Other means than a card")
    card: SavedCard | None = None
    if paper is not None and paper.card_last4:
        card = SavedCard(brand=paper.card_brand, last4=paper.card_last4)
    elif checkout.payment_method_id:
        rows = SavedCard.objects.exclude(last4="")
        card = rows.filter(payment_method_id=checkout.payment_method_id, livemode=checkout.livemode).first()
    if card is None:
        return ""
    wallet = paper.wallet if paper is not None else ""
    return f"{card.short_description} ({wallet})" if wallet else card.short_description
