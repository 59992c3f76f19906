"""Running what a host's row does when it is paid, declined or refunded: inside the transaction that settles."""

from __future__ import annotations

from checkout.errors import CheckoutError, HookFailed


def has(row: object, name: str) -> bool:
    """True for a row that has this optional hook."""
    return getattr(row, name, None) is not None


def run(row: object, name: str, *args: object) -> None:
    """Call a hook of the contract on the host's row.

    Raises HookFailed, which names the hook and its error, for whatever the hook raises but a CheckoutError, which
    passes: it says itself what is wrong.
    """
    try:
        getattr(row, name)(*args)
    except CheckoutError:
        raise
    except Exception as error:
        raise HookFailed(
            f"{type(row).__name__}.{name} raised {type(error).__name__}: {error}. Correct the hook; it is tried again."
        ) from error
