/* The inside of the payment Element: card fields that the host page cannot see. */

import { listen, post, reportHeight, send } from "/stripe-js/frame.js";
import { translate, translatePage } from "/stripe-js/words.js";

const BRANDS = [
  { name: "American Express", test: /^3[47]/, lengths: [15], groups: [4, 6, 5], cvc: 4 },
  { name: "Diners Club", test: /^3(?:0[0-5]|095|[689])/, lengths: [14, 16], groups: [4, 4, 4, 4], cvc: 3 },
  { name: "JCB", test: /^35/, lengths: [16], groups: [4, 4, 4, 4], cvc: 3 },
  { name: "Visa", test: /^4/, lengths: [16], groups: [4, 4, 4, 4], cvc: 3 },
  { name: "Mastercard", test: /^(?:5[1-5]|2[2-7])/, lengths: [16], groups: [4, 4, 4, 4], cvc: 3 },
  { name: "Discover", test: /^6(?:011|4[4-9]|5)/, lengths: [16], groups: [4, 4, 4, 4], cvc: 3 },
  { name: "UnionPay", test: /^62/, lengths: [16, 17, 18, 19], groups: [4, 4, 4, 4, 3], cvc: 3 },
];
const UNKNOWN = { name: "", lengths: [16], groups: [4, 4, 4, 4, 3], cvc: 4 };
const POSTAL = { GB: 5, US: 5, CA: 6 }; // fewest letters and digits of a whole code; other countries are not asked
const COUNTRIES = (
  "AD AE AF AG AI AL AM AO AR AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BW BY BZ CA CD " +
  "CF CG CH CI CK CL CM CN CO CR CV CW CY CZ DE DJ DK DM DO DZ EC EE EG ER ES ET FI FJ FK FO FR GA GB GD GE GF " +
  "GG GH GI GL GM GN GP GQ GR GT GU GW GY HK HN HR HT HU ID IE IL IM IN IQ IS IT JE JM JO JP KE KG KH KI KM KN " +
  "KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MK ML MM MN MO MQ MR MS MT MU MV MW MX MY MZ " +
  "NA NC NE NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PY QA RE RO RS RU RW SA SB SC SE SG " +
  "SH SI SJ SK SL SM SN SO SR SS ST SV SX SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG US UY UZ VA " +
  "VC VE VG VN VU WF WS XK YE YT ZA ZM ZW"
).split(" ");

const byId = (id) => document.getElementById(id);
const main = byId("frame");
const form = byId("card");
const fields = Object.fromEntries(["number", "expiry", "cvc", "country", "postal"].map((name) => [name, byId(name)]));
const CHECKED = ["number", "expiry", "cvc", "postal"];

let client = null;
let options = {};
let saves = false;
let collapsed = false;
let lastChange = "";
let saved = []; // the payer's cards of a customer session
let chosen = ""; // the id of the one to pay with; empty for a new card
let locale;

const say = (sentence, names) => translate(sentence, locale, names);

const digitsOf = (text) => text.replace(/\D/g, "");
const brandOf = (digits) => BRANDS.find(({ test }) => test.test(digits)) ?? UNKNOWN;

function passesLuhn(digits) {
  let sum = 0;
  [...digits].reverse().forEach((digit, index) => {
    const value = Number(digit) * (index % 2 ? 2 : 1);
    sum += value > 9 ? value - 9 : value;
  });
  return sum % 10 === 0;
}

/* ---- formatting ---- */

function groupNumber(digits) {
  const brand = brandOf(digits);
  const groups = digits.length <= 14 && brand.lengths.includes(14) ? [4, 6, 4] : brand.groups;
  const parts = [];
  let rest = digits.slice(0, Math.max(...brand.lengths));
  for (const size of groups) {
    if (!rest) break;
    parts.push(rest.slice(0, size));
    rest = rest.slice(size);
  }
  return parts.join(" ");
}

/** Rewrite the field's text, leaving the caret behind the same digit. */
function rewrite(input, text) {
  if (input.value === text) return;
  const before = digitsOf(input.value.slice(0, input.selectionStart ?? input.value.length)).length;
  const atEnd = input.selectionStart === input.value.length;
  input.value = text;
  if (document.activeElement !== input) return;
  let caret = 0;
  for (let seen = 0; caret < text.length && seen < before; caret += 1) if (/\d/.test(text[caret])) seen += 1;
  input.setSelectionRange(atEnd ? text.length : caret, atEnd ? text.length : caret);
}

function formatExpiry(text, deleting) {
  const typed = /^\s*(\d)\s*[/.-]/.exec(text);
  let digits = typed ? `0${digitsOf(text)}` : digitsOf(text);
  if (/^[2-9]/.test(digits)) digits = `0${digits}`;
  // MM / YYYY, as autofill has it
  if (digits.length >= 6 && digits.slice(2, 4) === "20") digits = digits.slice(0, 2) + digits.slice(4);
  digits = digits.slice(0, 4);
  if (digits.length < 2 || (digits.length === 2 && deleting)) return digits;
  return `${digits.slice(0, 2)} / ${digits.slice(2)}`;
}

/* ---- validation: each returns null, or a code and a sentence; `empty` and `partial` tell what is only
   unfinished ---- */

const problems = {
  number() {
    const digits = digitsOf(fields.number.value);
    const { lengths } = brandOf(digits);
    if (digits.length < Math.min(...lengths)) {
      return ["incomplete_number", "Your card number is incomplete.", "partial"];
    }
    if (passesLuhn(digits) && lengths.includes(digits.length)) return null;
    if (digits.length < Math.max(...lengths)) {
      return ["incomplete_number", "Your card number is incomplete.", "partial"];
    }
    return ["invalid_number", "Your card number is not valid."];
  },
  expiry() {
    const digits = digitsOf(fields.expiry.value);
    const month = Number(digits.slice(0, 2));
    if (digits.length >= 2 && (month < 1 || month > 12)) {
      return ["invalid_expiry_month", "The expiration month is not valid."];
    }
    if (digits.length < 4) return ["incomplete_expiry", "Your expiration date is incomplete.", "partial"];
    const now = new Date();
    const year = 2000 + Number(digits.slice(2));
    if (year < now.getFullYear()) return ["invalid_expiry_year_past", "The expiration year is in the past."];
    if (year === now.getFullYear() && month < now.getMonth() + 1)
      return ["invalid_expiry_month_past", "The expiration date is in the past."];
    if (year > now.getFullYear() + 50) return ["invalid_expiry_year", "The expiration year is not valid."];
    return null;
  },
  cvc() {
    const digits = digitsOf(fields.cvc.value);
    const brand = brandOf(digitsOf(fields.number.value));
    const enough = brand === UNKNOWN ? 3 : brand.cvc;
    return digits.length >= enough ? null : ["incomplete_cvc", "Your security code is incomplete.", "partial"];
  },
  postal() {
    const needed = byId("postal-field").hidden ? 0 : (POSTAL[countryCode()] ?? 0);
    const letters = fields.postal.value.replace(/[^0-9a-z]/gi, "");
    return letters.length >= needed ? null : ["incomplete_zip", "Your postal code is incomplete.", "partial"];
  },
};

function showProblem(name, problem) {
  const message = problem ? say(problem[1]) : "";
  const node = byId(`${name}-error`);
  if (node.textContent !== message) node.textContent = message;
  if (problem) fields[name].setAttribute("aria-invalid", "true");
  else fields[name].removeAttribute("aria-invalid");
}

/** Show what is wrong; returns {} or {error} with the first problem, and takes the payer there. */
function validate() {
  if (chosen) return {};
  if (collapsed) {
    return {
      error: { type: "validation_error", code: "incomplete_payment_method", message: say("Please choose how to pay.") },
    };
  }
  const found = CHECKED.map((name) => [name, problems[name]()]).filter(([, problem]) => problem);
  for (const name of CHECKED) showProblem(name, problems[name]());
  if (found.length === 0) return {};
  const [name, [code, message]] = found[0];
  fields[name].focus();
  return { error: { type: "validation_error", code, message: say(message) } };
}

/* ---- state ---- */

const countryCode = () => fields.country.value;

function hiddenFields() {
  const billing = options.fields?.billingDetails;
  const hidden = (name) => billing === "never" || billing?.address === "never" || billing?.address?.[name] === "never";
  return { country: hidden("country"), postal: hidden("postalCode") };
}

function refresh() {
  const brand = brandOf(digitsOf(fields.number.value));
  byId("brand").textContent = brand.name;
  fields.cvc.placeholder = say(brand.cvc === 4 && brand !== UNKNOWN ? "4 digits" : "CVC");
  const hidden = hiddenFields();
  byId("country-field").hidden = hidden.country;
  byId("postal-field").hidden = hidden.postal || !(countryCode() in POSTAL);
  const empty = CHECKED.every((name) => fields[name].value === "");
  const complete = Boolean(chosen) || (!collapsed && CHECKED.every((name) => problems[name]() === null));
  const value = { type: collapsed ? "" : "card" };
  if (chosen) value.payment_method = saved.find(({ id }) => id === chosen);
  const event = { empty: empty && !chosen, complete, collapsed, value };
  const change = JSON.stringify(event);
  if (lastChange && lastChange !== change) post({ type: "change", event });
  lastChange = change;
}

function onInput(event) {
  const input = event.target;
  const deleting = event.inputType?.startsWith("delete") ?? false;
  if (input === fields.number) rewrite(input, groupNumber(digitsOf(input.value)));
  else if (input === fields.expiry) rewrite(input, formatExpiry(input.value, deleting));
  else if (input === fields.cvc) {
    rewrite(input, digitsOf(input.value).slice(0, brandOf(digitsOf(fields.number.value)).cvc));
  }
  for (const name of CHECKED) {
    const problem = problems[name]();
    const definite = problem && problem.length === 2;
    // While typing, take away what is put right and show only what more typing cannot mend.
    const told = byId(`${name}-error`).textContent;
    if (told && (!problem || say(problem[1]) !== told)) showProblem(name, null);
    if (definite && fields[name] === input) showProblem(name, problem);
  }
  refresh();
}

form.addEventListener("input", onInput);
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("focusout", ({ target, relatedTarget }) => {
  const name = CHECKED.find((one) => fields[one] === target);
  const show = () => name && target.value && showProblem(name, problems[name]());
  // Not at once for a payer who leaves the frame: growing now would take the button from under the mouse.
  if (relatedTarget) show();
  else setTimeout(show, 250);
  if (!relatedTarget) post({ type: "blur" });
});
form.addEventListener("focusin", ({ relatedTarget }) => !relatedTarget && post({ type: "focus" }));
form.addEventListener("keydown", (event) => {
  if (event.key === "Escape") post({ type: "escape" });
  if (event.key === "Enter" && event.target !== fields.country) {
    event.preventDefault();
    post({ type: "submit" });
  }
});
byId("expand").addEventListener("click", () => setCollapsed(false));

function setCollapsed(value) {
  collapsed = value;
  form.hidden = value || chosen !== "";
  byId("expand").hidden = !value;
  if (!value) fields.number.focus();
  refresh();
}

/* ---- what the host page sets ---- */

const STYLES = {
  colorPrimary: ["--primary", "color"], colorBackground: ["--background", "color"], colorText: ["--text", "color"],
  colorTextSecondary: ["--muted", "color"], colorDanger: ["--danger", "color"], fontFamily: ["--font", "font-family"],
  borderRadius: ["--radius", "border-radius"], fontSizeBase: ["--size", "font-size"],
};

function applyAppearance(appearance = {}) {
  const root = document.documentElement;
  root.dataset.theme = ["night", "flat"].includes(appearance.theme) ? appearance.theme : "stripe";
  for (const [name, [property, kind]] of Object.entries(STYLES)) {
    const value = appearance.variables?.[name];
    if (typeof value === "string" && CSS.supports(kind, value)) root.style.setProperty(property, value);
    else root.style.removeProperty(property);
  }
}

function applyLocale(wanted) {
  locale = wanted;
  translatePage(locale);
  fillCountries();
  showSaved();
  for (const name of CHECKED) if (byId(`${name}-error`).textContent) showProblem(name, problems[name]());
}

function fillCountries() {
  let names;
  try {
    const wanted = !locale || locale === "auto" ? navigator.language : locale;
    names = new Intl.DisplayNames([wanted, "en"], { type: "region" });
  } catch {
    names = new Intl.DisplayNames(["en"], { type: "region" });
  }
  const chosen = countryCode() || options.defaultValues?.billingDetails?.address?.country || "GB";
  const rows = COUNTRIES.filter((code) => code !== "GB").map((code) => [names.of(code), code]);
  rows.sort(([a], [b]) => a.localeCompare(b));
  fields.country.replaceChildren(...[[names.of("GB"), "GB"], ...rows].map(([name, code]) => new Option(name, code)));
  fields.country.value = COUNTRIES.includes(chosen) ? chosen : "GB";
}

function applyOptions() {
  const wanted = options.terms?.card ?? "auto";
  const business = options.business?.name ?? say("this shop");
  byId("terms").hidden = !(wanted === "always" || (wanted === "auto" && saves));
  byId("terms").textContent = say("Your card is kept so that {business} can charge it later, as agreed with you.", {
    business,
  });
  for (const field of Object.values(fields)) field.disabled = Boolean(options.readOnly);
  if (!fields.postal.value) fields.postal.value = options.defaultValues?.billingDetails?.address?.postal_code ?? "";
}

/** The payer's own cards first, and a new one below them. */
function showSaved() {
  byId("saved").hidden = saved.length === 0;
  const rows = [...saved, null].map((method) => {
    const label = document.createElement("label");
    const radio = Object.assign(document.createElement("input"), {
      type: "radio", name: "saved", value: method?.id ?? "", checked: (method?.id ?? "") === chosen,
    });
    radio.addEventListener("change", () => choose(radio.value));
    const { display_brand: brand, last4 } = method?.card ?? {};
    const names = { brand: BRANDS.find(({ name }) => name.toLowerCase() === brand)?.name ?? brand, last4 };
    label.append(radio, ` ${method ? say("{brand} ending in {last4}", names) : say("New card")}`);
    return label;
  });
  byId("saved-cards").replaceChildren(...rows);
  form.hidden = collapsed || chosen !== "";
}

function choose(id) {
  chosen = id;
  form.hidden = collapsed || chosen !== "";
  refresh();
}

/** What a new card, or a saved one, is to the API. */
const methodParams = (extra) => (chosen ? { payment_method: chosen } : { payment_method_data: cardData(extra) });

async function fetchSaved(secret) {
  const { value } = await send(client, "emulator/customer_sessions", { client_secret: secret });
  saved = value?.data ?? [];
  chosen = saved[0]?.id ?? "";
}

function merge(into, extra = {}) {
  const merged = { ...into };
  for (const [name, value] of Object.entries(extra ?? {})) {
    const both = value && typeof value === "object" && merged[name] && typeof merged[name] === "object";
    merged[name] = both ? merge(merged[name], value) : value;
  }
  return merged;
}

function cardData(extra) {
  const digits = digitsOf(fields.expiry.value);
  const card = {
    number: digitsOf(fields.number.value),
    exp_month: Number(digits.slice(0, 2)), exp_year: 2000 + Number(digits.slice(2)),
    cvc: digitsOf(fields.cvc.value),
  };
  const address = {};
  if (!byId("country-field").hidden) address.country = countryCode();
  if (!byId("postal-field").hidden) address.postal_code = fields.postal.value.trim();
  const defaults = options.defaultValues?.billingDetails ?? {};
  const details = merge(merge(defaults, { address }), extra?.billing_details);
  return { ...extra, type: "card", card, billing_details: details };
}

listen({
  async init(data) {
    if (client) return;
    ({ client, saves } = data);
    options = data.options ?? {};
    applyAppearance(data.appearance);
    if (data.session) await fetchSaved(data.session);
    applyLocale(data.locale);
    applyOptions();
    main.hidden = false;
    refresh();
    reportHeight(main);
    post({ type: "ready" });
  },
  options(data) {
    options = data.options ?? {};
    applyOptions();
    refresh();
  },
  elements(data) {
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
  focus: () => fields.number.focus(),
  blur: () => document.activeElement?.blur(),
  clear() {
    for (const name of CHECKED) {
      fields[name].value = "";
      showProblem(name, null);
    }
    refresh();
  },
  collapse: () => setCollapsed(true),
});
