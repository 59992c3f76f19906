"""What of Stripe's API is answered and what is not, as a page: `python -m stripe_emulator.coverage > COVERAGE.md`."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path

from .api import ROUTES
from .resources.cards import ISSUED
from .resources.declines import of_network
from .wire.elsewhere import stripe_urls

_HEAD = """# What it answers

Made by `python -m stripe_emulator.coverage`; a test holds it to the code. Every request that stripe-python can send is
on this page. One that is left out is refused with an error that names the emulator.

## Answered

| at | answered | left out |
| --- | --- | --- |
"""
_REST = """
## Left out altogether

| at | requests |
| --- | --- |
"""


_ELEMENTS = """
## Elements of Stripe.js

| there | left out |
| --- | --- |
"""
_DECLINES = """
## Decline codes

Each has cards of the emulator's own: `pm_card_emulator_declines_CODE` and `pm_card_emulator_mastercard_declines_CODE`
can be saved, and every charge is declined with that code. The advice is what Stripe tells merchants to do about the
code, in the words of `advice_code`; the network's are `network_decline_code` and, of a Mastercard,
`network_advice_code`.

| code | Visa | Mastercard | advice | network | Mastercard's |
| --- | --- | --- | --- | --- | --- |
"""


def page() -> str:
    """The page, in Markdown."""
    answered = {(route.method, route.pattern) for route in ROUTES}
    groups: defaultdict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for method, pattern in sorted(stripe_urls(), key=lambda request: (request[1], request[0])):
        name, rest = _group(pattern)
        groups[name][(method, pattern) not in answered].append(f"`{method} {rest}`" if rest else f"`{method}`")
    some = {name: lists for name, lists in groups.items() if lists[0]}
    none = {name: lists[1] for name, lists in groups.items() if not lists[0]}
    rows = "".join(f"| `{name}` | {', '.join(have)} | {', '.join(lack)} |\n" for name, (have, lack) in some.items())
    others = "".join(f"| `{name}` | {len(lack)} |\n" for name, lack in none.items())
    here, elsewhere = elements()
    elements_row = f"| {', '.join(f'`{name}`' for name in here)} | {', '.join(f'`{name}`' for name in elsewhere)} |\n"
    return f"{_HEAD}{rows}{_REST}{others}{_ELEMENTS}{elements_row}{_DECLINES}{_decline_rows()}"


def _decline_rows() -> str:
    rows = []
    for visa, mastercard in zip(ISSUED[::2], ISSUED[1::2], strict=True):
        if visa.decline is None or mastercard.decline is None:
            continue
        decline, by_mastercard = visa.decline, of_network(mastercard.decline, "mastercard").network_advice_code
        cells = [
            f"`{decline.decline_code}`",
            visa.number,
            mastercard.number,
            f"`{decline.advice_code}`" if decline.advice_code else "",
            decline.network_decline_code or "",
            by_mastercard or "",
        ]
        rows.append(f"| {' | '.join(cells)} |\n")
    return "".join(rows)


def elements() -> tuple[list[str], list[str]]:
    """The Elements that Stripe.js can make here, and those that only Stripe's can, as the script itself lists them."""
    script = (Path(__file__).parent / "static" / "stripe.js").read_text()
    here = script.partition("const ELEMENTS = {")[2].partition("\n  };")[0]
    elsewhere = script.partition("const ONLY_AT_STRIPE = [")[2].partition("]")[0]
    return sorted(re.findall(r"^    (\w+): {", here, re.MULTILINE)), sorted(re.findall(r'"(\w+)"', elsewhere))


def _group(pattern: str) -> tuple[str, str]:
    """A path as its resource and the rest: "/v1/checkout/sessions", "/*/expire"."""
    parts = pattern.split("/")
    words = next((place for place, part in enumerate(parts) if part == "*"), len(parts))
    length = min(words, 4 if parts[2] in ("checkout", "radar", "test_helpers") else 3)
    return "/".join(parts[:length]), "".join(f"/{part}" for part in parts[length:])


if __name__ == "__main__":
    sys.stdout.write(page())
