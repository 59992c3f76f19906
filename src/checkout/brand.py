"""How the site looks, said once (CHECKOUT_BRAND)."""

from __future__ import annotations

from typing import Final

from checkout.conf import conf

#: What a site that says nothing looks like. Colours are CSS; `logo` is a whole address, because letters show it.
DEFAULTS: Final = {
    "accent": "#1d5c3f",
    "on_accent": "#ffffff",
    "accent_in_the_dark": "#8fd3b0",
    "font": "-apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif",
    "logo": "",
    # Paths of TrueType files.
    "pdf_font": "",
    "pdf_font_bold": "",
}


def brand() -> dict[str, str]:
    """The site's colours, font and logo, with the defaults for what it does not say."""
    return DEFAULTS | {name: str(value) for name, value in conf.CHECKOUT_BRAND.items()}


def for_letters() -> dict[str, str]:
    """The same, with the style of a letter's button: mail programs read little but what stands at an element."""
    said = brand()
    button = (
        f"background:{said['accent']};color:{said['on_accent']};padding:12px 22px;border-radius:8px;"
        "text-decoration:none;font-weight:bold;display:inline-block"
    )
    return said | {"button": button}
