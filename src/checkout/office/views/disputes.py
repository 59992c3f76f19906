"""Disputes, inquiries and warnings of fraud."""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import Any

from django.db.models import Case, QuerySet, Value, When
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.generic import View

from checkout import advice, clock
from checkout.models import Dispute
from checkout.office.forms import EvidenceForm
from checkout.office.pages import Sort
from checkout.office.views.base import StaffMixin, StaffPageView
from checkout.office.views.cells import Cell, money_cell, show_money, show_time, state_cell, time_cell
from checkout.office.views.checkouts import payer_cell, stripe_url
from checkout.office.views.lists import BY_AGE, CURRENCY, Column, Filter, StaffListView
from checkout.office.views.staff_actions import StaffActionView, newest_change
from checkout.services import dispute_evidence, disputes, refund_effects, refunds

#: Later than any date of a bank's.
NEVER = datetime.datetime(9999, 1, 1, tzinfo=datetime.UTC)

#: What each of Stripe's words asks of staff.
NEXT_STEPS = {
    "needs_response": gettext_lazy("Send the evidence before the date: after that it is lost."),
    "warning_needs_response": gettext_lazy("The bank only asks. Send the evidence, or refund to end it."),
    "actionable": gettext_lazy("Refund the payment now, and no dispute and no fee follows."),
    "under_review": gettext_lazy("The bank is deciding. There is nothing to do."),
    "warning_under_review": gettext_lazy("The bank is deciding. There is nothing to do."),
    "lost": gettext_lazy("The money is gone. Speak to the payer before the plan goes on."),
}


def _due_cell(dispute: Dispute) -> Cell:
    due_by = dispute.due_by if dispute.is_open else None
    return replace(time_cell(due_by), small=countdown(dispute))


def countdown(dispute: Dispute) -> str:
    """How long evidence can still be sent; empty when none is awaited."""
    if dispute.due_by is None or not dispute.is_open or dispute.evidence_sent:
        return ""
    if dispute.due_by < clock.now():
        return _("the date has passed")
    days = (timezone.localdate(dispute.due_by) - clock.today()).days
    return ngettext("%(days)d day left", "%(days)d days left", days) % {"days": days} if days else _("until today")


def _next_step(dispute: Dispute) -> Any:
    if dispute.is_open and dispute.status.endswith("needs_response") and dispute_evidence.why_not(dispute):
        return dispute_evidence.why_not(dispute)
    return NEXT_STEPS.get(dispute.status, "")


class DisputeListView(StaffListView):
    permission = "checkout.view_dispute"
    menu = "checkout.dispute.list"
    heading = gettext_lazy("Disputes")
    intro = gettext_lazy("What payers' banks say about payments afterwards.")
    empty = gettext_lazy("No disputes. Good.")
    csv_name = "disputes"
    shows = (("open", gettext_lazy("Open")), ("all", gettext_lazy("All")))
    sorts = (Sort("date", gettext_lazy("Soonest to answer first"), "answer_by"), *BY_AGE)
    filters = [
        Filter("kind", gettext_lazy("Kind"), lambda rows, value: rows.filter(kind=value), list(Dispute.Kind.choices))
    ]
    columns = [
        Column(
            gettext_lazy("Dispute"),
            lambda row: Cell(
                row.get_kind_display(), url=reverse("checkout.dispute.detail", args=[row.pk]), plain=row.dispute_id
            ),
            header=True,
        ),
        Column(gettext_lazy("Payer"), lambda row: payer_cell(row.checkout) if row.checkout else ""),
        Column(gettext_lazy("Amount"), lambda row: money_cell(row.amount, row.currency), number=True),
        Column(gettext_lazy("Reason"), lambda row: row.reason_text),
        Column(
            gettext_lazy("State"),
            lambda row: state_cell(*advice.dispute_state(row)),
        ),
        Column(gettext_lazy("Answer by"), _due_cell),
        Column(gettext_lazy("Opened"), lambda row: time_cell(row.opened_at)),
        CURRENCY,
    ]

    def get_rows(self) -> QuerySet[Dispute]:
        # What needs no answer comes last.
        answer_by = Case(When(disputes.AWAITS_EVIDENCE, then="due_by"), default=Value(NEVER))
        rows = Dispute.objects.select_related("checkout").annotate(answer_by=answer_by)
        return rows if self.show == "all" else rows.filter(is_open=True)


class DisputeDetailView(StaffPageView):
    template_name = "checkout/staff/dispute_detail.html"
    permission = "checkout.view_dispute"
    menu = "checkout.dispute.list"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        dispute = get_object_or_404(Dispute.objects.select_related("checkout__action"), pk=self.kwargs["pk"])
        checkout = dispute.checkout
        self.heading = _("%(kind)s %(number)d") % {"kind": dispute.get_kind_display(), "number": dispute.pk}
        line = refund_effects.plan_line(checkout) if checkout is not None else None
        plan = line.object_payment_plan if line is not None else None
        sending = reverse("checkout.dispute.send", args=[dispute.pk])
        actions = self.offer(
            ("change_dispute", sending, _("Send evidence"), not dispute_evidence.why_not(dispute)),
            ("", reverse("checkout.dispute.evidence", args=[dispute.pk]), _("Download the bundle"), True),
        )
        can_refund = checkout is not None and self.can("refund") and not refunds.why_not(checkout)
        if checkout is not None and can_refund and dispute.kind != Dispute.Kind.DISPUTE:
            actions.append({"url": reverse("checkout.refund.create", args=[checkout.uuid]), "text": _("Refund")})
        return super().get_context_data(**kwargs) | {
            "dispute": dispute,
            "payer": payer_cell(checkout).text if checkout else "",
            "amount": show_money(dispute.amount, dispute.currency),
            "next_step": _next_step(dispute),
            "plan": plan,
            "facts": [
                (_("Payer"), checkout.payer if checkout else _("not in our books"), ""),
                (
                    _("Payment"),
                    ", ".join(checkout.description_lines) if checkout else "",
                    checkout.get_absolute_url() if checkout else "",
                ),
                (_("Plan"), plan or "", plan.get_absolute_url() if plan else ""),
                (_("The bank's reason"), dispute.reason_text, ""),
                (_("Answer by"), show_time(dispute.due_by) if dispute.due_by else "", ""),
                (_("Time left"), countdown(dispute), ""),
                (_("Evidence"), _("sent") if dispute.evidence_sent else _("not sent"), ""),
                (_("Opened"), show_time(dispute.opened_at), ""),
                (_("At Stripe"), dispute.dispute_id, stripe_url(dispute.dispute_id)),
            ],
            "actions": actions,
        }


class DisputeSendView(StaffActionView):
    permission = "checkout.change_dispute"
    menu = "checkout.dispute.list"
    heading = gettext_lazy("Send evidence")
    way_back = gettext_lazy("What is kept can be changed until it is sent. What was sent cannot be called back.")
    question = gettext_lazy(
        "What our books have is filled in. Read it as the bank will, and take out what it need not see."
    )
    button = gettext_lazy("Do it")
    form_class = EvidenceForm
    object: Dispute

    def get_object(self) -> Dispute:
        return get_object_or_404(Dispute.objects.select_related("checkout"), pk=self.kwargs["pk"])

    def get_version(self) -> str:
        dispute = self.object
        known = newest_change(dispute.checkout) if dispute.checkout is not None else ""
        return f"{dispute.status}-{int(dispute.evidence_sent)}-{known}"

    def get_back_url(self) -> str:
        return reverse("checkout.dispute.detail", args=[self.object.pk])

    def get_initial(self) -> dict[str, Any]:
        return dispute_evidence.draft(self.object)

    def get_facts(self) -> list[tuple[Any, Any]]:
        dispute = self.object
        return [
            (_("Payer"), dispute.checkout.payer if dispute.checkout else ""),
            (_("Amount"), show_money(dispute.amount, dispute.currency)),
            (_("The bank's reason"), dispute.reason_text),
            (_("Answer by"), show_time(dispute.due_by) if dispute.due_by else ""),
            (_("Time left"), countdown(dispute)),
        ]

    def get_refusal(self) -> str:
        return dispute_evidence.why_not(self.object)

    def perform(self, form: EvidenceForm) -> str:
        data = dict(form.cleaned_data)
        submit = data.pop("how") == EvidenceForm.SEND
        texts = {name: text for name, text in data.items() if text}
        dispute_evidence.send(self.object, texts, self.request.user, submit=submit)
        return (
            _("The evidence was sent to the bank.")
            if submit
            else _("The evidence is kept at Stripe, and not sent yet.")
        )


class DisputeEvidenceView(StaffMixin, View):
    """A zip with what the bank wants to see."""

    permission = "checkout.view_dispute"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        dispute = get_object_or_404(Dispute.objects.select_related("checkout"), pk=self.kwargs["pk"])
        response = HttpResponse(disputes.evidence(dispute), content_type="application/zip")
        response.headers["Content-Disposition"] = f'attachment; filename="dispute-{dispute.pk}.zip"'
        return response
