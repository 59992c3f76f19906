"""The example shop as tests see it: SQLite, no sleeping, no mail sent, Stripe set by fixtures."""

import os

from example_checkout.settings import *  # noqa: F403
from example_checkout.settings import DATABASES, INSTALLED_APPS
from tests.migrated import FOLDER

DEBUG = False
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
INSTALLED_APPS = [*INSTALLED_APPS, "tests.host"]

# A file, because browser tests use several threads; each worker has its own.
_worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
FOLDER.mkdir(exist_ok=True)
DATABASES["default"]["TEST"] = {"NAME": FOLDER / f"{_worker}-{os.getpid()}.sqlite3"}
DATABASES["default"]["OPTIONS"]["init_command"] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;"

POST_OFFICE = {
    "BACKENDS": {"default": "django.core.mail.backends.locmem.EmailBackend"},
    "CELERY_ENABLED": False,
    "DEFAULT_PRIORITY": "medium",
}
STRIPE_SECRET_KEY, STRIPE_PUBLISH_KEY = "sk_test_emulator", "pk_test_emulator"
USES_EMULATOR = True
CHECKOUT_STRIPE_API_BASE = ""
CHECKOUT_STRIPE_MAX_RETRIES = 0
CHECKOUT_STRIPE_HTTP_CLIENT = "tests.no_stripe.refuse"
CELERY_TASK_ALWAYS_EAGER = True
