"""The example shop on SQLite and the emulator. `settings_production` shows a real site's."""

from __future__ import annotations

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent
VAR_DIR = Path(os.environ.get("CHECKOUT_DEMO_DIR", BASE_DIR.parent / "var" / "demo"))

SECRET_KEY = "only-for-the-example-shop-on-this-computer"  # noqa: S105 - it guards nothing
DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "post_office",
    "checkout",
    "example_checkout",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "example_checkout.middleware.ContentSecurityPolicyMiddleware",
]

ROOT_URLCONF = "example_checkout.urls"
WSGI_APPLICATION = "example_checkout.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "example_checkout.context.shop",
            ],
        },
    },
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": VAR_DIR / "shop.sqlite3",
        "OPTIONS": {
            # Several processes write: a writer waits instead of failing, and readers are never in its way.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
        },
    }
}

AUTH_PASSWORD_VALIDATORS: list[dict[str, str]] = []
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "project.home"
LOGOUT_REDIRECT_URL = "project.home"

LANGUAGE_CODE = "en-gb"
# Not every language that Django knows: a visitor whose browser asks for American English reads British dates here.
LANGUAGES = [("en-gb", "English"), ("de", "Deutsch")]
TIME_ZONE = "Europe/London"
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"

# Not post_office's own, which would run the text of every mail of Django's as a template. checkout queues by itself.
EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
DEFAULT_FROM_EMAIL = "Green Lane College <office@green-lane.example>"
POST_OFFICE = {
    "BACKENDS": {"default": "django.core.mail.backends.filebased.EmailBackend"},
    "CELERY_ENABLED": False,
    "MESSAGE_ID_ENABLED": False,
}
EMAIL_FILE_PATH = str(VAR_DIR / "mail")

# The emulator, unless real test keys are given.
EMULATOR_URL = f"http://127.0.0.1:{os.environ.get('EMULATOR_PORT', '12111')}"
STRIPE_SECRET_KEY = os.environ.get("STRIPE_SECRET_KEY", "")
STRIPE_PUBLISH_KEY = os.environ.get("STRIPE_PUBLISH_KEY", "")
STRIPE_CAPTION = "Green Lane College"
CHECKOUT_ORGANISATION = {
    "name": "Green Lane College",
    "address": "4 Green Lane\nMarket Newton",
    "tax_number": "GB 999 9999 73",
    "payment_details": "Please pay within 14 days to Green Lane College, sort code 00-00-00, account 12345678.",
}
USES_EMULATOR = not (STRIPE_SECRET_KEY and STRIPE_PUBLISH_KEY)
if USES_EMULATOR:
    STRIPE_SECRET_KEY, STRIPE_PUBLISH_KEY = "sk_test_emulator", "pk_test_emulator"
    CHECKOUT_STRIPE_API_BASE = EMULATOR_URL
    CHECKOUT_STRIPE_JS_URL = f"{EMULATOR_URL}/stripe.js"
CHECKOUT_WEBHOOK_SECRET = os.environ.get("CHECKOUT_WEBHOOK_SECRET", "whsec_demo")
CHECKOUT_BASE_TEMPLATE = "example/base.html"
CHECKOUT_BASE_URL = f"http://127.0.0.1:{os.environ.get('PORT', '8000')}"
CHECKOUT_CONTACT_TEXT = "Green Lane College office, telephone 01632 960 123"
