/* A stand-in for Stripe.js (release "endive"), served by the Stripe emulator. Test keys only.
 *
 * It keeps the outer behaviour of the real one: card data is typed into an iframe of another origin and never touches
 * the host page; promises resolve with {error}; only integration mistakes throw. Everything it does in the host page
 * is allowed by a strict Content-Security-Policy: no inline style or script, styles only through the CSSOM.
 */
(() => {
  "use strict";

  const ORIGIN = new URL(document.currentScript.src).origin;
  const ELSEWHERE = {}; // a server that has its API and its bank on other origins writes them here
  const API = ELSEWHERE.api ?? ORIGIN;
  const BANK = ELSEWHERE.bank ?? ORIGIN;
  const LOAD_TIMEOUT_MS = 15000;
  const CONFIRMED = ["succeeded", "processing", "requires_capture"];
  const KINDS = {
    payment_intent: { path: "payment_intents", key: "paymentIntent", prefix: "pi", name: "PaymentIntent" },
    setup_intent: { path: "setup_intents", key: "setupIntent", prefix: "seti", name: "SetupIntent" },
  };
  const UNABLE_TO_AUTHENTICATE =
    "We are unable to authenticate your payment method. Please choose a different payment method and try again.";

  class IntegrationError extends Error {
    constructor(message) {
      super(message);
      this.name = "IntegrationError";
    }
  }

  const insist = (condition, message) => {
    if (!condition) throw new IntegrationError(message);
  };

  let words = null;

  /** `sentence` in the language of `locale`. The words are loaded once they are needed; without them it is English. */
  async function translated(sentence, locale) {
    words ??= import(`${ORIGIN}/stripe-js/words.js`).catch(() => null);
    return (await words)?.translate(sentence, locale) ?? sentence;
  }

  /** A result whose error, if it has one, speaks the payer's language. */
  async function told(result, locale) {
    if (!result?.error?.message) return result;
    return { ...result, error: { ...result.error, message: await translated(result.error.message, locale) } };
  }

  const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

  /** {a: {b: [1]}} becomes a[b][0]=1, as Stripe reads forms. null and undefined are left out. */
  function encodeForm(params, prefix = "", pairs = new URLSearchParams()) {
    for (const [name, value] of Object.entries(params)) {
      if (value === undefined || value === null) continue;
      const key = prefix ? `${prefix}[${name}]` : name;
      if (typeof value === "object") encodeForm(value, key, pairs);
      else pairs.append(key, String(value));
    }
    return pairs;
  }

  /** The answer of the API as {value} or {error}; it never rejects. */
  async function request(client, method, path, params = {}) {
    const headers = { Authorization: `Bearer ${client.key}` };
    if (client.apiVersion) headers["Stripe-Version"] = client.apiVersion;
    if (client.stripeAccount) headers["Stripe-Account"] = client.stripeAccount;
    const form = encodeForm(params);
    const init = { method, headers, credentials: "omit", cache: "no-store" };
    let url = `${API}/v1/${path}`;
    if (method === "GET") url += `?${form}`;
    else init.body = form;
    let reply;
    let text;
    try {
      reply = await fetch(url, init);
      text = await reply.text();
    } catch {
      return { error: connectionError() };
    }
    try {
      const body = JSON.parse(text);
      return reply.ok ? { value: body } : { error: body.error ?? unreadable() };
    } catch {
      return { error: unreadable() };
    }
  }

  const connectionError = () => ({
    type: "api_connection_error",
    message: "The payment service could not be reached. Please check your connection and try again.",
  });
  const unreadable = () => ({
    type: "api_error", message: "The payment service gave an answer that could not be read.",
  });

  function parseSecret(secret, where, kind) {
    const wanted = kind ? KINDS[kind].prefix : "(?:pi|seti)";
    const pattern = new RegExp(`^(${wanted}_[A-Za-z0-9]+)_secret_[A-Za-z0-9]+$`);
    const match = typeof secret === "string" && pattern.exec(secret);
    insist(match, `${where}: the client secret should look like ${kind ? KINDS[kind].prefix : "pi"}_..._secret_... .`);
    return { id: match[1], kind: match[1].startsWith("seti_") ? "setup_intent" : "payment_intent", secret };
  }

  async function retrieve(client, intent) {
    return request(client, "GET", `${KINDS[intent.kind].path}/${intent.id}`, { client_secret: intent.secret });
  }

  /* ---- frames ------------------------------------------------------------------------------------------------ */

  let frames = 0;

  /** An iframe of the emulator's origin with calls and events in both directions. */
  class Frame {
    constructor(page, title, { init, onEvent, origin = ORIGIN }) {
      frames += 1;
      this.pending = new Map();
      this.calls = 0;
      this.title = title;
      this.origin = origin;
      this.onEvent = onEvent;
      this.ready = new Promise((resolve, reject) => {
        this.markReady = resolve;
        this.giveUp = reject;
      });
      this.ready.catch(() => {});
      this.timer = setTimeout(() => this.giveUp(new Error("timeout")), LOAD_TIMEOUT_MS);
      this.init = init;
      const node = document.createElement("iframe");
      node.name = `__privateStripeFrame${frames}`;
      node.title = title;
      node.src = `${origin}/stripe-js/${page}#${encodeURIComponent(location.origin)}`;
      node.setAttribute("allow", "payment *");
      node.setAttribute("scrolling", "no");
      // A frame whose colour scheme differs from its element's is painted opaque: both are pinned to "light".
      Object.assign(node.style, { border: "0", width: "100%", display: "block", height: "1px", colorScheme: "light" });
      this.node = node;
      this.listen = (event) => this.receive(event);
      window.addEventListener("message", this.listen);
    }

    async receive(event) {
      if (event.origin !== this.origin || event.source !== this.node.contentWindow || !isObject(event.data)) return;
      const { type, call, result } = event.data;
      if (type === "hello") {
        this.post({ type: "init", ...(await this.init()) });
      } else if (type === "reply") {
        this.pending.get(call)?.(result);
        this.pending.delete(call);
      } else {
        if (type === "ready") {
          clearTimeout(this.timer);
          this.markReady();
        }
        this.onEvent(type, event.data);
      }
    }

    /** Name the frame in the language of `locale`. */
    async speak(locale) {
      this.node.title = await translated(this.title, locale);
    }

    post(message) {
      this.node.contentWindow?.postMessage(message, this.origin);
    }

    /** Post as soon as there is somebody to hear it. */
    tell(message) {
      this.ready.then(() => this.post(message)).catch(() => {});
    }

    /** Ask the frame for something; resolves with its result, or with {error} when the frame never came up. */
    async call(type, payload = {}) {
      try {
        await this.ready;
      } catch {
        return { error: connectionError() };
      }
      this.calls += 1;
      const call = this.calls;
      return new Promise((resolve) => {
        this.pending.set(call, resolve);
        this.post({ type, call, ...payload });
      });
    }

    remove() {
      clearTimeout(this.timer);
      window.removeEventListener("message", this.listen);
      this.node.remove();
      for (const resolve of this.pending.values()) resolve({ error: connectionError() });
      this.pending.clear();
    }
  }

  /* ---- elements ---------------------------------------------------------------------------------------------- */

  const EVENTS = ["ready", "change", "focus", "blur", "escape", "loaderror", "loaderstart"];
  // By type: the page of its frame and the frame's name. `shows` is what it cannot do without.
  const ELEMENTS = {
    payment: {
      page: "payment-element.html", title: "Secure payment input frame", shows: "price",
      events: [...EVENTS, "savedpaymentmethodupdate", "savedpaymentmethodremove"],
    },
    expressCheckout: {
      page: "express-checkout.html", title: "Secure express checkout frame", shows: "price",
      events: [
        ...EVENTS, "click", "confirm", "cancel", "shippingaddresschange", "shippingratechange",
        "availablepaymentmethodschange",
      ],
    },
    address: { page: "address-element.html", title: "Secure address input frame", events: EVENTS },
    card: {
      page: "card-element.html", title: "Secure card payment input frame", events: [...EVENTS, "networkschange"],
    },
  };
  const ONLY_AT_STRIPE = [
    "auBankAccount", "cardCvc", "cardExpiry", "cardNumber", "contactDetails", "currencySelector", "iban",
    "linkAuthentication", "linkSignup", "paymentForm", "paymentMethodMessaging", "shippingAddress", "taxId", "terms",
  ];
  const CLICK_TIMEOUT_MS = 1000;

  /** What every Element is: a page of ours in a frame of the host's page, with the outer behaviour of Stripe's. */
  class FramedElement {
    constructor(type, elements, options) {
      this._type = type;
      this._elements = elements;
      this._options = options;
      this._handlers = new Map();
      this._frame = null;
      this._destroyed = false;
      this._loadError = null;
    }

    on(name, handler) {
      insist(ELEMENTS[this._type].events.includes(name), `The ${this._type} Element has no event "${name}".`);
      insist(typeof handler === "function", `The handler of "${name}" is not a function.`);
      this._handlers.set(name, [...this._hearing(name), handler]);
      return this;
    }

    once(name, handler) {
      const wrapper = (event) => {
        this.off(name, wrapper);
        handler(event);
      };
      wrapper.original = handler;
      return this.on(name, wrapper);
    }

    off(name, handler) {
      const kept = this._hearing(name).filter((one) => handler && one !== handler && one.original !== handler);
      this._handlers.set(name, kept);
      return this;
    }

    _hearing(name) {
      return this._handlers.get(name) ?? [];
    }

    _emit(name, event = {}) {
      const handlers = this._hearing(name);
      if (name === "loaderror" && handlers.length === 0) {
        console.error(`Unhandled ${this._type} Element loaderror`, event.error);
      }
      for (const handler of handlers) handler({ elementType: this._type, ...event });
    }

    mount(target) {
      this._alive();
      insist(target, "mount(): give a selector or a DOM element.");
      const node = typeof target === "string" ? document.querySelector(target) : target;
      insist(
        node instanceof Element,
        `mount(): nothing on the page matches ${target}. Is it there before mount() is called?`,
      );
      if (this._frame && this._parent === node) return this;
      this.unmount();
      this._parent = node;
      node.replaceChildren();
      node.classList.add("StripeElement");
      const { page, title } = ELEMENTS[this._type];
      const frame = new Frame(page, title, {
        init: () => this._initial(),
        onEvent: (type, data) => this._frame === frame && this._onFrame(type, data),
      });
      this._frame = frame;
      frame.ready.catch(() => this._frame === frame && this._failLoading(connectionError()));
      frame.speak(this._elements._options.locale);
      // The frame keeps 4px around its fields for the focus ring; this lines the fields up with the host's own.
      Object.assign(frame.node.style, { margin: "-4px", width: "calc(100% + 8px)" });
      node.append(frame.node);
      queueMicrotask(() => this._emit("loaderstart"));
      this._elements._load().then((error) => error && this._frame === frame && this._failLoading(error));
      return this;
    }

    _initial() {
      const elements = this._elements;
      const { appearance, locale, customerSessionClientSecret: session } = elements._options;
      const { _client: client } = elements._stripe;
      const told = { client, appearance, locale, session, options: this._options };
      return { ...told, saves: elements._saves(), addressed: elements._addressed() };
    }

    _failLoading(error) {
      if (this._loadError) return;
      this._loadError = error;
      if (this._frame) this._frame.node.style.display = "none";
      this._emit("loaderror", { error });
    }

    async _onFrame(type, data) {
      if (type === "height") this._frame.node.style.height = `${Math.ceil(Number(data.height)) || 0}px`;
      else if (type === "submit") this._parent?.closest("form")?.requestSubmit();
      else if (type === "ready") {
        const error = await this._elements._load();
        if (!error && !this._destroyed) this._emit("ready", data.event);
      } else if (type === "change") {
        this._elements._wallet = null; // the payer has turned to something else
        for (const state of ["complete", "empty"])
          this._parent?.classList.toggle(`StripeElement--${state}`, Boolean(data.event[state]));
        this._parent?.classList.toggle("StripeElement--invalid", Boolean(data.event.error));
        this._emit("change", data.event);
      } else if (["focus", "blur", "escape"].includes(type)) {
        this._parent?.classList.toggle("StripeElement--focus", type !== "blur");
        this._emit(type);
      }
    }

    _alive() {
      insist(!this._destroyed, "This Element was destroyed. Create a new one.");
    }

    update(options = {}) {
      this._alive();
      this._options = { ...this._options, ...options };
      this._frame?.tell({ type: "options", options: this._options });
      return this;
    }

    _tell(type) {
      this._alive();
      insist(this._frame, `${type}(): the ${this._type} Element is not mounted.`);
      if (type === "focus") this._frame.node.focus();
      this._frame.tell({ type });
      return this;
    }

    focus() { return this._tell("focus"); }
    blur() { return this._tell("blur"); }
    clear() { return this._tell("clear"); }

    unmount() {
      this._frame?.remove();
      this._frame = null;
      this._loadError = null;
      const states = ["", "--focus", "--complete", "--empty", "--invalid"];
      this._parent?.classList.remove(...states.map((state) => `StripeElement${state}`));
      this._parent = null;
      return this;
    }

    destroy() {
      this._alive();
      this.unmount();
      this._destroyed = true;
      this._elements._forget(this);
      return this;
    }
  }

  class PaymentElement extends FramedElement {
    collapse() { return this._tell("collapse"); }
  }

  class AddressElement extends FramedElement {
    /** What was typed, complete or not; a slip is shown at its field. */
    async getValue() {
      insist(this._frame, "getValue(): the address Element is not mounted.");
      await this._frame.call("validate");
      return this._frame.call("value");
    }
  }

  /** Buttons of wallets. A press opens the emulator's stand-in for one; the page confirms once it is approved. */
  class ExpressCheckoutElement extends FramedElement {
    _onFrame(type, data) {
      return type === "press" ? this._press(data.wallet) : super._onFrame(type, data);
    }

    async _press(wallet) {
      const details = await this._clicked(wallet);
      if (details === null) return;
      const wanted = { ...this._options, ...details };
      insist(
        !wanted.shippingAddressRequired,
        "The emulator's wallets have no shipping address. Ask for it in the Address Element.",
      );
      const fields = { email: "emailRequired", phone: "phoneNumberRequired" };
      const { lineItems, business } = wanted;
      const collect = Object.keys(fields).filter((name) => wanted[fields[name]]);
      const error = await this._elements._openWallet(wallet, { lineItems, collect, merchant: business?.name });
      if (error) {
        this._emit("cancel");
        return;
      }
      const { name, email, phone, address } = this._elements._wallet.billing_details;
      const billingDetails = { name, address, ...(email ? { email } : {}), ...(phone ? { phone } : {}) };
      this._emit("confirm", { expressPaymentType: wallet, billingDetails, paymentFailed() {} });
    }

    /** What the page says to a click: the details to show, or null when it does not want the payer to go on. */
    _clicked(wallet) {
      if (this._hearing("click").length === 0) return Promise.resolve({});
      return new Promise((resolve) => {
        setTimeout(() => resolve(null), CLICK_TIMEOUT_MS);
        this._emit("click", {
          expressPaymentType: wallet, resolve: (details = {}) => resolve(details), reject: () => resolve(null),
        });
      });
    }
  }

  class CardElement extends FramedElement {}

  const CLASSES = {
    payment: PaymentElement, expressCheckout: ExpressCheckoutElement, address: AddressElement, card: CardElement,
  };

  class Elements {
    constructor(stripe, options) {
      this._stripe = stripe;
      this._options = options;
      this._made = new Map();
      this._wallet = null; // the payment method that the payer approved in a wallet
      this._submitted = false;
      this._intent = options.clientSecret ? parseSecret(options.clientSecret, "elements()") : null;
      this._loading = null;
    }

    create(type, options = {}) {
      insist(
        type !== "paymentRequestButton",
        "create('paymentRequestButton') was removed in endive. Use the Express Checkout Element.",
      );
      insist(
        !ONLY_AT_STRIPE.includes(type),
        `The emulator does not have the ${type} Element; Stripe.js does. Its COVERAGE.md lists those that it has.`,
      );
      insist(Object.hasOwn(ELEMENTS, type), `"${type}" is no Element.`);
      insist(
        ELEMENTS[type].shows !== "price" || this._intent || this._options.mode,
        `create('${type}'): elements() needs a clientSecret, or a mode with amount and currency.`,
      );
      if (type === "address") {
        insist(["shipping", "billing"].includes(options.mode), 'create(\'address\'): mode is "shipping" or "billing".');
        insist(!options.contacts, "The emulator's Address Element does not show contacts.");
      }
      const key = keyOf(type, options.mode);
      insist(!this._made.has(key), `There can be only one ${type} Element per elements().`);
      const element = new CLASSES[type](type, this, options);
      this._made.set(key, element);
      if (type === "address") this._tellFrames();
      return element;
    }

    getElement(type, options = {}) {
      if (type !== "address") return this._made.get(type) ?? null;
      return this._made.get(keyOf(type, options.mode ?? "shipping")) ?? this._made.get("address billing") ?? null;
    }

    _forget(element) {
      for (const [key, one] of this._made) if (one === element) this._made.delete(key);
      if (element._type === "address") this._tellFrames();
    }

    get _mounted() {
      return [...this._made.values()].filter((element) => element._frame);
    }

    get _loadError() {
      return this._mounted.map((element) => element._loadError).find(Boolean) ?? null;
    }

    /** Whether the payer gives the billing address in an Element of its own. */
    _addressed() {
      return this._made.has("address billing");
    }

    /** Read the intent once; resolves with the reason why the Element cannot be shown, or null. */
    _load() {
      this._loading ??= this._check();
      return this._loading;
    }

    async _check() {
      if (!this._intent) return null;
      const { value, error } = await retrieve(this._stripe._client, this._intent);
      if (error) return error;
      this._loaded = value;
      if (["requires_payment_method", "requires_confirmation", "requires_action"].includes(value.status)) return null;
      const { name } = KINDS[this._intent.kind];
      return {
        type: "invalid_request_error",
        code: `${this._intent.kind}_unexpected_state`,
        message: `Elements cannot start from the client secret of a ${name} with the status ${value.status}.`,
        [this._intent.kind]: value,
      };
    }

    /** What the payer was shown, to be compared with the intent; null when the intent itself was shown. */
    _context() {
      if (this._intent) return null;
      const { mode, amount, currency, setupFutureUsage, captureMethod } = this._options;
      return { mode, amount, currency, setup_future_usage: setupFutureUsage, capture_method: captureMethod };
    }

    _saves() {
      const { mode, setupFutureUsage } = this._options;
      return Boolean(this._intent?.kind === "setup_intent" || mode === "setup" || setupFutureUsage);
    }

    _tellFrames() {
      const { appearance, locale } = this._options;
      for (const { _frame: frame } of this._mounted) {
        frame.tell({ type: "elements", appearance, locale, addressed: this._addressed() });
        frame.speak(locale);
      }
    }

    async update(options = {}) {
      insist(
        !("clientSecret" in options),
        "elements.update(): the client secret cannot be changed. Make a new elements().",
      );
      refuseRemovedOptions(options);
      this._options = { ...this._options, ...options };
      this._tellFrames();
    }

    async fetchUpdates() {
      this._loading = null;
      const error = await this._load();
      return error ? { error } : {};
    }

    async submit() {
      insist(this._mounted.length > 0, "elements.submit(): no Element is mounted.");
      if (this._loadError) return { error: this._loadError };
      for (const element of this._mounted) {
        if (this._wallet && element._type === "payment") continue; // the payer pays with the wallet above it
        const { error, wallet } = await element._frame.call("validate");
        if (error) return { error };
        if (wallet) {
          const refused = await this._openWallet(wallet, {});
          if (refused) return { error: refused };
        }
      }
      this._submitted = true;
      return { selectedPaymentMethod: this._wallet?.card.wallet.type ?? "card" };
    }

    /** Let the payer choose a card in a wallet; resolves with null, or with the error when they close it. */
    async _openWallet(wallet, { lineItems, collect = [], merchant }) {
      this._wallet = null;
      await this._load();
      const { amount, currency } = this._intent ? (this._loaded ?? {}) : this._options;
      const page = this._stripe._page(this);
      const sheet = { wallet, amount, currency, lineItems, collect, ...page, merchant: merchant ?? page.merchant };
      const { method, error } = await overlay("wallet.html", "Stand-in for a wallet", page.locale, {
        init: () => ({ client: this._stripe._client, sheet }),
      });
      this._wallet = method ?? null;
      if (method) return null;
      const message = await translated("The wallet was closed before anything was paid.", page.locale);
      return error ?? { type: "validation_error", code: "payment_method_canceled", message };
    }

    /** What the Address Elements say, in the words of the API; what the page itself says comes first. */
    async _addresses(params) {
      const found = { ...params };
      for (const element of this._mounted.filter(({ _type: type }) => type === "address")) {
        const { value } = await element._frame.call("value");
        const { name, phone, address } = value;
        if (element._options.mode === "shipping") found.shipping ??= { name, phone, address };
        else if (!this._wallet) {
          const { billing_details: own, ...data } = found.payment_method_data ?? {};
          found.payment_method_data = { ...data, billing_details: { name, phone, address, ...own } };
        }
      }
      return found;
    }

    /** Send a request that has what the payer chose in it: a card from the payment Element's frame, or a wallet's. */
    async _send(type, path, params) {
      const wallet = this._wallet;
      this._wallet = null;
      if (!wallet) return this._made.get("payment")._frame.call(type, { path, params });
      if (path === "payment_methods") return { value: wallet };
      const { payment_method_data: _, ...rest } = params;
      return request(this._stripe._client, "POST", path, { ...rest, payment_method: wallet.id });
    }
  }

  const keyOf = (type, mode) => (type === "address" ? `address ${mode}` : type);

  function refuseRemovedOptions(options) {
    insist(
      !("paymentMethodTypes" in options) && !("payment_method_types" in options),
      "elements(): paymentMethodTypes was removed in endive. " +
        "Use allowedPaymentMethodTypes or excludedPaymentMethodTypes.",
    );
  }

  function checkElementsOptions(options) {
    insist(isObject(options), "elements(): give an options object.");
    refuseRemovedOptions(options);
    insist(!(options.clientSecret && options.mode), "elements(): give clientSecret or mode, not both.");
    insist(!("clientSecret" in options) || options.clientSecret, "elements(): the clientSecret is empty.");
    if (options.mode === undefined) return;
    insist(["payment", "setup", "subscription"].includes(options.mode), `elements(): "${options.mode}" is no mode.`);
    insist(
      (options.mode === "setup" && options.currency === undefined) || isCurrency(options.currency),
      "elements(): currency should be a three-letter code in lower case.",
    );
    if (options.mode === "payment")
      insist(
        Number.isInteger(options.amount) && options.amount > 0,
        "elements(): amount should be minor units above zero.",
      );
  }

  const isCurrency = (text) => typeof text === "string" && /^[a-z]{3}$/.test(text);

  /* ---- over the page: the bank and the wallets --------------------------------------------------------------- */

  /** Show a page of ours over the host's until it is done with. Resolves with its result, or {error}. */
  function overlay(page, title, locale, { init, origin = ORIGIN }) {
    return new Promise((resolve) => {
      const before = document.activeElement;
      const dialog = document.createElement("dialog");
      dialog.setAttribute("role", "dialog");
      dialog.setAttribute("aria-modal", "true");
      dialog.setAttribute("aria-label", title);
      Object.assign(dialog.style, {
        position: "fixed", inset: "0", width: "100vw", height: "100vh", maxWidth: "none", maxHeight: "none",
        margin: "0", padding: "16px", border: "0", boxSizing: "border-box", background: "rgba(15, 23, 42, 0.6)",
        zIndex: "2147483647", overflow: "auto", display: "flex", alignItems: "center", justifyContent: "center",
      });
      let settled = false;
      const settle = (result) => {
        if (settled) return;
        settled = true;
        frame.remove();
        dialog.close();
        dialog.remove();
        if (before instanceof HTMLElement && before.isConnected) before.focus();
        resolve(result);
      };
      const frame = new Frame(page, title, {
        origin,
        init,
        onEvent: (type, data) => {
          if (type === "height") frame.node.style.height = `${Math.ceil(Number(data.height)) || 0}px`;
          else if (type === "done") settle(data.result);
        },
      });
      frame.speak(locale).then(() => dialog.setAttribute("aria-label", frame.node.title));
      Object.assign(frame.node.style, {
        maxWidth: "440px", minHeight: "200px", borderRadius: "12px", background: "#fff",
        boxShadow: "0 20px 50px rgba(0,0,0,.3)",
      });
      frame.ready.then(() => frame.node.focus()).catch(() => settle({ error: connectionError() }));
      dialog.addEventListener("cancel", (event) => {
        event.preventDefault();
        frame.call("leave");
      });
      // The iframe is the only thing in here that takes focus; focus that strays to the dialog goes back into it.
      dialog.addEventListener("focusin", (event) => event.target === dialog && frame.node.focus());
      dialog.append(frame.node);
      document.body.append(dialog);
      dialog.showModal();
    });
  }

  /** Show the test bank's page. Resolves with {value}, the intent afterwards, or {error}. */
  function challenge(client, intent, { merchant, locale }) {
    const init = () => ({ client, intent, merchant, locale });
    return overlay("challenge.html", "Card authentication", locale, { init, origin: BANK });
  }

  /** What an intent without success means, in the shape that Stripe.js answers. */
  function failureOf(kind, intent) {
    const last = kind === "setup_intent" ? intent.last_setup_error : intent.last_payment_error;
    const authentication = `${kind}_authentication_failure`;
    if (!last || last.code === authentication) {
      return {
        type: "invalid_request_error",
        code: authentication,
        doc_url: `https://stripe.com/docs/error-codes/${authentication.replaceAll("_", "-")}`,
        message: UNABLE_TO_AUTHENTICATE,
        ...(last?.payment_method ? { payment_method: last.payment_method } : {}),
        [kind]: intent,
      };
    }
    return { ...last, [kind]: intent };
  }

  /** Follow next_action until the intent is at rest. */
  async function settleActions(client, kind, intent, page) {
    if (intent.status !== "requires_action") return { intent };
    if (intent.next_action?.type === "redirect_to_url") {
      location.assign(intent.next_action.redirect_to_url.url);
      return new Promise(() => {});
    }
    const { value, error } = await challenge(client, intent, page);
    if (error) return { error };
    if (CONFIRMED.includes(value.status)) return { intent: value };
    return { error: failureOf(kind, value) };
  }

  /* ---- stripe ------------------------------------------------------------------------------------------------ */

  const inFlight = new Set();
  // Back from the return_url: the browser may show this page as it was left, in the middle of a confirmation.
  window.addEventListener("pageshow", (event) => event.persisted && inFlight.clear());

  class StripeInstance {
    constructor(key, options) {
      this._client = { key, api: API, apiVersion: options.apiVersion, stripeAccount: options.stripeAccount };
      this._locale = options.locale;
    }

    elements(options = {}) {
      checkElementsOptions(options);
      return new Elements(this, { locale: this._locale, ...options });
    }

    confirmPayment(options) {
      return this._confirm("payment_intent", "confirmPayment()", options);
    }

    confirmSetup(options) {
      return this._confirm("setup_intent", "confirmSetup()", options);
    }

    /** Checks what the integration may get wrong, then returns the promise that only ever resolves. */
    _confirm(kind, where, options) {
      insist(isObject(options), `${where}: give an options object.`);
      const { elements, clientSecret, confirmParams = {}, redirect = "always" } = options;
      insist(["always", "if_required"].includes(redirect), `${where}: redirect is "always" or "if_required".`);
      insist(isObject(confirmParams), `${where}: confirmParams should be an object.`);
      insist(elements || clientSecret, `${where}: give elements, or a clientSecret.`);
      insist(!elements || elements instanceof Elements, `${where}: elements is not what stripe.elements() made.`);
      insist(
        redirect === "if_required" || confirmParams.return_url,
        `${where}: confirmParams.return_url is needed unless redirect is "if_required".`,
      );
      const intent = elements
        ? this._secretOf(kind, where, elements, clientSecret)
        : parseSecret(clientSecret, where, kind);
      if (elements) checkHiddenFields(where, elements, confirmParams);
      insist(
        !inFlight.has(intent.id),
        `${where} is already under way for this intent. Disable the button while it runs.`,
      );
      inFlight.add(intent.id);
      return this._run(kind, intent, elements, confirmParams, redirect)
        .then((result) => told(result, this._page(elements).locale))
        .finally(() => inFlight.delete(intent.id));
    }

    /** Whose page it is, and the language of its payer. */
    _page(elements = null) {
      const merchant = elements?.getElement("payment")?._options.business?.name ?? location.hostname;
      return { merchant, locale: elements?._options.locale ?? this._locale };
    }

    _secretOf(kind, where, elements, clientSecret) {
      checkPayable(where, elements);
      if (elements._intent) {
        insist(
          clientSecret === undefined || clientSecret === elements._intent.secret,
          `${where}: elements were made from another client secret.`,
        );
        insist(
          elements._intent.kind === kind,
          `${where}: elements() were made for a ${KINDS[elements._intent.kind].name}.`,
        );
        return elements._intent;
      }
      insist(elements._submitted, `${where}: call elements.submit() first, before any other asynchronous work.`);
      return parseSecret(clientSecret, where, kind);
    }

    async _run(kind, intent, elements, confirmParams, redirect) {
      const { return_url: returnUrl } = confirmParams;
      if (returnUrl !== undefined && !isWebUrl(returnUrl)) {
        const message = "return_url should be an absolute http or https URL.";
        return { error: { type: "invalid_request_error", code: "url_invalid", message, param: "return_url" } };
      }
      const params = { ...confirmParams, client_secret: intent.secret, use_stripe_sdk: true };
      const path = `${KINDS[kind].path}/${intent.id}/confirm`;
      const { value, error } = elements
        ? await this._confirmShown(kind, elements, path, params)
        : await request(this._client, "POST", path, params);
      if (error) return { error };
      const settled = await settleActions(this._client, kind, value, this._page(elements));
      if (settled.error) return settled;
      return this._finish(kind, intent, settled.intent, returnUrl, redirect);
    }

    /** Confirm with what the payer chose in Elements. */
    async _confirmShown(kind, elements, path, params) {
      if (elements._loadError) return { error: elements._loadError };
      if (!elements._submitted) {
        const { error } = await elements.submit();
        if (error) return { error };
      }
      elements._submitted = false; // what was checked once may be changed before the next time
      const { shipping, ...known } = await elements._addresses(params);
      if (kind === "payment_intent") known.shipping = shipping;
      return elements._send("confirm", path, { ...known, client_context: elements._context() });
    }

    _finish(kind, { secret }, intent, returnUrl, redirect) {
      if (!CONFIRMED.includes(intent.status)) return { error: failureOf(kind, intent) };
      if (redirect !== "always") return { [KINDS[kind].key]: intent };
      const url = new URL(returnUrl);
      url.searchParams.set(kind, intent.id);
      url.searchParams.set(`${kind}_client_secret`, secret);
      url.searchParams.set("redirect_status", intent.status === "processing" ? "processing" : "succeeded");
      location.assign(url);
      return new Promise(() => {}); // the page is leaving: there is nobody left to tell
    }

    async _retrieve(kind, where, secret) {
      const { value, error } = await retrieve(this._client, parseSecret(secret, where, kind));
      return error ? { error } : { [KINDS[kind].key]: value };
    }

    retrievePaymentIntent(secret) {
      return this._retrieve("payment_intent", "retrievePaymentIntent()", secret);
    }

    retrieveSetupIntent(secret) {
      return this._retrieve("setup_intent", "retrieveSetupIntent()", secret);
    }

    async _nextAction(where, secret, kind) {
      const intent = parseSecret(secret, where, kind);
      const { value, error } = await retrieve(this._client, intent);
      if (error) return { error };
      if (value.status !== "requires_action") {
        const message = `${where}: the ${KINDS[intent.kind].name} is not in the requires_action state.`;
        const code = `${intent.kind}_unexpected_state`;
        return { error: { type: "invalid_request_error", code, message, [intent.kind]: value } };
      }
      const settled = await settleActions(this._client, intent.kind, value, this._page());
      return settled.error ? settled : { [KINDS[intent.kind].key]: settled.intent };
    }

    handleNextAction(options) {
      insist(isObject(options), "handleNextAction(): give {clientSecret}.");
      return this._nextAction("handleNextAction()", options.clientSecret).then((result) => told(result, this._locale));
    }

    handleCardAction(secret) {
      return this._nextAction("handleCardAction()", secret, "payment_intent").then((result) =>
        told(result, this._locale),
      );
    }

    /** The old calls: a saved card by id, a token, or the card Element. */
    async _confirmCard(kind, where, secret, data = {}, { handleActions = true } = {}) {
      const intent = parseSecret(secret, where, kind);
      const { payment_method: method, shipping, receipt_email, return_url, setup_future_usage } = data;
      const asked = { receipt_email, return_url, setup_future_usage, shipping };
      const params = { ...asked, client_secret: secret, use_stripe_sdk: true };
      const path = `${KINDS[kind].path}/${intent.id}/confirm`;
      let answer;
      if (isObject(method)) {
        const { card, ...extra } = method;
        params.payment_method_data = extra;
        if (card instanceof CardElement) {
          insist(card._frame, `${where}: the card Element is not mounted.`);
          answer = await card._frame.call("confirm", { path, params });
        } else {
          insist(typeof card?.token === "string", `${where}: payment_method.card is the card Element, or {token}.`);
          params.payment_method_data = { ...extra, type: "card", card };
        }
      } else params.payment_method = method;
      const { value, error } = answer ?? (await request(this._client, "POST", path, params));
      if (error) return { error };
      if (!handleActions && value.status === "requires_action") return { [KINDS[kind].key]: value };
      const locale = method?.card?._elements?._options.locale ?? this._locale;
      const settled = await settleActions(this._client, kind, value, { ...this._page(), locale });
      if (settled.error) return settled;
      return this._finish(kind, intent, settled.intent, undefined, "if_required");
    }

    confirmCardPayment(secret, data, options) {
      return this._confirmCard("payment_intent", "confirmCardPayment()", secret, data, options).then((result) =>
        told(result, this._locale),
      );
    }

    confirmCardSetup(secret, data, options) {
      return this._confirmCard("setup_intent", "confirmCardSetup()", secret, data, options).then((result) =>
        told(result, this._locale),
      );
    }

    /** From {elements, params}, or as before from {type: "card", card: the card Element, billing_details}. */
    async createPaymentMethod({ elements, params = {}, type, card, ...data } = {}) {
      const where = "createPaymentMethod()";
      let answer;
      if (type === "card") {
        insist(card instanceof CardElement && card._frame, `${where}: card should be a card Element that is mounted.`);
        answer = await card._frame.call("create", { path: "payment_methods", params: data });
      } else answer = await this._create(where, elements, "payment_methods", params);
      const { locale } = this._page(elements ?? card._elements);
      return answer.error ? told(answer, locale) : { paymentMethod: answer.value };
    }

    async createConfirmationToken({ elements, params = {} } = {}) {
      const where = "createConfirmationToken()";
      const use = elements?._options?.setupFutureUsage;
      const shown = { client_context: elements?._context?.(), setup_future_usage: use };
      const { value, error } = await this._create(where, elements, "confirmation_tokens", { ...params, ...shown });
      return error ? told({ error }, this._page(elements).locale) : { confirmationToken: value };
    }

    async _create(where, elements, path, params) {
      insist(elements instanceof Elements, `${where}: give {elements}.`);
      checkPayable(where, elements);
      insist(elements._intent === null, `${where}: elements() must be made with a mode, not with a clientSecret.`);
      insist(elements._submitted, `${where}: call elements.submit() first.`);
      elements._submitted = false;
      if (path === "payment_methods") return elements._send("create", path, params);
      return elements._send("create", path, await elements._addresses(params));
    }

    paymentRequest() {
      throw new IntegrationError("paymentRequest() was removed in endive. Use the Express Checkout Element.");
    }

    createToken() {
      throw new IntegrationError(
        "createToken(): the emulator makes no tokens. Use the payment Element, or createPaymentMethod().",
      );
    }

    registerAppInfo() {}
    _registerWrapper() {}
  }

  /** There is something to pay with: the payment Element, or a wallet that the payer has just approved. */
  function checkPayable(where, elements) {
    insist(
      elements._wallet || elements.getElement("payment")?._frame,
      `${where}: the payment Element is not mounted` +
        (elements.getElement("expressCheckout") ? ", and no wallet was approved." : "."),
    );
  }

  /** A field that is never shown must come with the confirmation, or the payment would lack it. */
  function checkHiddenFields(where, elements, confirmParams) {
    if (elements._wallet || elements._addressed()) return;
    const fields = elements.getElement("payment")._options.fields?.billingDetails;
    const given = confirmParams.payment_method_data?.billing_details ?? {};
    const hidden = (name) => fields === "never" || fields?.address === "never" || fields?.address?.[name] === "never";
    for (const [option, param] of [["country", "country"], ["postalCode", "postal_code"]])
      insist(
        !hidden(option) || given.address?.[param] !== undefined,
        `${where}: the field ${option} is "never" shown, ` +
          `so give confirmParams.payment_method_data.billing_details.address.${param}.`,
      );
  }

  function isWebUrl(text) {
    try {
      return ["http:", "https:"].includes(new URL(text).protocol);
    } catch {
      return false;
    }
  }

  function Stripe(key, options = {}) {
    insist(typeof key === "string" && key !== "", "Stripe(): give your publishable key.");
    if (/^[a-z]+_live_/.test(key)) {
      throw new Error("The Stripe emulator refuses live keys: this page must load Stripe's own Stripe.js.");
    }
    insist(!/^(sk|rk)_/.test(key), "Stripe(): this is a secret key. Give the publishable key (pk_test_...).");
    insist(key.startsWith("pk_test_"), "Stripe(): the publishable key should start with pk_test_.");
    insist(options.locale === undefined || typeof options.locale === "string", "Stripe(): locale should be a string.");
    return new StripeInstance(key, options);
  }
  Stripe.version = "endive";
  Stripe.emulator = true;

  if (window.Stripe) console.warn("Stripe.js was loaded more than once on this page.");
  else window.Stripe = Stripe;
})();
