"""Why things moved (`StateChange`) and why an attempt failed (`Checkout.failure_code`): codes, kept in the books, and
the sentences that they are shown as, made in the language of whoever reads them.

What a person wrote, or Stripe said, is a note: it is shown as it was written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Final

from django.db.models import TextChoices
from django.utils.translation import gettext, gettext_noop, override
from django.utils.translation import gettext_lazy as _

from checkout import actions

#: What a sentence may name: numbers, ids, codes of Stripe's, dates as 2026-01-31.
Facts = Mapping[str, int | str]


class Code(TextChoices):
    """Why something moved. The value stands in the books for good; the sentence may be reworded at any time.

    The placeholders of a sentence are the facts that its uses have to give.
    """

    # What is begun, named after its action.
    PAYMENT_BEGUN = "payment_begun", _("Payment begun")
    PAYMENT_PLAN_BEGUN = "payment_plan_begun", _("Payment plan begun")
    CARD_REFRESH_BEGUN = "card_refresh_begun", _("Card refresh begun")
    CHARGE_BEGUN = "charge_begun", _("Charge begun")
    MANUAL_BEGUN = "manual_begun", _("Manual begun")
    INVOICE_BEGUN = "invoice_begun", _("Invoice begun")

    # What we did, or staff, or the payer.
    ASKED_FOR = "asked_for", _("Asked for")
    ASKED_BY_LINK = "asked_by_link", _("Asked to pay by link")
    ANOTHER_PAYER = "another_payer", _("Another payer has taken over the plan")
    APPROVED = "approved", _("Approved by a second person")
    CANCELLED_BY_STAFF = "cancelled_by_staff", _("Cancelled by staff")
    CHANGE_OVERTAKEN = "change_overtaken", _("Change %(number)s was overtaken, and nothing was changed")
    CHANGE_PROPOSED = "change_proposed", _("Change %(number)s waits for the payer")
    CHANGE_REFUSED = "change_refused", _("The payer refused change %(number)s")
    CHANGE_WITHDRAWN = "change_withdrawn", _("Change %(number)s was withdrawn")
    CLAIMED = "claimed", _("Claimed")
    CUSTOMER_MERGED = "customer_merged", _("%(customer)s was merged into this one")
    DONE_FOR_NOW = "done_for_now", _("Nothing to do until it is declined anew")
    DUE_CHANGED = "due_changed", _("Due %(before)s → %(due)s")
    DUE_MOVED_BY_PAYER = "due_moved_by_payer", _("The payer moved it: due %(before)s → %(due)s")
    EMAIL_CORRECTED = "email_corrected", _("E-mail address %(before)s → %(after)s")
    EVIDENCE_KEPT = "evidence_kept", _("Evidence for dispute %(dispute)s was kept at Stripe")
    EVIDENCE_SENT = "evidence_sent", _("Evidence for dispute %(dispute)s was sent to the bank")
    INVOICE_ASKED_FOR = "invoice_asked_for", _("Invoice asked for")
    LINK_SENT_AGAIN = "link_sent_again", _("Link sent again")
    LINKS_REVOKED = "links_revoked", _("Links revoked")
    MAIL_SENT_AGAIN = "mail_sent_again", _("Mail sent again")
    NAME_CORRECTED = "name_corrected", _("Name %(before)s → %(after)s")
    NOTHING_TO_PAY = "nothing_to_pay", _("There was nothing to pay")
    PAGE_LEFT = "page_left", _("The payer left the page")
    PAID_BY_OTHER_MEANS = "paid_by_other_means", _("Paid by other means")
    PART_PAID = "part_paid", _("%(amount)s came by other means")
    PAYMENT_UNDONE = "payment_undone", _("%(amount)s by other means was undone")
    REQUEST_WITHDRAWN = "request_withdrawn", _("The request was withdrawn")
    CARD_CHARGE_WANTED = "card_charge_wanted", _("The saved card is to be charged")
    PAY_DAY = "pay_day", _("Its payer is paid on day %(day)s of a month")
    PAY_DAY_UNKNOWN = "pay_day_unknown", _("On which day its payer is paid is not known")
    PAYMENT_RUN = "payment_run", _("Payment run %(run)s")
    STOPPED_UNPAID = "stopped_unpaid", _("Stopped: a payment was not made within %(days)s days")
    PLAN_CHANGED = "plan_changed", _("Change %(number)s is in force")
    PLAN_STOPPED = "plan_stopped", _("The plan was stopped")
    PROMISED = "promised", _("Promised for %(day)s")
    PROMISE_ENDED = "promise_ended", _("The promise was taken back")
    PROPOSED = "proposed", _("Waits for a second person: %(amount)s")
    PUT_OFF = "put_off", _("Not to do before %(day)s")
    REPLACED = "replaced", _("Another attempt took its place")
    STATEMENT_SENT = "statement_sent", _("The statement is sent to the payer")
    TURNED_DOWN = "turned_down", _("Turned down by a second person")
    WITHDRAWN = "withdrawn", _("The proposal was withdrawn")

    # A row follows its attempt.
    ATTEMPT = "attempt", _("Checkout %(checkout)s")
    ATTEMPT_AT_LINE = "attempt_at_line", _("Checkout %(checkout)s (%(action)s)")
    ATTEMPT_FAILED = "attempt_failed", _("Attempt failed")
    TRIED_AGAIN = "tried_again", _("Due again after a decline")
    ATTEMPT_WANTS_PAYER = "attempt_wants_payer", _("Checkout %(checkout)s: the bank requires the payer")

    # What Stripe says of an attempt, or does not.
    STRIPE_CANCELED = "stripe_canceled", _("Stripe: canceled")
    STRIPE_CARD_SAVED = "stripe_card_saved", _("Stripe: card saved")
    STRIPE_NEVER_ANSWERED = "stripe_never_answered", _("Never answered by Stripe")
    STRIPE_NEVER_TOOK = "stripe_never_took", _("Stripe did not take the request")
    STRIPE_OTHER_ACCOUNT = "stripe_other_account", _("The key is of another Stripe account")
    STRIPE_PROCESSING = "stripe_processing", _("Stripe: processing")
    STRIPE_REFUSED = "stripe_refused", _("Refused by Stripe")
    STRIPE_REFUSED_CHARGE = "stripe_refused_charge", _("Stripe refused the request")
    STRIPE_SAYS = "stripe_says", _("Stripe: %(code)s")
    STRIPE_SUCCEEDED = "stripe_succeeded", _("Stripe: succeeded")
    STRIPE_UNKNOWN = "stripe_unknown", _("Stripe has no such payment")
    STRIPE_WANTS_PAYER = "stripe_wants_payer", _("Stripe: the bank requires the payer")

    # Why an attempt failed or waits, where Stripe has no words for it.
    CARD_DECLINED = "card_declined", _("The card was declined.")
    CONFIRMATION_WANTED = "confirmation_wanted", _("The bank requires the payer to confirm the payment.")
    NOT_WANTED = "not_wanted", _("The site refused it.")
    PLAN_IS_ANOTHER = (
        "plan_is_another",
        _("The plan has changed since you agreed, so your card was not kept. Please look at it again."),
    )
    TAKE_OVER_ENDED = (
        "take_over_ended",
        _("This was withdrawn, or decided already, so your card was not kept. Nothing is taken from it."),
    )
    PAYER_IS_ANOTHER = "payer_is_another", _("Somebody else pays for this plan by now, so the card was not kept.")
    TOO_MANY_DECLINES = "too_many_declines", _("Too many cards were declined.")
    PAYMENT_CANCELLED = "payment_cancelled", _("The payment was cancelled.")
    SAVING_CANCELLED = "saving_cancelled", _("Saving the card was cancelled.")

    # Refunds, and what they do to a plan.
    MADE_IN_DASHBOARD = "made_in_dashboard", _("Made in Stripe's dashboard")
    REFUND_CAME_BACK = "refund_came_back", _("The refund failed, and the money came back to us.")
    REFUND_DISPUTED = (
        "refund_disputed",
        _("The payer's bank has taken the money back already (a dispute), so it cannot be refunded as well."),
    )
    REFUND_NEVER_ARRIVED = (
        "refund_never_arrived",
        _("Stripe has no such refund: the request never arrived. Ask for it again."),
    )
    REFUNDED = "refunded", _("Stripe: refunded")
    REFUNDED_BEFORE = "refunded_before", _("Stripe says that this money was refunded already.")
    LINE_OWED_AGAIN = "line_owed_again", _("Line %(line)s was refunded and is owed again as line %(new)s")
    LINE_TAKEN_OFF = "line_taken_off", _("Line %(line)s was taken off: the refund failed")
    STOPPED_WITH_REFUND = "stopped_with_refund", _("Stopped with refund %(refund)s")

    # Disputes pause a plan.
    DISPUTE_CLOSED = "dispute_closed", _("Dispute %(dispute)s is closed: %(status)s")
    DISPUTE_OPEN = "dispute_open", _("Dispute %(dispute)s is open")

    @cached_property
    def placeholders(self) -> frozenset[str]:
        """The facts that the sentence names."""
        with in_english():
            return frozenset(re.findall(r"%\((\w+)\)s", str(self.label)))


def in_english() -> override:
    """For the log, for evidence and for whatever else is read by no user of ours."""
    return override(None)


@dataclass(frozen=True, slots=True, init=False)
class Why:
    """Why something moved: a code with the facts of its sentence, a note in somebody's own words, or both.

    >>> str(Why(Code.PAYMENT_RUN, run=7)), str(Why(Code.CANCELLED_BY_STAFF, note="She called us")), str(Why())
    ('Payment run 7', 'Cancelled by staff: She called us', '')

    Raises ValueError when the facts are not those that the sentence names.
    """

    code: str
    facts: Facts
    note: str

    def __init__(self, code: Code | None = None, /, *, note: str = "", **facts: Any) -> None:
        named = code.placeholders if code is not None else frozenset()
        if facts.keys() != named:
            raise ValueError(f"{code or 'A note'} takes the facts {sorted(named)}, not {sorted(facts)}.")
        kept = {name: value if isinstance(value, int) else str(value) for name, value in facts.items()}
        for name, value in {"code": code.value if code is not None else "", "facts": kept, "note": str(note)}.items():
            object.__setattr__(self, name, value)

    @classmethod
    def said(cls, words: str, *, otherwise: Code) -> Why:
        """What somebody said; our own code where they said nothing."""
        return cls(note=words) if words else cls(otherwise)

    @property
    def columns(self) -> dict[str, Any]:
        """As a `StateChange` keeps it."""
        return {"code": self.code, "facts": self.facts, "note": self.note}

    def __str__(self) -> str:
        return in_words(self.code, self.facts, self.note)


def in_words(code: str, facts: Facts, note: str = "") -> str:
    """What the books say, in the language that is active.

    >>> in_words("due_changed", {"before": "2026-01-01", "due": "2026-02-01"}, "on holiday")
    'Due 2026-01-01 → 2026-02-01: on holiday'

    A code that is no longer known (or not yet) is shown as it stands, and a fact that is missing as "…": what was
    written down can always be read.
    """
    if (known := _codes().get(code)) is not None:
        sentence = str(known.label)
        if named := known.placeholders:
            shown = {**dict.fromkeys(named, "…"), **facts}
            if (action := str(shown.get("action"))) in actions.ACTIONS:
                shown["action"] = actions.name_of(action)
            sentence %= shown
    else:
        sentence = code.replace("_", " ")
    return f"{sentence}: {note}" if sentence and note else sentence or note


@cache
def _codes() -> dict[str, Code]:
    # `Code.values` makes its list anew each time, and a run asks for every charge.
    return {str(code): code for code in Code}


#: Stripe's codes for disputes, as words (https://docs.stripe.com/api/disputes/object).
STATUSES_AND_REASONS: Final = (
    gettext_noop("bank cannot process"),
    gettext_noop("check returned"),
    gettext_noop("credit not processed"),
    gettext_noop("customer initiated"),
    gettext_noop("debit not authorized"),
    gettext_noop("duplicate"),
    gettext_noop("fraudulent"),
    gettext_noop("general"),
    gettext_noop("incorrect account details"),
    gettext_noop("insufficient funds"),
    gettext_noop("lost"),
    gettext_noop("needs response"),
    gettext_noop("noncompliant"),
    gettext_noop("prevented"),
    gettext_noop("product not received"),
    gettext_noop("product unacceptable"),
    gettext_noop("subscription canceled"),
    gettext_noop("under review"),
    gettext_noop("unrecognized"),
    gettext_noop("warning closed"),
    gettext_noop("warning needs response"),
    gettext_noop("warning under review"),
    gettext_noop("won"),
)


def code_in_words(code: str) -> str:
    """One of Stripe's codes in the language that is active; an unknown one as English words.

    >>> code_in_words("needs_response"), code_in_words("")
    ('needs response', '')
    """
    words = code.replace("_", " ")
    return gettext(words) if words else ""
