"""Disputes, inquiries and warnings of fraud."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.generic import View

from checkout import advice
from checkout.models import Dispute
from checkout.office.views.base import StaffMixin, StaffPageView
from checkout.office.views.cells import Cell, money_cell, show_money, show_time, state_cell, time_cell
from checkout.office.views.checkouts import payer_cell, stripe_url
from checkout.office.views.lists import CURRENCY, Column, Filter, StaffListView
from checkout.services import disputes, refund_effects, refunds

#: What each of Stripe's words asks of staff.
NEXT_STEPS = {
    "needs_response": gettext_lazy(
        "Download the bundle and send it as evidence in Stripe's dashboard before the date."
    ),
    "warning_needs_response": gettext_lazy("The bank only asks. Answer in Stripe's dashboard, or refund to end it."),
    "actionable": gettext_lazy("Refund the payment now, and no dispute and no fee follows."),
    "under_review": gettext_lazy("The bank is deciding. There is nothing to do."),
    "warning_under_review": gettext_lazy("The bank is deciding. There is nothing to do."),
    "lost": gettext_lazy("The money is gone. Speak to the payer before the plan goes on."),
}


class DisputeListView(StaffListView):
    permission = "checkout.view_dispute"
    menu = "checkout.dispute.list"
    heading = gettext_lazy("Disputes")
    intro = gettext_lazy("What payers' banks say about payments afterwards.")
    empty = gettext_lazy("No disputes. Good.")
    csv_name = "disputes"
    shows = (("open", gettext_lazy("Open")), ("all", gettext_lazy("All")))
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
        Column(gettext_lazy("Answer by"), lambda row: time_cell(row.due_by if row.is_open else None)),
        Column(gettext_lazy("Opened"), lambda row: time_cell(row.opened_at)),
        CURRENCY,
    ]

    def get_rows(self) -> QuerySet[Dispute]:
        rows = Dispute.objects.select_related("checkout")
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
        actions = [{"url": reverse("checkout.dispute.evidence", args=[dispute.pk]), "text": _("Download the bundle")}]
        can_refund = checkout is not None and self.can("refund") and not refunds.why_not(checkout)
        if checkout is not None and can_refund and dispute.kind != Dispute.Kind.DISPUTE:
            actions.append({"url": reverse("checkout.refund.create", args=[checkout.uuid]), "text": _("Refund")})
        return super().get_context_data(**kwargs) | {
            "dispute": dispute,
            "payer": payer_cell(checkout).text if checkout else "",
            "amount": show_money(dispute.amount, dispute.currency),
            "next_step": NEXT_STEPS.get(dispute.status, ""),
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
                (_("Evidence"), _("sent") if dispute.evidence_sent else _("not sent"), ""),
                (_("Opened"), show_time(dispute.opened_at), ""),
                (_("At Stripe"), dispute.dispute_id, stripe_url(dispute.dispute_id)),
            ],
            "actions": actions,
        }


class DisputeEvidenceView(StaffMixin, View):
    """A zip with what the bank wants to see."""

    permission = "checkout.view_dispute"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        dispute = get_object_or_404(Dispute.objects.select_related("checkout"), pk=self.kwargs["pk"])
        response = HttpResponse(disputes.evidence(dispute), content_type="application/zip")
        response.headers["Content-Disposition"] = f'attachment; filename="dispute-{dispute.pk}.zip"'
        return response
