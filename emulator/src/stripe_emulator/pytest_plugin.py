"""Fixtures for tests of any project that talks to Stripe. Installed with the package, nothing to configure.

Every test gets an emulator of its own. Nothing heavy is imported until a fixture is asked for, since pytest loads this
module in every project that has the package installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import stripe

    from stripe_emulator import Clock, Emulator
    from stripe_emulator.core.weather import Weather
    from stripe_emulator.ledger import Ledger


@pytest.fixture
def stripe_emulator(request: pytest.FixtureRequest) -> Emulator:
    """An empty `Emulator`: the stand-in for Stripe of this one test. Its ids are the same in every run of the test."""
    from zlib import crc32

    from stripe_emulator import Emulator

    return Emulator(seed=crc32(request.node.nodeid.encode()))


@pytest.fixture
def stripe_client(stripe_emulator: Emulator) -> stripe.StripeClient:
    """A real `stripe.StripeClient` whose requests `stripe_emulator` answers, in process. It never retries by itself."""
    import stripe

    return stripe.StripeClient(
        stripe_emulator.secret_key, http_client=stripe_emulator.transport(), max_network_retries=0
    )


@pytest.fixture
def stripe_clock(stripe_emulator: Emulator) -> Clock:
    """The emulator's clock: `stripe_clock.advance(days=1)`."""
    return stripe_emulator.clock


@pytest.fixture
def stripe_ledger(stripe_emulator: Emulator) -> Ledger:
    """What was really taken: `stripe_ledger.net_minor(currency="gbp")`."""
    return stripe_emulator.ledger


@pytest.fixture
def stripe_weather(stripe_emulator: Emulator) -> Weather:
    """Faults to come: `stripe_weather.add(faults.LostAfter(), path="/v1/payment_intents")`."""
    return stripe_emulator.weather


@pytest.fixture
def stripe_emulator_url(stripe_emulator: Emulator) -> Iterator[str]:
    """The base URL of `stripe_emulator` over HTTP, for browsers and other programs. Needs the extra `server`."""
    from stripe_emulator.server import serve_in_thread

    with serve_in_thread(stripe_emulator) as base:
        yield base
