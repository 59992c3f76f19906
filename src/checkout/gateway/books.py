"""What moved in the balance and what went to the bank, in our words."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from checkout.errors import GatewayError

if TYPE_CHECKING:
    from stripe._v1_services import V1Services

PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class BalanceRow:
    """A movement in the balance. Minor units of `currency`, which it is settled in; `paid_minor` is the same amount in
    the currency that the payer paid in, with the same sign."""

    id: str
    type: str
    category: str
    description: str
    amount_minor: int
    fee_minor: int
    net_minor: int
    currency: str
    paid_minor: int
    paid_currency: str
    exchange_rate: Decimal | None
    created_at: datetime.datetime
    available_on: datetime.date
    source_id: str
    payment_intent_id: str
    metadata: Mapping[str, str]
    fees: tuple[Mapping[str, Any], ...] = field(default=())


@dataclass(frozen=True, slots=True)
class PayoutAnswer:
    """A payout as it was at Stripe when it was read. `status` is Stripe's word."""

    id: str
    status: str
    amount_minor: int
    currency: str
    automatic: bool
    method: str
    arrival_on: datetime.date
    created_at: datetime.datetime
    description: str
    bank_text: str
    trace_id: str
    trace_status: str
    failure_code: str
    failure: str
    #: Its balance transactions can be listed in full. Never for one made by hand.
    reconciled: bool
    livemode: bool


class BooksVerbs:
    """The part of `Gateway` that reads the account's books."""

    _v1: V1Services
    _call: Callable[..., Any]
    _pages: Callable[..., Iterator[Any]]

    def list_balance_transactions(self, *, since: datetime.datetime, until: datetime.datetime) -> Iterator[BalanceRow]:
        """Movements created from `since` to `until`, newest first, a hundred per call, each with what it came of."""
        created = {"gte": int(since.timestamp()), "lt": int(until.timestamp()) + 1}
        params = {"created": created, "limit": PAGE, "expand": ["data.source"]}
        yield from self._pages("balance_transactions.list", "/v1/balance_transactions", params, balance_row)

    def list_payout_transactions(self, payout_id: str, *, with_source: bool = False) -> Iterator[BalanceRow]:
        """What is in an automatic payout, its own row too, a hundred per call; all of it once it is `reconciled`. What
        each came of is left out unless it is asked for: most are known, and it is most of the answer."""
        _require_id(payout_id)
        params: dict[str, Any] = {"payout": payout_id, "limit": PAGE}
        if with_source:
            params["expand"] = ["data.source"]
        yield from self._pages("balance_transactions.list", "/v1/balance_transactions", params, balance_row)

    def list_payouts(self, *, since: datetime.datetime) -> Iterator[PayoutAnswer]:
        """Payouts created from `since` on, newest first, a hundred per call."""
        params = {"created": {"gte": int(since.timestamp())}, "limit": PAGE}
        yield from self._pages("payouts.list", "/v1/payouts", params, payout)

    def retrieve_payout(self, payout_id: str) -> PayoutAnswer:
        _require_id(payout_id)
        return payout(self._call("payouts.retrieve", lambda: self._v1.payouts.retrieve(payout_id)))


def balance_row(source: Any) -> BalanceRow:
    plain = _plain(source)
    came_of = plain.get("source")
    about: dict[str, Any] = came_of if isinstance(came_of, dict) else {}
    currency, rate = plain["currency"].upper(), plain.get("exchange_rate")
    paid, paid_currency = plain["amount"], currency
    if rate is not None and about.get("amount") is not None:
        paid = abs(about["amount"]) * (1 if plain["amount"] >= 0 else -1)
        paid_currency = about["currency"].upper()
    return BalanceRow(
        id=plain["id"],
        type=plain["type"],
        category=plain.get("reporting_category") or plain["type"],
        description=plain.get("description") or "",
        amount_minor=plain["amount"],
        fee_minor=plain["fee"],
        net_minor=plain["net"],
        currency=currency,
        paid_minor=paid,
        paid_currency=paid_currency,
        exchange_rate=None if rate is None else Decimal(str(rate)),
        created_at=_moment(plain["created"]),
        available_on=_moment(plain["available_on"]).date(),
        source_id=(about.get("id") or "") if about else (came_of or ""),
        payment_intent_id=_id(about.get("payment_intent")),
        metadata=about.get("metadata") or {},
        fees=tuple(
            {name: part.get(name) for name in ("type", "description", "amount", "currency")}
            for part in plain.get("fee_details") or ()
        ),
    )


def payout(source: Any) -> PayoutAnswer:
    plain = _plain(source)
    trace = plain.get("trace_id") or {}
    return PayoutAnswer(
        id=plain["id"],
        status=plain["status"],
        amount_minor=plain["amount"],
        currency=plain["currency"].upper(),
        automatic=bool(plain["automatic"]),
        method=plain.get("method") or "standard",
        arrival_on=_moment(plain["arrival_date"]).date(),
        created_at=_moment(plain["created"]),
        description=plain.get("description") or "",
        bank_text=plain.get("statement_descriptor") or "",
        trace_id=trace.get("value") or "",
        trace_status=trace.get("status") or "",
        failure_code=plain.get("failure_code") or "",
        failure=plain.get("failure_message") or "",
        reconciled=plain.get("reconciliation_status") == "completed",
        livemode=bool(plain.get("livemode")),
    )


def _plain(source: Any) -> dict[str, Any]:
    plain: dict[str, Any] = source if isinstance(source, dict) else source.to_dict()
    return plain


def _id(value: Any) -> str:
    """The id of something that may be expanded, or absent."""
    return str(value.get("id") or "") if isinstance(value, dict) else (value or "")


def _moment(seconds: int) -> datetime.datetime:
    """Stripe's days begin at midnight UTC."""
    return datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC)


def _require_id(value: str) -> None:
    if not value:
        raise GatewayError("Stripe was to be asked about an empty id; that would answer with a list of everything.")
