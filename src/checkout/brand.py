"""How the site looks, said once (CHECKOUT_BRAND): in letters, on payment pages and, through those, in Stripe's form."""

from __future__ import annotations

from typing import Final

from checkout.conf import conf

#: What a site that says nothing looks like. Colours are CSS; `logo` is a whole address, because letters show it.
DEFAULTS: Final = {
    "accent": "#1d5c3f",
    "on_accent": "#ffffff",
    "accent_in_the_dark": "#8fd9b2",
    "on_accent_in_the_dark": "#0d2418",
    "font": "-apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif",
    "logo": "",
    # Paths of TrueType files.
    "pdf_font": "",
    "pdf_font_bold": "",
}


def brand() -> dict[str, str]:
    """The site's colours, font and logo, with the defaults for what it does not say. Where it says no colours for the
    dark, those by day are the site's in the dark, too."""
    own = {name: str(value) for name, value in conf.CHECKOUT_BRAND.items()}
    dark = {f"{name}_in_the_dark": own[name] for name in ("accent", "on_accent") if name in own}
    return DEFAULTS | dark | own


def stylesheet() -> str:
    """What the payment pages take from it, as CSS: only what the site says, so that a stylesheet of its own goes on to
    decide the rest. It weighs no more than our own defaults."""
    said, own = brand(), conf.CHECKOUT_BRAND.keys()
    rules = [
        f"--checkout-{name.replace('_', '-')}: light-dark({said[name]}, {said[f'{name}_in_the_dark']});"
        for name in ("accent", "on_accent")
        if own & {name, f"{name}_in_the_dark"}
    ]
    sheet = f":where(.checkout) {{ {' '.join(rules)} }}\n" if rules else ""
    if "font" in own:
        sheet += f".checkout-page body, :where(.checkout) {{ font-family: {said['font']}; }}\n"
    return sheet


def for_letters() -> dict[str, str]:
    """The same, with the style of a letter's button: mail programs read little but what stands at an element."""
    said = brand()
    button = (
        f"background:{said['accent']};color:{said['on_accent']};padding:12px 22px;border-radius:8px;"
        "text-decoration:none;font-weight:bold;display:inline-block"
    )
    return said | {"button": button}
