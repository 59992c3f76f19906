"""Receipts and statements open for whoever may open what they are about, and for nobody else."""

from __future__ import annotations

import datetime
import re
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import translation
from post_office.models import Email

from checkout import clock, links, mail, pdf
from checkout.models import Checkout, Customer, Letter, ObjectPaymentPlan, Paper
from checkout.office import services as office
from checkout.services import fulfillment, intents, papers, requests, runs
from checkout.services.early import create_checkout_early
from checkout.services.letters import writing
from stripe_emulator import Emulator
from tests.host.models import Membership
from tests.services.conftest import SavePlan, make_due
from tests.services.test_papers import text_of, words
from tests.services.test_refunds import paid
from tests.views.test_plan_link import link, page_of, text

pytestmark = pytest.mark.django_db


@pytest.fixture
def plan(save_plan: SavePlan, settings: Any) -> ObjectPaymentPlan:
    settings.CHECKOUT_BASE_URL = "https://shop.example"
    return save_plan(email="payer@example.com")


@pytest.fixture
def at_once(emulator: Emulator, membership: Membership, settings: Any) -> Checkout:
    """A payment at once, by somebody without a login."""
    settings.CHECKOUT_BASE_URL = "https://shop.example"
    return paid(emulator, membership)


def receipt_of(plan: ObjectPaymentPlan) -> Checkout:
    return papers.receipts_of(plan)[0]


def receipt_page(checkout: Checkout) -> str:
    return reverse("checkout.receipt", args=[checkout.uuid])


def is_closed(client: Client, *addresses: str) -> bool:
    answers = [client.get(address) for address in addresses]
    return all(answer.headers.get("Location", "").startswith("/log-in/") for answer in answers)


def test_the_link_of_a_plan_opens_this_plan_s_papers_and_no_others(
    client: Client, plan: ObjectPaymentPlan, at_once: Checkout, save_plan: SavePlan
) -> None:
    other = save_plan(email="payer@example.com", name="Another of the same payer")
    ours = [receipt_page(receipt_of(plan)), reverse("checkout.statement", args=[plan.uuid])]
    theirs = [receipt_page(receipt_of(other)), reverse("checkout.statement", args=[other.uuid]), receipt_page(at_once)]
    assert is_closed(client, *ours, *theirs)
    page = client.get(link(plan), follow=True).content.decode()
    for address in ours:
        assert f'href="{address}"' in page
        assert client.get(address).status_code == 200
    assert is_closed(client, *theirs)


def test_the_link_of_a_letter_leads_straight_to_the_receipt_of_a_plan(client: Client, plan: ObjectPaymentPlan) -> None:
    checkout = receipt_of(plan)
    address = links.receipt(checkout).removeprefix("https://shop.example")
    opened = client.get(address)
    assert opened.headers["Location"] == receipt_page(checkout)
    assert "£20.00" in text(client.get(receipt_page(checkout)))
    office.revoke_links(plan, None, "lost phone")
    assert is_closed(client, receipt_page(checkout), reverse("checkout.statement", args=[plan.uuid]))


def test_a_link_to_a_plan_opens_no_receipt_of_another(
    client: Client, plan: ObjectPaymentPlan, at_once: Checkout
) -> None:
    opened = client.get(f"{link(plan)}?receipt={at_once.uuid}")
    assert opened.headers["Location"] == receipt_page(at_once)
    assert is_closed(client, receipt_page(at_once))
    assert client.get(f"{link(plan)}?receipt=x").headers["Location"] == page_of(plan)


def test_a_payment_at_once_opens_by_the_link_of_its_letter(client: Client, at_once: Checkout) -> None:
    address = urlsplit(links.receipt(at_once)).path
    assert is_closed(client, receipt_page(at_once))
    session = client.session
    session["planted"] = True
    session.save()
    before = session.session_key
    opened = client.get(address)
    assert (opened.status_code, opened.headers["Location"]) == (302, receipt_page(at_once))
    assert opened.headers["Cache-Control"] == "no-store, private"
    assert client.session.session_key != before
    shown = text(client.get(receipt_page(at_once)))
    for word in ("Receipt R-", "£100.00", "Visa ending in 4242", "Membership, One year"):
        assert word in shown
    assert "member@example.com" not in shown
    assert client.get(address[:-2] + "x/").status_code == 404
    assert client.get(reverse("checkout.plan.link", args=[links.make_token(at_once)])).status_code == 404


def test_a_corrected_address_or_a_revoked_request_closes_what_its_links_had_opened(
    client: Client, at_once: Checkout, emulator: Emulator
) -> None:
    client.get(urlsplit(links.receipt(at_once)).path)
    Membership.objects.update(email="corrected@example.com")
    assert is_closed(client, receipt_page(at_once))
    request = requests.create(email="cleo@example.com", name="Cleo", description="Books", total=Decimal(25))
    checkout = requests.paid_by_hand(request, None, "cash")
    client.get(urlsplit(links.receipt(checkout)).path)
    assert "Other means than a card" in text(client.get(receipt_page(checkout)))
    office.revoke_links(request, None, "lost phone")
    assert is_closed(client, receipt_page(checkout))


def test_whoever_holds_a_link_that_has_expired_gets_the_letter_again(client: Client, at_once: Checkout) -> None:
    mail.install()
    writing.write_waiting()
    address = urlsplit(links.receipt(at_once)).path
    with time_machine.travel(clock.now() + datetime.timedelta(days=15)):
        assert client.get(address).status_code == 410
        for _press in range(3):
            asked = client.post(address, {"new_link": "yes"})
            assert "A new link is on its way" in text(asked)
        assert Letter.objects.filter(cause__startswith="receipt_asked").count() == 1
        writing.write_waiting()
        letter = Email.objects.latest("pk")
        assert letter.to == ["member@example.com"]
        [new] = set(re.findall(r"https://shop.example(/checkout/receipt/\S+)", letter.message))
        assert client.get(new, follow=True).status_code == 200


def test_the_browser_that_paid_and_the_login_that_paid_open_it(
    at_once: Checkout, payer: Any, other_payer: Any, membership: Membership
) -> None:
    browser = Client()
    session = browser.session
    session["checkout_pages"] = {str(at_once.uuid): ""}
    session.save()
    assert browser.get(links.receipt_page(membership)).status_code == 200
    Checkout.objects.update(user=payer)
    for user, answer in ((payer, 200), (other_payer, 404)):
        client = Client()
        client.force_login(user)
        assert client.get(receipt_page(at_once)).status_code == answer


def test_who_charged_a_card_for_somebody_is_not_its_payer(at_once: Checkout, payer: Any) -> None:
    Checkout.objects.update(user=payer, action="charge")
    client = Client()
    client.force_login(payer)
    assert client.get(receipt_page(at_once)).status_code == 404


def test_staff_who_may_look_at_payments_open_receipts_and_statements(
    plan: ObjectPaymentPlan, at_once: Checkout, staff_with: Any
) -> None:
    addresses = [receipt_page(at_once), receipt_page(receipt_of(plan)), reverse("checkout.statement", args=[plan.uuid])]
    for permission, answers in (
        ("checkout.view_checkout", [200, 200, 404]),
        ("checkout.view_objectpaymentplan", [404, 404, 200]),
    ):
        client = Client()
        client.force_login(staff_with(permission))
        assert [client.get(address).status_code for address in addresses] == answers
    client.force_login(staff_with("checkout.view_checkout", "checkout.view_customer"))
    shown = client.get(reverse("checkout.detail", args=[at_once.uuid])).content.decode()
    assert f'href="{receipt_page(at_once)}"' in shown


def test_what_nobody_paid_has_no_page(client: Client, emulator: Emulator, boss: Any, membership: Membership) -> None:
    opened = Checkout.objects.create_checkout("payment", membership)
    client.force_login(boss)
    assert client.get(receipt_page(opened)).status_code == 404
    assert client.get(reverse("checkout.invoice.paper", args=[opened.uuid])).status_code == 404
    assert links.receipt_page(membership) == ""


def test_the_file_is_the_page_and_is_offered_where_it_can_be_made(
    client: Client, plan: ObjectPaymentPlan, monkeypatch: Any
) -> None:
    client.get(link(plan))
    checkout = receipt_of(plan)
    address = reverse("checkout.receipt.pdf", args=[checkout.uuid])
    assert f'href="{address}"' in client.get(receipt_page(checkout)).content.decode()
    made = client.get(address)
    name = Paper.objects.get(checkout=checkout).label
    assert made.headers["Content-Type"] == "application/pdf"
    assert made.headers["Content-Disposition"] == f'attachment; filename="receipt-{name}.pdf"'
    assert made.headers["Cache-Control"] == "no-store, private"
    printed = text_of(made.content)
    assert [word for word in words(papers.receipt(checkout)) if word not in printed] == []
    monkeypatch.setattr(pdf, "is_available", lambda: False)
    assert address not in client.get(receipt_page(checkout)).content.decode()
    assert client.get(address).status_code == 404


def test_names_that_people_typed_are_text_in_the_page_and_in_the_file(
    client: Client, emulator: Emulator, boss: Any
) -> None:
    checkout = paid(emulator, Membership.objects.create(name="<b>Ann</b> & {{ 7|add:7 }}"))
    client.force_login(boss)
    assert "&lt;b&gt;Ann&lt;/b&gt; &amp; {{ 7|add:7 }}" in client.get(receipt_page(checkout)).content.decode()
    assert "<b>Ann</b> & {{ 7|add:7 }}" in text_of(
        client.get(reverse("checkout.receipt.pdf", args=[checkout.uuid])).content
    )


def test_a_payer_reads_it_in_their_language(client: Client, emulator: Emulator, plan: ObjectPaymentPlan) -> None:
    client.get(link(plan))
    german = {"HTTP_ACCEPT_LANGUAGE": "de"}
    shown = text(client.get(reverse("checkout.statement", args=[plan.uuid]), **german))
    with translation.override("de"):
        statement = papers.statement(plan)
    assert statement.title == "Kontoauszug"
    assert "Kontoauszug" in shown
    assert "80,00" in shown
    # Runs charge in the language of the site.
    with translation.override("en-gb"):
        make_due(plan)
        runs.process_payments(workers=1)
        early = create_checkout_early(plan, Decimal(30))
        emulator.pay(intents.page(early).client_secret)
        fulfillment.fulfill(early)
    by_run, in_part = papers.receipts_of(plan)[-2:]
    assert by_run.description_lines[-1] == "Instalment 1 of 3"
    shown = text(client.get(reverse("checkout.receipt", args=[by_run.uuid]), **german))
    assert "Rate 1 von 3" in shown
    assert "Instalment" not in shown
    shown = text(client.get(reverse("checkout.receipt", args=[in_part.uuid]), **german))
    assert "Rate 2" in shown
    assert "Instalment" not in shown


def test_erased_names_are_on_no_receipt(client: Client, at_once: Checkout, boss: Any) -> None:
    Checkout.objects.update(payer="")
    Customer.objects.update(name="")
    client.force_login(boss)
    assert "A Member" not in text(client.get(receipt_page(at_once)))
