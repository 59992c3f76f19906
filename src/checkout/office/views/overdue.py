"""What is overdue, debt by debt: why, what is tried next, what its payer promised, and what staff do about it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from checkout import advice, clock, states
from checkout.models import ObjectPaymentPlanInstalment, RecoveryStep
from checkout.office import search, selectors, stories
from checkout.office.forms import DayForm, OptionalReasonForm, PromiseForm
from checkout.office.pages import Sort
from checkout.office.views import ways_back
from checkout.office.views.cells import Cell, address_of, date_cell, debt_cell, money_cell, show_date
from checkout.office.views.instalments import InstalmentActionView
from checkout.office.views.lists import Column, Filter, StaffListView
from checkout.office.views.plans import customer_cell
from checkout.services import ahead, promises

SHOWS = (
    ("open", gettext_lazy("To do")),
    ("promised", gettext_lazy("Promised")),
    ("put_off", gettext_lazy("Put off")),
    ("done", gettext_lazy("Done")),
    ("all", gettext_lazy("All")),
)


def _older(rows: QuerySet[Any], days: str) -> QuerySet[Any]:
    return rows.filter(due__lt=clock.today() - timedelta(days=int(days)))


def payer_of_line(line: ObjectPaymentPlanInstalment) -> Cell:
    """The payer, with the line and its plan beneath."""
    plan = line.object_payment_plan
    payer = customer_cell(plan.customer)
    what = _("%(line)s of plan %(number)d") % {"line": stories.line_name(line), "number": plan.pk}
    return Cell(payer.text, url=line.get_absolute_url(), small=what, plain=f"{payer.plain or payer.text}, {what}")


class OverdueListView(StaffListView):
    permission = "checkout.view_objectpaymentplaninstalment"
    menu = "checkout.overdue.list"
    heading = gettext_lazy("Overdue payments")
    intro = gettext_lazy(
        "Payments of plans that are late, the oldest first: why, what happens next by itself, and what you can do."
    )
    empty = gettext_lazy("Nothing is overdue. All is well.")
    find = staticmethod(search.find_lines)
    search_hint = gettext_lazy("Name or e-mail address of the payer, or a number of a plan")
    csv_name = "overdue"
    many_name = "overdue"
    sorts = (
        Sort("old", gettext_lazy("Oldest first"), "due"),
        Sort("new", gettext_lazy("Newest first"), "due", descending=True),
    )
    filters = [
        Filter(
            "state",
            gettext_lazy("State"),
            lambda rows, value: rows.filter(state_id=value),
            [(slug, name) for slug, name in advice.DEBT_NAMES.items() if slug != states.SUCCESS],
        ),
        Filter(
            "late",
            gettext_lazy("Late by more than"),
            _older,
            [
                ("7", gettext_lazy("7 days")),
                ("30", gettext_lazy("30 days")),
                ("90", gettext_lazy("90 days")),
            ],
        ),
    ]

    shows = SHOWS

    def get_rows(self) -> QuerySet[ObjectPaymentPlanInstalment]:
        return selectors.to_do(self.show)

    def prepare(self, rows: list[Any]) -> None:
        self.attempts = selectors.newest_attempts(rows)
        steps = RecoveryStep.objects.filter(instalment__in=rows, ended="")
        self.tries = dict(steps.values_list("instalment", "day"))
        names = (("promise", _("Promise")), ("snooze", _("Put off")), ("done", _("Done")))
        self.doings = [(words, address_of(f"checkout.object.payment.plan.instalment.{name}")) for name, words in names]

    @property
    def columns(self) -> list[Column]:  # type: ignore[override]
        may = self.can("change_followup")
        return [
            Column(_("Payer"), payer_of_line, header=True),
            Column(_("Left"), lambda row: money_cell(row.left, row.object_payment_plan.currency), number=True),
            Column(_("Due"), self._due),
            Column(_("State"), lambda row: debt_cell(row.state_id)),
            Column(_("Why"), self._why),
            Column(_("What next"), self._next),
            Column(_("Currency"), lambda row: row.object_payment_plan.currency, only_csv=True),
            *([Column(_("Do"), self._do)] if may and not self.is_csv else []),
        ]

    def get_actions(self) -> list[dict[str, str]]:
        return [{"url": reverse("checkout.ahead.list"), "text": _("Payments that may not come")}]

    def _due(self, line: ObjectPaymentPlanInstalment) -> Cell:
        days = (clock.today() - line.due).days
        late = ngettext("%(days)d day late", "%(days)d days late", days) % {"days": days}
        return Cell(show_date(line.due), small=late, plain=line.due.isoformat())

    def _why(self, line: ObjectPaymentPlanInstalment) -> Any:
        attempt = self.attempts.get(line.pk)
        if attempt is not None and line.state_id != states.PENDING:
            return advice.advise(attempt).why
        if line.state_id == states.PAY_ON_SESSION:
            return _("The payer was asked to pay by link.")
        if line.object_payment_plan.card is None:
            return _("There is no card that may be charged.")
        return _("The bank disputes a payment of this plan.") if line.object_payment_plan.paused else ""

    def _next(self, line: ObjectPaymentPlanInstalment) -> Cell:
        """What happens by itself, else what staff do."""
        known = getattr(line, "follow_up", None)
        promised = known.promised_for if known is not None else None
        note = known.note if known is not None else ""
        if promised is not None:
            words = _("Promised for %(day)s") if promised > clock.today() else _("Was promised for %(day)s")
            return Cell(words % {"day": show_date(promised)}, small=note)
        plan, day = line.object_payment_plan, self.tries.get(line.pk)
        if day is not None and line.state_id == states.FAIL and not plan.paused and plan.card is not None:
            return Cell(_("The card is tried again on %(day)s") % {"day": show_date(day)}, small=note)
        if line.state_id == states.PENDING and not plan.paused and plan.card is not None:
            return Cell(_("The next run takes it"), small=note)
        attempt = self.attempts.get(line.pk)
        told = advice.advise(attempt).next_step if attempt is not None else ""
        if not told:
            waits = line.state_id == states.PAY_ON_SESSION
            told = _("Wait for the payer, or speak to them") if waits else _("Ask the payer for a card")
        return Cell(told, small=note)

    def _do(self, line: ObjectPaymentPlanInstalment) -> Cell:
        return Cell("", links=tuple((words, address(line.pk)) for words, address in self.doings))


class AheadListView(StaffListView):
    """What will not come as things stand, before its day."""

    permission = "checkout.view_objectpaymentplaninstalment"
    menu = "checkout.overdue.list"
    heading = gettext_lazy("Payments that may not come")
    intro = gettext_lazy("Payments that cannot be taken on their day as things stand, the next one first.")
    empty = gettext_lazy("All that is to come can be taken, as far as is known today.")
    find = staticmethod(search.find_lines)
    search_hint = gettext_lazy("Name or e-mail address of the payer, or a number of a plan")
    csv_name = "may-not-come"
    #: Each is found among many others, by a look at its plan, its agreement and its card.
    counted = 100
    sorts = (Sort("soon", gettext_lazy("Soonest first"), "due"),)
    filters = [
        Filter("until", gettext_lazy("Due by"), lambda rows, day: rows.filter(due__lte=day), is_date=True),
        Filter(
            "why",
            gettext_lazy("Why"),
            lambda rows, value: rows.filter({"no_card": ahead.NO_CARD, "runs_out": ahead.RUNS_OUT}[value]),
            [("no_card", gettext_lazy("No card")), ("runs_out", gettext_lazy("The card runs out"))],
        ),
    ]
    columns = [
        Column(gettext_lazy("Payer"), payer_of_line, header=True),
        Column(gettext_lazy("Left"), lambda row: money_cell(row.left, row.object_payment_plan.currency), number=True),
        Column(gettext_lazy("Due"), lambda row: date_cell(row.due)),
        Column(gettext_lazy("Why"), ahead.why),
        Column(gettext_lazy("Currency"), lambda row: row.object_payment_plan.currency, only_csv=True),
    ]

    def get_rows(self) -> QuerySet[ObjectPaymentPlanInstalment]:
        return selectors.may_not_come()


class _FollowUpView(InstalmentActionView):
    way_back = ways_back.AGAIN
    menu = "checkout.overdue.list"
    permission = "checkout.change_followup"

    def get_refusal(self) -> str:
        refusal = super().get_refusal()
        if not refusal and self.object.due >= clock.today():
            return _("This is not overdue.")
        return refusal

    def get_success_url(self) -> str:
        return reverse("checkout.overdue.list")


class PromiseView(_FollowUpView):
    heading = gettext_lazy("Write down a promise")
    question = gettext_lazy(
        "The payer said when they pay. Until that day the card is not tried again, and no letter reminds them."
    )
    button = gettext_lazy("Write it down")
    form_class = PromiseForm

    def get_initial(self) -> dict[str, Any]:
        known = getattr(self.object, "follow_up", None)
        return {"day": known.promised_for} if known is not None else {}

    def perform(self, form: PromiseForm) -> str:
        day = form.cleaned_data["day"]
        promises.promise(self.object, day, self.request.user, form.cleaned_data["reason"])
        if day is None:
            return _("The promise was taken back.")
        return _("Written down: promised for %(day)s.") % {"day": show_date(day)}


class SnoozeView(_FollowUpView):
    heading = gettext_lazy("Put off")
    question = gettext_lazy(
        "It leaves the list until that day. What is done by itself, as trying the card again, goes on."
    )
    button = gettext_lazy("Put it off")
    form_class = DayForm

    def perform(self, form: DayForm) -> str:
        day = form.cleaned_data["day"]
        promises.put_off(self.object, day, self.request.user, form.cleaned_data["reason"])
        return _("Put off until %(day)s.") % {"day": show_date(day)}


class DoneView(_FollowUpView):
    heading = gettext_lazy("Nothing more to do")
    question = gettext_lazy("It leaves the list, until its card is declined anew. What is done by itself goes on.")
    button = gettext_lazy("Done")
    form_class = OptionalReasonForm

    def perform(self, form: OptionalReasonForm) -> str:
        promises.done(self.object, self.request.user, form.cleaned_data["reason"])
        return _("Done.")
