"""Agreed plans: which are live, which are late, and the story of one."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db.models import Q, QuerySet
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from checkout import clock, states
from checkout.models import Agreement, ObjectPaymentPlan, ObjectPaymentPlanInstalment, SavedCard
from checkout.office import policies, search, selectors, services, stories, sums
from checkout.office.forms import PayDayForm
from checkout.office.pages import Sort
from checkout.office.views import plan_changes, ways_back
from checkout.office.views.base import StaffPageView
from checkout.office.views.cells import Cell, date_cell, money_cell, show_date, show_money, show_time, state_cell
from checkout.office.views.lists import CURRENCY, Column, Filter, StaffListView, Tab
from checkout.office.views.staff_actions import StaffActionView, newest_change
from checkout.services import ahead, by_staff, disputes, plans

SHOWS = (
    ("live", gettext_lazy("Live")),
    ("overdue", gettext_lazy("Overdue")),
    ("waiting", gettext_lazy("Waiting for payer")),
    ("paused", gettext_lazy("Paused")),
    ("finished", gettext_lazy("Finished")),
    ("stopped", gettext_lazy("Stopped")),
)


def customer_cell(customer: Any) -> Cell:
    if customer is None:
        return Cell(_("not known yet"), plain="")
    return Cell(customer.name or customer.email, small=customer.email if customer.name else "", plain=str(customer))


def card_state(card: SavedCard | None) -> Cell:
    """How good a saved card is, the worst first."""
    if card is None:
        return state_cell("", _("No card"))
    if not card.good:
        return state_cell("fail", _("Gone at Stripe"))
    if card.has_run_out:
        return state_cell("fail", _("Has run out"))
    if card.refresh:
        return state_cell("pay_on_session", _("New card wanted"))
    return state_cell("fail", _("Runs out soon")) if card.is_expiring else state_cell("success", _("Good"))


def _card_of_plan(plan: Any) -> Cell:
    """As `card_state`; a card may be good today and run out before the plan ends."""
    card = plan.agreement.saved_card
    if card.good and not card.refresh and not card.is_expiring and plan.last_due and card.expiry_date < plan.last_due:
        last = _("the last payment is due on %(day)s") % {"day": show_date(plan.last_due)}
        return replace(state_cell("pay_on_session", _("Runs out before the plan ends")), small=last)
    return card_state(card)


class PlanListView(StaffListView):
    permission = "checkout.view_objectpaymentplan"
    menu = "checkout.object.payment.plan.list"
    heading = gettext_lazy("Payment plans")
    intro = gettext_lazy("Plans that payers have agreed to.")
    empty = gettext_lazy("No plan stands like this.")
    find = staticmethod(search.find_plans)
    search_hint = gettext_lazy("Name or e-mail address of the payer, or a number")
    csv_name = "payment-plans"
    many_name = "plans"
    shows = SHOWS

    def get_rows(self) -> QuerySet[ObjectPaymentPlan]:
        return selectors.plans(self.show)

    def prepare(self, rows: list[Any]) -> None:
        self.progress = selectors.progress(rows)
        # Only the file says what went back.
        self.moved = sums.of_plans(row.pk for row in rows) if self.is_csv else {}

    def _progress(self, plan: ObjectPaymentPlan) -> selectors.Progress:
        return self.progress.get(plan.pk) or selectors.Progress()

    def _back(self, plan: ObjectPaymentPlan) -> Cell:
        back = self.moved.get(plan.pk, sums.NOTHING).back
        return money_cell(back or None, plan.currency)

    def _paid(self, plan: ObjectPaymentPlan) -> Cell:
        progress = self._progress(plan)
        small = _("%(paid)d of %(lines)d payments") % {"paid": progress.paid_lines, "lines": progress.lines}
        return money_cell(progress.paid, plan.currency, small=small)

    def _state(self, plan: ObjectPaymentPlan) -> Cell:
        progress = self._progress(plan)
        if plan.deleted:
            return state_cell("stopped", _("Stopped"))
        if plan.paused:
            return state_cell("fail", _("Paused"))
        if progress.next_due is None:
            return state_cell("success", _("Finished"))
        if progress.next_due < clock.today():
            return state_cell("pay_on_session", _("Overdue"))
        return state_cell("pending", _("Live"))

    @property
    def columns(self) -> list[Column]:  # type: ignore[override]
        return [
            Column(_("Number"), lambda row: Cell(str(row.pk), url=row.get_absolute_url()), header=True),
            Column(_("Payer"), lambda row: customer_cell(row.customer)),
            Column(_("Terms"), lambda row: row.payment_plan.name),
            Column(_("Total"), lambda row: money_cell(row.total, row.currency), number=True),
            Column(_("Paid, net"), self._paid, number=True),
            Column(_("Went back"), self._back, number=True, only_csv=True),
            Column(_("To come"), lambda row: money_cell(self._progress(row).left, row.currency), number=True),
            Column(_("Next due"), lambda row: date_cell(self._progress(row).next_due)),
            Column(_("State"), self._state),
            CURRENCY,
        ]


class CardExpiryListView(StaffListView):
    """Plans that are not paid up, the card that runs out soonest first."""

    permission = "checkout.view_customer"
    menu = "checkout.card.refresh.list"
    heading = gettext_lazy("Cards that run out")
    intro = gettext_lazy("Cards of plans with something still to pay, the soonest to run out first.")
    empty = gettext_lazy("No plan has anything left to pay by a card that we know.")
    find = staticmethod(search.find_plans)
    search_hint = gettext_lazy("Name or e-mail address of the payer")
    csv_name = "card-expiry"
    sorts = [Sort("soon", gettext_lazy("Soonest first"), "agreement__saved_card__expiry_date")]
    filters = [
        Filter(
            "until",
            gettext_lazy("Runs out by"),
            lambda rows, day: rows.filter(agreement__saved_card__expiry_date__lte=day),
            is_date=True,
        )
    ]

    columns = [
        Column(
            gettext_lazy("Payer"),
            lambda row: customer_cell(row.customer),
            header=True,
        ),
        Column(gettext_lazy("Card"), lambda row: row.agreement.saved_card.description),
        Column(gettext_lazy("Good until"), lambda row: date_cell(row.agreement.saved_card.expiry_date)),
        Column(gettext_lazy("Plan"), lambda row: Cell(str(row.pk), url=row.get_absolute_url())),
        Column(gettext_lazy("State"), _card_of_plan),
    ]

    def get_rows(self) -> QuerySet[ObjectPaymentPlan]:
        return selectors.card_expiry()

    def get_tabs(self) -> list[Tab]:
        return card_tabs(self.request)


def card_tabs(request: Any) -> list[Tab]:
    names = [
        ("checkout.card.refresh.list", _("New card wanted")),
        ("checkout.object.payment.plan.card.expiry.list", _("Running out")),
    ]
    return [Tab(reverse(name), text, request.resolver_match.url_name == name) for name, text in names]


def find(uuid: Any) -> ObjectPaymentPlan:
    rows = ObjectPaymentPlan.objects.select_related(
        "customer", "payment_plan", "user", "deleted_by", "content_type", "agreement__saved_card"
    )
    return get_object_or_404(rows, uuid=uuid)


class PlanDetailView(StaffPageView):
    template_name = "checkout/staff/plan_detail.html"
    permission = "checkout.view_objectpaymentplan"
    menu = "checkout.object.payment.plan.list"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        plan = find(self.kwargs["uuid"])
        lines = list(plan.payments_by_day.select_related("debt"))
        paid = sum((line.net_paid for line in lines), start=Decimal(0))
        left = sum((line.left for line in lines if line.state_id != states.SUCCESS), start=Decimal(0))
        moved = sums.of_debts(line.debt_id for line in lines)
        back = sum((each.back for each in moved.values()), start=Decimal(0))

        def went_back(line: ObjectPaymentPlanInstalment) -> Decimal:
            return moved.get(line.debt_id or 0, sums.NOTHING).back

        tries = policies.tries_in_words(plan)
        self.heading = _("Plan %(number)d") % {"number": plan.pk}
        return super().get_context_data(**kwargs) | {
            "plan": plan,
            "payer": customer_cell(plan.customer).text,
            "total": show_money(plan.total, plan.currency),
            "paid": show_money(paid, plan.currency),
            "back": show_money(back, plan.currency) if back else "",
            "left": show_money(left, plan.currency) if left and not plan.deleted else "",
            "lines": [
                {
                    "line": line,
                    "name": stories.line_name(line),
                    "amount": show_money(line.amount, plan.currency),
                    "paid": show_money(line.net_paid, plan.currency),
                    "back": show_money(gone, plan.currency) if (gone := went_back(line)) else "",
                    "due": show_date(line.due),
                    "late": line.due < clock.today() and line.state_id != states.SUCCESS,
                    "tried": tries.get(line.pk, ""),
                }
                for line in lines
            ],
            "facts": self._facts(plan),
            "agreements": self._agreements(plan),
            "disputes": disputes.disputes_of(plan),
            "story": stories.plan_story(plan),
            "actions": self._actions(plan),
            "changes": plan_changes.history(plan),
            "may_withdraw": self.can("change_objectpaymentplan"),
        }

    def _facts(self, plan: ObjectPaymentPlan) -> list[tuple[Any, Any, str]]:
        content_object = plan.content_object
        url = getattr(content_object, "get_absolute_url", None)
        customer = plan.customer
        return [
            (
                _("Payer"),
                customer or "",
                reverse("checkout.customer.detail", args=[customer.pk]) if customer is not None else "",
            ),
            (_("What for"), content_object or _("no longer there"), str(url()) if url is not None else ""),
            (_("Terms"), plan.payment_plan, ""),
            (_("Card"), plan.card or _("no card that may be charged"), ""),
            (_("When a card is declined"), "" if plan.deleted else policies.in_words(plan), ""),
            (_("May not come"), self._may_not_come(plan), ""),
            (_("Agreed"), show_time(plan.created_at), ""),
            (_("Stopped"), show_time(plan.deleted_at) if plan.deleted_at else "", ""),
            (_("Stopped by"), plan.deleted_by or "", ""),
        ]

    def _may_not_come(self, plan: ObjectPaymentPlan) -> str:
        """What is known already, from the day of the agreement on: the first payment that cannot be taken, and why."""
        line = ahead.at_risk([plan.currency]).filter(object_payment_plan=plan).order_by("due").first()
        return "" if line is None else f"{stories.line_name(line)}, {show_date(line.due)}: {ahead.why(line)}"

    def _agreements(self, plan: ObjectPaymentPlan) -> list[Agreement]:
        about = Q(checkout__content_type=plan.content_type_id, checkout__object_id=plan.object_id)
        about |= Q(
            checkout__content_type=ContentType.objects.get_for_model(ObjectPaymentPlan),
            checkout__object_id=str(plan.pk),
        )
        about |= Q(plan_change__plan=plan)
        return list(Agreement.objects.filter(about).order_by("-agreed_at")[:5])

    def _actions(self, plan: ObjectPaymentPlan) -> list[dict[str, Any]]:
        resume, stop = (reverse(f"checkout.object.payment.plan.{do}", args=[plan.uuid]) for do in ("resume", "delete"))
        pay_day = reverse("checkout.object.payment.plan.payday", args=[plan.uuid])
        revoke = reverse("checkout.object.payment.plan.revoke", args=[plan.uuid])
        change = reverse("checkout.object.payment.plan.change", args=[plan.uuid])
        statement = reverse("checkout.object.payment.plan.statement", args=[plan.uuid])
        offered = self.offer(
            ("change_objectpaymentplan", change, _("Change the plan"), True),
            ("send_mail", revoke, _("Revoke its links"), not plan.deleted),
            ("change_objectpaymentplan", pay_day, _("Pay day"), not plan.deleted),
            ("charge", resume, _("Resume charging"), plan.paused and not plan.deleted),
            (
                "delete_objectpaymentplan",
                stop,
                _("Finish stopping this plan") if plan.deleted else _("Stop this plan"),
                not plan.deleted or plans.is_half_stopped(plan),
            ),
            ("", reverse("checkout.statement", args=[plan.uuid]), _("Statement"), True),
            ("send_mail", statement, _("Send the statement"), True),
        )
        # The end of a plan is never what a page suggests.
        return [action | {"quiet": action["url"] == stop} for action in offered]


class _PlanActionView(StaffActionView):
    menu = "checkout.object.payment.plan.list"
    object: ObjectPaymentPlan

    def get_object(self) -> ObjectPaymentPlan:
        return find(self.kwargs["uuid"])

    def get_version(self) -> str:
        return f"{newest_change(self.object)}-{int(self.object.deleted)}"

    def get_facts(self) -> list[tuple[Any, Any]]:
        plan = self.object
        unpaid = [line for line in plan.payments.select_related("debt") if line.state_id != states.SUCCESS]
        left = sum((line.left for line in unpaid), start=Decimal(0))
        return [
            (_("Payer"), plan.customer or ""),
            (_("Total"), show_money(plan.total, plan.currency)),
            (_("Still to pay"), show_money(left, plan.currency)),
            (_("Payments left"), len(unpaid)),
        ]


class PlanStopView(_PlanActionView):
    permission = "checkout.delete_objectpaymentplan"
    heading = gettext_lazy("Stop this plan")
    way_back = gettext_lazy("It can go on again by a change of the plan, to which its payer has to agree.")
    question = gettext_lazy("Nothing more is taken. What was paid stays paid; refund it separately if you need to.")
    button = gettext_lazy("Stop the plan")
    danger = True

    def get_facts(self) -> list[tuple[Any, Any]]:
        return [*super().get_facts(), (_("On your site"), self._of_the_row())]

    def _of_the_row(self) -> str:
        """What becomes of the row that the plan is for: nothing by itself, so its site decides."""
        row = self.object.content_object
        if row is None:
            return _("What this plan was agreed for no longer exists.")
        said = {"what": ", ".join(str(each) for each in row.checkout_description)}
        if row.checkout_can_charge:
            return _("“%(what)s” stays as it is, and can be paid for in another way.") % said
        return _("“%(what)s” stays as it is, and cannot be paid for again unless your site allows it.") % said

    def get_refusal(self) -> str:
        plan = self.object
        return _("Already done: this plan was stopped.") if plan.deleted and not plans.is_half_stopped(plan) else ""

    def perform(self, form: Any) -> str:
        plans.stop(self.object, self.request.user)
        by_staff.note_stop(self.object, self.request.user, form.cleaned_data["reason"])
        return _("The plan was stopped. Nothing more is taken.")


class PlanRevokeView(_PlanActionView):
    permission = "checkout.send_mail"
    heading = gettext_lazy("Revoke the links of a plan")
    way_back = ways_back.LINKS
    question = gettext_lazy(
        "No link of an earlier mail opens this plan or its payments any more, and payment pages that are open are "
        "ended. What was paid stays paid, runs go on, and the payer's login is not touched. Send a new link afterwards."
    )
    button = gettext_lazy("Revoke the links")
    danger = True

    def get_version(self) -> str:
        return f"{super().get_version()}-{self.object.links_revoked_at}"

    def perform(self, form: Any) -> str:
        return revoked(services.revoke_links(self.object, self.request.user, form.cleaned_data["reason"]))


def revoked(closed: int) -> str:
    """For whoever revoked links; `closed` payment pages were open."""
    return (
        ngettext(
            "The links were revoked, and %(number)d open payment page was ended.",
            "The links were revoked, and %(number)d open payment pages were ended.",
            closed,
        )
        % {"number": closed}
        if closed
        else _("The links were revoked.")
    )


class PlanPayDayView(_PlanActionView):
    permission = "checkout.change_objectpaymentplan"
    heading = gettext_lazy("Pay day")
    way_back = ways_back.AGAIN
    question = gettext_lazy(
        "On which day of the month the payer is paid. A declined card is asked once more on that day, if the policy "
        "asks on pay day at all. Tries that are planned stay as they are."
    )
    button = gettext_lazy("Write it down")
    form_class = PayDayForm

    def get_initial(self) -> dict[str, Any]:
        return {"pay_day": self.object.pay_day}

    def get_refusal(self) -> str:
        return _("This payment plan was stopped.") if self.object.deleted else ""

    def perform(self, form: PayDayForm) -> str:
        data = form.cleaned_data
        services.set_pay_day(self.object, data["pay_day"], self.request.user, data["reason"])
        return _("Written down.")


class PlanResumeView(_PlanActionView):
    permission = "checkout.charge"
    heading = gettext_lazy("Resume charging")
    way_back = gettext_lazy("Payments can be put off again by a change of the plan.")
    question = gettext_lazy("Runs charge this plan's card again from now on.")
    button = gettext_lazy("Resume")

    def get_refusal(self) -> str:
        return "" if self.object.paused and not self.object.deleted else _("Already done: this plan is not paused.")

    def perform(self, form: Any) -> str:
        disputes.resume(self.object, self.request.user, form.cleaned_data["reason"])
        return _("The plan goes on.")
