"""A payment plan as its payer sees it: what was paid, what comes next, and what can be paid here."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.contrib.contenttypes.models import ContentType
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import formats
from django.utils.dateparse import parse_date
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.generic import TemplateView

from checkout import declines, money, states
from checkout.conf import conf
from checkout.errors import AlreadyPaid, CannotPay, CheckoutError, NoSavedCard, PlanError
from checkout.ids import ip_address_or_none, storable, uuid_or_none
from checkout.models import Checkout, ObjectPaymentPlan, ObjectPaymentPlanInstalment, PlanChange
from checkout.plan_changes import Ended
from checkout.services import (
    charging,
    due_dates,
    numbering,
    papers,
    payers,
    plan_cards,
    plan_changes,
    plan_previews,
    recovery,
)
from checkout.services.letters import about_plans
from checkout.services.letters import asking as letters
from checkout.views import payer
from checkout.views.access import (
    PayerViewMixin,
    is_asked_by_script,
    remember_checkout,
    remembered_uuids,
    tell_next_page,
    told,
    waiting_answer,
)
from checkout.views.plan_access import PlanAccess, access_to_plan

#: A payer may try these by hand; the others are paid, being paid, or not due.
PAYABLE = frozenset({states.FAIL, states.PAY_ON_SESSION})


@dataclass(frozen=True, slots=True)
class LineView:
    """A line of a plan in its payer's words."""

    line: ObjectPaymentPlanInstalment
    name: str
    amount: str
    says: str
    mood: str
    reason: str
    can_charge: bool
    can_pay: bool
    #: It is not due yet, and may be paid all the same.
    can_pay_early: bool
    #: To which days its payer may move it.
    window: due_dates.Window | None


class PlanProgressView(PayerViewMixin, TemplateView):  # type: ignore[misc]
    """What was paid, what comes next, with which card. What waits or failed can be paid here."""

    template_name = "checkout/plan_progress.html"
    access: PlanAccess | None

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.access = access_to_plan(request, kwargs["uuid"])
        if self.access is None and not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        return super().dispatch(request, *args, **kwargs)

    def get_access(self) -> PlanAccess:
        if self.access is None:
            raise Http404
        return self.access

    def get_plan(self) -> ObjectPaymentPlan:
        return self.get_access().plan

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        plan = self.get_plan()
        if is_asked_by_script(request):
            return waiting_answer(plan.instalments.filter(Q(state=states.REQUEST)).exists())
        return self.render_to_response(self.get_context_data(plan=plan))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Take one line at once from the new card: its payer presses the button."""
        access = self.get_access()
        plan = access.plan
        if "link" in request.POST:
            return self._send_link()
        if "change" in request.POST:
            return self._decide(request.POST["change"], agrees=request.POST.get("answer") == "agree")
        uuid = uuid_or_none(request.POST.get("instalment", ""))
        line = plan.instalments.filter(uuid=uuid).first() if uuid is not None else None
        if not access.is_payer or line is None:
            raise Http404
        if "due" in request.POST:
            return self._move(line)
        if plan.deleted or line.state_id not in PAYABLE:
            return self._answer(_("That payment does not wait any more. Below is how it stands."))
        try:
            checkout = charging.charge(line, request.user if access.by_login else None)
        except AlreadyPaid as problem:
            return self._answer(str(problem))
        except NoSavedCard:
            return redirect("checkout.plan.card", uuid=plan.uuid)
        remember_checkout(request, checkout)
        if checkout.state_id == states.PAY_ON_SESSION:
            return redirect("checkout.pay", uuid=checkout.uuid)
        return self._answer(_charged_text(checkout))

    def _send_link(self) -> HttpResponse:
        """Who agreed to the plan in this browser may look at it. What moves money takes the link, which goes to the
        address that we know and no other."""
        letters.link_asked(self.get_plan())
        return self._answer(
            _("A new link comes by mail within a few minutes, to the address that we have for this plan.")
        )

    def _decide(self, change_uuid: str, *, agrees: bool) -> HttpResponse:
        """The payer agrees to a change that was proposed, or does not."""
        access = self.get_access()
        uuid = uuid_or_none(change_uuid)
        theirs = access.plan.changes.exclude(kind=PlanChange.Kind.PAYER)
        change = theirs.filter(uuid=uuid).first() if uuid is not None else None
        if not access.is_payer or change is None:
            raise Http404
        user = self.request.user if access.by_login else None
        try:
            if not agrees:
                plan_changes.refuse(change, user)
                return self._answer(_("Nothing was changed. The dates and amounts that you agreed to hold."))
            plan_changes.agree(
                change,
                user,
                text=plan_changes.wording(change),
                ip_address=ip_address_or_none(self.request.META.get("REMOTE_ADDR", "")),
                user_agent=storable(self.request.headers.get("User-Agent", ""))[:500],
            )
        except CheckoutError as problem:
            return self._answer(str(problem))
        return self._answer(_("Thank you. Your plan is changed, as shown below."))

    def _move(self, line: ObjectPaymentPlanInstalment) -> HttpResponse:
        """To another day, within what the site allows."""
        user = self.request.user if self.get_access().by_login else None
        try:
            due_dates.move_by_payer(line, parse_date(self.request.POST["due"]) or line.due, user)
        except (CannotPay, PlanError, ValueError) as problem:
            return self._answer(str(problem) if isinstance(problem, CheckoutError) else _("Please choose a day."))
        day = formats.date_format(line.due, "DATE_FORMAT")
        return self._answer(_("%(name)s is taken on %(day)s now.") % {"name": line.name, "day": day})

    def _answer(self, text: str) -> HttpResponse:
        tell_next_page(self.request, text)
        return redirect("checkout.plan.progress", uuid=self.get_plan().uuid)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        plan = kwargs["plan"]
        card = plan.card
        lines = self._lines(plan)
        unpaid = [row for row in lines if row.line.state_id != states.SUCCESS]
        owed = sum(row.line.left for row in unpaid)
        paid = sum((row.line.net_paid for row in lines), Decimal(0))
        coming = [row for row in unpaid if row.line.state_id == states.PENDING]
        busy = any(row.line.state_id == states.REQUEST for row in lines)
        content_object = plan.content_object
        # Those of whoever paid before are their own.
        receipts = [paid for paid in papers.receipts_of(plan) if not payers.is_of_former(plan, paid)]
        came_on = numbering.came_on(receipts)
        return super().get_context_data(**kwargs) | {
            "base_template": conf.CHECKOUT_BASE_TEMPLATE,
            "told": told(self.request),
            "description": list(content_object.checkout_description) if content_object is not None else [],
            "total": self._money(plan.total),
            "paid": self._money(paid) if paid else "",
            "still_to_pay": self._money(owed) if owed and not plan.deleted else "",
            "lines": lines,
            "busy": busy,
            "may_pay_early": any(row.can_pay_early for row in lines) and not busy,
            # Also where it is paid by the link of a letter only.
            "waiting": [row for row in lines if row.line.state_id in PAYABLE and not plan.deleted],
            "next_line": coming[0] if coming and not plan.deleted else None,
            "finished": not unpaid,
            # What was written off, or given back, is over and not paid.
            "all_paid": paid >= plan.total,
            "card": card.description if card is not None else "",
            # While a bank looks into a payment of it, no card is charged.
            "from_card": card is not None and not plan.paused,
            "card_wanted": bool(unpaid and not plan.deleted and (card is None or card.refresh or card.is_expiring)),
            "link_wanted": bool(unpaid and not self.get_access().is_payer and not plan.deleted),
            "may_refresh": bool(self.get_access().is_payer and unpaid and not plan.deleted),
            "receipts": [
                {
                    "url": reverse("checkout.receipt", args=[paid.uuid]),
                    "day": came_on[paid.pk],
                    "amount": self._money(paid.total),
                    "withdrawn": paid.undone_at is not None,
                }
                for paid in receipts
                if paid.total is not None
            ],
            "contact": conf.CHECKOUT_CONTACT_TEXT,
            "by_login": self.get_access().by_login,
            "proposed": self._proposed(plan),
        }

    def _proposed(self, plan: ObjectPaymentPlan) -> dict[str, Any] | None:
        """A change that waits for this payer, with what would be to pay by it."""
        # Another payer is asked by a letter of their own.
        waiting = plan.changes.exclude(kind=PlanChange.Kind.PAYER).filter(state=PlanChange.State.WAITING).first()
        if waiting is None or not waiting.may_be_agreed or not self.get_access().is_payer:
            return None
        rows = [line for line in plan_previews.up_to_date(waiting)[1] if line.is_open]
        return {
            "change": waiting,
            "what": about_plans.what_changes(waiting, plan.currency),
            "lines": [{"due": line.due, "amount": self._money(line.to_come)} for line in rows],
            "sum": self._money(sum((line.to_come for line in rows), Decimal(0))),
        }

    def _money(self, amount: Decimal) -> str:
        return money.format_money(amount, self.get_plan().currency, get_language() or "en-gb")

    def _lines(self, plan: ObjectPaymentPlan) -> list[LineView]:
        rows = [row for row in plan.payments_by_day.select_related("replaced_by", "debt") if not row.is_gone]
        rows += plan_cards.not_made_yet(plan)
        attempts = Checkout.objects.filter(
            content_type=ContentType.objects.get_for_model(ObjectPaymentPlanInstalment),
            object_id__in=[str(row.pk) for row in rows],
        )
        tries = recovery.next_tries_of(plan)
        # The card that each was last asked of: only another one is worth asking without the payer's bank.
        asked: dict[str, str] = {}
        reasons: dict[str, str] = {}
        begun: set[str] = set()
        here = set(remembered_uuids(self.request))
        for attempt in attempts.order_by("pk"):
            if attempt.is_charge:
                asked[attempt.object_id] = attempt.payment_method_id
            if attempt.error_code or attempt.decline_code:
                reasons[attempt.object_id] = declines.sentence(attempt.error_code, attempt.decline_code)
            if str(attempt.uuid) in here:
                begun.add(attempt.object_id)
        card = plan.card.payment_method_id if plan.card is not None else ""
        is_payer = self.get_access().is_payer
        windows = due_dates.windows(plan) if is_payer else {}
        moved = due_dates.moves_by_payer(plan)
        next_one = next((row for row in rows if row.pk and row.state_id == states.PENDING and not row.deposit), None)
        made = []
        for row in rows:
            open_now = row.state_id in PAYABLE and not plan.deleted
            new_card = bool(card) and asked.get(str(row.pk)) not in (None, card)
            mood, says = line_in_words(row, stopped=plan.deleted)
            if (again := tries.get(row.pk)) and not plan.deleted:
                says = _("%(says)s; it is tried again on %(day)s") % {
                    "says": says,
                    "day": formats.date_format(again, "DATE_FORMAT"),
                }
            if row.pk in moved and mood == "coming":
                day = formats.date_format(moved[row.pk], "DATE_FORMAT")
                says = _("%(says)s; you moved it from %(day)s") % {"says": says, "day": day}
            in_part = row.state_id != states.SUCCESS and row.net_paid > 0
            if in_part:
                says = _("%(says)s; %(paid)s is paid already") % {"says": says, "paid": self._money(row.net_paid)}
            made.append(
                LineView(
                    line=row,
                    name=row.name,
                    amount=self._money(row.left if in_part else row.amount),
                    says=says,
                    mood=mood,
                    reason=reasons.get(str(row.pk), "") if mood == "failed" else "",
                    can_charge=open_now and is_payer and new_card,
                    can_pay=open_now and (is_payer or str(row.pk) in begun),
                    can_pay_early=row is next_one and is_payer and not plan.deleted,
                    window=windows.get(row.pk),
                )
            )
        return made


def line_in_words(line: ObjectPaymentPlanInstalment, *, stopped: bool = False) -> tuple[str, str]:
    """A word for the template, and where the line stands in a few words for its payer."""
    if line.ended == Ended.WRITTEN_OFF:
        return "stopped", _("Not collected any more")
    if line.state_id == states.SUCCESS:
        again = getattr(line, "replaced_by", None)
        if again is not None:
            part = again.amount < line.amount
            return "refunded", _("Refunded in part, to pay again below") if part else _("Refunded, to pay again below")
        if line.left:
            # We gave it back, or its payer's bank took it back, and it is not to be paid again.
            return "refunded", _("Paid, and refunded in part") if line.net_paid > 0 else _("Paid, and refunded")
        return "paid", _("Paid")
    if stopped:
        return "stopped", _("Not taken any more")
    if line.state_id == states.REQUEST:
        return "asked", _("Being taken at this moment")
    if line.state_id == states.PAY_ON_SESSION:
        return "waiting", _("Your bank requires you to confirm it")
    if line.state_id == states.FAIL:
        return "failed", _("Could not be taken")
    return "coming", _("Planned")


def _charged_text(checkout: Checkout) -> str:
    if checkout.succeeded:
        return payer.thanks(checkout)
    if checkout.failed:
        reason = declines.sentence(checkout.error_code, checkout.decline_code)
        return _("The payment did not go through. %(reason)s Nothing was taken.") % {"reason": reason}
    return _("Your bank has not answered yet. Look at this page again in a few minutes, and do not pay twice.")
