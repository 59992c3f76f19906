"""Stripe.js in a real browser, on a host page whose Content-Security-Policy allows nothing inline."""

import json
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

import stripe_emulator
from stripe_emulator import Emulator, faults
from stripe_emulator.resources import declines
from stripe_emulator.server import serve_in_thread

from .shop import DIALOG, FRAME, Host, shop

pytestmark = pytest.mark.browser

UNABLE = "We are unable to authenticate your payment method. Please choose a different payment method and try again."


def test_a_payer_pays_and_is_sent_to_the_return_url(host: Host, payment: Any, status_of: Any) -> None:
    intent = payment()
    host.visit(intent["client_secret"])
    host.fill("4242424242424242")
    expect(host.card.get_by_label("Card number")).to_have_value("4242 4242 4242 4242")
    expect(host.card.get_by_text("Visa", exact=True)).to_be_visible()
    host.pay.click()
    assert host.returned() == {
        "order": "7",
        "payment_intent": intent["id"],
        "payment_intent_client_secret": intent["client_secret"],
        "redirect_status": "succeeded",
    }
    assert status_of(intent) == "succeeded"


def test_if_required_resolves_with_the_intent_and_stays(host: Host, payment: Any) -> None:
    intent = payment()
    host.visit(intent["client_secret"], redirect="if_required")
    host.fill("5555 5555 5555 4444")
    host.pay.click()
    expect(host.status).to_have_text("Status: succeeded")
    assert host.result()["paymentIntent"]["id"] == intent["id"]
    assert "metadata" not in host.result()["paymentIntent"]


def test_a_decline_is_an_answer_and_another_card_may_follow(host: Host, payment: Any, status_of: Any) -> None:
    intent = payment()
    host.visit(intent["client_secret"], redirect="if_required")
    host.fill("4000000000000002")
    host.pay.click()
    expect(host.status).to_have_text("Your card was declined.")
    error = host.result()["error"]
    assert (error["type"], error["code"], error["decline_code"]) == ("card_error", "card_declined", "generic_decline")
    assert error["payment_intent"]["status"] == "requires_payment_method"
    host.fill("4242424242424242")
    host.pay.click()
    expect(host.status).to_have_text("Status: succeeded")
    assert status_of(intent) == "succeeded"


def test_card_data_never_enters_the_host_page(host: Host, payment: Any) -> None:
    host.visit(payment()["client_secret"], redirect="if_required")
    host.fill("4242424242424242")
    host.pay.click()
    expect(host.status).to_have_text("Status: succeeded")
    assert host.page.evaluate("document.querySelectorAll('input').length") == 0
    assert host.page.evaluate("(title) => document.querySelector(title).contentDocument", FRAME) is None
    assert "4242424242424242" not in host.page.evaluate("JSON.stringify([window.events, window.results])")


def test_an_authentication_can_be_completed(host: Host, payment: Any, status_of: Any) -> None:
    intent = payment(123456)
    host.visit(intent["client_secret"], redirect="if_required")
    host.fill("4000002500003155")
    host.pay.click()
    expect(host.page.get_by_role("dialog", name="Card authentication")).to_be_visible()
    expect(host.bank.get_by_text("1,234.56")).to_be_visible()
    host.bank.get_by_role("button", name="Complete authentication").click()
    expect(host.status).to_have_text("Status: succeeded")
    expect(host.page.get_by_role("dialog")).to_have_count(0)
    assert status_of(intent) == "succeeded"


def test_the_bank_asks_nothing_before_it_can_hear_the_answer(host: Host, payment: Any, status_of: Any) -> None:
    held: list[Route] = []
    host.page.route("**/stripe-js/challenge.js", lambda route: held.append(route))
    intent = payment()
    host.visit(intent["client_secret"], redirect="if_required")
    host.fill("4000002500003155")
    host.pay.click()
    button = host.bank.get_by_role("button", name="Complete authentication", include_hidden=True)
    expect(button).to_be_attached()
    expect(button).to_be_hidden()
    held[0].continue_()
    button.click()
    expect(host.status).to_have_text("Status: succeeded")
    assert status_of(intent) == "succeeded"


@pytest.mark.parametrize("way", ["Fail authentication", "Close", "Escape"])
def test_an_authentication_that_fails_or_is_left_is_no_payment(
    host: Host, payment: Any, status_of: Any, way: str
) -> None:
    intent = payment()
    host.visit(intent["client_secret"], redirect="if_required")
    host.fill("4000002500003155")
    host.pay.click()
    expect(host.bank.get_by_role("button", name="Complete authentication")).to_be_focused()
    if way == "Escape":
        host.page.keyboard.press("Escape")
    else:
        host.bank.get_by_role("button", name=way).click()
    expect(host.status).to_have_text(UNABLE)
    error = host.result()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["code"] == "payment_intent_authentication_failure"
    assert error["payment_intent"]["status"] == status_of(intent) == "requires_payment_method"
    expect(host.pay).to_be_focused()


def test_after_a_challenge_the_bank_may_still_decline(host: Host, payment: Any) -> None:
    host.visit(payment()["client_secret"], redirect="if_required")
    host.fill("4000008260003178")
    host.pay.click()
    host.bank.get_by_role("button", name="Complete authentication").click()
    expect(host.status).to_have_text("Your card has insufficient funds.")
    assert host.result()["error"]["decline_code"] == "insufficient_funds"


@pytest.mark.parametrize("number", ["4242424242424242", "4000002500003155"])
def test_a_card_is_saved_for_later(host: Host, api: Any, status_of: Any, number: str) -> None:
    customer = api("POST", "/v1/customers")
    intent = api("POST", "/v1/setup_intents", customer=customer["id"])
    host.visit(intent["client_secret"])
    expect(host.card.get_by_text("Your card is kept")).to_be_visible()
    host.fill(number)
    host.pay.click()
    if number.endswith("3155"):
        host.bank.get_by_role("button", name="Complete authentication").click()
    back = host.returned()
    assert (back["setup_intent"], back["redirect_status"]) == (intent["id"], "succeeded")
    assert status_of(intent) == "succeeded"
    assert len(api("GET", f"/v1/customers/{customer['id']}/payment_methods")["data"]) == 1


def test_a_failed_setup_says_so(host: Host, api: Any) -> None:
    intent = api("POST", "/v1/setup_intents")
    host.visit(intent["client_secret"], redirect="if_required")
    host.fill("4000002500003155")
    host.pay.click()
    host.bank.get_by_role("button", name="Fail authentication").click()
    expect(host.status).to_have_text(UNABLE)
    assert host.result()["error"]["code"] == "setup_intent_authentication_failure"


def test_the_deferred_flow_submits_before_it_confirms(host: Host, payment: Any) -> None:
    host.visit(payment(1000)["client_secret"], redirect="if_required", deferred="1")
    host.pay.click()
    expect(host.status).to_have_text("Your card number is incomplete.")
    host.fill("4242424242424242")
    host.pay.click()
    expect(host.status).to_have_text("Status: succeeded")


@pytest.mark.parametrize("forgotten", [None, "the bank in frame-src", "the API in connect-src"])
def test_a_policy_for_three_origins_is_held_to(
    page: Page, emulator: Emulator, payment: Any, status_of: Any, forgotten: str | None
) -> None:
    with serve_in_thread(emulator, three_origins=True) as api:
        script, bank = str(emulator.script_url), str(emulator.bank_url)
        assert len({api, script, bank}) == 3
        frames = script if forgotten == "the bank in frame-src" else f"{script} {bank}"
        connect = "'self'" if forgotten == "the API in connect-src" else api
        policy = f"default-src 'self'; script-src 'self' {script}; frame-src {frames}; connect-src {connect}"
        with shop(script, policy) as url:
            host = Host(page, url)
            intent = payment()
            host.visit(intent["client_secret"], redirect="if_required")
            if forgotten == "the API in connect-src":
                assert host.event("loaderror")["error"]["type"] == "api_connection_error"
                return
            host.fill("4000002760003184")
            host.pay.click()
            if forgotten is None:
                host.bank.get_by_role("button", name="Complete authentication").click()
                expect(host.status).to_have_text("Status: succeeded")
                assert status_of(intent) == "succeeded"
            else:
                expect(page.locator(DIALOG)).to_have_attribute("src", re.compile(re.escape(bank)))
                expect(host.bank.get_by_role("button", name="Complete authentication")).to_have_count(0)
                assert status_of(intent) == "requires_action"


def test_each_of_three_origins_answers_for_itself_alone(emulator: Emulator) -> None:
    with serve_in_thread(emulator, three_origins=True) as api:
        script, bank = str(emulator.script_url), str(emulator.bank_url)

        def status(url: str) -> int:
            try:
                with urllib.request.urlopen(url) as reply:
                    return int(reply.status)
            except urllib.error.HTTPError as error:
                return error.code

        assert [status(f"{base}/stripe.js") for base in (api, script, bank)] == [404, 200, 200]
        assert [status(f"{base}/v1/customers") for base in (api, script, bank)] == [401, 404, 404]
        assert [status(f"{base}/emulator/health") for base in (api, script, bank)] == [200, 404, 404]
        assert [status(f"{base}/stripe-js/challenge.html") for base in (script, bank)] == [200, 200]


@pytest.mark.parametrize(
    ("locale", "labels", "slip", "declined", "button", "note"),
    [
        (
            "de", ("Kartennummer", "Ablaufdatum", "Sicherheitscode", "Postleitzahl"),
            "Die Kartennummer ist unvollständig.", "Ihre Karte ist nicht ausreichend gedeckt.", "Bestätigen",
            "Nur Testzahlungen",
        ),
        (
            "fr-FR", ("Numéro de carte", "Date d'expiration", "Code de sécurité", "Code postal"),
            "Le numéro de carte est incomplet.", "Les fonds disponibles sur votre carte sont insuffisants.",
            "Réussir l'authentification", "Paiements de test uniquement",
        ),
        (
            "sv", ("Card number", "Expiration date", "Security code", "Postal code"),
            "Your card number is incomplete.", "Your card has insufficient funds.", "Complete authentication",
            "Test payments only",
        ),
    ],
)  # fmt: skip
def test_a_payer_reads_the_language_of_the_page(
    host: Host, payment: Any, locale: str, labels: tuple[str, ...], slip: str, declined: str, button: str, note: str
) -> None:
    host.visit(payment()["client_secret"], redirect="if_required", elements=json.dumps({"locale": locale}))
    expect(host.card.get_by_text(note)).to_be_visible()
    number, expiry, code, postal = (host.card.get_by_label(label, exact=True) for label in labels)
    host.pay.click()
    expect(host.status).to_have_text(slip)
    expect(host.card.get_by_text(slip)).to_be_visible()
    number.fill("4000008260003178")
    expiry.fill("12 / 34")
    code.fill("123")
    postal.fill("SW1A 1AA")
    expect(host.card.get_by_text(slip)).to_have_count(0)
    host.pay.click()
    host.bank.get_by_role("button", name=button, exact=True).click()
    expect(host.status).to_have_text(declined)


def test_a_payer_pays_with_a_saved_card_of_the_customer_session(
    host: Host, payment: Any, api: Any, emulator: Emulator
) -> None:
    customer = api("POST", "/v1/customers")["id"]
    for name, redisplay in (("pm_card_visa", "always"), ("pm_card_mastercard", "always"), ("pm_card_amex", "limited")):
        method = api("POST", f"/v1/payment_methods/{name}/attach", customer=customer)["id"]
        api("POST", f"/v1/payment_methods/{method}", allow_redisplay=redisplay)
    form = {"components[payment_element][enabled]": "true", "customer": customer}
    form["components[payment_element][features][payment_method_redisplay]"] = "enabled"
    session = api("POST", "/v1/customer_sessions", **form)["client_secret"]
    elements = json.dumps({"customerSessionClientSecret": session, "locale": "de"})
    intent = payment(customer=customer)
    host.visit(intent["client_secret"], redirect="if_required", elements=elements)
    own = host.card.get_by_role("group", name="Gespeicherte Karten").get_by_role("radio")
    expect(own).to_have_count(3)
    expect(host.card.get_by_label("Mastercard mit den Endziffern 4444")).to_be_checked()
    expect(host.card.get_by_label("Kartennummer")).to_be_hidden()
    host.card.get_by_label("Neue Karte").check()
    expect(host.card.get_by_label("Kartennummer")).to_be_visible()
    host.card.get_by_label("Visa mit den Endziffern 4242").check()
    host.pay.click()
    expect(host.status).to_have_text("Status: succeeded")
    charge = api("GET", f"/v1/charges?customer={customer}")["data"][0]
    assert charge["payment_method_details"]["card"]["last4"] == "4242"
    assert len(api("GET", f"/v1/customers/{customer}/payment_methods")["data"]) == 3


def test_cards_are_shown_only_when_the_session_says_so(host: Host, payment: Any, api: Any) -> None:
    customer = api("POST", "/v1/customers")["id"]
    method = api("POST", "/v1/payment_methods/pm_card_visa/attach", customer=customer)["id"]
    api("POST", f"/v1/payment_methods/{method}", allow_redisplay="always")
    form = {"components[payment_element][enabled]": "true", "customer": customer}
    session = api("POST", "/v1/customer_sessions", **form)
    assert session["components"]["payment_element"]["features"]["payment_method_redisplay"] == "disabled"
    elements = json.dumps({"customerSessionClientSecret": session["client_secret"]})
    host.visit(payment(customer=customer)["client_secret"], elements=elements)
    expect(host.card.get_by_label("Card number")).to_be_visible()
    expect(host.card.get_by_role("radio")).to_have_count(0)


def test_the_language_can_be_changed_while_the_payer_types(host: Host, payment: Any) -> None:
    host.visit(payment()["client_secret"], redirect="if_required", elements='{"locale": "de"}')
    host.card.get_by_label("Kartennummer").fill("4242")
    host.page.evaluate("elements.update({locale: 'fr'})")
    expect(host.card.get_by_label("Numéro de carte")).to_have_value("4242")
    host.page.evaluate("elements.update({locale: 'en'})")
    expect(host.card.get_by_label("Card number")).to_have_value("4242")


def test_every_sentence_that_a_payer_may_read_is_translated(host: Host, served: str) -> None:
    static = Path(stripe_emulator.__file__).parent / "static"
    host.visit()
    words = host.page.evaluate(f"import('{served}/stripe-js/words.js').then((module) => module.WORDS)")
    assert words["de"].keys() == words["fr"].keys()
    banks = {declines.decline_for(word).message for word in (*declines._OWN_CODE, *declines._MESSAGES, *declines.CODES)}
    live = {message for message in banks if "non test (live) card" in message}
    assert banks - live <= words["de"].keys()
    pages = "".join(path.read_text() for path in static.glob("*.html"))
    labels = {re.sub(r"\s+|&nbsp;", " ", found).strip() for found in re.findall(r">([^<>{}]+)<", pages)}
    labels |= set(re.findall(r'(?:placeholder|aria-label)="([^"]+)"', pages))
    assert {label for label in labels if re.search("[A-Za-z]", label)} - {"1234 1234 1234 1234"} <= words["de"].keys()
    scripts = "".join(path.read_text() for path in static.glob("*.js") if path.name != "words.js")
    said = set(re.findall(r'(?:say|translate|translated)\("([^"]+)"', scripts))
    said |= set(re.findall(r'\["[A-Za-z0-9_]+", "([A-Z][a-z][^"]+)"', scripts))
    said |= set(re.findall(r' title: "([^"]+)"', scripts))
    assert {"Your card number is incomplete.", "Full name", "Pay {amount}", "This field is incomplete."} <= said
    assert said - {"Apple Pay", "Google Pay", "Visa", "Mastercard"} <= words["de"].keys()


def test_a_price_that_the_page_did_not_show_is_not_charged(host: Host, payment: Any, emulator: Emulator) -> None:
    host.visit(payment(1001)["client_secret"], redirect="if_required", deferred="1")
    host.fill("4242424242424242")
    host.pay.click()
    expect(host.status).to_contain_text("The provided amount (1001) does not match the expected amount (1000).")
    assert host.result()["error"]["type"] == "invalid_request_error"
    assert emulator.ledger.taken_minor() == 0
    host.page.evaluate("elements.update({amount: 1001})")
    host.pay.click()
    expect(host.status).to_have_text("Status: succeeded")


def test_a_token_whose_page_asked_for_it_saves_the_card(host: Host, payment: Any, api: Any) -> None:
    customer = api("POST", "/v1/customers")["id"]
    intent = payment(1000, customer=customer)
    host.visit(intent["client_secret"], deferred="1", elements='{"setupFutureUsage": "off_session"}')
    expect(host.card.get_by_text("Your card is kept")).to_be_visible()
    host.fill("4242424242424242")
    host.page.evaluate("elements.submit()")
    made = "stripe.createConfirmationToken({elements, params: {return_url: 'https://shop.example/'}})"
    token = host.page.evaluate(made)["confirmationToken"]
    assert (token["setup_future_usage"], token["return_url"]) == ("off_session", "https://shop.example/")
    api("POST", f"/v1/payment_intents/{intent['id']}/confirm", confirmation_token=token["id"])
    assert len(api("GET", f"/v1/customers/{customer}/payment_methods")["data"]) == 1


def test_a_confirmation_token_or_a_method_can_be_made_for_the_server(host: Host, payment: Any, api: Any) -> None:
    host.visit(payment(1000)["client_secret"], redirect="if_required", deferred="1")
    host.fill("4242424242424242")
    assert host.page.evaluate("elements.submit()") == {"selectedPaymentMethod": "card"}
    token = host.page.evaluate("stripe.createConfirmationToken({elements})")["confirmationToken"]
    intent = payment(1000)
    done = api(
        "POST", f"/v1/payment_intents/{intent['id']}/confirm",
        confirmation_token=token["id"], return_url="https://shop.example/back",
    )  # fmt: skip
    assert done["status"] == "succeeded"
    again = (
        "async () => { try { await stripe.createPaymentMethod({elements}) } catch (error) { return error.message } }"
    )
    assert "call elements.submit() first" in host.page.evaluate(again)
    host.page.evaluate("elements.submit()")
    method = host.page.evaluate("stripe.createPaymentMethod({elements})")["paymentMethod"]
    assert (method["card"]["last4"], method["billing_details"]["address"]["country"]) == ("4242", "GB")


@pytest.mark.parametrize(
    ("entry", "code", "message", "label"),
    [
        ({"number": ""}, "incomplete_number", "Your card number is incomplete.", "Card number"),
        ({"number": "4242 4242"}, "incomplete_number", "Your card number is incomplete.", "Card number"),
        ({"number": "4242424242424241"}, "invalid_number", "Your card number is not valid.", "Card number"),
        ({"expiry": "13 / 34"}, "invalid_expiry_month", "The expiration month is not valid.", "Expiration date"),
        ({"expiry": "12 / 20"}, "invalid_expiry_year_past", "The expiration year is in the past.", "Expiration date"),
        ({"expiry": "1"}, "incomplete_expiry", "Your expiration date is incomplete.", "Expiration date"),
        ({"cvc": "99"}, "incomplete_cvc", "Your security code is incomplete.", "Security code"),
        ({"postal": "S"}, "incomplete_zip", "Your postal code is incomplete.", "Postal code"),
    ],
)
def test_a_slip_is_shown_at_its_field(
    host: Host, payment: Any, entry: dict[str, str], code: str, message: str, label: str
) -> None:
    host.visit(payment()["client_secret"])
    number = entry.pop("number", "4242424242424242")
    host.fill(number, **entry)  # type: ignore[arg-type]
    host.pay.click()
    expect(host.status).to_have_text(message)
    assert host.result()["error"] == {"type": "validation_error", "code": code, "message": message}
    slip = host.card.get_by_label(label)
    expect(slip).to_be_focused()
    expect(slip).to_have_attribute("aria-invalid", "true")
    expect(slip).to_have_accessible_description(message)


def test_everything_works_by_keyboard_alone(host: Host, payment: Any) -> None:
    host.visit(payment()["client_secret"], redirect="if_required")
    host.event("ready")
    keys = host.page.keyboard
    keys.press("Tab")
    expect(host.card.get_by_label("Card number")).to_be_focused()
    keys.type("4000002500003155")
    keys.press("Tab")
    keys.type("334")  # "3" is no first digit of a month, so it becomes 03 / 34
    keys.press("Tab")
    keys.type("123")
    keys.press("Tab")
    expect(host.card.get_by_label("Country")).to_be_focused()
    keys.press("Tab")
    keys.type("SW1A 1AA")
    expect(host.card.get_by_label("Expiration date")).to_have_value("03 / 34")
    keys.press("Enter")
    complete = host.bank.get_by_role("button", name="Complete authentication")
    expect(complete).to_be_focused()
    for _ in range(3):
        keys.press("Tab")
    expect(complete).to_be_focused()
    keys.press("Shift+Tab")
    expect(host.bank.get_by_role("button", name="Close")).to_be_focused()
    keys.press("Tab")
    keys.press("Enter")
    expect(host.status).to_have_text("Status: succeeded")


def test_typing_and_correcting_keeps_the_groups(host: Host, payment: Any) -> None:
    host.visit(payment()["client_secret"])
    number = host.card.get_by_label("Card number")
    number.press_sequentially("378282246310005")
    expect(number).to_have_value("3782 822463 10005")
    expect(host.card.get_by_text("American Express")).to_be_visible()
    for _ in range(15):
        number.press("Backspace")
    number.press_sequentially("424242424242424299")
    expect(number).to_have_value("4242 4242 4242 4242")
    expiry = host.card.get_by_label("Expiration date")
    expiry.press_sequentially("1230")
    for _ in range(3):
        expiry.press("Backspace")
    expect(expiry).to_have_value("1")
    expiry.press_sequentially("2030")  # the 1 is still there: 12 / 03, and the rest does not fit
    expect(expiry).to_have_value("12 / 03")
    for text in ["12/30", "1230", "12/2030", "12 / 30"]:
        expiry.fill(text)
        expect(expiry).to_have_value("12 / 30")


def test_postal_code_is_asked_where_it_is_needed(host: Host, payment: Any, emulator: Emulator) -> None:
    host.visit(payment()["client_secret"], redirect="if_required")
    country = host.card.get_by_label("Country")
    expect(country).to_have_value("GB")
    assert host.card.locator("#country option").first.get_attribute("value") == "GB"
    country.select_option("IE")
    expect(host.card.get_by_label("Postal code")).to_be_hidden()
    host.fill("4242424242424242", postal=None)
    host.pay.click()
    expect(host.status).to_have_text("Status: succeeded")


def test_events_tell_the_host_what_happens(host: Host, payment: Any) -> None:
    host.visit(payment()["client_secret"])
    assert host.event("ready")["elementType"] == "payment"
    assert host.event("loaderstart")
    host.fill("4242424242424242")
    change = host.event("change")
    assert change == {
        "name": "change",
        "elementType": "payment",
        "empty": False,
        "complete": True,
        "collapsed": False,
        "value": {"type": "card"},
    }
    assert host.event("focus")
    host.page.keyboard.press("Escape")
    assert host.event("escape")
    host.pay.focus()
    assert host.event("blur")
    host.page.evaluate("element.clear()")
    host.page.wait_for_function("() => window.events.at(-1).empty === true")
    host.page.evaluate("element.collapse()")
    host.page.wait_for_function("() => window.events.at(-1).collapsed === true")
    host.card.get_by_role("button", name="Card").click()
    host.page.evaluate("element.focus()")
    expect(host.card.get_by_label("Card number")).to_be_focused()
    host.page.evaluate("element.unmount()")
    expect(host.page.locator(FRAME)).to_have_count(0)
    host.page.evaluate("element.mount(document.getElementById('element'))")
    expect(host.card.get_by_label("Card number")).to_be_visible()
    assert host.page.evaluate("elements.getElement('payment') === element")
    host.page.evaluate("element.destroy()")
    assert host.page.evaluate("elements.getElement('payment')") is None


def test_elements_refuse_an_intent_that_is_settled(host: Host, payment: Any, api: Any) -> None:
    intent = payment()
    api("POST", f"/v1/payment_intents/{intent['id']}/cancel")
    host.visit(intent["client_secret"])
    error = host.event("loaderror")["error"]
    assert error["code"] == "payment_intent_unexpected_state"
    assert error["payment_intent"]["status"] == "canceled"


def test_a_second_tab_learns_that_it_is_paid(host: Host, payment: Any, api: Any) -> None:
    intent = payment()
    host.visit(intent["client_secret"], redirect="if_required")
    host.fill("4242424242424242")
    api(
        "POST",
        f"/v1/payment_intents/{intent['id']}/confirm",
        payment_method="pm_card_visa",
        return_url="https://shop.example/back",
    )
    host.pay.click()
    assert host.result()["error"]["payment_intent"]["status"] == "succeeded"


def test_without_a_connection_the_answer_is_a_connection_error(host: Host, payment: Any) -> None:
    host.visit(payment()["client_secret"], redirect="if_required")
    host.fill("4242424242424242")
    host.page.context.set_offline(True)
    host.pay.click()
    assert host.result()["error"]["type"] == "api_connection_error"
    host.page.context.set_offline(False)
    host.pay.click()
    expect(host.status).to_have_text("Status: succeeded")


def test_a_lost_reply_takes_the_money_once(host: Host, payment: Any, emulator: Emulator) -> None:
    host.visit(payment()["client_secret"], redirect="if_required")
    host.fill("4242424242424242")
    emulator.weather.add(faults.LostAfter(), path=r"POST /v1/payment_intents/\w+/confirm")
    host.pay.click()
    # On a connection that it used before, Chromium sends a request again by itself; then the answer is that it is paid.
    error = host.result()["error"]
    assert error["type"] == "api_connection_error" or error["payment_intent"]["status"] == "succeeded"
    assert emulator.ledger.taken_minor(currency="gbp") == 1250


@pytest.mark.parametrize(
    "fault", [faults.Status(500), faults.HtmlBody(), faults.CutBody()], ids=lambda fault: type(fault).__name__
)
def test_a_broken_answer_is_an_error_too(host: Host, payment: Any, emulator: Emulator, fault: faults.Fault) -> None:
    host.visit(payment()["client_secret"], redirect="if_required")
    host.fill("4242424242424242")
    emulator.weather.add(fault, path=r"POST /v1/payment_intents/\w+/confirm")
    host.pay.click()
    assert host.result()["error"]["type"] in {"api_error", "api_connection_error"}
    assert host.result()["error"]["message"]


def test_intents_can_be_read_and_confirmed_without_an_element(host: Host, payment: Any, api: Any) -> None:
    paid, refused, saved = payment(), payment(), api("POST", "/v1/setup_intents")
    host.visit()
    page = host.page
    page.evaluate("window.stripe = Stripe('pk_test_emulator')")
    read = page.evaluate("secret => stripe.retrievePaymentIntent(secret)", paid["client_secret"])
    assert read["paymentIntent"]["amount"] == 1250
    wrong = page.evaluate(
        "secret => stripe.retrievePaymentIntent(secret)", paid["client_secret"][:-1] + "!".replace("!", "A")
    )
    assert "error" in wrong or wrong["paymentIntent"]["id"] == paid["id"]
    read = page.evaluate("secret => stripe.retrieveSetupIntent(secret)", saved["client_secret"])
    assert read["setupIntent"]["status"] == "requires_payment_method"
    confirm = """([clientSecret, payment_method]) => stripe.confirmPayment(
        {clientSecret, redirect: "if_required", confirmParams: {payment_method, return_url: location.href}})"""
    assert page.evaluate(confirm, [paid["client_secret"], "pm_card_visa"])["paymentIntent"]["status"] == "succeeded"
    assert (
        page.evaluate(confirm, [refused["client_secret"], "pm_card_chargeDeclined"])["error"]["code"] == "card_declined"
    )
    page.evaluate(
        "secret => { window.done = stripe.confirmCardSetup(secret, {payment_method: 'pm_card_visa'}) }",
        saved["client_secret"],
    )
    assert page.evaluate("window.done.then(r => r.setupIntent?.status ?? r.error.code)")


def test_a_server_side_confirmation_is_finished_by_handle_next_action(host: Host, payment: Any, api: Any) -> None:
    intent = payment()
    api(
        "POST", f"/v1/payment_intents/{intent['id']}/confirm",
        payment_method="pm_card_authenticationRequired", use_stripe_sdk="true", return_url="https://shop.example/back",
    )  # fmt: skip
    host.visit()
    host.page.evaluate(
        "s => { window.stripe = Stripe('pk_test_emulator');"
        " stripe.handleNextAction({clientSecret: s}).then(r => window.results.push(r)) }",
        intent["client_secret"],
    )
    host.bank.get_by_role("button", name="Complete authentication").click()
    assert host.result()["paymentIntent"]["status"] == "succeeded"
    again = host.page.evaluate("s => stripe.handleNextAction({clientSecret: s})", intent["client_secret"])
    assert again["error"]["code"] == "payment_intent_unexpected_state"


MISTAKES = {
    "Stripe('pk_live_x')": "refuses live keys",
    "Stripe('sk_test_x')": "secret key",
    "Stripe('')": "publishable key",
    "Stripe()": "publishable key",
    "S().elements({clientSecret: 'pi_1'})": "client secret",
    "S().elements({}).create('payment')": "clientSecret",
    "S().elements().create('expressCheckout')": "clientSecret",
    "S().elements({clientSecret: ''})": "clientSecret",
    "S().elements().create('linkAuthentication')": "COVERAGE.md",
    "S().elements().create('wat')": "is no Element",
    "S().elements().create('address', {})": "shipping",
    "S().confirmCardPayment(CS, {payment_method: {card: {}}})": "card Element",
    "S().createPaymentMethod({type: 'card', card: S().elements().create('card')})": "mounted",
    "S().elements({clientSecret: CS, mode: 'payment'})": "not both",
    "S().elements({mode: 'payment', amount: 0, currency: 'gbp'})": "amount",
    "S().elements({mode: 'payment', amount: 5, currency: 'GBP'})": "currency",
    "S().elements({clientSecret: CS, paymentMethodTypes: ['card']})": "allowedPaymentMethodTypes",
    "S().elements({clientSecret: CS}).create('paymentRequestButton')": "removed in endive",
    "S().elements({clientSecret: CS}).create('payment').mount('#nowhere')": "nothing on the page",
    "(e => { e.create('payment'); e.create('payment') })(S().elements({clientSecret: CS}))": "only one",
    "S().elements({clientSecret: CS}).create('payment').on('wat', () => 1)": "no event",
    "S().confirmPayment({clientSecret: CS})": "return_url",
    "S().confirmPayment({confirmParams: {return_url: 'https://x.example'}})": "give elements",
    "S().confirmSetup({clientSecret: CS, redirect: 'if_required'})": "seti_",
    "S().confirmPayment({elements: S().elements({clientSecret: CS}), redirect: 'if_required'})": "not mounted",
    "S().retrievePaymentIntent('seti_1_secret_2')": "client secret",
    "S().createConfirmationToken({})": "give {elements}",
    "S().createToken()": "payment Element",
}


def test_integration_mistakes_throw(host: Host) -> None:
    host.visit()
    for mistake, words in MISTAKES.items():
        message = host.page.evaluate(
            """async (code) => {
                const S = () => Stripe("pk_test_emulator"), CS = "pi_1_secret_2";
                try { await eval(code) } catch (error) { return `${error.name}: ${error.message}` }
                return "nothing was thrown"
            }""".replace("eval(code)", mistake),
        )
        assert words in message, mistake
        assert message.startswith("Error: " if "live" in mistake else "IntegrationError: "), message


def test_a_bad_return_url_is_never_followed(host: Host, payment: Any) -> None:
    host.visit()
    for url in ["javascript:alert(1)", "/thanks", "wat"]:
        answer = host.page.evaluate(
            """([clientSecret, return_url]) => Stripe("pk_test_emulator").confirmPayment(
                {clientSecret, confirmParams: {payment_method: "pm_card_visa", return_url}})""",
            [payment()["client_secret"], url],
        )
        assert answer["error"]["code"] == "url_invalid"


def test_a_stranger_cannot_speak_to_the_frame(host: Host, payment: Any, served: str) -> None:
    host.visit(payment()["client_secret"])
    host.fill("4242424242424242")
    # The page that embeds the frame is checked by origin: from a frame told to trust another one, nothing comes.
    host.page.evaluate(
        """(base) => new Promise((resolve) => {
            window.heard = [];
            window.spy = document.createElement("iframe");
            window.addEventListener("message", ({source, data}) => source === spy.contentWindow && heard.push(data));
            spy.src = base + "/stripe-js/payment-element.html#" + encodeURIComponent("https://shop.example");
            spy.onload = () => {
                spy.contentWindow.postMessage({type: "init", client: {key: "pk_test_emulator"}}, "*");
                setTimeout(resolve, 500);
            };
            document.body.append(spy);
        })""",
        served,
    )
    assert host.page.evaluate("window.heard") == []
    host.problems[:] = [text for text in host.problems if "postMessage" not in text]


PHONE = {"width": 390, "height": 844}


@pytest.mark.parametrize("theme", ["stripe", "night"])
def test_it_fits_a_phone_and_axe_finds_nothing(host: Host, payment: Any, theme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    host.page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    host.visit(payment()["client_secret"], redirect="if_required", theme=theme)
    host.event("ready")
    host.pay.click()
    expect(host.status).to_have_text("Your card number is incomplete.")
    frame = host.page.frames[1]
    assert frame.evaluate("document.documentElement.scrollWidth <= innerWidth")
    host.page.wait_for_timeout(200)
    assert frame.evaluate("document.documentElement.scrollHeight <= innerHeight + 1"), (
        "the frame is as tall as its content"
    )
    axe = Axe()
    if theme == "night":
        frame.evaluate("document.body.style.background = '#1a1f27'")  # the host's page would be dark
    assert violations(axe, frame) == []
    host.page.screenshot(path=f"/tmp/stripe-js-{theme}.png")
    host.fill("4000002500003155")
    host.pay.click()
    expect(host.bank.get_by_role("button", name="Complete authentication")).to_be_focused()
    host.page.wait_for_timeout(100)
    host.page.screenshot(path=f"/tmp/stripe-js-bank-{theme}.png")
    bank = host.page.frames[-1]
    assert bank.evaluate("document.documentElement.scrollHeight <= innerHeight + 1")
    assert violations(axe, bank) == []
    assert axe.run(host.page).violations_count == 0
    host.problems[:] = [
        text for text in host.problems if "postMessage" not in text
    ]  # axe looking for itself in our frames


def violations(axe: Any, frame: Any) -> list[tuple[str, str]]:
    frame.evaluate(axe.axe_script)
    found = frame.evaluate("axe.run({resultTypes: ['violations']}).then(found => found.violations)")
    return [(one["id"], one["nodes"][0]["html"]) for one in found]


def test_a_page_may_load_it_from_every_path_that_pages_use(browser: Browser, served: str) -> None:
    page = browser.new_page()
    for path in ["/stripe.js", "/endive/stripe.js", "/v3/"]:
        page.goto(served + "/stripe-js/frame.css")
        page.add_script_tag(url=served + path)
        assert page.evaluate("Stripe.version") == "endive"
    page.close()
