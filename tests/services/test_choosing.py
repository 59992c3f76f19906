"""Choosing how to pay, agreeing, and going on when the deposit was not taken: the pages, by request."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.http import Http404
from django.template import Context, Template
from django.test import Client, RequestFactory
from django.urls import path
from django.views.generic import View

from checkout import mail, states
from checkout.models import (
    Agreement,
    Checkout,
    CheckoutAdditional,
    CheckoutSettings,
    Customer,
    CustomerPayment,
    ObjectPaymentPlan,
    PaymentPlan,
)
from checkout.services import agreements, fulfillment, invoices, plans
from checkout.testing import check_checkout
from checkout.views import PaymentChoiceMixin
from example_checkout.urls import urlpatterns as shop_urls
from stripe_emulator import Emulator, faults
from tests.host.models import Membership
from tests.services.conftest import enter_card

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


class ChoiceView(PaymentChoiceMixin, View):
    """A host's page: only the member's own browser may open it."""

    def get_content_object(self) -> Membership:
        row = Membership.objects.filter(pk=self.kwargs["pk"]).first()  # type: ignore[attr-defined]
        if row is None or self.request.headers.get("X-Owner") == "no":
            raise Http404
        return row


urlpatterns = [*shop_urls, path("choose/<uuid:pk>/", ChoiceView.as_view(), name="choose")]


def agree(client: Client, url: str, **changes: str) -> Any:
    page = client.get(url, {"payment_plan": "standard"}).content.decode()
    shown = re.search(r'name="shown" value="(\w+)"', page)
    assert shown
    data = {"action": "payment_plan", "payment_plan": "standard", "agree": "yes", "shown": shown[1]} | changes
    return client.post(url, data, headers={"User-Agent": "A phone"}, REMOTE_ADDR="192.0.2.7")


@pytest.fixture
def url(membership: Membership, payment_plan: PaymentPlan) -> str:
    return f"/choose/{membership.pk}/"


def test_every_way_to_pay_with_what_it_means(client: Client, url: str) -> None:
    with time_machine.travel("2026-01-10T12:00:00Z"):
        page = client.get(url).content.decode()
    for words in (
        "Pay £100.00",
        "£20.00 today and 3 instalments",
        "1 Feb 2026",
        "£26.66",
        "1 Apr 2026",
        "£26.67",
    ):
        assert words in page
    assert not Checkout.objects.exists()


def test_paying_at_once_leads_to_the_card_form(client: Client, url: str, emulator: Emulator) -> None:
    response = client.post(url, {"action": "payment"})
    checkout = Checkout.objects.get()
    assert response.headers["Location"] == f"/checkout/{checkout.uuid}/pay/"
    assert b"client_secret" not in response.content


def test_agreeing_keeps_what_was_shown(client: Client, url: str, emulator: Emulator, payer: Any) -> None:
    client.force_login(payer)
    with time_machine.travel("2026-01-10T12:00:00Z"):
        response = agree(client, url)
    checkout = Checkout.objects.get()
    assert response.headers["Location"] == f"/checkout/{checkout.uuid}/pay/"
    agreement = Agreement.objects.get()
    assert agreement.checkout == checkout
    assert "I allow Green Lane College to keep my card" in agreement.text
    assert "Deposit: £20.00, on 10 Jan 2026." in agreement.text
    assert "£26.66 on 1 Feb 2026; £26.67 on 1 Mar 2026; £26.67 on 1 Apr 2026." in agreement.text
    assert "To cancel, or to ask about refunds, I contact: Green Lane College office" in agreement.text
    assert agreement.lines[1] == {"count": 2, "due": "2026-02-01", "amount": "26.66"}
    assert (agreement.total, agreement.version, agreement.user) == (Decimal(100), "1", payer)
    assert (agreement.ip_address, agreement.user_agent) == ("192.0.2.7", "A phone")


def test_nothing_is_begun_without_the_tick(client: Client, url: str) -> None:
    response = agree(client, url, agree="")
    assert response.status_code == 422
    assert b"Please tick the box" in response.content
    assert not Checkout.objects.exists()


def test_changed_dates_are_shown_again_before_they_are_agreed(client: Client, url: str) -> None:
    with time_machine.travel("2026-01-15T23:59:00Z"):
        page = client.get(url, {"payment_plan": "standard"}).content.decode()
    shown = re.search(r'name="shown" value="(\w+)"', page)
    assert shown
    with time_machine.travel("2026-01-16T00:01:00Z"):
        response = client.post(
            url, {"action": "payment_plan", "payment_plan": "standard", "agree": "yes", "shown": shown[1]}
        )
    assert response.status_code == 422
    assert b"have changed since the page was opened" in response.content
    assert not Checkout.objects.exists()


def test_a_choice_that_is_none_is_asked_again(client: Client, url: str) -> None:
    for action in ("", "charge", "manual", "card_refresh", "x"):
        response = client.post(url, {"action": action})
        assert response.status_code == 422
        assert b"Please choose how you want to pay." in response.content


def test_a_plan_that_is_not_offered_is_not_found(client: Client, url: str, payment_plan: PaymentPlan) -> None:
    PaymentPlan.objects.filter(pk=payment_plan.pk).update(deleted=True)
    assert client.get(url, {"payment_plan": "standard"}).status_code == 404
    assert client.post(url, {"action": "payment_plan", "payment_plan": "standard"}).status_code == 404


def test_a_total_that_no_plan_can_split_offers_none(client: Client, url: str) -> None:
    Membership.objects.update(total=Decimal("1.00"))
    page = client.get(url).content.decode()
    assert "In instalments" not in page
    response = client.get(url, {"payment_plan": "standard"})
    assert response.status_code == 409
    assert b"It works from" in response.content


def test_what_cannot_be_paid_says_so(client: Client, url: str) -> None:
    Membership.objects.update(can_charge=False)
    assert b"nothing to pay here" in client.get(url).content
    assert client.post(url, {"action": "payment"}).status_code == 409


def test_the_host_authorises_both_methods(client: Client, url: str) -> None:
    assert client.get(url, headers={"X-Owner": "no"}).status_code == 404
    assert client.post(url, {"action": "payment"}, headers={"X-Owner": "no"}).status_code == 404
    assert not Checkout.objects.exists()


def test_a_post_from_another_site_is_refused(url: str) -> None:
    strict = Client(enforce_csrf_checks=True)
    assert strict.post(url, {"action": "payment"}).status_code == 403
    assert not Checkout.objects.exists()


def test_the_sites_default_plan_comes_first(client: Client, url: str) -> None:
    other = PaymentPlan.objects.create_payment_plan("a", "A first by name", 20, 2, 1)
    chosen = PaymentPlan.objects.create_payment_plan("z", "Z the default", 20, 2, 1)
    settings = CheckoutSettings.objects.settings
    settings.default_payment_plan = chosen
    settings.save()
    page = client.get(url).content.decode()
    assert page.index("Z the default") < page.index(other.name)


def save_card(client: Client, url: str, emulator: Emulator, number: str) -> Checkout:
    agree(client, url)
    checkout = Checkout.objects.get()
    assert client.get(f"/checkout/{checkout.uuid}/pay/").status_code == 200
    enter_card(emulator, checkout, number)
    return checkout


def test_the_same_visit_takes_the_deposit(client: Client, url: str, emulator: Emulator, membership: Membership) -> None:
    checkout = save_card(client, url, emulator, "4242424242424242")
    response = client.get(f"/checkout/{checkout.uuid}/return/")
    assert response.headers["Location"] == f"/members/{membership.pk}/thanks/"
    assert plans.deposit_of(ObjectPaymentPlan.objects.get()).state_id == states.SUCCESS


def test_a_declined_deposit_is_tried_again_on_the_same_page(client: Client, url: str, emulator: Emulator) -> None:
    checkout = save_card(client, url, emulator, "4000000000009995")
    response = client.get(f"/checkout/{checkout.uuid}/return/")
    assert b"There was not enough money available on the card." in response.content
    assert b"Nothing was taken." in response.content
    page = client.get(f"/checkout/{checkout.uuid}/pay/").content.decode()
    assert "Pay £20.00" in page
    assert "nothing else is taken now" in page
    assert not ObjectPaymentPlan.objects.exists()


@pytest.fixture
def card_first(settings: Any) -> None:
    """The site saves the card before it charges the deposit."""
    settings.CHECKOUT_DEPOSIT_WITH_CARD = False


@pytest.mark.usefixtures("card_first")
def test_the_same_visit_goes_on_when_the_bank_wants_the_payer(client: Client, url: str, emulator: Emulator) -> None:
    checkout = save_card(client, url, emulator, "4000002760003184")
    response = client.get(f"/checkout/{checkout.uuid}/return/", follow=True)
    attempt = Checkout.objects.get(action="charge")
    assert response.redirect_chain[-1][0] == f"/checkout/{attempt.uuid}/pay/"
    assert b"Pay \xc2\xa320.00" in response.content


@pytest.mark.usefixtures("card_first")
def test_a_declined_deposit_says_why_and_takes_another_card(client: Client, url: str, emulator: Emulator) -> None:
    checkout = save_card(client, url, emulator, "4000008260003178")
    response = client.get(f"/checkout/{checkout.uuid}/return/", follow=True)
    assert b"The deposit was not taken" in response.content
    assert b"There was not enough money available on the card." in response.content
    response = client.post(f"/checkout/{checkout.uuid}/deposit/")
    attempt = Checkout.objects.get(action="payment")
    assert response.headers["Location"] == f"/checkout/{attempt.uuid}/pay/"
    enter_card(emulator, attempt, "4242424242424242")
    fulfillment.fulfill(attempt)
    plan = ObjectPaymentPlan.objects.get()
    assert plan.payment_count == 4
    # Once it is paid the page has nothing to offer any more.
    assert client.get(f"/checkout/{checkout.uuid}/deposit/").status_code == 302
    assert client.post(f"/checkout/{checkout.uuid}/deposit/").status_code == 302
    assert Checkout.objects.filter(action="payment").count() == 1


@pytest.mark.usefixtures("card_first")
def test_looking_at_the_deposit_page_takes_nothing_and_the_button_does(
    client: Client, url: str, emulator: Emulator
) -> None:
    checkout = save_card(client, url, emulator, "4242424242424242")
    emulator.weather.add(faults.Status(429), path=r"POST /v1/payment_intents$", times=9)
    client.get(f"/checkout/{checkout.uuid}/return/")
    address = f"/checkout/{checkout.uuid}/deposit/"
    page = client.get(address)
    assert b"Take the deposit now" in page.content
    for method in ("get", "head", "options"):
        getattr(client, method)(address)
    assert emulator.ledger.taken_minor() == 0
    emulator.weather.clear()
    assert client.post(address).status_code == 302
    assert emulator.ledger.taken_minor() == 2000


@pytest.mark.usefixtures("card_first")
def test_the_deposit_page_is_the_payers_alone(client: Client, url: str, emulator: Emulator, staff: Any) -> None:
    checkout = save_card(client, url, emulator, "4000008260003178")
    client.get(f"/checkout/{checkout.uuid}/return/")
    stranger = Client()
    stranger.force_login(staff)
    for visitor in (Client(), stranger):
        assert visitor.get(f"/checkout/{checkout.uuid}/deposit/").status_code == 404
        assert visitor.post(f"/checkout/{checkout.uuid}/deposit/").status_code == 404


def test_the_template_tag_shows_the_plan_or_what_would_work(payment_plan: PaymentPlan) -> None:
    template = Template("{% load checkout_tags %}{% checkout_payment_plan_example total plan %}{{ total|money }}")
    with time_machine.travel("2026-01-10T12:00:00Z"):
        shown = template.render(Context({"total": Decimal(100), "plan": payment_plan}))
    assert "1 Feb 2026" in shown
    assert shown.endswith("£100.00")
    refused = template.render(Context({"total": Decimal(1), "plan": payment_plan}))
    assert "It works from" in refused
    assert (
        Template("{% load checkout_tags %}{% checkout_payment_plan_example 5 %}{{ none|money }}")
        .render(Context({"none": None}))
        .strip()
        == ""
    )


def test_a_host_can_prove_its_model(membership: Membership) -> None:
    check_checkout(membership)
    membership.total = Decimal("1.005")
    membership.email = "nobody"
    with pytest.raises(AssertionError) as refused:
        check_checkout(membership)
    assert "not an e-mail address" in str(refused.value)
    assert "smallest amount" in str(refused.value)
    with pytest.raises(AssertionError, match="checkout_total is missing"):
        check_checkout(payer_like())


def test_our_own_rows_keep_the_contract(membership: Membership, payment_plan: PaymentPlan) -> None:
    plan = ObjectPaymentPlan.objects.create_object_payment_plan(membership, payment_plan, Decimal(100))
    customer = Customer.objects.create(email="member@example.com", name="Ada Pays")
    request = CustomerPayment.objects.create(
        customer=customer, description="A locker", total=Decimal(25), currency="GBP"
    )
    for row in (plan, plan.instalments.get(), request):
        check_checkout(row)


def payer_like() -> object:
    return RequestFactory()


def test_query_count_of_the_choice_page_does_not_grow_with_plans(client: Client, url: str, count_queries: Any) -> None:
    client.get(url)
    few = count_queries(lambda: client.get(url))
    for number in range(5):
        PaymentPlan.objects.create_payment_plan(f"more-{number}", f"More {number}", 20, 2, 1)
    assert count_queries(lambda: client.get(url)) == few


def test_an_invoice_is_offered_where_the_row_allows_it(client: Client, url: str, monkeypatch: Any) -> None:
    found = re.search(r'href="(/checkout/invoice/[^"]+)">Ask for an invoice', client.get(url).content.decode())
    assert found
    assert b"Pay by invoice" in client.get(found[1]).content
    monkeypatch.setattr(Membership, "checkout_actions", ("payment", "payment_plan"))
    assert "invoice" not in client.get(url).content.decode()


def test_an_invoice_that_was_asked_for_is_not_offered_again(client: Client, url: str, membership: Membership) -> None:
    mail.install()
    address = CheckoutAdditional(contact_name="Ann Smith", email="ann@example.com")
    invoices.request_invoice(membership, address)
    # This host's row may still be paid by card.
    Membership.objects.update(can_charge=True)
    page = client.get(url).content.decode()
    assert "We will send you an invoice, as you asked. You can still pay by card instead." in page
    assert "Ask for an invoice" not in page
    assert "Pay £100.00" in page


def test_two_tabs_agree_and_one_plan_is_begun(client: Client, url: str, emulator: Emulator) -> None:
    first, second = (agree(client, url).headers["Location"] for _ in range(2))
    assert first != second
    assert b"This page is out of date" in client.get(first, follow=True).content
    enter_card(emulator, Checkout.objects.latest("pk"), "4242424242424242")
    client.get(second, follow=True)
    assert ObjectPaymentPlan.objects.count() == 1
    assert emulator.ledger.taken_minor() == 2000


def test_a_row_with_a_live_plan_is_offered_no_second_one(
    client: Client, url: str, emulator: Emulator, membership: Membership, payment_plan: PaymentPlan
) -> None:
    agreements.create_object_payment_plan(membership, payment_plan, Decimal(100))
    assert "In instalments" not in client.get(url).content.decode()
    for answer in (
        client.get(url, {"payment_plan": "standard"}),
        client.post(url, {"action": "payment_plan", "payment_plan": "standard", "agree": "yes", "shown": "x"}),
    ):
        assert answer.status_code == 409
        assert "There is a payment plan for this already." in answer.content.decode()
    assert not Checkout.objects.exists()
