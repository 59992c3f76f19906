"""An office with a bit of everything in its books."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.management import call_command

from checkout import clock
from checkout.gateway import gateway
from checkout.models import (
    Checkout,
    CheckoutAdditional,
    CustomerPayment,
    Dispute,
    Notice,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    PaymentPlan,
    PaymentRun,
    Refund,
    StripeEvent,
)
from checkout.services import by_staff, disputes, fulfillment, invoices, plans, refunds, requests
from stripe_emulator import Emulator, faults
from tests.host.models import Membership
from tests.kept import kept
from tests.services.conftest import payment_plan, save_plan  # noqa: F401 - fixtures

ADDRESS = {
    "company_name": "Smith & Co", "address_1": "1 High Street", "town": "Bath", "county": "Somerset",
    "postcode": "BA1 1AA", "country": "United Kingdom", "contact_name": "Ann Smith", "email": "ann@example.com",
}  # fmt: skip


@dataclass
class Books:
    """One of each thing that the staff pages show."""

    plan: ObjectPaymentPlan
    paid_line: ObjectPaymentPlanInstalment
    failed_line: ObjectPaymentPlanInstalment
    waiting_line: ObjectPaymentPlanInstalment
    paid: Checkout
    open: Checkout
    failed: Checkout
    invoice: Checkout
    template: PaymentPlan
    unused_template: PaymentPlan
    run: PaymentRun
    request: CustomerPayment
    refund: Refund
    dispute: Dispute
    event: StripeEvent
    notice: Notice


@pytest.fixture
def site(settings: Any) -> None:
    settings.CHECKOUT_BASE_URL = "https://shop.example"
    settings.CHECKOUT_NOTIFY_EMAILS = ["office@example.com"]
    kept("init_app_checkout", lambda: call_command("init_app_checkout", verbosity=0))


@pytest.fixture
def books(db: None, site: None, emulator: Emulator, save_plan: Any, payer: Any) -> Books:  # noqa: F811
    return kept("books", lambda: an_office(emulator, save_plan, payer), emulator)


def an_office(emulator: Emulator, agree: Any, payer: Any) -> Books:
    plan = agree(email="ann@example.com", name="Ann Smith")
    lines = list(plan.payments)
    emulator.bank.decline_next(plan.card.payment_method_id, "insufficient_funds")
    plans.testing_set_pending_instalment_due(plan)
    run = ObjectPaymentPlanInstalment.objects.process_payments()
    waiting = plan.payments.get(count=3)
    by_staff.ask_payer(waiting, None)
    paid = Checkout.objects.create_checkout("payment", Membership.objects.create(name="Bob", email="bob@example.com"))
    emulator.pay(gateway().retrieve_payment_intent(paid.payment_intent_id).client_secret)
    paid = fulfillment.fulfill(paid)
    opened = Checkout.objects.create_checkout("payment", Membership.objects.create(name="Eve"), payer)
    invoice = invoices.request_invoice(Membership.objects.create(name="Inv"), CheckoutAdditional(**ADDRESS))
    emulator.weather.add(faults.LostBefore(), path=r"POST /v1/refunds$")
    refund = refunds.refund(paid, Decimal(10))
    request = requests.create(email="cleo@example.com", name="Cleo", description="Books", total=Decimal(25))
    deposit = Checkout.objects.for_content_object(lines[0]).success().get()
    dispute = disputes.dispute_updated_at_stripe(emulator.bank.dispute(deposit.payment_intent_id)["id"])
    ObjectPaymentPlan.objects.filter(pk=plan.pk).update(paused=False)
    plan.refresh_from_db()
    event = StripeEvent.objects.create(
        event_id="evt_1", event_type="charge.dispute.created", object_id="du_x", livemode=False,
        created_at=clock.now(), attempts=3, error="Stripe gave no answer.",
    )  # fmt: skip
    failed_line = plan.payments.get(count=2)
    return Books(
        plan=plan,
        paid_line=lines[0],
        failed_line=failed_line,
        waiting_line=waiting,
        paid=paid,
        open=opened,
        failed=Checkout.objects.for_content_object(failed_line).get(),
        invoice=invoice,
        template=plan.payment_plan,
        unused_template=PaymentPlan.objects.create_payment_plan("spare", "Spare", 10, 2, 1),
        run=run,
        request=request,
        refund=refund,
        dispute=dispute,
        event=event,
        notice=Notice.objects.exclude(template="staff").exclude(instalment=None).get(),
    )


@pytest.fixture
def staff_with(db: None) -> Callable[..., Any]:
    """`staff_with("checkout.refund")`: a member of staff who may do just that."""

    def make(*permissions: str) -> Any:
        name = "-".join(permission.rpartition(".")[2] for permission in permissions) or "none"
        user = get_user_model().objects.create_user(f"staff-{name}"[:150], is_staff=True)
        for permission in permissions:
            app, _dot, codename = permission.rpartition(".")
            user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
        return user

    return make


@pytest.fixture
def boss(db: None) -> Any:
    return get_user_model().objects.create_superuser("boss", "boss@example.com", "boss")
