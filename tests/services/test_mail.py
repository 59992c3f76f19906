"""What the mails say, in whose words, and that a site's own words are kept."""

from __future__ import annotations

import datetime
import re
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core import mail as outbox
from django.core.management import call_command
from django.db import transaction
from post_office.mail import send_queued
from post_office.models import Email, EmailTemplate

from checkout import checks, clock, letters, links, mail, states
from checkout.models import Checkout, Customer, Notice, ObjectPaymentPlan, ObjectPaymentPlanInstalment, PaymentPlan
from checkout.services import notices, on_session
from tests.host.models import Membership
from tests.saved import agreed, saved_card

pytestmark = pytest.mark.django_db

ANON = ObjectPaymentPlanInstalment.MAIL_TEMPLATE_ON_SESSION_PAYMENT_ANON


def waiting_line(membership: Membership, **customer: Any) -> ObjectPaymentPlanInstalment:
    """An instalment whose bank requires its payer, as rows only."""
    template = PaymentPlan.objects.create_payment_plan("standard", "Standard", 50, 2, 1)
    payer = Customer.objects.create(**({"email": membership.email, "name": membership.name} | customer))
    card = saved_card(payer, brand="visa", last4="4242", exp_month=8, exp_year=2029)
    plan = ObjectPaymentPlan.objects.create(
        content_type=ContentType.objects.get_for_model(membership),
        object_id=str(membership.pk),
        payment_plan=template,
        customer=payer,
        agreement=agreed(card),
        total=Decimal(170),
        currency=membership.currency,
    )
    line = ObjectPaymentPlanInstalment.objects.create(
        object_payment_plan=plan,
        count=2,
        amount=Decimal("85.00"),
        due=datetime.date(2026, 11, 1),
        state_id=states.PAY_ON_SESSION,
    )
    Checkout.objects.create(
        action_id="charge",
        state_id=states.PAY_ON_SESSION,
        content_type=ContentType.objects.get_for_model(line),
        object_id=str(line.pk),
        total=line.amount,
        customer=payer,
        payment_intent_id="pi_secret",
        claimed_at=clock.now(),
    )
    return line


@pytest.fixture
def line(membership: Membership) -> ObjectPaymentPlanInstalment:
    mail.install()
    return waiting_line(membership)


def send() -> Email:
    assert on_session.send_on_session_payment_emails() == on_session.Sent(mailed=1)
    letter: Email = Email.objects.latest("pk")
    return letter


def test_it_says_what_a_payer_wants_to_know(line: ObjectPaymentPlanInstalment, settings: Any) -> None:
    letter = send()
    assert letter.subject == "Please confirm your payment of £85.00"
    link = re.search(rf"{re.escape(settings.CHECKOUT_BASE_URL)}/checkout/pay/[\w.-]+/", letter.message)
    assert link is not None
    for text in (letter.message, letter.html_message):
        assert "Hello A Member" in text
        assert "£85.00" in text
        assert "1 Nov 2026" in text
        assert "Membership, One year, Instalment 1 of 2" in text
        assert "Visa ending in 4242" in text
        assert link.group() in text
        assert "What happens next" in text
        assert settings.CHECKOUT_CONTACT_TEXT in text
    assert links.read_token(link.group().split("/")[-2], type(line)) == line.uuid


def test_it_holds_no_secret(line: ObjectPaymentPlanInstalment) -> None:
    letter = send()
    for text in (letter.subject, letter.message, letter.html_message):
        assert "pi_secret" not in text
        assert "pm_1" not in text
        assert "member@example.com" not in text


def test_it_arrives_as_text_and_html(line: ObjectPaymentPlanInstalment) -> None:
    send()
    send_queued()
    (message,) = outbox.outbox
    assert message.to == ["member@example.com"]
    assert [kind for _text, kind in message.alternatives] == ["text/html"]  # type: ignore[attr-defined]


def test_names_are_text_in_html_and_themselves_in_plain_text(membership: Membership) -> None:
    mail.install()
    Membership.objects.update(name="Zoë O'Brien <b>&\nBcc: all@example.com")
    membership.refresh_from_db()
    waiting_line(membership)
    letter = send()
    assert "Hello Zoë O'Brien <b>& Bcc: all@example.com," in letter.message
    assert "<b>" not in letter.html_message.replace("<body>", "")
    assert "&lt;b&gt;&amp;" in letter.html_message


@pytest.mark.parametrize(
    ("language", "currency", "amount", "due"),
    [
        ("de", "EUR", "85,00\xa0€", "1. November 2026"),
        ("en-gb", "GBP", "£85.00", "1 Nov 2026"),
        ("", "GBP", "£85.00", "1 Nov 2026"),
        ("xx-unknown", "GBP", "£85.00", "2026"),
    ],
)
def test_amount_and_date_are_written_as_the_payer_writes_them(
    membership: Membership, language: str, currency: str, amount: str, due: str
) -> None:
    mail.install()
    Membership.objects.update(currency=currency)
    membership.refresh_from_db()
    waiting_line(membership, language=language)
    message = " ".join(send().message.split(" "))
    assert amount.replace("\xa0", " ") in message.replace("\xa0", " ")
    assert due in message


def test_a_sites_translation_is_used(line: ObjectPaymentPlanInstalment) -> None:
    Customer.objects.update(language="de-at")
    EmailTemplate.objects.filter(name=ANON, language="de").update(subject="Unsere Worte: {{ amount }}")
    assert send().subject.startswith("Unsere Worte: ")


def test_the_hosts_row_may_say_the_language(membership: Membership) -> None:
    customer = Customer(language="fr")
    assert notices.language_of(membership, customer) == "fr"
    membership.checkout_language = "it"  # type: ignore[attr-defined]
    assert notices.language_of(membership, customer) == "it"
    assert notices.language_of(None, None) == "en-gb"


def test_init_makes_the_templates_and_never_overwrites_a_sites_words(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("init_app_checkout")
    assert f"mail templates: made {len(letters.REGISTER)}, kept 0" in capsys.readouterr().out
    EmailTemplate.objects.filter(name=ANON).update(subject="Our own words")
    EmailTemplate.objects.filter(name=Customer.MAIL_TEMPLATE_CARD_EXPIRY).delete()
    call_command("init_app_checkout")
    out = capsys.readouterr().out
    assert f"made {Customer.MAIL_TEMPLATE_CARD_EXPIRY}" in out
    assert f"mail templates: made 1, kept {len(letters.REGISTER) - 1}" in out
    assert EmailTemplate.objects.get(name=ANON, default_template=None).subject == "Our own words"


@pytest.mark.parametrize("name", sorted(letters.REGISTER))
def test_every_template_is_whole(name: str) -> None:
    mail.install()
    made = EmailTemplate.objects.get(name=name, default_template=None)
    made.full_clean(exclude=["default_template"])
    assert made.subject
    assert made.content
    assert made.html_content
    assert made.description


def test_a_reworded_template_counts_at_once(line: ObjectPaymentPlanInstalment) -> None:
    EmailTemplate.objects.filter(name=ANON).update(subject="Pay {{ amount }}, please")
    assert send().subject == "Pay £85.00, please"


def test_note_and_mail_are_one_commit(line: ObjectPaymentPlanInstalment) -> None:
    def rolled_back() -> None:
        with transaction.atomic():
            send()
            raise RuntimeError("whatever gave the reason is rolled back")

    with pytest.raises(RuntimeError):
        rolled_back()
    assert (Notice.objects.count(), Email.objects.count()) == (0, 0)


def test_a_broken_template_writes_nothing_down(line: ObjectPaymentPlanInstalment) -> None:
    EmailTemplate.objects.filter(name=ANON).update(content="{% broken %}")
    assert on_session.send_on_session_payment_emails() == on_session.Sent(errors=1)
    assert (Notice.objects.count(), Email.objects.count()) == (0, 0)


def test_one_cause_one_letter(line: ObjectPaymentPlanInstalment) -> None:
    context = {"amount": "£1.00"}
    assert notices.send_once("a cause", ANON, "a@example.com", context)
    assert not notices.send_once("a cause", ANON, "a@example.com", context)
    assert notices.send_once("another", ANON, "a@example.com", context)
    assert Email.objects.count() == 2


def test_a_missing_template_names_the_command(db: None) -> None:
    with pytest.raises(mail.MailNotReady, match="init_app_checkout"):
        notices.send_once("a cause", ANON, "a@example.com", {})
    assert not Notice.objects.exists()


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("", ["checkout.W004"]),
        ("www.example.org", ["checkout.E012"]),
        ("https://www.example.org", []),
        ("https://www.example.org/", []),
    ],
)
def test_the_sites_address_is_checked_at_start(settings: Any, address: str, found: list[str]) -> None:
    settings.CHECKOUT_BASE_URL = address
    assert [message.id for message in checks.check_base_url()] == found
    if not found:
        assert links.absolute("checkout.card.refresh") == "https://www.example.org/checkout/card-refresh/"
