"""Checkout Sessions (https://docs.stripe.com/api/checkout/sessions), with a plain page to pay on (panel/hosted.py)."""

from __future__ import annotations

from stripe_emulator.core import money
from stripe_emulator.core.errors import invalid, refused
from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import DAY, World
from stripe_emulator.wire.listing import page
from stripe_emulator.wire.params import (
    AnyHash,
    Boolean,
    Choice,
    Decimal,
    Email,
    Hash,
    Integer,
    Kind,
    List,
    Text,
    Url,
    merged_metadata,
)
from stripe_emulator.wire.routing import Call, route
from stripe_emulator.wire.specs import CONNECT, CREATED_PAGE, ID, METADATA, METHOD_DATA, PAGE, PAYMENT_OPTIONS

from . import catalog, customers, payment_intents, saving, setup_intents
from .intents import METHOD_SELECTION, method_selection

_URL = "/v1/checkout/sessions"
_PRODUCT = Hash(
    {
        "description": Text(),
        "images": List(Text()),
        "metadata": METADATA,
        "name": Text(),
        "tax_code": Text(),
        "tax_details": AnyHash(),
        "unit_label": Text(12),
    },
    ("name",),
)
PRICE = Hash(
    {
        "currency": Text(10),
        "product": ID,
        "product_data": _PRODUCT,
        "recurring": AnyHash(),
        "tax_behavior": Choice("exclusive", "inclusive", "unspecified"),
        "unit_amount": Integer(0),
        "unit_amount_decimal": Decimal(),
    },
    ("currency",),
)
_LINE = Hash(
    {
        "adjustable_quantity": AnyHash(),
        "metadata": METADATA,
        "price": ID,
        "price_data": PRICE,
        "quantity": Integer(1),
        "tax_rates": List(ID),
    }
)
_ANY = [
    "adaptive_pricing",
    "after_expiration",
    "automatic_tax",
    "branding_settings",
    "consent_collection",
    "custom_text",
    "customer_update",
    "invoice_creation",
    "managed_payments",
    "name_collection",
    "payment_intent_data",
    "permissions",
    "phone_number_collection",
    "saved_payment_method_options",
    "shipping_address_collection",
    "subscription_data",
    "tax_id_collection",
    "wallet_options",
]
_ANY_LISTS = ("custom_fields", "discounts", "optional_items", "shipping_options")
_PARAMS: dict[str, Kind] = {
    **METHOD_SELECTION,
    **{name: AnyHash() for name in _ANY},
    **{name: List(AnyHash()) for name in _ANY_LISTS},
    "allow_promotion_codes": Boolean(),
    "billing_address_collection": Choice("auto", "required"),
    "cancel_url": Url(),
    "client_reference_id": Text(200),
    "currency": Text(10),
    "customer": ID,
    "customer_account": Text(),
    "customer_creation": Choice("always", "if_required"),
    "customer_email": Email(800),
    "expires_at": Integer(0),
    "integration_identifier": Text(200),
    "line_items": List(_LINE),
    "locale": Text(10),
    "metadata": METADATA,
    "mode": Choice("payment", "setup", "subscription"),
    "origin_context": Choice("mobile_app", "web"),
    "payment_method_collection": Choice("always", "if_required"),
    "payment_method_data": METHOD_DATA,
    "payment_method_options": PAYMENT_OPTIONS,
    "redirect_on_completion": Choice("always", "if_required", "never"),
    "return_url": Text(),
    "setup_intent_data": Hash({"description": Text(1000), "metadata": METADATA, "on_behalf_of": CONNECT}),
    "submit_type": Choice("auto", "book", "donate", "pay", "subscribe"),
    "success_url": Text(),
    "ui_mode": Choice("elements", "embedded_page", "form", "hosted_page"),
}
# Attributes that answers always have, and that stay null here.
_NULLS = [
    "adaptive_pricing",
    "after_expiration",
    "collected_information",
    "consent",
    "consent_collection",
    "currency_conversion",
    "customer_account",
    "customer_details",
    "discounts",
    "integration_identifier",
    "invoice",
    "invoice_creation",
    "managed_payments",
    "optional_items",
    "origin_context",
    "payment_intent",
    "payment_link",
    "permissions",
    "recovered_from",
    "saved_payment_method_options",
    "setup_intent",
    "shipping_address_collection",
    "shipping_cost",
    "subscription",
    "total_details",
    "wallet_options",
]
_COPIED = (
    "allow_promotion_codes", "billing_address_collection", "cancel_url", "client_reference_id", "customer_creation",
    "customer_email", "locale", "payment_method_collection", "submit_type", "success_url",
)  # fmt: skip


@route("POST", _URL, _PARAMS)
def create(world: World, call: Call) -> JSON:
    params = call.params
    mode = params.get("mode")
    if mode == "subscription":
        raise invalid("The emulator has no subscriptions: use mode `payment` or `setup`.", "mode")
    lines = params.get("line_items") or []
    if mode != "setup" and not lines:
        raise invalid("You must provide line_items to create a Checkout Session in payment mode.", "line_items")
    if mode is None:
        mode = "payment"
    ui_mode = params.get("ui_mode", "hosted_page")
    if ui_mode == "hosted_page" and "success_url" not in params:
        raise invalid("Missing required param: success_url.", "success_url", "parameter_missing")
    if "customer" in params:
        customers.live(world, params["customer"])
    items = line_items_of(world, lines)
    currency = items[0]["currency"] if items else None
    if currency is None and "currency" in params:
        currency = money.check_currency(params["currency"])
    row = new(world, params, mode, ui_mode, currency, items)
    if mode == "setup":
        row["setup_intent"] = _setup_intent(world, params)["id"]
    return keep(world, row, params, items)


def keep(world: World, row: JSON, params: JSON, items: list[JSON]) -> JSON:
    """Add a new session, with what only its page needs to know."""
    world.add(row)
    hidden = {"line_items": items, "payment_intent_data": params.get("payment_intent_data") or {}}
    world.hide(row["id"]).update(hidden)
    world.later(row["expires_at"] - world.now(), "expire_session", session=row["id"])
    return row


def line_items_of(world: World, lines: list[JSON]) -> list[JSON]:
    """The items of a request, all in one currency."""
    items = [_line_item(world, line, place) for place, line in enumerate(lines)]
    if len({item["currency"] for item in items}) > 1:
        raise invalid("All line items must use the same currency.", "line_items")
    return items


def _setup_intent(world: World, params: JSON) -> JSON:
    """What a session in setup mode saves the card with; there from the start."""
    data = params.get("setup_intent_data") or {}
    asked = {name: data[name] for name in ("description", "metadata") if name in data}
    intent = setup_intents.new(world, asked, params.get("customer"))
    world.add(intent)
    world.emit("setup_intent.created", intent)
    return intent


def _line_item(world: World, line: JSON, place: int) -> JSON:
    quantity = line.get("quantity", 1)
    if "price_data" not in line:
        if "price" not in line:
            raise invalid("Each line item needs either price or price_data.", "line_items")
        param = f"line_items[{place}][price]"
        price = catalog.existing_price(world, line["price"], param)
        if not price["active"]:
            message = f"The price specified is inactive. This field only accepts active prices ({price['id']})."
            raise invalid(message, param)
        name = world.get("product", price["product"])["name"]
        amount = price["unit_amount"] if price["unit_amount"] is not None else float(price["unit_amount_decimal"])
        return _item(world, line, dict(price), round(amount * quantity), name, quantity)
    data = line["price_data"]
    currency = money.check_currency(data["currency"], f"line_items[{place}][price_data][currency]")
    amount = data.get("unit_amount")
    if amount is None:
        amount = round(float(data.get("unit_amount_decimal", "0")))
    name = (data.get("product_data") or {}).get("name")
    if "product" in data:
        name = world.find("product", data["product"], f"line_items[{place}][price_data][product]")["name"]
    price = {
        "id": world.ids.new("price"),
        "object": "price",
        "active": False,
        "currency": currency,
        "livemode": False,
        "type": "one_time",
        "unit_amount": amount,
    }
    return _item(world, line, price, amount * quantity, name, quantity)


def _item(world: World, line: JSON, price: JSON, amount: int, name: str | None, quantity: int) -> JSON:
    return {
        "id": world.ids.new("li"),
        "object": "item",
        "adjustable_quantity": None,
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": price["currency"],
        "description": name,
        "metadata": line.get("metadata") or {},
        "price": price,
        "quantity": quantity,
    }


def new(world: World, params: JSON, mode: str, ui_mode: str, currency: str | None, items: list[JSON]) -> JSON:
    """The row of a new session, not yet kept."""
    amount = sum(item["amount_total"] for item in items)
    session_id = world.ids.new("cs_test", 58)
    created = world.timestamp()
    selection = method_selection(world, {n: v for n, v in params.items() if n in METHOD_SELECTION})
    paid_for = mode == "payment"
    row: JSON = {
        **dict.fromkeys(_NULLS),
        **{name: params.get(name) for name in _COPIED},
        "id": session_id,
        "object": "checkout.session",
        "allowed_payment_method_types": selection["allowed_payment_method_types"],
        "amount_subtotal": amount if paid_for else None,
        "amount_total": amount if paid_for else None,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "client_secret": None if ui_mode == "hosted_page" else f"{session_id}_secret_{world.ids.text('secret', 25)}",
        "created": created,
        "currency": currency,
        "custom_fields": [],
        "custom_text": {
            "after_submit": None, "shipping_address": None, "submit": None, "terms_of_service_acceptance": None,
        },
        "customer": params.get("customer"),
        "expires_at": params.get("expires_at", created + DAY),
        "livemode": False,
        "metadata": merged_metadata({}, params.get("metadata") or {}),
        "mode": mode,
        "payment_method_configuration_details": selection["payment_method_configuration_details"],
        "payment_method_options": {},
        "payment_method_types": selection["payment_method_types"],
        "payment_status": "unpaid" if paid_for and amount else "no_payment_required",
        "shipping_options": [],
        "status": "open",
        "ui_mode": ui_mode,
        "url": f"{world.public_url}/emulator/checkout/{session_id}" if ui_mode == "hosted_page" else None,
    }  # fmt: skip
    if not paid_for:
        row["customer_creation"] = None
    if "return_url" in params:
        row["return_url"] = params["return_url"]
    return row


# -- paying on its page ---------------------------------------------------------------------------------------------
@route("POST", "/v1/emulator/checkout/*", {"email": Email(800)}, publishable=True)
def begin(world: World, call: Call) -> JSON:
    """What the page asks for: the intent that pays the session, or saves a card for it."""
    session = _find(world, call)
    if session["status"] != "open":
        raise invalid(f"This Checkout Session can no longer be paid: it has a status of {session['status']}.")
    hidden = world.hide(session["id"])
    if "email" in call.params:
        hidden["email"] = call.params["email"]
    if session["mode"] == "setup":
        intent = world.get("setup_intent", session["setup_intent"])
    elif "intent" in hidden:
        intent = world.get("payment_intent", hidden["intent"])
    else:
        texts = ("capture_method", "description", "receipt_email", "setup_future_usage", "statement_descriptor_suffix")
        data = hidden["payment_intent_data"]
        asked = {name: data[name] for name in (*texts, "metadata") if name in data}
        params = {"amount": session["amount_total"], **asked}
        money.check_amount(session["amount_total"], session["currency"])
        intent = payment_intents.new(world, params, session["currency"], session["customer"])
        world.add(intent)
        world.emit("payment_intent.created", intent)
        hidden["intent"] = intent["id"]
    world.hide(intent["id"])["session"] = session["id"]
    return intent


def complete_job(world: World, about: JSON) -> None:
    """The payer paid, or saved a card."""
    session = world.get("checkout.session", about["session"])
    if session["status"] != "open":
        return
    hidden = world.hide(session["id"])
    customer = world.tables["customer"].get(session["customer"] or "") or {}
    changes: JSON = {"status": "complete", "url": None}
    if session["mode"] == "payment":
        changes |= {"payment_intent": hidden["intent"], "payment_status": "paid"}
    changes["customer_details"] = {
        "address": None,
        "business_name": None,
        "email": hidden.get("email") or session["customer_email"] or customer.get("email"),
        "individual_name": None,
        "name": customer.get("name"),
        "phone": customer.get("phone"),
        "tax_exempt": customer.get("tax_exempt", "none"),
        "tax_ids": [],
    }
    world.change(session, **changes)
    world.emit("checkout.session.completed", session)


def _find(world: World, call: Call) -> JSON:
    return world.find("checkout.session", call.ids[0], "session", in_path=True)


@route("GET", f"{_URL}/*")
def retrieve(world: World, call: Call) -> JSON:
    return _find(world, call)


@route("POST", f"{_URL}/*/expire")
def expire(world: World, call: Call) -> JSON:
    session = _find(world, call)
    if session["status"] != "open":
        raise refused(
            f'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has a status of '
            f"{session['status']}."
        )
    _expire(world, session)
    return session


def _expire(world: World, session: JSON) -> None:
    intent = world.tables["setup_intent"].get(session["setup_intent"] or "")
    if intent is not None and intent["status"] in saving.CANCELABLE:
        saving.cancel(world, intent, "abandoned")
    world.change(session, status="expired", url=None)
    world.emit("checkout.session.expired", session)


def expire_job(world: World, about: JSON) -> None:
    session = world.get("checkout.session", about["session"])
    if session["status"] == "open":
        _expire(world, session)


@route("GET", f"{_URL}/*/line_items", PAGE)
def line_items(world: World, call: Call) -> JSON:
    session = _find(world, call)
    return items_page(world, call, session, f"{_URL}/{session['id']}/line_items")


def items_page(world: World, call: Call, owner: JSON, url: str) -> JSON:
    """The first items of a session or of a payment link."""
    items = world.hidden[owner["id"]]["line_items"]
    limit = max(1, min(100, call.params.get("limit", 10)))
    return {"object": "list", "data": items[:limit], "has_more": len(items) > limit, "url": url}


@route(
    "GET",
    _URL,
    {
        **CREATED_PAGE,
        "customer": ID,
        "customer_account": Text(),
        "customer_details": Hash({"email": Text(800)}, ("email",)),
        "payment_intent": ID,
        "payment_link": ID,
        "status": Choice("complete", "expired", "open"),
        "subscription": ID,
    },
)
def index(world: World, call: Call) -> JSON:
    names = ("customer", "payment_intent", "payment_link", "status", "subscription")
    return page(world, call, "checkout.session", _URL, {name: call.params.get(name) for name in names})
