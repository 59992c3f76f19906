"""One line of a plan, and what staff may do about it."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from checkout import advice, clock, states
from checkout.errors import AlreadyPaid
from checkout.models import Checkout, FollowUp, ObjectPaymentPlanInstalment, Proposal
from checkout.office import proposals, selectors, services, stories, sums
from checkout.office.forms import ConfirmForm, DueForm, OptionalReasonForm
from checkout.office.money_forms import PaidForm
from checkout.office.views import undoing, ways_back
from checkout.office.views.base import StaffPageView
from checkout.office.views.cells import show_date, show_money
from checkout.office.views.plans import customer_cell
from checkout.office.views.staff_actions import StaffActionView, newest_change
from checkout.services import by_staff, charging, promises, recovery


def find(pk: Any) -> ObjectPaymentPlanInstalment:
    rows = ObjectPaymentPlanInstalment.objects.select_related(
        "object_payment_plan__customer", "object_payment_plan__payment_plan", "debt"
    )
    return get_object_or_404(rows, pk=pk)


class InstalmentDetailView(StaffPageView):
    template_name = "checkout/staff/instalment_detail.html"
    permission = "checkout.view_objectpaymentplaninstalment"
    menu = "checkout.object.payment.plan.list"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        instalment = find(self.kwargs["pk"])
        plan = instalment.object_payment_plan
        tries, known = recovery.next_tries_of(plan), FollowUp.objects.filter(instalment=instalment).first()
        moved = sums.of_debts([instalment.debt_id]).get(instalment.debt_id or 0, sums.NOTHING)
        attempts = list(selectors.attempts(instalment).order_by("-pk")[:50])
        latest = next((each for each in attempts if not each.superseded), None)
        told = advice.advise(latest) if latest is not None and instalment.state_id != states.SUCCESS else None
        self.heading = _("%(line)s of plan %(number)d") % {"line": stories.line_name(instalment), "number": plan.pk}
        return super().get_context_data(**kwargs) | {
            "instalment": instalment,
            "plan": plan,
            "payer": customer_cell(plan.customer).text,
            "amount": show_money(instalment.amount, plan.currency),
            "late": instalment.due < clock.today() and instalment.state_id != states.SUCCESS,
            "advice": told,
            "facts": [
                (_("Payer"), plan.customer or "", self._customer_url(instalment)),
                (_("Plan"), plan.payment_plan, plan.get_absolute_url()),
                (_("Due"), show_date(instalment.due), ""),
                (_("Paid, net"), show_money(instalment.net_paid, plan.currency) if moved.came else "", ""),
                (_("Went back"), show_money(moved.back, plan.currency) if moved.back else "", ""),
                (_("Left"), show_money(instalment.left, plan.currency) if instalment.net_paid else "", ""),
                (_("Card"), plan.card or _("no card that may be charged"), ""),
                (_("Tried again"), show_date(again) if (again := tries.get(instalment.pk)) else "", ""),
                (_("Promised for"), show_date(known.promised_for) if known and known.promised_for else "", ""),
                (_("Put off until"), show_date(known.snoozed_until) if known and known.snoozed_until else "", ""),
                (_("Note"), known.note if known else "", ""),
            ],
            "attempts": [{"checkout": each, "told": advice.advise(each)} for each in attempts],
            "story": stories.instalment_story(instalment),
            "actions": self._actions(instalment),
        }

    def _customer_url(self, instalment: ObjectPaymentPlanInstalment) -> str:
        customer = instalment.object_payment_plan.customer_id
        return reverse("checkout.customer.detail", args=[customer]) if customer else ""

    def _actions(self, instalment: ObjectPaymentPlanInstalment) -> list[dict[str, Any]]:
        plan = instalment.object_payment_plan
        undo = undoing.offers(instalment)
        if instalment.state_id == states.SUCCESS or plan.deleted:
            return self.offer(*undo)
        state = instalment.state_id

        def to(do: str) -> str:
            return reverse(f"checkout.object.payment.plan.instalment.{do}", args=[instalment.pk])

        free, late = state != states.REQUEST, instalment.due < clock.today()
        movable = state in (states.PENDING, states.FAIL)
        refresh = reverse("checkout.customer.refresh", args=[plan.customer_id]) if plan.customer_id else ""
        return self.offer(
            ("charge", to("charge"), _("Charge the card now"), free and not plan.paused),
            ("send_mail", to("ask"), _("Ask the payer to pay by link"), free),
            ("settle_by_hand", to("paid"), _("Mark as paid"), True),
            ("change_objectpaymentplaninstalment", to("due"), _("Change the due date"), movable),
            ("send_mail", refresh, _("Ask for another card"), bool(refresh) and late),
            ("change_followup", to("promise"), _("Write down a promise"), late and state in promises.MAY_BE_PROMISED),
            ("change_followup", to("snooze"), _("Put off"), late),
            ("change_followup", to("done"), _("Nothing more to do"), late),
            *undo,
        )


class InstalmentActionView(StaffActionView):
    menu = "checkout.object.payment.plan.list"
    object: ObjectPaymentPlanInstalment

    def get_object(self) -> ObjectPaymentPlanInstalment:
        return find(self.kwargs["pk"])

    def get_version(self) -> str:
        return newest_change(self.object)

    def get_refusal(self) -> str:
        if self.object.state_id == states.SUCCESS:
            return _("Already done: this was paid.")
        return _("This payment plan was stopped.") if self.object.object_payment_plan.deleted else ""

    def get_facts(self) -> list[tuple[Any, Any]]:
        line, plan = self.object, self.object.object_payment_plan
        return [
            (_("Payer"), plan.customer or ""),
            (_("What"), stories.line_name(line)),
            (_("Amount"), show_money(line.amount, plan.currency)),
            (_("Due"), show_date(line.due)),
            (_("State"), advice.DEBT_NAMES[line.state_id or ""]),
            (_("Card"), plan.card or _("no card that may be charged")),
        ]


class InstalmentPaidView(InstalmentActionView):
    permission = "checkout.settle_by_hand"
    heading = gettext_lazy("Mark as paid")
    way_back = ways_back.PAID
    question = gettext_lazy(
        "It was paid by other means, for example in cash, in full or in part. No card is charged for that."
    )
    button = gettext_lazy("Mark as paid")
    form_class = PaidForm

    def get_form_kwargs(self) -> dict[str, Any]:
        about = {"left": self.object.left, "currency": self.object.object_payment_plan.currency}
        return super().get_form_kwargs() | about

    def get_refusal(self) -> str:
        return super().get_refusal() or proposals.refusal(self.object)

    def get_facts(self) -> list[tuple[Any, Any]]:
        return [*super().get_facts(), *proposals.limit_fact()]

    def perform(self, form: Any) -> str:
        line, user, data = self.object, self.request.user, form.cleaned_data
        done = proposals.do_or_propose(
            Proposal.Kind.PAID, line, data["amount"], user, data["reason"], key=data["key"], means=form.means
        )
        if isinstance(done, Proposal):
            self.went_well = False
            return proposals.told(done)
        line.refresh_from_db()
        if line.state_id == states.SUCCESS:
            return _("Marked as paid.")
        left = show_money(line.left, line.object_payment_plan.currency)
        return _("Written down. %(left)s is left.") % {"left": left}


class InstalmentChargeView(InstalmentActionView):
    permission = "checkout.charge"
    form_class = OptionalReasonForm
    heading = gettext_lazy("Charge the card now")
    way_back = ways_back.CHARGE
    question = gettext_lazy("The saved card is charged at once, while its owner is away.")
    button = gettext_lazy("Charge now")
    danger = True

    def perform(self, form: Any) -> str:
        if form.cleaned_data["reason"]:
            services.note_instalment(self.object, self.request.user, form.cleaned_data["reason"])
        checkout = charging.charge(self.object, self.request.user)
        self.went_well = checkout.succeeded
        return tell(checkout)


def tell(checkout: Checkout) -> str:
    """What became of a charge, for whoever asked for it."""
    told = advice.advise(checkout)
    if checkout.succeeded:
        return _("Charged: it is paid.")
    if checkout.state_id == states.REQUEST:
        return _("Stripe has not answered yet. It is looked up by itself within minutes; do not charge again.")
    return _("Not paid. %(why)s %(next)s") % {"why": told.why, "next": told.next_step}


class InstalmentAskView(InstalmentActionView):
    permission = "checkout.send_mail"
    form_class = ConfirmForm
    heading = gettext_lazy("Ask the payer to pay by link")
    way_back = ways_back.MAIL
    question = gettext_lazy(
        "A mail with a signed link goes to the payer, who pays on our page with any card. If no run has tried this "
        "line yet, runs leave it alone from now on."
    )
    button = gettext_lazy("Send the mail")

    def perform(self, form: Any) -> str:
        if not by_staff.ask_payer(self.object, self.request.user):
            raise AlreadyPaid(_("the mail was sent already."))
        return _("The mail is on its way.")


class InstalmentDueView(InstalmentActionView):
    permission = "checkout.change_objectpaymentplaninstalment"
    form_class = DueForm
    heading = gettext_lazy("Change the due date")
    way_back = ways_back.AGAIN
    question = gettext_lazy("Agree the new date with the payer first.")
    button = gettext_lazy("Change the date")

    def get_initial(self) -> dict[str, Any]:
        return {"due": max(self.object.due, clock.today())}

    def get_refusal(self) -> str:
        if self.object.state_id not in (states.PENDING, states.FAIL):
            return _("The date changes only while nobody has tried to charge this line, or after it was declined.")
        return super().get_refusal()

    def perform(self, form: Any) -> str:
        data = form.cleaned_data
        by_staff.change_due(self.object, data["due"], self.request.user, data["reason"])
        return _("The date was changed to %(day)s.") % {"day": show_date(data["due"])}
