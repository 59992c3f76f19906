"""Whether what staff do can be undone, and how: the sentences that several of their pages share."""

from __future__ import annotations

from typing import Any, Final

from django.utils.translation import gettext_lazy as _

NOTHING: Final[Any] = _("There is nothing to undo: it only looks, or tries again.")
AGAIN: Final[Any] = _("It can be changed again at any time.")
FOR_GOOD: Final[Any] = _("It cannot be undone.")
PAID: Final[Any] = _("It can be undone afterwards, on the page of what was paid.")
CHARGE: Final[Any] = _("A charge cannot be undone, but refunded.")
REFUND: Final[Any] = _("Money that went back cannot be called back.")
MAIL: Final[Any] = _("A mail that was sent cannot be called back.")
LINKS: Final[Any] = _("It cannot be undone; send a new link.")
PROPOSE: Final[Any] = _("It cannot be undone, but the same can be proposed again.")
