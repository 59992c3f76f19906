"""Running what a host's row does when it is paid, refused or refunded: inside the transaction that settles."""

from __future__ import annotations

from collections.abc import Callable

from checkout.errors import CheckoutError, HookFailed


def run(hook: Callable[..., object], *args: object) -> None:
    """Call a hook of the contract, a bound method of the host's row.

    Raises HookFailed, which names the hook and its error, for whatever the hook raises but a CheckoutError, which
    passes: it says itself what is wrong.
    """
    try:
        hook(*args)
    except CheckoutError:
        raise
    except Exception as error:
        owner = type(getattr(hook, "__self__", None)).__name__
        raise HookFailed(
            f"{owner}.{getattr(hook, '__name__', 'hook')} raised {type(error).__name__}: {error}. Nothing was settled; "
            "correct the hook and the next sweep settles it."
        ) from error
