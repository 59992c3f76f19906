"""For listeners other than the host's own row. Sent after the commit; a receiver that fails harms nothing."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from django.db import transaction
from django.dispatch import Signal

#: With `checkout`: a payment, an instalment (its `content_object` is the line) or a saved card succeeded.
checkout_succeeded = Signal()
#: With `checkout`: it ended without success; `checkout.superseded` when a newer attempt took its place.
checkout_failed = Signal()
#: With `checkout`: the bank requires the payer.
pay_on_session_required = Signal()
#: With `checkout`: its card was declined, and nothing more is tried without the payer or staff.
payment_overdue = Signal()
#: With `refund`: the money went back.
checkout_refunded = Signal()
#: With `refund`: it did not, or it came back days later.
checkout_refund_failed = Signal()

#: With `plan`: nothing more is taken of it. Its row is not changed by that: a site that has to act listens here.
checkout_plan_stopped = Signal()

#: With `posting`: a movement was written down in the books.
checkout_posted = Signal()


def posted(postings: Iterable[Any]) -> None:
    """Tell of postings once the open transaction has committed. Costs nothing on a site that does not listen."""
    for posting in postings:
        # Asked for this sender: who listens to it alone is not among the listeners to any.
        if checkout_posted.has_listeners(type(posting)):
            transaction.on_commit(partial(checkout_posted.send_robust, sender=type(posting), posting=posting))


def send_after_commit(signal: Signal, checkout: Any) -> None:
    """Send `signal` about `checkout` once the open transaction has committed, and not at all if it does not."""
    transaction.on_commit(partial(signal.send_robust, sender=type(checkout), checkout=checkout))
