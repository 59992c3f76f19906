"""Payment-plan templates: what is offered to payers."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.generic import FormView

from checkout import clock
from checkout.conf import conf
from checkout.errors import CheckoutError, PlanError
from checkout.models import ObjectPaymentPlan, PaymentPlan
from checkout.office.forms import ConfirmForm
from checkout.office.pages import Sort
from checkout.office.template_forms import PaymentPlanForm, PaymentPlanVersionForm
from checkout.office.views.base import StaffMixin
from checkout.office.views.cells import Cell, show_date, show_money, state_cell
from checkout.office.views.lists import Column, StaffListView
from checkout.office.views.plan_changes import rule_in_words
from checkout.office.views.staff_actions import StaffActionView
from checkout.services import plans

logger = logging.getLogger("checkout.staff")


class PaymentPlanListView(StaffListView):
    permission = "checkout.view_paymentplan"
    menu = "checkout.payment.plan.list"
    heading = gettext_lazy("Plan templates")
    intro = gettext_lazy(
        "The terms that payers may choose from. One that is in use is never changed: make a new version."
    )
    empty = gettext_lazy("There is no template. Make one, and payers can pay in instalments.")
    csv_name = "plan-templates"
    shows = (("offered", gettext_lazy("Offered")), ("old", gettext_lazy("No longer offered")))
    sorts = [Sort("name", gettext_lazy("Name"), "name")]

    def get_rows(self) -> QuerySet[PaymentPlan]:
        return PaymentPlan.objects.filter(deleted=self.show == "old")

    def get_actions(self) -> list[dict[str, str]]:
        if not self.can("add_paymentplan"):
            return []
        return [{"url": reverse("checkout.payment.plan.create"), "text": _("New template")}]

    def prepare(self, rows: list[Any]) -> None:
        pks = [row.pk for row in rows]
        self.used = set(
            ObjectPaymentPlan.objects.filter(payment_plan__in=pks)
            .order_by()
            .values_list("payment_plan", flat=True)
            .distinct()
        )

    @property
    def columns(self) -> list[Column]:  # type: ignore[override]
        return [
            Column(
                _("Name"),
                lambda row: Cell(row.name, url=self._url_of(row), small=row.slug, plain=row.name),
                header=True,
            ),
            Column(_("Deposit"), lambda row: f"{row.deposit} %", number=True),
            Column(_("Instalments"), lambda row: row.count, number=True),
            Column(_("Months between"), lambda row: row.interval, number=True),
            Column(
                _("In use"),
                lambda row: state_cell("pending", _("in use")) if row.pk in self.used else state_cell("", _("not yet")),
            ),
        ]

    def _url_of(self, row: PaymentPlan) -> str:
        return reverse("checkout.payment.plan.update", args=[row.pk]) if self.can("change_paymentplan") else ""


def example_lines(plan: PaymentPlan) -> list[tuple[str, str]]:
    """Each date and amount on 100 units, if it were agreed today; empty when it cannot be split so."""
    try:
        lines = plan.example(clock.today(), Decimal(100))
    except CheckoutError:
        return []
    return [(show_date(due), show_money(amount, conf.CHECKOUT_CURRENCY)) for due, amount in lines]


class _PlanFormView(StaffMixin, FormView, ABC):  # type: ignore[type-arg]
    template_name = "checkout/staff/form.html"
    menu = "checkout.payment.plan.list"
    form_class: Any = PaymentPlanForm
    button: Any = gettext_lazy("Save")
    question: Any = ""

    def get_success_url(self) -> str:
        return reverse("checkout.payment.plan.list")

    def get_plan(self) -> PaymentPlan | None:
        return None

    def get_form_kwargs(self) -> dict[str, Any]:
        return super().get_form_kwargs() | {"instance": self.get_plan()}

    @abstractmethod
    def save(self, form: Any) -> str:
        """Write the template; what to tell staff. Creating, changing and a new version differ in this alone."""

    def form_valid(self, form: Any) -> HttpResponse:
        try:
            told = self.save(form)
        except PlanError as problem:
            form.add_error(None, str(problem))
            return self.form_invalid(form)
        logger.info(
            "user %s: %s %s", self.request.user.pk, type(self).__name__, self.kwargs.get("pk", ""),
            extra={"user": self.request.user.pk},
        )  # fmt: skip
        messages.success(self.request, told)
        for rule in form.outside:
            messages.warning(self.request, rule_in_words(rule))
        return HttpResponseRedirect(self.get_success_url())

    def form_invalid(self, form: Any) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form), status=422)

    def get_links(self) -> list[dict[str, str]]:
        return []

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        plan = self.get_plan()
        return super().get_context_data(**kwargs) | {
            "question": self.question,
            "button": self.button,
            "back_url": self.get_success_url(),
            "actions": self.get_links(),
            "example": example_lines(plan) if plan is not None else [],
        }


class PaymentPlanCreateView(_PlanFormView):
    permission = "checkout.add_paymentplan"
    heading = gettext_lazy("New template")
    question = gettext_lazy("A deposit now, the rest in equal parts.")

    def save(self, form: Any) -> str:
        return _("“%(name)s” is offered from now on.") % {"name": form.save()}


class _ExistingPlanView(_PlanFormView):
    def get_plan(self) -> PaymentPlan:
        if not hasattr(self, "plan"):
            self.plan: PaymentPlan = get_object_or_404(PaymentPlan, pk=self.kwargs["pk"])
        return self.plan

    def get_links(self) -> list[dict[str, str]]:
        plan = self.get_plan()
        found = []
        if self.can("add_paymentplan"):
            url = reverse("checkout.payment.plan.version", args=[plan.pk])
            found.append({"url": url, "text": _("Make a new version")})
        if self.can("delete_paymentplan") and not plan.deleted:
            url = reverse("checkout.payment.plan.delete", args=[plan.pk])
            found.append({"url": url, "text": _("Offer it no longer")})
        return found


class PaymentPlanUpdateView(_ExistingPlanView):
    permission = "checkout.change_paymentplan"
    heading = gettext_lazy("Change a template")

    @property
    def question(self) -> str:
        if self.get_plan().in_use:
            return _(
                "Payers have agreed to these terms, so only the name can change. Make a new version for other terms."
            )
        return _("Nobody has agreed to these terms yet, so they can change.")

    def save(self, form: Any) -> str:
        return _("“%(name)s” was saved.") % {"name": form.save()}


class PaymentPlanVersionView(_ExistingPlanView):
    permission = "checkout.add_paymentplan"
    form_class = PaymentPlanVersionForm
    heading = gettext_lazy("New version of a template")
    question = gettext_lazy("Plans that were agreed go on as they are. The old terms are no longer offered.")
    button = gettext_lazy("Make the new version")

    def get_links(self) -> list[dict[str, str]]:
        return []

    def save(self, form: Any) -> str:
        old = PaymentPlan.objects.get(pk=self.kwargs["pk"])
        made = plans.new_version(old, **form.terms)
        return _("“%(name)s” is offered from now on, in place of the old terms.") % {"name": made}


class PaymentPlanDeleteView(StaffActionView):
    permission = "checkout.delete_paymentplan"
    menu = "checkout.payment.plan.list"
    form_class = ConfirmForm
    heading = gettext_lazy("Offer it no longer")
    way_back = gettext_lazy("It cannot be undone; make a new template with the same terms.")
    question = gettext_lazy("Payers cannot choose it any more. Plans that were agreed go on.")
    button = gettext_lazy("Offer it no longer")
    object: PaymentPlan

    def get_object(self) -> PaymentPlan:
        return get_object_or_404(PaymentPlan, pk=self.kwargs["pk"])

    def get_back_url(self) -> str:
        return reverse("checkout.payment.plan.list")

    def get_refusal(self) -> str:
        return _("Already done: it is not offered any more.") if self.object.deleted else ""

    def get_facts(self) -> list[tuple[Any, Any]]:
        plan = self.object
        return [
            (_("Name"), plan.name),
            (_("Deposit"), f"{plan.deposit} %"),
            (_("Instalments"), plan.count),
            (_("Months between"), plan.interval),
        ]

    def perform(self, form: Any) -> str:
        PaymentPlan.objects.filter(pk=self.object.pk).update(deleted=True)
        return _("“%(name)s” is no longer offered.") % {"name": self.object}
