"""What a host's model offers so that it can be paid for: the content object."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, _User

    from checkout.models import Checkout

#: Whoever asks for something: a user of the site, a visitor without a login, or nobody (a job).
Actor: TypeAlias = "_User | AnonymousUser | None"


@runtime_checkable
class ContentObject(Protocol):
    """The row of the host site that is paid for.

    `checkout_success` and `checkout_fail` run inside the transaction that settles the attempt: they must save what
    they change, be quick, and never call Stripe. `checkout.testing.check_checkout(obj)` proves that a model fits.

    Optional: `checkout_currency` (ISO code; default CHECKOUT_CURRENCY), `checkout_country` (of the payer, two
    letters), `checkout_contact` (the person that `can_login_and_pay` is asked about), `checkout_user` (whose login
    opens the plan's pages), `checkout_language` (of mails to the payer), `checkout_tax(amount)` (the tax in an
    amount, for the day book), and three more hooks: `checkout_pay_on_session(checkout)` when the bank requires the
    payer, `checkout_refunded(refund)` when money went back, and `checkout_undone(checkout)` when staff undo that it
    was paid by other means. docs/reference.md says when each is called.
    """

    pk: Any

    @property
    def checkout_actions(self) -> list[str]:
        """Slugs of `CheckoutAction` that the payer may choose from."""

    @property
    def checkout_can_charge(self) -> bool:
        """True while money may be taken. Asked again, of the row read anew, after an attempt was inserted."""

    @property
    def checkout_description(self) -> list[str]:
        """What is paid for, a line each; the payer reads it."""

    @property
    def checkout_email(self) -> str:
        """The payer's address. A plan's card is kept on the one customer with this address, compared without case."""

    @property
    def checkout_name(self) -> str:
        """The payer's name, as mails and staff call them."""

    @property
    def checkout_total(self) -> Decimal:
        """What is owed, in whole currency units."""

    def checkout_success(self, checkout: Checkout) -> None:
        """The attempt succeeded: it was paid, or a plan (`checkout.is_payment_plan`) or an invoice (`is_invoice`) was
        agreed and nothing was taken yet."""

    def checkout_fail(self, due: datetime.date | None = None) -> None:
        """The attempt failed for good. `due` is set when it was an instalment of a plan."""

    def checkout_success_url(self, checkout_pk: int) -> str:
        """Where the payer goes after paying."""

    def checkout_fail_url(self, checkout_pk: int) -> str:
        """Where "try again" leads when it was not paid."""

    def get_absolute_url(self) -> str:
        """The row's own page, for staff."""


def actor(user: Actor) -> _User | None:
    """Who did it, for a column that points at a user; None for a visitor without a login, and for a job."""
    return None if user is None or user.pk is None else user


def missing_members(obj: object) -> list[str]:
    """The names of the contract that `obj` lacks, in alphabetical order.

    A property that fails for this row counts as there: its own error tells more than "missing" would.
    """
    return [name for name in missing_members_of(type(obj)) if name not in getattr(obj, "__dict__", {})]


def hooks_of_a_proxy(model: Any) -> list[str]:
    """The members of the contract that a proxy model changes, in alphabetical order. What is paid for is found again as
    a row of its table, so those of the concrete model would be asked instead."""
    if not model._meta.proxy:
        return []
    concrete = model._meta.concrete_model
    names = sorted(name for name in dir(model) if name.startswith("checkout_") or name == "get_absolute_url")
    return [name for name in names if getattr(model, name) is not getattr(concrete, name, None)]


def missing_members_of(model: type) -> list[str]:
    """The same of a class."""
    names = sorted(name for name in vars(ContentObject) if name.startswith("checkout_") or name == "get_absolute_url")
    return [name for name in names if not hasattr(model, name)]
