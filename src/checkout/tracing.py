"""Spans of OpenTelemetry for runs, attempts and events, where `opentelemetry-api` is installed (the extra `[tracing]`).

A span holds ids, states and counts; nobody's name or address, and no text of an error, which may hold either. Without
the package nothing is done, and without a site's own tracer provider OpenTelemetry itself does nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Final

try:
    from opentelemetry import context, trace
except ImportError:
    INSTALLED = False
else:
    INSTALLED = True

if TYPE_CHECKING:
    from opentelemetry.context import Context

#: What an attribute may be here.
Value = str | int | float | bool

_NOTHING: Final = nullcontext()


def span(name: str, parent: Context | None = None, **attributes: Value) -> AbstractContextManager[None]:
    """A span around what is done within. Attributes are named `checkout.…`; `parent` is for other threads: `here`."""
    return _span(name, parent, attributes) if INSTALLED else _NOTHING


@contextmanager
def _span(name: str, parent: Context | None, attributes: dict[str, Value]) -> Iterator[None]:
    started = trace.get_tracer("checkout").start_as_current_span(
        name, context=parent, attributes=_named(attributes), record_exception=False, set_status_on_exception=False
    )
    with started as current:
        try:
            yield
        except BaseException as problem:
            current.set_status(trace.StatusCode.ERROR, type(problem).__name__)
            raise


def note(**attributes: Value) -> None:
    """Add to the span that is open, if there is one, how it ended."""
    if INSTALLED:
        trace.get_current_span().set_attributes(_named(attributes))


def here() -> Context | None:
    """Where we are, for spans in other threads."""
    return context.get_current() if INSTALLED else None


def _named(attributes: dict[str, Value]) -> dict[str, Value]:
    return {f"checkout.{name}": value for name, value in attributes.items()}
