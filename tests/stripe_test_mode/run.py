"""Play the main flows at Stripe, in test mode, and at the emulator, and tell what differs: `make stripe`.

    STRIPE_SECRET_KEY=sk_test_… make stripe [STRIPE_ARGS="refund"]

Everything is made afresh under a description that says so; nothing of the account is changed or removed. Ends with 0
when nothing differs, 1 when something does, 2 without a key, and with a live one: these flows charge cards.
"""

from __future__ import annotations

import argparse
import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

NO_KEY = (
    "make stripe plays the main flows at Stripe itself, in test mode, so it needs a test key of your own: "
    "STRIPE_SECRET_KEY=sk_test_… make stripe (dashboard.stripe.com > Developers > API keys, in a sandbox)."
)
LIVE_KEY = "STRIPE_SECRET_KEY is a live key. These flows charge cards, so they run with a test key (sk_test_…) only."


def main(arguments: list[str] | None = None) -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("words", nargs="*", help="only flows whose name has one of these words")
    options.add_argument("--base", default="", help="where Stripe answers, when it is another emulator")
    chosen = options.parse_args(arguments)
    key = os.environ.get("STRIPE_SECRET_KEY", "")
    if not key:
        print(NO_KEY, file=sys.stderr)
        return 2
    if not key.startswith(("sk_test_", "rk_test_")):
        print(LIVE_KEY if "_live_" in key else NO_KEY, file=sys.stderr)
        return 2

    import django

    django.setup()
    from tests.stripe_test_mode.compare import at_stripe, at_the_emulator, compare
    from tests.stripe_test_mode.flows import FLOWS

    stripe_side, emulator_side = at_stripe(key, chosen.base), at_the_emulator()
    differences = flows = facts = answers = 0
    for flow in FLOWS:
        if chosen.words and not any(word in flow.__name__ for word in chosen.words):
            continue
        found = compare(flow, stripe_side, emulator_side)
        flows, differences = flows + 1, differences + len(found)
        facts, answers = facts + len(stripe_side.facts), answers + len(stripe_side.recorder.answers)
        print(f"{flow.__name__.replace('_', ' ')}: {'the same' if not found else f'{len(found)} differ'}", flush=True)
        print("".join(f"  {words}\n" for words in found), end="", flush=True)
    print(f"{flows} flows, {facts} facts, {answers} answers of Stripe; {differences} differ")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
