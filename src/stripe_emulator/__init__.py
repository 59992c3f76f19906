"""A stateful stand-in for Stripe: its API, its webhooks and Stripe.js."""

from __future__ import annotations

from . import faults
from .clock import Clock
from .engine import Emulator
from .exchange import Response
from .webhooks import Delivery
from .world import API_VERSION

__all__ = ["API_VERSION", "Clock", "Delivery", "Emulator", "Response", "faults"]
