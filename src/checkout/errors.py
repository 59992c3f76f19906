"""Every error this app raises; each message says what happened and what to do next."""

from __future__ import annotations

import datetime


class CheckoutError(Exception):
    """Something about a payment cannot be done. The message may be shown to staff, and to a payer where
    `for_payer` is set."""

    for_payer = False


class CannotPay(CheckoutError):
    """This content object cannot be paid for now, or not in this way. The payer may read the message."""

    for_payer = True


class AlreadyPaid(CannotPay):
    """The debt was settled already. Nothing more is taken."""


class AttemptInProgress(CannotPay):
    """Another attempt at the same debt has not been answered yet; a second one could take it twice."""


class TooManyAttempts(CannotPay):
    """This visitor has begun too many attempts, or too many cards were declined: it looks like card testing.

    `until` is when one may try again (aware); `url` is the page on which the visitor may prove to be a person, if the
    site has one (CHECKOUT_CAPTCHA).
    """

    def __init__(self, *, until: datetime.datetime, url: str = "") -> None:
        super().__init__("There were too many attempts at paying. Try again later.")
        self.until = until
        self.url = url


class NoSavedCard(CheckoutError):
    """The customer has no card that may be charged off session."""


class RefundError(CheckoutError):
    """This payment cannot be refunded, or not by that much."""


class PlanError(CheckoutError):
    """A payment plan cannot be made, changed or split as asked."""

    for_payer = True


class MoneyError(CheckoutError, ValueError):
    """An amount or a currency that Stripe would not take."""

    for_payer = True


class IntentMismatch(CheckoutError):
    """Stripe's intent is not the one that was agreed: amount, currency or owner differ. Nothing is settled."""


class OtherAccount(CheckoutError):
    """Stripe does not know what it once gave us: our key is of another account or mode. Nothing is concluded."""


class NotWanted(CheckoutError):
    """For hosts: raise it in `checkout_success`, with the reason, to refuse what was paid ("The course is full.").

    The money is in the books all the same; a problem is opened for staff, who give it back or apply it after all.
    """

    #: Of rows of our own: which sentence of the journal it is, so that it is read in any language.
    code = ""


class StillNeeded(CheckoutError):
    """A payer's personal data cannot be erased yet. The message says why, and nothing was changed."""


class HookFailed(CheckoutError):
    """A hook of the host's raised. Money that came is in the books; the hook is tried again."""


class NotWrittenDown(CheckoutError):
    """The database did not take what Stripe said, so nothing was settled. The next sweep tries again."""


class DifferencesFound(CheckoutError):
    """An audit ended with something left for a person. What it says is shown by the doctor."""


class CannotSettle(CheckoutError):
    """What was asked does not fit this difference between Stripe and our books. The message says why."""


class RunStopped(CheckoutError):
    """A person stopped payment runs, and nobody has let them go on yet. Nothing more is claimed until then."""


class GatewayError(CheckoutError):
    """Above all that can go wrong between us and Stripe."""

    def __init__(self, message: str, *, code: str = "", request_id: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.request_id = request_id


class OutcomeUnknown(GatewayError):
    """No answer, or none that tells: the money may have moved. Never read this as a failure."""


class NothingHappened(GatewayError):
    """Stripe proves that it did not act on the request (it refused before doing any work)."""


class GatewayRefused(NothingHappened):
    """Stripe refused the request itself: something in it is wrong. Sending it again would not help."""


class NotFoundAtStripe(GatewayRefused):
    """Stripe has no object with that id under our key."""


class KeyRefused(NothingHappened):
    """Stripe refused our secret key, or the key may not do this. A person must correct the settings."""


class TooManyRequests(NothingHappened):
    """Stripe was too busy or we were too fast. Send the same again, slower."""


class EventRefused(CheckoutError):
    """What came to the webhook address is not an event that Stripe sent us just now. Nothing is stored."""


class InsideTransaction(RuntimeError):
    """Stripe was about to be called inside a database transaction: a programming error, and so no CheckoutError, which
    callers handle as a payment that could not be made."""
