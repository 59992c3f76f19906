"""Settings of a Celery worker in a test: as `worker_settings`, with the test's Redis for messages and for the pace."""

import os

from tests.postgres.worker_settings import *  # noqa: F403

CELERY_TASK_ALWAYS_EAGER = False
CELERY_BROKER_URL = os.environ["REDIS_URL"]
# A killed worker's messages come back at once, and not after the minutes that a real site allows.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": int(os.environ["CHECKOUT_TEST_VISIBILITY"]),
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_IGNORE_RESULT = True
CHECKOUT_RATE_LIMIT_REDIS = os.environ["REDIS_URL"]
CHECKOUT_BACKGROUND = "celery"
CHECKOUT_WORKERS = 8
CHECKOUT_CHUNK = int(os.environ.get("CHECKOUT_TEST_CHUNK", "100"))
