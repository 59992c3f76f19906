"""Problems: what no code may decide, with an owner and an age; a person closes one with a note."""

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
from checkout.office.forms import ReasonForm
from checkout.office.views.cells import Cell, money_cell, show_money, time_cell
from checkout.office.views.checkouts import stripe_url
from checkout.office.views.lists import CURRENCY, Column, StaffListView, Tab
from checkout.office.views.staff_actions import StaffActionView


def _subject(row: Problem) -> Cell:
    url = row.checkout.get_absolute_url() if row.checkout is not None else stripe_url(row.subject)
    return Cell(row.subject, url=url)


def _close(row: Problem) -> Cell:
    if not row.is_open:
        return Cell(row.note)
    return Cell(_("Close it"), url=reverse("checkout.problem.close", args=[row.pk]))


class ProblemListView(StaffListView):
    permission = "checkout.view_problem"
    menu = "checkout.problem.list"
    heading = gettext_lazy("Problems")
    intro = gettext_lazy("What Stripe and the books say differently, or what was paid and is not owed.")
    empty = gettext_lazy("No problems. Good.")
    csv_name = "problems"
    columns = [
        Column(gettext_lazy("Problem"), lambda row: row.get_kind_display(), header=True),
        Column(gettext_lazy("About"), _subject),
        Column(gettext_lazy("Amount"), lambda row: money_cell(row.amount, row.currency), number=True),
        Column(gettext_lazy("Since"), lambda row: time_cell(row.opened_at)),
        Column(gettext_lazy("Closed"), lambda row: time_cell(row.closed_at)),
        Column(gettext_lazy("Done by"), lambda row: str(row.owner or "")),
        Column(gettext_lazy("What to do"), _close),
        CURRENCY,
    ]

    def get_rows(self) -> QuerySet[Problem]:
        rows = Problem.objects.select_related("checkout", "owner")
        return rows if self.request.GET.get("show") == "all" else rows.filter(closed_at=None)

    def get_tabs(self) -> list[Tab]:
        everything = self.request.GET.get("show") == "all"
        return [
            Tab(self.request.path, _("Open"), not everything),
            Tab(f"{self.request.path}?show=all", _("All"), everything),
        ]


class ProblemCloseView(StaffActionView):
    permission = "checkout.change_problem"
    menu = "checkout.problem.list"
    heading = gettext_lazy("Close a problem")
    question = gettext_lazy("Say what was done. Nothing is taken or given back by it.")
    button = gettext_lazy("Close it")
    form_class = ReasonForm
    object: Problem

    def get_object(self) -> Problem:
        return get_object_or_404(Problem, pk=self.kwargs["pk"])

    def get_facts(self) -> list[tuple[Any, Any]]:
        row = self.object
        return [
            (_("Problem"), row.get_kind_display()),
            (_("About"), row.subject),
            (_("Amount"), show_money(row.amount, row.currency)),
        ]

    def get_success_url(self) -> str:
        return reverse("checkout.problem.list")

    def perform(self, form: ReasonForm) -> str:
        rows = Problem.objects.filter(pk=self.object.pk, closed_at=None)
        note = form.cleaned_data["reason"][:255]
        if not rows.update(closed_at=clock.now(), note=note, owner=actor(self.request.user)):
            return _("It was closed already.")
        return _("Closed.")
