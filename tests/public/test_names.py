"""Every name that host sites rely on, with its signature. A change here is a change for them."""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any

import pytest
from django.apps import apps
from django.core.management import get_commands, load_command_class
from django.template.loader import get_template
from django.urls import get_resolver

from checkout import errors, models, views
from checkout.conf import DEFAULTS
from checkout.models import CheckoutSettings, managers

SIGNATURES = {
    "checkout.contract:ContentObject": None,
    "checkout.errors:CheckoutError": None,
    "checkout.errors:CannotSettle": None,
    "checkout.errors:DifferencesFound": None,
    "checkout.errors:InsideTransaction": None,
    "checkout.links:invoice_form": "(row)",
    "checkout.links:receipt_page": "(row)",
    "checkout.logins:user_has_active_account": "(contact)",
    "checkout.mail:queue_text": "(recipient, subject, text, html='', *, sender='')",
    "checkout.models:Checkout.failed": None,
    "checkout.models:Checkout.invoice_data": None,
    "checkout.models:Checkout.is_invoice": None,
    "checkout.models:Checkout.is_manual": None,
    "checkout.models:Checkout.is_open": None,
    "checkout.models:Checkout.is_payment": None,
    "checkout.models:Checkout.is_payment_plan": None,
    "checkout.models:Checkout.notify": "(self, request=None)",
    "checkout.models:Checkout.objects.audit": "()",
    "checkout.models:Checkout.objects.charge": "(content_object, user=None)",
    "checkout.models:Checkout.objects.create_checkout": "(action, content_object, user=None, **options)",
    "checkout.models:Checkout.objects.create_checkout_pay_on_session": "(instalment, user=None, **options)",
    "checkout.models:Checkout.objects.for_content_object": "(content_object)",
    "checkout.models:Checkout.objects.asking_for": "(content_object)",
    "checkout.models:Checkout.objects.manual": "(content_object, user=None)",
    "checkout.models:Checkout.objects.open": "()",
    "checkout.models:Checkout.objects.stripe_intent_fulfillment": "()",
    "checkout.models:Checkout.objects.paid": "()",
    "checkout.models:Checkout.objects.success": "()",
    "checkout.models:Checkout.objects.taking_money": "()",
    "checkout.models:Checkout.objects.one_at_a_time": "()",
    "checkout.models:Checkout.succeeded": None,
    "checkout.models:CheckoutAction.objects": None,
    "checkout.models:CheckoutSettings.objects": None,
    "checkout.models:CheckoutState.objects": None,
    "checkout.models:Customer.MAIL_TEMPLATE_CARD_EXPIRY": None,
    "checkout.models:Customer.is_expiring": None,
    "checkout.models:Customer.objects.refresh_credit_card": "(email)",
    "checkout.models:Customer.objects.update_card_expiry": "(email)",
    "checkout.models:Customer.objects.with_email": "(email)",
    "checkout.models:ObjectPaymentPlan.charge_deposit": "(self, user=None)",
    "checkout.models:ObjectPaymentPlan.create_instalments": "(self)",
    "checkout.models:ObjectPaymentPlan.open_debts": "(self)",
    "checkout.models:ObjectPaymentPlan.delete_plan": "(self, user=None)",
    "checkout.models:ObjectPaymentPlan.propose_change": "(self, kind, reason, user=None, **options)",
    "checkout.models:PlanChange.withdraw": "(self, user=None, reason='')",
    "checkout.models:ObjectPaymentPlan.objects.charge_deposit": "(content_object, user=None)",
    "checkout.models:ObjectPaymentPlan.objects.create_object_payment_plan": (
        "(content_object, payment_plan, total, **options)"
    ),
    "checkout.models:ObjectPaymentPlan.objects.for_content_object": "(content_object)",
    "checkout.models:ObjectPaymentPlan.objects.refresh_card_expiry_dates": "()",
    "checkout.models:ObjectPaymentPlan.payment_count": None,
    "checkout.models:ObjectPaymentPlan.payments": None,
    "checkout.models:ObjectPaymentPlanInstalment.MAIL_TEMPLATE_ON_SESSION_PAYMENT_ANON": None,
    "checkout.models:ObjectPaymentPlanInstalment.MAIL_TEMPLATE_ON_SESSION_PAYMENT_AUTH": None,
    "checkout.models:ObjectPaymentPlanInstalment.objects._user_has_active_account": ("(contact, can_login_and_pay)"),
    "checkout.models:ObjectPaymentPlanInstalment.objects.may_be_taken": "(day)",
    "checkout.models:ObjectPaymentPlanInstalment.objects.pay_on_session_for_email": "()",
    "checkout.models:ObjectPaymentPlanInstalment.objects.process_payments": "(**options)",
    "checkout.models:ObjectPaymentPlanInstalment.objects.send_on_session_payment_emails": "(can_login_and_pay=None)",
    "checkout.models:PaymentPlan.deposit_amount": "(self, total, currency='')",
    "checkout.models:PaymentPlan.example": "(self, deposit_due_date, total, currency='')",
    "checkout.models:PaymentPlan.instalments": "(self, deposit_due_date, total, currency='')",
    "checkout.models:PaymentPlan.new_version": "(self, **changes)",
    "checkout.models:PaymentPlan.objects.create_payment_plan": "(slug, name, deposit, count, interval)",
    "checkout.models:PaymentPlan.objects.current": "()",
    "checkout.signals:checkout_failed": None,
    "checkout.signals:checkout_plan_stopped": None,
    "checkout.signals:checkout_posted": None,
    "checkout.signals:checkout_refund_failed": None,
    "checkout.signals:checkout_refunded": None,
    "checkout.signals:checkout_succeeded": None,
    "checkout.signals:pay_on_session_required": None,
    "checkout.tasks:payment_intent_fulfillment": "()",
    "checkout.tasks:setup_intent_fulfillment": "()",
    "checkout.templatetags.checkout_tags:checkout_payment_plan_example": "(total, payment_plan=None, currency='')",
    "checkout.templatetags.checkout_tags:checkout_script": "(context, path, override_do_success_action=False)",
    "checkout.templatetags.checkout_tags:money": "(amount, currency='')",
    "checkout.testing:check_checkout": "(content_object)",
    "checkout.views:CheckoutAccessMixin.get_object": "(self, queryset=None)",
    "checkout.views:CheckoutMixin.get_success_url": "(self)",
    "checkout.views:CustomerChargeCreateView": None,
    "checkout.views:ObjectPaymentPlanSetupIntentCardRefreshMixin.get_success_url": "(self)",
    "checkout.views:PayerViewMixin": None,
    "checkout.views:PaymentChoiceMixin.get_content_object": "(self)",
    "checkout.views:PaymentChoiceMixin.get_invoice_url": "(self, content_object)",
    "checkout.views:PaymentChoiceMixin.get_payment_plans": "(self, content_object)",
    "checkout.views:PaymentChoiceMixin.get_payment_url": "(self, checkout)",
    "checkout.views:ReturnView": None,
    "checkout.views:remember_checkout": "(request, checkout, page='')",
}

#: Properties of managers, each of which is a queryset or a row.
QUERIES = [
    "CheckoutSettings.objects.settings",
    "Customer.objects.refresh",
    "ObjectPaymentPlan.objects.outstanding_payment_plans",
    "ObjectPaymentPlan.objects.report_card_expiry_dates",
    "ObjectPaymentPlanInstalment.objects.due",
]

COMMANDS = [
    "audit_failed_checkout",
    "bulk_actions",
    "checkout_books",
    "checkout_doctor",
    "checkout_recovery",
    "checkout_rehearse",
    "init_app_checkout",
    "payment_intent_fulfillment",
    "payment_intent_on_session_fulfillment",
    "payment_page_scripts",
    "personal_data",
    "process_events",
    "process_payments",
    "reconcile",
    "refresh_card_expiry_dates",
    "register_payment_domain",
    "report_card_expiry_dates",
    "send_letters",
    "send_on_session_payment_emails",
    "send_staff_digest",
    "settle_refunds",
    "setup_intent_fulfillment",
    "stripe_intent_fulfillment",
    "testing_set_pending_instalment_due",
]

TEMPLATES = ["checkout/_elements.html", "checkout/_elements.js.html", "checkout/base.html"]

#: A page of a host's fills these; `CHECKOUT_BASE_TEMPLATE` has them.
BLOCKS = ["content", "meta_extra", "script_extra"]

PLAN = "checkout.object.payment.plan"
URL_NAMES = [
    "checkout.card.refresh",
    "checkout.card.refresh.list",
    "checkout.list",
    "checkout.list.audit",
    "checkout.payment.plan.create",
    "checkout.payment.plan.delete",
    "checkout.payment.plan.list",
    "checkout.payment.plan.update",
    "checkout.return",
    f"{PLAN}.card.expiry.list",
    f"{PLAN}.delete",
    f"{PLAN}.instalment",
    f"{PLAN}.instalment.paid",
    f"{PLAN}.list",
]

#: Values that are the same as a property of a manager: one query each.
LOOKUPS = {
    "CheckoutState": ["fail", "pay_on_session", "pending", "request", "success"],
    "CheckoutAction": ["card_refresh", "charge", "invoice", "manual", "payment", "payment_plan"],
}

#: What hosts of old wrote into their own settings.
SETTINGS = ["STRIPE_CAPTION", "STRIPE_PUBLISH_KEY", "STRIPE_SECRET_KEY"]


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


def test_nothing_public_of_a_manager_is_left_out() -> None:
    """A name that a manager gains is promised from then on, so it is written down here."""
    there = set()
    for model in apps.get_app_config("checkout").get_models():
        for owner in {type(model._default_manager), type(model._default_manager.all())}:
            ours = [each for each in owner.__mro__ if each.__module__ == managers.__name__]
            names = {name for each in ours for name in vars(each) if not name.startswith("_")}
            there |= {f"{model.__name__}.objects.{name}" for name in names}
    named = {path.partition(":")[2] for path in SIGNATURES} | set(QUERIES)
    promised_of_lookups = {"CheckoutSettings.objects.settings"}
    public = {name for name in named if re.fullmatch(r"\w+\.objects\.[a-z]\w*", name)}
    assert there == public - promised_of_lookups


def test_nothing_that_the_views_export_is_left_out() -> None:
    named = {path.partition(":")[2].partition(".")[0] for path in SIGNATURES if path.startswith("checkout.views:")}
    assert named == set(views.__all__)


@pytest.mark.django_db
@pytest.mark.parametrize("path", QUERIES)
def test_the_query_runs(path: str) -> None:
    found = find(f"checkout.models:{path}")
    assert isinstance(found, CheckoutSettings) or not found.exists()


def test_all_commands_are_listed() -> None:
    assert sorted(name for name, app in get_commands().items() if app == "checkout") == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_the_command_says_whether_it_may_run_twice(name: str) -> None:
    command = load_command_class(get_commands()[name], name)
    assert any(words in command.help for words in ("again", "at once", "testing", "Changes nothing", "Reads only"))


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_template_exists(name: str) -> None:
    assert get_template(name)


@pytest.mark.parametrize("name", BLOCKS)
def test_both_base_templates_have_the_block(name: str) -> None:
    for template in ("checkout/base.html", "checkout/staff/base.html"):
        loaded: Any = get_template(template)
        assert f"{{% block {name} %}}" in loaded.template.source


@pytest.mark.parametrize("name", SETTINGS)
def test_the_setting_keeps_its_name(name: str) -> None:
    assert name in DEFAULTS


@pytest.mark.parametrize("name", URL_NAMES)
def test_the_url_name_exists(name: str) -> None:
    assert name in get_resolver().reverse_dict


@pytest.mark.django_db
@pytest.mark.parametrize(("model", "slug"), [(model, slug) for model, slugs in LOOKUPS.items() for slug in slugs])
def test_the_lookup_row_is_there_under_its_name(model: str, slug: str) -> None:
    assert getattr(find(f"checkout.models:{model}.objects"), slug).slug == slug


@pytest.mark.parametrize(("model", "slug"), [(model, slug) for model, slugs in LOOKUPS.items() for slug in slugs])
def test_the_slug_is_a_constant_of_its_model(model: str, slug: str) -> None:
    assert getattr(find(f"checkout.models:{model}"), slug.upper()) == slug


def test_the_base_of_our_errors_is_where_hosts_of_old_import_it() -> None:
    assert models.CheckoutError is errors.CheckoutError


def test_the_stylesheet_is_there() -> None:
    from django.contrib.staticfiles import finders

    assert finders.find("checkout/css/checkout.css")
