"""PaymentIntents (https://docs.stripe.com/api/payment_intents)."""

from __future__ import annotations

from stripe_emulator.core import money
from stripe_emulator.core.errors import invalid, missing
from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import World
from stripe_emulator.wire.listing import page
from stripe_emulator.wire.params import (
    AnyHash,
    Boolean,
    BooleanOr,
    Choice,
    Email,
    Hash,
    Integer,
    Kind,
    Text,
    merged_metadata,
)
from stripe_emulator.wire.routing import Call, route
from stripe_emulator.wire.specs import (
    AMOUNT_DETAILS,
    CONNECT,
    CREATED_PAGE,
    ID,
    MANDATE_DATA,
    METADATA,
    METHOD_DATA,
    PAYMENT_OPTIONS,
    RADAR,
    SECRET,
    SHIPPING,
)

from . import customers, paying, tokens
from .intents import (
    METHOD_SELECTION,
    NEW_METHOD_SELECTION,
    card_options,
    check_owner,
    check_secret,
    chosen_method,
    is_confirmed,
    method_selection,
    on_error,
    reselect,
    unexpected_state,
)

_CAPTURE_METHOD = Choice("automatic", "automatic_async", "manual")
_DETAILS = Hash({"customer_reference": Text(25, unset=True), "order_reference": Text(25, unset=True)}, unset=True)
_WRITABLE: dict[str, Kind] = {
    "amount_details": AMOUNT_DETAILS,
    "application_fee_amount": CONNECT,
    "capture_method": _CAPTURE_METHOD,
    "customer": ID,
    "customer_account": Text(),
    "description": Text(1000, unset=True),
    "hooks": AnyHash(),
    "metadata": METADATA,
    "payment_details": _DETAILS,
    "payment_method": ID,
    "payment_method_data": METHOD_DATA,
    "payment_method_options": PAYMENT_OPTIONS,
    "receipt_email": Email(800, unset=True),
    "setup_future_usage": Choice("off_session", "on_session", unset=True),
    "shipping": SHIPPING,
    "statement_descriptor": Text(22, unset=True),
    "statement_descriptor_suffix": Text(22, unset=True),
    "transfer_data": CONNECT,
    "transfer_group": Text(),
}
_CONFIRMING: dict[str, Kind] = {
    "confirmation_token": ID,
    "error_on_requires_action": Boolean(),
    "mandate": ID,
    "mandate_data": MANDATE_DATA,
    "off_session": BooleanOr("one_off", "recurring"),
    "radar_options": RADAR,
    "return_url": Text(),
    "use_stripe_sdk": Boolean(),
}
_ONLY_WITH_CONFIRM = (
    "confirmation_token", "error_on_requires_action", "mandate", "mandate_data", "off_session", "return_url",
)  # fmt: skip
_AMOUNT_STATUSES = ("requires_payment_method", "requires_confirmation", "requires_action")
# What may still be written when the payment is over (seen at Stripe: description and metadata).
_ALWAYS_WRITABLE = frozenset(("description", "metadata", "receipt_email", "transfer_group", "expand"))


def _find(world: World, call: Call) -> JSON:
    intent = world.tables["payment_intent"].get(call.ids[0])
    if intent is None:
        raise missing("payment_intent", call.ids[0][:200], "intent", in_path=True)
    check_secret(intent, call)
    return intent


def _check_statement_descriptor(params: JSON) -> None:
    if params.get("statement_descriptor"):
        raise invalid(
            "For card charges, you must use `statement_descriptor_suffix` instead of `statement_descriptor`.",
            "statement_descriptor",
        )


def _check_credential_usage(options: JSON, future: str | None) -> None:
    """Card-on-file indicators (2026-10-28.endive): one for saving a card, the other for charging a saved one."""
    future = options.get("setup_future_usage") or future
    if "stored_credential_usage" in options and future not in (None, "none"):
        raise invalid(
            "You cannot use stored_credential_usage together with setup_future_usage.",
            "payment_method_options[card][stored_credential_usage]",
        )
    if "setup_credential_usage" in options and future in (None, "none"):
        raise invalid(
            "setup_credential_usage can only be used together with setup_future_usage.",
            "payment_method_options[card][setup_credential_usage]",
        )


@route(
    "POST",
    "/v1/payment_intents",
    {
        **_WRITABLE,
        **_CONFIRMING,
        **NEW_METHOD_SELECTION,
        "amount": Integer(1),
        "confirm": Boolean(),
        "confirmation_method": Choice("automatic", "manual"),
        "currency": Text(10),
        "on_behalf_of": CONNECT,
    },
    ("amount", "currency"),
)
def create(world: World, call: Call) -> JSON:
    confirm = is_confirmed(call.params, _ONLY_WITH_CONFIRM)
    params = tokens.carried(world, call)
    currency = money.check_currency(params["currency"])
    money.check_amount(params["amount"], currency)
    _check_statement_descriptor(params)
    customer = params.get("customer")
    if customer is not None:
        customers.live(world, customer)
    intent = new(world, params, currency, customer)
    if not confirm:
        method = chosen_method(world, params, publishable=False)
        if method is not None:
            check_owner("payment_intent", customer, method)
            intent["payment_method"] = method["id"]
            intent["status"] = "requires_confirmation"
        world.add(intent)
        world.emit("payment_intent.created", intent)
        return intent
    attempt = paying.prepare(world, intent, params, publishable=False)
    tokens.use(world, params, intent)
    world.add(intent)
    world.emit("payment_intent.created", intent)
    paying.run(world, intent, attempt)
    return intent


def new(world: World, params: JSON, currency: str, customer: str | None) -> JSON:
    """The row of a new intent, not yet kept."""
    intent_id = world.ids.new("pi")
    options = card_options(params.get("payment_method_options"), payment=True)
    future = params.get("setup_future_usage")
    _check_credential_usage(options["card"], future)
    selection = method_selection(world, params)
    row: JSON = {
        "id": intent_id,
        "object": "payment_intent",
        "allowed_payment_method_types": selection["allowed_payment_method_types"],
        "amount": params["amount"],
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": selection["automatic_payment_methods"],
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": params.get("capture_method", "automatic_async"),
        "client_secret": f"{intent_id}_secret_{world.ids.text('secret', 25)}",
        "confirmation_method": params.get("confirmation_method", "automatic"),
        "created": world.timestamp(),
        "currency": currency,
        "customer": customer,
        "customer_account": None,
        "description": params.get("description"),
        "excluded_payment_method_types": selection["excluded_payment_method_types"],
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "managed_payments": {"enabled": False},
        "metadata": merged_metadata({}, params.get("metadata") or {}),
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": selection["payment_method_configuration_details"],
        "payment_method_options": options,
        "payment_method_types": selection["payment_method_types"],
        "payment_record": None,
        "processing": None,
        "receipt_email": params.get("receipt_email"),
        "review": None,
        "setup_future_usage": future,
        "shipping": customers.full_shipping(params.get("shipping")),
        "source": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": params.get("statement_descriptor_suffix"),
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": params.get("transfer_group"),
    }
    if params.get("payment_details"):
        row["payment_details"] = {"customer_reference": None, "order_reference": None, **params["payment_details"]}
    return row


@route("GET", "/v1/payment_intents/*", {"client_secret": SECRET}, publishable=True)
def retrieve(world: World, call: Call) -> JSON:
    return _find(world, call)


@route(
    "POST",
    "/v1/payment_intents/*",
    {**_WRITABLE, **METHOD_SELECTION, "amount": Integer(1), "currency": Text(10)},
)
def update(world: World, call: Call) -> JSON:
    intent = _find(world, call)
    params = call.params
    with on_error(intent):
        _check_updatable(intent, params)
        _check_statement_descriptor(params)
        changes = _plain_changes(world, intent, params)
        method = chosen_method(world, params, publishable=call.publishable)
        if method is not None:
            check_owner("payment_intent", changes.get("customer", intent["customer"]), method)
    if method is not None:
        changes |= {"payment_method": method["id"], "status": "requires_confirmation", "next_action": None}
    elif changes.get("amount", intent["amount"]) != intent["amount"] and intent["status"] == "requires_action":
        # What the payer was asked to authenticate is no longer what would be charged.
        changes |= {"status": "requires_confirmation", "next_action": None}
    if intent["status"] not in ("succeeded", "canceled"):
        changes["last_payment_error"] = None
    world.change(intent, **changes)
    return intent


def _check_updatable(intent: JSON, params: JSON) -> None:
    status = intent["status"]
    for name in ("amount", "currency"):
        if name in params and status not in _AMOUNT_STATUSES:
            raise unexpected_state(
                intent,
                f"This PaymentIntent's {name} could not be updated because it has a status of {status}. You may only "
                f"update the {name} of a PaymentIntent with one of the following statuses: "
                f"{', '.join(_AMOUNT_STATUSES)}.",
                name,
            )
    if status in ("succeeded", "canceled", "requires_capture"):
        for name in params:
            if name not in _ALWAYS_WRITABLE:
                raise unexpected_state(
                    intent,
                    f"This PaymentIntent's {name} could not be updated because it has a status of {status}.",
                    name,
                )
    if params.get("customer") and intent["customer"] not in (None, params["customer"]):
        raise unexpected_state(
            intent,
            "You cannot modify `customer` on a PaymentIntent once it already has been set. To fulfill a payment with a "
            "different Customer, cancel this PaymentIntent and create a new one.",
            "customer",
        )


def _plain_changes(world: World, intent: JSON, params: JSON) -> JSON:
    plain = ("capture_method", "description", "receipt_email", "setup_future_usage", "statement_descriptor_suffix",
             "transfer_group")  # fmt: skip
    changes: JSON = {name: params[name] for name in plain if name in params}
    if params.get("customer"):
        changes["customer"] = customers.live(world, params["customer"])["id"]
    if "amount" in params or "currency" in params:
        amount: int = params["amount"] if "amount" in params else intent["amount"]
        currency = money.check_currency(params["currency"] if "currency" in params else intent["currency"])
        money.check_amount(amount, currency)
        changes |= {"amount": amount, "currency": currency}
    if "metadata" in params:
        changes["metadata"] = merged_metadata(intent["metadata"], params["metadata"])
    if "shipping" in params:
        changes["shipping"] = customers.full_shipping(params["shipping"])
    if params.get("payment_details"):
        old = intent.get("payment_details", {"customer_reference": None, "order_reference": None})
        changes["payment_details"] = {**old, **params["payment_details"]}
    if "payment_method_options" in params:
        sent = params["payment_method_options"].get("card") or {}
        old = (intent["payment_method_options"] or {}).get("card", {})
        options = card_options({"card": {**old, **sent}}, payment=True)
        _check_credential_usage(options["card"], changes.get("setup_future_usage", intent["setup_future_usage"]))
        changes["payment_method_options"] = options
    return changes | reselect(intent, params)


def _check_browser_may(intent: JSON, call: Call) -> None:
    """A browser may ask for more use of the card than the server did, never for less."""
    if not call.publishable or "setup_future_usage" not in call.params:
        return
    rank = {None: 0, "on_session": 1, "off_session": 2}
    if rank[call.params["setup_future_usage"]] < rank[intent["setup_future_usage"]]:
        raise invalid(
            "With a publishable key, setup_future_usage can only be raised from on_session to off_session.",
            "setup_future_usage",
        )


@route(
    "POST",
    "/v1/payment_intents/*/confirm",
    {
        **{name: kind for name, kind in _WRITABLE.items() if name not in
           ("application_fee_amount", "customer", "customer_account", "description", "metadata",
            "statement_descriptor", "statement_descriptor_suffix", "transfer_data", "transfer_group")},
        **_CONFIRMING,
        **METHOD_SELECTION,
        "amount_to_confirm": Integer(1),
        "client_context": tokens.CONTEXT,
        "client_secret": SECRET,
    },
    publishable=True,
)  # fmt: skip
def confirm(world: World, call: Call) -> JSON:
    intent = _find(world, call)
    with on_error(intent):
        params = tokens.carried(world, call)
        _check_browser_may(intent, call)
        attempt = paying.prepare(world, intent, params, publishable=call.publishable)
        changes = _plain_changes(world, intent, params)
    tokens.use(world, params, intent)
    world.change(intent, **changes)
    paying.run(world, intent, attempt)
    return intent


@route(
    "POST",
    "/v1/payment_intents/*/capture",
    {
        "amount_details": AMOUNT_DETAILS,
        "amount_to_capture": Integer(1),
        "application_fee_amount": CONNECT,
        "final_capture": Boolean(),
        "hooks": AnyHash(),
        "metadata": METADATA,
        "payment_details": _DETAILS,
        "statement_descriptor": Text(22, unset=True),
        "statement_descriptor_suffix": Text(22, unset=True),
        "transfer_data": CONNECT,
    },
)
def capture(world: World, call: Call) -> JSON:
    intent = _find(world, call)
    if intent["status"] != "requires_capture":
        raise unexpected_state(
            intent,
            f"This PaymentIntent could not be captured because it has a status of {intent['status']}. Only a "
            "PaymentIntent with one of the following statuses may be captured: requires_capture.",
        )
    amount: int = (
        call.params["amount_to_capture"] if "amount_to_capture" in call.params else intent["amount_capturable"]
    )
    if amount > intent["amount_capturable"]:
        raise invalid(
            f"The amount to capture ({amount}) is greater than the remaining amount of the PaymentIntent that can be "
            f"captured ({intent['amount_capturable']}).",
            "amount_to_capture",
            "amount_too_large",
            payment_intent=intent,
        )
    if "metadata" in call.params:
        world.change(intent, metadata=merged_metadata(intent["metadata"], call.params["metadata"]))
    paying.capture(world, intent, amount)
    return intent


@route(
    "POST",
    "/v1/payment_intents/*/cancel",
    {"cancellation_reason": Choice("abandoned", "duplicate", "fraudulent", "requested_by_customer")},
)
def cancel(world: World, call: Call) -> JSON:
    intent = _find(world, call)
    if intent["status"] not in paying.CANCELABLE:
        raise unexpected_state(
            intent,
            f"You cannot cancel this PaymentIntent because it has a status of {intent['status']}. Only a PaymentIntent "
            f"with one of the following statuses may be canceled: {', '.join(paying.CANCELABLE)}.",
        )
    paying.cancel(world, intent, call.params.get("cancellation_reason"))
    return intent


@route("GET", "/v1/payment_intents", {**CREATED_PAGE, "customer": ID, "customer_account": Text()})
def index(world: World, call: Call) -> JSON:
    return page(world, call, "payment_intent", "/v1/payment_intents", {"customer": call.params.get("customer")})
