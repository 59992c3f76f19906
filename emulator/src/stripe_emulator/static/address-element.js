/* The inside of the Address Element: a name, an address and, if it is asked for, a telephone number. */

import { applyAppearance } from "/stripe-js/appearance.js";
import { COUNTRIES, offerCountries } from "/stripe-js/countries.js";
import { listen, post, reportHeight } from "/stripe-js/frame.js";
import { translate, translatePage } from "/stripe-js/words.js";

const NAMES = {
  full: [["name", "Full name", "name"]],
  organization: [["name", "Full name or organization", "organization"]],
  split: [["firstName", "First name", "given-name"], ["lastName", "Last name", "family-name"]],
};
const ADDRESS = [
  ["country", "Country", "country"], ["line1", "Address line 1", "address-line1"],
  ["line2", "Address line 2", "address-line2"], ["city", "City", "address-level2"],
  ["state", "State or province", "address-level1"], ["postal_code", "Postal code", "postal-code"],
];
const WITH_STATES = "AU BR CA CN IN JP MX MY US".split(" ");

const main = document.getElementById("frame");
const form = document.getElementById("address");

let options = null;
let inputs = {};
let lastChange = "";
let locale;

const say = (sentence) => translate(sentence, locale);
const textOf = (name) => inputs[name]?.value.trim() ?? "";

function build() {
  const phone = options.fields?.phone === "always" ? [["phone", "Phone number", "tel"]] : [];
  const names = options.fields?.name === "never" ? [] : (NAMES[options.display?.name] ?? NAMES.full);
  inputs = {};
  const rows = [...names, ...ADDRESS, ...phone].map(([name, sentence, autocomplete]) => {
    const field = Object.assign(document.createElement("div"), { className: "field wide", id: `${name}-field` });
    const label = Object.assign(document.createElement("label"), { className: "Label", htmlFor: name });
    label.textContent = sentence;
    const input = document.createElement(name === "country" ? "select" : "input");
    Object.assign(input, { id: name, name, className: "Input", autocomplete: `${options.mode} ${autocomplete}` });
    if (name !== "country") Object.assign(input, { type: name === "phone" ? "tel" : "text", placeholder: " " });
    input.setAttribute("aria-describedby", `${name}-error`);
    const slip = Object.assign(document.createElement("p"), { className: "Error", id: `${name}-error` });
    slip.dataset.ownWords = "";
    slip.setAttribute("role", "alert");
    field.append(label, input, slip);
    inputs[name] = input;
    return field;
  });
  form.replaceChildren(...rows);
  const { address = {}, ...others } = options.defaultValues ?? {};
  for (const [name, value] of Object.entries({ ...others, ...address }))
    if (inputs[name] && name !== "country") inputs[name].value = value ?? "";
  showCountries(address.country);
}

function showCountries(wanted) {
  const codes = options.allowedCountries?.length ? options.allowedCountries : COUNTRIES;
  offerCountries(inputs.country, locale, { chosen: inputs.country.value || wanted || "GB", codes });
}

const required = (name) => {
  if (name === "phone") return options.validation?.phone?.required === "always";
  if (name === "state") return WITH_STATES.includes(textOf("country"));
  if (name === "postal_code") return ["GB", "US", "CA", "DE", "FR"].includes(textOf("country"));
  return name !== "line2";
};
const lacking = () => Object.keys(inputs).filter((name) => required(name) && textOf(name) === "");

function value() {
  const address = Object.fromEntries(ADDRESS.map(([name]) => [name, textOf(name)]));
  if (!required("state")) address.state = "";
  const split = "firstName" in inputs ? { firstName: textOf("firstName"), lastName: textOf("lastName") } : {};
  const name = "firstName" in inputs ? `${split.firstName} ${split.lastName}`.trim() : textOf("name");
  const phone = "phone" in inputs ? { phone: textOf("phone") } : {};
  return { name, ...split, address: { ...address, line2: address.line2 || null }, ...phone };
}

function state() {
  const empty = Object.keys(inputs).every((name) => name === "country" || textOf(name) === "");
  return { elementMode: options.mode, empty, complete: lacking().length === 0, isNewAddress: true, value: value() };
}

function refresh() {
  document.getElementById("state-field").hidden = !required("state");
  const event = state();
  const change = JSON.stringify(event);
  if (lastChange && lastChange !== change) post({ type: "change", event });
  lastChange = change;
}

function show(name, wrong) {
  document.getElementById(`${name}-error`).textContent = wrong ? say("This field is incomplete.") : "";
  inputs[name].classList.toggle("Input--invalid", wrong);
  if (wrong) inputs[name].setAttribute("aria-invalid", "true");
  else inputs[name].removeAttribute("aria-invalid");
}

/** Show what is missing; {} or {error}, and the payer is taken to the first. */
function validate() {
  const wrong = lacking();
  for (const name of Object.keys(inputs)) show(name, wrong.includes(name));
  if (wrong.length === 0) return {};
  inputs[wrong[0]].focus();
  const message = say("Please fill in your address.");
  return { error: { type: "validation_error", code: "incomplete_address", message } };
}

form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("input", ({ target }) => {
  if (textOf(target.id)) show(target.id, false);
  refresh();
});
form.addEventListener("focusin", ({ relatedTarget }) => !relatedTarget && post({ type: "focus" }));
form.addEventListener("focusout", ({ relatedTarget }) => !relatedTarget && post({ type: "blur" }));
form.addEventListener("keydown", (event) => {
  if (event.key === "Escape") post({ type: "escape" });
  if (event.key === "Enter" && event.target.tagName === "INPUT") {
    event.preventDefault();
    post({ type: "submit" });
  }
});

function speak(wanted) {
  locale = wanted;
  translatePage(locale);
  showCountries();
  for (const name of Object.keys(inputs)) if (document.getElementById(`${name}-error`).textContent) show(name, true);
}

listen({
  init(data) {
    if (options) return;
    ({ options, locale } = data);
    applyAppearance(data.appearance);
    build();
    speak(data.locale);
    refresh();
    main.hidden = false;
    reportHeight(main);
    post({ type: "ready" });
  },
  options(data) {
    const kept = value();
    options = { ...data.options, defaultValues: kept };
    build();
    speak(locale);
    refresh();
  },
  elements(data) {
    applyAppearance(data.appearance);
    speak(data.locale);
  },
  validate,
  value: () => ({ complete: lacking().length === 0, isNewAddress: true, value: value() }),
  focus: () => Object.values(inputs)[0].focus(),
  blur: () => document.activeElement?.blur(),
  clear() {
    for (const input of Object.values(inputs)) if (input.tagName === "INPUT") input.value = "";
    refresh();
  },
});
