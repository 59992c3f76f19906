"""Evidence for a payer's bank, by Stripe's API: drafted from our books, staged at Stripe, sent once.

https://docs.stripe.com/api/disputes/update
"""

from __future__ import annotations

from collections.abc import Mapping

from django.utils import translation
from django.utils.translation import gettext as _

from checkout import clock
from checkout.contract import Actor, actor
from checkout.errors import CannotPay
from checkout.gateway import gateway
from checkout.journal import Code, Why
from checkout.models import Dispute, StateChange
from checkout.services import disputes

#: Stripe takes so many characters of a text.
LONGEST = 20_000


def why_not(dispute: Dispute) -> str:
    """Why no evidence can be sent, in the office's words; empty when it can."""
    if dispute.kind == Dispute.Kind.FRAUD_WARNING:
        return _("A bank asks for no evidence with its warning.")
    if not dispute.is_open:
        return _("The bank has decided.")
    if dispute.evidence_sent:
        return _("The evidence was sent already, and the bank takes it once.")
    if dispute.due_by is not None and dispute.due_by < clock.now():
        return _("The date has passed, so the bank takes no evidence any more.")
    return ""


def draft(dispute: Dispute) -> dict[str, str]:
    """What our books have for Stripe's fields; in English, as banks read it."""
    checkout = dispute.checkout
    if checkout is None:
        return {}
    name, bracket, email = checkout.payer.partition(" <")
    with translation.override("en"):
        texts = [f"{title}\n{text}" for title, text in disputes.evidence_texts(dispute) if text]
        return {
            "customer_name": name if bracket else "",
            "customer_email_address": email.rstrip(">") if bracket else name,
            "product_description": "\n".join(checkout.description_lines),
            "uncategorized_text": "\n\n".join(texts)[:LONGEST],
        }


def send(dispute: Dispute, evidence: Mapping[str, str], user: Actor, *, submit: bool) -> Dispute:
    """Keep evidence at Stripe, or (`submit`) send it to the bank, which it takes once. Outside of any transaction.

    Raises CannotPay when the bank takes none any more, OutcomeUnknown when Stripe gave no answer.
    """
    if refusal := why_not(dispute):
        raise CannotPay(refusal)
    read_at = clock.now()
    answer = gateway().send_evidence(dispute.dispute_id, evidence, submit=submit)
    if dispute.checkout is not None:
        state = dispute.checkout.state_id or ""
        why = Why(Code.EVIDENCE_SENT if submit else Code.EVIDENCE_KEPT, dispute=dispute.dispute_id)
        StateChange.objects.create(
            checkout=dispute.checkout, from_state=state, to_state=state, user=actor(user), **why.columns
        )
    return disputes.take_dispute(answer, read_at)
