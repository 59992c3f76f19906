"""Problems: what no code may decide, with an owner and an age, and the buttons that solve each."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from checkout import clock
from checkout.contract import actor
from checkout.models import Problem
from checkout.office.forms import ConfirmForm, ReasonForm
from checkout.office.views.base import StaffPageView
from checkout.office.views.cells import Cell, money_cell, show_money, show_time, time_cell
from checkout.office.views.checkouts import payer_cell, stripe_url
from checkout.office.views.lists import CURRENCY, Column, Filter, StaffListView
from checkout.office.views.staff_actions import StaffActionView
from checkout.services import applying, refunds

Kind = Problem.Kind

#: What each kind asks of staff.
NEXT_STEPS = {
    Kind.UNKNOWN_PAYMENT: gettext_lazy(
        "Look at it in Stripe's dashboard. Whose it is, its description says; give it back there if nobody owes it."
    ),
    Kind.PAID_TOO_MUCH: gettext_lazy("Give back what is too much. This closes by itself then."),
    Kind.NO_ROW: gettext_lazy("Give the money back, or speak to the payer."),
    Kind.NOT_PAYABLE: gettext_lazy("Give the money back. Apply it after all only if nothing else has paid for it."),
    Kind.PRICE_CHANGED: gettext_lazy(
        "Ask the payer to pay again: only what is missing is taken. Or apply it after all as it is, or give it back."
    ),
    Kind.NOT_WANTED: gettext_lazy("Give the money back, or make room and apply it after all."),
    Kind.HOOK_FAILED: gettext_lazy(
        "Tell a developer. It is tried again by itself every few minutes; the payer has paid and pays nothing more."
    ),
    Kind.REFUND_HOOK_FAILED: gettext_lazy(
        "Tell a developer. The payer has the money back; the site is told again by itself every few minutes."
    ),
    Kind.LETTER: gettext_lazy("Correct what is named here: a template, or an address."),
    Kind.NOT_PAID: gettext_lazy(
        "Speak to the payer, and write down what they promise: see Overdue. It closes by itself once it is paid."
    ),
    Kind.RUN_WAITS: gettext_lazy(
        "Look at the next run (Runs > The next run), ask for a release there, and let a colleague release it. "
        "It closes by itself then."
    ),
    Kind.NOT_WRITTEN_DOWN: gettext_lazy(
        "Tell a developer, and charge nothing again. It is settled by itself once its cause is gone."
    ),
}


def _name(row: Problem) -> Cell:
    return Cell(row.get_kind_display(), url=row.get_absolute_url(), small=row.detail[:200])


class ProblemListView(StaffListView):
    permission = "checkout.view_problem"
    menu = "checkout.problem.list"
    heading = gettext_lazy("Problems")
    intro = gettext_lazy("What needs a person: money that nobody owes or knows, and letters that cannot go.")
    empty = gettext_lazy("No problems. Good.")
    csv_name = "problems"
    shows = (("open", gettext_lazy("Open")), ("all", gettext_lazy("All")))
    filters = [
        Filter("kind", gettext_lazy("Kind"), lambda rows, value: rows.filter(kind=value), list(Problem.Kind.choices))
    ]
    columns = [
        Column(gettext_lazy("Problem"), _name, header=True),
        Column(
            gettext_lazy("Payer"), lambda row: payer_cell(row.checkout) if row.checkout else Cell("", plain=row.subject)
        ),
        Column(gettext_lazy("Amount"), lambda row: money_cell(row.amount, row.currency), number=True),
        Column(gettext_lazy("Since"), lambda row: time_cell(row.opened_at)),
        Column(gettext_lazy("Owner"), lambda row: str(row.owner or "")),
        Column(gettext_lazy("Closed"), lambda row: time_cell(row.closed_at)),
        CURRENCY,
    ]

    def get_rows(self) -> QuerySet[Problem]:
        rows = Problem.objects.select_related("checkout", "owner")
        return rows if self.show == "all" else rows.filter(closed_at=None)


def _find(pk: int) -> Problem:
    return get_object_or_404(Problem.objects.select_related("checkout__action", "owner"), pk=pk)


def can_be_applied(problem: Problem) -> bool:
    """True while the row that was paid for is there, and was not told."""
    checkout = problem.checkout
    if checkout is None or not problem.is_open or problem.kind == Kind.NO_ROW:
        return False
    return checkout.unapplied and problem.kind in Problem.UNAPPLIED and not applying.went_back(checkout)


class ProblemDetailView(StaffPageView):
    template_name = "checkout/staff/problem_detail.html"
    permission = "checkout.view_problem"
    menu = "checkout.problem.list"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        problem = _find(self.kwargs["pk"])
        checkout = problem.checkout
        self.heading = problem.get_kind_display()
        at_stripe = problem.subject if problem.kind == Kind.UNKNOWN_PAYMENT else ""
        return super().get_context_data(**kwargs) | {
            "problem": problem,
            "payer": payer_cell(checkout).text if checkout else "",
            "amount": show_money(problem.amount, problem.currency),
            "next_step": NEXT_STEPS.get(Kind(problem.kind), "") if problem.is_open else "",
            "facts": [
                (_("What was said"), problem.detail, ""),
                (_("Payer"), checkout.payer if checkout else "", ""),
                (
                    _("Payment"),
                    ", ".join(checkout.description_lines) if checkout else "",
                    checkout.get_absolute_url() if checkout else "",
                ),
                (_("At Stripe"), at_stripe, stripe_url(at_stripe)),
                (_("Mail"), problem.subject if problem.kind == Kind.LETTER else "", ""),
                (_("Since"), show_time(problem.opened_at), ""),
                (_("Owner"), str(problem.owner or ""), ""),
                (_("Closed"), show_time(problem.closed_at) if problem.closed_at else "", ""),
                (_("Note"), problem.note, ""),
            ],
            "actions": self._actions(problem),
        }

    def _actions(self, problem: Problem) -> list[dict[str, str]]:
        if not problem.is_open:
            return []
        checkout = problem.checkout
        actions = []
        if problem.kind == Kind.RUN_WAITS and self.can("view_paymentrun"):
            actions.append({"url": reverse("checkout.payment.run.next"), "text": _("The next run")})
        if checkout is not None and self.can("refund") and not refunds.why_not(checkout):
            url = reverse("checkout.refund.create", args=[checkout.uuid])
            actions.append({"url": url, "text": _("Give it back")})
        if self.can("change_problem"):
            if can_be_applied(problem):
                url = reverse("checkout.problem.apply", args=[problem.pk])
                actions.append({"url": url, "text": _("Apply it after all")})
            if problem.owner_id != self.request.user.pk:
                url = reverse("checkout.problem.take", args=[problem.pk])
                actions.append({"url": url, "text": _("Look after it")})
            actions.append({"url": reverse("checkout.problem.close", args=[problem.pk]), "text": _("Close it")})
        return actions


class ProblemActionView(StaffActionView):
    """Something is done about one problem."""

    permission = "checkout.change_problem"
    menu = "checkout.problem.list"
    object: Problem

    def get_object(self) -> Problem:
        return _find(self.kwargs["pk"])

    def get_version(self) -> str:
        return f"{self.object.owner_id}-{self.object.closed_at}"

    def get_refusal(self) -> str:
        return "" if self.object.is_open else _("This problem is closed.")

    def get_facts(self) -> list[tuple[Any, Any]]:
        row = self.object
        return [
            (_("Problem"), row.get_kind_display()),
            (_("What was said"), row.detail),
            (_("About"), row.checkout.payer if row.checkout else row.subject),
            (_("Amount"), show_money(row.amount, row.currency)),
        ]


class ProblemApplyView(ProblemActionView):
    heading = gettext_lazy("Apply a payment after all")
    way_back = gettext_lazy("It cannot be undone; the money can still be refunded.")
    question = gettext_lazy("What was paid for is told that it was paid, as if there had been no problem.")
    button = gettext_lazy("Apply it")
    form_class = ConfirmForm

    def get_refusal(self) -> str:
        return super().get_refusal() or ("" if can_be_applied(self.object) else _("There is nothing to apply here."))

    def perform(self, form: ConfirmForm) -> str:
        assert self.object.checkout is not None  # noqa: S101 - can_be_applied
        applying.apply(self.object.checkout, self.request.user)
        return _("Applied.")


class ProblemTakeView(ProblemActionView):
    heading = gettext_lazy("Look after a problem")
    way_back = gettext_lazy("A colleague can take it over at any time.")
    question = gettext_lazy("Your name stands beside it, so that your colleagues know.")
    button = gettext_lazy("I look after it")
    form_class = ConfirmForm

    def perform(self, form: ConfirmForm) -> str:
        Problem.objects.filter(pk=self.object.pk, closed_at=None).update(owner=actor(self.request.user))
        return _("You look after it now.")


class ProblemCloseView(ProblemActionView):
    heading = gettext_lazy("Close a problem")
    way_back = gettext_lazy("It stays closed; another one is opened if it happens again.")
    question = gettext_lazy("Say what was done. Nothing is taken or given back by it.")
    button = gettext_lazy("Close it")
    form_class = ReasonForm

    def get_success_url(self) -> str:
        return reverse("checkout.problem.list")

    def perform(self, form: ReasonForm) -> str:
        rows = Problem.objects.filter(pk=self.object.pk, closed_at=None)
        note = form.cleaned_data["reason"][:255]
        if not rows.update(closed_at=clock.now(), note=note, owner=actor(self.request.user)):
            return _("It was closed already.")
        return _("Closed.")
