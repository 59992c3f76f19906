"""Every address of the shop, for everybody who may come by, on GET and POST."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client

from checkout import mail
from checkout.models import Checkout, ObjectPaymentPlan, PaymentPlan
from checkout.services import fulfillment
from example_checkout.models import Product, SalesLedger
from tests.services.conftest import enter_card
from tests.views.shop import logged_in, order, pay_page, return_page

pytestmark = pytest.mark.django_db

WHO = ["stranger", "other_payer", "staff", "payer", "same_browser"]
#: address, method, and the answers in the order of WHO
TABLE: list[tuple[str, str, list[int]]] = [
    ("home", "get", [200, 200, 200, 200, 200]),
    ("home", "post", [405, 405, 405, 405, 405]),
    ("product", "get", [200, 200, 200, 200, 200]),
    ("product", "post", [405, 405, 405, 405, 405]),
    ("buy", "get", [200, 200, 200, 200, 200]),
    ("buy", "post", [422, 422, 422, 422, 422]),
    ("orders", "get", [200, 200, 200, 200, 200]),
    ("orders", "post", [405, 405, 405, 405, 405]),
    ("order", "get", [404, 404, 404, 200, 200]),
    ("order", "post", [405, 405, 405, 405, 405]),
    ("press_pay", "get", [405, 405, 405, 405, 405]),
    ("press_pay", "post", [404, 404, 404, 302, 302]),
    ("next_month", "get", [405, 405, 405, 405, 405]),
    ("next_month", "post", [404, 404, 404, 404, 404]),
    ("thank_you", "get", [404, 404, 404, 302, 302]),
    ("thank_you", "post", [405, 405, 405, 405, 405]),
    ("pay", "get", [404, 404, 404, 200, 200]),
    ("pay", "post", [405, 405, 405, 405, 405]),
    ("return", "get", [404, 404, 404, 200, 200]),
    ("return", "post", [405, 405, 405, 405, 405]),
    ("return_json", "get", [404, 404, 404, 200, 200]),
    ("made_up_pay", "get", [404, 404, 404, 404, 404]),
    ("made_up_return", "get", [404, 404, 404, 404, 404]),
    ("made_up_order", "get", [404, 404, 404, 404, 404]),
    ("made_up_order_pay", "post", [404, 404, 404, 404, 404]),
    ("mails", "get", [404, 404, 404, 404, 404]),
    ("mails", "post", [405, 405, 405, 405, 405]),
    ("log_in", "get", [200, 200, 200, 200, 200]),
    ("log_out", "get", [405, 405, 405, 405, 405]),
    ("admin", "get", [302, 302, 200, 302, 302]),
]


@dataclass
class Scene:
    sale: SalesLedger
    checkout: Checkout
    clients: dict[str, Client]

    def address(self, name: str) -> str:
        nobody = uuid.UUID(int=7)
        return {
            "home": "/",
            "product": "/courses/pottery/",
            "buy": "/courses/pottery/buy/",
            "orders": "/orders/",
            "order": f"/orders/{self.sale.pk}/",
            "press_pay": f"/orders/{self.sale.pk}/pay/",
            "next_month": f"/orders/{self.sale.pk}/next-month/",
            "thank_you": f"/orders/{self.sale.pk}/thank-you/",
            "pay": f"/pay/{self.checkout.uuid}/",
            "return": return_page(self.checkout),
            "return_json": f"{return_page(self.checkout)}?format=json",
            "made_up_pay": f"/pay/{nobody}/",
            "made_up_return": f"/checkout/{nobody}/return/",
            "made_up_order": "/orders/999999/",
            "made_up_order_pay": "/orders/999999/pay/",
            "mails": "/mails/",
            "log_in": "/log-in/",
            "log_out": "/log-out/",
            "admin": "/admin/",
        }[name]


@pytest.fixture
def scene(emulator: Any, payer: Any, other_payer: Any, staff: Any) -> Scene:
    sale = order(payer)
    clients = {"stranger": Client(), "payer": logged_in(payer)}
    clients |= {"other_payer": logged_in(other_payer), "staff": logged_in(staff)}
    pay_page(clients["payer"], sale)
    checkout = Checkout.objects.get()
    # A browser in which it was ordered without a login.
    browser = clients["same_browser"] = Client()
    session = browser.session
    session["example_orders"] = [sale.pk]
    session["checkout_pages"] = {str(checkout.uuid): ""}
    session.save()
    browser.cookies["sessionid"] = session.session_key or ""
    return Scene(sale, checkout, clients)


@pytest.mark.parametrize(("name", "method", "answers"), TABLE, ids=[f"{row[1]}-{row[0]}" for row in TABLE])
def test_every_address(scene: Scene, name: str, method: str, answers: list[int]) -> None:
    got = [getattr(scene.clients[who], method)(scene.address(name)).status_code for who in WHO]
    assert dict(zip(WHO, got, strict=True)) == dict(zip(WHO, answers, strict=True))


def test_other_methods_reach_nothing(scene: Scene) -> None:
    for name in ("order", "press_pay", "pay", "return", "thank_you"):
        for method in ("put", "patch", "delete"):
            assert getattr(scene.clients["payer"], method)(scene.address(name)).status_code == 405


def test_a_made_up_address_reads_like_somebody_elses(scene: Scene) -> None:
    """A guess learns nothing."""
    for theirs, nobodys in [("pay", "made_up_pay"), ("return", "made_up_return"), ("order", "made_up_order")]:
        pages = [scene.clients["other_payer"].get(scene.address(name)).content for name in (theirs, nobodys)]
        bodies = [re.sub(rb'name="csrfmiddlewaretoken" value="\w+"', b"", page) for page in pages]
        assert bodies[0] == bodies[1]


def test_a_wrong_method_gets_a_page(scene: Scene) -> None:
    response = scene.clients["payer"].post(scene.address("pay"))
    assert "Nothing was sent" in response.content.decode()
    assert "GET" in response["Allow"]


def test_a_refused_visitor_starts_nothing(scene: Scene, emulator: Any) -> None:
    before = len(emulator.requests)
    for who in ("stranger", "other_payer", "staff"):
        for name in ("press_pay", "pay", "return"):
            scene.clients[who].get(scene.address(name))
            scene.clients[who].post(scene.address(name))
    assert len(emulator.requests) == before
    assert Checkout.objects.count() == 1


@pytest.mark.parametrize("login", [False, True])
def test_a_cross_site_post_starts_nothing(emulator: Any, payer: Any, login: bool) -> None:
    sale = order(payer)
    client = logged_in(payer, enforce_csrf_checks=True) if login else Client(enforce_csrf_checks=True)
    for address in (f"/orders/{sale.pk}/pay/", "/courses/pottery/buy/", "/log-out/"):
        response = client.post(address, {"name": "A", "email": "a@example.com", "quantity": 1})
        assert response.status_code == 403
        assert "Nothing was sent" in response.content.decode()
    assert not Checkout.objects.exists()
    assert SalesLedger.objects.count() == 1


def test_everybody_may_buy(emulator: Any, payer: Any) -> None:
    order(payer)
    form = {"name": "Alex Example", "email": "alex@example.com", "quantity": 2}
    stranger = Client()
    response = stranger.post("/courses/pottery/buy/", form, follow=True)
    assert "2 at £85.00" in response.content.decode()
    assert "£170.00" in response.content.decode()
    pay_page(stranger, SalesLedger.objects.latest("pk"))
    assert str(Checkout.objects.get().total) == "170.000"


def test_a_payer_who_is_logged_in_buys_under_their_own_name(emulator: Any, payer: Any) -> None:
    order(payer)
    form = {"name": "Somebody Else", "email": "else@example.com", "quantity": 1}
    logged_in(payer).post("/courses/pottery/buy/", form)
    assert SalesLedger.objects.latest("pk").contact.user == payer
    assert SalesLedger.objects.latest("pk").contact.name == "Pat Payer"


def test_a_stranger_does_not_get_into_somebodys_orders_by_typing_their_address(emulator: Any, payer: Any) -> None:
    mine = order(payer)
    form = {"name": "Stranger", "email": mine.contact.email, "quantity": 1}
    stranger = Client()
    stranger.post("/courses/pottery/buy/", form)
    assert SalesLedger.objects.latest("pk").contact != mine.contact
    assert stranger.get(f"/orders/{mine.pk}/").status_code == 404


def test_the_demonstration_shows_everybody_the_mails_and_logins(settings: Any, client: Client) -> None:
    assert "demonstration" not in client.get("/").content.decode().lower()
    settings.DEBUG = True
    page = client.get("/").content.decode()
    assert "<code>payer</code>" in page
    assert "<code>staff</code>" in page
    assert "4242 4242 4242 4242" in page
    assert client.get("/mails/").status_code == 200


def test_the_demonstration_says_how_to_take_the_next_instalment(
    emulator: Any, payer: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMULATOR_PORT", "12345")
    sale = order(payer)
    template = PaymentPlan.objects.create_payment_plan("half", "Half now", 50, 2, 1)
    plan = ObjectPaymentPlan.objects.create_object_payment_plan(sale, template, sale.checkout_total)
    command = f"EMULATOR_PORT=12345 .venv/bin/python manage.py testing_set_pending_instalment_due {plan.pk}<"
    page = f"/orders/{sale.pk}/"
    assert command not in logged_in(payer).get(page).content.decode()
    settings.DEBUG = True
    assert command in logged_in(payer).get(page).content.decode()


def test_the_demonstration_has_a_button_for_next_month(emulator: Any, payer: Any, settings: Any) -> None:
    mail.install()
    sale = order(payer)
    Product.objects.update(on_plan=True)
    sale.refresh_from_db()
    template = PaymentPlan.objects.create_payment_plan("half", "Half now", 50, 2, 1)
    checkout = Checkout.objects.create_checkout("payment_plan", sale, None, payment_plan=template)
    enter_card(emulator, checkout, "4242424242424242")
    fulfillment.fulfill(checkout)
    client, address = logged_in(payer), f"/orders/{sale.pk}/next-month/"
    assert client.post(address).status_code == 404
    settings.DEBUG = True
    assert address in client.get(f"/orders/{sale.pk}/").content.decode()
    assert Client().post(address).status_code == 404
    for paid in (2, 3, 3):
        page = client.post(address, follow=True)
        assert page.status_code == 200
        assert ObjectPaymentPlan.objects.get().payments.filter(state="success").count() == paid
    assert emulator.ledger.taken_minor() == 8500


def test_who_buys_without_a_login_finds_the_order_in_the_same_browser(payer: Any) -> None:
    theirs = order(payer)
    browser = Client()
    assert "Log in" in browser.get("/orders/").content.decode()
    browser.post("/courses/pottery/buy/", {"name": "Alex Example", "email": "alex@example.com", "quantity": 1})
    mine = SalesLedger.objects.latest("pk")
    page = browser.get("/orders/").content.decode()
    assert f"/orders/{mine.pk}/" in page
    assert f"/orders/{theirs.pk}/" not in page
    assert f"/orders/{mine.pk}/" not in Client().get("/orders/").content.decode()


def test_staff_find_their_office(staff: Any, payer: Any) -> None:
    assert 'href="/checkout/staff/">Office' in logged_in(staff).get("/").content.decode()
    assert "/checkout/staff/" not in logged_in(payer).get("/").content.decode()


def test_payment_pages_keep_out_of_atomic_requests() -> None:
    from django.urls import get_resolver

    def views(resolver: Any) -> Any:
        for pattern in resolver.url_patterns:
            yield from views(pattern) if hasattr(pattern, "url_patterns") else [pattern]

    payers = {"pay", "return", "deposit", "pay.link", "pay.on.session", "plan.progress", "card.refresh"}
    payers |= {"card.refresh.plan", "request.pay", "invoice", "plan.link", "plan.card", "plan.pay"}
    names = {f"checkout.{name}" for name in payers} | {"example.pay", "example.choose", "example.checkout"}
    marked: dict[str, Callable[..., Any]] = {p.name: p.callback for p in views(get_resolver()) if p.name in names}
    assert set(marked) == names
    for name, view in marked.items():
        assert getattr(view, "_non_atomic_requests", set()) == {"default"}, name
