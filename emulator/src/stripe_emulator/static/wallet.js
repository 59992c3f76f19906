/* What a phone or browser would show for Apple Pay or Google Pay: an honest stand-in, with test cards only. */

import { listen, post, reportHeight, send } from "/stripe-js/frame.js";
import { formatAmount } from "/stripe-js/money.js";
import { translate, translatePage } from "/stripe-js/words.js";

const NAMES = { apple_pay: "Apple Pay", google_pay: "Google Pay" };
// The payer's cards, and what becomes of them; the number never leaves this frame and the API.
const CARDS = [
  ["4242424242424242", "Visa", "pays"],
  ["5555555555554444", "Mastercard", "pays"],
  ["4000000000000341", "Visa", "can be saved, then every charge is declined"],
  ["4000000000000002", "Visa", "is declined"],
];

const main = document.getElementById("frame");
const pay = document.getElementById("pay");

let client = null;
let sheet = null;

const say = (sentence, names) => translate(sentence, sheet.locale, names);

function line(name, value) {
  const row = document.createElement("div");
  row.append(
    Object.assign(document.createElement("dt"), { textContent: name }),
    Object.assign(document.createElement("dd"), { textContent: value }),
  );
  return row;
}

function show() {
  const wallet = NAMES[sheet.wallet];
  document.getElementById("title").textContent = say("{wallet} (test)", { wallet });
  const { amount, currency } = sheet;
  const shown = (minor) => formatAmount(minor, currency, sheet.locale);
  const lines = [line(say("Merchant"), sheet.merchant)];
  for (const item of sheet.lineItems ?? []) lines.push(line(item.name, shown(item.amount)));
  if (amount) lines.push(line(say("Amount"), shown(amount)));
  document.getElementById("lines").replaceChildren(...lines);
  pay.textContent = amount ? say("Pay {amount}", { amount: shown(amount) }) : say("Save the card");
  const labels = CARDS.map(([number, brand, what], index) => {
    const label = document.createElement("label");
    const radio = Object.assign(document.createElement("input"), {
      type: "radio", name: "card", value: number, checked: index === 0,
    });
    const name = say("{brand} ending in {last4}", { brand, last4: number.slice(-4) });
    label.append(radio, ` ${name}: ${say(what)}`);
    return label;
  });
  document.getElementById("cards").replaceChildren(...labels);
}

const leave = () => post({ type: "done", result: { canceled: true } });

pay.addEventListener("click", async () => {
  if (pay.getAttribute("aria-disabled") === "true") return;
  pay.setAttribute("aria-disabled", "true");
  const number = document.querySelector("input[name=card]:checked").value;
  const { collect } = sheet;
  const { value, error } = await send(client, "emulator/wallet_cards", { wallet: sheet.wallet, number, collect });
  if (value) post({ type: "done", result: { method: value } });
  else {
    document.getElementById("slip").textContent = say(error.message);
    pay.removeAttribute("aria-disabled");
  }
});
document.getElementById("leave").addEventListener("click", leave);
document.addEventListener("keydown", ({ key }) => key === "Escape" && leave());
// Tab goes round inside: the page behind is covered.
main.addEventListener("keydown", (event) => {
  if (event.key !== "Tab") return;
  const stops = [document.getElementById("leave"), document.querySelector("input[name=card]:checked"), pay];
  const at = stops.indexOf(document.activeElement);
  event.preventDefault();
  stops.at((at + (event.shiftKey ? -1 : 1)) % stops.length).focus();
});

listen({
  init(data) {
    if (client) return;
    ({ client, sheet } = data);
    translatePage(sheet.locale);
    show();
    main.hidden = false;
    reportHeight(main);
    post({ type: "ready" });
    pay.focus();
  },
  leave,
});
