"""The pages from the mail to the payment, and who may open which."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import time_machine
from django.core import signing
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from post_office.models import Email

from checkout import clock, links, states
from checkout.models import Checkout, Letter, ObjectPaymentPlan, ObjectPaymentPlanInstalment
from checkout.services import fulfillment, intents, plans, refunds, runs
from checkout.services.letters import writing
from stripe_emulator import Emulator
from tests.host.models import Membership
from tests.kept import kept
from tests.services.conftest import SavePlan, letters_installed, make_due

pytestmark = pytest.mark.django_db

ALWAYS_ASKS = "4000002760003184"


@pytest.fixture(autouse=True)
def clean(db: None) -> Iterator[None]:
    """Guesses are counted in the cache: none from before, and none left for the tests that follow in this process."""
    letters_installed()
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def waiting(save_plan: SavePlan, emulator: Emulator, payer: Any) -> ObjectPaymentPlanInstalment:
    """An instalment that waits for `payer`, who can also log in."""

    def wait() -> ObjectPaymentPlanInstalment:
        return wait_for(save_plan(ALWAYS_ASKS, email="payer@example.com"), emulator, payer)

    return kept("waiting", wait, emulator)


def wait_for(plan: ObjectPaymentPlan, emulator: Emulator, user: Any = None) -> ObjectPaymentPlanInstalment:
    ObjectPaymentPlan.objects.filter(pk=plan.pk).update(user=user)
    pay(emulator, Checkout.objects.create_checkout_pay_on_session(plans.deposit_of(plan)))
    (line,) = make_due(plan)
    runs.process_payments(workers=1)
    return ObjectPaymentPlanInstalment.objects.get(pk=line.pk)


def pay(emulator: Emulator, checkout: Checkout, number: str = "") -> Checkout:
    page = intents.page(checkout)
    emulator.pay(page.client_secret, number=number or page.payment_method_id)
    return fulfillment.fulfill(checkout)


def link(line: ObjectPaymentPlanInstalment) -> str:
    return urlsplit(links.payment_link(line)).path


def text(response: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


# -- the link -------------------------------------------------------------------------------------------


def test_looking_at_the_link_changes_nothing(
    client: Client, waiting: ObjectPaymentPlanInstalment, emulator: Emulator
) -> None:
    asked, before = len(emulator.requests), Checkout.objects.count()
    for method in (client.get, client.head, client.options):
        assert method(link(waiting)).status_code == 200
    assert (len(emulator.requests), Checkout.objects.count()) == (asked, before)
    shown = text(client.get(link(waiting)))
    assert "Pay £26.66" in shown
    assert "Membership, One year, Instalment 1 of 3" in shown
    assert "Visa ending in 3184" in shown
    assert "payer@example.com" not in shown


def test_the_button_leads_to_the_page_and_the_same_intent(
    client: Client, waiting: ObjectPaymentPlanInstalment, emulator: Emulator
) -> None:
    asked = Checkout.objects.for_content_object(waiting).latest("pk")
    response = client.post(link(waiting))
    assert response.headers["Location"] == reverse("checkout.pay", args=[asked.uuid])
    page = client.get(response.headers["Location"])
    assert "Pay £26.66 now" in text(page)
    assert "Your bank requires you to confirm" in text(page)
    assert page.context["elements_config"]["savedPaymentMethod"] == asked.payment_method_id
    assert page.headers["Cache-Control"] == "no-store, private"
    emulator.pay(page.context["client_secret"], number=asked.payment_method_id)
    returned = client.get(reverse("checkout.return", args=[asked.uuid]))
    assert returned.headers["Location"] == reverse("checkout.plan.progress", args=[waiting.object_payment_plan.uuid])
    # Said once; a reload shows how things stand.
    assert "Thank you, £26.66 was paid." in text(client.get(returned.headers["Location"]))
    assert "Thank you, £26.66 was paid." not in text(client.get(returned.headers["Location"]))
    waiting.refresh_from_db()
    assert waiting.state_id == states.SUCCESS
    assert emulator.ledger.taken_minor(metadata={"checkout": str(asked.uuid)}) == 2666


def test_another_card_from_the_page(client: Client, waiting: ObjectPaymentPlanInstalment, emulator: Emulator) -> None:
    first = client.post(link(waiting)).headers["Location"]
    assert "Use another card" in text(client.get(first))
    second = client.post(first).headers["Location"]
    assert second != first
    page = client.get(second)
    assert page.context["elements_config"]["savedPaymentMethod"] == ""
    assert not page.context["other_card_by_post"]
    emulator.pay(page.context["client_secret"], number="5555555555554444")
    client.get(second.replace("/pay/", "/return/"))
    waiting.refresh_from_db()
    assert waiting.state_id == states.SUCCESS
    assert ObjectPaymentPlan.objects.get().card.last4 == "4444"
    # The first page is out of date, and says so.
    assert "out of date" in text(client.get(first, follow=True))


def test_another_card_from_the_first_page(client: Client, waiting: ObjectPaymentPlanInstalment) -> None:
    bank = "Your bank requires you to confirm this payment yourself."
    page = client.get(client.post(link(waiting)).headers["Location"])
    assert bank in text(page)
    page = client.get(client.post(link(waiting), {"another_card": "1"}).headers["Location"])
    assert page.context["elements_config"]["savedPaymentMethod"] == ""
    # That card's bank has not been asked.
    assert bank not in text(page)


def altered(token: str, place: int) -> str:
    return token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]


@pytest.mark.parametrize("place", [0, 10, 21, 24, -1, -20])
def test_a_link_altered_by_one_character_opens_nothing(
    client: Client, waiting: ObjectPaymentPlanInstalment, place: int
) -> None:
    token = links.make_token(waiting)
    for method in (client.get, client.post):
        response = method(reverse("checkout.pay.link", args=[altered(token, place % len(token))]))
        assert response.status_code == 404
        assert "26.66" not in text(response)


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "a.b.c",
        "é" * 20,
        "." * 50,
        "A" * 5000,
        signing.TimestampSigner(salt="checkout.links.instalment", sep=".").sign("no-uuid"),
        signing.TimestampSigner(salt="some.other.purpose", sep=".").sign("AAAAAAAAAAAAAAAAAAAAAA"),
    ],
    # Signatures carry the time: without names of their own, two workers would collect different tests.
    ids=["letter", "three parts", "accents", "full stops", "long", "no uuid", "other purpose"],
)
def test_what_is_no_link_of_ours_is_a_clear_page(client: Client, db: None, token: str) -> None:
    response = client.get(reverse("checkout.pay.link", args=[token]))
    assert response.status_code == 404
    assert "This link does not work" in text(response)


def test_a_link_expires(client: Client, waiting: ObjectPaymentPlanInstalment, settings: Any) -> None:
    path = link(waiting)
    with time_machine.travel(clock.now() + datetime.timedelta(days=13, hours=23)):
        assert client.get(path).status_code == 200
    with time_machine.travel(clock.now() + datetime.timedelta(days=14, minutes=1)):
        for method in (client.get, client.post):
            response = method(path)
            assert response.status_code == 410
            assert "has expired" in text(response)
            assert "26.66" not in text(response)


def test_whoever_holds_a_link_that_has_expired_gets_the_one_of_the_plan(
    client: Client, waiting: ObjectPaymentPlanInstalment
) -> None:
    path = link(waiting)
    with time_machine.travel(clock.now() + datetime.timedelta(days=15)):
        assert 'name="new_link"' in client.get(path).content.decode()
        # The button of a page that was open all the time pays nothing, and asks for no letter.
        client.post(path, {"confirm": "yes"})
        assert not Letter.objects.filter(kind="plan_link").exists()
        for _press in range(3):
            assert "A new link is on its way" in text(client.post(path, {"new_link": "yes"}))
        writing.write_waiting()
        letter = Email.objects.get(subject__startswith="A new link")
        assert letter.to == [waiting.object_payment_plan.customer.email]
        new = re.findall(r"https?://[^/]+(/checkout/plan/\S+)", letter.message)[0]
        assert "26.66" in text(client.get(new, follow=True))


def test_a_link_for_a_paid_debt_is_of_no_use(
    client: Client, waiting: ObjectPaymentPlanInstalment, emulator: Emulator
) -> None:
    pay(emulator, Checkout.objects.create_checkout_pay_on_session(waiting))
    asked = len(emulator.requests)
    for method in (client.get, client.post):
        response = method(link(waiting))
        assert response.status_code == 200
        assert "paid already" in text(response)
        assert "26.66" not in text(response)
    assert len(emulator.requests) == asked
    assert not client.session.get("checkout_pages")


def test_a_debt_paid_while_the_page_was_open(
    client: Client, waiting: ObjectPaymentPlanInstalment, emulator: Emulator, staff: Any
) -> None:
    page = client.post(link(waiting)).headers["Location"]
    Checkout.objects.manual(waiting, staff)
    assert "out of date" in text(client.get(page, follow=True))
    assert "paid already" in text(client.post(link(waiting)))
    assert client.post(page).headers["Location"].endswith("/return/")


def test_a_link_for_a_stopped_plan(client: Client, waiting: ObjectPaymentPlanInstalment) -> None:
    plans.stop(waiting.object_payment_plan)
    for method in (client.get, client.post):
        response = method(link(waiting))
        assert response.status_code == 410
        assert "was stopped" in text(response)


def test_a_link_for_a_row_that_is_gone(client: Client, waiting: ObjectPaymentPlanInstalment) -> None:
    waiting.uuid = uuid4()
    assert client.get(link(waiting)).status_code == 404


def test_another_payer_who_is_logged_in_sees_this_debt_and_nothing_of_theirs_or_mine(
    client: Client, waiting: ObjectPaymentPlanInstalment, other_payer: Any
) -> None:
    client.force_login(other_payer)
    page = client.post(link(waiting)).headers["Location"]
    assert client.get(page).status_code == 200
    checkout = Checkout.objects.for_content_object(waiting).latest("pk")
    assert checkout.user_id != other_payer.pk
    # A link opens a payment; it is no login.
    assert client.get(reverse("checkout.card.refresh")).status_code == 200
    assert "No card is needed" in text(client.get(reverse("checkout.card.refresh")))
    plan_page = reverse("checkout.plan.progress", args=[waiting.object_payment_plan.uuid])
    assert client.post(plan_page, {"instalment": waiting.uuid}).status_code == 404


def test_guessing_is_limited_for_each_address(client: Client, waiting: ObjectPaymentPlanInstalment) -> None:
    guess = reverse("checkout.pay.link", args=["guess"])
    answers = [client.get(guess).status_code for _ in range(22)]
    assert answers == [404] * 20 + [429] * 2
    assert client.get(link(waiting)).status_code == 200, "who guesses locks no payer of the same network out"
    assert client.get(guess, REMOTE_ADDR="192.0.2.7").status_code == 404
    with time_machine.travel(clock.now() + datetime.timedelta(minutes=11)):
        assert client.get(guess).status_code == 404


def test_every_kind_of_link_is_refused_alike_and_guessing_counts_for_all(client: Client, db: None) -> None:
    names = ["checkout.pay.link", "checkout.request.pay", "checkout.invoice"]
    for number in range(20):
        response = client.get(reverse(names[number % 3], args=["cut-off"]))
        assert response.status_code == 404
        assert "Perhaps it was cut off." in text(response)
        assert response.headers["Cache-Control"] == "no-store, private"
    for name in names:
        for method in (client.get, client.post):
            assert method(reverse(name, args=["cut-off"])).status_code == 429


def test_a_whole_ipv6_network_counts_as_one_address(client: Client, db: None) -> None:
    guess = reverse("checkout.pay.link", args=["guess"])
    answers = {client.get(guess, REMOTE_ADDR=f"2001:db8::{number:x}").status_code for number in range(21)}
    assert answers == {404, 429}
    assert client.get(guess, REMOTE_ADDR="2001:db8:1::1").status_code == 404


def test_good_and_expired_links_are_no_guesses(client: Client, waiting: ObjectPaymentPlanInstalment) -> None:
    path = link(waiting)
    assert {client.get(path).status_code for _ in range(25)} == {200}
    with time_machine.travel(clock.now() + datetime.timedelta(days=20)):
        assert {client.get(path).status_code for _ in range(25)} == {410}


# -- with a login ---------------------------------------------------------------------------------------


def test_the_payer_logs_in_first(client: Client, waiting: ObjectPaymentPlanInstalment, payer: Any) -> None:
    path = reverse("checkout.pay.on.session", args=[waiting.uuid])
    response = client.get(path)
    assert response.status_code == 302
    assert response.headers["Location"].endswith(f"?next={path}")
    client.force_login(payer)
    assert "Pay £26.66" in text(client.get(path))
    page = client.post(path).headers["Location"]
    assert client.get(page).status_code == 200
    assert Checkout.objects.for_content_object(waiting).latest("pk").user == payer


def test_the_address_of_the_customer_is_enough_when_one_active_user_has_it(
    client: Client,
    emulator: Emulator,
    save_plan: SavePlan,
    django_user_model: Any,
) -> None:
    line = wait_for(save_plan(ALWAYS_ASKS), emulator)
    path = reverse("checkout.pay.on.session", args=[line.uuid])
    first = django_user_model.objects.create_user("one", "Member@Example.com", "one")
    client.force_login(first)
    assert client.get(path).status_code == 200
    second = django_user_model.objects.create_user("two", "member@example.com", "two")
    for user in (first, second):
        client.force_login(user)
        assert client.get(path).status_code == 404
    ObjectPaymentPlan.objects.update(user=first)
    client.force_login(first)
    assert client.get(path).status_code == 200
    client.force_login(second)
    assert client.get(path).status_code == 404


def test_a_user_who_was_deactivated_opens_nothing(
    client: Client, waiting: ObjectPaymentPlanInstalment, payer: Any
) -> None:
    client.force_login(payer)
    type(payer).objects.filter(pk=payer.pk).update(is_active=False)
    response = client.get(reverse("checkout.pay.on.session", args=[waiting.uuid]))
    assert response.status_code in (302, 404)
    assert "26.66" not in text(response)


def test_a_charge_under_way_is_said_so(
    client: Client, waiting: ObjectPaymentPlanInstalment, emulator: Emulator, staff: Any, payer: Any
) -> None:
    from stripe_emulator import faults

    emulator.fail(call=2, fault=faults.LostAfter())
    Checkout.objects.charge(waiting, staff)
    client.force_login(payer)
    response = client.post(reverse("checkout.pay.on.session", args=[waiting.uuid]))
    assert response.status_code == 409
    assert "at this moment" in text(response)


# -- the plan as its payer sees it ------------------------------------------------------------------------


def test_the_progress_page_tells_what_was_paid_what_waits_and_what_is_next(
    client: Client, waiting: ObjectPaymentPlanInstalment, payer: Any
) -> None:
    client.force_login(payer)
    shown = text(client.get(reverse("checkout.plan.progress", args=[waiting.object_payment_plan.uuid])))
    assert "Deposit £20.00" in shown
    assert "Paid" in shown
    assert "Your bank requires you to confirm it" in shown
    assert "One payment is waiting for you." in shown
    assert "Total £100.00" in shown
    assert "Still to pay £80.00" in shown
    assert "Visa ending in 3184" in shown
    assert "Enter a new card" in shown


@pytest.mark.parametrize(("back", "says"), [("20.00", "Refunded, to"), ("5.00", "Refunded in part, to")])
def test_a_refund_that_is_owed_again_is_told(
    client: Client, emulator: Emulator, save_plan: SavePlan, payer: Any, back: str, says: str
) -> None:
    plan = save_plan(email="payer@example.com")
    deposit = Checkout.objects.for_content_object(plans.deposit_of(plan)).get()
    refunds.refund(deposit, Decimal(back), plan_effect="give_back")
    client.force_login(payer)
    shown = text(client.get(reverse("checkout.plan.progress", args=[plan.uuid])))
    assert f"{says} pay again below" in shown
    assert f"To pay again £{back}" in shown
    assert f"Still to pay £{80 + Decimal(back)}" in shown
    again = plan.instalments.get(replaces__isnull=False)
    assert again.checkout_description[-1] == "A payment that was refunded, to pay again"


@pytest.mark.parametrize(("back", "says"), [("20.00", "Paid, and refunded "), ("5.00", "Paid, and refunded in part")])
def test_a_refund_that_is_not_owed_again_is_told(
    client: Client, emulator: Emulator, save_plan: SavePlan, payer: Any, back: str, says: str
) -> None:
    plan = save_plan(email="payer@example.com")
    deposit = Checkout.objects.for_content_object(plans.deposit_of(plan)).get()
    refunds.refund(deposit, Decimal(back))
    client.force_login(payer)
    shown = text(client.get(reverse("checkout.plan.progress", args=[plan.uuid])))
    assert says in shown
    assert "Still to pay £80.00" in shown


def test_queries_of_the_progress_page_do_not_grow_with_the_lines(
    client: Client,
    emulator: Emulator,
    save_plan: SavePlan,
    payer: Any,
    count_queries: Any,
) -> None:
    plan = save_plan(email="payer@example.com")
    client.force_login(payer)
    path = reverse("checkout.plan.progress", args=[plan.uuid])
    few = count_queries(lambda: client.get(path))
    ObjectPaymentPlanInstalment.objects.bulk_create(
        ObjectPaymentPlanInstalment(
            object_payment_plan=plan, count=number, amount=1, due=datetime.date(2030, 1, number), state_id="fail"
        )
        for number in range(10, 20)
    )
    assert count_queries(lambda: client.get(path)) == few


def test_a_failed_instalment_is_paid_with_the_new_card(
    client: Client,
    emulator: Emulator,
    save_plan: SavePlan,
    payer: Any,
) -> None:
    plan = save_plan(email="payer@example.com")
    assert plan.customer is not None
    emulator.bank.decline_next(plan.card.payment_method_id, "expired_card")
    (line,) = make_due(plan)
    runs.process_payments(workers=1)
    client.force_login(payer)
    path = reverse("checkout.plan.progress", args=[plan.uuid])
    assert "Could not be taken The card has expired." in text(client.get(path))
    assert "with the new card" not in text(client.get(path))
    page = client.post(reverse("checkout.card.refresh"), follow=True)
    assert "Visa ending in 4242" in text(page)
    # The button says what is taken.
    assert "Nothing is taken while your card is saved" not in text(page)
    assert "£26.66 could not be taken before. It is taken from the new card" in text(page)
    assert "Save card and pay £26.66" in text(page)
    emulator.pay(page.context["client_secret"], number="5555555555554444")
    returned = client.get(reverse("checkout.return", args=[page.context["checkout"].uuid]))
    assert returned.headers["Location"] == path
    shown = text(client.get(path))
    assert "Thank you, your new card is saved, and £26.66 was taken from it." in shown
    assert "Next: £26.67 on" in shown
    assert "Thank you" not in text(client.get(path))
    line.refresh_from_db()
    assert line.state_id == states.SUCCESS
    assert "does not wait any more" in text(client.post(path, {"instalment": line.uuid}, follow=True))
    assert emulator.ledger.taken_minor() == 2000 + 2666


def test_nothing_is_taken_from_a_new_card_while_a_bank_looks_into_the_plan(
    client: Client, emulator: Emulator, save_plan: SavePlan, payer: Any
) -> None:
    plan = save_plan(email="payer@example.com")
    letters_installed()
    emulator.bank.decline_next(plan.card.payment_method_id, "expired_card")
    make_due(plan)
    runs.process_payments(workers=1)
    ObjectPaymentPlan.objects.update(paused=True)
    client.force_login(payer)
    page = client.post(reverse("checkout.card.refresh"), follow=True)
    assert "could not be taken before" not in text(page)
    assert "Save card and pay" not in text(page)
    emulator.pay(page.context["client_secret"], number="5555555555554444")
    client.get(reverse("checkout.return", args=[page.context["checkout"].uuid]))
    assert emulator.ledger.taken_minor() == 2000
    writing.write_waiting()
    letter = Email.objects.get(subject="Your payments are taken from another card now")
    assert "nothing is taken" in letter.message
    assert "tried with it at once" not in letter.message


def test_a_new_card_that_wants_the_payer_leads_to_the_page(
    client: Client, waiting: ObjectPaymentPlanInstalment, emulator: Emulator, payer: Any
) -> None:
    client.force_login(payer)
    page = client.post(reverse("checkout.card.refresh"), follow=True)
    emulator.pay(page.context["client_secret"], number=ALWAYS_ASKS)
    client.get(reverse("checkout.return", args=[page.context["checkout"].uuid]))
    path = reverse("checkout.plan.progress", args=[waiting.object_payment_plan.uuid])
    response = client.post(path, {"instalment": waiting.uuid})
    assert "/pay/" in response.headers["Location"]
    assert client.get(response.headers["Location"]).status_code == 200


@pytest.mark.parametrize("instalment", ["", "nonsense", "309a723c-bed9-4aa3-8113-05743d0afc80"])
def test_nonsense_is_no_instalment(
    client: Client, waiting: ObjectPaymentPlanInstalment, payer: Any, instalment: str
) -> None:
    client.force_login(payer)
    path = reverse("checkout.plan.progress", args=[waiting.object_payment_plan.uuid])
    assert client.post(path, {"instalment": instalment}).status_code == 404


# -- the new card -----------------------------------------------------------------------------------------


def test_no_plan_one_plan_several_plans(
    client: Client,
    emulator: Emulator,
    save_plan: SavePlan,
    payer: Any,
) -> None:
    client.force_login(payer)
    path = reverse("checkout.card.refresh")
    assert "No card is needed" in text(client.get(path))
    first = save_plan(email="payer@example.com")
    assert client.get(path).context["object_payment_plan"] == first
    assert client.post(path, follow=True).context["checkout"].content_object == first
    second = save_plan(email="payer@example.com", name="Second")
    shown = client.get(path)
    assert "Which payment plan?" in text(shown)
    for plan in (first, second):
        address = reverse("checkout.card.refresh.plan", args=[plan.uuid])
        assert address in shown.content.decode()
        assert client.get(address).context["object_payment_plan"] == plan
        assert client.post(address, follow=True).context["checkout"].content_object == plan


def stripes_books(emulator: Emulator) -> list[str]:
    """What was made or cancelled at Stripe."""
    return [f"{each.method} {each.path}" for each in emulator.requests if each.method != "GET"]


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("method", ["get", "head", "options"])
def test_looking_at_the_card_page_makes_and_cancels_nothing(
    client: Client, waiting: Any, payer: Any, emulator: Emulator, method: str, begun: bool
) -> None:
    client.force_login(payer)
    address = reverse("checkout.card.refresh")
    secret = client.post(address, follow=True).context["client_secret"] if begun else ""
    before, attempts = stripes_books(emulator), Checkout.objects.count()
    for _look in range(3):
        headers = {"Sec-Purpose": "prefetch", "Sec-Fetch-Site": "cross-site"}
        assert getattr(client, method)(address, headers=headers).status_code == 200
    assert (stripes_books(emulator), Checkout.objects.count()) == (before, attempts)
    if begun:
        # The form that was open all the while still works.
        assert emulator.pay(secret, number="5555555555554444")["status"] == "succeeded"


def test_a_second_press_closes_the_form_of_the_first(
    client: Client, waiting: Any, payer: Any, emulator: Emulator
) -> None:
    client.force_login(payer)
    address = reverse("checkout.card.refresh")
    first = client.post(address, follow=True).context["checkout"]
    second = client.post(address, follow=True).context["checkout"]
    first.refresh_from_db()
    assert (first.superseded, second.is_open) == (True, True)
    assert client.get(address).context["checkout"] == second


def test_the_mixin_leads_through_the_page_that_settles(client: Client, waiting: Any, payer: Any) -> None:
    client.force_login(payer)
    page = client.post(reverse("checkout.card.refresh"), follow=True)
    assert page.context["success_url"].endswith(reverse("checkout.return", args=[page.context["checkout"].uuid]))
    assert page.context["client_secret"]


# -- who may open what ------------------------------------------------------------------------------------

#: For each page: GET and POST as nobody, as another payer, as the payer, as staff. 302 leads to the login page, except
#: for the payer's POSTs, which lead on.
PAGES: dict[str, tuple[Callable[[Any], str], list[tuple[int, int]]]] = {
    "link": (link, [(200, 302), (200, 302), (200, 302), (200, 302)]),
    "pay on session": (
        lambda line: reverse("checkout.pay.on.session", args=[line.uuid]),
        [(302, 302), (404, 404), (200, 302), (404, 404)],
    ),
    "pay on session, made up": (
        lambda line: reverse("checkout.pay.on.session", args=[uuid4()]),
        [(302, 302), (404, 404), (404, 404), (404, 404)],
    ),
    "pay": (
        lambda line: reverse("checkout.pay", args=[Checkout.objects.for_content_object(line).latest("pk").uuid]),
        [(404, 404), (404, 404), (200, 302), (404, 404)],
    ),
    "progress": (
        lambda line: reverse("checkout.plan.progress", args=[line.object_payment_plan.uuid]),
        [(302, 302), (404, 404), (200, 404), (404, 404)],
    ),
    "progress, made up": (
        lambda line: reverse("checkout.plan.progress", args=[uuid4()]),
        [(302, 302), (404, 404), (404, 404), (404, 404)],
    ),
    "card refresh": (
        lambda line: reverse("checkout.card.refresh"),
        [(302, 302), (200, 200), (200, 302), (200, 200)],
    ),
    "card refresh of the plan": (
        lambda line: reverse("checkout.card.refresh.plan", args=[line.object_payment_plan.uuid]),
        [(302, 302), (404, 404), (200, 302), (404, 404)],
    ),
}


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("who", [0, 1, 2, 3], ids=["anonymous", "other payer", "payer", "staff"])
def test_who_may_open_what(
    emulator: Emulator,
    waiting: ObjectPaymentPlanInstalment,
    payer: Any,
    other_payer: Any,
    staff: Any,
    name: str,
    who: int,
) -> None:
    # Staff charged it by hand before, so they began the attempt that the page shows: it is the payer's all the same.
    Checkout.objects.charge(waiting, staff)
    Checkout.objects.for_content_object(waiting).filter(state=states.PAY_ON_SESSION).update(
        user=payer if who == 2 else staff
    )
    address, table = PAGES[name]
    path = address(waiting)
    client = Client()
    user = (None, other_payer, payer, staff)[who]
    if user is not None:
        client.force_login(user)
    got = client.get(path)
    posted = client.post(path)
    assert (got.status_code, posted.status_code) == table[who]
    if name != "link":
        for response in (got, posted):
            if response.status_code != 200 or who != 2:
                assert "26.6" not in text(response)
                assert "client_secret" not in text(response)


def test_a_browser_that_paid_by_link_may_come_back(client: Client, waiting: ObjectPaymentPlanInstalment) -> None:
    progress = reverse("checkout.plan.progress", args=[waiting.object_payment_plan.uuid])
    again = reverse("checkout.pay.on.session", args=[waiting.uuid])
    client.post(link(waiting))
    assert client.get(progress).status_code == 200
    assert again in client.get(progress).content.decode()
    assert client.get(again).status_code == 200
    assert client.post(again).status_code == 302
    # The card itself is decided over by login only.
    assert client.post(progress, {"instalment": waiting.uuid}).status_code == 404
    assert reverse("checkout.card.refresh") not in client.get(progress).content.decode()


def test_forms_need_their_token(waiting: ObjectPaymentPlanInstalment, payer: Any) -> None:
    strict = Client(enforce_csrf_checks=True)
    assert strict.post(link(waiting)).status_code == 403
    strict.force_login(payer)
    assert strict.post(reverse("checkout.plan.progress", args=[waiting.object_payment_plan.uuid])).status_code == 403


def test_hosts_row_gone_is_no_crash(client: Client, waiting: ObjectPaymentPlanInstalment, payer: Any) -> None:
    Membership.objects.all().delete()
    client.force_login(payer)
    assert client.get(reverse("checkout.plan.progress", args=[waiting.object_payment_plan.uuid])).status_code == 200
    assert client.get(link(waiting)).status_code == 200
    assert client.get(reverse("checkout.card.refresh")).status_code == 200
