"""The main flows, through our gateway: each is told as facts that have to be the same at Stripe and at the emulator."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, timedelta
from typing import Any

import stripe

from checkout.errors import GatewayError
from checkout.gateway import Gateway

#: What a flow found out, in the order in which it did.
Facts = Iterator[tuple[str, Any]]
IDS = ("pi_", "seti_", "pm_", "cus_", "re_", "pyr_", "ch_", "py_", "acct_")
RETURN = "https://example.com/return"


class Here:
    """One of the two: our gateway, and the SDK for what a payer's browser does."""

    def __init__(self, gateway: Gateway, client: stripe.StripeClient) -> None:
        self.gateway, self.v1 = gateway, client.v1

    def payer(self, card: str = "pm_card_visa") -> dict[str, str]:
        key = str(uuid.uuid4())
        customer = self.gateway.create_customer(
            email="test@example.com", name="", metadata={"test": key}, idempotency_key=key
        )
        method = self.v1.payment_methods.attach(card, {"customer": customer})
        return {"customer_id": customer, "payment_method_id": method.id}

    def charge(self, payer: dict[str, str], key: str = "", **changes: Any) -> Any:
        key = key or str(uuid.uuid4())
        request: dict[str, Any] = {
            "amount_minor": 1234,
            "currency": "GBP",
            "description": "A test of checkout",
            "metadata": {"checkout": key},
            "idempotency_key": key,
        }
        return self.gateway.charge_off_session(**request | payer | changes)

    def page(self, **changes: Any) -> Any:
        key = str(uuid.uuid4())
        request: dict[str, Any] = {
            "amount_minor": 1234,
            "currency": "GBP",
            "description": "A test of checkout",
            "metadata": {"checkout": key},
            "idempotency_key": key,
        }
        return self.gateway.create_payment_intent(**request | changes)

    def types(self, intent_id: str, card: str) -> Any:
        """The payer confirms on the page; a refusal there is an answer, too."""
        with contextlib.suppress(stripe.CardError):
            self.v1.payment_intents.confirm(intent_id, {"payment_method": card, "return_url": RETURN})
        return self.gateway.retrieve_payment_intent(intent_id)

    def refund(self, intent_id: str, amount_minor: int, key: str = "") -> Any:
        return self.gateway.create_refund(
            payment_intent_id=intent_id,
            amount_minor=amount_minor,
            reason="requested_by_customer",
            metadata={"refund": "test"},
            idempotency_key=key or str(uuid.uuid4()),
        )


def told(ask: Callable[[], Any]) -> Any:
    """What comes back, or the error as the app sees it: its class and Stripe's code."""
    try:
        return plain(ask())
    except GatewayError as problem:
        return {"error": type(problem).__name__, "code": getattr(problem, "code", "")}


def plain(value: Any) -> Any:
    """As facts: an id is its kind, a time is a time, a secret is there or not; sentences are Stripe's to word."""
    match value:
        case datetime.datetime():
            return "a time"
        case str() if (
            value.split("_")[0] in {"pi", "seti", "pm", "cus", "re", "pyr", "ch", "py", "acct"} and "_" in value
        ):
            return f"{value.split('_')[0]}_…"
        case dict() as pairs:
            return {str(key): "…" if key in {"checkout", "test"} else plain(one) for key, one in pairs.items()}
        case list() | tuple():
            return [plain(one) for one in value]
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            hidden = {"client_secret", "fingerprint", "message", "request_id"}
            # They depend on the day, and on the bank that Stripe plays.
            skipped = {"exp_month", "exp_year", "network_decline_code", "network_advice_code"}
            return {
                each.name: bool(getattr(value, each.name)) if each.name in hidden else plain(getattr(value, each.name))
                for each in dataclasses.fields(value)
                if each.name not in skipped
            }
        case _:
            return value


# -- the flows -----------------------------------------------------------------------------------------------


def a_payment_on_the_page(here: Here) -> Facts:
    begun = here.page()
    yield "begun", plain(begun)
    yield "paid", plain(here.types(begun.id, "pm_card_visa"))
    yield "cancelled after", told(lambda: here.gateway.cancel_payment_intent(begun.id))


def a_decline_on_the_page(here: Here) -> Facts:
    begun = here.page()
    yield "declined", plain(here.types(begun.id, "pm_card_visa_chargeDeclinedInsufficientFunds"))
    yield "paid with another card", plain(here.types(begun.id, "pm_card_mastercard"))


def authentication_on_the_page(here: Here) -> Facts:
    begun = here.page()
    yield "asked", plain(here.types(begun.id, "pm_card_threeDSecure2Required"))
    yield "left", told(lambda: here.gateway.cancel_payment_intent(begun.id))
    yield "left twice", told(lambda: here.gateway.cancel_payment_intent(begun.id))


def a_card_for_a_plan(here: Here) -> Facts:
    whose, key = here.payer(), str(uuid.uuid4())
    begun = here.gateway.create_setup_intent(
        customer_id=whose["customer_id"], description="A test", metadata={"checkout": key}, idempotency_key=key
    )
    yield "begun", plain(begun)
    here.v1.setup_intents.confirm(begun.id, {"payment_method": "pm_card_mastercard", "return_url": RETURN})
    saved = here.gateway.retrieve_setup_intent(begun.id)
    yield "saved", plain(saved)
    yield "an instalment", plain(here.charge(whose | {"payment_method_id": saved.payment_method_id}))
    yield "cancelled after", told(lambda: here.gateway.cancel_setup_intent(begun.id))


def an_instalment(here: Here) -> Facts:
    whose, key = here.payer(), str(uuid.uuid4())
    taken = here.charge(whose, key)
    yield "taken", plain(taken)
    yield "read", plain(here.gateway.retrieve_payment_intent(taken.id))
    yield "asked twice is one charge", here.charge(whose, key).id == taken.id
    yield "the same key for something else", told(lambda: here.charge(whose, key, amount_minor=999))
    since = datetime.datetime.now(UTC) - timedelta(minutes=5)
    listed = list(here.gateway.list_payment_intents(since=since, customer_id=whose["customer_id"]))
    yield "found by its mark", [row.metadata.get("checkout") == key for row in listed]


def a_declined_instalment(here: Here) -> Facts:
    declined = here.charge(here.payer("pm_card_chargeCustomerFail"))
    yield "declined", plain(declined)
    yield "read", plain(here.gateway.retrieve_payment_intent(declined.id))


def an_instalment_that_the_bank_wants_confirmed(here: Here) -> Facts:
    waits = here.charge(here.payer("pm_card_authenticationRequired"))
    yield "refused", plain(waits)
    yield "wants the payer", waits.wants_payer
    yield "paid on the page", plain(here.types(waits.id, "pm_card_visa"))


def a_refund(here: Here) -> Facts:
    paid, key = here.charge(here.payer()), str(uuid.uuid4())
    part = here.refund(paid.id, 234, key)
    yield "a part", plain(part)
    yield "asked twice is one refund", here.refund(paid.id, 234, key).id == part.id
    yield "more than is left", told(lambda: here.refund(paid.id, 1001))
    yield "the rest", told(lambda: here.refund(paid.id, 1000))
    yield "once more", told(lambda: here.refund(paid.id, 1))
    yield "listed", [row.amount_minor for row in here.gateway.list_refunds(payment_intent_id=paid.id)]


def a_card_that_is_gone(here: Here) -> Facts:
    whose = here.payer()
    yield "there", plain(here.gateway.retrieve_payment_method(whose["payment_method_id"]))
    here.gateway.detach_payment_method(whose["payment_method_id"])
    yield "charged", told(lambda: here.charge(whose))
    yield "read", told(lambda: here.gateway.retrieve_payment_method(whose["payment_method_id"]))


def a_customer_that_is_gone(here: Here) -> Facts:
    whose = here.payer()
    yield "there", here.gateway.customer_exists(whose["customer_id"])
    here.v1.customers.delete(whose["customer_id"])
    yield (
        "deleted",
        [
            here.gateway.customer_exists(whose["customer_id"]),
            here.gateway.knew_customer(whose["customer_id"]),
        ],
    )
    yield "charged", told(lambda: here.charge(whose))
    yield "never there", here.gateway.knew_customer("cus_doesnotexist")


def what_is_wrong(here: Here) -> Facts:
    whose = here.payer()
    yield "too little", told(lambda: here.charge(whose, amount_minor=1))
    yield "no such currency", told(lambda: here.charge(whose, currency="XXQ"))
    yield "no such intent", told(lambda: here.gateway.retrieve_payment_intent("pi_doesnotexist"))
    yield "no such card", told(lambda: here.charge(whose | {"payment_method_id": "pm_doesnotexist"}))
    yield "no such setup", told(lambda: here.gateway.retrieve_setup_intent("seti_doesnotexist"))


FLOWS: tuple[Callable[[Here], Facts], ...] = (
    a_payment_on_the_page,
    a_decline_on_the_page,
    authentication_on_the_page,
    a_card_for_a_plan,
    an_instalment,
    a_declined_instalment,
    an_instalment_that_the_bank_wants_confirmed,
    a_refund,
    a_card_that_is_gone,
    a_customer_that_is_gone,
    what_is_wrong,
)
