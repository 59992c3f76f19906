"""The whole API: importing this registers every route, and names the background jobs."""

from __future__ import annotations

from collections.abc import Callable

from .core.tables import JSON
from .core.world import World
from .resources import (  # noqa: F401 - importing a resource registers its routes
    account,
    browser,
    catalog,
    challenges,
    charges,
    checkout_sessions,
    configurations,
    customers,
    disputes,
    events,
    files,
    paying,
    payment_intents,
    payment_links,
    payment_methods,
    payouts,
    refunds,
    searches,
    setup_intents,
    tax_ids,
    test_clocks,
    tokens,
    wallets,
    webhook_endpoints,
)
from .wire.routing import ROUTES, resolve

JOBS: dict[str, Callable[[World, JSON], None]] = {
    "complete_session": checkout_sessions.complete_job,
    "expire_session": checkout_sessions.expire_job,
    "fraud_warning": disputes.warn_job,
    "lapse_hold": paying.lapse_hold,
    "payout_fails": payouts.fails_job,
    "payout_paid": payouts.paid_job,
    "payout_reconciled": payouts.reconciled,
    "payout_run": payouts.run,
    "payout_sent": payouts.sent_job,
    "payout_traced": payouts.traced_job,
    "refund_fails": refunds.fails,
    "refund_reference": refunds.reference_arrives,
    "refund_succeeds": refunds.succeeds,
    "settle": charges.settle_job,
    "verdict": disputes.verdict_job,
}

__all__ = ["JOBS", "ROUTES", "resolve"]
