"""Every name that host sites rely on, with its signature. A change here is a change for them."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest
from django.core.management import get_commands, load_command_class
from django.template.loader import get_template
from django.urls import get_resolver

SIGNATURES = {
    "checkout.errors:CheckoutError": None,
    "checkout.models:Checkout.failed": None,
    "checkout.models:Checkout.invoice_data": None,
    "checkout.models:Checkout.is_invoice": None,
    "checkout.models:Checkout.is_manual": None,
    "checkout.models:Checkout.is_payment": None,
    "checkout.models:Checkout.is_payment_plan": None,
    "checkout.models:Checkout.notify": "(self, request=None)",
    "checkout.models:Checkout.objects.audit": "()",
    "checkout.models:Checkout.objects.charge": "(content_object, user=None)",
    "checkout.models:Checkout.objects.create_checkout": "(action, content_object, user=None, **options)",
    "checkout.models:Checkout.objects.create_checkout_pay_on_session": "(instalment, user=None, **options)",
    "checkout.models:Checkout.objects.manual": "(content_object, user=None)",
    "checkout.models:Checkout.objects.stripe_intent_fulfillment": "()",
    "checkout.models:Checkout.objects.success": "()",
    "checkout.models:CheckoutAction.objects": None,
    "checkout.models:CheckoutSettings.objects": None,
    "checkout.models:CheckoutState.objects": None,
    "checkout.models:Customer.MAIL_TEMPLATE_CARD_EXPIRY": None,
    "checkout.models:Customer.is_expiring": None,
    "checkout.models:Customer.objects.refresh_credit_card": "(email)",
    "checkout.models:Customer.objects.update_card_expiry": "(email)",
    "checkout.models:ObjectPaymentPlan.charge_deposit": "(self, user=None)",
    "checkout.models:ObjectPaymentPlan.create_instalments": "(self)",
    "checkout.models:ObjectPaymentPlan.objects.charge_deposit": "(content_object, user=None)",
    "checkout.models:ObjectPaymentPlan.objects.create_object_payment_plan": (
        "(content_object, payment_plan, total, **options)"
    ),
    "checkout.models:ObjectPaymentPlan.objects.for_content_object": "(content_object)",
    "checkout.models:ObjectPaymentPlan.payment_count": None,
    "checkout.models:ObjectPaymentPlan.payments": None,
    "checkout.models:ObjectPaymentPlanInstalment.MAIL_TEMPLATE_ON_SESSION_PAYMENT_ANON": None,
    "checkout.models:ObjectPaymentPlanInstalment.MAIL_TEMPLATE_ON_SESSION_PAYMENT_AUTH": None,
    "checkout.models:ObjectPaymentPlanInstalment.objects._user_has_active_account": "(contact)",
    "checkout.models:ObjectPaymentPlanInstalment.objects.process_payments": "(**options)",
    "checkout.models:PaymentPlan.deposit_amount": "(self, total, currency='')",
    "checkout.models:PaymentPlan.example": "(self, deposit_due_date, total, currency='')",
    "checkout.models:PaymentPlan.instalments": "(self, deposit_due_date, total, currency='')",
    "checkout.models:PaymentPlan.objects.create_payment_plan": "(slug, name, deposit, count, interval)",
    "checkout.models:PaymentPlan.objects.current": "()",
    "checkout.signals:checkout_failed": None,
    "checkout.signals:checkout_succeeded": None,
    "checkout.signals:pay_on_session_required": None,
    "checkout.tasks:payment_intent_fulfillment": "()",
    "checkout.tasks:setup_intent_fulfillment": "()",
    "checkout.templatetags.checkout_tags:checkout_payment_plan_example": "(total, payment_plan=None, currency='')",
    "checkout.testing:check_checkout": "(content_object)",
    "checkout.views:CheckoutMixin": None,
    "checkout.views:PaymentChoiceMixin": None,
    "checkout.views:remember_checkout": "(request, checkout, page='')",
}

COMMANDS = [
    "payment_intent_fulfillment",
    "process_payments",
    "reconcile",
    "setup_intent_fulfillment",
    "testing_set_pending_instalment_due",
]

TEMPLATES = ["checkout/_elements.html", "checkout/_elements.js.html"]

URL_NAMES = ["checkout.return"]

#: Values that are the same as a property of a manager: one query each.
LOOKUPS = {
    "CheckoutState": ["fail", "pay_on_session", "pending", "request", "success"],
    "CheckoutAction": ["card_refresh", "charge", "invoice", "manual", "payment", "payment_plan"],
}


def find(path: str) -> Any:
    module, _, names = path.partition(":")
    found: Any = importlib.import_module(module)
    for name in names.split("."):
        found = getattr(found, name)
    return found


@pytest.mark.parametrize(("path", "signature"), SIGNATURES.items())
def test_the_name_exists_with_its_signature(path: str, signature: str | None) -> None:
    found = find(path)
    if signature is not None:
        stripped = inspect.signature(getattr(found, "run", found))
        parameters = [
            parameter.replace(annotation=inspect.Parameter.empty) for parameter in stripped.parameters.values()
        ]
        shown = stripped.replace(parameters=parameters, return_annotation=inspect.Signature.empty)
        assert str(shown) == signature


@pytest.mark.parametrize("name", COMMANDS)
def test_the_command_exists_and_says_whether_it_may_run_twice(name: str) -> None:
    command = load_command_class(get_commands()[name], name)
    assert "again" in command.help or "testing" in command.help


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_template_exists(name: str) -> None:
    assert get_template(name)


@pytest.mark.parametrize("name", URL_NAMES)
def test_the_url_name_exists(name: str) -> None:
    assert name in get_resolver().reverse_dict


@pytest.mark.django_db
@pytest.mark.parametrize(("model", "slug"), [(model, slug) for model, slugs in LOOKUPS.items() for slug in slugs])
def test_the_lookup_row_is_there_under_its_name(model: str, slug: str) -> None:
    assert getattr(find(f"checkout.models:{model}.objects"), slug).slug == slug


def test_the_stylesheet_is_there() -> None:
    from django.contrib.staticfiles import finders

    assert finders.find("checkout/css/checkout.css")
