"""The only room that talks to Stripe. Its verbs take our words, refuse an open transaction, and answer values."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

import stripe
from django.core.signals import setting_changed
from django.db import connections

from checkout.conf import conf
from checkout.errors import (
    GatewayError,
    GatewayRefused,
    InsideTransaction,
    KeyRefused,
    NotFoundAtStripe,
)
from checkout.gateway import translate
from checkout.gateway.books import BooksVerbs
from checkout.gateway.money_back import RefundVerbs
from checkout.gateway.sending import until_answered
from checkout.gateway.things import ThingVerbs
from checkout.gateway.transport import http_client
from checkout.gateway.values import Decline, PaymentIntent, PaymentMethod, Probe, SetupIntent, WebhookEndpoint
from checkout.gateway.wallets import WalletVerbs

logger = logging.getLogger("checkout.gateway")

#: The version that stripe-python 16.1 pins, and that the webhook endpoint should be made with.
API_VERSION: Final = "2026-10-28.endive"

#: What a saved card is used for, as the card networks want to know it: a fixed number of parts of one purchase, or
#: amounts as they come up (https://docs.stripe.com/changelog/endive, 2026-10-28).
INSTALMENT_USAGE: Final = "installment"
UNSCHEDULED_USAGE: Final = "unscheduled"

#: Stripe's largest page (https://docs.stripe.com/api/pagination).
PAGE: Final = 100

# At DEBUG the SDK logs whole answers, client secrets included; no site's log level may bring those into a log.
logging.getLogger("stripe").addFilter(lambda record: record.levelno > logging.DEBUG)

# Otherwise the SDK writes a file into the home directory and sends platform data with each request.
stripe.enable_telemetry = False


def assert_no_transaction() -> None:
    """Raises InsideTransaction when any database transaction is open in this thread."""
    for connection in connections.all(initialized_only=True):
        # _from_testcase is private Django (checked on 5.2 to 6.1); without it every TestCase would trip the guard.
        if any(not getattr(block, "_from_testcase", False) for block in connection.atomic_blocks):
            raise InsideTransaction(
                "Stripe would be called inside transaction.atomic(): a rollback cannot give money back. "
                "Commit what you know first, then call the gateway."
            )


class Gateway(RefundVerbs, BooksVerbs, WalletVerbs, ThingVerbs):
    """Stripe, in the words of this app. Amounts are int minor units, currencies ISO codes in capitals.

    Every method raises OutcomeUnknown when no answer tells what happened, and a subclass of NothingHappened when Stripe
    refused before doing anything. A decline is an answer: it comes back as the intent.
    """

    def __init__(self, client: stripe.StripeClient) -> None:
        self._v1 = client.v1
        self._raw: Any = client.raw_request
        self._account_id: str | None = None

    # -- payment intents ---------------------------------------------------------------------------

    def create_payment_intent(
        self,
        *,
        amount_minor: int,
        currency: str,
        description: str,
        metadata: dict[str, str],
        idempotency_key: str,
        customer_id: str = "",
        save_card: bool = False,
        receipt_email: str = "",
    ) -> PaymentIntent:
        """An intent for a payer who is on the page; Stripe.js confirms it. `save_card` keeps the card on the customer
        for instalments (https://docs.stripe.com/payments/save-during-payment)."""
        params: dict[str, Any] = {
            "amount": amount_minor,
            "currency": currency.lower(),
            # None is left out; an empty text would be refused.
            "description": description or None,
            "metadata": metadata,
            # Card only: a debit or a buy-now-pay-later method would need words on the page that are not there.
            "allowed_payment_method_types": ["card"],
        }
        if customer_id:
            params["customer"] = customer_id
        if receipt_email:
            params["receipt_email"] = receipt_email
        if save_card:
            params["setup_future_usage"] = "off_session"
            params["payment_method_options"] = {"card": {"setup_credential_usage": INSTALMENT_USAGE}}
        return self._payment_intent(
            "payment_intents.create",
            lambda: self._v1.payment_intents.create(params, _key(idempotency_key)),  # type: ignore[arg-type]
        )

    def charge_off_session(
        self,
        *,
        amount_minor: int,
        currency: str,
        customer_id: str,
        payment_method_id: str,
        description: str,
        metadata: dict[str, str],
        idempotency_key: str,
        usage: str = INSTALMENT_USAGE,
        receipt_email: str = "",
    ) -> PaymentIntent:
        """Create and confirm in one call while the payer is away. Sent by the SDK, and read without its objects: making
        them, and values of them, took a third of the CPU time of a call.

        The card is always named: without it Stripe may fall back to the customer's legacy default source. Redirects are
        ruled out because a confirm without `return_url` is refused otherwise
        (https://docs.stripe.com/api/payment_intents/confirm#confirm_payment_intent-return_url).
        """
        params: dict[str, Any] = {
            "amount": amount_minor,
            "currency": currency.lower(),
            "customer": customer_id,
            "payment_method": payment_method_id,
            "confirm": True,
            "off_session": True,
            "description": description or None,
            "metadata": metadata,
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
            "payment_method_options": {"card": {"stored_credential_usage": usage}},
        }
        if receipt_email:
            params["receipt_email"] = receipt_email
        # Not the SDK's own retries, see `until_answered`.
        options: Any = _key(idempotency_key) | {"max_network_retries": 0}
        return until_answered(
            lambda: self._payment_intent(
                "payment_intents.charge", lambda: self._raw("post", "/v1/payment_intents", **params, **options)
            )
        )

    def retrieve_payment_intent(self, intent_id: str) -> PaymentIntent:
        # An empty id would turn the request into the list of all intents.
        _require_id(intent_id)
        return self._payment_intent(
            "payment_intents.retrieve",
            # The charge tells which card was paid with.
            lambda: self._raw("get", f"/v1/payment_intents/{quote(intent_id, safe='')}", expand=["latest_charge"]),
        )

    def cancel_payment_intent(self, intent_id: str) -> PaymentIntent:
        """Cancel, or learn why it cannot be: the answer is the intent as it now stands (it may have succeeded)."""
        _require_id(intent_id)
        return self._payment_intent(
            "payment_intents.cancel",
            lambda: self._v1.payment_intents.cancel(intent_id, {"cancellation_reason": "abandoned"}),
        )

    def list_payment_intents(
        self, *, since: datetime, until: datetime | None = None, customer_id: str = ""
    ) -> Iterator[PaymentIntent]:
        """Intents created from `since` to `until`, newest first, a hundred per call."""
        params = _window(since, until) | {"expand": ["data.latest_charge"]}
        if customer_id:
            params["customer"] = customer_id
        yield from self._pages("payment_intents.list", "/v1/payment_intents", params, translate.payment_intent)

    # -- setup intents -----------------------------------------------------------------------------

    def create_setup_intent(
        self, *, customer_id: str, description: str, metadata: dict[str, str], idempotency_key: str
    ) -> SetupIntent:
        """An intent that saves the payer's card for instalments; Stripe.js confirms it."""
        params: dict[str, Any] = {
            "customer": customer_id,
            "usage": "off_session",
            "description": description or None,
            "metadata": metadata,
            "allowed_payment_method_types": ["card"],
            "payment_method_options": {"card": {"setup_credential_usage": INSTALMENT_USAGE}},
            "expand": ["payment_method"],
        }
        return self._setup_intent(
            "setup_intents.create",
            lambda: self._v1.setup_intents.create(params, _key(idempotency_key)),  # type: ignore[arg-type]
        )

    def retrieve_setup_intent(self, intent_id: str) -> SetupIntent:
        _require_id(intent_id)
        return self._setup_intent(
            "setup_intents.retrieve",
            lambda: self._raw("get", f"/v1/setup_intents/{quote(intent_id, safe='')}", expand=["payment_method"]),
        )

    def cancel_setup_intent(self, intent_id: str) -> SetupIntent:
        """Cancel, or learn why it cannot be: the answer is the intent as it now stands."""
        _require_id(intent_id)
        return self._setup_intent(
            "setup_intents.cancel",
            lambda: self._v1.setup_intents.cancel(
                intent_id, {"cancellation_reason": "abandoned", "expand": ["payment_method"]}
            ),
        )

    def list_setup_intents(self, *, since: datetime, until: datetime | None = None) -> Iterator[SetupIntent]:
        params = _window(since, until) | {"expand": ["data.payment_method"]}
        yield from self._pages("setup_intents.list", "/v1/setup_intents", params, translate.setup_intent)

    # -- customers and cards -----------------------------------------------------------------------

    def create_customer(self, *, email: str, name: str, metadata: dict[str, str], idempotency_key: str) -> str:
        """Stripe's id of the new customer. Stripe does not keep addresses unique; our row does."""
        params: dict[str, Any] = {"email": email, "name": name or None, "metadata": metadata}
        made = self._call(
            "customers.create",
            lambda: self._v1.customers.create(params, _key(idempotency_key)),  # type: ignore[arg-type]
        )
        return str(made.id)

    def update_customer(self, customer_id: str, *, email: str, name: str) -> None:
        """Give a customer another name and address (https://docs.stripe.com/api/customers/update)."""
        _require_id(customer_id)
        params: dict[str, Any] = {"email": email, "name": name}
        self._call("customers.update", lambda: self._v1.customers.update(customer_id, params))  # type: ignore[arg-type]

    def customer_exists(self, customer_id: str) -> bool:
        """False for a customer that was deleted at Stripe, or never was."""
        _require_id(customer_id)
        try:
            found = self._call("customers.retrieve", lambda: self._v1.customers.retrieve(customer_id))
        except NotFoundAtStripe:
            return False
        return not getattr(found, "deleted", False)

    def knew_customer(self, customer_id: str) -> bool:
        """True for a customer that is there or was: Stripe keeps telling of one that was deleted
        (https://docs.stripe.com/api/customers/retrieve). False means that our key is of another account."""
        _require_id(customer_id)
        try:
            self._call("customers.retrieve", lambda: self._v1.customers.retrieve(customer_id))
        except NotFoundAtStripe:
            return False
        return True

    def retrieve_payment_method(self, payment_method_id: str) -> PaymentMethod:
        _require_id(payment_method_id)
        path = f"/v1/payment_methods/{quote(payment_method_id, safe='')}"
        return translate.payment_method(self._call("payment_methods.retrieve", lambda: self._raw("get", path)))

    def detach_payment_method(self, payment_method_id: str) -> None:
        """Take a card off its customer, for good (https://docs.stripe.com/api/payment_methods/detach)."""
        _require_id(payment_method_id)
        self._call("payment_methods.detach", lambda: self._v1.payment_methods.detach(payment_method_id))

    # -- looking at the account, for the doctor ------------------------------------------------------

    def probe(self) -> Probe:
        """One small read that any key of ours may make: does Stripe answer, in which version, and what time is it
        there (by the Date header of the answer)."""
        answer = self._call("payment_intents.probe", lambda: self._v1.payment_intents.list({"limit": 1}))
        headers = answer.last_response.headers
        return Probe(headers.get("Stripe-Version") or "", translate.http_date(headers.get("Date")))

    def account_id(self) -> str:
        """Of which account our key is (acct_…), asked once; empty for a restricted key that may not read it."""
        if self._account_id is None:
            try:
                self._account_id = str(self._call("accounts.own", self._v1.accounts.retrieve_current).id)
            except (GatewayRefused, KeyRefused):
                self._account_id = ""
        return self._account_id

    def webhook_endpoints(self) -> list[WebhookEndpoint]:
        """Where Stripe sends events. Raises KeyRefused for a restricted key that may not read it."""
        answer = self._call("webhook_endpoints.list", lambda: self._v1.webhook_endpoints.list({"limit": PAGE}))
        return [translate.webhook_endpoint(row) for row in answer.data]

    # -- how every call is made ----------------------------------------------------------------------

    def _payment_intent(self, name: str, ask: Callable[[], Any]) -> PaymentIntent:
        return self._intent(name, ask, "payment_intent", translate.payment_intent)

    def _setup_intent(self, name: str, ask: Callable[[], Any]) -> SetupIntent:
        return self._intent(name, ask, "setup_intent", translate.setup_intent)

    def _intent(self, name: str, ask: Callable[[], Any], kind: str, to_value: Callable[..., Any]) -> Any:
        """An intent comes back even when the request failed, if Stripe put it on the error: a decline, or a state that
        does not allow what was asked. Both are answers."""
        try:
            answer = self._call(name, ask, raw=True)
            return to_value(answer, _request_id(answer))
        except stripe.CardError as problem:
            carried = translate.intent_on(problem, kind)
            if carried is None:
                raise _Declined(translate.decline_of(problem), problem.request_id or "") from problem
            return to_value(carried, problem.request_id or "")
        except stripe.InvalidRequestError as problem:
            carried = translate.intent_on(problem, kind)
            if carried is None or not (problem.code or "").endswith("_unexpected_state"):
                raise translate.error(problem) from problem
            return to_value(carried, problem.request_id or "")

    def _call(self, name: str, ask: Callable[[], Any], *, raw: bool = False) -> Any:
        """Ask, with one log line that carries no secret: what, how long, how it ended, Stripe's request id."""
        assert_no_transaction()
        started = time.perf_counter()
        outcome, request_id = "ok", ""
        try:
            answer = ask()
            request_id = _request_id(answer)
            return answer
        except stripe.StripeError as problem:
            outcome, request_id = type(problem).__name__, problem.request_id or ""
            if raw and isinstance(problem, stripe.CardError | stripe.InvalidRequestError):
                raise
            raise translate.error(problem) from problem
        finally:
            logger.info(
                "stripe %s %s",
                name,
                outcome,
                extra={
                    "call": name,
                    "outcome": outcome,
                    "request_id": request_id,
                    "milliseconds": round((time.perf_counter() - started) * 1000, 1),
                },
            )

    def _pages(
        self, name: str, path: str, params: dict[str, Any], to_value: Callable[[dict[str, Any]], Any]
    ) -> Iterator[Any]:
        """All that Stripe lists at `path` (https://docs.stripe.com/api/pagination). The SDK makes no objects of it:
        they took most of the time of a page."""
        cursor: dict[str, Any] = {}
        while True:
            answer = self._call(name, lambda: self._raw("get", path, **params, **cursor))  # noqa: B023 - called at once
            page = answer.data
            yield from (to_value(row) for row in page["data"])
            if not page["has_more"]:
                return
            cursor = {"starting_after": page["data"][-1]["id"]}


class _Declined(GatewayRefused):
    """A card was refused and no intent came with the answer."""

    def __init__(self, decline: Decline, request_id: str) -> None:
        super().__init__(decline.message or "The card was declined.", code=decline.code, request_id=request_id)
        self.decline = decline


def _request_id(answer: Any) -> str:
    """Stripe's id of the request, by which its support finds it."""
    return getattr(getattr(answer, "last_response", answer), "request_id", "") or ""


def _key(idempotency_key: str) -> stripe.RequestOptions:
    return {"idempotency_key": idempotency_key}


def _window(since: datetime, until: datetime | None) -> dict[str, Any]:
    created = {"gte": int(since.timestamp())}
    if until is not None:
        created["lt"] = int(until.timestamp()) + 1
    return {"created": created, "limit": PAGE}


def _require_id(value: str) -> None:
    if not value:
        raise GatewayError("Stripe was to be asked about an empty id; that would answer with a list of everything.")


# -- one client per process --------------------------------------------------------------------------

_lock = threading.Lock()
_cached: tuple[int, Gateway] | None = None


def gateway() -> Gateway:
    """The gateway of this process, made when first needed: after a fork the connections must not be shared."""
    global _cached  # noqa: PLW0603 - one client per process is the point
    with _lock:
        if _cached is None or _cached[0] != os.getpid():
            _cached = (os.getpid(), Gateway(_client()))
        return _cached[1]


def _client() -> stripe.StripeClient:
    sends_with: stripe.HTTPClient = (
        conf.load("CHECKOUT_STRIPE_HTTP_CLIENT")() if conf.CHECKOUT_STRIPE_HTTP_CLIENT else http_client()
    )
    addresses: Any = {"api": conf.CHECKOUT_STRIPE_API_BASE} if conf.CHECKOUT_STRIPE_API_BASE else {}
    return stripe.StripeClient(
        conf.required("STRIPE_SECRET_KEY"),
        stripe_version=API_VERSION,
        base_addresses=addresses,
        http_client=sends_with,
        # The SDK's own retries send the same idempotency key, so they cannot charge twice; its default is none.
        max_network_retries=conf.CHECKOUT_STRIPE_MAX_RETRIES,
    )


def _forget(*, setting: str, **kwargs: Any) -> None:
    global _cached  # noqa: PLW0603
    if setting.startswith(("STRIPE_", "CHECKOUT_STRIPE_")):
        _cached = None


setting_changed.connect(_forget, dispatch_uid="checkout.gateway.forget")
