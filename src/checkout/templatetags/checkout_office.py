"""Template tags of the staff pages."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from checkout import advice
from checkout.models import Checkout, Dispute, ObjectPaymentPlanInstalment

register = template.Library()


@register.simple_tag
def state(slug: str, *, debt: bool = False) -> SafeString:
    """`{% state checkout.state_id %}`: where an attempt stands, as a coloured word (`debt=True`: what is owed)."""
    names = advice.DEBT_NAMES if debt else advice.STATE_NAMES
    return _coloured(slug, names.get(slug, slug))


@register.simple_tag
def attempt_state(checkout: Checkout) -> SafeString:
    """`{% attempt_state checkout %}`: where an attempt stands; one that took no money is not called paid."""
    return _coloured(*advice.attempt_state(checkout))


@register.simple_tag
def line_state(line: ObjectPaymentPlanInstalment) -> SafeString:
    """`{% line_state line %}`: where a line of a plan stands, as a coloured word. One that was written off, or taken
    off, is over and was not paid."""
    return (
        _coloured("stopped", capfirst(line.get_ended_display()))
        if line.ended
        else state(line.state_id or "", debt=True)
    )


@register.simple_tag
def dispute_state(dispute: Dispute) -> SafeString:
    """`{% dispute_state dispute %}`: where it stands, as a coloured word."""
    return _coloured(*advice.dispute_state(dispute))


def _coloured(colour: str, text: object) -> SafeString:
    return format_html('<span class="office-state office-{}">{}</span>', colour, text)
