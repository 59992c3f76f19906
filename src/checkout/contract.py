"""What a host's model offers so that it can be paid for: the content object."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from checkout.models import Checkout


@runtime_checkable
class ContentObject(Protocol):
    """The row of the host site that is paid for.

    `checkout_success` and `checkout_fail` run inside the transaction that settles the attempt: they must save what
    they change, be quick, and never call Stripe. `checkout.testing.check_checkout(obj)` proves that a model fits.

    Optional: `checkout_currency` (ISO code; default CHECKOUT_CURRENCY), `checkout_contact` (the person that
    `can_login_and_pay` is asked about), `checkout_user` (who may pay).
    """

    pk: Any

    @property
    def checkout_actions(self) -> list[str]:
        """Slugs of `CheckoutAction` that the payer may choose from."""

    @property
    def checkout_can_charge(self) -> bool:
        """True while money may be taken for this row."""

    @property
    def checkout_description(self) -> list[str]:
        """What is paid for, a line each; the payer reads it."""

    @property
    def checkout_email(self) -> str: ...

    @property
    def checkout_name(self) -> str: ...

    @property
    def checkout_total(self) -> Decimal:
        """What is owed, in whole currency units."""

    def checkout_success(self, checkout: Checkout) -> None:
        """The attempt succeeded."""

    def checkout_fail(self, due: datetime.date | None = None) -> None:
        """The attempt failed for good. `due` is set when it was an instalment of a plan."""

    def checkout_success_url(self, checkout_pk: int) -> str:
        """Where the payer goes after paying."""

    def checkout_fail_url(self, checkout_pk: int) -> str:
        """Where the payer goes when it cannot be paid here."""

    def get_absolute_url(self) -> str: ...


def missing_members(obj: object) -> list[str]:
    """The names of the contract that `obj` lacks, in alphabetical order.

    A property that fails for this row counts as there: its own error tells more than "missing" would.
    """
    names = sorted(name for name in vars(ContentObject) if name.startswith("checkout_") or name == "get_absolute_url")
    return [name for name in names if not hasattr(type(obj), name) and name not in getattr(obj, "__dict__", {})]
