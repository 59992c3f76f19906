"""Things that happen at banks and in the Dashboard, which no test card offers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from .core.tables import JSON
from .core.world import DAY
from .resources import balance, disputes, issuers, payment_methods, payouts, refunds
from .resources.cards import card_for
from .wire import legacy

if TYPE_CHECKING:
    from .engine import Emulator


class Bank:
    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def replace_card(self, payment_method_id: str, exp_month: int, exp_year: int, last4: str | None = None) -> JSON:
        """The bank sent the payer a new card, and the network told Stripe: `payment_method.automatically_updated`.

        With `last4` the number is new too, and so is the fingerprint; the card behaves as it did.
        """
        with self._emulator.lock:
            world = self._emulator.world
            method = world.get("payment_method", payment_method_id)
            card = {**method["card"], "exp_month": exp_month, "exp_year": exp_year}
            if last4 is not None:
                card |= {"last4": last4, "fingerprint": world.ids.of(f"fingerprint/{payment_method_id}/{last4}")}
            payment_methods.change(world, method, "payment_method.automatically_updated", card=card)
            return dict(method)

    def decline_next(
        self,
        payment_method_id: str,
        decline_code: str = "insufficient_funds",
        times: int = 1,
        *,
        code: str | None = None,
        network_advice_code: str | None = None,
    ) -> None:
        """Decline the next `times` charges of a card that otherwise works.

        The bank itself refuses: with "authentication_required" too there is a failed charge, unlike with the test cards
        that are stopped before it. `code` is the error's code when it is to differ from the usual one; some banks'
        authentication_required has been seen under "card_declined". `network_advice_code` is what the network advises
        when it is to be another than Mastercard usually says (24: in an hour, 25: in a day, 27 to 30: in days).
        """
        with self._emulator.lock:
            facts = self._emulator.world.hide(payment_method_id)
            facts.setdefault("declines", []).extend([[decline_code, code, network_advice_code]] * times)

    def decline_for_days(self, payment_method_id: str, days: float, decline_code: str = "insufficient_funds") -> None:
        """Decline every charge of a card until so many days have passed: there are no funds until payday, for example.

        Of a card whose bank replaced it without a word to anyone: a long time, and "invalid_account".
        """
        with self._emulator.lock:
            world = self._emulator.world
            world.hide(payment_method_id)["declines_until"] = [world.now() + days * DAY, decline_code]

    def block_after(self, tries: int | None, days: float = issuers.TRIES_DAYS) -> None:
        """After so many declines of one card and amount within `days`, Stripe blocks further tries by itself.

        Fifteen in thirty days, unless it is said otherwise; at Stripe it has been seen after a few. None: never. An
        approval begins the count anew. Only the charge tells: `outcome.reason` is previously_declined_do_not_retry.
        """
        with self._emulator.lock:
            issuers.habits(self._emulator.world).update(tries=tries, days=days)

    def moods(self, rate: float, decline_codes: Iterable[str] = ("insufficient_funds", "do_not_honor")) -> None:
        """Let cards that work be declined now and then: on the share `rate` of their days, by one of the codes.

        Which card on which day hangs on the seed alone, so a run can be repeated. A rate of 0 ends it. Raises
        ValueError for a rate outside 0 to 1, or without any code.
        """
        codes = list(decline_codes)
        if not 0 <= rate <= 1 or not codes:
            raise ValueError("moods() takes a rate from 0 to 1, and at least one decline code.")
        with self._emulator.lock:
            issuers.habits(self._emulator.world)["moods"] = {"rate": rate, "codes": codes}

    def add_legacy_card(self, customer_id: str, number: str = "4242424242424242") -> str:
        """A `card_…` saved by the old Cards API: it can be charged and read like a payment method."""
        return self._add_legacy(legacy.CARD, customer_id, number)

    def add_legacy_source(self, customer_id: str, number: str = "4242424242424242") -> str:
        """The same for a `src_…` of the old Sources API."""
        return self._add_legacy(legacy.SOURCE, customer_id, number)

    def _add_legacy(self, prefix: str, customer_id: str, number: str) -> str:
        with self._emulator.lock:
            world = self._emulator.world
            customer = world.get("customer", customer_id)
            row = payment_methods.make(world, card_for(number), prefix=prefix, customer=customer_id)
            payment_methods.facts(world, row)["set_up"] = True
            if customer["default_source"] is None:
                world.change(customer, default_source=row["id"])
            return str(row["id"])

    def payout_schedule(self, interval: str, *, reconciled_last: bool = False) -> None:
        """Pay out by itself from the next midnight (UTC) on: "daily", "weekly" on Mondays, "monthly" on the first.

        "manual" ends it, and is how it begins, though Stripe's accounts begin with "daily". With `reconciled_last` the
        event payout.reconciliation_completed comes after payout.paid: the order is not promised.
        """
        if interval not in payouts.SCHEDULES:
            raise ValueError(f"A schedule is one of {', '.join(payouts.SCHEDULES)}.")
        with self._emulator.lock:
            payouts.begin(self._emulator.world, interval)
            payouts.schedule(self._emulator.world)["reconciled_last"] = reconciled_last

    def fail_payout(self, payout_id: str, failure_code: str = "account_closed") -> JSON:
        """The bank sends a payout back, also after it was paid; the payout as it stands then.

        Raises ValueError for one that is over, and for a code that no bank gives.
        """
        with self._emulator.lock:
            row = self._emulator.world.get("payout", payout_id)
            payouts.fail(self._emulator.world, row, failure_code)
            return dict(row)

    def fail_next_payout(self, failure_code: str = "account_closed") -> None:
        """The next payout is paid, and sent back the day after. Raises ValueError for a code that no bank gives."""
        if failure_code not in payouts.FAILURES:
            raise ValueError(f"A payout fails by one of {', '.join(payouts.FAILURES)}.")
        with self._emulator.lock:
            payouts.schedule(self._emulator.world)["fail_next"] = failure_code

    def move_balance(
        self, amount_minor: int, currency: str = "gbp", *, kind: str = "stripe_fee", description: str | None = None
    ) -> JSON:
        """Stripe itself moves money in the balance, with no payment behind it; the balance transaction.

        `kind` is its type: "stripe_fee" is what Stripe bills for itself (below zero), "adjustment" a correction,
        "payout_minimum_balance_hold" and "payout_minimum_balance_release" what is kept back, and so on. Raises
        ValueError for one that only a payment, a refund or a payout brings, and for nothing at all.
        """
        if kind not in balance.MOVED_BY_STRIPE:
            raise ValueError(f"Stripe moves money by one of {', '.join(balance.MOVED_BY_STRIPE)}.")
        if not amount_minor:
            raise ValueError("Nothing is not moved.")
        with self._emulator.lock:
            category = balance.MOVED_BY_STRIPE[kind]
            world, code = self._emulator.world, currency.lower()
            return dict(
                balance.post(
                    world, kind, amount_minor, code, None, category=category, description=description, at_once=True
                )
            )

    def settle_in(self, currency: str, rates: Mapping[str, float]) -> None:
        """Settle other currencies in `currency` from now on: `rates` says how much of it one unit of each is worth.

        `settle_in("gbp", {"eur": 0.86})`: a charge of 10.00 euros is 8.60 pounds in the balance, at that rate.
        """
        with self._emulator.lock:
            known = balance.rates(self._emulator.world)
            known |= {other.lower(): [currency.lower(), rate] for other, rate in rates.items()}

    def dashboard_refund(self, payment_intent_id: str, amount_minor: int | None = None) -> JSON:
        """Staff refund a payment in Stripe's Dashboard: our server hears of it by webhook only."""
        with self._emulator.lock:
            world = self._emulator.world
            intent = world.get("payment_intent", payment_intent_id)
            charge = world.get("charge", intent["latest_charge"])
            amount = refunds.left(charge) if amount_minor is None else amount_minor
            refunds.check_refundable(world, charge, amount)
            return dict(refunds.make(world, charge, amount, "requested_by_customer", {}))

    def dispute(self, payment_intent_id: str, reason: str = "fraudulent", *, inquiry: bool = False) -> JSON:
        """The payer disputes a payment of any card; the dispute as it stands then.

        Raises ValueError for what cannot be disputed: nothing was taken, all was given back, or it is already disputed.
        """
        with self._emulator.lock:
            world = self._emulator.world
            charge = world.tables["charge"].get(world.get("payment_intent", payment_intent_id)["latest_charge"] or "")
            if charge is None or not charge["amount_captured"]:
                raise ValueError(f"{payment_intent_id} took no payment that could be disputed.")
            if charge["refunded"]:
                raise ValueError(f"{payment_intent_id} was given back: there is nothing left to dispute.")
            if charge["disputed"]:
                raise ValueError(f"{payment_intent_id} is already disputed.")
            return dict(disputes.open_dispute(world, charge, reason, inquiry=inquiry))

    def decide_dispute(self, dispute_id: str, status: str) -> JSON:
        """End a dispute as "won" or "lost"; an inquiry as "warning_closed", or as "needs_response": a chargeback now.

        Raises ValueError for any other status, and when the dispute is over.
        """
        with self._emulator.lock:
            world = self._emulator.world
            row = world.get("dispute", dispute_id)
            disputes.decide(world, row, status)
            return dict(row)
