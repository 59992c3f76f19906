"""Template tags: money for a reader, and what a payment plan would mean."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import Any

from django import template
from django.templatetags.static import static
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language

from checkout import brand, clock, csp
from checkout.conf import conf
from checkout.errors import CheckoutError
from checkout.models import CheckoutSettings, PaymentPlan
from checkout.money import format_money

register = template.Library()


@register.filter
def money(amount: Decimal | None, currency: str = "") -> str:
    """`{{ instalment.amount|money:plan.currency }}`: the amount as the reader writes it; empty for no amount."""
    if amount is None:
        return ""
    return format_money(amount, currency or conf.CHECKOUT_CURRENCY, get_language() or "en-gb")


@register.simple_tag
def checkout_brand() -> str:
    """The site's colours and font (CHECKOUT_BRAND) as a stylesheet; nothing for a site that says none."""
    sheet = brand.stylesheet()
    if not sheet:
        return ""
    version = hashlib.sha256(sheet.encode()).hexdigest()[:12]
    return format_html('<link rel="stylesheet" href="{}?{}">', reverse("checkout.brand"), version)


@register.simple_tag
def checkout_logo() -> str:
    """The site's logo (CHECKOUT_BRAND), with the organisation's name for who cannot see it; nothing without one."""
    if not (logo := brand.brand()["logo"]):
        return ""
    image = '<p class="checkout-logo"><img src="{}" alt="{}" height="40"></p>'
    return format_html(image, logo, conf.STRIPE_CAPTION)


@register.simple_tag(takes_context=True)
def checkout_script(context: Any, path: str, override_do_success_action: object = False) -> SafeString:
    """The element that loads a script of ours, with the page's nonce, and with the file's hash where its name changes
    with its content (ManifestStaticFilesStorage)."""
    known = csp.integrity(path) if csp.is_pinned() else ""
    nonce = str(context.get("csp_nonce") or "")
    return format_html(
        '<script src="{}" defer{}{}{}></script>',
        static(path),
        " data-override-do-success-action" if override_do_success_action else "",
        format_html(' nonce="{}"', nonce) if nonce else "",
        format_html(' integrity="{}"', known) if known else "",
    )


@register.inclusion_tag("checkout/_plan_example.html")
def checkout_payment_plan_example(
    total: Decimal, payment_plan: PaymentPlan | None = None, currency: str = ""
) -> dict[str, Any]:
    """Every date and amount if a plan over `total` were agreed today; the site's default plan unless one is named.

    A total that the plan cannot split shows the sentence that says what would work.
    """
    plan = payment_plan or CheckoutSettings.objects.settings.default_payment_plan
    code = currency or conf.CHECKOUT_CURRENCY
    context: dict[str, Any] = {"payment_plan": plan, "currency": code, "total": total, "lines": [], "problem": ""}
    if plan is None:
        return context
    try:
        context["lines"] = plan.lines(clock.today(), total, code)
    except CheckoutError as problem:
        context["problem"] = str(problem)
    return context
