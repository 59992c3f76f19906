"""How a real site would set the example up: PostgreSQL, keys from the environment, HTTPS only."""

from __future__ import annotations

import os
from urllib.parse import parse_qsl, unquote, urlsplit

from checkout.timetable import CELERY_BEAT_SCHEDULE  # noqa: F401 - a setting by this name
from example_checkout.settings import *  # noqa: F403
from example_checkout.settings import TIME_ZONE

DEBUG = False
# `check --deploy` reads this file too, so a missing secret must not be an import error; an empty one is refused by it.
SECRET_KEY = os.environ.get("SECRET_KEY", "")
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "shop.example").split(",")

_database = urlsplit(os.environ.get("DATABASE_URL", "postgres:///shop"))
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _database.path.lstrip("/"),
        "USER": unquote(_database.username or ""),
        "PASSWORD": unquote(_database.password or ""),
        "HOST": _database.hostname or "",
        "PORT": str(_database.port or ""),
        # ?sslmode=require, ?host=/run/postgresql and what else psycopg knows.
        "OPTIONS": dict(parse_qsl(_database.query)),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }
}
REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}
CELERY_BROKER_URL = REDIS_URL
# A task that a killed worker had taken is given to another after so many seconds; the longest task takes ten minutes.
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 900}
CELERY_TIMEZONE = TIME_ZONE

STRIPE_SECRET_KEY = os.environ.get("STRIPE_SECRET_KEY", "")
STRIPE_PUBLISH_KEY = os.environ.get("STRIPE_PUBLISH_KEY", "")
# One secret, or two with a comma between them while Stripe rolls it.
CHECKOUT_WEBHOOK_SECRET = os.environ.get("CHECKOUT_WEBHOOK_SECRET", "")
CHECKOUT_BACKGROUND = "celery"
CHECKOUT_RATE_LIMIT_REDIS = REDIS_URL
USES_EMULATOR = False
CHECKOUT_STRIPE_API_BASE = ""
CHECKOUT_STRIPE_JS_URL = "https://js.stripe.com/endive/stripe.js"
CHECKOUT_BASE_URL = f"https://{ALLOWED_HOSTS[0]}"

SECURE_SSL_REDIRECT = True
SECURE_HSTS_SECONDS = 31_536_000
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
CHECKOUT_NOTIFY_EMAILS = os.environ.get("CHECKOUT_NOTIFY_EMAILS", "office@green-lane.example").split(",")
EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
POST_OFFICE = {
    "BACKENDS": {"default": "django.core.mail.backends.smtp.EmailBackend"},
    "CELERY_ENABLED": False,
}
