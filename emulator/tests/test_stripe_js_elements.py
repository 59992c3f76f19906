"""The Elements beside the payment Element, wallets and looks, in a real browser."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import FrameLocator, expect

from stripe_emulator import Emulator, faults

from .shop import FRAME, Host

pytestmark = pytest.mark.browser


@pytest.fixture
def registered(api: Any) -> str:
    """The shop's domain, registered for wallets."""
    return str(api("POST", "/v1/payment_method_domains", domain_name="127.0.0.1")["id"])


EXPRESS = """([options, elementOptions]) => {
  window.stripe = Stripe("pk_test_emulator");
  window.events = [];
  window.results = [];
  window.elements = stripe.elements(options);
  window.express = elements.create("expressCheckout", elementOptions);
  for (const name of ["ready", "click", "confirm", "cancel"])
    express.on(name, ({resolve, reject, paymentFailed, ...event}) => {
      window.events.push({name, ...event});
      if (name === "click") (window.refuse ? reject : resolve)({lineItems: [{name: "Course", amount: 1250}]});
    });
  express.on("confirm", async () => {
    const {error, ...chosen} = await elements.submit();
    if (error) return window.results.push({error});
    window.chosen = chosen;
    const confirmParams = {return_url: location.origin + "/thanks"};
    window.results.push(
      await stripe.confirmPayment({elements, clientSecret: window.secret, confirmParams, redirect: "if_required"}));
  });
  express.mount("#element");
}"""


def express(host: Host, secret: str, options: dict[str, Any], **element: Any) -> None:
    host.visit()
    host.page.evaluate("secret => { window.secret = secret }", secret)
    host.page.evaluate(EXPRESS, [options, element])


def sheet(host: Host) -> FrameLocator:
    return host.page.frame_locator("dialog iframe")


@pytest.mark.parametrize(("name", "wallet"), [("Apple Pay (test)", "apple_pay"), ("Google Pay (test)", "google_pay")])
def test_a_wallet_of_the_express_checkout_element_pays(
    host: Host, payment: Any, api: Any, registered: str, name: str, wallet: str
) -> None:
    intent = payment()
    options = {"mode": "payment", "amount": 1250, "currency": "gbp"}
    express(host, intent["client_secret"], options, emailRequired=True)
    available = host.event("ready")["availablePaymentMethods"]
    assert {one for one, there in available.items() if there} == {"applePay", "googlePay"}
    host.card.get_by_role("button", name=name).click()
    expect(host.page.get_by_role("dialog", name="Stand-in for a wallet")).to_be_visible()
    expect(sheet(host).get_by_role("heading", name=name)).to_be_visible()
    expect(sheet(host).get_by_text("This is not your wallet")).to_be_visible()
    expect(sheet(host).get_by_text("Course")).to_be_visible()
    sheet(host).get_by_role("button", name="Pay £12.50").click()
    assert host.result()["paymentIntent"]["status"] == "succeeded"
    told = host.event("confirm")
    assert (told["expressPaymentType"], told["billingDetails"]["email"]) == (wallet, "payer@example.com")
    assert host.page.evaluate("window.chosen") == {"selectedPaymentMethod": wallet}
    charge = api("GET", f"/v1/charges?payment_intent={intent['id']}")["data"][0]
    method = api("GET", f"/v1/payment_methods/{charge['payment_method']}")
    for card in (charge["payment_method_details"]["card"], method["card"]):
        assert card["wallet"]["type"] == wallet
        assert card["wallet"][wallet] == {}
    device = method["card"]["wallet"]["dynamic_last4"]
    assert (device is None) == (wallet == "google_pay")
    assert device != method["card"]["last4"] == "4242"


def test_a_wallet_that_the_payer_closes_pays_nothing(host: Host, payment: Any, status_of: Any, registered: str) -> None:
    intent = payment()
    express(host, intent["client_secret"], {"clientSecret": intent["client_secret"]})
    host.event("ready")
    host.card.get_by_role("button", name="Google Pay").click()
    expect(sheet(host).get_by_role("button", name="Pay £12.50")).to_be_focused()
    host.page.keyboard.press("Escape")
    host.event("cancel")
    expect(host.page.get_by_role("dialog")).to_have_count(0)
    assert status_of(intent) == "requires_payment_method"
    host.page.evaluate("window.refuse = true")
    host.card.get_by_role("button", name="Google Pay").click()
    host.event("click")
    host.page.wait_for_timeout(200)
    expect(host.page.get_by_role("dialog")).to_have_count(0)


def test_a_card_in_a_wallet_may_be_declined(host: Host, payment: Any, registered: str) -> None:
    intent = payment()
    express(host, intent["client_secret"], {"clientSecret": intent["client_secret"]})
    host.card.get_by_role("button", name="Apple Pay").click()
    sheet(host).get_by_label("Visa ending in 0002: is declined").check()
    sheet(host).get_by_role("button", name="Pay £12.50").click()
    error = host.result()["error"]
    assert (error["code"], error["payment_method"]["card"]["wallet"]["type"]) == ("card_declined", "apple_pay")


def test_a_wallet_cannot_charge_what_it_did_not_show(
    host: Host, payment: Any, emulator: Emulator, registered: str
) -> None:
    intent = payment(1251)
    express(host, intent["client_secret"], {"mode": "payment", "amount": 1250, "currency": "gbp"})
    host.card.get_by_role("button", name="Apple Pay").click()
    sheet(host).get_by_role("button", name="Pay £12.50").click()
    assert "amount (1251) does not match" in host.result()["error"]["message"]
    assert emulator.ledger.taken_minor() == 0


def test_without_a_registered_domain_there_is_no_wallet_and_no_error(host: Host, payment: Any, api: Any) -> None:
    intent = payment()
    express(host, intent["client_secret"], {"clientSecret": intent["client_secret"]})
    assert host.event("ready")["availablePaymentMethods"] is None
    expect(host.card.get_by_role("button")).to_have_count(0)
    domain = api("POST", "/v1/payment_method_domains", domain_name="127.0.0.1")["id"]
    api("POST", f"/v1/payment_method_domains/{domain}", enabled="false")
    express(host, intent["client_secret"], {"clientSecret": intent["client_secret"]})
    assert host.event("ready")["availablePaymentMethods"] is None


def test_a_page_may_leave_a_wallet_out_and_order_the_others(host: Host, payment: Any, registered: str) -> None:
    secret = payment()["client_secret"]
    express(host, secret, {"clientSecret": secret}, paymentMethods={"applePay": "never"})
    expect(host.card.get_by_role("button")).to_have_text(["Google Pay (test)"])
    express(host, secret, {"clientSecret": secret}, paymentMethodOrder=["googlePay", "applePay"])
    expect(host.card.get_by_role("button")).to_have_text(["Google Pay (test)", "Apple Pay (test)"])


@pytest.mark.parametrize("deferred", ["", "1"])
def test_a_wallet_inside_the_payment_element_pays(
    host: Host, payment: Any, api: Any, registered: str, deferred: str
) -> None:
    intent = payment(1000)
    more = {"deferred": deferred} if deferred else {}
    host.visit(intent["client_secret"], redirect="if_required", elements='{"locale": "de"}', **more)
    own = host.card.get_by_role("group", name="Zahlungsart").get_by_role("radio")
    expect(own).to_have_count(3)
    expect(host.card.get_by_label("Karte", exact=True)).to_be_checked()
    host.card.get_by_label("Apple Pay (Test)").check()
    expect(host.card.get_by_label("Kartennummer")).to_be_hidden()
    assert host.event("change")["value"] == {"type": "apple_pay"}
    host.pay.click()
    sheet(host).get_by_role("button", name="Schließen").click()
    expect(host.status).to_have_text("Das Wallet wurde geschlossen, bevor etwas bezahlt war.")
    host.pay.click()
    sheet(host).get_by_role("button", name="10,00 £ bezahlen").click()
    expect(host.status).to_have_text("Status: succeeded")
    charge = api("GET", f"/v1/charges?payment_intent={intent['id']}")["data"][0]
    assert charge["payment_method_details"]["card"]["wallet"]["type"] == "apple_pay"


def test_a_wallet_is_saved_for_later_and_a_page_may_do_without_wallets(host: Host, api: Any, registered: str) -> None:
    customer = api("POST", "/v1/customers")["id"]
    intent = api("POST", "/v1/setup_intents", customer=customer)
    host.visit(intent["client_secret"], options='{"wallets": {"applePay": "never", "googlePay": "never"}}')
    host.event("ready")
    expect(host.card.get_by_role("radio")).to_have_count(0)
    host.visit(intent["client_secret"], redirect="if_required")
    host.card.get_by_label("Google Pay (test)").check()
    host.pay.click()
    sheet(host).get_by_role("button", name="Save the card").click()
    expect(host.status).to_have_text("Status: succeeded")
    (method,) = api("GET", f"/v1/customers/{customer}/payment_methods")["data"]
    assert method["card"]["wallet"] == {"google_pay": {}, "dynamic_last4": None, "type": "google_pay"}
    attempt = api("GET", f"/v1/setup_attempts?setup_intent={intent['id']}")["data"][0]
    assert attempt["payment_method_details"]["card"]["wallet"] == {"google_pay": {}, "type": "google_pay"}


def test_a_payer_who_turns_to_the_card_does_not_pay_with_the_wallet(
    host: Host, payment: Any, api: Any, registered: str
) -> None:
    intent = payment(1000)
    host.visit(intent["client_secret"], redirect="if_required", deferred="1")
    host.card.get_by_label("Apple Pay (test)").check()
    host.page.evaluate("() => { window.done = elements.submit() }")
    sheet(host).get_by_role("button", name="Pay £10.00").click()
    assert host.page.evaluate("window.done") == {"selectedPaymentMethod": "apple_pay"}
    host.card.get_by_label("Card", exact=True).check()
    host.fill("5555555555554444")
    host.pay.click()
    expect(host.status).to_have_text("Status: succeeded")
    charge = api("GET", f"/v1/charges?payment_intent={intent['id']}")["data"][0]
    assert (charge["payment_method_details"]["card"]["wallet"], charge["billing_details"]["name"]) == (None, None)


def test_a_wallet_can_make_a_confirmation_token(host: Host, payment: Any, api: Any, registered: str) -> None:
    host.visit(payment(1000)["client_secret"], deferred="1")
    host.card.get_by_label("Apple Pay (test)").check()
    made = "elements.submit().then(() => stripe.createConfirmationToken({elements}))"
    host.page.evaluate(f"() => {{ window.done = {made} }}")
    sheet(host).get_by_role("button", name="Pay £10.00").click()
    token = host.page.evaluate("window.done")["confirmationToken"]
    assert token["payment_method_preview"]["card"]["wallet"]["type"] == "apple_pay"


# -- the card Element ---------------------------------------------------------------------------------------------
CARD = """([options, elementOptions]) => {
  window.stripe = Stripe("pk_test_emulator");
  window.events = [];
  window.elements = stripe.elements(options);
  window.card = elements.create("card", elementOptions);
  for (const name of ["ready", "change", "focus"]) card.on(name, (event) => window.events.push({name, ...event}));
  card.mount("#element");
}"""


def one_line(host: Host, options: dict[str, Any] | None = None, **element: Any) -> None:
    host.visit()
    host.page.evaluate(CARD, [options or {}, element])
    host.event("ready")


def type_card(host: Host, number: str) -> None:
    host.card.get_by_label("Card number").fill(number)
    host.card.get_by_label("Expiration date").fill("12/34")
    host.card.get_by_label("Security code").fill("123")
    host.card.get_by_label("Postal code").fill("SW1A 1AA")


def test_each_element_is_made_once_until_it_is_destroyed(host: Host, payment: Any) -> None:
    host.visit()
    told = host.page.evaluate(
        """secret => {
          const elements = Stripe("pk_test_emulator").elements({clientSecret: secret});
          const first = elements.create("payment");
          let told = "";
          try { elements.create("payment"); } catch (error) { told = `${error.name}: ${error.message}`; }
          const same = elements.getElement("payment") === first;
          first.destroy();
          return [told, same, elements.getElement("payment"), Boolean(elements.create("payment"))];
        }""",
        payment()["client_secret"],
    )
    assert told == ["IntegrationError: There can be only one payment Element per elements().", True, None, True]


def test_the_card_element_confirms_a_payment(host: Host, payment: Any, api: Any) -> None:
    intent = payment()
    one_line(host)
    type_card(host, "4242424242424242")
    change = host.event("change")
    assert (change["elementType"], change["brand"], change["complete"]) == ("card", "visa", True)
    assert (change["value"], change.get("error")) == ({"postalCode": "SW1A 1AA"}, None)
    expect(host.page.locator("#element")).to_have_class("StripeElement StripeElement--focus StripeElement--complete")
    confirm = """secret => stripe.confirmCardPayment(
        secret, {payment_method: {card, billing_details: {name: "Ada"}}, return_url: location.href})"""
    assert host.page.evaluate(confirm, intent["client_secret"])["paymentIntent"]["status"] == "succeeded"
    charge = api("GET", f"/v1/charges?payment_intent={intent['id']}")["data"][0]
    told = charge["billing_details"]
    assert (told["name"], told["address"]["postal_code"]) == ("Ada", "SW1A 1AA")


def test_the_card_element_authenticates_and_saves(host: Host, api: Any) -> None:
    customer = api("POST", "/v1/customers")["id"]
    intent = api("POST", "/v1/setup_intents", customer=customer)
    one_line(host, hidePostalCode=True)
    expect(host.card.get_by_label("Postal code")).to_be_hidden()
    host.card.get_by_label("Card number").fill("4000002500003155")
    host.card.get_by_label("Expiration date").fill("12/34")
    host.card.get_by_label("Security code").fill("123")
    secret = json.dumps(intent["client_secret"])
    host.page.evaluate(f"() => {{ window.done = stripe.confirmCardSetup({secret}, {{payment_method: {{card}}}}) }}")
    host.bank.get_by_role("button", name="Complete authentication").click()
    assert host.page.evaluate("window.done")["setupIntent"]["status"] == "succeeded"
    assert len(api("GET", f"/v1/customers/{customer}/payment_methods")["data"]) == 1


def test_slips_in_the_card_element_are_told_to_the_page(host: Host, payment: Any) -> None:
    one_line(host, {"locale": "de"}, style={"invalid": {"color": "rgb(200, 0, 0)"}, "base": {"fontSize": "20px"}})
    number = host.card.get_by_label("Kartennummer")
    expect(number).to_have_css("font-size", "20px")
    number.fill("4242424242424241")
    assert host.event("change")["error"] == {
        "type": "validation_error", "code": "invalid_number", "message": "Die Kartennummer ist ungültig.",
    }  # fmt: skip
    expect(number).to_have_css("color", "rgb(200, 0, 0)")
    expect(number).to_have_accessible_description("Die Kartennummer ist ungültig.")
    confirm = "secret => stripe.confirmCardPayment(secret, {payment_method: {card}})"
    error = host.page.evaluate(confirm, payment()["client_secret"])["error"]
    assert (error["code"], error["message"]) == ("invalid_number", "Die Kartennummer ist ungültig.")


def test_the_card_element_makes_a_payment_method(host: Host, api: Any) -> None:
    one_line(host)
    type_card(host, "5555555555554444")
    made = "stripe.createPaymentMethod({type: 'card', card, billing_details: {email: 'ada@example.com'}})"
    method = host.page.evaluate(made)["paymentMethod"]
    assert (method["card"]["brand"], method["billing_details"]["email"]) == ("mastercard", "ada@example.com")
    assert api("GET", f"/v1/payment_methods/{method['id']}")["card"]["last4"] == "4444"


# -- the Address Element ------------------------------------------------------------------------------------------
ADDRESS = """([options, how, withCard]) => {
  const place = (id) => {
    const node = document.createElement("div");
    node.id = id;
    document.getElementById("element").before(node);
    return node;
  };
  window.stripe = Stripe("pk_test_emulator");
  window.events = [];
  window.elements = stripe.elements(options);
  if (withCard) elements.create("payment").mount("#element");
  window.address = elements.create("address", how);
  for (const name of ["ready", "change"]) address.on(name, (event) => window.events.push({name, ...event}));
  address.mount(place("address"));
}"""
CONFIRM = """stripe.confirmPayment(
    {elements, confirmParams: {return_url: location.href}, redirect: "if_required"})"""


def fill_address(host: Host, mode: str) -> FrameLocator:
    frame = host.page.frame_locator("#address iframe")
    frame.get_by_label("Full name").fill("Ada Example")
    frame.get_by_label("Address line 1").fill("1 Test Street")
    frame.get_by_label("City").fill("London")
    frame.get_by_label("Postal code").fill("SW1A 1AA")
    return frame


def test_a_shipping_address_goes_into_the_intent(host: Host, payment: Any, api: Any) -> None:
    intent = payment()
    host.visit()
    asked = {"mode": "shipping", "fields": {"phone": "always"}}
    host.page.evaluate(ADDRESS, [{"clientSecret": intent["client_secret"]}, asked, True])
    host.fill("4242424242424242")
    error = host.page.evaluate(CONFIRM)["error"]
    assert (error["type"], error["code"]) == ("validation_error", "incomplete_address")
    frame = host.page.frame_locator("#address iframe")
    expect(frame.get_by_label("Full name")).to_be_focused()
    expect(frame.get_by_label("Full name")).to_have_accessible_description("This field is incomplete.")
    fill_address(host, "shipping")
    frame.get_by_label("Phone number").fill("020 7946 0000")
    change = host.event("change")
    assert (change["elementMode"], change["complete"], change["value"]["name"]) == ("shipping", True, "Ada Example")
    assert host.page.evaluate(CONFIRM)["paymentIntent"]["status"] == "succeeded"
    shipping = api("GET", f"/v1/payment_intents/{intent['id']}")["shipping"]
    assert (shipping["name"], shipping["phone"]) == ("Ada Example", "020 7946 0000")
    assert (shipping["address"]["line1"], shipping["address"]["country"]) == ("1 Test Street", "GB")


def test_a_billing_address_goes_to_the_card_and_is_asked_once(host: Host, payment: Any, api: Any) -> None:
    intent = payment()
    host.visit()
    host.page.evaluate(ADDRESS, [{"clientSecret": intent["client_secret"]}, {"mode": "billing"}, True])
    expect(host.card.get_by_label("Postal code")).to_be_hidden()
    expect(host.card.get_by_label("Country")).to_be_hidden()
    fill_address(host, "billing")
    host.fill("4242424242424242", postal=None)
    assert host.page.evaluate(CONFIRM)["paymentIntent"]["status"] == "succeeded"
    charge = api("GET", f"/v1/charges?payment_intent={intent['id']}")["data"][0]
    told = charge["billing_details"]
    assert (told["name"], told["address"]["city"], told["address"]["postal_code"]) == (
        "Ada Example", "London", "SW1A 1AA",
    )  # fmt: skip


def test_the_address_element_speaks_german_and_gives_its_value(host: Host) -> None:
    host.visit()
    asked = {"mode": "billing", "allowedCountries": ["DE", "US"], "display": {"name": "split"},
             "defaultValues": {"firstName": "Ada", "address": {"country": "US"}}}  # fmt: skip
    host.page.evaluate(ADDRESS, [{"locale": "de"}, asked, False])
    frame = host.page.frame_locator("#address iframe")
    expect(frame.get_by_label("Vorname")).to_have_value("Ada")
    expect(frame.get_by_label("Land", exact=True).locator("option")).to_have_text(["Deutschland", "Vereinigte Staaten"])
    expect(frame.get_by_label("Bundesland oder Provinz")).to_be_visible()
    frame.get_by_label("Land", exact=True).select_option("DE")
    expect(frame.get_by_label("Bundesland oder Provinz")).to_be_hidden()
    told = host.page.evaluate("address.getValue()")
    assert (told["complete"], told["value"]["firstName"]) == (False, "Ada")
    expect(frame.get_by_label("Nachname")).to_have_accessible_description("Dieses Feld ist unvollständig.")
    assert host.page.evaluate("elements.getElement('address', {mode: 'billing'}) === address")


# -- looks --------------------------------------------------------------------------------------------------------
def looking(host: Host, secret: str, **appearance: Any) -> None:
    host.visit(secret, elements=json.dumps({"appearance": appearance}))
    host.event("ready")


def test_rules_and_variables_of_a_page_are_seen(host: Host, payment: Any) -> None:
    looking(
        host,
        payment()["client_secret"],
        variables={"colorText": "rgb(1, 2, 3)", "gridRowSpacing": "30px", "fontSizeSm": "11px", "fontLineHeight": "2"},
        rules={
            ".Input": {"borderColor": "rgb(9, 9, 9)", "boxShadow": "none"},
            ".Input:focus": {"borderColor": "rgb(8, 8, 8)"},
            ".Input--invalid": {"backgroundColor": "rgb(255, 240, 240)"},
            ".Label": {"textTransform": "uppercase"},
        },
    )
    number = host.card.get_by_label("Card number")
    expect(number).to_have_css("border-color", "rgb(9, 9, 9)")
    expect(number).to_have_css("color", "rgb(1, 2, 3)")
    number.focus()
    expect(number).to_have_css("border-color", "rgb(8, 8, 8)")
    expect(host.card.locator("label[for=number]")).to_have_css("text-transform", "uppercase")
    expect(host.card.locator("label[for=number]")).to_have_css("font-size", "11px")
    expect(host.card.locator("form")).to_have_css("row-gap", "30px")
    host.pay.click()
    expect(number).to_have_css("background-color", "rgb(255, 240, 240)")
    host.page.evaluate("elements.update({appearance: {}})")
    expect(host.card.locator("form")).to_have_css("row-gap", "12px")
    expect(host.card.locator("label[for=number]")).to_have_css("text-transform", "none")


def test_rules_that_elements_do_not_take_are_left_out_and_named(host: Host, payment: Any) -> None:
    looking(
        host,
        payment()["client_secret"],
        rules={
            "body": {"color": "red"},
            ".Input": {"backgroundImage": "url(https://evil.example/)", "wat": "1"},
            ".Input, #number": {"color": "red"},
        },
    )
    expect(host.card.get_by_label("Card number")).to_have_css("background-image", "none")
    told, host.problems[:] = list(host.problems), []
    assert len(told) == 4
    assert all("rule" in text for text in told)


def test_floating_labels_make_room_for_what_is_typed(host: Host, payment: Any) -> None:
    looking(host, payment()["client_secret"], labels="floating")
    label, number = host.card.locator("label[for=number]"), host.card.get_by_label("Card number")

    def sizes() -> tuple[float, float]:
        box, field = label.bounding_box(), number.bounding_box()
        assert box is not None
        assert field is not None
        assert field["y"] < box["y"] < field["y"] + field["height"], "the label is inside its field"
        return box["height"], box["y"] - field["y"]

    empty, low = sizes()
    number.fill("4242")
    filled, high = sizes()
    assert (filled < empty, high < low) == (True, True)


def test_the_other_elements_fit_a_phone_and_axe_finds_nothing(host: Host, payment: Any, registered: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    host.page.set_viewport_size({"width": 390, "height": 844})
    secret = payment()["client_secret"]
    axe = Axe()

    def look(name: str) -> None:
        frame = host.page.frames[-1]
        host.page.wait_for_timeout(200)
        frame.evaluate(axe.axe_script)
        found = frame.evaluate("axe.run({resultTypes: ['violations']}).then(found => found.violations)")
        assert [(one["id"], one["nodes"][0]["html"]) for one in found] == [], name
        assert frame.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        assert frame.evaluate("document.documentElement.scrollHeight <= innerHeight + 1"), name
        host.page.screenshot(path=f"/tmp/stripe-js-{name}.png")

    express(host, secret, {"clientSecret": secret})
    host.event("ready")
    look("express")
    host.card.get_by_role("button", name="Apple Pay").click()
    expect(sheet(host).get_by_role("button", name="Pay £12.50")).to_be_focused()
    look("wallet")
    one_line(host)
    look("card")
    host.visit()
    host.page.evaluate(ADDRESS, [{}, {"mode": "shipping"}, False])
    host.event("ready")
    host.page.evaluate("address.getValue()")
    look("address")
    host.visit(secret, elements='{"appearance": {"labels": "floating"}}')
    host.event("ready")
    look("floating")
    host.problems[:] = [text for text in host.problems if "postMessage" not in text]


def test_a_frame_that_the_weather_keeps_away_is_told(host: Host, payment: Any, emulator: Emulator) -> None:
    emulator.weather.add(faults.Status(500), path=r"GET /v1/payment_intents/\w+", times=None)
    secret = payment()["client_secret"]
    host.visit()
    host.page.evaluate(
        """secret => {
            window.events = [];
            const element = Stripe("pk_test_emulator").elements({clientSecret: secret}).create("expressCheckout");
            element.on("loaderror", (event) => window.events.push({name: "loaderror", ...event}));
            element.mount("#element");
        }""",
        secret,
    )
    assert host.event("loaderror")["error"]["type"] == "api_error"
    expect(host.page.locator(FRAME)).to_be_hidden()
