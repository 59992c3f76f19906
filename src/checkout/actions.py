"""What a checkout does: the actions, and whether each takes money now."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext, gettext_noop

PAYMENT: Final = "payment"
PAYMENT_PLAN: Final = "payment_plan"
CARD_REFRESH: Final = "card_refresh"
CHARGE: Final = "charge"
MANUAL: Final = "manual"
INVOICE: Final = "invoice"

#: slug -> (name that staff read, in English; takes money now). The rows of `CheckoutAction` are made from it.
ACTIONS: Final[dict[str, tuple[str, bool]]] = {
    PAYMENT: (gettext_noop("Payment"), True),
    PAYMENT_PLAN: (gettext_noop("Payment plan"), False),
    CARD_REFRESH: (gettext_noop("Card refresh"), False),
    CHARGE: (gettext_noop("Charge"), True),
    MANUAL: (gettext_noop("Manual"), True),
    INVOICE: (gettext_noop("Invoice"), False),
}

#: Written out, because a database constraint cannot look into another table.
TAKES_MONEY: Final = tuple(slug for slug, (_, payment) in ACTIONS.items() if payment)

#: These go through Stripe, so a success has an intent to show for it.
BY_CARD: Final = (PAYMENT, CHARGE)

#: A payer starts these; the others belong to staff or to the run.
SAVES_CARD: Final = (PAYMENT_PLAN, CARD_REFRESH)

#: Of these one may be open at a time for a content object: who agrees to a plan in one tab and pays at once in another
#: would otherwise pay twice. An invoice takes nothing and may wait beside them.
ONE_AT_A_TIME: Final = (*TAKES_MONEY, *SAVES_CARD)


def name_of(slug: str) -> str:
    """The name that staff read, in the language that is active."""
    return gettext(ACTIONS[slug][0])
