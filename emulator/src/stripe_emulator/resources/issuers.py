"""What the bank that issued a card says to a charge, and what Stripe no longer asks it.

Beyond what its number stands for, a card may be told to decline, be short of funds for some days, or belong to a bank
with moods; and after too many declines Stripe blocks further tries itself.
"""

from __future__ import annotations

from hashlib import blake2b

from stripe_emulator.core.tables import JSON
from stripe_emulator.core.world import DAY, World

from . import payment_methods
from .cards import Card
from .declines import TOO_MANY_TRIES, Decline, decline_for

# Stripe stops after the fifteenth decline of one card and amount (stripe.com/support, "excessive retries"); the card
# networks count thirty days, and an approval begins the count anew.
TRIES, TRIES_DAYS = 15, 30


def habits(world: World) -> JSON:
    """How issuers behave in general: kept with the state. See `Bank`."""
    found = world.hide("issuers")
    found.setdefault("tries", TRIES)
    found.setdefault("days", TRIES_DAYS)
    return found


def answer(world: World, method: JSON, card: Card, intent: JSON) -> Decline | None:
    """The decline of a charge of the intent's amount, or None: it is approved. Each answer is remembered."""
    fingerprint, amount = method["card"]["fingerprint"], f"{intent['amount']}{intent['currency']}"
    history = world.hide(f"issuer/{fingerprint}")
    general = habits(world)
    young = world.now() - general["days"] * DAY
    tries = [at for at in history.get(amount, []) if at > young]
    if general["tries"] is not None and len(tries) >= general["tries"]:
        return TOO_MANY_TRIES
    decline = _queued(world, method) or _for_some_days(world, method) or card.decline or _mood(world, general, method)
    if decline is None or decline.blocked:
        history.pop(amount, None)
    else:
        history[amount] = [*tries, world.now()]
    return decline


def _queued(world: World, method: JSON) -> Decline | None:
    """A decline set by a test comes first and is used up by it."""
    queue = payment_methods.facts(world, method).get("declines")
    return decline_for(*queue.pop(0)) if queue else None


def _for_some_days(world: World, method: JSON) -> Decline | None:
    until, code = payment_methods.facts(world, method).get("declines_until") or (0, "")
    return decline_for(code) if world.now() < until else None


def _mood(world: World, general: JSON, method: JSON) -> Decline | None:
    """By seed, card and day: the same card on the same day gets the same answer, in every run with that seed."""
    moods = general.get("moods")
    if not moods:
        return None
    day = int(world.now()) // DAY
    digest = blake2b(f"{world.ids.seed}/{method['card']['fingerprint']}/{day}".encode(), digest_size=8).digest()
    chance = int.from_bytes(digest[:4], "big") / 2**32
    if chance >= moods["rate"]:
        return None
    return decline_for(moods["codes"][digest[4] % len(moods["codes"])])
