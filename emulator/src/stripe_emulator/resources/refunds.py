"""Refunds (https://docs.stripe.com/api/refunds)."""

from __future__ import annotations

from stripe_emulator.core import money
from stripe_emulator.core.errors import invalid, missing, refused
from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import World
from stripe_emulator.wire.listing import page
from stripe_emulator.wire.params import Boolean, Choice, Email, Integer, Text, merged_metadata
from stripe_emulator.wire.routing import Call, route
from stripe_emulator.wire.specs import CREATED_PAGE, ID, METADATA

from . import balance, charges, disputes, payment_methods


def left(charge: JSON) -> int:
    """Minor units of a charge that can still be refunded."""
    return int(charge["amount_captured"] - charge["amount_refunded"])


@route(
    "POST",
    "/v1/refunds",
    {
        "amount": Integer(1),
        "charge": ID,
        "currency": Text(10),
        "customer": ID,
        "instructions_email": Email(800),
        "metadata": METADATA,
        "origin": Choice("customer_balance"),
        "payment_intent": ID,
        "reason": Choice("duplicate", "fraudulent", "requested_by_customer"),
        "refund_application_fee": Boolean(),
        "reverse_transfer": Boolean(),
    },
)
def create(world: World, call: Call) -> JSON:
    params = call.params
    charge = _charge(world, params)
    amount = params.get("amount", left(charge))
    check_refundable(world, charge, amount)
    return make(world, charge, amount, params.get("reason"), merged_metadata({}, params.get("metadata") or {}))


def _charge(world: World, params: JSON) -> JSON:
    if "payment_intent" in params:
        intent = world.find("payment_intent", params["payment_intent"], "payment_intent")
        found = world.tables["charge"].get(intent["latest_charge"] or "")
        if found is None or not found["paid"]:
            raise refused(f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.")
        if "charge" in params and params["charge"] != found["id"]:
            raise invalid("The charge does not belong to the PaymentIntent you supplied.", "charge")
        return found
    if "charge" in params:
        row = world.tables["charge"].get(params["charge"])
        if row is None:
            # Recorded at Stripe: 404 although the id is a parameter.
            raise missing("charge", params["charge"][:200], "id", in_path=True)
        return row
    raise invalid("One of the following params should be provided for this request: payment_intent or charge.")


def check_refundable(world: World, charge: JSON, amount: int) -> None:
    currency = charge["currency"]
    if not charge["paid"]:
        raise refused(f"Charge {charge['id']} has not been paid, so there is nothing to refund.")
    if not charge["captured"]:
        raise refused(
            f"Charge {charge['id']} has not been captured, so it cannot be refunded. Cancel the PaymentIntent "
            f"{charge['payment_intent']} instead."
        )
    if charge["disputed"]:
        known = world.tables["dispute"].newest_first({"charge": charge["id"]})
        if not all(dispute["is_charge_refundable"] for dispute in known):
            raise refused(f"Charge {charge['id']} has been charged back; cannot issue a refund.", "charge_disputed")
    if charge["refunded"]:
        raise refused(f"Charge {charge['id']} has already been refunded.", "charge_already_refunded")
    if amount > left(charge):
        raise refused(
            f"Refund amount ({money.shown(amount, currency)}) is greater than unrefunded amount on charge "
            f"({money.shown(left(charge), currency)})",
            param="amount",
        )


def _described(what: str, charge: JSON) -> str:
    """The text of a movement in the balance: it names the payment that it is about."""
    return f"{what} ({charge['description']})" if charge["description"] else what


def make(world: World, charge: JSON, amount: int, reason: str | None, metadata: dict[str, str]) -> JSON:
    """Give `amount` minor units back; with some test cards it is pending at first, or fails later."""
    method = world.get("payment_method", charge["payment_method"])
    behaviour = payment_methods.card_of(world, method).refund
    charges.settle(world, charge)
    refund_id = world.ids.new("re")
    text = _described("REFUND FOR CHARGE", charge)
    # Money that is still on its way goes back from there; what has arrived goes at once.
    arrives = world.get("balance_transaction", charge["balance_transaction"])["available_on"]
    transaction = balance.post(
        world,
        "refund",
        -amount,
        charge["currency"],
        refund_id,
        description=text,
        available_on=max(arrives, balance.midnight(world.now())),
    )
    row: JSON = {
        "id": refund_id,
        "object": "refund",
        "amount": amount,
        "balance_transaction": transaction["id"],
        "charge": charge["id"],
        "created": world.timestamp(),
        "currency": charge["currency"],
        "customer": charge["customer"],
        "customer_account": None,
        "destination_details": {
            "card": {"reference_status": "pending", "reference_type": "acquirer_reference_number", "type": "refund"},
            "type": "card",
        },
        "metadata": metadata,
        "payment_intent": charge["payment_intent"],
        "payment_method": method["id"],
        "reason": reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }
    if behaviour == "pending":
        row |= {"status": "pending", "pending_reason": "processing"}
    world.add(row)
    world.emit("refund.created", row)
    refunded = charge["amount_refunded"] + amount
    previous = world.change(charge, amount_refunded=refunded, refunded=refunded == charge["amount_captured"])
    world.emit("charge.refunded", charge, previous)
    if charge["refunded"]:
        disputes.too_late_to_act(world, charge)
    timings = world.timings
    if behaviour == "":
        world.later(timings.refund_reference, "refund_reference", refund=refund_id)
    else:
        job = "refund_succeeds" if behaviour == "pending" else "refund_fails"
        world.later(timings.refund_pending, job, refund=refund_id)
    return row


def _announce(world: World, refund: JSON, previous: JSON) -> None:
    world.emit("refund.updated", refund, previous)
    world.emit("charge.refund.updated", refund, previous)


def reference_arrives(world: World, about: JSON) -> None:
    """The bank's reference, by which the payer's bank can find the money."""
    refund = world.get("refund", about["refund"])
    number = str(int.from_bytes(refund["id"].encode()[-8:], "big"))[:12].rjust(12, "0")
    details = {
        "card": {
            "reference": number,
            "reference_status": "available",
            "reference_type": "acquirer_reference_number",
            "type": "refund",
        },
        "type": "card",
    }
    _announce(world, refund, world.change(refund, destination_details=details))


def succeeds(world: World, about: JSON) -> None:
    refund = world.get("refund", about["refund"])
    previous = world.change(refund, status="succeeded")
    refund.pop("pending_reason", None)
    _announce(world, refund, previous)


def fails(world: World, about: JSON) -> None:
    """Days later the bank sends the money back: it is in our balance again, and the payer has none of it."""
    refund = world.get("refund", about["refund"])
    returned = balance.post(
        world,
        "refund_failure",
        refund["amount"],
        refund["currency"],
        refund["id"],
        description=_described("REFUND FAILURE", world.get("charge", refund["charge"])),
    )
    previous = world.change(
        refund,
        status="failed",
        failure_reason="expired_or_canceled_card",
        failure_balance_transaction=returned["id"],
    )
    charge = world.get("charge", refund["charge"])
    world.change(charge, amount_refunded=charge["amount_refunded"] - refund["amount"], refunded=False)
    world.emit("refund.failed", refund, previous)
    _announce(world, refund, previous)


@route("GET", "/v1/refunds/*")
def retrieve(world: World, call: Call) -> JSON:
    return world.find("refund", call.ids[0], "id", in_path=True)


@route("POST", "/v1/refunds/*", {"metadata": METADATA})
def update(world: World, call: Call) -> JSON:
    refund = world.find("refund", call.ids[0], "id", in_path=True)
    if "metadata" in call.params:
        previous = world.change(refund, metadata=merged_metadata(refund["metadata"], call.params["metadata"]))
        if previous:
            _announce(world, refund, previous)
    return refund


@route("POST", "/v1/refunds/*/cancel")
def cancel(world: World, call: Call) -> JSON:
    refund = world.find("refund", call.ids[0], "id", in_path=True)
    raise refused(f"Refund {refund['id']} cannot be canceled: only refunds that require action can be.")


@route("GET", "/v1/refunds", {**CREATED_PAGE, "charge": ID, "payment_intent": ID})
def index(world: World, call: Call) -> JSON:
    names = ("charge", "payment_intent")
    return page(world, call, "refund", "/v1/refunds", {name: call.params.get(name) for name in names})
