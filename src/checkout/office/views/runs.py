"""Payment runs, and what became of each line in one."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from checkout import advice
from checkout.journal import in_english
from checkout.models import PaymentRun, PaymentRunItem
from checkout.office import selectors
from checkout.office.forms import ConfirmForm, ReasonForm
from checkout.office.pages import Sort
from checkout.office.views.cells import Cell, date_cell, money_cell, show_time, state_cell, time_cell
from checkout.office.views.lists import Column, Filter, StaffListView
from checkout.office.views.plans import customer_cell
from checkout.office.views.staff_actions import StaffActionView
from checkout.services import releases

Outcome = PaymentRunItem.Outcome

#: Outcome -> the state whose colour it gets.
COLOURS = {
    Outcome.CLAIMED: "request",
    Outcome.CHARGED: "success",
    Outcome.DECLINED: "fail",
    Outcome.PAY_ON_SESSION: "pay_on_session",
    Outcome.UNKNOWN: "request",
    Outcome.SKIPPED: "",
    Outcome.WAITING: "request",
    Outcome.ERROR: "fail",
}


def _in_words(item: PaymentRunItem) -> str:
    """Why it ended so, which runs keep in English, in the language of whoever reads: what is ours, and not Stripe's
    words or an error's."""
    with in_english():
        as_kept = item.checkout.failure_text if item.checkout is not None else ""
    if item.checkout is not None and item.note == as_kept:
        return str(item.checkout.failure_text)
    return _(item.note) if item.note else ""


class PaymentRunListView(StaffListView):
    permission = "checkout.view_paymentrun"
    menu = "checkout.payment.run.list"
    heading = gettext_lazy("Payment runs")
    intro = gettext_lazy("Each sweep over what was due.")
    empty = gettext_lazy("There has been no run yet. The job process_payments begins them.")
    csv_name = "payment-runs"
    filters = [
        Filter("since", gettext_lazy("From"), lambda rows, day: rows.filter(started_at__date__gte=day), is_date=True),
        Filter("until", gettext_lazy("To"), lambda rows, day: rows.filter(started_at__date__lte=day), is_date=True),
    ]

    def get_rows(self) -> QuerySet[PaymentRun]:
        return PaymentRun.objects.select_related("user")

    def get_actions(self) -> list[dict[str, str]]:
        return [
            {"url": reverse("checkout.payment.run.next"), "text": _("The next run")},
            {"url": reverse("checkout.run.release.list"), "text": _("Releases")},
        ]

    def prepare(self, rows: list[Any]) -> None:
        self.counts = selectors.run_counts(row.pk for row in rows)

    def _count(self, outcomes: list[str]) -> Any:
        return lambda row: sum(self.counts.get(row.pk, {}).get(outcome, 0) for outcome in outcomes)

    @property
    def columns(self) -> list[Column]:  # type: ignore[override]
        return [
            Column(
                _("Run"),
                lambda row: Cell(str(row.pk), url=reverse("checkout.payment.run.detail", args=[row.pk])),
                header=True,
            ),
            Column(_("Started"), lambda row: time_cell(row.started_at)),
            Column(_("Charged"), self._count([Outcome.CHARGED]), number=True),
            Column(_("Declined"), self._count([Outcome.DECLINED]), number=True),
            Column(_("Payer wanted"), self._count([Outcome.PAY_ON_SESSION]), number=True),
            Column(_("Not answered"), self._count([Outcome.UNKNOWN, Outcome.CLAIMED]), number=True),
            Column(_("Left out"), self._count([Outcome.SKIPPED, Outcome.ERROR]), number=True),
            Column(_("Waits for a release"), self._count([Outcome.WAITING]), number=True),
            Column(
                _("End"),
                lambda row: (
                    Cell(show_time(row.finished_at), small=row.note, plain=time_cell(row.finished_at).plain)
                    if row.finished_at
                    else state_cell("request", _("not finished"))
                ),
            ),
        ]


class PaymentRunDetailView(StaffListView):
    permission = "checkout.view_paymentrun"
    menu = "checkout.payment.run.list"
    empty = gettext_lazy("Nothing was due.")
    csv_name = "payment-run"
    sorts = [Sort("order", gettext_lazy("In the order of the run"), "pk")]
    filters = [
        Filter(
            "outcome", gettext_lazy("Outcome"), lambda rows, value: rows.filter(outcome=value), list(Outcome.choices)
        )
    ]

    def get_rows(self) -> QuerySet[PaymentRunItem]:
        self.run = get_object_or_404(PaymentRun.objects.select_related("stopped_by"), pk=self.kwargs["pk"])
        self.heading = _("Payment run %(number)d") % {"number": self.run.pk}
        self.intro = _("Started %(when)s. %(note)s") % {
            "when": show_time(self.run.started_at),
            "note": self.run.note,
        }
        if self.run.stopped_at is not None and not self.run.note:
            self.intro += _("Stopped by %(who)s: %(why)s") % {
                "who": self.run.stopped_by or _("somebody whose login is gone"),
                "why": self.run.stopped_why,
            }
        return selectors.run_items(self.run)

    def get_actions(self) -> list[dict[str, str]]:
        run = self.run
        stop, go_on = (reverse(f"checkout.payment.run.{do}", args=[run.pk]) for do in ("stop", "go"))
        return [
            *self.offer(
                ("stop_run", stop, _("Stop this run"), run.finished_at is None and run.stopped_at is None),
                ("stop_run", go_on, _("Let runs go on"), run.is_stopped),
            ),
            {"url": reverse("checkout.payment.run.list"), "text": _("All runs")},
        ]

    @staticmethod
    def _why(item: PaymentRunItem) -> Any:
        if item.checkout is not None and item.outcome in (Outcome.DECLINED, Outcome.PAY_ON_SESSION):
            told = advice.advise(item.checkout)
            return Cell(told.why, small=told.next_step)
        return _in_words(item)

    @property
    def columns(self) -> list[Column]:  # type: ignore[override]
        return [
            Column(
                _("Line"),
                lambda row: Cell(str(row.instalment_id), url=row.instalment.get_absolute_url()),
                header=True,
            ),
            Column(_("Payer"), lambda row: customer_cell(row.instalment.object_payment_plan.customer)),
            Column(
                _("Amount"),
                lambda row: money_cell(row.instalment.amount, row.instalment.object_payment_plan.currency),
                number=True,
            ),
            Column(_("Due"), lambda row: date_cell(row.instalment.due)),
            Column(
                _("Outcome"),
                lambda row: state_cell(COLOURS.get(row.outcome, ""), capfirst(row.get_outcome_display())),
            ),
            Column(_("Why"), self._why),
            Column(_("Currency"), lambda row: row.instalment.object_payment_plan.currency, only_csv=True),
        ]


class _RunActionView(StaffActionView):
    permission = "checkout.stop_run"
    menu = "checkout.payment.run.list"
    object: PaymentRun

    def get_object(self) -> PaymentRun:
        return get_object_or_404(PaymentRun.objects.select_related("stopped_by"), pk=self.kwargs["pk"])

    def get_version(self) -> str:
        return f"{self.object.stopped_at}-{self.object.resumed_at}"

    def get_facts(self) -> list[tuple[Any, Any]]:
        run, counts = self.object, selectors.run_counts([self.object.pk]).get(self.object.pk, {})
        facts: list[tuple[Any, Any]] = [(_("Started"), show_time(run.started_at))]
        facts += [(capfirst(outcome.label), counts[outcome]) for outcome in Outcome if outcome in counts]
        if run.stopped_at is not None:
            facts += [(_("Stopped by"), run.stopped_by or ""), (_("Why"), run.stopped_why)]
        return facts


class PaymentRunStopView(_RunActionView):
    form_class = ReasonForm
    heading = gettext_lazy("Stop a run")
    way_back = gettext_lazy("You can let runs go on at any time. What was taken by then stays taken.")
    question = gettext_lazy(
        "Nothing new is claimed by any run. What Stripe was asked already is settled. No run begins until somebody "
        "lets runs go on."
    )
    button = gettext_lazy("Stop it")
    danger = True

    def get_refusal(self) -> str:
        if self.object.finished_at is not None:
            return _("This run has ended.")
        return _("This run was stopped already.") if self.object.stopped_at is not None else ""

    def perform(self, form: ReasonForm) -> str:
        releases.stop(self.request.user, form.cleaned_data["reason"])
        return _("Stopped. Nothing new is claimed.")


class PaymentRunGoOnView(_RunActionView):
    form_class = ConfirmForm
    heading = gettext_lazy("Let runs go on")
    way_back = gettext_lazy("A run that is under way can be stopped again.")
    question = gettext_lazy("The next run takes what is left. Nothing that was taken is taken again.")
    button = gettext_lazy("Let them go on")

    def get_refusal(self) -> str:
        return "" if self.object.is_stopped else _("This run is not stopped.")

    def perform(self, form: ConfirmForm) -> str:
        releases.go_on(self.request.user)
        return _("Runs may go on. The next one takes what is left.")
