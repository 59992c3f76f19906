"""The office changes a plan on one screen: chosen, seen side by side, done; and its payer agrees where they must."""

from __future__ import annotations

import datetime
import re
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from post_office.models import Email

from checkout import clock, states
from checkout.models import Agreement, Checkout, ObjectPaymentPlan, PaymentPlan, PlanChange
from checkout.services import plans, runs
from checkout.services.letters import writing
from stripe_emulator import Emulator
from tests.services.conftest import SavePlan, make_due
from tests.staff.conftest import boss, site  # noqa: F401 - fixtures
from tests.views.test_plan_link import link, page_of, text

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]

WHY = {"reason": "in hospital"}


@pytest.fixture
def plan(save_plan: SavePlan) -> ObjectPaymentPlan:
    """£20.00 paid; £26.66, £26.67 and £26.67 to come."""
    return save_plan(email="ann@example.com")


@pytest.fixture
def office(boss: Any) -> Client:  # noqa: F811
    client = Client()
    client.force_login(boss)
    return client


def address(plan: ObjectPaymentPlan) -> str:
    return reverse("checkout.object.payment.plan.change", args=[plan.uuid])


def press(office: Client, plan: ObjectPaymentPlan, terms: dict[str, Any], **more: Any) -> Any:
    """Look, and then press the button of what was seen."""
    looked = office.get(address(plan), terms | {"look": "1"})
    assert looked.status_code == 200, text(looked)
    seen = looked.context["found"].seen
    return office.post(address(plan), terms | WHY | {"seen": seen} | more, follow=True)


def dues(plan: ObjectPaymentPlan) -> list[datetime.date]:
    return list(plan.instalments.filter(state=states.PENDING).order_by("due").values_list("due", flat=True))


def test_a_pause_is_seen_before_it_is_done_and_its_payer_is_told(office: Client, plan: ObjectPaymentPlan) -> None:
    before = dues(plan)
    assert "A pause" in text(office.get(address(plan)))
    looked = office.get(address(plan), {"kind": "pause", "months": "2", "look": "1"})
    assert "It favours the payer" in text(looked)
    assert [row["differs"] for row in looked.context["rows"]] == [False, True, True, True]
    assert [name_before_after[1:] for name_before_after in looked.context["sums"]] == [
        ("£100.00", "£100.00"), ("£80.00", "£80.00"),
    ]  # fmt: skip
    assert (dues(plan), plan.changes.count()) == (before, 0)
    page = press(office, plan, {"kind": "pause", "months": "2"})
    assert "The plan was changed, and its payer is told." in text(page)
    assert "Change 1: a pause" in text(page)
    assert "in hospital" in text(page)
    assert [due.month for due in dues(plan)] == [(due.month + 1) % 12 + 1 for due in before]
    with time_machine.travel(clock.now() + datetime.timedelta(hours=1)):
        writing.write_waiting()
    assert "Payments make a pause" in Email.objects.latest("pk").message


@pytest.mark.parametrize(
    ("terms", "still_to_come"),
    [
        ({"kind": "discount", "amount": "10"}, "70.00"),
        ({"kind": "write_off"}, "0"),
        ({"kind": "pay_day", "day": "15"}, "80.00"),
    ],
)
def test_what_favours_the_payer_holds_at_once(
    office: Client, plan: ObjectPaymentPlan, terms: dict[str, Any], still_to_come: str
) -> None:
    press(office, plan, terms)
    left = sum((line.left for line in plan.payments if line.state_id != states.SUCCESS), Decimal(0))
    assert left == Decimal(still_to_come)
    assert plan.changes.get().state == PlanChange.State.IN_FORCE


def test_what_does_not_favour_the_payer_waits_for_them(
    office: Client, plan: ObjectPaymentPlan, emulator: Emulator, client: Client
) -> None:
    fee = {"kind": "fee", "amount": "5"}
    assert "so they have to agree" in text(office.get(address(plan), fee | {"look": "1"}))
    assert "The payer is asked by mail" in text(press(office, plan, fee))
    agreed_before = ObjectPaymentPlan.objects.get(pk=plan.pk).agreement
    writing.write_waiting()
    letter = Email.objects.filter(to="ann@example.com").latest("pk")
    assert letter.subject == "Please decide: a change of your payment plan"
    assert "A fee: £5.00 more is to pay." in letter.message
    [path] = set(re.findall(r"https://shop\.example(/checkout/plan/\S+)", letter.message))
    page = client.get(path, follow=True)
    assert "A change of your plan is proposed" in text(page)
    assert "£85.00" in text(page)
    change = plan.changes.get()
    assert (change.waits, plan.payments.get(count=4).amount) == (True, Decimal("26.67"))
    done = client.post(page_of(plan), {"change": change.uuid, "answer": "agree"}, follow=True)
    assert "Thank you. Your plan is changed" in text(done)
    assert "A change of your plan is proposed" not in text(done)
    agreement = ObjectPaymentPlan.objects.get(pk=plan.pk).agreement
    assert agreement is not None
    assert agreement != agreed_before
    assert (agreement.kind, agreement.lines[-1]["amount"]) == (Agreement.Kind.PAYER, "31.67")
    assert "£31.67" in agreement.text
    assert agreement.ip_address == "127.0.0.1"
    with time_machine.travel(clock.now() + datetime.timedelta(days=150)):
        for _month in range(4):
            runs.process_payments(workers=1)
    charged = Checkout.objects.filter(action="charge").success().order_by("pk").values_list("total", flat=True)
    assert max(charged) == Decimal("31.67"), "what the payer agreed to is what is charged"
    assert emulator.ledger.taken_minor() == 10500


def test_a_payer_who_does_not_agree_keeps_the_old_terms_and_nobody_else_decides(
    office: Client, plan: ObjectPaymentPlan, client: Client, save_plan: SavePlan
) -> None:
    press(office, plan, {"kind": "fee", "amount": "5"})
    change = plan.changes.get()
    answer = {"change": change.uuid, "answer": "agree"}
    assert client.post(page_of(plan), answer).headers["Location"].startswith("/log-in/")
    other = save_plan(email="eve@example.com")
    client.get(link(other))
    assert client.post(page_of(plan), answer).headers["Location"].startswith("/log-in/")
    assert client.post(page_of(other), answer).status_code == 404
    client.get(link(plan))
    refused = client.post(page_of(plan), answer | {"answer": "refuse"}, follow=True)
    assert "Nothing was changed." in text(refused)
    change.refresh_from_db()
    assert (change.state, plan.payments.get(count=4).amount) == (PlanChange.State.REFUSED, Decimal("26.67"))
    assert "This was decided already." in text(client.post(page_of(plan), answer, follow=True))


def test_staff_may_withdraw_what_waits_and_hold_an_agreement_on_paper(
    office: Client, plan: ObjectPaymentPlan, client: Client
) -> None:
    press(office, plan, {"kind": "fee", "amount": "5"})
    change = plan.changes.get()
    withdraw = reverse("checkout.object.payment.plan.withdraw", args=[change.uuid])
    assert withdraw in office.get(plan.get_absolute_url()).content.decode()
    page = office.get(withdraw)
    assert "The change was withdrawn." in text(office.post(withdraw, WHY | {"seen": page.context["seen"]}, follow=True))
    writing.write_waiting()
    assert not Email.objects.filter(subject__startswith="Please decide").exists(), "a letter that is not true any more"
    press(office, plan, {"kind": "fee", "amount": "5"}, on_paper="on")
    newest = ObjectPaymentPlan.objects.get(pk=plan.pk).agreement
    assert newest is not None
    assert (newest.kind, newest.note) == (Agreement.Kind.PAPER, "in hospital")
    assert plan.payments.get(count=4).amount == Decimal("31.67")


def test_amounts_and_days_line_by_line(office: Client, plan: ObjectPaymentPlan) -> None:
    lines = list(plan.payments.exclude(state=states.SUCCESS))
    terms = {"kind": "lines", "due_new": "", "amount_new": ""}
    for line, amount in zip(lines, ("10.00", "20.00", "50.00"), strict=True):
        terms |= {f"due_{line.pk}": line.due.isoformat(), f"amount_{line.pk}": amount}
    looked = office.get(address(plan), terms | {"look": "1"})
    assert looked.status_code == 200
    assert "so they have to agree" in text(looked), "a payment is larger than the largest was"
    wrong = office.get(address(plan), terms | {f"amount_{lines[0].pk}": "11.00", "look": "1"})
    assert wrong.status_code == 409
    assert wrong.context["found"] is None


@pytest.mark.parametrize(("language", "typed"), [("de", "0,66"), ("en-gb", "0.66")])
def test_an_amount_of_a_change_is_typed_as_its_reader_writes_it(
    office: Client, plan: ObjectPaymentPlan, language: str, typed: str
) -> None:
    """A browser's own field for numbers drops a comma that is not of the browser's language, and sends a full stop."""
    german = {"headers": {"accept-language": language}}
    field = office.get(address(plan), {"kind": "discount"}, **german).context["form"]["amount"]
    assert 'type="text"' in str(field)
    looked = office.get(address(plan), {"kind": "discount", "amount": typed, "look": "1"}, **german)
    assert looked.context["found"].after[-1].owed == Decimal("26.01")
    # What the page shows is what it takes: all of it is sent back as it came, and nothing differs.
    shown = {each.name: each.value() for each in office.get(address(plan), {"kind": "lines"}, **german).context["form"]}
    amounts = [value for name, value in shown.items() if name.startswith("amount_") and value]
    assert amounts[0] == f"26{typed[1]}66"
    sent = {name: "" if value is None else str(value) for name, value in shown.items()}
    same = office.get(address(plan), {"kind": "lines", "look": "1", **sent}, **german)
    assert same.context["form"].errors == {}
    nothing = office.get(address(plan), {"kind": "discount", "amount": "0", "look": "1"}, **german)
    assert "0.001" not in text(nothing)
    assert nothing.context["form"].errors


def test_what_cannot_be_is_said_and_nothing_is_done(office: Client, plan: ObjectPaymentPlan) -> None:
    for terms in ({"kind": "discount", "amount": "500"}, {"kind": "pause", "months": "99"}):
        answer = office.get(address(plan), terms | {"look": "1"})
        assert answer.context["found"] is None
        assert office.post(address(plan), terms | WHY | {"seen": "x"}).status_code in (409, 422)
    stale = office.post(address(plan), {"kind": "pause", "months": "1", "seen": "old"} | WHY)
    assert stale.status_code == 409
    assert "Something happened to this plan since you looked at it." in text(stale)
    assert office.get(address(plan), {"kind": "owner"}).context["kind"] == ""
    assert plan.changes.count() == 0


def test_odd_values_are_pointed_out(office: Client, plan: ObjectPaymentPlan) -> None:
    first = (clock.today() + datetime.timedelta(days=900)).isoformat()
    looked = office.get(address(plan), {"kind": "split", "count": "2", "first": first, "interval": "1", "look": "1"})
    assert "is more than two years from now" in text(looked)
    large = office.get(address(plan), {"kind": "fee", "amount": "999", "look": "1"})
    assert "is more than ten times the largest payment so far" in text(large)


def test_what_law_may_not_allow_is_pointed_out_or_refused(
    office: Client, plan: ObjectPaymentPlan, settings: Any
) -> None:
    tomorrow = (clock.today() + datetime.timedelta(days=1)).isoformat()
    many = {"kind": "split", "count": "13", "first": tomorrow, "interval": "1", "look": "1"}
    looked = text(office.get(address(plan), many))
    assert "at most 12 payments" in looked
    assert "when all is paid within 12 months" in looked
    assert "not legal advice" in looked
    assert "at most 12 payments" not in text(office.get(address(plan), many | {"count": "4"}))
    fee = {"kind": "fee", "amount": "5", "look": "1"}
    assert "never add up to more than the price" in text(office.get(address(plan), fee))
    settings.CHECKOUT_PLAN_RULES = "refuse"
    refused = office.get(address(plan), many)
    assert (refused.status_code, refused.context["found"]) == (409, None)
    settings.CHECKOUT_PLAN_RULES = "off"
    assert "at most 12 payments" not in text(office.get(address(plan), many))


def test_terms_of_a_template_are_held_against_the_same_limits(office: Client, settings: Any) -> None:
    url = reverse("checkout.payment.plan.create")
    terms = {"name": "Long", "slug": "long", "deposit": "10", "count": "12", "interval": "1"}
    made = office.post(url, terms, follow=True)
    assert "at most 12 payments" in text(made)
    assert "Regulated Activities Order" in text(made)
    settings.CHECKOUT_PLAN_RULES = "refuse"
    refused = office.post(url, terms | {"slug": "longer"})
    assert refused.status_code == 422
    assert "at most 12 payments" in text(refused)
    assert office.post(url, terms | {"slug": "short", "count": "5"}).status_code == 302


def test_what_was_written_off_is_said_not_to_be_paid_anywhere(office: Client, plan: ObjectPaymentPlan) -> None:
    press(office, plan, {"kind": "write_off"})
    page = text(office.get(plan.get_absolute_url()))
    assert "Instalment 1: Not taken any more" in page
    assert "Instalment 1: Succeeded" not in page
    payer = Client()
    theirs = text(payer.get(link(plan), follow=True))
    assert "Nothing is left to pay." in theirs
    assert "Everything is paid" not in theirs
    statement = text(payer.get(reverse("checkout.statement", args=[plan.uuid])))
    assert "£80.00 of what was agreed is not collected any more." in statement


def test_a_stopped_plan_goes_on(office: Client, plan: ObjectPaymentPlan) -> None:
    plan.delete_plan()
    assert [each["kind"] for each in office.get(address(plan)).context["kinds"]] == ["write_off", "reopen"]
    assert "they are told" not in text(office.get(address(plan), {"kind": "write_off", "look": "1"}))
    press(office, plan, {"kind": "reopen"}, on_paper="on")
    assert not ObjectPaymentPlan.objects.get(pk=plan.pk).deleted


def test_a_template_that_cannot_be_says_why_in_words_and_once(office: Client) -> None:
    terms = {"name": "None", "slug": "none", "deposit": "0", "count": "3", "interval": "1"}
    answer = office.post(reverse("checkout.payment.plan.create"), terms)
    assert answer.status_code in (200, 422)
    assert answer.context["form"].errors == {
        "__all__": ["The deposit is a percentage from 1 to 99: with less or more there would be an empty line."]
    }


def test_a_template_says_what_each_field_takes(office: Client) -> None:
    terms = {"name": "None", "slug": "Not one", "deposit": "-1", "count": "-1", "interval": "-1"}
    errors = office.post(reverse("checkout.payment.plan.create"), terms).context["form"].errors
    assert errors == {
        "slug": ["Write lower-case letters, digits and hyphens only."],
        **{name: ["Write a whole number from 1."] for name in ("deposit", "count", "interval")},
    }


@pytest.mark.parametrize("rules", ["warn", "refuse", "off"])
@pytest.mark.parametrize("terms", [{"count": "2147483648"}, {"count": "300000"}, {"count": "12", "interval": "99999"}])
def test_a_template_that_no_price_can_be_split_by_is_refused_whatever_the_rules(
    office: Client, settings: Any, rules: str, terms: dict[str, str]
) -> None:
    settings.CHECKOUT_PLAN_RULES = rules
    known = {"name": "Endless", "slug": "endless", "deposit": "10", "count": "3", "interval": "1"}
    assert office.post(reverse("checkout.payment.plan.create"), known | terms).status_code == 422
    assert not PaymentPlan.objects.filter(slug="endless").exists()


def test_the_payers_page_proposes_what_is_still_to_pay_and_nothing_for_a_plan_that_was_stopped(
    office: Client, plan: ObjectPaymentPlan, client: Client
) -> None:
    press(office, plan, {"kind": "fee", "amount": "5"})
    make_due(plan)
    runs.process_payments(workers=1)
    writing.write_waiting()
    letter = Email.objects.get(subject="Please decide: a change of your payment plan")
    assert "£58.34" in letter.message, "a payment came before it was written"
    [path] = set(re.findall(r"https://shop\.example(/checkout/plan/\S+)", letter.message))
    page = text(client.get(path, follow=True))
    assert "Sum £58.34" in page
    plans.stop(plan)
    assert "is proposed" not in text(client.get(page_of(plan)))
