"""What an object's page offers to have done: by the payer, at the bank, or by staff in the Dashboard."""

from typing import Any, Final

from stripe_emulator.resources.disputes import possible_verdicts

from .markup import Html, field, form, select, tag

JSON = dict[str, Any]
DECLINES: Final = [
    ("insufficient_funds", "Insufficient funds"),
    ("authentication_required", "Authentication required"),
    ("generic_decline", "Declined without a reason"),
    ("expired_card", "Expired card"),
    ("lost_card", "Lost card"),
    ("do_not_honor", "Do not honor"),
]
REASONS: Final = [
    ("fraudulent", "Fraudulent"),
    ("product_not_received", "Product not received"),
    ("subscription_canceled", "Subscription cancelled"),
    ("general", "General"),
]
VERDICTS: Final = {
    "won": "We win",
    "lost": "We lose",
    "warning_closed": "The inquiry is closed",
    "needs_response": "The inquiry becomes a chargeback",
}


def bank_section(row: JSON) -> list[Html]:
    """A heading and forms; nothing for an object to which nothing can happen now."""
    offers = {"payment_intent": _intent, "setup_intent": _intent, "payment_method": _method, "dispute": _dispute}
    offer = offers.get(str(row.get("object")))
    forms = [] if offer is None else offer(row)
    return [tag("h2", "What may happen to it"), *forms] if forms else []


def _intent(row: JSON) -> list[Html]:
    if row["status"] == "requires_action":
        passes = _button(row, "complete_challenge", "The payer authenticates")
        return [_buttons(passes, _button(row, "fail_challenge", "The payer fails to authenticate"))]
    if row["object"] == "setup_intent" or row["status"] != "succeeded":
        return []
    hint = "in the smallest unit of the currency; empty for all that is left"
    amount = field("Amount", "amount", hint=hint, inputmode="numeric")
    reason = select("Reason", "reason", REASONS)
    kind = select("As", "inquiry", [("false", "a chargeback"), ("true", "an inquiry")])
    return [
        _form(row, "refund", "Refund it in the Dashboard", amount),
        _form(row, "dispute", "The payer disputes it", reason, kind),
    ]


def _method(row: JSON) -> list[Html]:
    card = row["card"]
    renewed = [
        field("Month", "exp_month", inputmode="numeric", required=True, value=card["exp_month"]),
        field("Year", "exp_year", inputmode="numeric", required=True, value=card["exp_year"] + 3),
        field("Last four digits", "last4", hint="when the number is new too", inputmode="numeric"),
    ]
    return [
        _form(row, "decline_next", "Decline the next charge", select("Decline", "decline_code", DECLINES)),
        _form(row, "replace_card", "The bank replaces the card", *renewed),
    ]


def _dispute(row: JSON) -> list[Html]:
    verdicts = possible_verdicts(row)
    buttons = [_button(row, "decide_dispute", VERDICTS[one], status=one) for one in verdicts]
    return [_buttons(*buttons)] if buttons else []


def _form(row: JSON, do: str, text: str, *fields: Html) -> Html:
    return form("/panel/bank", text, *fields, class_="row", do=do, object=row["id"])


def _button(row: JSON, do: str, text: str, **hidden: str) -> Html:
    return form("/panel/bank", text, do=do, object=row["id"], **hidden)


def _buttons(*buttons: Html) -> Html:
    return tag("div", *buttons, class_="buttons")
