"""Sending a payer the statement of a plan, or of each of their plans, by mail."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from checkout import links, mail
from checkout.errors import AlreadyPaid
from checkout.models import Customer, ObjectPaymentPlan
from checkout.office.forms import ConfirmForm
from checkout.office.views import ways_back
from checkout.office.views.plans import find as find_plan
from checkout.office.views.staff_actions import StaffActionView
from checkout.services import papers


class _SendStatementView(StaffActionView, ABC):
    permission = "checkout.send_mail"
    form_class = ConfirmForm
    heading = gettext_lazy("Send the statement")
    way_back = ways_back.MAIL
    question = gettext_lazy(
        "A mail tells the payer what was agreed, was paid, went back and is left by now, and has a link to the plan. "
        "At most one goes out a day for each plan."
    )
    button = gettext_lazy("Send the mail")

    @abstractmethod
    def plans(self) -> list[ObjectPaymentPlan]:
        """Those whose statements are sent."""

    def get_refusal(self) -> str:
        plans = self.plans()
        if not plans:
            return _("This payer has no payment plan.")
        return "" if all(plan.checkout_email for plan in plans) else _("No e-mail address of the payer is known.")

    def get_facts(self) -> list[tuple[Any, Any]]:
        plans = self.plans()
        about = [f"{_('Plan %(number)d') % {'number': plan.pk}}: {plan}" for plan in plans]
        return [(_("To"), plans[0].checkout_email if plans else ""), (_("About"), "; ".join(about))]

    def perform(self, form: Any) -> str:
        mail.require("plan_statement")
        links.base_url()
        sent = sum(papers.send_statement(plan, self.request.user) for plan in self.plans())
        if not sent:
            raise AlreadyPaid(_("there was a mail today."))
        return ngettext("%(number)d mail is on its way.", "%(number)d mails are on their way.", sent) % {"number": sent}


class PlanSendStatementView(_SendStatementView):
    menu = "checkout.object.payment.plan.list"
    object: ObjectPaymentPlan

    def get_object(self) -> ObjectPaymentPlan:
        return find_plan(self.kwargs["uuid"])

    def get_back_url(self) -> str:
        return str(self.object.get_absolute_url())

    def plans(self) -> list[ObjectPaymentPlan]:
        return [self.object]


class CustomerSendStatementView(_SendStatementView):
    """Of each plan that was not stopped."""

    menu = "checkout.customer.list"
    object: Customer

    def get_object(self) -> Customer:
        return get_object_or_404(Customer, pk=self.kwargs["pk"])

    def get_back_url(self) -> str:
        return reverse("checkout.customer.detail", args=[self.object.pk])

    def plans(self) -> list[ObjectPaymentPlan]:
        return list(papers.plans().filter(customer=self.object, deleted=False).order_by("pk"))
