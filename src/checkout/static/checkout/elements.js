// The payment page: mounts Stripe's Payment Element, confirms the intent, and says what became of it. What it
// works with is in the page (#checkout-elements-config); what was really paid is looked up by the server, never here.
(() => {
  "use strict";
  const find = (id) => document.getElementById(id);
  const form = find("checkout-form");
  const data = find("checkout-elements-config");
  if (!form || !data) return;

  const config = JSON.parse(data.textContent);
  const messages = config.messages;
  const setup = config.intent === "setup";
  const override = "overrideDoSuccessAction" in document.currentScript.dataset;
  const button = find("checkout-submit");
  const other = find("checkout-other-card");
  const status = find("checkout-status");
  const problem = find("checkout-error");
  let stripe, elements;
  let saved = config.savedPaymentMethod;

  window.success_url = config.successUrl; // a page's own doSuccessAction() reads it

  const tell = (text) => { status.textContent = text; };
  const complain = (text) => {
    tell("");
    problem.textContent = text;
    if (text) {
      find("checkout-slow").hidden = true;
      // The bank's dialog may have taken the focus with it; from here the next Tab reaches the button.
      problem.focus();
    }
  };
  const isBusy = () => button.getAttribute("aria-disabled") === "true";
  const setBusy = (busy) => {
    // `disabled` would throw keyboard focus away.
    if (busy) button.setAttribute("aria-disabled", "true");
    else button.removeAttribute("aria-disabled");
  };

  const succeed = () => {
    if (override && typeof window.doSuccessAction === "function") window.doSuccessAction();
    else location.assign(config.successUrl);
  };

  // True if there is nothing left to enter: then the page is about to be left.
  const isOver = (intent) => {
    if (!intent) return false;
    if (["succeeded", "processing", "requires_capture"].includes(intent.status)) succeed();
    else if (intent.status === "canceled") location.reload(); // another attempt took its place; the server says so
    else return false;
    return true;
  };
  const intentOf = (answer) => answer && (answer.paymentIntent || answer.setupIntent);

  const confirm = () => {
    const confirmParams = { return_url: config.successUrl };
    const options = { confirmParams, redirect: "if_required" };
    if (saved) {
      options.clientSecret = config.clientSecret;
      confirmParams.payment_method = saved;
    } else {
      options.elements = elements;
    }
    return setup ? stripe.confirmSetup(options) : stripe.confirmPayment(options);
  };
  const look = () =>
    setup ? stripe.retrieveSetupIntent(config.clientSecret) : stripe.retrievePaymentIntent(config.clientSecret);
  // Integration mistakes throw where everything else resolves with an error.
  const guarded = (ask) => Promise.resolve().then(ask).catch((error) => ({ error }));

  const pay = async () => {
    const answer = await guarded(confirm);
    const error = answer.error || {};
    if (isOver(intentOf(answer) || error.payment_intent || error.setup_intent)) return;
    // Comes as an invalid request, with a sentence about a "payment method" that most payers do not understand.
    if (error.code?.endsWith("_authentication_failure")) complain(`${messages.notConfirmed} ${messages.declined}`);
    else if (error.type === "card_error") complain(`${error.message} ${messages.declined}`);
    else if (error.type === "validation_error") tell(""); // the Element shows it beside the field
    else {
      tell(messages.unknown);
      const seen = intentOf(await guarded(look));
      if (isOver(seen)) return;
      complain(seen ? messages.failed : messages.unclear);
    }
    setBusy(false);
  };

  const isDark = () => {
    const scheme = getComputedStyle(form).colorScheme;
    return scheme.includes("dark") && (!scheme.includes("light") || matchMedia("(prefers-color-scheme: dark)").matches);
  };

  // The page's own looks, whoever gave them: CHECKOUT_BRAND, or a stylesheet of the site. Letters as large as its own.
  const looks = () => {
    const [pressed, written] = [getComputedStyle(button), getComputedStyle(form)];
    return {
      theme: isDark() ? "night" : "stripe",
      variables: {
        colorPrimary: pressed.backgroundColor,
        colorText: written.color,
        fontFamily: written.fontFamily,
        fontSizeBase: written.fontSize,
        borderRadius: pressed.borderTopLeftRadius,
      },
    };
  };

  const show = () => {
    find("checkout-slow").hidden = true;
    button.hidden = false;
    tell("");
  };
  const mount = (then) => {
    tell(messages.loading);
    elements = stripe.elements({ clientSecret: config.clientSecret, appearance: looks() });
    const element = elements.create("payment");
    element.on("ready", () => {
      show();
      if (then) then(element);
    });
    element.on("loaderror", () => complain(messages.notLoaded));
    element.mount("#checkout-element");
  };
  const useAnotherCard = () => {
    if (isBusy()) return;
    saved = "";
    find("checkout-saved").remove();
    complain("");
    mount((element) => element.focus());
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (button.hidden || isBusy()) return; // a second click is not a second payment
    setBusy(true);
    complain("");
    tell(messages.working);
    pay();
  });
  // A phone turns dark in the evening, while the card is typed.
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", () => elements?.update({ appearance: looks() }));
  // Kept alive by the browser and shown again by its back button: what was paid meanwhile must show.
  window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

  try {
    stripe = window.Stripe(config.publishableKey, { locale: config.locale });
    if (saved && find("checkout-saved")) {
      if (other) { // else the page has a form for it, because this intent cannot take another card
        other.hidden = false;
        other.addEventListener("click", useAnotherCard);
      }
      show();
      if (config.confirmNow) form.requestSubmit(); // the button that led here says that it pays
    } else {
      saved = "";
      mount();
    }
  } catch {
    complain(messages.notLoaded);
  }
})();
