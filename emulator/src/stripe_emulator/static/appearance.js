/* What a page may say about the looks of its Elements (https://docs.stripe.com/elements/appearance-api). */

// By variable of Stripe's: the property of frame.css that it sets, and the CSS property that it must be good for.
const VARIABLES = {
  borderRadius: ["--radius", "border-radius"],
  colorBackground: ["--background", "background-color"],
  colorDanger: ["--danger", "color"],
  colorPrimary: ["--primary", "color"],
  colorText: ["--text", "color"],
  colorTextPlaceholder: ["--placeholder", "color"],
  colorTextSecondary: ["--muted", "color"],
  fontFamily: ["--font", "font-family"],
  fontLineHeight: ["--line", "line-height"],
  fontSizeBase: ["--size", "font-size"],
  fontSizeSm: ["--small", "font-size"],
  fontWeightMedium: ["--medium", "font-weight"],
  fontWeightNormal: ["--weight", "font-weight"],
  gridColumnSpacing: ["--columns", "column-gap"],
  gridRowSpacing: ["--rows", "row-gap"],
  spacingUnit: ["--unit", "padding"],
};
// Classes that Stripe's frames have and that ours have too; with their states, as `.Input--invalid` and `.Input:focus`.
const SELECTOR = /^\.(?:AccordionItem|Block|Error|Input|Label|RadioIcon|TermsText)(?:--[a-z]+)?(?:::?[a-z-]+)*$/;
const FORBIDDEN = /url\(|image-set\(|expression\(|[{};@\\]/i;

const sheet = new CSSStyleSheet();
document.adoptedStyleSheets = [sheet];

const dashed = (name) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** Theme, variables, rules and the place of the labels. What is not known is told on the console, and left out. */
export function applyAppearance(appearance = {}) {
  const root = document.documentElement;
  root.dataset.theme = ["night", "flat"].includes(appearance.theme) ? appearance.theme : "stripe";
  root.dataset.labels = appearance.labels === "floating" ? "floating" : "above";
  for (const [name, [property, kind]] of Object.entries(VARIABLES)) {
    const value = appearance.variables?.[name];
    if (typeof value === "string" && CSS.supports(kind, value) && !FORBIDDEN.test(value)) {
      root.style.setProperty(property, value);
    } else root.style.removeProperty(property);
  }
  applyRules(appearance.rules ?? {});
}

/** Rules as {".Input": {borderColor: "#888"}}. They are written through the CSSOM: no page style gets in as text. */
export function applyRules(rules) {
  while (sheet.cssRules.length > 0) sheet.deleteRule(0);
  for (const [selector, declarations] of Object.entries(rules)) {
    if (!SELECTOR.test(selector)) {
      console.warn(`The emulator's Elements have nothing that the rule ${selector} is for.`);
      continue;
    }
    const { style } = sheet.cssRules[sheet.insertRule(`${selector} {}`, sheet.cssRules.length)];
    for (const [name, value] of Object.entries(declarations)) {
      const property = dashed(name);
      if (FORBIDDEN.test(value) || !CSS.supports(property, value)) {
        console.warn(`The rule ${selector} has a ${name} that Elements do not take: ${value}`);
      } else style.setProperty(property, value);
    }
  }
}
