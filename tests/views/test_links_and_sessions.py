"""Who holds a link or a session: links go dead with their reason, and no session that was planted opens a payment."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from post_office.models import Email

from checkout import clock, links
from checkout.gateway import gateway
from checkout.models import Checkout, Customer, CustomerPayment, ObjectPaymentPlanInstalment, StateChange
from checkout.services import requests, runs
from stripe_emulator import Emulator
from tests.host.models import Membership
from tests.services.conftest import SavePlan, make_due
from tests.views.shop import logged_in, order, pay_page

pytestmark = pytest.mark.django_db


@pytest.fixture
def waiting(save_plan: SavePlan, emulator: Emulator) -> ObjectPaymentPlanInstalment:
    plan = save_plan(email="payer@example.com")
    emulator.bank.decline_next(plan.card.payment_method_id, "authentication_required")
    (line,) = make_due(plan)
    runs.process_payments(workers=1)
    line.refresh_from_db()
    return line


def by_link(line: ObjectPaymentPlanInstalment) -> str:
    return reverse("checkout.pay.link", args=[links.make_token(line)])


# -- sessions --------------------------------------------------------------------------------------------------


def planted(client: Client) -> str:
    """The id of a session that somebody else knows."""
    session = client.session
    session["x"] = 1
    session.save()
    return str(session.session_key)


@pytest.mark.parametrize("way", ["link", "shop", "card"])
def test_a_session_that_was_planted_opens_no_payment(way: str, waiting: Any, payer: Any) -> None:
    client = logged_in(payer) if way == "card" else Client()
    known = planted(client)
    if way == "link":
        page = client.post(by_link(waiting)).headers["Location"]
    elif way == "card":
        page = client.post(reverse("checkout.card.refresh")).headers["Location"]
    else:
        sale = order()
        session = client.session
        session["example_orders"] = [sale.pk]
        session.save()
        page = pay_page(client, sale)
    assert client.session.session_key != known
    assert client.get(page).status_code == 200
    attacker = Client()
    attacker.cookies["sessionid"] = known
    answer = attacker.get(page)
    assert answer.status_code != 200
    assert b"clientSecret" not in answer.content


def test_looking_again_keeps_the_session(waiting: ObjectPaymentPlanInstalment) -> None:
    client = Client()
    page = client.post(by_link(waiting)).headers["Location"]
    key = client.session.session_key
    client.get(page)
    client.get(page)
    assert client.session.session_key == key


# -- links -----------------------------------------------------------------------------------------------------


def test_a_link_that_went_to_a_wrong_address_is_dead_when_it_is_corrected(waiting: Any) -> None:
    address = by_link(waiting)
    assert Client().get(address).status_code == 200
    Customer.objects.update(email="right@example.com")
    for answer in (Client().get(address), Client().post(address)):
        assert answer.status_code == 410
        assert "26.66" not in answer.content.decode()
    waiting.refresh_from_db()
    line = ObjectPaymentPlanInstalment.objects.get(pk=waiting.pk)
    assert Client().get(by_link(line)).status_code == 200


def test_a_link_to_a_request_is_dead_when_the_address_is_corrected(db: None) -> None:
    request = requests.create(email="cleo@example.com", name="Cleo", description="Books", total=Decimal(25))
    address = requests.payer_path(request)
    assert Client().get(address).status_code == 200
    Customer.objects.update(email="CLEO@example.com")
    assert Client().get(address).status_code == 200
    Customer.objects.update(email="right@example.com")
    assert Client().get(address).status_code == 410


def test_a_link_outlives_a_new_secret_key_while_the_old_one_is_kept(waiting: Any, settings: Any) -> None:
    address = by_link(waiting)
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "new" * 20
    assert Client().get(address).status_code == 200
    settings.SECRET_KEY_FALLBACKS = []
    assert Client().get(address).status_code == 404


def test_a_link_is_dead_when_its_plan_is_stopped_and_says_so_when_it_is_paid(waiting: Any, emulator: Emulator) -> None:
    address = by_link(waiting)
    client = Client()
    page = client.get(client.post(address).headers["Location"])
    emulator.pay(page.context["client_secret"])
    client.get(page.context["success_url"])
    assert b"This has been paid already" in Client().get(address).content
    other = ObjectPaymentPlanInstalment.objects.get(count=3)
    other.object_payment_plan.delete_plan()
    assert Client().get(by_link(other)).status_code == 410
    assert Client().post(by_link(other)).status_code == 410
    assert Checkout.objects.for_content_object(other).count() == 0


def test_a_link_of_another_kind_opens_nothing(waiting: Any) -> None:
    row = Membership.objects.create()
    invoice = links.invoice_form(row).rstrip("/").rpartition("/")[2]
    assert Client().get(reverse("checkout.pay.link", args=[invoice])).status_code == 404
    assert Client().get(reverse("checkout.request.pay", args=[links.make_token(waiting)])).status_code == 404


# -- revoked by staff ------------------------------------------------------------------------------------------


def revoke(boss: Any, name: str, key: Any) -> Any:
    client, url = logged_in(boss), reverse(name, args=[key])
    return client.post(url, {"seen": client.get(url).context["seen"], "reason": "Went to somebody else"}, follow=True)


@pytest.fixture
def boss(db: None) -> Any:
    return get_user_model().objects.create_superuser("boss", "boss@example.com", "boss")


def test_revoked_links_of_a_plan_open_nothing_and_new_ones_do(waiting: Any, boss: Any, settings: Any) -> None:
    settings.CHECKOUT_BASE_URL = "https://shop.example"
    plan = waiting.object_payment_plan
    addresses = [by_link(waiting), reverse("checkout.plan.link", args=[links.make_token(plan)])]
    for address in addresses:
        assert Client().get(address).status_code in (200, 302)
    answer = revoke(boss, "checkout.object.payment.plan.revoke", plan.uuid)
    assert "The links were revoked" in answer.content.decode()
    waiting.refresh_from_db()
    assert waiting.state_id == "pay_on_session"
    for address in addresses:
        refused = Client().get(address)
        assert (refused.status_code, Client().post(address).status_code in (405, 410)) == (410, True)
        assert b"26.66" not in refused.content
    line = ObjectPaymentPlanInstalment.objects.get(pk=waiting.pk)
    assert Client().get(by_link(line)).status_code == 200
    assert (
        Client().get(reverse("checkout.plan.link", args=[links.make_token(line.object_payment_plan)])).status_code
        == 302
    )
    change = StateChange.objects.get(code="links_revoked", object_payment_plan=plan)
    assert (change.user, change.note) == (boss, "Went to somebody else")


def test_a_browser_that_had_opened_a_revoked_link_is_shut_out_and_its_payment_page_ended(
    waiting: Any, boss: Any, emulator: Emulator
) -> None:
    stranger, plan = Client(), waiting.object_payment_plan
    stranger.get(reverse("checkout.plan.link", args=[links.make_token(plan)]))
    page = stranger.post(by_link(waiting)).headers["Location"]
    assert b"clientSecret" in stranger.get(page).content
    progress = reverse("checkout.plan.progress", args=[plan.uuid])
    assert stranger.get(progress).status_code == 200
    answer = revoke(boss, "checkout.object.payment.plan.revoke", plan.uuid)
    assert "1 open payment page was ended" in answer.content.decode()
    assert stranger.get(progress).status_code == 302
    assert stranger.get(reverse("checkout.pay.on.session", args=[waiting.uuid])).status_code == 302
    assert b"clientSecret" not in stranger.get(page).content
    ended = Checkout.objects.for_content_object(waiting).get()
    assert ended.failed
    assert gateway().retrieve_payment_intent(ended.payment_intent_id).canceled


def asked_by_mail(settings: Any) -> tuple[CustomerPayment, str]:
    """A request for money on a site that sends letters, and the path that its link opens."""
    settings.CHECKOUT_BASE_URL = "https://shop.example"
    call_command("init_app_checkout", verbosity=0)
    request = requests.create(email="cleo@example.com", name="Cleo", description="Books", total=Decimal(25))
    return request, requests.payer_path(request)


def test_revoked_links_of_a_request_open_nothing_and_the_next_mail_has_a_good_one(
    boss: Any, settings: Any, emulator: Emulator
) -> None:
    request, address = asked_by_mail(settings)
    stranger = Client()
    page = stranger.post(address).headers["Location"]
    assert stranger.get(page).status_code == 200
    assert "1 open" in revoke(boss, "checkout.customer.payment.revoke", request.uuid).content.decode()
    assert (Client().get(address).status_code, Client().post(address).status_code) == (410, 410)
    assert b"clientSecret" not in stranger.get(page).content
    requests.send_link(request, boss, again=True)
    sent = Email.objects.order_by("pk").last()
    new = re.search(r"https://shop\.example(/checkout/\S+)", sent.message)
    assert Client().get(new[1]).status_code == 200


def test_the_link_of_a_settled_request_takes_nothing_more(emulator: Emulator, boss: Any) -> None:
    request = requests.create(email="cleo@example.com", name="Cleo", description="Books", total=Decimal(25))
    requests.paid_by_hand(request, boss, "cash")
    address = requests.payer_path(request)
    assert b"nothing more is taken" in Client().get(address).content
    before = Checkout.objects.count()
    assert Client().post(address).headers["Location"] == address
    assert Checkout.objects.count() == before


def test_whoever_holds_a_request_s_link_that_has_expired_gets_a_new_one_while_it_is_to_pay(
    boss: Any, settings: Any, emulator: Emulator
) -> None:
    request, address = asked_by_mail(settings)
    with time_machine.travel(clock.now() + timedelta(days=15)):
        offered = Client().get(address)
        assert (offered.status_code, b'name="new_link"' in offered.content) == (410, True)
        # The button of a page that was open all the time.
        assert Client().post(address).status_code == 410
        assert not Email.objects.exists()
        for _press in range(3):
            asked = Client().post(address, {"new_link": "yes"})
            assert b"25" not in asked.content.partition(b"<main")[2].partition(b"</main>")[0]
        letter = Email.objects.get()
        assert letter.to == ["cleo@example.com"]
        new = re.search(r"https://shop\.example(/checkout/\S+)", letter.message)
        assert new
        assert Client().get(new[1]).status_code == 200
        requests.withdraw(request, boss, "asked twice")
        told = Email.objects.count()
    with time_machine.travel(clock.now() + timedelta(days=16)):
        assert b"If this is still to pay" in Client().post(address, {"new_link": "yes"}).content
        assert Email.objects.count() == told
