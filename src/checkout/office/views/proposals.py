"""What waits for a second person: the list, one of them with before and after, and the decision."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from checkout.errors import OutcomeUnknown
from checkout.models import Checkout, CustomerPayment, ObjectPaymentPlanInstalment, Proposal, Refund
from checkout.office import proposals, stories
from checkout.office.forms import ConfirmForm, ReasonForm
from checkout.office.views import ways_back
from checkout.office.views.base import StaffPageView
from checkout.office.views.cells import Cell, money_cell, show_date, show_money, show_time, time_cell
from checkout.office.views.checkouts import payer_cell
from checkout.office.views.lists import CURRENCY, Column, Filter, StaffListView
from checkout.office.views.plans import customer_cell
from checkout.office.views.staff_actions import StaffActionView

State = Proposal.State

COLOURS = {State.WAITING: "request", State.APPROVED: "success", State.TURNED_DOWN: "fail", State.WITHDRAWN: "fail"}
ABOUT = (
    "checkout__action",
    "instalment__object_payment_plan__customer",
    "customer_payment__customer",
    "proposed_by",
    "decided_by",
)


def _payer(row: Proposal) -> Cell:
    subject = row.subject
    if isinstance(subject, Checkout):
        return payer_cell(subject)
    if isinstance(subject, CustomerPayment):
        return customer_cell(subject.customer)
    return customer_cell(subject.object_payment_plan.customer)


def _what(row: Proposal) -> str:
    subject = row.subject
    if isinstance(subject, ObjectPaymentPlanInstalment):
        plan = subject.object_payment_plan_id
        return _("%(line)s of plan %(number)d") % {"line": stories.line_name(subject), "number": plan}
    if isinstance(subject, CustomerPayment):
        return _("Request %(number)d") % {"number": subject.pk}
    return _("Checkout %(number)d") % {"number": subject.pk}


class ProposalListView(StaffListView):
    permission = "checkout.view_proposal"
    menu = "checkout.proposal.list"
    heading = gettext_lazy("For a second person")
    intro = gettext_lazy(
        "Refunds, payments by other means and their undoing, above the amount that one person may decide alone."
    )
    empty = gettext_lazy("Nothing waits for a second person.")
    csv_name = "proposals"
    shows = (("waiting", gettext_lazy("Waiting")), ("all", gettext_lazy("All")))
    filters = [
        Filter("kind", gettext_lazy("Kind"), lambda rows, value: rows.filter(kind=value), list(Proposal.Kind.choices))
    ]
    columns = [
        Column(gettext_lazy("Number"), lambda row: Cell(str(row.pk), url=row.get_absolute_url()), header=True),
        Column(gettext_lazy("Proposal"), lambda row: Cell(row.get_kind_display(), small=row.note, plain=row.kind)),
        Column(gettext_lazy("Payer"), _payer),
        Column(gettext_lazy("About"), lambda row: Cell(_what(row), url=row.subject.get_absolute_url())),
        Column(gettext_lazy("Amount"), lambda row: money_cell(row.amount, row.currency), number=True),
        Column(gettext_lazy("Proposed by"), lambda row: str(row.proposed_by or "")),
        Column(gettext_lazy("Proposed"), lambda row: time_cell(row.proposed_at)),
        Column(
            gettext_lazy("State"),
            lambda row: Cell(
                capfirst(row.get_state_display()),
                state=COLOURS[row.state],
                small=str(row.decided_by or ""),
                plain=row.state,
            ),
        ),
        CURRENCY,
    ]

    def get_rows(self) -> QuerySet[Proposal]:
        rows = Proposal.objects.select_related(*ABOUT)
        return rows if self.show == "all" else rows.filter(state=State.WAITING)


def _find(pk: int) -> Proposal:
    return get_object_or_404(Proposal.objects.select_related(*ABOUT), pk=pk)


def _before_and_after(proposal: Proposal) -> list[tuple[str, str, str]]:
    """What is there now, and what would be there if it were approved: (name, before, after)."""
    now, amount, currency = proposals.standing(proposal), proposal.amount, proposal.currency
    refund = proposal.kind == Proposal.Kind.REFUND
    if proposal.kind == Proposal.Kind.UNDO:
        before, after = (show_money(now.total - now.moved - less, currency) for less in (Decimal(0), amount))
        return [(_("Paid by other means"), before, after)]
    return [
        (
            _("Refunded") if refund else _("Paid by other means"),
            show_money(now.moved, currency),
            show_money(now.moved + amount, currency),
        ),
        (
            _("Can be refunded") if refund else _("Left to pay"),
            show_money(now.left, currency),
            show_money(max(now.left - amount, Decimal(0)), currency),
        ),
    ]


def _facts(proposal: Proposal) -> list[tuple[Any, Any, str]]:
    refund = proposal.kind == Proposal.Kind.REFUND
    total = proposals.standing(proposal).total
    of_plan = refund and isinstance(getattr(proposal.subject, "content_object", None), ObjectPaymentPlanInstalment)
    return [
        (_("Payer"), _payer(proposal).text, ""),
        (_("About"), _what(proposal), proposal.subject.get_absolute_url()),
        (_("Paid") if refund else _("Owed"), show_money(total, proposal.currency), ""),
        (_("Reason, for Stripe"), capfirst(proposal.get_reason_display()) if proposal.reason else "", ""),
        (
            _("Due again on") if proposal.kind == Proposal.Kind.UNDO else _("Day"),
            show_date(proposal.day) if proposal.day else "",
            "",
        ),
        (_("How it came"), capfirst(proposal.get_method_display()), ""),
        (_("Reference"), proposal.reference, ""),
        (_("What becomes of the plan"), proposal.get_plan_effect_display() if of_plan else "", ""),
        (_("Why"), proposal.note, ""),
        (_("Proposed by"), proposal.proposed_by or _("somebody whose login is gone"), ""),
        (_("Proposed"), show_time(proposal.proposed_at), ""),
        (_("State"), capfirst(proposal.get_state_display()), ""),
        (_("Decided by"), proposal.decided_by or "", ""),
        (_("Decided"), show_time(proposal.decided_at) if proposal.decided_at else "", ""),
        (_("Why it was decided so"), proposal.decision, ""),
    ]


class ProposalDetailView(StaffPageView):
    template_name = "checkout/staff/proposal_detail.html"
    permission = "checkout.view_proposal"
    menu = "checkout.proposal.list"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        proposal = _find(self.kwargs["pk"])
        self.heading = _("Proposal %(number)d") % {"number": proposal.pk}
        gone = proposals.why_not(proposal) if proposal.waits else ""
        return super().get_context_data(**kwargs) | {
            "proposal": proposal,
            "amount": show_money(proposal.amount, proposal.currency),
            "kind": proposal.get_kind_display(),
            "gone": gone,
            "before_and_after": _before_and_after(proposal) if proposal.waits and not gone else [],
            "facts": [*_facts(proposal), *self._became(proposal)],
            "actions": self._actions(proposal, gone),
        }

    def _became(self, proposal: Proposal) -> list[tuple[Any, Any, str]]:
        """An approved refund may still fail at Stripe."""
        refund = Refund.objects.filter(uuid=proposal.uuid).first()
        if refund is None:
            return []
        said = f"{capfirst(refund.get_state_display())}: {refund.failure}" if refund.failure else ""
        return [(_("Refund"), said or capfirst(refund.get_state_display()), "")]

    def _actions(self, proposal: Proposal, gone: str) -> list[dict[str, Any]]:
        def to(do: str) -> str:
            return reverse(f"checkout.proposal.{do}", args=[proposal.pk])

        other = proposals.may_approve(proposal, self.request.user)
        return self.offer(
            ("approve", to("approve"), _("Approve it"), other and not gone),
            ("approve", to("refuse"), _("Turn it down"), other),
            ("", to("withdraw"), _("Withdraw it"), proposal.waits and not other),
        )


class _ProposalActionView(StaffActionView):
    menu = "checkout.proposal.list"
    object: Proposal

    def get_object(self) -> Proposal:
        return _find(self.kwargs["pk"])

    def get_version(self) -> str:
        now = proposals.standing(self.object)
        return f"{self.object.state}-{now.moved}-{now.left}"

    def get_refusal(self) -> str:
        return "" if self.object.waits else _("Already done: this was decided.")

    def get_facts(self) -> list[tuple[Any, Any]]:
        proposal = self.object
        change = [
            (name, _("%(before)s now, %(after)s afterwards") % {"before": before, "after": after})
            for name, before, after in _before_and_after(proposal)
        ]
        facts = [(name, value) for name, value, _url in _facts(proposal)]
        return [
            (_("Proposal"), proposal.get_kind_display()),
            (_("Amount"), show_money(proposal.amount, proposal.currency)),
            *(change if proposal.waits else []),
            *facts,
        ]


class ProposalApproveView(_ProposalActionView):
    permission = "checkout.approve"
    form_class = ConfirmForm
    heading = gettext_lazy("Approve a proposal")
    way_back = gettext_lazy(
        "It is done at once. A refund cannot be called back; what was marked as paid can be undone afterwards."
    )
    question = gettext_lazy("It is done at once, as your colleague proposed it. You answer for it together.")
    button = gettext_lazy("Approve it")
    danger = True

    def get_refusal(self) -> str:
        if refusal := super().get_refusal():
            return refusal
        if not proposals.may_approve(self.object, self.request.user):
            return _("You proposed this yourself. Somebody else has to approve it.")
        return proposals.why_not(self.object)

    def perform(self, form: Any) -> str:
        done = proposals.approve(self.object, self.request.user)
        amount = show_money(self.object.amount, self.object.currency)
        if self.object.kind == Proposal.Kind.UNDO:
            return _("Approved, and undone: %(amount)s.") % {"amount": amount}
        if not isinstance(done, Refund):
            return _("Approved, and marked as paid: %(amount)s.") % {"amount": amount}
        if done.failed:
            # Decided all the same: whoever wants it again proposes it again.
            self.went_well = False
            return _("Approved, and refused by Stripe: %(why)s") % {"why": done.failure}
        if done.pending and not done.refund_id:
            raise OutcomeUnknown("Stripe gave no answer to the refund.")
        return _("Approved, and refunded: %(amount)s.") % {"amount": amount}


class ProposalTurnDownView(_ProposalActionView):
    permission = "checkout.approve"
    form_class = ReasonForm
    heading = gettext_lazy("Turn a proposal down")
    way_back = ways_back.PROPOSE
    question = gettext_lazy("Nothing is done.")
    button = gettext_lazy("Turn it down")

    def perform(self, form: ReasonForm) -> str:
        proposals.turn_down(self.object, self.request.user, form.cleaned_data["reason"])
        return _("Turned down. Nothing was done.")


class ProposalWithdrawView(_ProposalActionView):
    permission = "checkout.view_proposal"
    form_class = ReasonForm
    heading = gettext_lazy("Withdraw a proposal")
    way_back = ways_back.PROPOSE
    question = gettext_lazy("Nothing is done.")
    button = gettext_lazy("Withdraw it")

    def get_refusal(self) -> str:
        if refusal := super().get_refusal():
            return refusal
        own = proposals.is_own(self.object, self.request.user)
        return "" if own else _("Only whoever proposed it may withdraw it.")

    def perform(self, form: ReasonForm) -> str:
        proposals.withdraw(self.object, self.request.user, form.cleaned_data["reason"])
        return _("Withdrawn. Nothing was done.")
