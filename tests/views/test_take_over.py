"""Another payer takes over a plan: asked by the office, agreed by link in a browser of their own, and nobody else's."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from checkout import clock
from checkout.models import Checkout, ObjectPaymentPlan, PlanChange
from checkout.office import services as office
from checkout.services import by_hand, runs, take_overs
from stripe_emulator import Emulator
from tests.services.conftest import SavePlan, enter_card, make_due
from tests.staff.conftest import boss, site  # noqa: F401 - fixtures
from tests.views.test_plan_link import link, page_of, text

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]

TERMS = {"kind": "payer", "name": "A Grandmother", "email": "grandmother@example.com"}


@pytest.fixture
def plan(save_plan: SavePlan) -> ObjectPaymentPlan:
    """£20.00 paid; £26.66, £26.67 and £26.67 to come."""
    return save_plan(email="ann@example.com", name="Ann")


@pytest.fixture
def change(plan: ObjectPaymentPlan) -> PlanChange:
    return plan.propose_change("payer", "she pays", name=TERMS["name"], email=TERMS["email"])


@pytest.fixture
def page(change: PlanChange) -> str:
    return take_overs.page(change)


def agrees(client: Client, page: str) -> Any:
    seen = client.get(page).context["seen"]
    return client.post(page, {"seen": seen, "answer": "agree"}, follow=True)


def gives_a_card(client: Client, emulator: Emulator) -> Any:
    begun = Checkout.objects.latest("pk")
    enter_card(emulator, begun, "5555555555554444")
    return client.get(reverse("checkout.return", args=[begun.uuid]), follow=True)


def test_the_office_asks_and_the_new_payer_agrees_and_sees_the_plan(
    boss: Any,  # noqa: F811
    emulator: Emulator,
    plan: ObjectPaymentPlan,
) -> None:
    staff, mother, new = Client(), Client(), Client()
    staff.force_login(boss)
    mother.get(link(plan), follow=True)
    address = reverse("checkout.object.payment.plan.change", args=[plan.uuid])
    assert "Name of the new payer" in text(staff.get(address, {"kind": "payer"}))
    looked = staff.post(address, TERMS | {"look": "1"})
    assert "agrees by giving a card of their own" in text(looked)
    assert "on paper" not in text(looked)
    told = staff.post(address, TERMS | {"seen": looked.context["found"].seen, "reason": "she pays"}, follow=True)
    assert "The new payer is asked by mail" in text(told)
    assert "Ann <ann@example.com> → A Grandmother <grandmother@example.com>".replace("<", "&lt;").replace(
        ">", "&gt;"
    ) in text(told)
    asked = take_overs.page(plan.changes.get())
    shown = text(new.get(asked))
    for words in ("Until now Ann pays", "Agreed in all £100.00", "Paid by now £20.00", "£26.66", "Sum £80.00"):
        assert words in shown
    assert "ann@example.com" not in shown
    assert "4242" not in shown
    form = agrees(new, asked)
    assert "Your card" in text(form)
    after = gives_a_card(new, emulator)
    assert after.redirect_chain[-1][0] == page_of(plan)
    assert "your new card is saved" in text(after)
    assert "Mastercard ending in 4444" in text(after)
    assert "Receipt for" not in text(after)
    deposit = Checkout.objects.filter(action="charge").earliest("pk")
    assert new.get(reverse("checkout.receipt", args=[deposit.uuid])).status_code in (302, 404)
    assert mother.get(page_of(plan)).status_code == 302
    assert new.get(asked).status_code == 410
    told = text(staff.get(plan.get_absolute_url()))
    assert "A Grandmother" in told
    assert "In force" in told


def test_looking_changes_nothing(client: Client, emulator: Emulator, page: str) -> None:
    asked, before = len(emulator.requests), Checkout.objects.count()
    for method in (client.get, client.head):
        assert method(page).status_code == 200
    assert (len(emulator.requests), Checkout.objects.count()) == (asked, before)


def test_the_payer_of_today_cannot_answer_for_them(client: Client, plan: ObjectPaymentPlan, change: PlanChange) -> None:
    client.get(link(plan), follow=True)
    shown = client.get(page_of(plan))
    assert "A change of your plan is proposed" not in text(shown)
    for answer in ("agree", "refuse"):
        assert client.post(page_of(plan), {"change": change.uuid, "answer": answer}).status_code == 404
    change.refresh_from_db()
    assert change.waits


@pytest.mark.parametrize("method", ["get", "post"])
def test_nothing_but_the_link_opens_it(client: Client, page: str, plan: ObjectPaymentPlan, method: str) -> None:
    token = page.rstrip("/").rpartition("/")[2]
    for other in (link(plan).rstrip("/").rpartition("/")[2], token[:-2], "x"):
        assert getattr(client, method)(reverse("checkout.plan.take.over", args=[other])).status_code == 404
    with time_machine.travel(clock.now() + timedelta(days=40)):
        assert getattr(client, method)(page).status_code == 410


@pytest.mark.parametrize("method", ["get", "post"])
def test_what_is_withdrawn_refused_or_revoked_is_over(
    client: Client, page: str, plan: ObjectPaymentPlan, change: PlanChange, method: str
) -> None:
    office.revoke_links(plan, None, "to the wrong person")
    assert getattr(client, method)(page).status_code == 410
    again = take_overs.page(PlanChange.objects.get(pk=change.pk))
    assert client.get(again).status_code == 200
    change.withdraw()
    assert "nothing to take over" in text(getattr(client, method)(again))


def test_who_does_not_agree_changes_nothing(client: Client, page: str, change: PlanChange) -> None:
    assert "You do not take over this plan" in text(client.post(page, {"answer": "refuse"}))
    change.refresh_from_db()
    assert change.state == PlanChange.State.REFUSED
    assert "You do not take over this plan" in text(client.post(page, {"answer": "refuse"}))
    assert Checkout.objects.filter(action="card_refresh").count() == 0


def test_what_changed_since_is_looked_at_again(client: Client, page: str, plan: ObjectPaymentPlan) -> None:
    seen = client.get(page).context["seen"]
    by_hand.part_paid(plan.payments.get(count=2), Decimal(6), None, "cash")
    answer = client.post(page, {"seen": seen, "answer": "agree"}, follow=True)
    assert "Please look at it again" in text(answer)
    assert Checkout.objects.filter(action="card_refresh").count() == 0


def test_a_browser_that_has_not_agreed_sees_no_card_form(client: Client, page: str) -> None:
    agrees(client, page)
    assert "What you agree to" in text(Client().get(page))


def test_a_card_that_comes_too_late_says_so(
    client: Client, page: str, emulator: Emulator, change: PlanChange, plan: ObjectPaymentPlan
) -> None:
    agrees(client, page)
    PlanChange.objects.filter(pk=change.pk).update(state=PlanChange.State.WITHDRAWN)
    shown = text(gives_a_card(client, emulator))
    assert "Your card was not saved" in shown
    assert "withdrawn, or decided already" in shown
    assert client.get(page_of(plan)).status_code == 404 or "ann" not in text(client.get(page_of(plan)))


def test_what_could_not_be_taken_is_said_and_taken_unless_a_bank_disputes_the_plan(
    client: Client, page: str, emulator: Emulator, plan: ObjectPaymentPlan
) -> None:
    assert plan.card is not None
    emulator.bank.decline_next(plan.card.payment_method_id, "insufficient_funds")
    make_due(plan)
    runs.process_payments(workers=1)
    ObjectPaymentPlan.objects.update(paused=True)
    assert "could not be taken" not in text(client.get(page))
    ObjectPaymentPlan.objects.update(paused=False)
    assert "£26.66 of it could not be taken on its day." in text(client.get(page))
    assert "Save card and pay £26.66" in text(agrees(client, page))
    assert "£26.66 was taken from it" in text(gives_a_card(client, emulator))


def test_links_revoked_afterwards_shut_the_new_payer_out_too(
    client: Client, page: str, emulator: Emulator, plan: ObjectPaymentPlan
) -> None:
    agrees(client, page)
    gives_a_card(client, emulator)
    assert client.get(page_of(plan)).status_code == 200
    plan.refresh_from_db()
    office.revoke_links(plan, None, "to the wrong person")
    begun = Checkout.objects.filter(action="card_refresh").latest("pk")
    client.get(reverse("checkout.return", args=[begun.uuid]))
    assert client.get(page_of(plan)).status_code == 302


def test_the_link_says_nothing_of_its_payer(page: str) -> None:
    assert "grandmother" not in urlsplit(page).path
