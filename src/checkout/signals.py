"""For listeners other than the host's own row. Sent after the commit; a receiver that fails harms nothing."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.db import transaction
from django.dispatch import Signal

#: Each is sent with `checkout`.
checkout_succeeded = Signal()
checkout_failed = Signal()
pay_on_session_required = Signal()
#: Each is sent with `refund`.
checkout_refunded = Signal()
checkout_refund_failed = Signal()


def send_after_commit(signal: Signal, checkout: Any) -> None:
    """Send `signal` about `checkout` once the open transaction has committed, and not at all if it does not."""
    transaction.on_commit(partial(signal.send_robust, sender=type(checkout), checkout=checkout))
