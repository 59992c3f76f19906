"""The payer's own page of a plan, by the link of a letter: no login, this plan only, and not for ever."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from post_office.models import Email

from checkout import clock, links, mail, states
from checkout.models import Checkout, Letter, ObjectPaymentPlan, ObjectPaymentPlanInstalment, SavedCard
from checkout.services import plans, runs
from checkout.services.letters import writing
from stripe_emulator import Emulator
from tests.services.conftest import SavePlan, make_due

pytestmark = pytest.mark.django_db


@pytest.fixture
def plan(emulator: Emulator, save_plan: SavePlan, settings: Any) -> ObjectPaymentPlan:
    settings.CHECKOUT_BASE_URL = "https://shop.example"
    return save_plan(email="payer@example.com")


def link(plan: ObjectPaymentPlan) -> str:
    return urlsplit(links.plan_page(plan)).path


def text(response: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def page_of(plan: ObjectPaymentPlan) -> str:
    return reverse("checkout.plan.progress", args=[plan.uuid])


def test_the_link_opens_the_plan_and_leaves_the_address_bar(client: Client, plan: ObjectPaymentPlan) -> None:
    opened = client.get(link(plan))
    assert (opened.status_code, opened.headers["Location"]) == (302, page_of(plan))
    assert opened.headers["Cache-Control"] == "no-store, private"
    shown = text(client.get(page_of(plan)))
    for words in ("Your payments", "£20.00", "£26.66", "Visa ending in 4242", "Still to pay £80.00"):
        assert words in shown
    assert "payer@example.com" not in shown


def test_looking_changes_nothing(client: Client, plan: ObjectPaymentPlan, emulator: Emulator) -> None:
    asked, before = len(emulator.requests), Checkout.objects.count()
    for method in (client.get, client.head):
        assert method(link(plan), follow=True).status_code == 200
    card_page = reverse("checkout.plan.card", args=[plan.uuid])
    assert client.get(card_page).status_code == 200
    assert (len(emulator.requests), Checkout.objects.count()) == (asked, before)


def test_it_opens_this_plan_and_no_other(client: Client, plan: ObjectPaymentPlan, save_plan: SavePlan) -> None:
    other = save_plan(email="payer@example.com", name="Another of the same payer")
    client.get(link(plan))
    for name in ("checkout.plan.progress", "checkout.plan.card"):
        assert client.get(reverse(name, args=[other.uuid])).headers["Location"].startswith("/log-in/")
        assert client.post(reverse(name, args=[other.uuid])).headers["Location"].startswith("/log-in/")


def test_the_session_gets_a_new_key(client: Client, plan: ObjectPaymentPlan) -> None:
    session = client.session
    session["planted"] = True
    session.save()
    before = session.session_key
    client.get(link(plan))
    assert client.session.session_key != before


def give_a_card(client: Client, plan: ObjectPaymentPlan, emulator: Emulator, number: str) -> Any:
    form = client.post(reverse("checkout.plan.card", args=[plan.uuid]), follow=True)
    emulator.pay(form.context["client_secret"], number=number)
    return client.get(reverse("checkout.return", args=[form.context["checkout"].uuid]), follow=True)


def test_a_new_card_by_link_is_for_this_plan_with_an_agreement_of_its_own(
    client: Client, plan: ObjectPaymentPlan, emulator: Emulator, save_plan: SavePlan
) -> None:
    other = save_plan(email="payer@example.com", name="Another of the same payer")
    client.get(link(plan))
    assert "Enter a new card" in text(client.get(page_of(plan)))
    done = give_a_card(client, plan, emulator, "5555555555554444")
    assert "your new card is saved" in text(done)
    for row in (plan, other):
        row.refresh_from_db()
    assert (plan.card.last4, other.card.last4) == ("4444", "4242")
    assert plan.agreement != other.agreement
    assert Decimal(plan.agreement.lines[0]["amount"]) == Decimal("26.66")


def test_a_declined_payment_is_paid_with_a_new_card_by_link(
    client: Client, plan: ObjectPaymentPlan, emulator: Emulator
) -> None:
    client.get(link(plan))
    give_a_card(client, plan, emulator, "4000000000000341")
    (line,) = make_due(plan)
    runs.process_payments()
    line.refresh_from_db()
    assert line.state_id == states.FAIL
    done = give_a_card(client, plan, emulator, "4242424242424242")
    assert "your new card is saved, and £26.66 was taken from it." in text(done)
    line.refresh_from_db()
    assert (line.state_id, emulator.ledger.taken_minor()) == (states.SUCCESS, 4666)


def test_the_payment_page_of_a_line_opens_too(client: Client, plan: ObjectPaymentPlan) -> None:
    (line,) = make_due(plan)
    address = reverse("checkout.pay.on.session", args=[line.uuid])
    assert client.get(address).headers["Location"].startswith("/log-in/")
    client.get(link(plan))
    assert "Pay £26.66" in text(client.get(address))
    assert "/pay/" in client.post(address).headers["Location"]


def corrected(plan: ObjectPaymentPlan) -> None:
    plan.customer.email = "corrected@example.com"
    plan.customer.save()


def much_later(plan: ObjectPaymentPlan) -> None:
    """The link has expired."""


@pytest.mark.parametrize(("what", "days", "says"), [(corrected, 0, "no longer valid"), (much_later, 15, "has expired")])
def test_a_link_that_is_over_closes_the_pages_that_it_had_opened(
    client: Client, plan: ObjectPaymentPlan, what: Callable[[Any], None], days: int, says: str
) -> None:
    address = link(plan)
    client.get(address)
    what(plan)
    with time_machine.travel(clock.now() + datetime.timedelta(days=days)):
        refused = client.get(address)
        assert (refused.status_code, says in text(refused)) == (410, True)
        assert client.get(page_of(plan)).headers["Location"].startswith("/log-in/")


def test_whoever_holds_a_link_that_has_expired_gets_a_new_one_by_mail_and_not_on_the_page(
    client: Client, plan: ObjectPaymentPlan
) -> None:
    mail.install()
    address = link(plan)
    with time_machine.travel(clock.now() + datetime.timedelta(days=15)):
        assert "Send me a new link" in text(client.get(address))
        assert not Letter.objects.filter(kind="plan_link").exists()
        for _press in range(3):
            asked = client.post(address, {"new_link": "yes"}, headers={"referer": f"http://testserver{address}"})
            assert "Go back" not in text(asked)
            assert "A new link is on its way" in text(asked)
            assert "payer@example.com" not in text(asked)
        writing.write_waiting()
        [letter] = Email.objects.filter(subject="A new link to your payment plan")
        assert letter.to == ["payer@example.com"]
        [new] = set(re.findall(r"https://shop.example(/checkout/plan/\S+)", letter.message))
        assert client.get(new, follow=True).status_code == 200
        assert client.post(address.replace("plan/", "plan/x")).status_code == 404


def test_a_link_to_one_payment_opens_no_plan_and_the_other_way_round(client: Client, plan: ObjectPaymentPlan) -> None:
    (line,) = make_due(plan)
    assert client.get(reverse("checkout.plan.link", args=[links.make_token(line)])).status_code == 404
    assert client.get(reverse("checkout.pay.link", args=[links.make_token(plan)])).status_code == 404


def test_the_page_of_a_payment_shows_the_card_of_its_plan_alone(
    client: Client, plan: ObjectPaymentPlan, emulator: Emulator, save_plan: SavePlan, payer: Any
) -> None:
    """Two who typed the same address share a customer, and see nothing of each other's cards."""
    save_plan(email="payer@example.com", name="Somebody else", number="5555555555554444")
    (line,) = make_due(plan)
    shown = text(client.get(urlsplit(links.payment_link(line)).path))
    assert ("4242" in shown, "4444" in shown) == (True, False)


def test_a_stopped_plan_says_so(client: Client, plan: ObjectPaymentPlan) -> None:
    plan.delete_plan()
    shown = client.get(link(plan), follow=True)
    assert "This payment plan was stopped" in text(shown)
    assert "Enter a new card" not in text(shown)
    assert ObjectPaymentPlanInstalment.objects.exists()


# -- paying before the day ----------------------------------------------------------------------------------


def pay_page(plan: ObjectPaymentPlan, amount: str = "") -> str:
    return reverse("checkout.plan.pay", args=[plan.uuid]) + (f"?amount={amount}" if amount else "")


def test_the_next_one_is_paid_before_its_day(client: Client, plan: ObjectPaymentPlan, emulator: Emulator) -> None:
    shown = client.get(link(plan), follow=True)
    line = plan.payments.get(count=2)
    address = reverse("checkout.pay.on.session", args=[line.uuid])
    assert f'href="{address}"' in shown.content.decode()
    page = client.get(client.post(address).headers["Location"])
    emulator.pay(page.context["client_secret"], number=page.context["elements_config"]["savedPaymentMethod"])
    done = client.get(reverse("checkout.return", args=[page.context["checkout"].uuid]), follow=True)
    assert "Thank you, £26.66 was paid." in text(done)
    make_due(plan)
    assert emulator.ledger.taken_minor() == 4666


def test_all_that_is_left_is_shown_before_it_is_paid(
    client: Client, plan: ObjectPaymentPlan, emulator: Emulator
) -> None:
    shown = client.get(link(plan), follow=True)
    assert f'href="{pay_page(plan)}"' in shown.content.decode()
    asked = len(emulator.requests)
    look = client.get(pay_page(plan))
    for words in ("Pay £80.00 now", "Instalment 1 £26.66", "Instalment 3 £26.67", "all that is left of your plan"):
        assert words in text(look)
    assert len(emulator.requests) == asked
    page = client.post(pay_page(plan), {"amount": look.context["exact"]}, follow=True)
    assert "Pay £80.00" in text(page)
    emulator.pay(page.context["client_secret"], number="4242424242424242")
    done = client.get(reverse("checkout.return", args=[page.context["checkout"].uuid]), follow=True)
    assert "Thank you, £80.00 was paid." in text(done)
    assert "Everything is paid" in text(done)
    assert emulator.ledger.taken_minor() == 10000


def test_a_part_says_what_becomes_of_the_rest(client: Client, plan: ObjectPaymentPlan, emulator: Emulator) -> None:
    client.get(link(plan))
    look = client.get(pay_page(plan, "30"))
    assert "leaves £50.00 of your plan" in text(look)
    assert re.search(r"Instalment 2 £3\.34 In part: £23\.33 of it is taken on", text(look))
    page = client.post(pay_page(plan), {"amount": look.context["exact"]}, follow=True)
    emulator.pay(page.context["client_secret"], number="4242424242424242")
    done = client.get(reverse("checkout.return", args=[page.context["checkout"].uuid]), follow=True)
    assert "£3.34 is paid already" in text(done)
    assert "Still to pay £50.00" in text(done)
    assert "Paid £50.00" in text(done)


@pytest.mark.parametrize(
    ("typed", "says"),
    [("81", "Only £80.00 is left"), ("a lot", "is not an amount"), ("26.50", "Pay £26.36 or £26.66"), ("0", "least")],
)
def test_an_amount_that_does_not_work_says_what_would(
    client: Client, plan: ObjectPaymentPlan, typed: str, says: str
) -> None:
    client.get(link(plan))
    look = client.get(pay_page(plan, typed))
    assert (look.status_code, says in text(look), look.context["typed"]) == (400, True, typed)
    assert "Continue to payment" not in text(look)


@pytest.mark.parametrize("amount", ["", "x", "81", "0.01", "1e9", "9" * 300])
def test_a_form_that_was_tampered_with_takes_nothing(
    client: Client, plan: ObjectPaymentPlan, emulator: Emulator, amount: str
) -> None:
    client.get(link(plan))
    assert client.post(pay_page(plan), {"amount": amount}).status_code in (400, 409)
    assert emulator.ledger.taken_minor() == 2000


def test_before_the_deposit_is_paid_every_payment_to_come_is_counted(
    client: Client, emulator: Emulator, save_plan: SavePlan, settings: Any
) -> None:
    settings.CHECKOUT_BASE_URL = "https://shop.example"
    plan = save_plan("4000000000000341", email="payer@example.com")
    shown = client.get(link(plan), follow=True)
    assert "Still to pay £100.00" in text(shown)
    assert text(shown).count("Planned") == 3
    assert "Pay £20.00" in text(shown)
    assert client.get(pay_page(plan)).status_code == 409


def test_the_browser_that_agreed_looks_and_has_the_link_sent_to_the_address_that_we_know(
    client: Client, plan: ObjectPaymentPlan
) -> None:
    mail.install()
    session = client.session
    agreed = Checkout.objects.get(action="payment_plan")
    session["checkout_pages"] = {str(agreed.uuid): ""}
    session.save()
    shown = text(client.get(page_of(plan)))
    assert "To pay, or to change your card, open this page by the link in our mails." in shown
    assert "Enter a new card" not in shown
    # What waits is said first, though it is paid by the link only.
    plan.instalments.filter(count=2).update(state="pay_on_session")
    shown = text(client.get(page_of(plan)))
    assert "One payment is waiting for you." in shown
    assert "Next: " not in shown
    sent = [client.post(page_of(plan), {"link": "yes"}, follow=True) for _twice in range(2)]
    assert all("A new link comes by mail within a few minutes" in text(answer) for answer in sent)
    writing.write_waiting()
    mailed = Email.objects.get(template__name="plan_link")
    assert mailed.to == ["payer@example.com"]
    by_link = Client()
    found = re.search(r"https://shop\.example(/\S+)", mailed.message)
    assert found is not None
    shown = text(by_link.get(found[1], follow=True))
    assert "Enter a new card" in shown
    assert "open this page by the link in our mails" not in shown


def test_who_gives_a_card_for_a_plan_that_the_site_made_sees_what_is_taken_from_it(
    client: Client, emulator: Emulator, membership: Any, payment_plan: Any, settings: Any
) -> None:
    settings.CHECKOUT_BASE_URL = "https://shop.example"
    plan = ObjectPaymentPlan.objects.create_object_payment_plan(membership, payment_plan, Decimal(100))
    client.get(link(plan))
    assert "Still to pay £100.00" in text(client.get(page_of(plan)))
    card_page = reverse("checkout.plan.card", args=[plan.uuid])
    for shown in (text(client.get(card_page)), text(client.post(card_page, follow=True))):
        for amount in ("£20.00", "£26.66", "£26.67"):
            assert amount in shown
        assert "that you agreed to" not in shown


def test_the_page_promises_a_payment_from_the_card_only_where_it_comes(
    client: Client, plan: ObjectPaymentPlan, membership: Any, payment_plan: Any
) -> None:
    client.get(link(plan))
    assert "from your card." in text(client.get(page_of(plan)))
    plan.paused = True
    plan.save(update_fields=["paused"])
    assert "from your card" not in text(client.get(page_of(plan)))
    waits = ObjectPaymentPlan.objects.create_object_payment_plan(membership, payment_plan, Decimal(100))
    client.get(link(waits))
    shown = text(client.get(page_of(waits)))
    assert "from your card" not in shown
    assert "Please give us a card for the payments to come." in shown


def test_no_card_is_wanted_for_a_plan_that_was_stopped(client: Client, plan: ObjectPaymentPlan) -> None:
    SavedCard.objects.update(refresh=True)
    client.get(link(plan))
    assert "Please give us a new card" in text(client.get(page_of(plan)))
    plans.stop(plan)
    assert "Please give us a new card" not in text(client.get(page_of(plan)))
