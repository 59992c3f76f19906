/* The inside of the Express Checkout Element: a button for each wallet that can be had on the page. */

import { applyAppearance } from "/stripe-js/appearance.js";
import { listen, page, post, reportHeight, send } from "/stripe-js/frame.js";
import { translate, translatePage } from "/stripe-js/words.js";

const WALLETS = { apple_pay: ["applePay", "Apple Pay"], google_pay: ["googlePay", "Google Pay"] };

const main = document.getElementById("frame");
const buttons = document.getElementById("buttons");

let client = null;
let options = {};
let wallets = [];
let locale;

/** The wallets to show, in the page's order; both `paymentMethods` and the older `wallets` may leave one out. */
function offered() {
  const order = (options.paymentMethodOrder ?? []).map((name) => name.replace("P", "_p")); // applePay is apple_pay
  const place = (wallet) => (order.includes(wallet) ? order.indexOf(wallet) : order.length);
  return wallets
    .filter((wallet) => (options.paymentMethods ?? options.wallets)?.[WALLETS[wallet][0]] !== "never")
    .sort((a, b) => place(a) - place(b));
}

function show() {
  const columns = options.layout?.maxColumns;
  buttons.style.setProperty("--most-columns", Number.isInteger(columns) && columns > 0 ? columns : 2);
  const made = offered().map((wallet) => {
    const [option, name] = WALLETS[wallet];
    const button = Object.assign(document.createElement("button"), { type: "button", className: "wallet" });
    button.dataset.wallet = wallet;
    button.dataset.theme = options.buttonTheme?.[option] ?? "black";
    button.textContent = translate("{wallet} (test)", locale, { wallet: name });
    const height = options.buttonHeight;
    if (Number.isInteger(height)) button.style.height = `${Math.min(Math.max(height, 40), 55)}px`;
    button.addEventListener("click", () => post({ type: "press", wallet }));
    return button;
  });
  buttons.replaceChildren(...made);
}

buttons.addEventListener("focusin", ({ relatedTarget }) => !relatedTarget && post({ type: "focus" }));
buttons.addEventListener("focusout", ({ relatedTarget }) => !relatedTarget && post({ type: "blur" }));
buttons.addEventListener("keydown", ({ key }) => key === "Escape" && post({ type: "escape" }));

listen({
  async init(data) {
    if (client) return;
    ({ client, locale } = data);
    options = data.options ?? {};
    applyAppearance(data.appearance);
    translatePage(locale);
    const { value } = await send(client, "emulator/wallets", { domain_name: page.hostname });
    wallets = value?.wallets ?? [];
    show();
    main.hidden = false;
    reportHeight(main);
    const all = ["amazonPay", "applePay", "googlePay", "klarna", "link", "paypal"];
    const here = offered().map((wallet) => WALLETS[wallet][0]);
    const available = Object.fromEntries(all.map((name) => [name, here.includes(name)]));
    post({ type: "ready", event: { availablePaymentMethods: here.length ? available : undefined } });
  },
  options(data) {
    options = data.options ?? {};
    show();
  },
  elements(data) {
    ({ locale } = data);
    applyAppearance(data.appearance);
    translatePage(locale);
    show();
  },
  validate: () => ({}),
  focus: () => buttons.querySelector("button")?.focus(),
  blur: () => document.activeElement?.blur(),
});
