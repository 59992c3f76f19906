/* The inside of the card Element: one line, without labels that are seen; slips are the host page's to show. */

import { applyRules } from "/stripe-js/appearance.js";
import { CardFields, merge } from "/stripe-js/card-fields.js";
import { listen, post, reportHeight, send } from "/stripe-js/frame.js";
import { translate, translatePage } from "/stripe-js/words.js";

// A page styles this Element by states, not by rules: style.base, style.invalid and so on.
const STATES = {
  base: ".Input", complete: ".Input--complete", empty: ".Input--empty", invalid: ".Input--invalid",
};

const main = document.getElementById("frame");
const form = document.getElementById("card");
const postal = document.getElementById("postal");

let client = null;
let options = {};
let lastChange = "";
let locale;

const say = (sentence, names) => translate(sentence, locale, names);
const fields = new CardFields(form, { say, postalNeeded: () => (postal.hidden ? 0 : 3), onChange: refresh });

function refresh() {
  const [code, message] = fields.told ?? [];
  const event = {
    brand: fields.brand.code,
    complete: fields.complete,
    empty: fields.empty,
    error: code && { type: "validation_error", code, message },
    value: { postalCode: postal.value.trim() },
  };
  const change = JSON.stringify(event);
  if (lastChange && lastChange !== change) post({ type: "change", event });
  lastChange = change;
}

function applyOptions() {
  postal.hidden = Boolean(options.hidePostalCode);
  document.getElementById("brand").hidden = Boolean(options.hideIcon);
  for (const input of Object.values(fields.inputs)) input.disabled = Boolean(options.disabled);
  postal.value ||= options.value?.postalCode ?? "";
  const rules = {};
  for (const [state, selector] of Object.entries(STATES)) {
    const plain = {};
    for (const [name, value] of Object.entries(options.style?.[state] ?? {}))
      if (typeof value === "object") rules[`${selector}${name}`] = value; // ":focus", "::placeholder"
      else plain[name] = value;
    rules[selector] = plain;
  }
  applyRules(rules);
}

function applyLocale(wanted) {
  locale = wanted;
  translatePage(locale);
  fields.repeat();
}

function cardData(extra) {
  const address = postal.hidden ? {} : { postal_code: postal.value.trim() };
  return { ...extra, type: "card", card: fields.card(), billing_details: merge({ address }, extra?.billing_details) };
}

listen({
  init(data) {
    if (client) return;
    ({ client } = data);
    options = data.options ?? {};
    applyLocale(data.locale);
    applyOptions();
    main.hidden = false;
    fields.refresh();
    reportHeight(main);
    post({ type: "ready" });
  },
  options(data) {
    options = data.options ?? {};
    applyOptions();
    refresh();
  },
  elements: (data) => applyLocale(data.locale),
  validate: () => fields.validate(),
  async confirm({ path, params }) {
    const { error } = fields.validate();
    if (error) return { error };
    const { payment_method_data: extra, ...rest } = params;
    return send(client, path, { ...rest, payment_method_data: cardData(extra) });
  },
  async create({ path, params }) {
    const { error } = fields.validate();
    return error ? { error } : send(client, path, cardData(params));
  },
  focus: () => fields.inputs.number.focus(),
  blur: () => document.activeElement?.blur(),
  clear: () => fields.clear(),
});
