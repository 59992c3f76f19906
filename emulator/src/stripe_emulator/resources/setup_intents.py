"""SetupIntents and their attempts (https://docs.stripe.com/api/setup_intents, /api/setup_attempts)."""

from __future__ import annotations

from stripe_emulator.core.errors import missing
from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import World
from stripe_emulator.wire.listing import page
from stripe_emulator.wire.params import Boolean, Choice, Hash, Integer, Kind, List, Text, merged_metadata
from stripe_emulator.wire.routing import Call, route
from stripe_emulator.wire.specs import (
    CONNECT,
    CREATED_PAGE,
    ID,
    MANDATE_DATA,
    METADATA,
    METHOD_DATA,
    SECRET,
    SETUP_OPTIONS,
)

from . import customers, saving, tokens
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

_DIRECTIONS = List(Choice("inbound", "outbound"))
_WRITABLE: dict[str, Kind] = {
    "attach_to_self": Boolean(),
    "customer": ID,
    "customer_account": Text(),
    "description": Text(1000, unset=True),
    "flow_directions": _DIRECTIONS,
    "metadata": METADATA,
    "payment_method": ID,
    "payment_method_data": METHOD_DATA,
    "payment_method_options": SETUP_OPTIONS,
}
_CONFIRMING: dict[str, Kind] = {
    "confirmation_token": ID,
    "mandate_data": MANDATE_DATA,
    "return_url": Text(),
    "use_stripe_sdk": Boolean(),
}
_ONLY_WITH_CONFIRM = ("confirmation_token", "mandate_data", "return_url")


def _find(world: World, call: Call) -> JSON:
    intent = world.tables["setup_intent"].get(call.ids[0])
    if intent is None:
        raise missing("setupintent", call.ids[0][:200], "intent", in_path=True)  # one word: Stripe's spelling
    check_secret(intent, call)
    return intent


@route(
    "POST",
    "/v1/setup_intents",
    {
        **_WRITABLE,
        **_CONFIRMING,
        **NEW_METHOD_SELECTION,
        "confirm": Boolean(),
        "on_behalf_of": CONNECT,
        "single_use": Hash({"amount": Integer(1), "currency": Text(10)}, ("amount", "currency")),
        "usage": Choice("off_session", "on_session"),
    },
)
def create(world: World, call: Call) -> JSON:
    confirm = is_confirmed(call.params, _ONLY_WITH_CONFIRM)
    params = tokens.carried(world, call)
    customer = params.get("customer")
    if customer is not None:
        customers.live(world, customer)
    intent = new(world, params, customer)
    if confirm:
        attempt = saving.prepare(world, intent, params, publishable=False)
        tokens.use(world, params, intent)
        world.add(intent)
        world.emit("setup_intent.created", intent)
        saving.run(world, intent, attempt)
        return intent
    method = chosen_method(world, params, publishable=False)
    if method is not None:
        check_owner("setup_intent", customer, method)
        intent["payment_method"] = method["id"]
        intent["status"] = "requires_confirmation"
    world.add(intent)
    world.emit("setup_intent.created", intent)
    return intent


def new(world: World, params: JSON, customer: str | None) -> JSON:
    """The row of a new intent, not yet kept."""
    intent_id = world.ids.new("seti")
    selection = method_selection(world, params)
    row: JSON = {
        "id": intent_id,
        "object": "setup_intent",
        "allowed_payment_method_types": selection["allowed_payment_method_types"],
        "application": None,
        "automatic_payment_methods": selection["automatic_payment_methods"],
        "cancellation_reason": None,
        "client_secret": f"{intent_id}_secret_{world.ids.text('secret', 25)}",
        "created": world.timestamp(),
        "customer": customer,
        "customer_account": None,
        "description": params.get("description"),
        "excluded_payment_method_types": selection["excluded_payment_method_types"],
        "flow_directions": params.get("flow_directions"),
        "last_setup_error": None,
        "latest_attempt": None,
        "livemode": False,
        "mandate": None,
        "metadata": merged_metadata({}, params.get("metadata") or {}),
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": selection["payment_method_configuration_details"],
        "payment_method_options": card_options(params.get("payment_method_options"), payment=False),
        "payment_method_types": selection["payment_method_types"],
        "single_use_mandate": None,
        "status": "requires_payment_method",
        # Recorded at Stripe: `on_session` is taken and answered with `off_session` all the same.
        "usage": "off_session",
    }
    if params.get("attach_to_self"):
        row["attach_to_self"] = True
    return row


@route("GET", "/v1/setup_intents/*", {"client_secret": SECRET}, publishable=True)
def retrieve(world: World, call: Call) -> JSON:
    return _find(world, call)


@route("POST", "/v1/setup_intents/*", {**_WRITABLE, **METHOD_SELECTION})
def update(world: World, call: Call) -> JSON:
    intent = _find(world, call)
    params = call.params
    over = intent["status"] in ("succeeded", "canceled")
    if over:
        for name in params:
            if name not in ("description", "metadata", "customer", "expand"):
                raise unexpected_state(
                    intent,
                    f"You cannot update `{name}` of this SetupIntent because it has a status of {intent['status']}.",
                    name,
                )
    if params.get("customer") and intent["customer"] not in (None, params["customer"]):
        raise unexpected_state(
            intent, "You cannot modify `customer` on a SetupIntent once it already has been set.", "customer"
        )
    changes: JSON = {name: params[name] for name in ("description", "flow_directions") if name in params}
    if params.get("customer"):
        changes["customer"] = customers.live(world, params["customer"])["id"]
    if "metadata" in params:
        changes["metadata"] = merged_metadata(intent["metadata"], params["metadata"])
    if "payment_method_options" in params:
        old = (intent["payment_method_options"] or {}).get("card", {})
        sent = params["payment_method_options"].get("card") or {}
        changes["payment_method_options"] = card_options({"card": {**old, **sent}}, payment=False)
    changes |= reselect(intent, params)
    with on_error(intent):
        method = chosen_method(world, params, publishable=call.publishable)
        if method is not None:
            check_owner("setup_intent", changes.get("customer", intent["customer"]), method)
    if method is not None:
        changes |= {"payment_method": method["id"], "status": "requires_confirmation", "next_action": None}
    if not over:
        changes["last_setup_error"] = None
    world.change(intent, **changes)
    return intent


@route(
    "POST",
    "/v1/setup_intents/*/confirm",
    {
        **_CONFIRMING,
        "allowed_payment_method_types": METHOD_SELECTION["allowed_payment_method_types"],
        "payment_method_types": METHOD_SELECTION["payment_method_types"],
        "client_context": tokens.CONTEXT,
        "client_secret": SECRET,
        "payment_method": ID,
        "payment_method_data": METHOD_DATA,
        "payment_method_options": SETUP_OPTIONS,
    },
    publishable=True,
)
def confirm(world: World, call: Call) -> JSON:
    intent = _find(world, call)
    with on_error(intent):
        params = tokens.carried(world, call)
        attempt = saving.prepare(world, intent, params, publishable=call.publishable)
    tokens.use(world, params, intent)
    changes = reselect(intent, call.params)
    if "payment_method_options" in call.params:
        changes["payment_method_options"] = card_options(call.params["payment_method_options"], payment=False)
    world.change(intent, **changes)
    saving.run(world, intent, attempt)
    return intent


@route(
    "POST",
    "/v1/setup_intents/*/cancel",
    {"cancellation_reason": Choice("abandoned", "duplicate", "requested_by_customer")},
)
def cancel(world: World, call: Call) -> JSON:
    intent = _find(world, call)
    if intent["status"] == "canceled":
        raise unexpected_state(intent, "You cannot cancel this SetupIntent because it has already been canceled.")
    if intent["status"] not in saving.CANCELABLE:
        raise unexpected_state(
            intent,
            f"You cannot cancel this SetupIntent because it has a status of {intent['status']}. Only a SetupIntent "
            f"with one of the following statuses may be canceled: {', '.join(saving.CANCELABLE)}.",
        )
    saving.cancel(world, intent, call.params.get("cancellation_reason"))
    return intent


@route(
    "GET",
    "/v1/setup_intents",
    {**CREATED_PAGE, "attach_to_self": Boolean(), "customer": ID, "customer_account": Text(), "payment_method": ID},
)
def index(world: World, call: Call) -> JSON:
    names = ("customer", "payment_method")
    filters = {name: call.params.get(name) for name in names}
    return page(world, call, "setup_intent", "/v1/setup_intents", filters)


@route("GET", "/v1/setup_attempts", {**CREATED_PAGE, "setup_intent": ID}, ("setup_intent",))
def attempts(world: World, call: Call) -> JSON:
    filters = {"setup_intent": call.params["setup_intent"]}
    return page(world, call, "setup_attempt", "/v1/setup_attempts", filters)
