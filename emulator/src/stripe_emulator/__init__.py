"""A stateful stand-in for Stripe: its API, its webhooks and Stripe.js."""

from __future__ import annotations

from .core import faults
from .core.clock import Clock
from .core.versions import NEWEST as API_VERSION
from .engine import Emulator
from .exchange import Response
from .webhooks.outbox import Delivery

__version__ = "0.1.0"

__all__ = ["API_VERSION", "Clock", "Delivery", "Emulator", "Response", "faults"]
