/* The test bank's page inside the 3-D Secure dialog. */

import { listen, post, reportHeight, send } from "/stripe-js/frame.js";
import { formatAmount } from "/stripe-js/money.js";
import { translate, translatePage } from "/stripe-js/words.js";

const main = document.getElementById("frame");
const byId = (id) => document.getElementById(id);
const buttons = ["leave", "complete", "fail"].map(byId);

let init = null;
let busy = false;

function show(data) {
  init = data;
  const { intent, merchant, locale } = data;
  byId("merchant").textContent = merchant;
  if (intent.object === "setup_intent") {
    byId("amount-row").hidden = true;
    byId("ask").textContent =
      "Your bank would ask you here to agree that this card is kept for later payments. " +
      "This is a test: choose what should happen.";
  } else {
    byId("amount").textContent = formatAmount(intent.amount, intent.currency, locale);
  }
  byId("facts").hidden = false;
  translatePage(locale);
  // Not before: a press that nobody hears yet would be lost.
  main.hidden = false;
  reportHeight(main);
  post({ type: "ready" });
  byId("complete").focus();
}

/** A challenge that the payer leaves counts as failed, as it does at Stripe when its window is closed. */
async function answer(outcome) {
  if (busy || !init) return;
  busy = true;
  for (const button of buttons) button.setAttribute("aria-disabled", "true");
  const { client, intent } = init;
  const result = await send(client, `emulator/challenges/${intent.id}`, {
    client_secret: intent.client_secret, outcome,
  });
  if (result.error?.type === "api_connection_error") {
    busy = false;
    for (const button of buttons) button.removeAttribute("aria-disabled");
    byId("problem").textContent = translate(result.error.message, init.locale);
    return;
  }
  post({ type: "done", result });
}

byId("complete").addEventListener("click", () => answer("complete"));
byId("fail").addEventListener("click", () => answer("fail"));
byId("leave").addEventListener("click", () => answer("fail"));

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    event.preventDefault();
    answer("fail");
  } else if (event.key === "Tab") {
    const next = (buttons.indexOf(document.activeElement) + (event.shiftKey ? buttons.length - 1 : 1)) % buttons.length;
    event.preventDefault();
    buttons[next].focus();
  }
});

listen({ init: show, leave: () => answer("fail") });
