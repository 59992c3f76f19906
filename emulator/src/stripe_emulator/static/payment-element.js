/* The inside of the payment Element: card fields that the host page cannot see, saved cards, and wallets. */

import { applyAppearance } from "/stripe-js/appearance.js";
import { BRANDS, CardFields, merge } from "/stripe-js/card-fields.js";
import { offerCountries } from "/stripe-js/countries.js";
import { listen, page, post, reportHeight, send } from "/stripe-js/frame.js";
import { translate, translatePage } from "/stripe-js/words.js";

const POSTAL = { GB: 5, US: 5, CA: 6 }; // fewest letters and digits of a whole code; other countries are not asked
const WALLETS = { apple_pay: "Apple Pay", google_pay: "Google Pay" };
const OPTIONS = { apple_pay: "applePay", google_pay: "googlePay" }; // as a page spells them

const byId = (id) => document.getElementById(id);
const main = byId("frame");
const form = byId("card");
const country = byId("country");

let client = null;
let options = {};
let saves = false;
let addressed = false; // the payer gives the billing address in an Element of its own
let collapsed = false;
let lastChange = "";
let saved = []; // the payer's cards of a customer session
let wallets = []; // that can be had on this page
let chosen = ""; // what to pay with: a saved card's id, a wallet, or empty for a new card
let locale;

const say = (sentence, names) => translate(sentence, locale, names);
const postalNeeded = () => (byId("postal-field").hidden ? 0 : (POSTAL[country.value] ?? 0));
const fields = new CardFields(form, { say, postalNeeded, onChange: refresh });
country.addEventListener("change", () => fields.refresh());

/** Show what is wrong; returns {}, {wallet} to be opened by the page, or {error} with the first problem. */
function validate() {
  if (chosen in WALLETS) return { wallet: chosen };
  if (chosen) return {};
  if (collapsed) {
    return {
      error: { type: "validation_error", code: "incomplete_payment_method", message: say("Please choose how to pay.") },
    };
  }
  return fields.validate();
}

/* ---- state ---- */

function hiddenFields() {
  const billing = options.fields?.billingDetails;
  const never = (name) => billing === "never" || billing?.address === "never" || billing?.address?.[name] === "never";
  return { country: addressed || never("country"), postal: addressed || never("postalCode") };
}

function refresh() {
  const hidden = hiddenFields();
  byId("country-field").hidden = hidden.country;
  byId("postal-field").hidden = hidden.postal || !(country.value in POSTAL);
  const complete = Boolean(chosen) || (!collapsed && fields.complete);
  const value = { type: collapsed ? "" : chosen in WALLETS ? chosen : "card" };
  if (chosen && !(chosen in WALLETS)) value.payment_method = saved.find(({ id }) => id === chosen);
  const event = { empty: fields.empty && !chosen, complete, collapsed, value };
  const change = JSON.stringify(event);
  if (lastChange && lastChange !== change) post({ type: "change", event });
  lastChange = change;
}

byId("expand").addEventListener("click", () => setCollapsed(false));

function setCollapsed(value) {
  collapsed = value;
  byId("expand").hidden = !value;
  showForm();
  if (!value) fields.inputs.number.focus();
  refresh();
}

function showForm() {
  form.hidden = collapsed || chosen !== "";
  byId("wallet-note").hidden = collapsed || !(chosen in WALLETS);
}

/* ---- what the host page sets ---- */

function applyLocale(wanted) {
  locale = wanted;
  translatePage(locale);
  const chosenCountry = country.value || options.defaultValues?.billingDetails?.address?.country || "GB";
  offerCountries(country, locale, { chosen: chosenCountry });
  showChoices();
  fields.repeat();
}

function applyOptions() {
  const wanted = options.terms?.card ?? "auto";
  const business = options.business?.name ?? say("this shop");
  byId("terms").hidden = !(wanted === "always" || (wanted === "auto" && saves));
  byId("terms").textContent = say("Your card is kept so that {business} can charge it later, as agreed with you.", {
    business,
  });
  for (const field of [...Object.values(fields.inputs), country]) field.disabled = Boolean(options.readOnly);
  fields.inputs.postal.value ||= options.defaultValues?.billingDetails?.address?.postal_code ?? "";
}

/** The payer's own cards first, a new one below them, then wallets. With nothing but a new card there is no choice. */
function showChoices() {
  const offered = wallets.filter((wallet) => options.wallets?.[OPTIONS[wallet]] !== "never");
  const named = [
    ...saved.map(({ id, card: { brand, last4 } }) => [
      id, say("{brand} ending in {last4}", { brand: BRANDS.find(({ code }) => code === brand)?.name ?? brand, last4 }),
    ]),
    ["", say(saved.length ? "New card" : "Card")],
    ...offered.map((wallet) => [wallet, say("{wallet} (test)", { wallet: WALLETS[wallet] })]),
  ];
  if (!named.some(([value]) => value === chosen)) chosen = named[0][0];
  const rows = named.map(([value, name]) => {
    const label = Object.assign(document.createElement("label"), { className: "AccordionItem" });
    const radio = Object.assign(document.createElement("input"), {
      type: "radio", name: "choice", value, checked: value === chosen, className: "RadioIcon",
    });
    radio.addEventListener("change", () => choose(value));
    label.append(radio, ` ${name}`);
    label.classList.toggle("AccordionItem--selected", value === chosen);
    return label;
  });
  byId("choices").hidden = named.length === 1;
  byId("choices-legend").textContent = say(saved.length ? "Saved cards" : "How to pay");
  byId("choices-list").replaceChildren(...rows);
  showForm();
}

function choose(value) {
  chosen = value;
  for (const label of byId("choices-list").children)
    label.classList.toggle("AccordionItem--selected", label.firstChild.checked);
  showForm();
  refresh();
}

async function fetchSaved(secret) {
  const { value } = await send(client, "emulator/customer_sessions", { client_secret: secret });
  saved = value?.data ?? [];
  chosen = saved[0]?.id ?? "";
}

async function fetchWallets() {
  const { value } = await send(client, "emulator/wallets", { domain_name: page.hostname });
  wallets = value?.wallets ?? [];
}

/* ---- what is sent ---- */

/** What a new card, or a saved one, is to the API. */
const methodParams = (extra) => (chosen ? { payment_method: chosen } : { payment_method_data: cardData(extra) });

function cardData(extra) {
  const address = {};
  if (!byId("country-field").hidden) address.country = country.value;
  if (!byId("postal-field").hidden) address.postal_code = fields.inputs.postal.value.trim();
  const defaults = options.defaultValues?.billingDetails ?? {};
  const details = merge(merge(defaults, { address }), extra?.billing_details);
  return { ...extra, type: "card", card: fields.card(), billing_details: details };
}

listen({
  async init(data) {
    if (client) return;
    ({ client, saves, addressed } = data);
    options = data.options ?? {};
    applyAppearance(data.appearance);
    await Promise.all([data.session && fetchSaved(data.session), fetchWallets()]);
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
    showChoices();
    refresh();
  },
  elements(data) {
    ({ addressed } = data);
    applyAppearance(data.appearance);
    applyLocale(data.locale);
    applyOptions();
    refresh();
  },
  validate,
  async confirm({ path, params }) {
    const { error } = validate();
    if (error) return { error };
    const { payment_method_data: extra, ...rest } = params;
    return send(client, path, { ...rest, ...methodParams(extra) });
  },
  async create({ path, params }) {
    const { error } = validate();
    if (error) return { error };
    if (path === "payment_methods") return send(client, path, cardData(params));
    const { payment_method_data: extra, ...rest } = params;
    return send(client, path, { ...rest, ...methodParams(extra) });
  },
  focus: () => fields.inputs.number.focus(),
  blur: () => document.activeElement?.blur(),
  clear: () => fields.clear(),
  collapse: () => setCollapsed(true),
});
