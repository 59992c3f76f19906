"""Wallets in the browser: the domains that may show them, and the cards that the stand-in for a wallet holds.

https://docs.stripe.com/api/payment_method_domains; https://docs.stripe.com/payments/payment-methods/pmd-registration
"""

from __future__ import annotations

import re

from stripe_emulator.core.errors import invalid
from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import World
from stripe_emulator.wire.listing import page
from stripe_emulator.wire.params import Boolean, Choice, List, Text
from stripe_emulator.wire.routing import Call, route
from stripe_emulator.wire.specs import PAGE

from . import configurations, payment_methods
from .cards import card_for

_URL = "/v1/payment_method_domains"
WALLETS = ("apple_pay", "google_pay")
_NEED_A_DOMAIN = ("amazon_pay", "apple_pay", "google_pay", "klarna", "link", "paypal")
_HOST = re.compile(r"(?!-)[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*\Z")
# Who pays with the stand-in, as a wallet would tell.
_PAYER = {"name": "Test Payer", "email": "payer@example.com", "phone": "+44 20 7946 0000"}
_ADDRESS = {"line1": "1 Test Street", "city": "London", "postal_code": "SW1A 1AA", "country": "GB"}


@route("POST", _URL, {"domain_name": Text(253), "enabled": Boolean()}, ("domain_name",))
def create(world: World, call: Call) -> JSON:
    """A domain of ours, once for each name: registering it again answers with the one that is there."""
    name = call.params["domain_name"].lower()
    if not _HOST.match(name):
        raise invalid(f"The domain name {name[:80]} is not valid: leave out scheme, port and path.", "domain_name")
    known = next(world.tables["payment_method_domain"].newest_first({"domain_name": name}), None)
    if known is not None:
        return known
    row: JSON = {
        "id": world.ids.new("pmd"),
        "object": "payment_method_domain",
        **{method: {"status": "active"} for method in _NEED_A_DOMAIN},
        "created": world.timestamp(),
        "domain_name": name,
        "enabled": call.params.get("enabled", True),
        "livemode": False,
    }
    return world.add(row)


def _find(world: World, call: Call) -> JSON:
    return world.find("payment_method_domain", call.ids[0], "payment_method_domain", in_path=True)


@route("GET", f"{_URL}/*")
def retrieve(world: World, call: Call) -> JSON:
    return _find(world, call)


@route("POST", f"{_URL}/*", {"enabled": Boolean()})
def update(world: World, call: Call) -> JSON:
    row = _find(world, call)
    world.change(row, **{name: call.params[name] for name in ("enabled",) if name in call.params})
    return row


@route("POST", f"{_URL}/*/validate")
def validate(world: World, call: Call) -> JSON:
    """Stripe looks at the domain again. Nothing of it can be wrong here."""
    return _find(world, call)


@route("GET", _URL, {**PAGE, "domain_name": Text(253), "enabled": Boolean()})
def index(world: World, call: Call) -> JSON:
    filters = {name: call.params.get(name) for name in ("domain_name", "enabled")}
    return page(world, call, "payment_method_domain", _URL, filters)


# -- for the stand-in of Stripe.js -----------------------------------------------------------------------------
@route("POST", "/v1/emulator/wallets", {"domain_name": Text(253)}, ("domain_name",), publishable=True)
def offered(world: World, call: Call) -> JSON:
    """The wallets that a page of that domain may show: none unless it was registered, and those switched on."""
    domain = next(world.tables["payment_method_domain"].newest_first({"domain_name": call.params["domain_name"]}), None)
    settings = configurations.default(world)
    shown = [wallet for wallet in WALLETS if settings[wallet]["display_preference"]["value"] == "on"]
    return {"object": "emulator.wallets", "wallets": shown if domain is not None and domain["enabled"] else []}


@route(
    "POST",
    "/v1/emulator/wallet_cards",
    {"collect": List(Choice("email", "phone")), "number": Text(19), "wallet": Choice(*WALLETS)},
    ("number", "wallet"),
    publishable=True,
)
def card_in_wallet(world: World, call: Call) -> JSON:
    """The payment method that a wallet hands over once its payer approved."""
    wallet, number = call.params["wallet"], payment_methods.check_number(call.params["number"])
    told = {name: _PAYER[name] for name in ("name", *call.params.get("collect", ()))}
    method = payment_methods.make(world, card_for(number), {"billing_details": {**told, "address": _ADDRESS}})
    card = {**method["card"], "wallet": {wallet: {}, "dynamic_last4": None, "type": wallet}}
    if wallet == "apple_pay":
        # Not the number on the plastic but one of the device: it has last four digits and a fingerprint of its own.
        device = int(number) * 7 + 1
        card["wallet"]["dynamic_last4"] = f"{device % 10_000:04}"
        card["fingerprint"] = world.ids.of(f"fingerprint/apple_pay/{number}")
    world.change(method, card=card)
    return method
