"""One action for many rows of a list: choose, look at what it would do, begin, and read what became of each."""

from __future__ import annotations

import hashlib
import logging
import uuid
from typing import Any

from django.contrib import messages
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.generic import TemplateView, View

from checkout import clock, states
from checkout.conf import conf
from checkout.errors import CheckoutError
from checkout.models import BulkItem, BulkJob, ObjectPaymentPlan, ObjectPaymentPlanInstalment
from checkout.office import stories
from checkout.office.bulk_forms import BULK_FORMS
from checkout.office.forms import ConfirmForm
from checkout.office.pages import Sort, count_text, number_text
from checkout.office.views.base import StaffMixin
from checkout.office.views.cells import Cell, show_money, state_cell, time_cell
from checkout.office.views.lists import DONE_TO_MANY, Column, Filter, StaffListView
from checkout.office.views.overdue import OverdueListView
from checkout.office.views.plans import PlanListView
from checkout.office.views.staff_actions import StaffActionView
from checkout.services import many

logger = logging.getLogger("checkout.staff")

Kind, Outcome = BulkJob.Kind, BulkItem.Outcome

#: The lists whose rows can be chosen.
LISTS: dict[str, type[StaffListView]] = {"plans": PlanListView, "overdue": OverdueListView}

#: So many of the chosen are shown one by one before it is done.
LOOKED_AT = 20

#: So long a page works by itself, on a site without Celery; the job of the timetable does the rest.
SECONDS = 8

COLOURS = {Outcome.DONE: "success", Outcome.REFUSED: "pay_on_session", Outcome.FAILED: "fail", Outcome.DOING: "request"}


def _lister(name: str) -> type[StaffListView]:
    """The list of this name; the name comes from the address, so an unknown one is a page that is not there."""
    if name not in LISTS:
        raise Http404
    return LISTS[name]


def _chosen(request: HttpRequest, name: str) -> QuerySet[Any]:
    """The rows that were ticked, or all that the list's filters find."""
    lister = _lister(name)()
    lister.setup(request)
    return lister.narrowed() if request.GET.get("all") else lister.get_rows().filter(pk__in=_ticked(request))


def _ticked(request: HttpRequest) -> list[int]:
    return [int(pk) for pk in request.GET.getlist("row")[:1000] if pk.isdecimal() and len(pk) < 19]


def _targets(kind: str, rows: QuerySet[Any]) -> QuerySet[Any]:
    """What the action is done to: of plans their payments that are late or wait for the payer, of payments their
    plans."""
    rows = rows.order_by()
    if kind in BulkJob.TO_LINES:
        lines = ObjectPaymentPlanInstalment.objects.select_related(
            "object_payment_plan__customer", "object_payment_plan__agreement__saved_card", "debt"
        ).order_by("pk")
        if rows.model is ObjectPaymentPlanInstalment:
            return lines.filter(pk__in=rows.values("pk"))
        late = Q(due__lt=clock.today()) | Q(state=states.PAY_ON_SESSION)
        return lines.filter(late, Q(state__in=states.UNPAID), object_payment_plan__in=rows.values("pk"))
    plans = ObjectPaymentPlan.objects.select_related("customer", "payment_plan").order_by("pk")
    if rows.model is ObjectPaymentPlan:
        return plans.filter(pk__in=rows.values("pk"))
    return plans.filter(Exists(rows.filter(object_payment_plan=OuterRef("pk"))))


class ManyChooseView(StaffMixin, View):
    """Where the form around a list leads: to the page of the action, or to the CSV of what was chosen."""

    name = "plans"
    permission = PlanListView.permission

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        query = request.GET.copy()
        do = str(query.pop("do", [""])[-1])
        if do == "export":
            query["format"] = "csv"
        elif do not in Kind.values:
            messages.warning(request, _("Choose what is to be done."))
        url = reverse(f"checkout.many.{do}", args=[self.name]) if do in Kind.values else _list_url(self.name)
        return HttpResponseRedirect(f"{url}?{query.urlencode()}")


class OverdueChooseView(ManyChooseView):
    name = "overdue"
    permission = OverdueListView.permission


def _list_url(name: str) -> str:
    return reverse(_lister(name).menu)


class ManyView(StaffMixin, TemplateView):  # type: ignore[misc]
    """GET says how many there are and what would become of them; POST begins."""

    template_name = "checkout/staff/many.html"
    kind = Kind.REMIND
    permission = DONE_TO_MANY[Kind.REMIND]
    question: Any = gettext_lazy(
        "A mail with a signed link goes to each payer, at most one a day for each payment. Runs leave a payment alone "
        "that its payer was asked for. A mail cannot be called back."
    )
    danger = False

    @property
    def menu(self) -> str:  # type: ignore[override]
        return _lister(self.kwargs["list"]).menu

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._show(BULK_FORMS[self.kind]())

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        pks = self._pks()
        form = BULK_FORMS[self.kind](request.POST, number=len(pks))
        if not form.is_valid():
            return self._show(form, status=422)
        data = form.cleaned_data
        if BulkJob.objects.filter(uuid=data["key"]).exists():
            return HttpResponseRedirect(reverse("checkout.many.detail", args=[data["key"]]))
        if request.POST.get("seen", "") != _seen(pks):
            messages.warning(request, _("The list has changed since you opened the page. Please look again."))
            return self._show(form, status=409)
        try:
            job = many.begin(self.kind, pks, request.user, data.get("reason", ""), key=data["key"], terms=form.terms)
        except CheckoutError as problem:
            form.add_error(None, str(problem))
            return self._show(form, status=409)
        go_on(job)
        return HttpResponseRedirect(job.get_absolute_url())

    def _pks(self) -> list[int]:
        rows = _targets(self.kind, _chosen(self.request, self.kwargs["list"]))
        return list(rows.values_list("pk", flat=True)[: many.MOST + 1])

    def _show(self, form: Any, status: int = 200) -> HttpResponse:
        kind, name = self.kind, self.kwargs["list"]
        self.heading = _("%(action)s: many at once") % {"action": kind.label}
        pks = self._pks()
        rows = _targets(kind, _chosen(self.request, name)) if pks else ()
        terms = form.terms if form.is_bound and form.is_valid() else {}
        looked = [self._looked(kind, row, terms) for row in rows[:LOOKED_AT]] if pks else []
        context = self.get_context_data(
            form=form,
            chosen=len(pks),
            number=number_text(len(pks)),
            none=not pks,
            too_many=len(pks) > many.MOST,
            most=number_text(many.MOST),
            looked=looked,
            others=number_text(max(len(pks) - LOOKED_AT, 0)) if len(pks) > LOOKED_AT else "",
            seen=_seen(pks),
            question=self.question,
            danger=self.danger,
            back_url=_list_url(name),
        )
        return self.render_to_response(context, status=status)

    @staticmethod
    def _looked(kind: str, row: Any, terms: dict[str, Any]) -> dict[str, Any]:
        name, payer, amount = _named(row)
        return {
            "name": name,
            "url": row.get_absolute_url(),
            "payer": payer,
            "amount": amount,
            "refusal": many.check(kind, row, terms),
        }


class MoveView(ManyView):
    kind = Kind.MOVE
    permission = DONE_TO_MANY[Kind.MOVE]
    question = gettext_lazy("Each payment is due on that day instead, and its payer is told. It can be moved again.")


class PauseView(ManyView):
    kind = Kind.PAUSE
    permission = DONE_TO_MANY[Kind.PAUSE]
    question = gettext_lazy(
        "All payments to come of each plan are due so many months later, and its payer is told. It can be changed back "
        "with the payer's agreement."
    )


class StopView(ManyView):
    kind = Kind.STOP
    permission = DONE_TO_MANY[Kind.STOP]
    danger = True
    question = gettext_lazy(
        "Nothing more is taken of these plans, and their payers are told. What was paid stays paid. A stopped plan can "
        "be opened again, with its payer's agreement."
    )


class WriteOffView(ManyView):
    kind = Kind.WRITE_OFF
    permission = DONE_TO_MANY[Kind.WRITE_OFF]
    danger = True
    question = gettext_lazy(
        "Nothing more is collected of these plans, and what is left of them is written off in the books. What was paid "
        "stays paid."
    )


def _named(row: Any) -> tuple[str, str, str]:
    """What it is called, whose it is, and how much it is about."""
    if isinstance(row, ObjectPaymentPlanInstalment):
        plan = row.object_payment_plan
        name = _("%(line)s of plan %(number)d") % {"line": stories.line_name(row), "number": plan.pk}
        return name, str(plan.customer or ""), show_money(row.left, plan.currency)
    return _("Plan %(number)d") % {"number": row.pk}, str(row.customer or ""), show_money(row.total, row.currency)


def _seen(pks: list[int]) -> str:
    return hashlib.sha256(",".join(map(str, pks)).encode()).hexdigest()[:32]


def go_on(job: BulkJob) -> None:
    """Let a worker do it, or do a slice of it now."""
    if conf.CHECKOUT_BACKGROUND == "celery":
        from checkout import tasks

        try:
            tasks.bulk_actions.delay()
        except Exception:
            # The job of the timetable finds it.
            logger.exception("no worker was told of job %s", job.pk)
    else:
        many.work(job, seconds=SECONDS)


class ManyListView(StaffListView):
    permission = "checkout.view_bulkjob"
    menu = "checkout.object.payment.plan.list"
    heading = gettext_lazy("Actions for many")
    intro = gettext_lazy("What was asked to be done to many plans or payments at once.")
    empty = gettext_lazy("Nothing was done to many at once yet.")
    csv_name = "many"
    filters = [
        Filter("kind", gettext_lazy("What"), lambda rows, kind: rows.filter(kind=kind), list(Kind.choices)),
    ]
    columns = [
        Column(gettext_lazy("What"), lambda row: Cell(Kind(row.kind).label, url=row.get_absolute_url()), header=True),
        Column(gettext_lazy("Who"), lambda row: str(row.user or "")),
        Column(gettext_lazy("When"), lambda row: time_cell(row.made_at)),
        Column(gettext_lazy("Why"), lambda row: row.reason),
        Column(
            gettext_lazy("End"),
            lambda row: time_cell(row.finished_at) if row.finished_at else state_cell("request", _("not finished")),
        ),
    ]

    def get_rows(self) -> QuerySet[BulkJob]:
        return BulkJob.objects.select_related("user")


def _job(key: uuid.UUID) -> BulkJob:
    return get_object_or_404(BulkJob.objects.select_related("user"), uuid=key)


class ManyDetailView(StaffListView):
    """How far it has come, and what became of each."""

    permission = "checkout.view_bulkjob"
    menu = "checkout.object.payment.plan.list"
    csv_name = "many"
    sorts = [Sort("order", gettext_lazy("In order"), "pk")]
    filters = [
        Filter(
            "outcome", gettext_lazy("Outcome"), lambda rows, value: rows.filter(outcome=value), list(Outcome.choices)
        )
    ]
    columns = [
        Column(gettext_lazy("What"), lambda row: Cell(_named(row.subject)[0], url=row.subject.get_absolute_url()),
               header=True),
        Column(gettext_lazy("Payer"), lambda row: _named(row.subject)[1]),
        Column(
            gettext_lazy("Outcome"),
            lambda row: state_cell(COLOURS.get(row.outcome, "pending"), capfirst(row.get_outcome_display())),
        ),
        Column(gettext_lazy("Why"), lambda row: row.note),
        Column(gettext_lazy("When"), lambda row: time_cell(row.ended_at)),
    ]  # fmt: skip

    def get_rows(self) -> QuerySet[BulkItem]:
        job = self.job = _job(self.kwargs["uuid"])
        self.heading = _("%(action)s: many at once") % {"action": Kind(job.kind).label}
        left = job.items.filter(outcome__in=(Outcome.WAITING, Outcome.DOING)).count()
        if job.finished_at is None:
            self.intro = ngettext("%(number)d is left to do.", "%(number)d are left to do.", left) % {"number": left}
        else:
            done = job.items.filter(outcome=Outcome.DONE)
            self.intro = _("Finished. Done: %(done)s of %(all)s. %(reason)s") % {
                "done": count_text(done), "all": count_text(job.items.all()), "reason": job.reason,
            }  # fmt: skip
        return job.items.select_related(
            "plan__customer", "instalment__object_payment_plan__customer", "instalment__debt"
        )

    def get_actions(self) -> list[dict[str, Any]]:
        go = reverse("checkout.many.go", args=[self.job.uuid])
        return self.offer(
            ("change_bulkjob", go, _("Go on"), self.job.finished_at is None),
            ("", reverse("checkout.many.list"), _("Actions for many"), True),
        )


class ManyGoOnView(StaffActionView):
    permission = "checkout.change_bulkjob"
    menu = "checkout.object.payment.plan.list"
    heading = gettext_lazy("Go on")
    way_back = gettext_lazy("What can be undone of one of them can be undone afterwards, on its own page.")
    question = gettext_lazy("What is left is done now. What was done is not done again.")
    button = gettext_lazy("Go on")
    form_class = ConfirmForm
    object: BulkJob

    def get_object(self) -> BulkJob:
        return _job(self.kwargs["uuid"])

    def get_refusal(self) -> str:
        return _("Already done: all of it has come to its end.") if self.object.finished_at is not None else ""

    def perform(self, form: Any) -> str:
        go_on(self.object)
        return _("It goes on.")
