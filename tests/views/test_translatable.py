"""Every word that a payer or the office reads comes through gettext, or is data: here nothing is left out.

That each is said in German where German is asked for is shown in test_german.py.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import path, reverse
from django.utils import translation
from django.views.generic import View

from checkout import deployment, links
from checkout.gateway import gateway
from checkout.journal import Code, Why
from checkout.models import Checkout, ObjectPaymentPlan, PaymentPlan
from checkout.services import charging, ending, intents, plans, requests, settling
from checkout.views import PaymentChoiceMixin
from checkout.views.access import problem_page
from example_checkout.urls import urlpatterns as shop_urls
from stripe_emulator import Emulator, faults
from tests.host.models import Membership
from tests.services.conftest import SavePlan, enter_card
from tests.staff.conftest import Books, books, boss, site  # noqa: F401 - fixtures
from tests.staff.test_access import TABLE, Staff
from tests.staff.test_pages import LISTS
from tests.staff.test_pages import address as staff_address

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

EMAIL = "payer@example.com"
#: What the host or the payer gave, and the names of cards.
DATA = ("Membership", "One year", "Standard", "Exam fee", "Green Lane College office, telephone", "Green Lane College")
DATA += ("Visa", "A Member", EMAIL, "payer")


class ChoiceView(PaymentChoiceMixin, View):
    def get_content_object(self) -> Membership:
        return Membership.objects.get(pk=self.kwargs["pk"])  # type: ignore[attr-defined]


urlpatterns = [*shop_urls, path("choose/<uuid:pk>/", ChoiceView.as_view(), name="choose")]


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """Put ⟦brackets⟧ around whatever gettext gives out."""
    settings.CHECKOUT_BASE_TEMPLATE = "checkout/base.html"
    settings.CHECKOUT_ORGANISATION = {}
    translation.gettext("")  # Django finds its functions when they are first used
    real: Any = translation._trans  # type: ignore[attr-defined]
    one, many, of_context = real.gettext, real.ngettext, real.pgettext
    monkeypatch.setattr(real, "gettext", lambda text: f"⟦{one(text)}⟧")
    monkeypatch.setattr(real, "ngettext", lambda *texts: f"⟦{many(*texts)}⟧")
    monkeypatch.setattr(real, "pgettext", lambda *texts: f"⟦{of_context(*texts)}⟧")


def words_of_ours(html: str) -> list[str]:
    """Words on the page, or in its labels and messages, that did not come through gettext."""
    html = re.sub(r"<!--.*?-->", "", html, flags=re.DOTALL)
    config = re.search(r'id="checkout-elements-config"[^>]*>(.*?)</script>', html, re.DOTALL)
    said = list(json.loads(config[1])["messages"].values()) if config else []
    said += re.findall(r'(?:aria-label|alt|title|placeholder)="([^"]*)"', html)
    said.append(re.sub(r"<[^>]+>", " ", re.sub(r"<(script|style)\b.*?</\1>", "", html, flags=re.DOTALL)))
    left = " | ".join(said)
    before = ""
    while before != left:
        before, left = left, re.sub(r"⟦[^⟦⟧]*⟧", "", left)
    for known in DATA:
        left = left.replace(known, "")
    return re.findall(r"[A-Za-z]{2,}", left)


@pytest.fixture
def pages(client: Client, payer: Any, emulator: Emulator, save_plan: SavePlan, payment_plan: PaymentPlan) -> list[str]:
    """Addresses of the payer's pages, with something on each."""
    plan = save_plan(email=EMAIL)
    save_plan(email=EMAIL)
    ObjectPaymentPlan.objects.update(user=payer)
    failed, asked, _ = plan.payments.filter(deposit=False)
    # In this order: a card that has run out is not asked again.
    charging.claim(asked)
    ending.fail(charging.claim(failed), why=Why(Code.CARD_DECLINED), error_code="expired_card")
    client.force_login(payer)

    row = Membership.objects.create(email=EMAIL)
    unpaid = Checkout.objects.create_checkout("payment", Membership.objects.create(email=EMAIL), payer)
    closed = Checkout.objects.create_checkout("payment", Membership.objects.create(email=EMAIL), payer)
    intents.close(closed, why=Why(Code.REPLACED), superseded=True)
    setup = Checkout.objects.create_checkout("payment_plan", row, payer, payment_plan=payment_plan)
    deposit = Checkout.objects.create_checkout(
        "payment_plan", Membership.objects.create(email=EMAIL), payer, payment_plan=payment_plan
    )
    enter_card(emulator, deposit, "4242424242424242")
    settling.settle(deposit.pk, gateway().retrieve_setup_intent(deposit.setup_intent_id))
    ending.fail(charging.claim(plans.deposit_of(ObjectPaymentPlan.objects.latest("pk"))), why=Why(), error_code="x")
    request = requests.create(email=EMAIL, name="A Member", description="Exam fee", total=Decimal(25))
    token = links.make_token(failed)
    return [
        f"/choose/{row.pk}/",
        f"/choose/{row.pk}/?payment_plan=standard",
        f"/checkout/{setup.uuid}/pay/",
        f"/checkout/{unpaid.uuid}/pay/",
        f"/checkout/{unpaid.uuid}/return/",
        f"/checkout/{closed.uuid}/return/",
        f"/checkout/{deposit.uuid}/deposit/",
        reverse("checkout.pay.link", args=[token]),
        reverse("checkout.pay.link", args=[token[:-4]]),
        reverse("checkout.pay.on.session", args=[asked.uuid]),
        reverse("checkout.plan.progress", args=[plan.uuid]),
        reverse("checkout.card.refresh"),
        reverse("checkout.card.refresh.plan", args=[plan.uuid]),
        requests.payer_path(request),
        links.invoice_form(row),
        "/checkout/card-refresh/00000000-0000-0000-0000-000000000000/",
    ]


def test_every_page(client: Client, pages: list[str], marked: None) -> None:
    answers = {address: client.get(address) for address in pages}
    assert sorted(answer.status_code for answer in answers.values()) == [200] * (len(pages) - 2) + [404] * 2
    found = {address: words_of_ours(answer.content.decode()) for address, answer in answers.items()}
    assert {address: words for address, words in found.items() if words} == {}


def test_what_is_said_when_something_is_wrong(
    client: Client, payer: Any, pages: list[str], marked: None, emulator: Emulator, payment_plan: PaymentPlan
) -> None:
    invoice, choose, agree, open_page = pages[-2], pages[0], pages[1], pages[3]
    answers = [
        client.post(invoice, {"email": "nonsense"}),
        client.post(choose),
        client.post(agree.partition("?")[0], {"action": "payment_plan", "payment_plan": "standard"}),
        client.put(open_page),
    ]
    emulator.weather.add(faults.LostBefore(), path="GET /v1/payment_intents", times=None)
    answers += [client.get(open_page), client.get(open_page.replace("/pay/", "/return/"))]
    assert [answer.status_code for answer in answers] == [422, 422, 422, 405, 503, 200]
    assert [words_of_ours(answer.content.decode()) for answer in answers] == [[]] * len(answers)
    client.logout()
    assert words_of_ours(client.get(open_page).content.decode()) == []


#: What people wrote in the books and in mails, and the names that programs go by.
OF_THE_BOOKS = re.compile(
    r"boss|Bob|Cleo|Eve|Inv\b|Ann Smith|[Ss]pare|standard|Books|GBP|immediate|[\w.]+@example\.com|&[lg]t;"
    r"|Stripe gave no answer|Stripe"
    r"|Your payment plan|Please confirm your payment of|Please pay|We will send you an invoice for|(?<=\d) for"
    r"|Smith &amp; Co|1 High Street|Bath|Somerset|BA1 1AA|United Kingdom"
    # Of Stripe's: its types of movements, and its ids. What a bank is sent as evidence is English.
    r"|(?<=>)\s*charge\s*(?=<)|<textarea.*?</textarea>"
    r"|\b(ch|cus|pi|po|du|evt|re|txn)_\w+|\b[a-z]+([_.][a-z]+)+\b|\breconcile\b|CHECKOUT_[A-Z_]+",
    re.DOTALL,
)


def test_every_page_of_the_office(client: Client, marked: None, books: Books, boss: Any, monkeypatch: Any) -> None:  # noqa: F811
    # System checks speak English, as Django's own do.
    monkeypatch.setattr(deployment, "CHECKS", ())
    client.force_login(boss)
    addresses = [staff_address(name) for name in LISTS]
    addresses += [
        reverse(name, args=page.args(books))
        for name, page in TABLE.items()
        # A letter is written by its template, in the language of that.
        if isinstance(page, Staff) and name != "checkout.letter.html"
    ]
    left = {}
    for address in addresses:
        answer = client.get(address)
        if answer.headers["Content-Type"].startswith("text/html"):
            page = re.sub(r'<h2 id="office-letter".*?</section>', "", answer.content.decode(), flags=re.DOTALL)
            page = OF_THE_BOOKS.sub("", page)
            left[address] = words_of_ours(page)
    assert len(left) > 40
    assert {address: words for address, words in left.items() if words} == {}


def test_the_test_finds_a_word_that_is_not_translated(marked: None, rf: Any) -> None:
    page = problem_page(rf.get("/"), 404, "Not through gettext", "").content.decode()
    assert "gettext" in words_of_ours(page)
