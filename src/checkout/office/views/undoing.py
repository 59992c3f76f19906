"""Undoing what was paid by other means: one page, for a line, a request and a row of the site."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from checkout import states
from checkout.models import Checkout, CustomerPayment, ObjectPaymentPlanInstalment, Posting, Proposal
from checkout.office import proposals
from checkout.office.money_forms import UndoForm
from checkout.office.views.cells import show_date, show_money
from checkout.office.views.staff_actions import StaffActionView, newest_change
from checkout.services import attempt_debts, by_hand, hooks

Offer = tuple[str, str, Any, bool]


def offers(row: ObjectPaymentPlanInstalment | CustomerPayment | Checkout) -> list[Offer]:
    """For the buttons of a page: each payment by other means that can be undone."""
    if isinstance(row, Checkout | ObjectPaymentPlanInstalment):
        debt = row.debt_id
    else:
        newest = row.checkouts.exclude(debt=None).order_by("-pk").values_list("debt", flat=True).first()
        debt = newest
    if debt is None:
        return []
    return [
        (
            "settle_by_hand",
            reverse("checkout.paid.undo", args=[posting.pk]),
            _("Undo %(amount)s of %(day)s")
            % {"amount": show_money(posting.amount, posting.debt.currency), "day": show_date(posting.day)},
            not isinstance(row, Checkout) or posting.checkout_id == row.pk,
        )
        for posting in by_hand.standing_for(debt)
    ]


class PaymentUndoView(StaffActionView):
    permission = "checkout.settle_by_hand"
    heading = gettext_lazy("Undo a payment by other means")
    way_back = gettext_lazy("It cannot itself be undone, but you can mark it as paid again.")
    question = gettext_lazy(
        "It was written down by mistake, or a cheque bounced: it is owed again, and a payer who was told that it was "
        "paid is told. Nothing is deleted. A receipt of it is marked as withdrawn."
    )
    button = gettext_lazy("Undo it")
    danger = True
    form_class = UndoForm
    object: Posting

    def get_object(self) -> Posting:
        rows = Posting.objects.select_related("debt", "checkout", "user").filter(kind=Posting.Kind.OTHER_MEANS)
        found = get_object_or_404(rows, pk=self.kwargs["pk"])
        self.row: Any = found.debt.content_object
        self.about = by_hand.subject_of(found)
        return found

    def get_version(self) -> str:
        return f"{newest_change(self.about)}-{int(by_hand.is_undone(self.object))}"

    def get_refusal(self) -> str:
        return by_hand.why_not(self.object) or proposals.refusal(self.about)

    def get_back_url(self) -> str:
        return str(self.about.get_absolute_url())

    def get_form_kwargs(self) -> dict[str, Any]:
        row = self.row
        paid = isinstance(row, ObjectPaymentPlanInstalment) and row.state_id == states.SUCCESS
        return super().get_form_kwargs() | {"due_again": by_hand.due_again(row) if paid else None}

    def get_facts(self) -> list[tuple[Any, Any]]:
        posting, row = self.object, self.row
        ours = isinstance(row, ObjectPaymentPlanInstalment | CustomerPayment)
        told = _("your site's own row is told") if hooks.has(row, "checkout_undone") else _("see to it yourself")
        return [
            (_("Payer"), str(getattr(row, "checkout_name", "")) or str(getattr(row, "checkout_email", ""))),
            (_("What for"), ", ".join(str(each) for each in row.checkout_description) if row is not None else ""),
            (_("Amount"), show_money(posting.amount, posting.debt.currency)),
            (_("Paid on"), show_date(posting.day)),
            (_("How it came"), capfirst(posting.get_method_display())),
            (_("Reference"), posting.reference),
            (_("Note"), posting.note),
            (_("Written down by"), posting.user or ""),
            (_("On your site it counts as paid"), "" if ours else told),
            *proposals.limit_fact(),
        ]

    def perform(self, form: Any) -> str:
        data = form.cleaned_data
        done = proposals.do_or_propose(
            Proposal.Kind.UNDO,
            self.about,
            self.object.amount,
            self.request.user,
            data["reason"],
            key=data["key"],
            means=attempt_debts.Means(day=data.get("due")),
            posting=self.object,
        )
        if isinstance(done, Proposal):
            self.went_well = False
            return proposals.told(done)
        return _("Undone: %(amount)s is not paid any more.") % {
            "amount": show_money(self.object.amount, self.object.debt.currency)
        }
