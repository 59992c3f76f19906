/* The fields of a card: what is typed is put into groups, checked, and said to be wrong at its field. */

import { post } from "/stripe-js/frame.js";

export const BRANDS = [
  { code: "amex", name: "American Express", test: /^3[47]/, lengths: [15], groups: [4, 6, 5], cvc: 4 },
  {
    code: "diners", name: "Diners Club", test: /^3(?:0[0-5]|095|[689])/, lengths: [14, 16], groups: [4, 4, 4, 4],
    cvc: 3,
  },
  { code: "jcb", name: "JCB", test: /^35/, lengths: [16], groups: [4, 4, 4, 4], cvc: 3 },
  { code: "visa", name: "Visa", test: /^4/, lengths: [16], groups: [4, 4, 4, 4], cvc: 3 },
  { code: "mastercard", name: "Mastercard", test: /^(?:5[1-5]|2[2-7])/, lengths: [16], groups: [4, 4, 4, 4], cvc: 3 },
  { code: "discover", name: "Discover", test: /^6(?:011|4[4-9]|5)/, lengths: [16], groups: [4, 4, 4, 4], cvc: 3 },
  { code: "unionpay", name: "UnionPay", test: /^62/, lengths: [16, 17, 18, 19], groups: [4, 4, 4, 4, 3], cvc: 3 },
];
const UNKNOWN = { code: "unknown", name: "", lengths: [16], groups: [4, 4, 4, 4, 3], cvc: 4 };
const CHECKED = ["number", "expiry", "cvc", "postal"];

const byId = (id) => document.getElementById(id);
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

/* ---- the fields ---- */

export class CardFields {
  /**
   * `say` translates; `postalNeeded()` is the fewest letters of a postal code, 0 where it is not asked; `onChange`
   * hears of all that is typed.
   */
  constructor(form, { say, postalNeeded, onChange }) {
    this.say = say;
    this.postalNeeded = postalNeeded;
    this.onChange = onChange;
    this.inputs = Object.fromEntries(CHECKED.map((name) => [name, byId(name)]));
    form.addEventListener("input", (event) => this.typed(event));
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("focusout", (event) => this.left(event));
    form.addEventListener("focusin", ({ relatedTarget }) => !relatedTarget && post({ type: "focus" }));
    form.addEventListener("keydown", (event) => {
      if (event.key === "Escape") post({ type: "escape" });
      if (event.key === "Enter" && event.target.tagName === "INPUT") {
        event.preventDefault();
        post({ type: "submit" });
      }
    });
  }

  get brand() {
    return brandOf(digitsOf(this.inputs.number.value));
  }

  get empty() {
    return CHECKED.every((name) => this.inputs[name].value === "");
  }

  get complete() {
    return CHECKED.every((name) => this.problem(name) === null);
  }

  /** What is wrong with a field: null, or a code and a sentence; "partial" after them when more typing may mend it. */
  problem(name) {
    const typed = digitsOf(this.inputs[name].value);
    switch (name) {
      case "number": {
        const { lengths } = this.brand;
        if (typed.length >= Math.min(...lengths) && passesLuhn(typed) && lengths.includes(typed.length)) return null;
        if (typed.length < Math.max(...lengths)) {
          return ["incomplete_number", "Your card number is incomplete.", "partial"];
        }
        return ["invalid_number", "Your card number is not valid."];
      }
      case "expiry":
        return expiryProblem(typed);
      case "cvc": {
        const enough = this.brand === UNKNOWN ? 3 : this.brand.cvc;
        return typed.length >= enough ? null : ["incomplete_cvc", "Your security code is incomplete.", "partial"];
      }
      default: {
        const letters = this.inputs.postal.value.replace(/[^0-9a-z]/gi, "");
        if (letters.length >= this.postalNeeded()) return null;
        return ["incomplete_zip", "Your postal code is incomplete.", "partial"];
      }
    }
  }

  show(name, problem) {
    const message = problem ? this.say(problem[1]) : "";
    const node = byId(`${name}-error`);
    if (node.textContent !== message) node.textContent = message;
    const input = this.inputs[name];
    if (problem) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
    input.classList.toggle("Input--invalid", Boolean(problem));
  }

  /** The first thing that the payer is told now, or null: a code and a sentence. */
  get told() {
    const name = CHECKED.find((one) => byId(`${one}-error`).textContent);
    const problem = name && this.problem(name);
    return problem ? [problem[0], this.say(problem[1])] : null;
  }

  /** Show what is wrong; returns {} or {error} with the first problem, and takes the payer there. */
  validate() {
    const found = CHECKED.map((name) => [name, this.problem(name)]).filter(([, problem]) => problem);
    for (const name of CHECKED) this.show(name, this.problem(name));
    this.onChange();
    if (found.length === 0) return {};
    const [name, [code, message]] = found[0];
    this.inputs[name].focus();
    return { error: { type: "validation_error", code, message: this.say(message) } };
  }

  /** Say again, in another language, what was said. */
  repeat() {
    for (const name of CHECKED) if (byId(`${name}-error`).textContent) this.show(name, this.problem(name));
  }

  typed(event) {
    const input = event.target;
    const deleting = event.inputType?.startsWith("delete") ?? false;
    if (input === this.inputs.number) rewrite(input, groupNumber(digitsOf(input.value)));
    else if (input === this.inputs.expiry) rewrite(input, formatExpiry(input.value, deleting));
    else if (input === this.inputs.cvc) rewrite(input, digitsOf(input.value).slice(0, this.brand.cvc));
    for (const name of CHECKED) {
      const problem = this.problem(name);
      const definite = problem && problem.length === 2;
      // While typing, take away what is put right and show only what more typing cannot mend.
      const told = byId(`${name}-error`).textContent;
      if (told && (!problem || this.say(problem[1]) !== told)) this.show(name, null);
      if (definite && this.inputs[name] === input) this.show(name, problem);
    }
    this.refresh();
  }

  left({ target, relatedTarget }) {
    const name = CHECKED.find((one) => this.inputs[one] === target);
    const show = () => {
      if (!name || !target.value) return;
      this.show(name, this.problem(name));
      this.onChange();
    };
    // Not at once for a payer who leaves the frame: growing now would take the button from under the mouse.
    if (relatedTarget) show();
    else setTimeout(show, 250);
    if (!relatedTarget) post({ type: "blur" });
  }

  refresh() {
    byId("brand").textContent = this.brand.name;
    this.inputs.cvc.placeholder = this.say(this.brand.cvc === 4 && this.brand !== UNKNOWN ? "4 digits" : "CVC");
    for (const input of Object.values(this.inputs)) {
      input.classList.toggle("Input--empty", input.value === "");
      input.classList.toggle("Input--complete", input.value !== "" && this.problem(input.id) === null);
    }
    this.onChange();
  }

  clear() {
    for (const name of CHECKED) {
      this.inputs[name].value = "";
      this.show(name, null);
    }
    this.refresh();
  }

  /** The card as the API takes it. */
  card() {
    const digits = digitsOf(this.inputs.expiry.value);
    return {
      number: digitsOf(this.inputs.number.value),
      exp_month: Number(digits.slice(0, 2)), exp_year: 2000 + Number(digits.slice(2)),
      cvc: digitsOf(this.inputs.cvc.value),
    };
  }
}

function expiryProblem(digits) {
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
}

/** One object with what both say; `extra` wins. */
export function merge(into, extra = {}) {
  const merged = { ...into };
  for (const [name, value] of Object.entries(extra ?? {})) {
    const both = value && typeof value === "object" && merged[name] && typeof merged[name] === "object";
    merged[name] = both ? merge(merged[name], value) : value;
  }
  return merged;
}
