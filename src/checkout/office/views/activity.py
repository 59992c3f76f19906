"""Since yesterday: what changed, by whom, and why."""

from __future__ import annotations

import datetime
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from checkout import clock
from checkout.models import StateChange
from checkout.office import search, stories
from checkout.office.pages import Sort
from checkout.office.views.cells import Cell, time_cell
from checkout.office.views.lists import Column, Filter, StaffListView

#: What something was done to, by the column that points at it.
KINDS = (
    ("object_payment_plan", gettext_lazy("Plans")),
    ("instalment", gettext_lazy("Payments of plans")),
    ("checkout", gettext_lazy("Checkouts")),
    ("customer_payment", gettext_lazy("Requests")),
    ("refund", gettext_lazy("Refunds")),
    ("customer", gettext_lazy("Customers")),
)

#: So many people are offered to choose from.
MOST_PEOPLE = 200


def _yesterday() -> datetime.date:
    return clock.today() - timedelta(days=1)


def _until(rows: QuerySet[Any], day: datetime.date) -> QuerySet[Any]:
    return rows.filter(at__lt=stories.start_of(day + timedelta(days=1)))


def _find(rows: QuerySet[StateChange], text: str) -> QuerySet[StateChange]:
    return rows.filter(search.Words(text, "note"), user__isnull=False)


class ChangeListView(StaffListView):
    permission = "checkout.view_statechange"
    menu = "checkout.change.list"
    heading = gettext_lazy("Since yesterday")
    intro = gettext_lazy("What changed since yesterday, or since another day, the newest first.")
    empty = gettext_lazy("Nothing changed.")
    find = staticmethod(_find)
    search_hint = gettext_lazy("Words of what somebody wrote")
    csv_name = "changes"
    shows = (
        ("people", gettext_lazy("By people")),
        ("jobs", gettext_lazy("By itself")),
        ("all", gettext_lazy("All")),
    )
    sorts = (
        Sort("new", gettext_lazy("Newest first"), "at", descending=True),
        Sort("old", gettext_lazy("Oldest first"), "at"),
    )
    columns = [
        Column(gettext_lazy("When"), lambda row: time_cell(row.at), header=True),
        Column(gettext_lazy("Who"), lambda row: str(row.user or "")),
        Column(gettext_lazy("What"), lambda row: Cell(stories.subject_of(row), url=stories.page_of(row))),
        Column(gettext_lazy("What happened"), stories.move_text),
        Column(gettext_lazy("Why"), lambda row: row.reason_text),
    ]

    @property
    def filters(self) -> list[Filter]:  # type: ignore[override]
        people: list[Any] = list(get_user_model()._default_manager.filter(is_staff=True).order_by("pk")[:MOST_PEOPLE])
        return [
            Filter(
                "since",
                _("Since"),
                lambda rows, day: rows.filter(at__gte=stories.start_of(day)),
                is_date=True,
                default=_yesterday,
            ),
            Filter("until", _("Until"), _until, is_date=True),
            Filter(
                "person",
                _("Who"),
                lambda rows, pk: rows.filter(user=pk),
                [(str(user.pk), str(user)) for user in people],
            ),
            Filter("kind", _("What"), lambda rows, kind: rows.filter(**{f"{kind}__isnull": False}), KINDS),
        ]

    def get_rows(self) -> QuerySet[StateChange]:
        rows = stories.with_subjects(StateChange.objects.all())
        if self.show == "all":
            return rows
        return rows.filter(user__isnull=self.show == "jobs")
