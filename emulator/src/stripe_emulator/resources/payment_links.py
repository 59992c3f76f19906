"""Payment links (https://docs.stripe.com/api/payment_links): an address at which anybody can pay, again and again."""

from __future__ import annotations

from stripe_emulator.core.errors import invalid
from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import World
from stripe_emulator.wire.listing import page
from stripe_emulator.wire.params import (
    AnyHash,
    Boolean,
    Choice,
    Hash,
    Integer,
    Kind,
    List,
    NotEmulated,
    Text,
    Url,
    merged_metadata,
)
from stripe_emulator.wire.routing import Call, route
from stripe_emulator.wire.specs import CONNECT, ID, METADATA, PAGE

from . import checkout_sessions

_URL = "/v1/payment_links"
_NOT_HERE = NotEmulated("its page shows the items and takes a card, no more")
_COMPLETION = Hash(
    {
        "hosted_confirmation": Hash({"custom_message": Text(500, unset=True)}),
        "redirect": Hash({"url": Url()}, ("url",)),
        "type": Choice("hosted_confirmation", "redirect"),
    },
    ("type",),
)
_INTENT_DATA = Hash(
    {
        "capture_method": Choice("automatic", "automatic_async", "manual"),
        "description": Text(1000, unset=True),
        "metadata": METADATA,
        "setup_future_usage": Choice("off_session", "on_session"),
        "statement_descriptor_suffix": Text(22, unset=True),
    }
)
_WRITABLE: dict[str, Kind] = {
    "after_completion": _COMPLETION,
    "allow_promotion_codes": _NOT_HERE,
    "application_fee_amount": CONNECT,
    "application_fee_percent": CONNECT,
    "automatic_tax": _NOT_HERE,
    "billing_address_collection": Choice("auto", "required"),
    "consent_collection": _NOT_HERE,
    "custom_fields": _NOT_HERE,
    "custom_text": _NOT_HERE,
    "customer_creation": Choice("always", "if_required"),
    "inactive_message": Text(500, unset=True),
    "invoice_creation": NotEmulated("it has no invoices"),
    "metadata": METADATA,
    "name_collection": _NOT_HERE,
    "on_behalf_of": CONNECT,
    "optional_items": _NOT_HERE,
    "payment_intent_data": _INTENT_DATA,
    "payment_method_collection": Choice("always", "if_required"),
    "payment_method_options": AnyHash(),
    "phone_number_collection": _NOT_HERE,
    "restrictions": Hash({"completed_sessions": Hash({"limit": Integer(1)}, ("limit",))}, unset=True),
    "shipping_address_collection": _NOT_HERE,
    "shipping_options": _NOT_HERE,
    "submit_type": Choice("auto", "book", "donate", "pay"),
    "subscription_data": NotEmulated("it has no subscriptions"),
    "tax_id_collection": _NOT_HERE,
    "transfer_data": CONNECT,
}
_LINE = Hash(
    {
        "adjustable_quantity": _NOT_HERE,
        "price": ID,
        "price_data": checkout_sessions.PRICE,
        "quantity": Integer(1),
    },
    ("quantity",),
)
_PLAIN = (
    "billing_address_collection", "customer_creation", "inactive_message", "payment_method_collection", "submit_type",
)  # fmt: skip


def _completion(sent: JSON) -> JSON:
    if sent["type"] == "redirect":
        if "redirect" not in sent:
            raise invalid("Missing required param: after_completion[redirect].", "after_completion[redirect]")
        return {"redirect": sent["redirect"], "type": "redirect"}
    message = (sent.get("hosted_confirmation") or {}).get("custom_message")
    return {"hosted_confirmation": {"custom_message": message}, "type": "hosted_confirmation"}


def _changes(row: JSON, params: JSON) -> JSON:
    changes: JSON = {name: params[name] for name in _PLAIN if name in params}
    if "after_completion" in params:
        changes["after_completion"] = _completion(params["after_completion"])
    if "metadata" in params:
        changes["metadata"] = merged_metadata(row["metadata"], params["metadata"])
    if "payment_intent_data" in params:
        data = params["payment_intent_data"]
        changes["payment_intent_data"] = {**dict.fromkeys(_INTENT_DATA.known), "metadata": {}, **data}
    if "restrictions" in params:
        sent = params["restrictions"]
        limit = ((sent or {}).get("completed_sessions") or {}).get("limit")
        changes["restrictions"] = sent and {"completed_sessions": {"count": 0, "limit": limit}}
    return changes


@route("POST", _URL, {**_WRITABLE, "currency": Text(10), "line_items": List(_LINE)}, ("line_items",))
def create(world: World, call: Call) -> JSON:
    items = checkout_sessions.line_items_of(world, call.params["line_items"])
    if not items:
        raise invalid("A payment link needs at least one line item.", "line_items")
    link_id = world.ids.new("plink")
    row: JSON = {
        "id": link_id,
        "object": "payment_link",
        "active": True,
        "after_completion": _completion({"type": "hosted_confirmation"}),
        "allow_promotion_codes": False,
        "application": None,
        "application_fee_amount": None,
        "application_fee_percent": None,
        "automatic_tax": {"enabled": False, "liability": None},
        "billing_address_collection": "auto",
        "consent_collection": None,
        "currency": items[0]["currency"],
        "custom_fields": [],
        "custom_text": {
            "after_submit": None, "shipping_address": None, "submit": None, "terms_of_service_acceptance": None,
        },
        "customer_creation": "if_required",
        "inactive_message": None,
        "invoice_creation": None,
        "livemode": False,
        "metadata": {},
        "on_behalf_of": None,
        "payment_intent_data": None,
        "payment_method_collection": "always",
        "payment_method_types": None,
        "phone_number_collection": {"enabled": False},
        "restrictions": None,
        "shipping_address_collection": None,
        "shipping_options": [],
        "submit_type": "auto",
        "subscription_data": None,
        "tax_id_collection": {"enabled": False, "required": "never"},
        "transfer_data": None,
        "url": f"{world.public_url}/emulator/links/{link_id}",
    }  # fmt: skip
    row.update(_changes(row, call.params))
    world.add(row)
    world.hide(link_id)["line_items"] = items
    world.emit("payment_link.created", row)
    return row


def _find(world: World, call: Call) -> JSON:
    return world.find("payment_link", call.ids[0], "payment_link", in_path=True)


@route("GET", f"{_URL}/*")
def retrieve(world: World, call: Call) -> JSON:
    return _find(world, call)


@route(
    "POST",
    f"{_URL}/*",
    {**_WRITABLE, "active": Boolean(), "line_items": NotEmulated("the items of a payment link stay as they are")},
)
def update(world: World, call: Call) -> JSON:
    row = _find(world, call)
    changes = _changes(row, call.params)
    if "active" in call.params:
        changes["active"] = call.params["active"]
    previous = world.change(row, **changes)
    if previous:
        world.emit("payment_link.updated", row, previous)
    return row


@route("GET", f"{_URL}/*/line_items", PAGE)
def line_items(world: World, call: Call) -> JSON:
    row = _find(world, call)
    return checkout_sessions.items_page(world, call, row, f"{_URL}/{row['id']}/line_items")


@route("GET", _URL, {**PAGE, "active": Boolean()})
def index(world: World, call: Call) -> JSON:
    return page(world, call, "payment_link", _URL, {"active": call.params.get("active")})


@route("POST", "/v1/emulator/links/*", publishable=True)
def visit(world: World, call: Call) -> JSON:
    """What the page of a link does for each visitor: begin a Checkout Session of its own."""
    row = _find(world, call)
    sessions = world.tables["checkout.session"]
    limit = ((row["restrictions"] or {}).get("completed_sessions") or {}).get("limit")
    done = sum(1 for _ in sessions.newest_first({"payment_link": row["id"], "status": "complete"}))
    if not row["active"] or (limit is not None and done >= limit):
        raise invalid(row["inactive_message"] or "This payment link is no longer active.")
    redirect = row["after_completion"].get("redirect") or {}
    params: JSON = {
        "customer_creation": row["customer_creation"],
        "metadata": row["metadata"],
        "payment_intent_data": {n: v for n, v in (row["payment_intent_data"] or {}).items() if v is not None},
        "submit_type": row["submit_type"],
        "success_url": redirect.get("url"),
    }
    items = [{**item, "id": world.ids.new("li")} for item in world.hidden[row["id"]]["line_items"]]
    session = checkout_sessions.new(world, params, "payment", "hosted_page", row["currency"], items)
    session["payment_link"] = row["id"]
    return checkout_sessions.keep(world, session, params, items)
