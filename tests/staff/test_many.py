"""One action for many: looked at first, done once each, whoever presses twice and wherever a process dies."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from post_office.models import Email

from checkout import clock
from checkout.errors import CheckoutError
from checkout.models import BulkItem, BulkJob, Notice, ObjectPaymentPlan, PlanChange, StateChange
from checkout.services import by_staff, many, plans
from tests.kept import kept
from tests.services.conftest import payment_plan, save_plan  # noqa: F401 - fixtures

pytestmark = pytest.mark.django_db

PLANS = "/checkout/staff/plans/"
Outcome = BulkItem.Outcome


@pytest.fixture
def office(client: Client, boss: Any, site: None) -> Client:
    client.force_login(boss)
    return client


@pytest.fixture
def three(site: None, save_plan: Any, emulator: Any) -> list[ObjectPaymentPlan]:  # noqa: F811
    """Three plans of three payers; the second is stopped."""

    def make() -> list[ObjectPaymentPlan]:
        made = [save_plan(email=f"payer{number}@example.com", name=f"Payer {number}") for number in range(3)]
        plans.stop(made[1])
        return made

    return kept("three", make, emulator)


def outcomes(job: BulkJob) -> list[str]:
    return list(job.items.order_by("pk").values_list("outcome", flat=True))


def ask(office: Client, kind: str, pks: list[int], **terms: Any) -> Any:
    url = f"/checkout/staff/many/plans/{kind}/?" + "&".join(f"row={pk}" for pk in pks)
    shown = office.get(url)
    return office.post(
        url, {"key": uuid.uuid4(), "seen": shown.context["seen"], "reason": "the hall burnt down"} | terms
    )


def test_what_is_chosen_is_looked_at_done_and_told_line_by_line(office: Client, three: list[ObjectPaymentPlan]) -> None:
    page = office.get(PLANS)
    assert f'name="row" value="{three[0].pk}"' in page.content.decode()
    chosen = {"do": "pause", "row": [each.pk for each in three]}
    answer = office.get("/checkout/staff/many/plans/", chosen, follow=True)
    text = " ".join(answer.content.decode().split())
    # The list of live plans has two of them.
    assert [each["refusal"] for each in answer.context["looked"]] == ["", ""]
    assert "2</span> were chosen" in text
    one = office.get("/checkout/staff/many/plans/", chosen | {"row": [three[0].pk]}, follow=True)
    assert "1</span> was chosen" in " ".join(one.content.decode().split())
    before = [line.due for line in three[0].payments]
    assert PlanChange.objects.count() == 0
    answer = ask(office, "pause", [three[0].pk, three[2].pk], months=2)
    job = BulkJob.objects.get()
    assert answer.headers["Location"] == job.get_absolute_url()
    assert (outcomes(job), job.finished_at is None) == (["done", "done"], False)
    assert [line.due for line in three[0].payments][1:] != before[1:]
    told = office.get(job.get_absolute_url()).content.decode()
    assert "Done: 2 of 2. the hall burnt down" in told


def test_all_that_the_filter_finds_are_taken_and_no_other(office: Client, three: list[ObjectPaymentPlan]) -> None:
    url = "/checkout/staff/many/plans/stop/?all=1&q=payer0"
    shown = office.get(url)
    office.post(url, {"key": uuid.uuid4(), "seen": shown.context["seen"], "reason": "closed"})
    assert list(BulkItem.objects.values_list("plan", flat=True)) == [three[0].pk]
    assert list(ObjectPaymentPlan.objects.filter(deleted=True).order_by("pk")) == three[:2]
    change = StateChange.objects.get(object_payment_plan=three[0], to_state="stopped", note="closed")
    assert str(change.user) == "boss"


def test_a_list_that_changed_since_it_was_looked_at_is_looked_at_again(
    office: Client, three: list[ObjectPaymentPlan]
) -> None:
    url = "/checkout/staff/many/plans/stop/?all=1"
    seen = office.get(url).context["seen"]
    plans.stop(three[0])
    answer = office.post(url, {"key": uuid.uuid4(), "seen": seen, "reason": "closed"})
    assert (answer.status_code, BulkJob.objects.count()) == (409, 0)


def test_a_form_that_is_sent_twice_is_done_once(office: Client, three: list[ObjectPaymentPlan]) -> None:
    key = uuid.uuid4()
    for _press in range(2):
        answer = ask(office, "pause", [three[0].pk], months=1, key=key)
        assert answer.headers["Location"] == f"/checkout/staff/many/{key}/"
    assert (BulkJob.objects.count(), PlanChange.objects.count()) == (1, 1)
    again = many.begin("pause", [three[2].pk], None, "x", key=key, terms={"months": 1})
    assert (again.uuid, again.items.count()) == (key, 1)


@pytest.mark.parametrize(
    ("kind", "terms"),
    [("pause", {"months": 1}), ("stop", {}), ("write_off", {}), ("remind", {}), ("move", {"day": ""})],
)
def test_a_process_that_dies_after_doing_it_does_nothing_twice(
    kind: str, terms: dict[str, Any], three: list[ObjectPaymentPlan], boss: Any, monkeypatch: Any
) -> None:
    plan = three[0]
    line = plan.payments.get(count=2)
    if kind == "move":
        terms = {"day": (line.due + timedelta(days=3)).isoformat()}
    target = line.pk if kind in BulkJob.TO_LINES else plan.pk
    job = many.begin(kind, [target], boss, "the hall burnt down", key=uuid.uuid4(), terms=terms)

    class Killed(BaseException):
        pass

    def die(job: BulkJob, item: BulkItem, again: bool) -> str:
        done(job, item, again)
        raise Killed

    done = many._ACTIONS[BulkJob.Kind(kind)]
    monkeypatch.setitem(many._ACTIONS, BulkJob.Kind(kind), die)
    with pytest.raises(Killed):
        many.work(job)
    monkeypatch.undo()
    assert outcomes(job) == ["doing"]
    assert not many.work(job), "somebody may still be at it"
    books = what_was_done(plan)
    # The next day: what goes out once a day would go out again.
    monkeypatch.setattr(clock, "now", lambda now=clock.now: now() + timedelta(days=1))
    assert many.work(job)
    assert (outcomes(job), what_was_done(plan)) == (["done"], books)


def what_was_done(plan: ObjectPaymentPlan) -> tuple[Any, ...]:
    plan.refresh_from_db()
    return (
        plan.deleted, plan.version, list(plan.payments.values_list("due", "state", "ended")),
        PlanChange.objects.count(), StateChange.objects.count(), Notice.objects.count(), Email.objects.count(),
    )  # fmt: skip


def test_one_that_is_broken_or_refused_does_not_stop_the_others(
    three: list[ObjectPaymentPlan], boss: Any, monkeypatch: Any
) -> None:
    job = many.begin("stop", [each.pk for each in three], boss, "closed", key=uuid.uuid4())

    def broken(plan: ObjectPaymentPlan, *args: Any, **more: Any) -> Any:
        if plan.pk == three[0].pk:
            raise RuntimeError("a hook of the host's")
        return stop(plan, *args, **more)

    stop = plans.stop
    monkeypatch.setattr(plans, "stop", broken)
    assert many.work(job)
    assert outcomes(job) == ["failed", "refused", "done"]
    notes = list(job.items.order_by("pk").values_list("note", flat=True))
    assert notes == ["RuntimeError", "This payment plan was stopped.", ""]


def test_a_slice_at_a_time_comes_to_the_same_end(three: list[ObjectPaymentPlan], boss: Any) -> None:
    lines = [each.payments.get(count=2) for each in three]
    job = many.begin("remind", [line.pk for line in lines], boss, "", key=uuid.uuid4())
    assert not many.work(job, seconds=0)
    assert outcomes(job) == ["waiting"] * 3
    assert many.work_on_all() == 1
    assert outcomes(job) == ["done", "refused", "done"]
    assert many.work_on_all() == 0
    by_staff.ask_payer(lines[0], boss)
    again = many.begin("remind", [lines[0].pk], boss, "", key=uuid.uuid4())
    many.work(again)
    assert [item.note for item in again.items.all()] == ["There was a mail today."]


def test_none_and_too_many_are_refused(boss: Any, site: None, monkeypatch: Any) -> None:
    with pytest.raises(CheckoutError, match="Nothing was chosen"):
        many.begin("stop", [], boss, "x", key=uuid.uuid4())
    monkeypatch.setattr(many, "MOST", 2)
    with pytest.raises(CheckoutError, match="more than 2"):
        many.begin("stop", [1, 2, 3], boss, "x", key=uuid.uuid4())
    assert BulkJob.objects.count() == 0


def test_what_was_chosen_is_exported(office: Client, three: list[ObjectPaymentPlan]) -> None:
    answer = office.get("/checkout/staff/many/plans/", {"do": "export", "row": three[0].pk}, follow=True)
    text = b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]
    assert ("Payer 0" in text, "Payer 2" in text) == (True, False)


def test_only_what_the_login_may_do_is_offered(client: Client, three: list[ObjectPaymentPlan], staff_with: Any) -> None:
    client.force_login(staff_with("checkout.view_objectpaymentplan", "checkout.send_mail"))
    page = client.get(reverse("checkout.object.payment.plan.list"))
    assert [kind for kind, _words in page.context["many"]] == ["remind", "export"]
    assert client.get(f"/checkout/staff/many/plans/stop/?row={three[0].pk}").status_code == 403


@pytest.mark.parametrize("kind", ["remind", "move", "pause", "stop", "write_off"])
def test_a_list_that_is_not_there_is_a_page_that_is_not_there(office: Client, kind: str) -> None:
    sent = {"key": uuid.uuid4(), "due": "2030-01-02", "months": 1, "reason": "the hall burnt down"}
    url = f"/checkout/staff/many/1_000/{kind}/"
    assert (office.get(url).status_code, office.post(url, sent).status_code) == (404, 404)
