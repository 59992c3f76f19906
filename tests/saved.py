"""Saved cards and agreements as rows only, for tests that need no page."""

from __future__ import annotations

import uuid
from typing import Any

from checkout import clock
from checkout.models import Agreement, Customer, SavedCard


def saved_card(customer: Customer, **columns: Any) -> SavedCard:
    """A card of this customer that Stripe never heard of, unless `columns` say otherwise."""
    known = {"stripe_customer_id": "cus_1", "payment_method_id": f"pm_{uuid.uuid4().hex}", "set_up_at": clock.now()}
    return SavedCard.objects.create(customer=customer, **(known | columns))


def agreed(card: SavedCard, **columns: Any) -> Agreement:
    """What its owner agreed to: everything that staff ask for, unless `columns` say otherwise."""
    known = {"kind": Agreement.Kind.PAPER, "text": "As agreed.", "version": "1", "other_amounts": True}
    return Agreement.objects.create(saved_card=card, **(known | columns))
