"""Bringing Stripe's truth into our books, where the match found that they do not say alike."""

from __future__ import annotations

from django.utils.translation import gettext as _

from checkout.contract import Actor
from checkout.errors import CannotSettle
from checkout.models import BookDifference, Checkout
from checkout.services import books_differences, books_match, disputes, fulfillment, look_back, refunds

Kind = BookDifference.Kind


def adopt(difference: BookDifference, user: Actor) -> None:
    """Read what Stripe knows of it, by the same doors as any news, and compare again.

    Raises CannotSettle when it still differs then, GatewayError when Stripe cannot be asked.
    """
    if not difference.is_open or difference.kind not in BookDifference.ADOPTABLE:
        raise CannotSettle(_("There is nothing at Stripe to take into our books."))
    if difference.kind == Kind.DISPUTE_NOT_HERE:
        disputes.dispute_updated_at_stripe(difference.subject)
    elif difference.kind != Kind.CHARGE_NOT_HERE:
        refunds.refund_updated_at_stripe(difference.subject)
    elif Checkout.objects.filter(payment_intent_id=difference.subject).exists():
        fulfillment.fulfill_payment_intent(difference.subject)
    else:
        look_back.look_at(difference.subject)
    books_match.compare_again(difference)
    if difference.is_open:
        raise CannotSettle(
            _("What Stripe knows was read, and it still differs. Nobody here owes it: give it back, or explain it.")
            if difference.kind == Kind.CHARGE_NOT_HERE
            else _("What Stripe knows was read, and it still differs. Explain it, or tell a developer.")
        )
    books_differences.adopted(difference, user)
