"""Money that goes back, in our words: refunds, disputes and warnings of fraud, and what Stripe can be asked of them."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from checkout.errors import GatewayError
from checkout.gateway.sending import until_answered

if TYPE_CHECKING:
    from stripe._v1_services import V1Services


@dataclass(frozen=True, slots=True)
class RefundAnswer:
    """A refund as it was at Stripe when it was read. `status` is one of ours: pending, succeeded, failed."""

    id: str
    status: str
    amount_minor: int
    currency: str
    payment_intent_id: str
    charge_id: str
    reason: str
    created_at: datetime.datetime
    metadata: Mapping[str, str]
    failure: str = ""


@dataclass(frozen=True, slots=True)
class DisputeAnswer:
    """A dispute or an inquiry as it was at Stripe when it was read. `status` is Stripe's word."""

    id: str
    status: str
    reason: str
    amount_minor: int
    currency: str
    payment_intent_id: str
    charge_id: str
    inquiry: bool
    due_by: datetime.datetime | None
    evidence_sent: bool
    created_at: datetime.datetime


@dataclass(frozen=True, slots=True)
class FraudWarning:
    """An early fraud warning (https://docs.stripe.com/radar/early-fraud-warnings): refund now, or expect a dispute."""

    id: str
    fraud_type: str
    actionable: bool
    payment_intent_id: str
    charge_id: str
    created_at: datetime.datetime

    @property
    def status(self) -> str:
        """In the manner of a dispute's."""
        return "actionable" if self.actionable else "not_actionable"


@dataclass(frozen=True, slots=True)
class ChargeEvidence:
    """What a bank wants to see of a payment: how the payer was authenticated, and the receipt."""

    id: str
    status: str
    amount_minor: int
    currency: str
    created_at: datetime.datetime
    receipt_url: str
    card: str
    network_transaction_id: str
    authentication: Mapping[str, Any]
    outcome: str


#: Ours for Stripe's (https://docs.stripe.com/api/refunds/object#refund_object-status). A canceled refund never reached
#: the payer.
_STATUS = {
    "pending": "pending",
    "requires_action": "pending",
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "failed",
}

_FAILURES = {
    "charge_for_pending_refund_disputed": "The payer disputed the payment while the refund was on its way.",
    "declined": "The payer's bank declined the refund.",
    "expired_or_canceled_card": "The card has expired or was cancelled, so the money came back to us.",
    "insufficient_funds": "There was not enough money in our balance at Stripe.",
    "lost_or_stolen_card": "The card was reported lost or stolen, so the money came back to us.",
    "merchant_request": "The refund was cancelled at our request.",
}


class RefundVerbs:
    """The part of `Gateway` that gives money back and reads what banks say."""

    _v1: V1Services
    _call: Callable[..., Any]
    _pages: Callable[..., Iterator[Any]]

    def create_refund(
        self, *, payment_intent_id: str, amount_minor: int, reason: str, metadata: dict[str, str], idempotency_key: str
    ) -> RefundAnswer:
        _require_id(payment_intent_id)
        params: dict[str, Any] = {
            "payment_intent": payment_intent_id,
            "amount": amount_minor,
            "metadata": metadata,
        }
        if reason:
            params["reason"] = reason
        options: Any = {"idempotency_key": idempotency_key, "max_network_retries": 0}
        return until_answered(
            lambda: refund(
                self._call(
                    "refunds.create",
                    lambda: self._v1.refunds.create(params, options),  # type: ignore[arg-type]
                )
            )
        )

    def retrieve_refund(self, refund_id: str) -> RefundAnswer:
        _require_id(refund_id)
        return refund(self._call("refunds.retrieve", lambda: self._v1.refunds.retrieve(refund_id)))

    def list_refunds(self, *, payment_intent_id: str) -> Iterator[RefundAnswer]:
        """Every refund of one payment, newest first."""
        _require_id(payment_intent_id)
        params = {"payment_intent": payment_intent_id, "limit": 100}
        yield from self._pages("refunds.list", "/v1/refunds", params, refund)

    def list_all_refunds(self, *, since: datetime.datetime) -> Iterator[RefundAnswer]:
        """Refunds of any payment, created from `since` on, newest first, a hundred per call."""
        yield from self._pages("refunds.list_all", "/v1/refunds", _since(since), refund)

    def list_disputes(self, *, since: datetime.datetime) -> Iterator[DisputeAnswer]:
        """Disputes and inquiries created from `since` on, newest first, a hundred per call."""
        yield from self._pages("disputes.list", "/v1/disputes", _since(since), dispute)

    def list_fraud_warnings(self, *, since: datetime.datetime) -> Iterator[FraudWarning]:
        """Early fraud warnings created from `since` on, newest first, a hundred per call."""
        params = _since(since)
        yield from self._pages("early_fraud_warnings.list", "/v1/radar/early_fraud_warnings", params, fraud_warning)

    def retrieve_dispute(self, dispute_id: str) -> DisputeAnswer:
        _require_id(dispute_id)
        return dispute(self._call("disputes.retrieve", lambda: self._v1.disputes.retrieve(dispute_id)))

    def send_evidence(self, dispute_id: str, evidence: Mapping[str, str], *, submit: bool) -> DisputeAnswer:
        """Keep texts for a dispute at Stripe; with `submit`, send all that is kept to the bank."""
        _require_id(dispute_id)
        params: dict[str, Any] = {"evidence": dict(evidence), "submit": submit}
        made = self._call("disputes.update", lambda: self._v1.disputes.update(dispute_id, params))  # type: ignore[arg-type]
        return dispute(made)

    def charge_evidence(self, payment_intent_id: str) -> ChargeEvidence | None:
        """The latest charge of a payment; None when there never was one."""
        _require_id(payment_intent_id)
        intent = self._call(
            "payment_intents.evidence",
            lambda: self._v1.payment_intents.retrieve(payment_intent_id, {"expand": ["latest_charge"]}),
        )
        charge = intent.to_dict().get("latest_charge")
        return charge_evidence(charge) if isinstance(charge, dict) else None


def refund(source: Any) -> RefundAnswer:
    plain = _plain(source)
    reason = plain.get("failure_reason") or ""
    return RefundAnswer(
        id=plain["id"],
        status=_STATUS.get(plain.get("status") or "", "pending"),
        amount_minor=plain["amount"],
        currency=plain["currency"].upper(),
        payment_intent_id=_id(plain.get("payment_intent")),
        charge_id=_id(plain.get("charge")),
        reason=plain.get("reason") or "",
        created_at=_moment(plain["created"]),
        metadata=plain.get("metadata") or {},
        failure=_FAILURES.get(reason, "The refund failed, and the money came back to us.") if reason else "",
    )


def dispute(source: Any) -> DisputeAnswer:
    plain = _plain(source)
    details = plain.get("evidence_details") or {}
    due_by = details.get("due_by")
    return DisputeAnswer(
        id=plain["id"],
        status=plain["status"],
        reason=plain.get("reason") or "",
        amount_minor=plain["amount"],
        currency=plain["currency"].upper(),
        payment_intent_id=_id(plain.get("payment_intent")),
        charge_id=_id(plain.get("charge")),
        inquiry=plain["status"].startswith("warning_"),
        due_by=_moment(due_by) if due_by else None,
        evidence_sent=bool(details.get("submission_count")),
        created_at=_moment(plain["created"]),
    )


def fraud_warning(source: Any) -> FraudWarning:
    plain = _plain(source)
    return FraudWarning(
        id=plain["id"],
        fraud_type=plain.get("fraud_type") or "",
        actionable=bool(plain.get("actionable")),
        payment_intent_id=_id(plain.get("payment_intent")),
        charge_id=_id(plain.get("charge")),
        created_at=_moment(plain["created"]),
    )


def charge_evidence(plain: dict[str, Any]) -> ChargeEvidence:
    card = (plain.get("payment_method_details") or {}).get("card") or {}
    outcome = plain.get("outcome") or {}
    return ChargeEvidence(
        id=plain["id"],
        status=plain.get("status") or "",
        amount_minor=plain.get("amount_captured") or 0,
        currency=plain["currency"].upper(),
        created_at=_moment(plain["created"]),
        receipt_url=plain.get("receipt_url") or "",
        card=" ".join(filter(None, [card.get("brand"), card.get("last4")])),
        network_transaction_id=card.get("network_transaction_id") or "",
        authentication=dict(card.get("three_d_secure") or {}),
        outcome=outcome.get("seller_message") or "",
    )


def _plain(source: Any) -> dict[str, Any]:
    plain: dict[str, Any] = source if isinstance(source, dict) else source.to_dict()
    return plain


def _id(value: Any) -> str:
    """The id of something that may be expanded, or absent."""
    return str(value.get("id") or "") if isinstance(value, dict) else (value or "")


def _moment(seconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC)


def _since(moment: datetime.datetime) -> dict[str, Any]:
    return {"created": {"gte": int(moment.timestamp())}, "limit": 100}


def _require_id(value: str) -> None:
    if not value:
        raise GatewayError("Stripe was to be asked about an empty id; that would answer with a list of everything.")
