"""Refunds: what went back, and giving money back."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from checkout import money
from checkout.errors import OutcomeUnknown, RefundError
from checkout.models import Checkout, Proposal, Refund
from checkout.office import proposals, search
from checkout.office.forms import ConfirmForm
from checkout.office.money_forms import RefundForm
from checkout.office.views import ways_back
from checkout.office.views.cells import Cell, money_cell, show_money, show_time, time_cell
from checkout.office.views.checkouts import find as find_checkout
from checkout.office.views.checkouts import payer_cell
from checkout.office.views.lists import CURRENCY, Column, Filter, StaffListView
from checkout.office.views.staff_actions import StaffActionView, newest_change
from checkout.services import refund_effects, refunds

COLOURS = {Refund.PENDING: "request", Refund.SUCCEEDED: "success", Refund.FAILED: "fail"}


def _find(rows: QuerySet[Refund], text: str) -> QuerySet[Refund]:
    text = text.strip()
    if text.startswith("re_"):
        return rows.filter(refund_id=text)
    return rows.filter(checkout__in=search.find_checkouts(Checkout.objects.all(), text).values("pk"))


class RefundListView(StaffListView):
    permission = "checkout.view_refund"
    menu = "checkout.refund.list"
    heading = gettext_lazy("Refunds")
    intro = gettext_lazy("Money that went back, or is on its way.")
    empty = gettext_lazy("Nothing was refunded. A refund begins on the page of a checkout that was paid.")
    find = staticmethod(_find)
    search_hint = gettext_lazy("Name, e-mail address, checkout number, or Stripe's id")
    csv_name = "refunds"
    filters = [
        Filter("state", gettext_lazy("State"), lambda rows, value: rows.filter(state=value), list(Refund.State.choices))
    ]

    def get_rows(self) -> QuerySet[Refund]:
        return Refund.objects.select_related("checkout", "requested_by")

    def _state(self, row: Refund) -> Cell:
        name = capfirst(row.get_state_display())
        return Cell(name, state=COLOURS[row.state], small=row.failure, plain=row.state)

    def _number(self, row: Refund) -> Cell:
        url = ""
        if (row.pending or not row.plan_effect_done) and self.can("refund"):
            url = reverse("checkout.refund.look", args=[row.uuid])
        return Cell(str(row.pk), url=url or row.checkout.get_absolute_url())

    @property
    def columns(self) -> list[Column]:  # type: ignore[override]
        return [
            Column(_("Number"), self._number, header=True),
            Column(_("Payer"), lambda row: payer_cell(row.checkout)),
            Column(_("Checkout"), lambda row: Cell(str(row.checkout_id), url=row.checkout.get_absolute_url())),
            Column(_("Amount"), lambda row: money_cell(row.amount, row.currency), number=True),
            Column(_("State"), self._state),
            Column(
                _("Asked by"),
                lambda row: Cell(
                    row.requested_by or (_("Stripe's dashboard") if row.from_dashboard else ""), small=row.note
                ),
            ),
            Column(_("Asked"), lambda row: time_cell(row.created_at)),
            CURRENCY,
        ]


class RefundCreateView(StaffActionView):
    """In full or in part, and what becomes of the plan: asked and done in one step."""

    permission = "checkout.refund"
    menu = "checkout.refund.list"
    form_class = RefundForm
    heading = gettext_lazy("Refund")
    way_back = ways_back.REFUND
    question = gettext_lazy("The money goes back to the card it came from. Banks take up to ten days to show it.")
    button = gettext_lazy("Refund it")
    danger = True
    object: Checkout

    def get_object(self) -> Checkout:
        return find_checkout(self.kwargs["uuid"])

    def get_version(self) -> str:
        newest = self.object.refunds.order_by("-pk").values_list("pk", flat=True).first()
        return f"{newest_change(self.object)}-{newest or 0}"

    def get_refusal(self) -> str:
        return refunds.why_not(self.object) or proposals.refusal(self.object)

    def get_form_kwargs(self) -> dict[str, Any]:
        return super().get_form_kwargs() | {
            "left": refunds.left(self.object),
            "currency": self.object.currency,
            "of_plan": refund_effects.plan_line(self.object) is not None,
        }

    def get_initial(self) -> dict[str, Any]:
        return {"amount": money.tidy(refunds.left(self.object), self.object.currency)}

    def get_facts(self) -> list[tuple[Any, Any]]:
        checkout = self.object
        return [
            (_("Payer"), checkout.payer),
            (_("What for"), ", ".join(checkout.description_lines)),
            (_("Paid"), show_money(checkout.total, checkout.currency)),
            (_("Refunded so far"), show_money(checkout.refunded, checkout.currency)),
            (_("Can be refunded"), show_money(refunds.left(checkout), checkout.currency)),
            *proposals.limit_fact(),
        ]

    def perform(self, form: RefundForm) -> str:
        data = form.cleaned_data
        row = proposals.do_or_propose(
            Proposal.Kind.REFUND,
            self.object,
            data["amount"],
            self.request.user,
            data["note"],
            reason=data["reason"],
            plan_effect=data.get("plan_effect") or Refund.PlanEffect.KEEP,
            key=data["key"],
        )
        if isinstance(row, Proposal):
            self.went_well = False
            return proposals.told(row)
        assert isinstance(row, Refund)  # noqa: S101 - what this kind ends in
        if row.failed:
            raise RefundError(row.failure)
        if row.pending and not row.refund_id:
            raise OutcomeUnknown("Stripe gave no answer to the refund.")
        amount = show_money(row.amount, row.currency)
        if not row.plan_effect_done:
            return _("%(amount)s refunded. The plan is stopped as soon as its open payment has an answer.") % {
                "amount": amount
            }
        return _("%(amount)s refunded.") % {"amount": amount}


class RefundLookView(StaffActionView):
    permission = "checkout.refund"
    menu = "checkout.refund.list"
    form_class = ConfirmForm
    heading = gettext_lazy("Ask Stripe about this refund")
    way_back = ways_back.NOTHING
    question = gettext_lazy("What Stripe says is brought into the books. It is never refunded twice by this.")
    button = gettext_lazy("Ask Stripe")
    object: Refund

    def get_object(self) -> Refund:
        rows = Refund.objects.select_related("checkout", "requested_by")
        return get_object_or_404(rows, uuid=self.kwargs["uuid"])

    def get_back_url(self) -> str:
        return reverse("checkout.refund.list")

    def get_version(self) -> str:
        return newest_change(self.object)

    def get_facts(self) -> list[tuple[Any, Any]]:
        row = self.object
        return [
            (_("Payer"), row.checkout.payer),
            (_("Amount"), show_money(row.amount, row.currency)),
            (_("State"), row.get_state_display()),
            (_("Asked"), show_time(row.created_at)),
        ]

    def perform(self, form: Any) -> str:
        row = refunds.resolve(self.object)
        return _("Stripe was asked. The refund is: %(state)s.") % {"state": row.get_state_display()}
