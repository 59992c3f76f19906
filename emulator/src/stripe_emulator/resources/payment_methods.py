"""Payment methods (https://docs.stripe.com/api/payment_methods). Cards only; test cards only."""

from __future__ import annotations

import re
import time
from typing import Any

from stripe_emulator.core.errors import ApiError, invalid, missing, refused
from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import World, changed
from stripe_emulator.wire import legacy
from stripe_emulator.wire.listing import page
from stripe_emulator.wire.params import Choice, Hash, Integer, Kind, Text, merged_metadata
from stripe_emulator.wire.routing import Call, route
from stripe_emulator.wire.specs import (
    BILLING,
    CARD_DATA,
    CONNECT,
    CREATED_PAGE,
    ID,
    METADATA,
    METHOD_DATA,
    METHOD_TYPE,
    PAGE,
)

from .cards import BY_NAME, BY_TOKEN, Card, card_for, luhn
from .declines import Decline, decline_for

_NEVER_USED_AGAIN = (
    "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, shared with a "
    "connected account without Customer attachment, or was detached from a Customer. It may not be used again. To "
    "use a PaymentMethod multiple times, you must attach it to a Customer first."
)
_USED_UP = (
    "This PaymentMethod was previously used without being attached to a Customer or was detached from a Customer, "
    "and may not be used again."
)
_RAW_NUMBERS = (
    "Sending credit card numbers directly to the Stripe API is generally unsafe. To continue processing use Stripe.js, "
    "the Stripe mobile bindings, or Stripe Elements. In tests, use a name such as pm_card_visa instead."
)


# -- finding and making ---------------------------------------------------------------------------------
def existing(world: World, method_id: str, param: str = "payment_method", *, in_path: bool = False) -> JSON:
    """The payment method; one of Stripe's names (pm_card_visa) makes a new one each time."""
    card = BY_NAME.get(method_id)
    if card is not None:
        return make(world, card)
    row = world.tables["payment_method"].get(method_id)
    if row is None:
        raise missing("PaymentMethod", method_id[:200], param, in_path=in_path)
    return row


def resolve(world: World, method_id: str) -> JSON:
    return existing(world, method_id)


def make(
    world: World, card: Card, data: JSON | None = None, *, prefix: str = "pm", customer: str | None = None
) -> JSON:
    """A new payment method for that card; `data` as in `payment_method_data`, already checked."""
    data = data or {}
    sent = data.get("card") or {}
    # Stripe's names and tokens stand for a card with its security code.
    cvc_given = sent.get("cvc") is not None or "number" not in sent
    row: JSON = {
        "id": world.ids.new(prefix),
        "object": "payment_method",
        "allow_redisplay": data.get("allow_redisplay") or "unspecified",
        "billing_details": billing(data.get("billing_details")),
        "card": card_body(world, card, int(sent.get("exp_month") or 12), int(sent.get("exp_year") or 0), sent),
        "created": world.timestamp(),
        "customer": customer,
        "customer_account": None,
        "livemode": False,
        "metadata": merged_metadata({}, data.get("metadata") or {}),
        "type": "card",
    }
    if cvc_given:
        row["card"]["checks"]["cvc_check"] = "unchecked"
    world.add(row)
    world.hide(row["id"])["number"] = card.number
    return row


def card_body(world: World, card: Card, exp_month: int, exp_year: int, sent: JSON) -> JSON:
    preferred = (sent.get("networks") or {}).get("preferred")
    return {
        "brand": card.brand,
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": None},
        "country": card.country,
        "display_brand": {"amex": "american_express", "diners": "diners_club", "unionpay": "union_pay"}.get(
            card.brand, card.brand
        ),
        # Names such as pm_card_visa expire a few years from now, as Stripe's do.
        "exp_month": exp_month,
        "exp_year": exp_year or time.gmtime(world.now()).tm_year + 3,
        "fingerprint": world.ids.of(f"fingerprint/{card.number}"),
        "funding": card.funding,
        "generated_from": None,
        "last4": card.last4,
        "networks": {"available": [n for n in (card.second_network, card.brand) if n], "preferred": preferred},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": card.three_d_secure},
        "wallet": None,
    }


def billing(sent: JSON | None) -> JSON:
    sent = sent or {}
    address = sent.get("address") or {}
    return {
        "address": {p: address.get(p) for p in ("city", "country", "line1", "line2", "postal_code", "state")},
        "email": sent.get("email"),
        "name": sent.get("name"),
        "phone": sent.get("phone"),
        "tax_id": sent.get("tax_id"),
    }


def from_data(world: World, data: JSON, *, publishable: bool, name: str = "payment_method_data") -> JSON:
    """The method that `payment_method_data` describes."""
    if data["type"] != "card":
        raise invalid(
            f"The payment method type provided: {data['type']} is invalid. Please ensure the provided type is "
            "activated in your dashboard and your account is enabled for any preview features that you are trying "
            "to use. (The emulator accepts cards only.)",
            f"{name}[type]" if name else "type",
        )
    sent = data.get("card")
    if not sent:
        raise invalid("Missing required param: card.", f"{name}[card]" if name else "card", "parameter_missing")
    if "token" in sent:
        card = BY_TOKEN.get(sent["token"])
        if card is None:
            raise missing("token", sent["token"][:200], "card[token]", in_path=False)
        return make(world, card, {**data, "card": {"networks": sent.get("networks")}})
    for part in ("number", "exp_month", "exp_year"):
        if part not in sent:
            raise invalid(f"Missing required param: card[{part}].", f"card[{part}]", "parameter_missing")
    if not publishable:
        # What Stripe does unless an account asked for raw card data: 402, card_error.
        raise ApiError(402, _RAW_NUMBERS, type="card_error", param="number")
    card, clean = check_card(world, sent)
    return make(world, card, {**data, "card": clean})


def _wrong(decline_code: str) -> ApiError:
    found = decline_for(decline_code)
    return ApiError(402, found.message, type="card_error", code=found.code, param=found.param)


def check_number(typed: str) -> str:
    """A card number as it was typed, without the blanks; an error of Stripe's for one that no card can have."""
    number = re.sub(r"[ -]", "", typed)
    if not number.isascii() or not number.isdigit() or not 12 <= len(number) <= 19:
        raise _wrong("invalid_number")
    if not luhn(number):
        raise _wrong("incorrect_number")
    return number


def check_card(world: World, sent: JSON) -> tuple[Card, JSON]:
    """What Stripe.js and the API check of a typed-in card before any bank is asked."""
    number = check_number(sent["number"])
    month, year = sent["exp_month"], sent["exp_year"]
    if not re.fullmatch(r"[0-9]{1,2}", month) or not 1 <= int(month) <= 12:
        raise _wrong("invalid_expiry_month")
    if not re.fullmatch(r"[0-9]{2}|[0-9]{4}", year):
        raise _wrong("invalid_expiry_year")
    today = time.gmtime(world.now())
    full_year = int(year) + (2000 if len(year) == 2 else 0)
    if not today.tm_year <= full_year <= today.tm_year + 50:
        raise _wrong("invalid_expiry_year")
    if full_year == today.tm_year and int(month) < today.tm_mon:
        raise _wrong("invalid_expiry_month")
    card = card_for(number)
    cvc = sent.get("cvc")
    if cvc is not None and not re.fullmatch(rf"[0-9]{{{card.cvc_length}}}", cvc):
        raise _wrong("invalid_cvc")
    return card, {**sent, "exp_month": int(month), "exp_year": full_year, "number": number}


# -- what a method may be used for ------------------------------------------------------------------------
def facts(world: World, method: JSON) -> JSON:
    return world.hide(method["id"])


def card_of(world: World, method: JSON) -> Card:
    return card_for(world.hidden[method["id"]]["number"])


def used_up(world: World, method: JSON) -> bool:
    known = facts(world, method)
    return method["customer"] is None and bool(known.get("used") or known.get("detached"))


def check_usable(world: World, method: JSON, **details: Any) -> None:
    if used_up(world, method):
        raise invalid(_NEVER_USED_AGAIN, "payment_method", **details)


def not_attached(method_id: str, customer_id: str, param: str) -> ApiError:
    message = (
        f"The customer does not have a payment method with the ID {method_id}. The payment method must be attached to "
        f"the customer {customer_id}."
    )
    return invalid(message, param, "resource_missing")


def check_attachable(world: World, method: JSON, customer_id: str) -> None:
    if method["customer"] not in (None, customer_id):
        raise refused("The payment method you provided has already been attached to a customer.")
    if used_up(world, method):
        raise refused(_USED_UP, param="payment_method")
    card = card_of(world, method)
    if method["customer"] is None and card.decline is not None and not card.saves:
        raise card_error(card.decline, payment_method=dict(method))


def card_error(decline: Decline, **details: Any) -> ApiError:
    """402 for a decline (https://docs.stripe.com/api/errors, declines/codes)."""
    return ApiError(
        402,
        decline.message,
        type="card_error",
        begun=True,
        **decline_facts(decline),
        **details,
    )


def decline_facts(decline: Decline) -> JSON:
    """The attributes of an error that tell of a decline; those that are not known are left out."""
    found = {
        "code": decline.code,
        "decline_code": decline.decline_code,
        "advice_code": decline.advice_code,
        "network_advice_code": decline.network_advice_code,
        "network_decline_code": decline.network_decline_code,
        "param": decline.param,
    }
    return {name: value for name, value in found.items() if value is not None}


def pass_checks(world: World, method: JSON, card: Card) -> None:
    """What the bank said of the security code and the address when it was asked, of as much as it was given."""
    checks = dict(method["card"]["checks"])
    address = method["billing_details"]["address"]
    for check, known in (
        ("cvc_check", checks["cvc_check"] is not None),
        ("address_line1_check", address["line1"] is not None),
        ("address_postal_code_check", address["postal_code"] is not None),
    ):
        if known:
            checks[check] = "fail" if check in card.failed_checks else "pass"
            if card.address_unavailable and check != "cvc_check":
                checks[check] = "unavailable"
    world.change(method, card={**method["card"], "checks": checks})


def attach_to(world: World, method: JSON, customer_id: str) -> None:
    if method["customer"] == customer_id:
        return
    world.change(method, customer=customer_id)
    world.emit("payment_method.attached", method)


def change(world: World, method: JSON, kind: str, **changes: Any) -> None:
    """Write `changes` and tell of them, if there are any, by an event of that kind; of an old card as of a source."""
    old = legacy.is_legacy(method["id"])
    before = legacy.shown(method) if old else {}
    previous = world.change(method, **changes)
    if not previous:
        return
    if old:
        after = legacy.shown(method)
        different = {name: changed(before[name], after[name]) for name in after if before[name] != after[name]}
        world.emit("customer.source.updated", after, different)
    else:
        world.emit(kind, method, previous)


def detach_from(world: World, method: JSON) -> None:
    """For good: a detached method can be neither attached nor used again."""
    customer_id = method["customer"]
    customer = world.tables["customer"].get(customer_id)
    facts(world, method)["detached"] = True
    shown = legacy.shown(method) if legacy.is_legacy(method["id"]) else None
    previous = world.change(method, customer=None)
    if customer is not None and not customer.get("deleted"):
        settings = customer["invoice_settings"]
        if settings["default_payment_method"] == method["id"]:
            world.change(customer, invoice_settings={**settings, "default_payment_method": None})
        if customer["default_source"] == method["id"]:
            world.change(customer, default_source=None)
    if shown is not None:
        world.emit("customer.source.deleted", shown)
    else:
        world.emit("payment_method.detached", method, previous)


# -- requests -----------------------------------------------------------------------------------------------
@route(
    "POST",
    "/v1/payment_methods",
    {**METHOD_DATA.known, "type": METHOD_TYPE, "customer": CONNECT, "payment_method": CONNECT, "metadata": METADATA},
    publishable=True,
)
def create(world: World, call: Call) -> JSON:
    if "type" not in call.params:
        raise invalid("Missing required param: type.", "type", "parameter_missing")
    return from_data(world, call.params, publishable=call.publishable, name="")


@route("GET", "/v1/payment_methods/*")
def retrieve(world: World, call: Call) -> JSON:
    return existing(world, call.ids[0], in_path=True)


_CARD_UPDATE = Hash(
    {"exp_month": Integer(1, 12), "exp_year": Integer(2000, 2100), "networks": CARD_DATA.known["networks"]}
)
_UPDATE: dict[str, Kind] = {
    "allow_redisplay": Choice("always", "limited", "unspecified"),
    "billing_details": BILLING,
    "card": _CARD_UPDATE,
    "metadata": METADATA,
}


@route("POST", "/v1/payment_methods/*", _UPDATE)
def update(world: World, call: Call) -> JSON:
    method = existing(world, call.ids[0], in_path=True)
    if method["customer"] is None:
        raise refused(
            "You must save this PaymentMethod to a customer before you can update it.", param="payment_method"
        )
    params = call.params
    changes: JSON = {name: params[name] for name in ("allow_redisplay",) if name in params}
    if "billing_details" in params:
        changes["billing_details"] = _merged_billing(method["billing_details"], params["billing_details"])
    if "card" in params:
        sent = dict(params["card"])
        networks = sent.pop("networks", None)
        changes["card"] = {**method["card"], **sent}
        if networks:
            changes["card"]["networks"] = {**method["card"]["networks"], **networks}
    if "metadata" in params:
        changes["metadata"] = merged_metadata(method["metadata"], params["metadata"])
    change(world, method, "payment_method.updated", **changes)
    return method


def _merged_billing(old: JSON, sent: JSON) -> JSON:
    merged = {**old, **sent}
    if "address" in sent:
        merged["address"] = {**old["address"], **(sent["address"] or dict.fromkeys(old["address"]))}
    return merged


@route("POST", "/v1/payment_methods/*/attach", {"customer": ID, "customer_account": Text()}, ("customer",))
def attach(world: World, call: Call) -> JSON:
    from .customers import live

    customer = live(world, call.params["customer"])
    method = existing(world, call.ids[0], in_path=True)
    check_attachable(world, method, customer["id"])
    pass_checks(world, method, card_of(world, method))
    attach_to(world, method, customer["id"])
    return method


@route("POST", "/v1/payment_methods/*/detach")
def detach(world: World, call: Call) -> JSON:
    method = existing(world, call.ids[0], in_path=True)
    if method["customer"] is None:
        raise refused(
            "The payment method you provided is not attached to a customer so detachment is impossible.",
            param="payment_method",
        )
    detach_from(world, method)
    return method


@route(
    "GET",
    "/v1/payment_methods",
    {**CREATED_PAGE, "customer": ID, "type": METHOD_TYPE, "allow_redisplay": Choice("always", "limited", "unspecified"),
     "customer_account": Text()},
)  # fmt: skip
def index(world: World, call: Call) -> JSON:
    customer = call.params.get("customer")
    if customer is None:
        # Stripe lists nothing that belongs to nobody.
        return {"object": "list", "data": [], "has_more": False, "url": "/v1/payment_methods"}
    return page(world, call, "payment_method", "/v1/payment_methods", _filters(call, customer))


_OF_CUSTOMER: dict[str, Kind] = {
    **PAGE,
    "type": METHOD_TYPE,
    "allow_redisplay": Choice("always", "limited", "unspecified"),
}


@route("GET", "/v1/customers/*/payment_methods", _OF_CUSTOMER)
def of_customer(world: World, call: Call) -> JSON:
    customer = world.find("customer", call.ids[0], "customer", in_path=True)["id"]
    url = f"/v1/customers/{customer}/payment_methods"
    return page(world, call, "payment_method", url, _filters(call, customer))


def _filters(call: Call, customer: str) -> JSON:
    names = ("type", "allow_redisplay")
    return {"customer": customer, **{name: call.params.get(name) for name in names}}


@route("GET", "/v1/customers/*/payment_methods/*")
def one_of_customer(world: World, call: Call) -> JSON:
    customer = world.find("customer", call.ids[0], "customer", in_path=True)
    method = existing(world, call.ids[1], in_path=True)
    if method["customer"] != customer["id"]:
        raise missing("PaymentMethod", call.ids[1], "payment_method", in_path=True)
    return method
