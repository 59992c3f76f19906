"""What is compared: a payment, a refund, a dispute, with all its movements at Stripe and all its postings here."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from itertools import chain
from typing import Final
from uuid import UUID

from django.db.models import Q

from checkout import clock, states
from checkout.ids import uuid_or_none
from checkout.models import BalanceTransaction, BookDifference, Checkout, Debt, Dispute, Posting, Refund
from checkout.services import attempt_rows

#: Stripe's types and categories (https://docs.stripe.com/reports/balance-transaction-types, /reporting-categories).
CHARGE_TYPES: Final = frozenset({"charge", "payment"})
REFUND_TYPES: Final = frozenset({"refund", "refund_failure", "payment_refund", "payment_failure_refund"})
DISPUTE_CATEGORIES: Final = frozenset({"dispute", "dispute_reversal"})
PAYOUT_TYPES: Final = frozenset({"payout", "payout_failure", "payout_cancel"})
RETURN_TYPES: Final = frozenset({"payout_failure", "payout_cancel"})
#: What Stripe bills, keeps back for a while and gives free again, under its own names.
STRIPES_OWN: Final = frozenset({
    "payout_minimum_balance_hold", "payout_minimum_balance_release", "reserve_hold", "reserve_release",
    "reserve_transaction", "reserved_funds", "stripe_fee", "stripe_fx_fee", "tax_fee", "topup", "topup_reversal",
})  # fmt: skip

ZERO = Decimal(0)
Kind = Posting.Kind
State = BalanceTransaction.State


@dataclass(slots=True)
class Thing:
    """All of one payment, refund or dispute. `subject` is Stripe's id of it. `kind` is set when it differs."""

    class What(Enum):
        PAYMENT = "payment"
        REFUND = "refund"
        DISPUTE = "dispute"
        OTHER = "other"

    what: What
    subject: str
    rows: list[BalanceTransaction]
    checkout: Checkout | None = None
    refund: Refund | None = None
    postings: list[Posting] = field(default_factory=list)
    is_marked_as_ours: bool = False
    was_paid_before: bool = False
    kind: BookDifference.Kind | None = None

    @property
    def at_stripe(self) -> Decimal:
        return sum((row.paid_amount for row in self.rows), ZERO)

    @property
    def here(self) -> Decimal:
        return sum((posting.amount for posting in self.postings), ZERO)

    @property
    def difference(self) -> Decimal:
        return self.at_stripe - self.here

    @property
    def gone_back(self) -> frozenset[str]:
        """The differences (their primary keys, as text) that a refund among these movements was to settle."""
        return frozenset(row.mark["difference"] for row in self.rows if "difference" in row.mark)

    @property
    def adds_up(self) -> bool:
        """The sums are equal, and of the same currency."""
        currency = self.checkout.currency if self.checkout is not None else ""
        return not self.difference and (not self.postings or {row.paid_currency for row in self.rows} == {currency})

    def has_no_answer_yet(self, grace: datetime.timedelta) -> bool:
        """Our own row is open, or the news is so young that it may still be on its way."""
        if self.refund is not None and self.refund.pending:
            return True
        newest = max(row.created_at for row in self.rows)
        if newest < clock.now() - grace:
            return False
        if self.what == Thing.What.PAYMENT:
            return self.checkout is not None and self.checkout.state_id != states.SUCCESS
        return self.refund is not None and self.refund.failed and not self.here

    def settle(self, state: State) -> None:
        self._write(state)

    def differ(self, kind: BookDifference.Kind) -> None:
        self.kind = kind
        self._write(State.DIFFERS)

    def _write(self, state: State) -> None:
        """Each movement gets what was posted of its own sign; what is left over stands at the first."""
        left = {True: ZERO, False: ZERO}
        first: dict[bool, Posting] = {}
        for posting in self.postings:
            left[posting.amount > 0] += posting.amount
            first.setdefault(posting.amount > 0, posting)
        for row in self.rows:
            sign = row.paid_amount > 0
            row.state, row.checkout = state, self.checkout
            row.booked, left[sign] = left[sign], ZERO
            row.posting = first.get(sign)
        # A posting of a sign that no movement has: it is of this thing all the same.
        self.rows[0].booked += left[True] + left[False]


@dataclass(slots=True)
class Things:
    """Those that some movements belong to, each once. A fixed number of queries."""

    rows: list[BalanceTransaction]
    checkouts: dict[str, Checkout]
    refunds: dict[str, Refund]
    disputes: dict[str, Dispute]
    postings: dict[tuple[str, int], list[Posting]]

    @classmethod
    def of(cls, rows: Sequence[BalanceTransaction]) -> list[Thing]:
        intents = {row.payment_intent_id for row in rows} - {""}
        sources = {row.source_id for row in rows if row.payment_intent_id} - {""}
        siblings = BalanceTransaction.objects.filter(Q(payment_intent_id__in=intents) | Q(source_id__in=sources))
        every = {row.pk: row for row in chain(siblings if intents else (), rows)}
        intents |= {row.payment_intent_id for row in every.values()} - {""}
        # Most movements are payments, and there is no refund or dispute to look for.
        went_back = (Thing.What.REFUND, Thing.What.DISPUTE)
        back = {row.source_id for row in every.values() if what_of(row) in went_back} - {""}
        checkouts = Checkout.objects.filter(payment_intent_id__in=intents).order_by("pk")
        refunds = Refund.objects.filter(refund_id__in=back).select_related("checkout")
        disputes = Dispute.objects.filter(dispute_id__in=back).select_related("checkout")
        found = cls(
            sorted(every.values(), key=lambda row: row.pk),
            {row.payment_intent_id: row for row in checkouts},
            {row.refund_id: row for row in refunds} if back else {},
            {row.dispute_id: row for row in disputes} if back else {},
            {},
        )
        found._read_postings()
        return found._gathered(rows)

    def _read_postings(self) -> None:
        found: dict[tuple[str, int], list[Posting]] = defaultdict(list)
        of = Q(kind=Kind.TAKEN, checkout__in=[row.pk for row in self.checkouts.values()])
        of |= Q(refund__in=[row.pk for row in self.refunds.values()])
        of |= Q(dispute__in=[row.pk for row in self.disputes.values()])
        for posting in Posting.objects.filter(of).order_by("pk"):
            if posting.refund_id is not None:
                found["refund", posting.refund_id].append(posting)
            elif posting.dispute_id is not None:
                found["dispute", posting.dispute_id].append(posting)
            elif posting.checkout_id is not None:
                found["payment", posting.checkout_id].append(posting)
        self.postings = found

    def _gathered(self, asked: Sequence[BalanceTransaction]) -> list[Thing]:
        """The things of the movements that were asked for; of a payment that is known, its refunds are others."""
        groups: dict[tuple[Thing.What, str], list[BalanceTransaction]] = defaultdict(list)
        for row in self.rows:
            groups[self._key(row)].append(row)
        wanted = dict.fromkeys(self._key(row) for row in asked)
        things = [self._thing(what, subject, groups[what, subject]) for what, subject in wanted]
        _look_whose([thing for thing in things if thing.checkout is None and thing.what != Thing.What.OTHER])
        return things

    def _key(self, row: BalanceTransaction) -> tuple[Thing.What, str]:
        what = what_of(row)
        if what == Thing.What.OTHER:
            return what, row.transaction_id
        intent = row.payment_intent_id
        if intent not in self.checkouts and row.source_id not in self.refunds and row.source_id not in self.disputes:
            # Nobody here knows it: all of the payment is one thing.
            return Thing.What.PAYMENT, intent or row.source_id
        return what, intent if what == Thing.What.PAYMENT else row.source_id

    def _thing(self, what: Thing.What, subject: str, rows: list[BalanceTransaction]) -> Thing:
        refund, dispute = self.refunds.get(subject), self.disputes.get(subject)
        checkout = self.checkouts.get(rows[0].payment_intent_id)
        if refund is not None:
            return Thing(what, subject, rows, refund.checkout, refund, self.postings.get(("refund", refund.pk), []))
        if dispute is not None:
            known = dispute.checkout or checkout
            return Thing(what, subject, rows, known, None, self.postings.get(("dispute", dispute.pk), []))
        postings: list[Posting] = []
        if what == Thing.What.PAYMENT and checkout is not None:
            postings = self.postings.get(("payment", checkout.pk), [])
        return Thing(what, subject, rows, checkout, None, postings)


def what_of(row: BalanceTransaction) -> Thing.What:
    if row.type in CHARGE_TYPES:
        return Thing.What.PAYMENT
    if row.type in REFUND_TYPES:
        return Thing.What.REFUND
    return Thing.What.DISPUTE if row.category in DISPUTE_CATEGORIES else Thing.What.OTHER


def _look_whose(things: list[Thing]) -> None:
    """Payments without an attempt here: do they carry our mark, and was what they are for paid by another?"""
    site = attempt_rows.site()
    marks = {}
    for thing in things:
        mark: dict[str, str] = next((row.mark for row in thing.rows if row.mark.get("site")), {})
        thing.is_marked_as_ours = mark.get("site") == site
        if thing.is_marked_as_ours:
            marks[thing.subject] = mark
    attempts = set(Checkout.objects.filter(uuid__in=_uuids(marks, "checkout")).values_list("uuid", flat=True))
    paid = Debt.objects.filter(uuid__in=_uuids(marks, "debt"), postings__kind=Kind.TAKEN)
    debts = set(paid.values_list("uuid", flat=True))
    for thing in things:
        mark = marks.get(thing.subject, {})
        thing.was_paid_before = (
            uuid_or_none(mark.get("checkout", "")) in attempts or uuid_or_none(mark.get("debt", "")) in debts
        )


def _uuids(marks: dict[str, dict[str, str]], name: str) -> list[UUID]:
    found = (uuid_or_none(mark.get(name, "")) for mark in marks.values())
    return [uuid for uuid in found if uuid is not None]
