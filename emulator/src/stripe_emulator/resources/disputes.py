"""Disputes and early fraud warnings (https://docs.stripe.com/api/disputes, /radar/early_fraud_warnings)."""

from __future__ import annotations

from stripe_emulator.core.errors import ApiError, refused
from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import DAY, World
from stripe_emulator.wire.listing import page
from stripe_emulator.wire.params import AnyHash, Boolean, Choice, Hash, Kind, Text, merged_metadata
from stripe_emulator.wire.routing import Call, route
from stripe_emulator.wire.specs import CREATED_PAGE, ID, METADATA

from . import balance

FEE = {"gbp": 2000, "usd": 1500, "eur": 2000}
EVIDENCE_DAYS = 9
_TEXTS = (
    "access_activity_log", "billing_address", "cancellation_policy_disclosure", "cancellation_rebuttal",
    "customer_email_address", "customer_name", "customer_purchase_ip", "duplicate_charge_explanation",
    "duplicate_charge_id", "product_description", "refund_policy_disclosure", "refund_refusal_explanation",
    "service_date", "shipping_address", "shipping_carrier", "shipping_date", "shipping_tracking_number",
    "uncategorized_text",
)  # fmt: skip
_FILES = (
    "cancellation_policy", "customer_communication", "customer_signature", "duplicate_charge_documentation",
    "receipt", "refund_policy", "service_documentation", "shipping_documentation", "uncategorized_file",
)  # fmt: skip
_NETWORK_REASONS = {"fraudulent": "10.4", "product_not_received": "13.1"}
_OPEN = ("needs_response", "warning_needs_response")
_INQUIRY = ("warning_needs_response", "warning_under_review")
_OVER = ("won", "lost", "warning_closed")
# What `uncategorized_text` makes the bank decide (https://docs.stripe.com/testing#disputes).
_VERDICTS = {"winning_evidence": "won", "losing_evidence": "lost"}
_INQUIRY_VERDICTS = {
    "winning_evidence": "warning_closed",
    "losing_evidence": "warning_closed",
    "escalate_inquiry_evidence": "needs_response",
}


def _no_evidence() -> JSON:
    evidence: JSON = dict.fromkeys(sorted([*_TEXTS, *_FILES]))
    evidence["enhanced_evidence"] = {}
    return evidence


def open_dispute(world: World, charge: JSON, reason: str, *, inquiry: bool = False) -> JSON:
    """The payer's bank takes the money back; with an inquiry it only asks."""
    dispute_id = world.ids.new("du")
    brand = charge["payment_method_details"]["card"]["brand"]
    row: JSON = {
        "id": dispute_id,
        "object": "dispute",
        "amount": charge["amount_captured"] - charge["amount_refunded"],
        "balance_transactions": [],
        "charge": charge["id"],
        "created": world.timestamp(),
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": _no_evidence(),
        "evidence_details": {
            "due_by": int(world.now()) + EVIDENCE_DAYS * DAY,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        "intended_submission_method": "manual",
        "is_charge_refundable": inquiry,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "card": {
                "brand": brand,
                "case_type": "inquiry" if inquiry else "chargeback",
                "network": brand,
                "network_reason_code": _NETWORK_REASONS.get(reason, "10.4"),
            },
            "type": "card",
        },
        "reason": reason,
        "status": "warning_needs_response" if inquiry else "needs_response",
    }
    world.add(row)
    world.change(charge, disputed=True)
    if not inquiry:
        _withdraw(world, row, announce=False)
    world.emit("charge.dispute.created", row)
    if not inquiry:
        world.emit("charge.dispute.funds_withdrawn", row)
    too_late_to_act(world, charge)
    return row


def _withdraw(world: World, dispute: JSON, *, announce: bool = True) -> None:
    """Take back what the payer has not been given back: of a refunded payment no further funds are withdrawn."""
    charge = world.get("charge", dispute["charge"])
    amount = min(dispute["amount"], charge["amount_captured"] - charge["amount_refunded"])
    if not amount:
        return
    fee = FEE.get(dispute["currency"], 0)
    moved = balance.post(
        world, "adjustment", -amount, dispute["currency"], dispute["id"], category="dispute", fee=fee,
        description=f"Chargeback withdrawal for {dispute['charge']}", at_once=True,
    )  # fmt: skip
    world.change(dispute, balance_transactions=[*dispute["balance_transactions"], dict(moved)])
    world.hide(dispute["id"])["withdrawn"] = amount
    if announce:
        world.emit("charge.dispute.funds_withdrawn", dispute)


def warn_job(world: World, about: JSON) -> None:
    """The bank reports fraud before the payer disputes: refunding now avoids the dispute."""
    charge = world.get("charge", about["charge"])
    row: JSON = {
        "id": world.ids.new("issfr"),
        "object": "radar.early_fraud_warning",
        "actionable": not (charge["refunded"] or charge["disputed"]),
        "charge": charge["id"],
        "created": world.timestamp(),
        "fraud_type": "unauthorized_use_of_card",
        "livemode": False,
        "payment_intent": charge["payment_intent"],
    }
    world.add(row)
    world.emit("radar.early_fraud_warning.created", row)


def too_late_to_act(world: World, charge: JSON) -> None:
    """The money is back, or it is disputed already: a warning about this charge helps no more."""
    for warning in world.tables["radar.early_fraud_warning"].newest_first({"charge": charge["id"]}):
        previous = world.change(warning, actionable=False)
        if previous:
            world.emit("radar.early_fraud_warning.updated", warning, previous)


def verdict_job(world: World, about: JSON) -> None:
    dispute = world.get("dispute", about["dispute"])
    if about["status"] in possible_verdicts(dispute):  # or the bank was quicker to decide something else
        decide(world, dispute, about["status"])


def possible_verdicts(dispute: JSON) -> tuple[str, ...]:
    """The verdicts that a dispute can meet with as it stands."""
    if dispute["status"] in _OVER:
        return ()
    return ("warning_closed", "needs_response") if dispute["status"] in _INQUIRY else ("won", "lost")


def decide(world: World, dispute: JSON, status: str) -> None:
    """The bank's verdict: "won" or "lost"; of an inquiry "warning_closed" or "needs_response" (it is a chargeback now).

    A win brings the money back, not the fee. Raises ValueError for a verdict that the dispute cannot meet with.
    """
    possible = possible_verdicts(dispute)
    if not possible:
        raise ValueError(f"{dispute['id']} is over: {dispute['status']}.")
    if status not in possible:
        raise ValueError(f"A dispute that is {dispute['status']} can become {' or '.join(possible)}, not {status}.")
    if status == "needs_response":
        _escalate(world, dispute)
    else:
        _close(world, dispute, status)


def _escalate(world: World, dispute: JSON) -> None:
    details = dispute["payment_method_details"]
    previous = world.change(
        dispute,
        status="needs_response",
        is_charge_refundable=False,
        payment_method_details={**details, "card": {**details["card"], "case_type": "chargeback"}},
    )
    world.emit("charge.dispute.updated", dispute, previous)
    _withdraw(world, dispute)


def _close(world: World, dispute: JSON, status: str) -> None:
    # The money of a dispute that was won is ours again, so it can be given back.
    refundable = status == "won" or (status == "warning_closed" and dispute["is_charge_refundable"])
    previous = world.change(dispute, status=status, is_charge_refundable=refundable)
    # In the currency of the charge: its movements may be settled in another.
    withdrawn = world.hidden.get(dispute["id"], {}).get("withdrawn", 0)
    if status == "won" and withdrawn:
        world.hide(dispute["id"])["withdrawn"] = 0
        moved = balance.post(
            world, "adjustment", withdrawn, dispute["currency"], dispute["id"], category="dispute_reversal",
            description=f"Chargeback reversal for {dispute['charge']}", at_once=True,
        )  # fmt: skip
        world.change(dispute, balance_transactions=[*dispute["balance_transactions"], dict(moved)])
        world.emit("charge.dispute.funds_reinstated", dispute)
    world.emit("charge.dispute.closed", dispute, previous)


@route("GET", "/v1/disputes/*")
def retrieve(world: World, call: Call) -> JSON:
    return world.find("dispute", call.ids[0], "id", in_path=True)


@route("GET", "/v1/radar/early_fraud_warnings/*")
def retrieve_warning(world: World, call: Call) -> JSON:
    return world.find("radar.early_fraud_warning", call.ids[0], "early_fraud_warning", in_path=True)


@route("GET", "/v1/radar/early_fraud_warnings", {**CREATED_PAGE, "charge": ID, "payment_intent": ID})
def warnings(world: World, call: Call) -> JSON:
    filters = {name: call.params.get(name) for name in ("charge", "payment_intent")}
    return page(world, call, "radar.early_fraud_warning", "/v1/radar/early_fraud_warnings", filters)


_EVIDENCE: dict[str, Kind] = {
    **{name: Text(20_000, unset=True) for name in _TEXTS},
    **{name: Text(255, unset=True) for name in _FILES},
    "enhanced_evidence": AnyHash(),
}


_UPDATE: dict[str, Kind] = {
    "evidence": Hash(_EVIDENCE),
    "intended_submission_method": Choice("manual", "prefer_manual", "prefer_smart_disputes", "smart_disputes"),
    "metadata": METADATA,
    "submit": Boolean(),
}


@route("POST", "/v1/disputes/*", _UPDATE)
def update(world: World, call: Call) -> JSON:
    return _update(world, world.find("dispute", call.ids[0], "id", in_path=True), call.params)


def _update(world: World, dispute: JSON, params: JSON) -> JSON:
    changes: JSON = {}
    if "intended_submission_method" in params:
        changes["intended_submission_method"] = params["intended_submission_method"]
    if "metadata" in params:
        changes["metadata"] = merged_metadata(dispute["metadata"], params["metadata"])
    submit = params.get("submit", True)
    verdict = None
    if "evidence" in params:
        if dispute["status"] not in _OPEN:
            raise refused("This dispute is already closed, or its evidence was already submitted.")
        sent = {name: value for name, value in params["evidence"].items() if name != "enhanced_evidence"}
        for name in _FILES:
            if sent.get(name):
                world.find("file", sent[name], f"evidence[{name}]")
        evidence = {**dispute["evidence"], **sent}
        details = {**dispute["evidence_details"], "has_evidence": any(evidence[name] for name in (*_TEXTS, *_FILES))}
        changes["evidence"] = evidence
        if submit:
            details |= {"submission_count": details["submission_count"] + 1, "submission_method": "manual"}
            inquiry = dispute["status"] == "warning_needs_response"
            changes["status"] = "warning_under_review" if inquiry else "under_review"
            verdicts = _INQUIRY_VERDICTS if inquiry else _VERDICTS
            verdict = verdicts.get(evidence["uncategorized_text"] or "")
        changes["evidence_details"] = details
    previous = world.change(dispute, **changes)
    if previous:
        world.emit("charge.dispute.updated", dispute, previous)
    if verdict is not None:
        world.later(world.timings.verdict, "verdict", dispute=dispute["id"], status=verdict)
    return dispute


@route("POST", "/v1/disputes/*/close")
def close(world: World, call: Call) -> JSON:
    return _give_up(world, world.find("dispute", call.ids[0], "id", in_path=True))


def _give_up(world: World, dispute: JSON) -> JSON:
    """It is lost, without waiting for the bank."""
    if dispute["status"] not in _OPEN:
        raise refused("This dispute is already closed.")
    if dispute["status"] == "warning_needs_response":
        _withdraw(world, dispute)
    _close(world, dispute, "lost")
    return dispute


@route("GET", "/v1/disputes", {**CREATED_PAGE, "charge": ID, "payment_intent": ID})
def index(world: World, call: Call) -> JSON:
    names = ("charge", "payment_intent")
    return page(world, call, "dispute", "/v1/disputes", {name: call.params.get(name) for name in names})


# -- by the charge: older than /v1/disputes, and still there ---------------------------------------------------
def of_charge(world: World, charge_id: str) -> JSON | None:
    """The newest dispute of a charge, if there is one."""
    return next(world.tables["dispute"].newest_first({"charge": charge_id}), None)


def _of_charge(world: World, call: Call) -> JSON:
    charge = world.find("charge", call.ids[0], "charge", in_path=True)
    dispute = of_charge(world, charge["id"])
    if dispute is None:
        raise ApiError(404, f"No dispute for charge: {charge['id']}", code="resource_missing", param="charge")
    return dispute


@route("GET", "/v1/charges/*/dispute")
def retrieve_of_charge(world: World, call: Call) -> JSON:
    return _of_charge(world, call)


@route("POST", "/v1/charges/*/dispute", _UPDATE)
def update_of_charge(world: World, call: Call) -> JSON:
    return _update(world, _of_charge(world, call), call.params)


@route("POST", "/v1/charges/*/dispute/close")
def close_of_charge(world: World, call: Call) -> JSON:
    return _give_up(world, _of_charge(world, call))
