"""From the SDK's objects and exceptions to our values and errors. The table's default is "unknown", never "failed"."""

from __future__ import annotations

import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import stripe

from checkout.errors import (
    GatewayError,
    GatewayRefused,
    KeyRefused,
    NotFoundAtStripe,
    OutcomeUnknown,
    TooManyRequests,
)
from checkout.gateway.values import Card, Decline, PaymentIntent, PaymentMethod, SetupIntent, WebhookEndpoint


def payment_intent(source: Any, request_id: str = "") -> PaymentIntent:
    plain = _plain(source)
    return PaymentIntent(
        id=plain["id"],
        status=plain["status"],
        amount_minor=plain["amount"],
        amount_received_minor=plain.get("amount_received") or 0,
        currency=plain["currency"].upper(),
        customer_id=_id(plain.get("customer")),
        payment_method_id=_id(plain.get("payment_method")),
        created_at=_moment(plain["created"]),
        livemode=bool(plain.get("livemode")),
        metadata=plain.get("metadata") or {},
        decline=_decline(plain.get("last_payment_error")),
        card=_paid_with(plain.get("latest_charge")),
        client_secret=plain.get("client_secret") or "",
        request_id=request_id,
    )


def setup_intent(source: Any, request_id: str = "") -> SetupIntent:
    plain = _plain(source)
    method = plain.get("payment_method")
    return SetupIntent(
        id=plain["id"],
        status=plain["status"],
        customer_id=_id(plain.get("customer")),
        payment_method_id=_id(method),
        card=_card(method) if isinstance(method, dict) else None,
        created_at=_moment(plain["created"]),
        livemode=bool(plain.get("livemode")),
        metadata=plain.get("metadata") or {},
        decline=_decline(plain.get("last_setup_error")),
        client_secret=plain.get("client_secret") or "",
        request_id=request_id,
    )


def payment_method(source: Any) -> PaymentMethod:
    plain = _plain(source)
    return PaymentMethod(id=plain["id"], customer_id=_id(plain.get("customer")), card=_card(plain))


def webhook_endpoint(source: Any) -> WebhookEndpoint:
    plain = _plain(source)
    return WebhookEndpoint(
        id=plain["id"],
        url=plain["url"],
        enabled=plain.get("status") == "enabled",
        events=frozenset(plain.get("enabled_events") or ()),
        api_version=plain.get("api_version") or "",
    )


def http_date(value: str | None) -> datetime.datetime | None:
    """The moment of an HTTP Date header; None when there is none that can be read."""
    try:
        found = parsedate_to_datetime(value) if value else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


def error(problem: stripe.StripeError) -> GatewayError:
    """What a failed request means for the money.

    Only a refusal that Stripe gives before it does any work counts as "nothing happened" (status table at
    https://docs.stripe.com/error-low-level). Whatever is not listed here is unknown, never a failure.
    """
    code = problem.error.code if problem.error is not None and "code" in problem.error else problem.code
    known: dict[str, str] = {"code": code or "", "request_id": problem.request_id or ""}
    match problem:
        case stripe.AuthenticationError() | stripe.PermissionError():
            return KeyRefused(
                "Stripe refused our key, so nothing was asked. Check STRIPE_SECRET_KEY and what the key may do.",
                **known,
            )
        case stripe.RateLimitError():
            return TooManyRequests("Stripe was too busy for this request. Try again a little slower.", **known)
        case stripe.InvalidRequestError() if known["code"] == "resource_missing":
            return NotFoundAtStripe(f"Stripe does not know what was asked for: {_message(problem)}", **known)
        case stripe.InvalidRequestError():
            return GatewayRefused(f"Stripe refused the request: {_message(problem)}", **known)
        case _:
            return OutcomeUnknown(
                f"Stripe gave no answer that tells what happened ({type(problem).__name__}). "
                "Nothing is assumed; reconcile asks again.",
                **known,
            )


def intent_on(problem: stripe.StripeError, name: str) -> Any:
    """The `payment_intent` or `setup_intent` that rides on an error, as plain data, or None."""
    body = problem.json_body if isinstance(problem.json_body, dict) else {}
    details = body.get("error")
    return details.get(name) if isinstance(details, dict) else None


def decline_of(problem: stripe.CardError) -> Decline:
    body = problem.json_body if isinstance(problem.json_body, dict) else {}
    return _decline(body.get("error") or {}) or Decline(code=problem.code or "card_declined")


def _decline(details: Any) -> Decline | None:
    if not details:
        return None
    # Only a card error's text is meant for payers (https://docs.stripe.com/error-handling).
    message = details.get("message") if details.get("type") == "card_error" else ""
    return Decline(
        code=details.get("code") or "",
        decline_code=details.get("decline_code") or "",
        message=message or "",
        advice_code=details.get("advice_code") or "",
        network_advice_code=details.get("network_advice_code") or "",
        network_decline_code=details.get("network_decline_code") or "",
        payment_method_id=_id(details.get("payment_method")),
    )


def _card(method: dict[str, Any]) -> Card | None:
    # A legacy card_… read through the PaymentMethods API has the same shape
    # (https://docs.stripe.com/payments/payment-methods/migrate-from-legacy-cards-sources).
    card = method.get("card")
    if not card:
        return None
    return Card(
        brand=card.get("brand") or "",
        last4=card.get("last4") or "",
        exp_month=card.get("exp_month"),
        exp_year=card.get("exp_year"),
        fingerprint=card.get("fingerprint") or "",
        wallet=(card.get("wallet") or {}).get("type") or "",
    )


def _paid_with(charge: Any) -> Card | None:
    """The card of a charge that was asked for with its intent
    (https://docs.stripe.com/api/charges/object#charge_object-payment_method_details-card)."""
    paid = isinstance(charge, dict) and charge.get("paid")
    return _card(charge.get("payment_method_details") or {}) if paid else None


def _plain(source: Any) -> dict[str, Any]:
    if isinstance(source, dict):
        return source
    plain: Any = source.data if isinstance(source, stripe.StripeResponse) else source.to_dict()
    return dict(plain)


def _id(value: Any) -> str:
    """The id of something that may be expanded, or absent."""
    if isinstance(value, dict):
        return str(value.get("id") or "")
    return value or ""


def _moment(seconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC)


def _message(problem: stripe.StripeError) -> str:
    return str(problem.user_message or "no reason given")
