"""Who of the payers has an account here: whether a mail leads them to the login page or holds a signed link."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from dateutil.relativedelta import relativedelta
from django.contrib.auth import get_user_model
from django.db.models import QuerySet

from checkout import clock
from checkout.conf import conf

if TYPE_CHECKING:
    from django.contrib.auth.models import _User

#: A host's function: takes the contact and nothing else, and is true for those who should be sent to the login page.
CanLoginAndPay: TypeAlias = Callable[[Any], object]


def accounts(contact: object) -> QuerySet[_User]:
    """The active users with the contact's e-mail address, compared without case. `contact` is the content object's
    `checkout_contact`, or itself; without an address it has no account."""
    email = getattr(contact, "checkout_email", "") or getattr(contact, "email", "")
    users = get_user_model()._default_manager
    return users.filter(email__iexact=email, is_active=True) if email else users.none()


def user_has_active_account(contact: object) -> bool:
    """The default of CHECKOUT_CAN_LOGIN_AND_PAY: True if the contact has an account with a usable password, and was
    here within CHECKOUT_ACTIVE_LOGIN_MONTHS."""
    since = clock.now() - relativedelta(months=conf.CHECKOUT_ACTIVE_LOGIN_MONTHS)
    return any(user.has_usable_password() for user in accounts(contact).filter(last_login__gte=since))
