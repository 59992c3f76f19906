"""The panel's pages, the levers over HTTP, and who may pull them."""

import http.client
import json
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from playwright.sync_api import Page

from stripe_emulator import Emulator, faults

Send = Callable[..., tuple[int, dict[str, str], str]]


@pytest.fixture
def send(served: str) -> Send:
    """send("POST", "/panel/reset", form={...}, Origin="..."): status, headers in lower case, text."""

    def call(
        method: str, path: str, form: dict[str, Any] | None = None, data: Any = None, **headers: str
    ) -> tuple[int, dict[str, str], str]:
        body = json.dumps(data) if data is not None else urlencode(form) if form is not None else None
        kind = "application/json" if data is not None else "application/x-www-form-urlencoded"
        sent = {"Content-Type": kind} | {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection(urlsplit(served).netloc, timeout=10)
        try:
            connection.request(method, path, body, sent)
            reply = connection.getresponse()
            return reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read().decode()
        finally:
            connection.close()

    return call


@pytest.fixture
def story(api: Any, emulator: Emulator) -> dict[str, Any]:
    """A customer with a hostile name who paid, and an endpoint."""
    emulator.webhooks.add("http://127.0.0.1:9/hook", "whsec_x")
    customer = api("POST", "/v1/customers", name='<script>alert(1)</script>"><img src=x>')
    intent = api(
        "POST", "/v1/payment_intents", amount=1250, currency="gbp", customer=customer["id"], confirm="true",
        payment_method="pm_card_visa",
        **{"automatic_payment_methods[enabled]": "true", "automatic_payment_methods[allow_redirects]": "never"},
    )  # fmt: skip
    api("POST", "/v1/refunds", payment_intent=intent["id"], amount=250)
    return {"customer": customer, "intent": intent}


PAGES = ["/", "/objects", "/objects?kind=customer", "/ledger", "/events", "/weather", "/clock"]


@pytest.mark.parametrize("path", [*PAGES, "/objects?kind=payment_intent&page=99"])
def test_every_page_shows_and_escapes(send: Send, story: dict[str, Any], path: str) -> None:
    status, headers, text = send("GET", path)
    assert status == 200
    assert "<script" not in text
    assert "<img" not in text
    assert "style=" not in text
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"


def test_an_object_is_shown_with_links_to_its_kin(send: Send, story: dict[str, Any]) -> None:
    customer, intent = story["customer"]["id"], story["intent"]["id"]
    text = send("GET", f"/objects/{intent}")[2]
    assert f'href="/objects/{customer}"' in text
    assert "payment_intent.succeeded" in text
    text = send("GET", f"/objects/{customer}")[2]
    assert "&lt;script&gt;" in text
    event = re.search(r"/objects/(evt_\w+)", send("GET", "/events")[2])
    assert event
    assert "&quot;api_version&quot;" in send("GET", f"/objects/{event[1]}")[2]
    for unknown in ["pi_none", "%3Cscript%3E", "..%2f..%2fetc"]:
        status, _, text = send("GET", f"/objects/{unknown}")
        assert status == 404
        assert "<script" not in text


def test_the_ledger_is_there_for_people_and_programs(send: Send, story: dict[str, Any]) -> None:
    text = send("GET", "/ledger")[2]
    for amount in ("£12.50 GBP", "£2.50 GBP", "£10.00 GBP"):
        assert amount in text
    customer = story["customer"]["id"]
    status, _, body = send("GET", f"/emulator/ledger?currency=gbp&customer={customer}")
    assert (status, json.loads(body)) == (
        200,
        {"taken_minor": 1250, "refunded_minor": 250, "disputed_minor": 0, "net_minor": 1000},
    )
    assert json.loads(send("GET", "/emulator/ledger?metadata[order]=none")[2])["net_minor"] == 0
    assert send("GET", "/emulator/ledger?colour=red")[0] == 400


def test_the_clock_moves_by_button_and_by_json(send: Send, emulator: Emulator) -> None:
    begin = emulator.clock.now()
    status, headers, _ = send("POST", "/panel/advance", form={"days": 1})
    assert (status, headers["location"]) == (303, "/clock?done=advance")
    assert emulator.clock.now() - begin == pytest.approx(86_400, abs=60)
    answer = json.loads(send("POST", "/emulator/clock", data={"hours": 2, "minutes": 30})[2])
    assert answer["now"] - begin == pytest.approx(86_400 + 9_000, abs=60)
    for nonsense in ({"days": -1}, {"days": "x"}, {"fortnights": 1}, {"days": 1e9}, {"days": [1]}, {"days": True}):
        assert send("POST", "/emulator/clock", data=nonsense)[0] == 400
    assert send("POST", "/panel/advance", form={"days": "wat"})[0] == 400


def test_weather_is_set_shown_and_cleared(send: Send, emulator: Emulator) -> None:
    rule = {"fault": "status", "status": 503, "after": True, "path": "POST /v1/refunds", "times": 2}
    shown = json.loads(send("POST", "/emulator/weather", data=rule)[2])["weather"][0]
    assert {**rule, "call": None, "probability": None}.items() <= shown.items()
    assert "status 503" in send("GET", "/weather")[2]
    assert send("POST", "/panel/fault", form={"fault": "lost_after", "call": "2", "times": ""})[0] == 303
    assert [rule.times for rule in emulator.weather] == [2, None]
    assert send("POST", "/panel/unfault", form={"index": 0})[0] == 303
    assert send("POST", "/panel/unfault", form={"index": 7})[0] == 400
    assert json.loads(send("POST", "/emulator/weather", data={"clear": True})[2]) == {"weather": []}
    for nonsense in (
        {"fault": "wat"}, {"fault": ["status"]}, {"fault": "status", "status": 200}, {"fault": "slow", "seconds": -1},
        {"fault": "slow", "status": 500}, {"fault": "lost_before", "call": 0}, {"fault": "lost_before", "times": "x"},
        {"fault": "lost_before", "probability": 2}, {"fault": "lost_before", "path": "("},
        {"fault": "lost_before", "path": 7},
        {"fault": "status", "after": "maybe"},
    ):  # fmt: skip
        assert send("POST", "/emulator/weather", data=nonsense)[0] == 400, nonsense
    assert emulator.weather.fair


def test_webhooks_are_set_and_sent_again(send: Send, emulator: Emulator, story: dict[str, Any]) -> None:
    data = {"url": "http://127.0.0.1:9/other", "events": ["charge.succeeded"], "delay": 3, "duplicate": True}
    answer = json.loads(send("POST", "/emulator/webhooks", data=data)[2])
    assert answer["endpoints"][-1]["secret"].startswith("whsec_")
    assert (answer["knobs"]["delay"], answer["knobs"]["duplicate"]) == (3, 1)
    form = {"url": "http://127.0.0.1:9/third", "secret": "whsec_z", "events": "a.b, c.d"}
    assert send("POST", "/panel/endpoint", form=form)[0] == 303
    assert emulator.webhooks.endpoints[-1]["enabled_events"] == ["a.b", "c.d"]
    assert send("POST", "/panel/knobs", form={"delay": "0", "duplicate": "0.5"})[0] == 303
    assert emulator.webhooks.weather.duplicate == 0.5
    event = emulator.handle("GET", "/v1/events", {"authorization": "Bearer sk_test_emulator"}).json()["data"][0]["id"]
    assert send("POST", "/panel/resend", form={"event": event})[0] == 303
    assert send("POST", "/panel/resend", form={"event": "evt_none"})[0] == 400
    for nonsense in (
        {"url": "ftp://x"}, {"url": "http://"}, {"url": 7}, {"url": "http://x", "events": 7}, {"url": "http://[::1"},
        {"drop": 2}, {"drop": "x"}, {"wat": 1}, {"url": "http://x", "secret": 7},
    ):  # fmt: skip
        assert send("POST", "/emulator/webhooks", data=nonsense)[0] == 400, nonsense


def test_a_reset_forgets_all_but_what_was_given_on_the_command_line(
    send: Send, emulator: Emulator, story: dict[str, Any]
) -> None:
    emulator.webhooks.add("http://127.0.0.1:9/standing", "whsec_s", standing=True)
    emulator.webhooks.weather.drop = 1
    emulator.weather.add(faults.LostAfter())
    emulator.clock.advance(days=1)
    assert send("POST", "/emulator/reset", data={})[0] == 200
    assert emulator.ledger.taken_minor(currency="gbp") == 0
    assert [(row["url"], row["secret"]) for row in told_endpoints(send)] == [("http://127.0.0.1:9/standing", "whsec_s")]
    assert (emulator.webhooks.weather.drop, emulator.weather.fair) == (0, True)
    assert emulator.clock.now() == pytest.approx(time.time(), abs=60)
    assert json.loads(send("GET", "/emulator/requests")[2])["data"] == []
    assert send("POST", "/emulator/reset", data={})[0] == 200
    assert len(told_endpoints(send)) == 1


def told_endpoints(send: Send) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(send("POST", "/emulator/webhooks", data={})[2])["endpoints"]
    return found


def test_a_snapshot_can_be_taken_away_and_restored(send: Send, story: dict[str, Any]) -> None:
    status, headers, body = send("GET", "/snapshot")
    assert (status, headers["content-type"]) == (200, "application/json")
    other = Emulator()
    other.restore(json.loads(body))
    assert other.ledger.taken_minor(currency="gbp") == 1250


def test_requests_are_told_without_secrets(send: Send, story: dict[str, Any]) -> None:
    lines = json.loads(send("GET", "/emulator/requests")[2])["data"]
    assert [line["path"] for line in lines][:2] == ["/v1/customers", "/v1/payment_intents"]
    assert "sk_test_emulator" not in json.dumps(lines)


@pytest.mark.parametrize("name", ["payment_method_data[card]", "card"])
def test_what_a_payer_typed_is_told_to_nobody(send: Send, served: str, emulator: Emulator, name: str, api: Any) -> None:
    secret = api("POST", "/v1/payment_intents", amount=1250, currency="gbp")["client_secret"]
    typed = {f"{name}[number]": "4000056655665556", f"{name}[cvc]": "7319", f"{name}[exp_month]": "11"}
    sent = {**typed, "client_secret": secret, "key": "pk_test_by_the_form"}
    for body in (urlencode(sent), "&".join(f"{field}={value}" for field, value in sent.items())):
        emulator.handle("POST", "/v1/payment_methods", {}, body.encode())
        emulator.handle("GET", f"/v1/payment_intents?{body}", {})
    told = send("GET", "/emulator/requests")[2]
    assert "exp_month" in told
    assert [word for word in ("4000056655665556", "7319", secret, "pk_test_by") if word in told] == []


def test_the_control_api_refuses_what_it_does_not_know(send: Send) -> None:
    assert json.loads(send("GET", "/emulator/health")[2])["status"] == "ok"
    assert send("POST", "/emulator/wat", data={})[0] == 404
    assert send("POST", "/emulator/clock", form={"days": 1})[0] == 415
    for body in (["x"], "x", 7):
        assert send("POST", "/emulator/clock", data=body)[0] == 400
    assert send("POST", "/panel/wat", form={})[0] == 404
    assert send("GET", "/wat")[0] == 404
    assert send("GET", "/panel/reset")[0] == 405


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:12111"},
    ],
    ids=lambda headers: "-".join(next(iter(headers.items()))),
)
def test_another_site_pulls_no_lever(send: Send, emulator: Emulator, story: Any, headers: dict[str, str]) -> None:
    assert send("POST", "/panel/reset", form={}, **headers)[0] == 403
    assert send("POST", "/emulator/reset", data={}, **headers)[0] == 403
    assert emulator.ledger.taken_minor(currency="gbp") == 1250
    if "Host" in headers:
        assert send("GET", "/snapshot", **headers)[0] == 403


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_the_panel_works_in_a_browser_and_axe_finds_nothing(page: Page, served: str, story: Any, width: int) -> None:
    from axe_playwright_python.sync_playwright import Axe

    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.set_viewport_size({"width": width, "height": 900})
    kept = [story["intent"]["id"], story["intent"]["payment_method"]]
    for path in [*PAGES, *(f"/objects/{object_id}" for object_id in kept)]:
        page.goto(served + path)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        violations = Axe().run(page).response["violations"]
        assert [(one["id"], one["nodes"][0]["html"]) for one in violations] == [], path
    page.goto(served)
    page.get_by_role("link", name="Weather").click()
    page.get_by_label("Fault", exact=True).select_option("slow")
    page.get_by_role("button", name="Add the fault").click()
    assert page.get_by_role("status").inner_text() == "The fault is set."
    page.get_by_role("button", name="Clear the weather").click()
    page.get_by_text("Fair weather").wait_for()
    page.get_by_role("link", name="Clock").click()
    page.get_by_role("button", name="One day").click()
    assert page.get_by_role("status").inner_text() == "The clock was moved."
    assert [text for text in problems if "favicon" not in text and "404" not in text] == []


@pytest.mark.browser
@pytest.mark.parametrize(
    ("button", "status"), [("Complete authentication", "succeeded"), ("Fail authentication", "failed")]
)
def test_a_redirected_payer_meets_the_bank_and_comes_back(
    page: Page, served: str, api: Any, button: str, status: str
) -> None:
    intent = api("POST", "/v1/payment_intents", amount=1250, currency="gbp")
    back = f"{served}/emulator/health?order=7"  # any page that answers
    confirmed = api(
        "POST", f"/v1/payment_intents/{intent['id']}/confirm",
        payment_method="pm_card_authenticationRequired", return_url=back,
    )  # fmt: skip
    action = confirmed["next_action"]
    assert action["type"] == "redirect_to_url"
    page.goto(action["redirect_to_url"]["url"])
    page.get_by_text("£12.50").wait_for()
    page.get_by_role("button", name=button).click()
    page.wait_for_url("**/emulator/health?*")
    query = dict(pair.split("=") for pair in urlsplit(page.url).query.split("&"))
    assert (query["order"], query["payment_intent"], query["redirect_status"]) == ("7", intent["id"], status)
    page.goto(action["redirect_to_url"]["url"])
    page.get_by_text("does not wait for its payer").wait_for()


# -- the payer, the bank and the Dashboard ---------------------------------------------------------


def bank(send: Send, **data: Any) -> tuple[int, Any]:
    status, _, body = send("POST", "/emulator/bank", data=data)
    return status, json.loads(body)


def test_the_bank_can_be_moved_from_another_process(send: Send, api: Any, emulator: Emulator, story: Any) -> None:
    intent, method = story["intent"]["id"], story["intent"]["payment_method"]
    assert bank(send, do="refund", object=intent, amount=250)[0] == 200
    assert emulator.ledger.refunded_minor(currency="gbp") == 500
    _, disputed = bank(send, do="dispute", object=intent, reason="general", inquiry=True)
    assert disputed["latest_charge"] == story["intent"]["latest_charge"]
    (dispute,) = api("GET", "/v1/disputes")["data"]
    assert dispute["status"] == "warning_needs_response"
    assert (
        bank(send, do="decide_dispute", object=dispute["id"], status="needs_response")[1]["status"] == "needs_response"
    )
    assert bank(send, do="decide_dispute", object=dispute["id"], status="lost")[1]["status"] == "lost"
    _, card = bank(send, do="replace_card", object=method, exp_month=4, exp_year=2033, last4="1881")
    assert (card["card"]["exp_year"], card["card"]["last4"]) == (2033, "1881")
    saved = api("POST", "/v1/payment_methods/pm_card_visa/attach", customer=story["customer"]["id"])
    assert bank(send, do="decline_next", object=saved["id"], decline_code="lost_card", times=2)[0] == 200
    waiting = api("POST", "/v1/payment_intents", amount=1250, currency="gbp")
    emulator.pay(waiting["client_secret"], "4000000000003220", authenticate=None)
    assert bank(send, do="complete_challenge", object=waiting["id"])[1]["status"] == "succeeded"
    due = api("POST", "/v1/payment_intents", amount=900, currency="gbp", customer=story["customer"]["id"])
    refused = emulator.pay(due["client_secret"], saved["id"])
    assert refused["error"]["decline_code"] == "lost_card"
    asked = {"decline_code": "insufficient_funds", "network_advice_code": "24"}
    assert bank(send, do="decline_next", object=method, **asked)[0] == 200


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"do": "dispute"},
        {"do": "dispute", "object": "pi_none"},
        {"do": ["dispute"], "object": {}},
        {"do": "dispute", "object": "pi", "reason": "<b>"},
        {"do": "dispute", "object": "pi", "inquiry": "maybe"},
        {"do": "dispute", "object": "pi", "wat": 1},
        {"do": "refund", "object": "pi", "amount": 0},
        {"do": "refund", "object": "pi", "amount": 999_999},
        {"do": "complete_challenge", "object": "pi"},
        {"do": "replace_card", "object": "pm"},
        {"do": "replace_card", "object": "pm", "exp_month": 13, "exp_year": 2030},
        {"do": "replace_card", "object": "pm", "exp_month": 1, "exp_year": 2030, "last4": "x"},
        {"do": "decline_next", "object": "pm", "times": 1e9},
        {"do": "decline_next", "object": "pm", "network_advice_code": "<b>"},
        {"do": "decide_dispute", "object": "pm", "status": "won"},
    ],
)
def test_the_bank_does_nothing_that_makes_no_sense(send: Send, emulator: Emulator, story: Any, data: Any) -> None:
    ids = {"pi": story["intent"]["id"], "pm": story["intent"]["payment_method"]}
    before = emulator.snapshot()["world"]["tables"]
    if isinstance(data.get("object"), str):
        data = {**data, "object": ids.get(data["object"], data["object"])}
    status, answer = bank(send, **data)
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
    after = emulator.snapshot()["world"]["tables"]
    assert [after[kind] for kind in ("charge", "refund", "dispute")] == [
        before[kind] for kind in ("charge", "refund", "dispute")
    ]


def test_an_object_offers_what_may_happen_to_it(send: Send, api: Any, emulator: Emulator, story: Any) -> None:
    def offered(object_id: str) -> list[str]:
        return re.findall(r"<button[^>]*>([^<]+)<", send("GET", f"/objects/{object_id}")[2])

    intent, method = story["intent"]["id"], story["intent"]["payment_method"]
    assert offered(intent) == ["Refund it in the Dashboard", "The payer disputes it"]
    assert offered(method) == ["Decline the next charge", "The bank replaces the card"]
    assert offered(story["customer"]["id"]) == []
    status, headers, _ = send("POST", "/panel/bank", form={"do": "dispute", "object": intent, "inquiry": "false"})
    assert (status, headers["location"]) == (303, f"/objects/{intent}?done=bank")
    (dispute,) = api("GET", "/v1/disputes")["data"]
    assert offered(dispute["id"]) == ["We win", "We lose"]
    emulator.bank.decide_dispute(dispute["id"], "won")
    assert offered(dispute["id"]) == []
    waiting = api("POST", "/v1/payment_intents", amount=1250, currency="gbp")
    assert offered(waiting["id"]) == []
    emulator.pay(waiting["client_secret"], "4000000000003220", authenticate=None)
    assert offered(waiting["id"]) == ["The payer authenticates", "The payer fails to authenticate"]
    assert send("POST", "/panel/bank", form={"do": "dispute", "object": intent})[0] == 400


def test_a_snapshot_can_be_restored_from_another_process(send: Send, api: Any, story: Any) -> None:
    saved = json.loads(send("GET", "/emulator/snapshot")[2])
    api("DELETE", f"/v1/customers/{story['customer']['id']}")
    assert send("POST", "/emulator/restore", data=saved)[0] == 200
    assert api("GET", f"/v1/customers/{story['customer']['id']}")["id"] == story["customer"]["id"]
    assert "deleted" not in api("GET", f"/v1/customers/{story['customer']['id']}")
    for wrong in ({}, {"world": []}, {**saved, "keys": 1}):
        assert send("POST", "/emulator/restore", data=wrong)[0] == 400
    assert "deleted" not in api("GET", f"/v1/customers/{story['customer']['id']}")
