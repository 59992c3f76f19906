"""A sign of life to somebody outside: a cron that has died cannot report itself."""

from __future__ import annotations

import logging
import urllib.request
from typing import Final

from checkout.conf import conf

logger = logging.getLogger("checkout.jobs")

#: Seconds. The job has done its work; nothing waits for this.
PATIENCE: Final = 5


def beat(job: str, *, well: bool) -> None:
    """Fetch CHECKOUT_HEARTBEAT_URL for a job that ended. Never raises: what the job did is done."""
    template = conf.CHECKOUT_HEARTBEAT_URL
    if not template:
        return
    url = template.replace("{job}", job).replace("{state}", "success" if well else "fail")
    try:
        if not url.startswith(("https://", "http://")):
            raise ValueError("CHECKOUT_HEARTBEAT_URL is not a web address")
        with urllib.request.urlopen(url, timeout=PATIENCE):  # noqa: S310 - the scheme was looked at  # nosec B310
            pass
    except (OSError, ValueError) as problem:
        logger.warning("no sign of life of %s was taken: %s", job, type(problem).__name__)
