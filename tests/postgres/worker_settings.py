"""Settings of a second process in a test: the test's own database, and the emulator over HTTP."""

import os

from tests.settings_postgres import *  # noqa: F403
from tests.settings_postgres import DATABASES

DATABASES["default"]["NAME"] = os.environ["CHECKOUT_TEST_DATABASE"]
CHECKOUT_STRIPE_HTTP_CLIENT = ""
CHECKOUT_STRIPE_API_BASE = os.environ["CHECKOUT_TEST_EMULATOR"]
CHECKOUT_RATE_LIMIT = 10_000
CHECKOUT_LEASE_MINUTES = 1
