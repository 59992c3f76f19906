"""Products and prices (https://docs.stripe.com/api/products, /api/prices): what is sold once; no subscriptions."""

from __future__ import annotations

from stripe_emulator.core import money
from stripe_emulator.core.errors import invalid, refused
from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import World
from stripe_emulator.wire.listing import page
from stripe_emulator.wire.params import (
    Boolean,
    Choice,
    Decimal,
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
from stripe_emulator.wire.specs import CREATED_PAGE, ID, METADATA

_PRODUCTS, _PRICES = "/v1/products", "/v1/prices"
_BEHAVIOR = Choice("exclusive", "inclusive", "unspecified")
_SUBSCRIPTIONS = NotEmulated("it has no subscriptions")
_ONE_AMOUNT = NotEmulated("a price has one amount in one currency here")
_TAX = NotEmulated("it reckons no tax")

# -- products ---------------------------------------------------------------------------------------------------
_PRODUCT: dict[str, Kind] = {
    "active": Boolean(),
    "description": Text(40_000, unset=True),
    "images": List(Text(), unset=True),
    "marketing_features": List(Hash({"name": Text(80)}, ("name",)), unset=True),
    "metadata": METADATA,
    "package_dimensions": Hash({n: Decimal() for n in ("height", "length", "weight", "width")}, unset=True),
    "shippable": Boolean(),
    "statement_descriptor": Text(22, unset=True),
    "tax_code": _TAX,
    "tax_details": _TAX,
    "unit_label": Text(12, unset=True),
    "url": Url(unset=True),
}
_PLAIN = ("active", "description", "shippable", "statement_descriptor", "unit_label", "url")
_NEW_PRICE: dict[str, Kind] = {
    "currency": Text(10),
    "currency_options": _ONE_AMOUNT,
    "custom_unit_amount": _ONE_AMOUNT,
    "metadata": METADATA,
    "recurring": _SUBSCRIPTIONS,
    "tax_behavior": _BEHAVIOR,
    "unit_amount": Integer(0),
    "unit_amount_decimal": Decimal(),
}


def _product_changes(row: JSON, params: JSON) -> JSON:
    changes: JSON = {name: params[name] for name in _PLAIN if name in params}
    for name in ("images", "marketing_features"):
        if name in params:
            changes[name] = params[name] or []
    if "package_dimensions" in params:
        sent = params["package_dimensions"]
        changes["package_dimensions"] = sent and {name: float(value) for name, value in sent.items()}
    if "name" in params:
        changes["name"] = params["name"]
    if "metadata" in params:
        changes["metadata"] = merged_metadata(row["metadata"], params["metadata"])
    return changes


@route(
    "POST",
    _PRODUCTS,
    {
        **_PRODUCT,
        "default_price_data": Hash(_NEW_PRICE, ("currency",)),
        "id": Text(200),
        "name": Text(),
        "type": Choice("good", "service"),
    },
    ("name",),
)
def create_product(world: World, call: Call) -> JSON:
    params = call.params
    if params.get("id", "") in world.tables["product"]:
        raise invalid("Product already exists.", "id", "resource_already_exists")
    created = world.timestamp()
    row: JSON = {
        "id": params.get("id") or world.ids.new("prod", 14),
        "object": "product",
        "active": True,
        "created": created,
        "default_price": None,
        "description": None,
        "images": [],
        "livemode": False,
        "marketing_features": [],
        "metadata": {},
        "name": params["name"],
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": None,
        "tax_code": None,
        "type": params.get("type", "service"),
        "unit_label": None,
        "updated": created,
        "url": None,
    }
    row.update(_product_changes(row, params))
    price = None
    if "default_price_data" in params:
        price = _new_price(world, {**params["default_price_data"], "product": row["id"]}, "default_price_data")
        row["default_price"] = price["id"]
    world.add(row)
    world.emit("product.created", row)
    if price is not None:
        world.add(price)
        world.emit("price.created", price)
    return row


def _product(world: World, product_id: str, param: str = "id", *, in_path: bool = True) -> JSON:
    return world.find("product", product_id, param, in_path=in_path)


@route("GET", f"{_PRODUCTS}/*")
def retrieve_product(world: World, call: Call) -> JSON:
    return _product(world, call.ids[0])


@route("POST", f"{_PRODUCTS}/*", {**_PRODUCT, "default_price": ID, "name": Text()})
def update_product(world: World, call: Call) -> JSON:
    row = _product(world, call.ids[0])
    changes = _product_changes(row, call.params)
    if "default_price" in call.params:
        price = existing_price(world, call.params["default_price"], "default_price")
        if price["product"] != row["id"]:
            raise invalid(f"The price {price['id']} does not belong to this product.", "default_price")
        changes["default_price"] = price["id"]
    previous = world.change(row, **changes)
    if previous:
        previous |= world.change(row, updated=world.timestamp())
        world.emit("product.updated", row, previous)
    return row


@route("DELETE", f"{_PRODUCTS}/*")
def delete_product(world: World, call: Call) -> JSON:
    row = _product(world, call.ids[0])
    if next(world.tables["price"].newest_first({"product": row["id"]}), None) is not None:
        raise refused("This product cannot be deleted because it has one or more user-created prices.")
    world.emit("product.deleted", row)
    world.remove("product", row["id"])
    return {"id": row["id"], "object": "product", "deleted": True}


@route(
    "GET",
    _PRODUCTS,
    {
        **CREATED_PAGE,
        "active": Boolean(),
        "ids": List(ID),
        "shippable": Boolean(),
        "type": Choice("good", "service"),
        "url": Text(),
    },
)
def products(world: World, call: Call) -> JSON:
    filters = {name: call.params.get(name) for name in ("active", "shippable", "type", "url")}
    ids = call.params.get("ids")
    return page(world, call, "product", _PRODUCTS, filters, None if ids is None else lambda row: row["id"] in ids)


# -- prices -----------------------------------------------------------------------------------------------------
@route(
    "POST",
    _PRICES,
    {
        **_NEW_PRICE,
        "active": Boolean(),
        "billing_scheme": Choice("per_unit", "tiered"),
        "lookup_key": Text(200),
        "nickname": Text(),
        "product": ID,
        "product_data": Hash(
            {
                "active": Boolean(),
                "id": Text(200),
                "metadata": METADATA,
                "name": Text(),
                "statement_descriptor": Text(22),
                "tax_code": _TAX,
                "tax_details": _TAX,
                "unit_label": Text(12),
            },
            ("name",),
        ),
        "tiers": _SUBSCRIPTIONS,
        "tiers_mode": _SUBSCRIPTIONS,
        "transfer_lookup_key": Boolean(),
        "transform_quantity": _SUBSCRIPTIONS,
    },
    ("currency",),
)
def create_price(world: World, call: Call) -> JSON:
    params = call.params
    if ("product" in params) == ("product_data" in params):
        raise invalid("You must specify either `product` or `product_data` when creating a price.", "product")
    if params.get("billing_scheme") == "tiered":
        raise invalid("The emulator does not take `billing_scheme` tiered: it has no subscriptions.", "billing_scheme")
    if "product" in params:
        _product(world, params["product"], "product", in_path=False)
        row = _new_price(world, params)
    else:
        row = _new_price(world, params)  # refused before a product is made for it
        row["product"] = create_product(
            world, Call((), dict(params["product_data"]), publishable=False, request_id=call.request_id)
        )["id"]
    if row["lookup_key"] is not None:
        _take_lookup_key(world, row["lookup_key"], params.get("transfer_lookup_key", False))
    world.add(row)
    world.emit("price.created", row)
    return row


def _new_price(world: World, params: JSON, param: str = "") -> JSON:
    amount, exact = params.get("unit_amount"), params.get("unit_amount_decimal")
    if (amount is None) == (exact is None):
        name = f"{param}[unit_amount]" if param else "unit_amount"
        raise invalid("You must specify one of `unit_amount` and `unit_amount_decimal`.", name, "parameter_missing")
    if exact is not None and float(exact) == int(float(exact)):
        amount = int(float(exact))
    currency = money.check_currency(params["currency"], f"{param}[currency]" if param else "currency")
    return {
        "id": world.ids.new("price"),
        "object": "price",
        "active": params.get("active", True),
        "billing_scheme": "per_unit",
        "created": world.timestamp(),
        "currency": currency,
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": params.get("lookup_key"),
        "metadata": merged_metadata({}, params.get("metadata") or {}),
        "nickname": params.get("nickname"),
        "product": params.get("product"),
        "recurring": None,
        "tax_behavior": params.get("tax_behavior", "unspecified"),
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "one_time",
        "unit_amount": amount,
        "unit_amount_decimal": exact if exact is not None else str(amount),
    }


def _take_lookup_key(world: World, key: str, transfer: bool) -> None:
    holder = next(world.tables["price"].newest_first({"lookup_key": key}), None)
    if holder is None:
        return
    if not transfer:
        message = f"A price ({holder['id']}) already uses that lookup key."
        raise invalid(message, "lookup_key", "resource_already_exists")
    previous = world.change(holder, lookup_key=None)
    world.emit("price.updated", holder, previous)


def existing_price(world: World, price_id: str, param: str = "price", *, in_path: bool = False) -> JSON:
    return world.find("price", price_id, param, in_path=in_path)


@route("GET", f"{_PRICES}/*")
def retrieve_price(world: World, call: Call) -> JSON:
    return existing_price(world, call.ids[0], in_path=True)


@route(
    "POST",
    f"{_PRICES}/*",
    {
        "active": Boolean(),
        "currency_options": _ONE_AMOUNT,
        "lookup_key": Text(200, unset=True),
        "metadata": METADATA,
        "nickname": Text(unset=True),
        "tax_behavior": _BEHAVIOR,
        "transfer_lookup_key": Boolean(),
    },
)
def update_price(world: World, call: Call) -> JSON:
    row, params = existing_price(world, call.ids[0], in_path=True), call.params
    changes: JSON = {n: params[n] for n in ("active", "lookup_key", "nickname", "tax_behavior") if n in params}
    if changes.get("lookup_key") not in (None, row["lookup_key"]):
        _take_lookup_key(world, changes["lookup_key"], params.get("transfer_lookup_key", False))
    if "metadata" in params:
        changes["metadata"] = merged_metadata(row["metadata"], params["metadata"])
    previous = world.change(row, **changes)
    if previous:
        world.emit("price.updated", row, previous)
    return row


@route(
    "GET",
    _PRICES,
    {
        **CREATED_PAGE,
        "active": Boolean(),
        "currency": Text(10),
        "lookup_keys": List(Text(200)),
        "product": ID,
        "recurring": _SUBSCRIPTIONS,
        "type": Choice("one_time", "recurring"),
    },
)
def prices(world: World, call: Call) -> JSON:
    filters = {name: call.params.get(name) for name in ("active", "currency", "product", "type")}
    keys = call.params.get("lookup_keys")
    where = None if keys is None else lambda row: row["lookup_key"] in keys
    return page(world, call, "price", _PRICES, filters, where)
