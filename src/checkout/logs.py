"""Log formatters that show what our lines carry beside their text: ids, states, Stripe's request id, time taken.

    LOGGING = {
        "version": 1,
        "formatters": {"checkout": {"()": "checkout.logs.KeyValueFormatter"}},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "checkout"}},
        "loggers": {"checkout": {"handlers": ["console"], "level": "INFO"}},
    }

No line of ours at INFO or above holds a key, a card number, a client secret, or a payer's name or e-mail address.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

#: What every record has; the rest was added by whoever logged.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def extras(record: logging.LogRecord) -> dict[str, Any]:
    """What was logged beside the text."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD and value not in ("", None)}


class KeyValueFormatter(logging.Formatter):
    """`2026-11-23 18:00:00 INFO checkout.fulfillment checkout 7 -> success | checkout=7 intent=pi_… from=pending …`"""

    default_time_format = "%Y-%m-%d %H:%M:%S"
    default_msec_format = ""

    def __init__(self) -> None:
        super().__init__("{asctime} {levelname} {name} {message}", style="{")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        pairs = " ".join(f"{name}={_word(value)}" for name, value in extras(record).items())
        return f"{super().formatMessage(record)} | {pairs}" if pairs else super().formatMessage(record)


class JsonFormatter(logging.Formatter):
    """One JSON object a line, for log stores."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **extras(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def _word(value: Any) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if any(letter in text for letter in ' "=\n') else text
