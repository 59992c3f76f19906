"""What the next run would take, line by line; asking a colleague to release it, and the release."""

from __future__ import annotations

import datetime
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.dateparse import parse_date
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from checkout import clock, money
from checkout.conf import conf
from checkout.errors import MoneyError
from checkout.models import RunRelease, RunReleaseLine
from checkout.office import stories
from checkout.office.forms import OptionalReasonForm, ReasonForm
from checkout.office.pages import Sort
from checkout.office.views.cells import Cell, date_cell, money_cell, show_date, show_money, show_time, time_cell
from checkout.office.views.lists import CURRENCY, Column, Filter, StaffListView
from checkout.office.views.plans import customer_cell
from checkout.office.views.staff_actions import StaffActionView
from checkout.services import dry_runs, releases

State = RunRelease.State

#: So far ahead may be looked; cards and plans change too much for more.
AHEAD = timedelta(days=31)
COLOURS = {State.WAITING: "request", State.RELEASED: "success", State.TURNED_DOWN: "fail", State.WITHDRAWN: ""}
MENU = "checkout.payment.run.list"


def _day(text: str) -> datetime.date:
    """The day that is asked for, if one may look so far; else today."""
    today = clock.today()
    try:
        day = parse_date(text)
    except ValueError:
        day = None
    return day if day is not None and today <= day <= today + AHEAD else today


def _sum(number: int, total: Any, currency: str) -> str:
    said = ngettext("%(number)d payment, %(amount)s", "%(number)d payments, %(amount)s", number)
    return said % {"number": number, "amount": show_money(total, currency)}


class NextRunView(StaffListView):
    permission = "checkout.view_paymentrun"
    menu = MENU
    heading = gettext_lazy("The next run")
    empty = gettext_lazy("Nothing is due by that day.")
    csv_name = "next-run"
    sorts = [Sort("due", gettext_lazy("The longest due first"), "due")]
    filters = [Filter("day", gettext_lazy("Day of the run"), lambda rows, day: rows, is_date=True, default=clock.today)]

    def get_rows(self) -> QuerySet[Any]:
        self.day = _day(self.request.GET.get("day", ""))
        self.gate = dry_runs.gate(self.day)
        return dry_runs.lines(self.day)

    def prepare(self, rows: list[Any]) -> None:
        self.told = {line.instalment.pk: line for line in dry_runs.describe(rows, self.gate)}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        taken = dry_runs.to_take(self.day)
        waiting = {currency for currency, _number, _total in releases.sums(self.gate.keep_back(taken))}
        said = [
            _("Due by %(day)s: %(sum)s.") % {"day": show_date(self.day), "sum": _sum(number, total, currency)}
            for currency, number, total in releases.sums(taken)
        ]
        for currency, number, total in releases.sums(self.gate.keep_back(taken)):
            said.append(_("Of these wait for a release: %(sum)s.") % {"sum": _sum(number, total, currency)})
        asked = self.request.GET.get("day", "")
        if asked and asked != self.day.isoformat():
            refused = _("Choose a day from today until %(last)s. This is today's run.")
            said.insert(0, refused % {"last": show_date(clock.today() + AHEAD)})
        if releases.stopped_run() is not None:
            said.append(_("Runs are stopped: nothing is taken until they may go on."))
        links = [{"url": reverse("checkout.run.release.list"), "text": _("Releases")}]
        if self.can("ask_release"):
            url = reverse("checkout.run.release.ask")
            links = [
                *(
                    {
                        "url": f"{url}?day={self.day.isoformat()}&currency={currency}",
                        "text": _("Ask for a release (%(currency)s)") % {"currency": currency},
                    }
                    for currency in sorted(waiting)
                ),
                *links,
            ]
        # A day chooses no rows of a list: where there are none, nothing is due.
        return context | {"intro": " ".join(said), "actions": links, "narrowed": False}

    def _what_will_be(self, row: Any) -> Cell:
        line = self.told[row.pk]
        if line.refusal:
            return Cell(_("Not asked for"), state="fail", small=line.refusal, plain=f"refused: {line.refusal}")
        if line.waits:
            return Cell(_("Waits for a release"), state="request", small=line.warning, plain=f"waits {line.warning}")
        if line.warning:
            return Cell(_("Will probably fail"), state="pay_on_session", small=line.warning, plain=line.warning)
        return Cell(_("Will be taken"), state="success", plain="")

    @property
    def columns(self) -> list[Column]:  # type: ignore[override]
        return [
            Column(
                _("Line"),
                lambda row: Cell(
                    f"{row.object_payment_plan_id}/{row.count}",
                    url=row.get_absolute_url(),
                    small=stories.line_name(row),
                ),
                header=True,
            ),
            Column(_("Payer"), lambda row: customer_cell(row.object_payment_plan.customer)),
            Column(_("Due"), lambda row: date_cell(row.due)),
            Column(_("Amount"), lambda row: money_cell(row.left, row.object_payment_plan.currency), number=True),
            Column(_("Card"), lambda row: self.told[row.pk].card or _("none")),
            Column(_("What will be"), self._what_will_be),
            Column(_("Currency"), lambda row: row.object_payment_plan.currency, only_csv=True),
        ]


class ReleaseAskView(StaffActionView):
    """Somebody shows a colleague what a run would take."""

    permission = "checkout.ask_release"
    menu = MENU
    form_class = OptionalReasonForm
    heading = gettext_lazy("Ask for a release")
    way_back = gettext_lazy("You can withdraw it until somebody has decided.")
    question = gettext_lazy(
        "A colleague is shown exactly these payments. Runs take what is released and nothing else: what becomes due "
        "besides, or costs more by then, waits again."
    )
    button = gettext_lazy("Ask for it")

    def get_object(self) -> Any:
        self.day = _day(self.request.GET.get("day", ""))
        try:
            self.currency = money.check_currency((self.request.GET.get("currency") or conf.CHECKOUT_CURRENCY).upper())
        except MoneyError:
            raise Http404 from None
        rows = dry_runs.to_take(self.day).filter(object_payment_plan__currency=self.currency)
        found = releases.sums(rows)
        self.number, self.total = (found[0][1], found[0][2]) if found else (0, Decimal(0))
        return rows

    def get_back_url(self) -> str:
        return f"{reverse('checkout.payment.run.next')}?day={self.day.isoformat()}"

    def get_version(self) -> str:
        return f"{self.day}-{self.currency}-{self.number}-{self.total}"

    def get_refusal(self) -> str:
        return "" if self.number else _("There is nothing that could be released for that day.")

    def get_facts(self) -> list[tuple[Any, Any]]:
        return [
            (_("Day of the run"), show_date(self.day)),
            (_("Due by then"), _sum(self.number, self.total, self.currency)),
        ]

    def get_success_url(self) -> str:
        return self.asked.get_absolute_url() if hasattr(self, "asked") else self.get_back_url()

    def perform(self, form: OptionalReasonForm) -> str:
        self.asked = dry_runs.ask_for_release(self.day, self.currency, self.request.user, form.cleaned_data["reason"])
        return _("Asked for. Somebody else has to release it.")


class ReleaseListView(StaffListView):
    permission = "checkout.view_paymentrun"
    menu = MENU
    heading = gettext_lazy("Releases of runs")
    intro = gettext_lazy("What somebody was shown of what runs would take, and whether a colleague released it.")
    empty = gettext_lazy("Nobody has asked for a release yet: see the next run.")
    csv_name = "releases"
    columns = [
        Column(gettext_lazy("Number"), lambda row: Cell(str(row.pk), url=row.get_absolute_url()), header=True),
        Column(gettext_lazy("Day of the run"), lambda row: date_cell(row.day)),
        Column(gettext_lazy("Payments"), lambda row: row.count, number=True),
        Column(gettext_lazy("Sum"), lambda row: money_cell(row.total, row.currency), number=True),
        Column(gettext_lazy("Asked for by"), lambda row: str(row.asked_by or "")),
        Column(gettext_lazy("Asked for"), lambda row: time_cell(row.asked_at)),
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

    def get_rows(self) -> QuerySet[RunRelease]:
        return RunRelease.objects.select_related("asked_by", "decided_by")

    def get_actions(self) -> list[dict[str, str]]:
        return [{"url": reverse("checkout.payment.run.next"), "text": _("The next run")}]


def _find(pk: int) -> RunRelease:
    return get_object_or_404(RunRelease.objects.select_related("asked_by", "decided_by"), pk=pk)


class ReleaseDetailView(StaffListView):
    """What was shown, line by line, and the decision."""

    permission = "checkout.view_paymentrun"
    menu = MENU
    csv_name = "release"
    sorts = [Sort("order", gettext_lazy("In the order in which they were shown"), "pk")]

    def get_rows(self) -> QuerySet[RunReleaseLine]:
        row = self.release = _find(self.kwargs["pk"])
        self.heading = _("Release %(number)d") % {"number": row.pk}
        said = [
            _("For the run of %(day)s: %(sum)s.")
            % {"day": show_date(row.day), "sum": _sum(row.count, row.total, row.currency)},
            _("Asked for by %(who)s, %(when)s.")
            % {"who": row.asked_by or _("somebody whose login is gone"), "when": show_time(row.asked_at)},
            row.note,
            f"{capfirst(row.get_state_display())}.",
        ]
        if row.decided_at is not None:
            who = row.decided_by or _("somebody whose login is gone")
            said += [_("Decided by %(who)s, %(when)s.") % {"who": who, "when": show_time(row.decided_at)}, row.decision]
        self.intro = " ".join(filter(None, said))
        return RunReleaseLine.objects.filter(release=row).select_related(
            "instalment__object_payment_plan__customer", "instalment__debt"
        )

    def get_actions(self) -> list[dict[str, Any]]:
        row, user = self.release, self.request.user

        def to(do: str) -> str:
            return reverse(f"checkout.run.release.{do}", args=[row.pk])

        own = row.asked_by_id == user.pk
        return [
            *self.offer(
                ("release_run", to("give"), _("Release it"), not releases.why_not(row, user)),
                ("release_run", to("refuse"), _("Turn it down"), row.waits and not own),
                ("ask_release", to("refuse"), _("Withdraw it"), row.waits and own),
            ),
            {"url": reverse("checkout.run.release.list"), "text": _("All releases")},
        ]

    @property
    def columns(self) -> list[Column]:  # type: ignore[override]
        currency = self.release.currency
        return [
            Column(
                _("Line"),
                lambda row: Cell(
                    f"{row.instalment.object_payment_plan_id}/{row.instalment.count}",
                    url=row.instalment.get_absolute_url(),
                ),
                header=True,
            ),
            Column(_("Payer"), lambda row: customer_cell(row.instalment.object_payment_plan.customer)),
            Column(_("Due"), lambda row: date_cell(row.instalment.due)),
            Column(_("Shown"), lambda row: money_cell(row.amount, currency), number=True),
            Column(_("Left now"), lambda row: money_cell(row.instalment.left, currency), number=True),
            Column(_("Currency"), lambda row: currency, only_csv=True),
        ]


class _ReleaseActionView(StaffActionView):
    menu = MENU
    object: RunRelease

    def get_object(self) -> RunRelease:
        return _find(self.kwargs["pk"])

    def get_version(self) -> str:
        return self.object.state

    def get_facts(self) -> list[tuple[Any, Any]]:
        row = self.object
        rows = dry_runs.to_take(row.day).filter(object_payment_plan__currency=row.currency)
        now = [_sum(number, total, currency) for currency, number, total in releases.sums(rows)]
        return [
            (_("Day of the run"), show_date(row.day)),
            (_("Was shown"), _sum(row.count, row.total, row.currency)),
            (_("Due by then, as it stands now"), now[0] if now else _("nothing")),
            (_("Asked for by"), row.asked_by or _("somebody whose login is gone")),
            (_("Asked for"), show_time(row.asked_at)),
            (_("Note"), row.note),
        ]


class ReleaseGiveView(_ReleaseActionView):
    permission = "checkout.release_run"
    form_class = OptionalReasonForm
    heading = gettext_lazy("Release what a run takes")
    way_back = gettext_lazy("It cannot be undone. A run that is under way can be stopped.")
    question = gettext_lazy(
        "The runs of that day and of the day after take exactly what was shown. You answer for it together."
    )
    button = gettext_lazy("Release it")
    danger = True

    def get_refusal(self) -> str:
        return releases.why_not(self.object, self.request.user)

    def perform(self, form: OptionalReasonForm) -> str:
        releases.release(self.object, self.request.user, form.cleaned_data["reason"])
        return _("Released. The next run takes it.")


class ReleaseTurnDownView(_ReleaseActionView):
    """By a colleague; or whoever asked withdraws it."""

    permission = "checkout.view_paymentrun"
    form_class = ReasonForm
    heading = gettext_lazy("Turn a release down")
    way_back = gettext_lazy("It cannot be undone, but the same can be asked for again.")
    question = gettext_lazy("Nothing is taken by it.")
    button = gettext_lazy("Turn it down")

    def get_refusal(self) -> str:
        if not self.object.waits:
            return _("Already done: this was decided.")
        own = self.object.asked_by_id == self.request.user.pk
        return "" if own or self.can("release_run") else _("Only somebody who may release runs can turn it down.")

    def perform(self, form: ReasonForm) -> str:
        releases.turn_down(self.object, self.request.user, form.cleaned_data["reason"])
        return _("Turned down. Nothing is taken by it.")
