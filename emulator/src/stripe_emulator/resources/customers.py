"""Customers (https://docs.stripe.com/api/customers)."""

from __future__ import annotations

from stripe_emulator.core.errors import missing
from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import World
from stripe_emulator.wire import legacy
from stripe_emulator.wire.listing import page
from stripe_emulator.wire.params import (
    AnyHash,
    Boolean,
    Choice,
    Email,
    Hash,
    Integer,
    Kind,
    List,
    Text,
    merged_metadata,
)
from stripe_emulator.wire.routing import Call, route
from stripe_emulator.wire.specs import CREATED_PAGE, ID, METADATA, SHIPPING, SOURCE, address

from . import payment_methods, tax_ids

_INVOICE_SETTINGS = Hash(
    {
        "custom_fields": List(Hash({"name": Text(40), "value": Text(140)}), unset=True),
        "default_payment_method": Text(255, unset=True),
        "footer": Text(unset=True),
        "rendering_options": AnyHash(),
    }
)
_WRITABLE: dict[str, Kind] = {
    "address": address(),
    "balance": Integer(),
    "business_name": Text(150, unset=True),
    "cash_balance": AnyHash(),
    "description": Text(unset=True),
    "email": Email(512, unset=True),
    "individual_name": Text(150, unset=True),
    "invoice_prefix": Text(12, unset=True),
    "invoice_settings": _INVOICE_SETTINGS,
    "metadata": METADATA,
    "name": Text(256, unset=True),
    "next_invoice_sequence": Integer(1),
    "phone": Text(20, unset=True),
    "preferred_locales": List(Text(20), unset=True),
    "shipping": SHIPPING,
    "source": SOURCE,
    "tax": AnyHash(),
    "tax_exempt": Choice("exempt", "none", "reverse", unset=True),
    "validate": Boolean(),
}
_PLAIN = (
    "address", "balance", "business_name", "description", "email", "individual_name", "invoice_prefix", "name",
    "next_invoice_sequence", "phone", "preferred_locales", "shipping", "tax_exempt",
)  # fmt: skip


def live(world: World, customer_id: str, param: str = "customer", *, in_path: bool = False) -> JSON:
    """The customer, unless it is unknown or deleted."""
    row = world.find("customer", customer_id, param, in_path=in_path)
    if row.get("deleted"):
        raise missing("customer", customer_id, param, in_path=in_path)
    return row


def full_address(sent: JSON | None) -> JSON | None:
    """An address as answers show it: every part there, null when unknown."""
    if sent is None:
        return None
    return {part: sent.get(part) for part in ("city", "country", "line1", "line2", "postal_code", "state")}


def full_shipping(sent: JSON | None) -> JSON | None:
    if sent is None:
        return None
    return {**sent, "address": full_address(sent.get("address"))}


def _changes(world: World, row: JSON, params: JSON) -> JSON:
    changes = {name: params[name] for name in _PLAIN if name in params}
    if "address" in changes:
        changes["address"] = full_address(changes["address"])
    if changes.get("shipping"):
        sent = changes["shipping"]
        shown = {"address": full_address(sent["address"]), "name": sent["name"], "phone": sent.get("phone")}
        changes["shipping"] = shown
    for name in ("business_name", "individual_name"):
        if name in changes and changes[name] is None:
            del changes[name]
    if changes.get("preferred_locales", ()) is None:
        changes["preferred_locales"] = []
    if "tax_exempt" in changes:
        changes["tax_exempt"] = changes["tax_exempt"] or "none"
    if "metadata" in params:
        changes["metadata"] = merged_metadata(row["metadata"], params["metadata"])
    if "invoice_settings" in params:
        sent = params["invoice_settings"]
        default = sent.get("default_payment_method")
        if default is not None:
            param = "invoice_settings[default_payment_method]"
            method = payment_methods.existing(world, default, param)
            if method["customer"] != row["id"]:
                raise payment_methods.not_attached(method["id"], row["id"], param)
        changes["invoice_settings"] = {**row["invoice_settings"], **sent}
    return changes


@route(
    "POST",
    "/v1/customers",
    {**_WRITABLE, "payment_method": ID, "tax_id_data": List(tax_ids.DATA), "test_clock": ID},
)
def create(world: World, call: Call) -> JSON:
    params = call.params
    row: JSON = {
        "id": world.ids.new("cus", 14),
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": world.timestamp(),
        "currency": None,
        "customer_account": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_prefix": world.ids.text("invoice_prefix", 8).upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": {},
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }
    if "test_clock" in params:
        row["test_clock"] = world.find("test_helpers.test_clock", params["test_clock"], "test_clock")["id"]
    method = None
    settings = params.get("invoice_settings", {})
    wanted = params.get("payment_method")
    if wanted is not None:
        method = payment_methods.resolve(world, wanted)
        payment_methods.check_attachable(world, method, row["id"])
        if settings.get("default_payment_method") == wanted:
            params["invoice_settings"] = {**settings, "default_payment_method": None}
            row["invoice_settings"]["default_payment_method"] = method["id"]
    row.update(_changes(world, row, params))
    if method is not None and settings.get("default_payment_method") == wanted:
        row["invoice_settings"]["default_payment_method"] = method["id"]
    world.add(row)
    world.emit("customer.created", row)
    for data in params.get("tax_id_data", ()):
        tax_ids.make(world, row, data)
    if method is not None:
        payment_methods.attach_to(world, method, row["id"])
    return row


@route("GET", "/v1/customers/*")
def retrieve(world: World, call: Call) -> JSON:
    return world.find("customer", call.ids[0], "id", in_path=True)


@route("POST", "/v1/customers/*", {**_WRITABLE, "default_source": ID})
def update(world: World, call: Call) -> JSON:
    row = live(world, call.ids[0], "id", in_path=True)
    changes = _changes(world, row, call.params)
    if "default_source" in call.params:
        changes["default_source"] = _own_source(world, row["id"], call.params["default_source"])
    previous = world.change(row, **changes)
    if previous:
        world.emit("customer.updated", row, previous)
    return row


def _own_source(world: World, customer_id: str, source_id: str) -> str:
    source = world.tables["payment_method"].get(source_id)
    if source is None or source["customer"] != customer_id or not legacy.is_legacy(source_id):
        raise missing("source", source_id[:200], "default_source", in_path=False)
    return source_id


@route("DELETE", "/v1/customers/*")
def delete(world: World, call: Call) -> JSON:
    row = live(world, call.ids[0], "id", in_path=True)
    for method in list(world.tables["payment_method"].newest_first({"customer": row["id"]})):
        payment_methods.detach_from(world, method)
    world.emit("customer.deleted", row)
    # Final, and the rest is forgotten: only this is left to be retrieved.
    kept = {"id": row["id"], "object": "customer", "deleted": True}
    world.bury(row, kept)
    return kept


@route("GET", "/v1/customers", {**CREATED_PAGE, "email": Text(512), "test_clock": ID})
def index(world: World, call: Call) -> JSON:
    filters = {"email": call.params.get("email"), "test_clock": call.params.get("test_clock")}
    return page(world, call, "customer", "/v1/customers", filters)
