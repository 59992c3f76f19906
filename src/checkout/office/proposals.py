"""Four eyes: above an amount, refunds, "paid by other means" and undoing it wait for a second member of the staff.

Every way in which staff do one of them comes through `do_or_propose`. Decisions are made in the commit that does
what was proposed, so of two people who press at once one decides, and nothing is done twice or without a decision.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet, Sum
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from checkout import clock, money, states
from checkout.conf import conf
from checkout.contract import Actor, actor
from checkout.errors import AlreadyPaid, AttemptInProgress, CannotPay, CheckoutError
from checkout.journal import Code, Why
from checkout.models import (
    Checkout,
    CustomerPayment,
    Debt,
    ObjectPaymentPlanInstalment,
    Posting,
    Proposal,
    Refund,
    StateChange,
    content_key,
)
from checkout.services import (
    attempt_debts,
    by_hand,
    checkouts,
    invoices,
    refund_effects,
    refunds,
    requests,
    staff_notices,
)

logger = logging.getLogger("checkout.staff")

Kind, State = Proposal.Kind, Proposal.State
Subject = Checkout | ObjectPaymentPlanInstalment | CustomerPayment

COLUMNS: dict[type, str] = {
    Checkout: "checkout",
    ObjectPaymentPlanInstalment: "instalment",
    CustomerPayment: "customer_payment",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """How things stand: what is there in all, what of it went back or came by other means, and what is left."""

    total: Decimal
    moved: Decimal
    left: Decimal


# -- what needs a second person ----------------------------------------------------------------------------


def is_above(amount: Decimal, currency: str) -> bool:
    """True when so much in all needs a second person. What another currency is worth is not known here."""
    limit = conf.CHECKOUT_SECOND_PERSON_ABOVE
    return limit is not None and (currency != conf.CHECKOUT_CURRENCY or amount > limit)


def waiting() -> QuerySet[Proposal]:
    return Proposal.objects.filter(state=State.WAITING)


def waiting_about(subject: Subject) -> Proposal | None:
    return waiting().filter(**{COLUMNS[type(subject)]: subject}).first()


def refusal(subject: Subject) -> str:
    """Why nobody may begin with this now; empty when somebody may."""
    return _("A proposal about this waits for a second person.") if waiting_about(subject) is not None else ""


def limit_fact() -> list[tuple[Any, Any]]:
    """For the page on which one of the two is begun."""
    limit = conf.CHECKOUT_SECOND_PERSON_ABOVE
    if limit is None:
        return []
    shown = money.format_money(Decimal(limit), conf.CHECKOUT_CURRENCY, get_language() or "en-gb")
    return [(_("Above this a second person approves"), shown)]


def told(proposal: Proposal) -> str:
    """For whoever proposed it."""
    return _("%(amount)s waits for a second person: nothing was done yet.") % {
        "amount": money.format_money(proposal.amount, proposal.currency, get_language() or "en-gb")
    }


def do_or_propose(
    kind: str,
    subject: Subject,
    amount: Decimal | None,
    user: Actor,
    note: str,
    *,
    key: uuid.UUID | None = None,
    reason: str = "",
    plan_effect: str = Refund.PlanEffect.KEEP,
    means: attempt_debts.Means = attempt_debts.UNSAID,
    posting: Posting | None = None,
) -> Proposal | Refund | Checkout | Posting | None:
    """Do it, or write down that it waits for a second person (a `Proposal`). `amount` is in whole currency units, or
    None for all that is left. What went back (or came by other means) before counts too, so that many small amounts are
    no way around. The same `key` again is the same one, and is done or proposed once.

    `means` says how it came by other means; of an undo, whose `posting` is what is undone, its day is when a line is
    due again. Returns None when a part of a line was written down. Raises what the services raise, and
    AttemptInProgress while another proposal about the same waits.
    """
    key = key or uuid.uuid4()
    made: Proposal | Refund | None = (
        Proposal.objects.filter(uuid=key).first() or Refund.objects.filter(uuid=key).first()
    )
    if made is not None:
        return made
    if problem := refusal(subject):
        raise AttemptInProgress(problem)
    asked = Proposal(
        uuid=key,
        kind=kind,
        currency=subject.currency if isinstance(subject, Checkout) else subject.checkout_currency,
        reason=reason,
        plan_effect=plan_effect,
        posting=posting,
        day=means.day,
        method=means.method,
        reference=means.reference[:100],
        note=note[:255],
        proposed_by=actor(user),
        **{COLUMNS[type(subject)]: subject},
    )
    now = standing(asked)
    asked.amount = now.left if amount is None else amount
    asked.whole = asked.amount >= now.left
    if not is_above(now.moved + asked.amount, asked.currency):
        return _act(asked, lambda _claimed: _check_alone(asked))
    return _propose(asked)


def _check_alone(asked: Proposal) -> None:
    """In the commit that does it: somebody may have been as fast with another amount of the same."""
    if conf.CHECKOUT_SECOND_PERSON_ABOVE is not None and is_above(standing(asked).moved, asked.currency):
        raise CannotPay(_("Together with what was done at this moment, it needs a second person. Please look again."))


def _propose(asked: Proposal) -> Proposal:
    if problem := why_not(asked):
        raise CannotPay(problem)
    try:
        with transaction.atomic():
            asked.save(force_insert=True)
            _note(asked, asked.proposed_by, Why(Code.PROPOSED, amount=_shown(asked), note=asked.note))
            _tell_staff(asked)
    except IntegrityError as error:
        raise AttemptInProgress(_("A proposal about this waits for a second person.")) from error
    logger.info("proposal %s made by user %s", asked.pk, getattr(asked.proposed_by, "pk", None))
    return asked


def _shown(proposal: Proposal) -> str:
    return f"{money.tidy(proposal.amount, proposal.currency)} {proposal.currency}"


@staff_notices.in_office_language()
def _tell_staff(proposal: Proposal) -> None:
    staff_notices.tell_staff(
        f"proposal-{proposal.pk}",
        _("This waits for a second person: %(what)s, %(amount)s")
        % {"what": proposal.get_kind_display(), "amount": money.format_money(proposal.amount, proposal.currency)},
        [
            _("Proposed by %(who)s: %(note)s") % {"who": proposal.proposed_by, "note": proposal.note},
            "",
            staff_notices.link("checkout.proposal.detail", proposal.pk),
        ],
        checkout=proposal.checkout,
    )


# -- what it is about ------------------------------------------------------------------------------------


def standing(proposal: Proposal) -> Standing:
    """Read anew, as the database has it now."""
    subject = proposal.subject
    if proposal.kind == Kind.UNDO:
        return _standing_of_undo(proposal)
    if proposal.kind == Kind.REFUND:
        assert isinstance(subject, Checkout)  # noqa: S101 - only payments are refunded
        refunded, total = Checkout.objects.values_list("refunded", "total").get(pk=subject.pk)
        total = total or Decimal(0)
        return Standing(total, refunded, total - refunded)
    owed: Any = subject.content_object if isinstance(subject, Checkout) else subject
    if owed is None:
        return Standing(Decimal(0), Decimal(0), Decimal(0))
    if isinstance(owed, ObjectPaymentPlanInstalment):
        owed.refresh_from_db(fields=["debt"])
        debt, total = owed.debt, owed.amount
    else:
        debt, total = Debt.objects.filter(**content_key(owed)).first(), owed.checkout_total
    if debt is None:
        return Standing(total, Decimal(0), total)
    # What is owed follows the row's price when the next attempt begins.
    left = max(debt.earlier + total - debt.paid, Decimal(0))
    kinds = (Posting.Kind.OTHER_MEANS, Posting.Kind.UNDONE)
    so_far = Posting.objects.filter(debt=debt, kind__in=kinds).aggregate(sum=Sum("amount"))["sum"]
    return Standing(total, so_far or Decimal(0), left)


def _standing_of_undo(proposal: Proposal) -> Standing:
    """What of this debt was undone before counts too: many small amounts are no way around."""
    posting = proposal.posting
    assert posting is not None  # noqa: S101 - a constraint
    rows = Posting.objects.filter(debt=posting.debt_id)
    came = rows.filter(kind=Posting.Kind.OTHER_MEANS).aggregate(sum=Sum("amount"))["sum"] or Decimal(0)
    undone = rows.filter(kind=Posting.Kind.UNDONE).aggregate(sum=Sum("amount"))["sum"] or Decimal(0)
    return Standing(came, -undone, Decimal(0) if by_hand.is_undone(posting) else posting.amount)


def why_not(proposal: Proposal) -> str:
    """Why what is proposed cannot be done any more; empty when it can."""
    subject = proposal.subject
    subject.refresh_from_db()
    if proposal.kind == Kind.REFUND:
        problem = _why_not_refund(proposal)
    elif proposal.posting is not None:
        problem = by_hand.why_not(proposal.posting)
    else:
        problem = _why_not_paid(subject)
    if problem:
        return problem
    left = standing(proposal).left
    if proposal.amount > left or (proposal.whole and proposal.amount != left):
        return _("Something else is left now (%(left)s) than when it was proposed.") % {
            "left": money.format_money(left, proposal.currency)
        }
    return ""


def _why_not_refund(proposal: Proposal) -> str:
    checkout = proposal.subject
    assert isinstance(checkout, Checkout)  # noqa: S101 - only payments are refunded
    if problem := refunds.why_not(checkout):
        return problem
    if proposal.plan_effect != Refund.PlanEffect.GIVE_BACK:
        return ""
    if refund_effects.is_given_back(checkout):
        return _("This line was given back before. Choose to keep the plan as it is.")
    try:
        refund_effects.check_can_give_back(refund_effects.plan_line(checkout), proposal.amount)
    except CheckoutError as problem:
        return str(problem)
    return ""


def _why_not_paid(subject: Subject) -> str:
    if isinstance(subject, ObjectPaymentPlanInstalment):
        if subject.object_payment_plan.deleted:
            return _("This payment plan was stopped.")
        return _("This was paid already.") if subject.state_id == states.SUCCESS else ""
    if isinstance(subject, CustomerPayment):
        if subject.is_withdrawn:
            return _("This request was withdrawn. There is nothing to pay.")
        return _("This was paid already.") if subject.state_id == states.SUCCESS else ""
    owed = subject.content_object
    if owed is None:
        return _("What this invoice was for no longer exists.")
    paid = Checkout.objects.for_content_object(owed).paid().exists()
    return _("This was settled already.") if paid or not owed.checkout_can_charge else ""


# -- deciding --------------------------------------------------------------------------------------------


def is_own(proposal: Proposal, user: Actor) -> bool:
    who = actor(user)
    return who is not None and proposal.proposed_by_id == who.pk


def may_approve(proposal: Proposal, user: Actor) -> bool:
    """The second person is another one."""
    return proposal.waits and actor(user) is not None and not is_own(proposal, user)


def approve(proposal: Proposal, user: Actor) -> Proposal | Refund | Checkout | Posting | None:
    """Do what a colleague proposed, as `do_or_propose` does it.

    Raises CannotPay when its ground is gone or when `user` proposed it, AlreadyPaid when it was decided meanwhile, and
    what the services raise; nothing was done then. A refund that Stripe does not take is decided all the same.
    """
    if is_own(proposal, user):
        raise CannotPay(_("You proposed this yourself. Somebody else has to approve it."))
    if problem := why_not(proposal):
        raise CannotPay(problem)

    def decide(claimed: Decimal) -> None:
        if claimed != proposal.amount:
            raise CannotPay(_("Something else is left now than when it was proposed. Please look again."))
        _decide(proposal, State.APPROVED, user, Why(Code.APPROVED))

    try:
        done = _act(proposal, decide)
    except CheckoutError:
        # Whoever was a moment slower finds the money gone, or the line paid: by the same proposal.
        _check_not_decided_by_another(proposal, user)
        raise
    # A colleague's approval may have made the same refund.
    _check_not_decided_by_another(proposal, user)
    return done


def _check_not_decided_by_another(proposal: Proposal, user: Actor) -> None:
    proposal.refresh_from_db()
    if not proposal.waits and proposal.decided_by_id != getattr(user, "pk", None):
        raise AlreadyPaid(_("a colleague decided this meanwhile."))


def turn_down(proposal: Proposal, user: Actor, reason: str) -> None:
    """Nothing is done, and it waits no more. Raises AlreadyPaid when it was decided meanwhile."""
    with transaction.atomic():
        _decide(proposal, State.TURNED_DOWN, user, Why(Code.TURNED_DOWN, note=reason), decision=reason[:255])


def withdraw(proposal: Proposal, user: Actor, reason: str) -> None:
    """Whoever proposed it takes it back. Raises AlreadyPaid when it was decided meanwhile, CannotPay for others."""
    if not is_own(proposal, user):
        raise CannotPay(_("Only whoever proposed it may withdraw it."))
    with transaction.atomic():
        _decide(proposal, State.WITHDRAWN, user, Why(Code.WITHDRAWN, note=reason), decision=reason[:255])


def _decide(proposal: Proposal, state: str, user: Actor, why: Why, **more: str) -> None:
    """One UPDATE: of two who decide at once one does. The caller holds the transaction."""
    rows = waiting().filter(pk=proposal.pk)
    if not rows.update(state=state, decided_by=actor(user), decided_at=clock.now(), **more):
        raise AlreadyPaid(_("a colleague decided this meanwhile."))
    _note(proposal, user, why)
    logger.info("proposal %s: %s by user %s", proposal.pk, state, getattr(user, "pk", None))


def _act(proposal: Proposal, within: Callable[[Decimal], None]) -> Refund | Checkout | Posting | None:
    """`within` gets the amount, in the commit that claims or books it: what it raises undoes that."""
    subject, user, amount = proposal.subject, proposal.proposed_by, proposal.amount
    if proposal.kind == Kind.REFUND:
        assert isinstance(subject, Checkout)  # noqa: S101 - only payments are refunded
        return refunds.refund(
            subject,
            amount,
            user=user,
            reason=proposal.reason,
            note=proposal.note,
            plan_effect=proposal.plan_effect,
            key=proposal.uuid,
            within=within,
        )
    if proposal.posting is not None:
        due = proposal.day if proposal.day is not None and proposal.day >= clock.today() else None
        return by_hand.undo(proposal.posting, user, proposal.note, due=due, within=within)
    means = attempt_debts.Means(proposal.day, proposal.method, proposal.reference)
    if isinstance(subject, Checkout):
        return invoices.mark_paid(subject, user, proposal.note, within=within, means=means)
    if isinstance(subject, CustomerPayment):
        return requests.paid_by_hand(subject, user, proposal.note, within=within, means=means)
    if proposal.whole:
        return checkouts.manual(subject, user, proposal.note, within=within, means=means)
    return by_hand.part_paid(subject, amount, user, proposal.note, key=proposal.uuid, within=within, means=means)


def _note(proposal: Proposal, user: Actor, why: Why) -> None:
    """In the story of what it is about, which also tells every page that is open on it to look again."""
    subject = proposal.subject
    state = subject.state_id or ""
    StateChange.objects.create(
        from_state=state, to_state=state, user=actor(user), **{COLUMNS[type(subject)]: subject}, **why.columns
    )
