"""The test settings on PostgreSQL. `python -m tests.postgres_server -- pytest …` provides the server."""

import os
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from tests.settings import *  # noqa: F403


def database(url: str) -> dict[str, object]:
    """Django's words for postgresql://USER:PASSWORD@HOST:PORT/NAME; `?host=/folder` names a Unix socket."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/") or "postgres",
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", parts.hostname or ""),
        "PORT": str(parts.port or ""),
        "OPTIONS": options,
    }


if not os.environ.get("DATABASE_URL"):
    raise ImproperlyConfigured(
        "DATABASE_URL is not set. Run `python -m tests.postgres_server -- pytest …`, which starts one "
        "and sets it, or set it to a server of yours: postgresql://user:password@host/name"
    )

DATABASES = {"default": database(os.environ["DATABASE_URL"])}
