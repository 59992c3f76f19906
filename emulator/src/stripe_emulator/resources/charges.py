"""Charges (https://docs.stripe.com/api/charges): made by PaymentIntents only; settled in the background."""

from __future__ import annotations

from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import World
from stripe_emulator.wire.listing import page
from stripe_emulator.wire.params import Choice, Email, Hash, Kind, Text, merged_metadata
from stripe_emulator.wire.routing import Call, route
from stripe_emulator.wire.specs import CREATED_PAGE, ID, METADATA, SHIPPING

from . import balance
from .cards import Card
from .declines import Decline
from .intents import three_d_secure

_WHY_BLOCKED = {
    "highest_risk_level": "Stripe blocked this payment as too risky.",
    "previously_declined_do_not_retry": "The bank directed Stripe to block further attempts to charge this card.",
}
RECEIPT_DAYS = 30
"""How long the address of a receipt leads to it."""
_RISK_SCORES = {"normal": 20, "elevated": 68, "highest": 92}


def make(
    world: World,
    intent: JSON,
    method: JSON,
    card: Card,
    *,
    decline: Decline | None,
    captured: bool,
    flow: str | None,
) -> JSON:
    """A charge for the whole amount of the intent: paid, held (not `captured`), or failed with `decline`."""
    ok = decline is None
    amount = intent["amount"]
    charge_id = world.ids.new("ch")
    row: JSON = {
        "id": charge_id,
        "object": "charge",
        "amount": amount,
        "amount_captured": amount if ok and captured else 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": method["billing_details"],
        "calculated_statement_descriptor": _descriptor(intent),
        "captured": ok and captured,
        "created": world.timestamp(),
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": decline.code if decline else None,
        "failure_message": decline.message if decline else None,
        "fraud_details": {},
        "livemode": False,
        "metadata": dict(intent["metadata"]),
        "on_behalf_of": None,
        "outcome": _outcome(card, decline),
        "paid": ok,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": _details(world, intent, method, amount, flow, ok=ok, captured=captured),
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": f"{world.public_url}/emulator/receipts/{world.ids.of(charge_id, 40)}" if ok else None,
        "refunded": False,
        "review": None,
        "shipping": intent["shipping"],
        "source": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": intent["statement_descriptor_suffix"],
        "status": "succeeded" if ok else "failed",
        "transfer_data": None,
        "transfer_group": intent["transfer_group"],
    }
    world.add(row)
    world.emit("charge.succeeded" if ok else "charge.failed", row)
    return row


def _descriptor(intent: JSON) -> str:
    suffix = intent["statement_descriptor_suffix"]
    return f"EMULATOR* {suffix}"[:22] if suffix else "EMULATOR"


def _outcome(card: Card, decline: Decline | None) -> JSON:
    found: JSON = {
        "advice_code": decline.advice_code if decline else None,
        "network_advice_code": decline.network_advice_code if decline else None,
        "network_decline_code": decline.network_decline_code if decline else None,
    }
    risk = {"risk_level": card.risk, "risk_score": _RISK_SCORES[card.risk]}
    if decline is None:
        found |= {"network_status": "approved_by_network", "reason": None, **risk}
        if card.risk == "elevated":
            found["reason"] = "elevated_risk_level"
        return {**found, "seller_message": "Payment complete.", "type": "authorized"}
    if decline.blocked:
        return {
            **found,
            "network_status": "not_sent_to_network",
            "reason": decline.blocked,
            **risk,
            "seller_message": _WHY_BLOCKED[decline.blocked],
            "type": "blocked",
        }
    return {
        **found,
        "network_status": "declined_by_network",
        "reason": decline.decline_code,
        **risk,
        "seller_message": f"The bank returned the decline code `{decline.decline_code}`.",
        "type": "issuer_declined",
    }


def _details(
    world: World, intent: JSON, method: JSON, amount: int, flow: str | None, *, ok: bool, captured: bool
) -> JSON:
    card = method["card"]
    options = (intent["payment_method_options"] or {}).get("card", {})
    secure = three_d_secure(world, flow)
    details: JSON = {
        "amount_authorized": amount if ok else None,
        "authorization_code": world.ids.text("authorization", 6).upper() if ok else None,
        "brand": card["brand"],
        "checks": card["checks"],
        "country": card["country"],
        "electronic_commerce_indicator": "05" if flow else None,
        "exp_month": card["exp_month"],
        "exp_year": card["exp_year"],
        "extended_authorization": {"status": "disabled"},
        "fingerprint": card["fingerprint"],
        "funding": card["funding"],
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "last4": card["last4"],
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": card["brand"],
        "network_token": {"used": False},
        "network_transaction_id": world.ids.text("network_transaction", 15) if ok else None,
        "overcapture": {"maximum_amount_capturable": amount, "status": "unavailable"},
        "regulated_status": card["regulated_status"],
        "three_d_secure": None if secure is None else {**secure, "exemption_indicator": None},
        "transaction_link_id": None,
        "wallet": card["wallet"],
    }
    for name in ("setup_credential_usage", "stored_credential_usage"):
        if name in options:
            details[name] = options[name]
    if ok and not captured:
        details["capture_before"] = int(world.now() + world.timings.hold)
    return {"card": details, "type": "card"}


def settle(world: World, charge: JSON, *, at_once: bool = False) -> None:
    """The money arrives in the balance: a little after the charge, announced by `charge.updated`."""
    if charge["balance_transaction"] is not None or not charge["captured"]:
        return
    transaction = balance.post_charge(world, charge, at_once=at_once)
    previous = world.change(charge, balance_transaction=transaction["id"])
    world.emit("charge.updated", charge, previous)


def settle_job(world: World, about: JSON) -> None:
    settle(world, world.get("charge", about["charge"]), at_once=about["at_once"])


@route("GET", "/v1/charges/*")
def retrieve(world: World, call: Call) -> JSON:
    return world.find("charge", call.ids[0], "id", in_path=True)


_UPDATE: dict[str, Kind] = {
    "customer": ID,
    "description": Text(unset=True),
    "fraud_details": Hash({"user_report": Choice("fraudulent", "safe", unset=True)}),
    "metadata": METADATA,
    "receipt_email": Email(800, unset=True),
    "shipping": SHIPPING,
    "transfer_group": Text(),
}


@route("POST", "/v1/charges/*", _UPDATE)
def update(world: World, call: Call) -> JSON:
    charge = world.find("charge", call.ids[0], "id", in_path=True)
    changes = {name: call.params[name] for name in _UPDATE if name in call.params and name != "metadata"}
    if "customer" in changes:
        world.find("customer", changes["customer"], "customer")
    if "metadata" in call.params:
        changes["metadata"] = merged_metadata(charge["metadata"], call.params["metadata"])
    previous = world.change(charge, **changes)
    if previous:
        world.emit("charge.updated", charge, previous)
    return charge


@route("GET", "/v1/charges", {**CREATED_PAGE, "customer": ID, "payment_intent": ID, "transfer_group": Text()})
def index(world: World, call: Call) -> JSON:
    names = ("customer", "payment_intent", "transfer_group")
    return page(world, call, "charge", "/v1/charges", {name: call.params.get(name) for name in names})
