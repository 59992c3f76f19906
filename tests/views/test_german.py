"""A German payer, and a German office: no page and no mail says anything of ours in English."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import time_machine
from django.core.cache import cache
from django.core.management import call_command
from django.test import Client
from django.urls import path, reverse
from django.utils import translation
from post_office.models import Email, EmailTemplate

from checkout import clock, deployment, links, mail, states
from checkout.letters import PLAN_AGREED, REGISTER
from checkout.models import (
    Agreement,
    Checkout,
    Customer,
    CustomerPayment,
    ObjectPaymentPlan,
    PaymentPlan,
    SavedCard,
    StripeEvent,
)
from checkout.services import card_expiry, on_session, requests
from checkout.services.letters import writing
from example_checkout.urls import urlpatterns as shop_urls
from stripe_emulator import Emulator, faults
from tests.german import GERMAN, english_in
from tests.host.models import Membership
from tests.services.conftest import SavePlan, enter_card
from tests.services.test_choosing import ChoiceView, agree
from tests.staff.conftest import ADDRESS, Books, books, boss  # noqa: F401 - fixtures
from tests.staff.test_access import TABLE, Staff
from tests.staff.test_pages import LISTS
from tests.staff.test_pages import address as staff_address
from tests.views.test_on_session_pages import ALWAYS_ASKS, link, wait_for

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

urlpatterns = [*shop_urls, path("choose/<uuid:pk>/", ChoiceView.as_view(), name="choose")]


@pytest.fixture(autouse=True)
def site(settings: Any, db: None) -> None:
    """Our own frame around the pages: the example shop's is English."""
    settings.CHECKOUT_BASE_TEMPLATE = "checkout/base.html"
    settings.CHECKOUT_NOTIFY_EMAILS = ["office@example.com"]
    cache.clear()
    mail.install()


@pytest.fixture
def german() -> Client:
    return Client(headers=GERMAN)


def shown(client: Client, address: str, status: int = 200, **data: Any) -> str:
    """The German page at `address`, after a POST if there is something to send."""
    response = client.post(address, data, follow=True) if data else client.get(address, follow=True)
    page = response.content.decode()
    assert response.status_code == status, page
    assert '<html lang="de"' in page
    assert english_in(page) == []
    return page.replace("\N{NO-BREAK SPACE}", " ")


# -- payers ---------------------------------------------------------------------------------------------


def test_choosing_agreeing_and_the_deposit(
    german: Client, emulator: Emulator, membership: Membership, payment_plan: PaymentPlan, settings: Any
) -> None:
    choose = f"/choose/{membership.pk}/"
    with time_machine.travel("2026-01-10T12:00:00Z"):
        page = shown(german, choose)
        assert "Heute 20,00 £ und 3 Raten" in page
        assert "1. Februar 2026" in page
        agreed = shown(german, f"{choose}?payment_plan=standard")
        assert "Bitte setzen Sie das Häkchen" in shown(
            german, choose, 422, action="payment_plan", payment_plan="standard"
        )
        agree(german, choose)
        text = Agreement.objects.get().text
        assert "Ich erlaube Green Lane College, meine Karte beim Zahlungsdienst Stripe zu speichern" in text
        assert "Anzahlung: 20,00 £ am 10. Januar 2026." in text.replace("\N{NO-BREAK SPACE}", " ")
        assert "26,66 £ am 1. Februar 2026; 26,67 £ am" in text.replace("\N{NO-BREAK SPACE}", " ")
        for paragraph in text.split("\n\n"):
            assert f"<p>{paragraph}</p>".replace("\N{NO-BREAK SPACE}", " ") in agreed
        assert english_in(text) == []

        checkout = Checkout.objects.get()
        paying = shown(german, f"/checkout/{checkout.uuid}/pay/")
        assert "Das ist die Anzahlung. Dabei wird Ihre Karte für die Raten gespeichert" in paying
        assert "20,00 £ jetzt bezahlen" in paying
        enter_card(emulator, checkout, "4000000000009995")
        assert "Die Karte war nicht ausreichend gedeckt." in shown(german, f"/checkout/{checkout.uuid}/return/")

        settings.CHECKOUT_DEPOSIT_WITH_CARD = False
        agree(german, choose)
        checkout = Checkout.objects.latest("pk")
        assert "die Anzahlung von 20,00 £" in shown(german, f"/checkout/{checkout.uuid}/pay/")
        enter_card(emulator, checkout, "4000008260003178")
        declined = shown(german, f"/checkout/{checkout.uuid}/return/")
        assert "Die Anzahlung wurde nicht abgebucht" in declined
        assert "Die Karte war nicht ausreichend gedeckt." in declined
        attempt = german.post(f"/checkout/{checkout.uuid}/deposit/", follow=True)
        assert english_in(attempt.content.decode()) == []


def test_paying_at_once_and_its_results(german: Client, emulator: Emulator, membership: Membership) -> None:
    pay = german.post(f"/choose/{membership.pk}/", {"action": "payment"}).headers["Location"]
    assert "100,00 £ jetzt bezahlen" in shown(german, pay)
    checkout = Checkout.objects.get()
    back = f"/checkout/{checkout.uuid}/return/"
    assert "Nicht bezahlt" in shown(german, back)
    enter_card(emulator, checkout, "4000000000000069")
    assert "Die Karte ist abgelaufen." in shown(german, back)
    emulator.weather.add(faults.Status(500), path="GET /v1/payment_intents", times=1)
    assert "Wir prüfen Ihre Zahlung" in shown(german, back)


def test_pay_by_link_and_the_new_card(german: Client, emulator: Emulator, save_plan: SavePlan, payer: Any) -> None:
    line = wait_for(save_plan(ALWAYS_ASKS, email="payer@example.com"), emulator, payer)
    page = shown(german, link(line))
    assert "26,66 £ bezahlen" in page
    assert "Visa mit den Endziffern 3184" in page
    assert "jetzt bezahlen" in shown(german, link(line), 200, another_card="1")
    assert "Dieser Link funktioniert nicht" in shown(german, "/checkout/pay/nonsense/", 404)

    german.force_login(payer)
    plan = line.object_payment_plan
    progress = reverse("checkout.plan.progress", args=[plan.uuid])
    assert "Ihre Bank verlangt Ihre Bestätigung" in shown(german, progress)
    assert "Ihre neue Karte" in shown(german, reverse("checkout.card.refresh"))
    save_plan(email="payer@example.com", name="Zwei")
    assert "Welcher Ratenplan?" in shown(german, reverse("checkout.card.refresh"))
    ObjectPaymentPlan.objects.update(deleted=True)
    assert "Es wird keine Karte gebraucht" in shown(german, reverse("checkout.card.refresh"))
    assert "beendet" in shown(german, progress)
    assert "Es gibt nichts zu bezahlen" in shown(german, link(line), 410)


def test_a_request_and_an_invoice(german: Client, emulator: Emulator, membership: Membership) -> None:
    payment = requests.create(email="cleo@example.com", name="Cleo", description="Ersatzschlüssel", total=Decimal(25))
    address = requests.payer_path(payment)
    assert "25,00 £ bezahlen" in shown(german, address)
    assert "25,00 £ jetzt bezahlen" in shown(german, address, 200, go="1")
    form = links.invoice_form(membership)
    assert "Auf Rechnung bezahlen" in shown(german, form)
    assert "Bitte geben Sie eine E-Mail-Adresse" in shown(german, form, 422, **(ADDRESS | {"email": ""}))
    german.post(form, ADDRESS)
    writing.write_waiting()
    letter = Email.objects.get(to="ann@example.com")
    assert letter.subject.startswith("Wir schicken Ihnen eine Rechnung")
    assert "100,00" in letter.message
    assert english_in(letter.message) == []
    assert "£100.00" in Email.objects.get(to="office@example.com").subject


def test_problems(german: Client, emulator: Emulator, membership: Membership) -> None:
    assert "Diese Seite steht Ihnen nicht offen" in shown(german, f"/checkout/{UUID(int=7)}/pay/", 404)
    emulator.weather.add(faults.Status(500), path="POST /v1/payment_intents", times=None)
    page = shown(german, f"/choose/{membership.pk}/", 503, action="payment")
    assert "Wir konnten den Zahlungsdienst nicht erreichen" in page
    Membership.objects.update(can_charge=False)
    page = shown(german, f"/choose/{membership.pk}/", 409, action="payment")
    assert "Hier gibt es zurzeit nichts zu bezahlen." in page


@pytest.mark.parametrize("total", [Decimal("0.10"), Decimal(1), Decimal("1.2345"), Decimal(10) ** 9])
def test_a_total_that_cannot_be_paid_is_explained_in_german(payment_plan: PaymentPlan, total: Decimal) -> None:
    with translation.override("de"), pytest.raises(Exception) as raised:  # noqa: PT011 - any of our refusals
        payment_plan.lines(clock.today(), total, "GBP")
    assert english_in(str(raised.value)) == []


# -- mails ----------------------------------------------------------------------------------------------


def letters() -> list[Email]:
    found = list(Email.objects.exclude(to__contains="office@").order_by("pk"))
    for letter in found:
        for text in (letter.subject, letter.message, letter.html_message):
            assert text
            assert english_in(text) == []
            assert "{{" not in text
            assert "Hello" not in text
    return found


def test_every_letter_of_a_german_payer_is_german(
    emulator: Emulator, save_plan: SavePlan, payer: Any, staff: Any
) -> None:
    plan = save_plan(ALWAYS_ASKS, email="payer@example.com")
    Customer.objects.update(language="de")
    SavedCard.objects.update(exp_year=clock.today().year, exp_month=clock.today().month)
    SavedCard.objects.update(expiry_date=clock.today())
    line = wait_for(plan, emulator, payer)
    writing.write_waiting()
    on_session.send_on_session_payment_emails(lambda _contact: False)
    plan.refresh_from_db()
    customer = Customer.objects.get()
    card_expiry.send_card_refresh_mail(customer, staff)
    requests.send_link(
        requests.create(
            email=customer.email, name="", description="Ersatzschlüssel", total=Decimal("85.00"), currency="EUR"
        )
    )
    subjects = [letter.subject.replace("\N{NO-BREAK SPACE}", " ") for letter in letters()]
    assert subjects == [
        "Ihr Ratenplan: 100,00 £ für Membership, One year",
        "Bitte bestätigen Sie Ihre Zahlung von 26,66 £",
        "Bitte geben Sie uns eine Karte für Ihre Raten (Green Lane College)",
        "Bitte bezahlen Sie 85,00 €: Ersatzschlüssel (Green Lane College)",
    ]
    assert line.state_id == states.PAY_ON_SESSION


def test_staff_are_written_to_in_the_sites_language(
    german: Client, emulator: Emulator, membership: Membership, settings: Any
) -> None:
    settings.CHECKOUT_NOTIFY = "immediate"
    german.post(f"/choose/{membership.pk}/", {"action": "payment"})
    checkout = Checkout.objects.get()
    enter_card(emulator, checkout, "4242424242424242")
    german.get(f"/checkout/{checkout.uuid}/return/")
    assert Email.objects.get(to="office@example.com").subject == "Paid: £100.00 A Member <member@example.com>"


class TestInstalling:
    def languages(self, name: str = PLAN_AGREED) -> list[str]:
        return sorted(EmailTemplate.objects.filter(name=name).values_list("language", flat=True))

    def test_only_languages_of_the_site(self, settings: Any) -> None:
        assert self.languages() == ["", "de"]
        EmailTemplate.objects.all().delete()
        settings.LANGUAGES = [("en-gb", "English"), ("fr", "French")]
        mail.install()
        assert self.languages() == [""]
        settings.LANGUAGES = [("en-gb", "English"), ("de-at", "Austrian")]
        mail.install()
        assert self.languages() == ["", "de-at"]
        settings.LANGUAGES = [("de", "German"), ("de-at", "Austrian")]
        assert mail.languages() == [("de", "de")]

    def test_the_sites_own_words_stay(self, capsys: pytest.CaptureFixture[str]) -> None:
        EmailTemplate.objects.filter(name=PLAN_AGREED, language="de").update(subject="Unsere Worte")
        call_command("init_app_checkout")
        assert f"translations of them: made 0, kept {len(REGISTER)}, left out 0" in capsys.readouterr().out
        assert EmailTemplate.objects.get(name=PLAN_AGREED, language="de").subject == "Unsere Worte"

    def test_a_reworded_letter_is_not_overruled_by_our_german(self, capsys: pytest.CaptureFixture[str]) -> None:
        EmailTemplate.objects.filter(language="de").delete()
        EmailTemplate.objects.filter(name=PLAN_AGREED).update(subject="Unsere Worte für alle")
        call_command("init_app_checkout")
        out = capsys.readouterr().out
        assert "left plan_agreed as you reworded it" in out
        assert f"made {len(REGISTER) - 1}, kept 0, left out 1" in out
        assert self.languages() == [""]
        call_command("init_app_checkout", "--translate-reworded")
        assert self.languages() == ["", "de"]


# -- the office -----------------------------------------------------------------------------------------


@pytest.fixture
def german_books(request: pytest.FixtureRequest) -> Books:
    """What was paid for is kept in the words of that time."""
    with translation.override("de"):
        found: Books = request.getfixturevalue("books")
    return found


def test_every_page_of_the_office_is_german(
    german: Client,
    german_books: Books,
    boss: Any,  # noqa: F811
    monkeypatch: Any,
    settings: Any,
) -> None:
    # The site's own words.
    settings.CHECKOUT_ORGANISATION = {}
    # System checks speak English, as Django's own do.
    monkeypatch.setattr(deployment, "CHECKS", ())
    # The program's own words about a fault, kept as they came.
    StripeEvent.objects.update(error="")
    # What staff wrote, which is the name of a page of ours as well.
    CustomerPayment.objects.filter(description="Books").update(description="B.")
    german.force_login(boss)
    addresses = [staff_address(name) for name in LISTS]
    pages = {name: page for name, page in TABLE.items() if isinstance(page, Staff)}
    addresses += [reverse(name, args=page.args(german_books)) for name, page in pages.items()]
    found = {}
    for address in addresses:
        response = german.get(address)
        if not response.headers["Content-Type"].startswith("text/html"):
            continue
        # What a bank is sent as evidence is English.
        page = re.sub(r"<textarea.*?</textarea>", "", response.content.decode(), flags=re.DOTALL)
        if left := english_in(page):
            found[address] = left
    assert found == {}
