"""Changing a plan: choose what, look at before and after side by side, then do it."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.generic import TemplateView

from checkout import clock, plan_rules
from checkout.errors import AlreadyPaid, CheckoutError
from checkout.models import ObjectPaymentPlan, PlanChange
from checkout.office import odd
from checkout.office.plan_change_forms import FORMS, OF_STOPPED, DecideForm, TermsForm
from checkout.office.views import ways_back
from checkout.office.views.base import StaffMixin
from checkout.office.views.cells import show_money, show_time
from checkout.office.views.staff_actions import StaffActionView
from checkout.plan_changes import Line, owed, to_come
from checkout.services import plan_changes, plan_previews


class PlanChangeView(StaffMixin, TemplateView):  # type: ignore[misc]
    """By GET nothing but looking: `?kind=pause` shows what that wants, with its terms what they would do."""

    permission = "checkout.change_objectpaymentplan"
    menu = "checkout.object.payment.plan.list"
    heading = gettext_lazy("Change a plan")
    template_name = "checkout/staff/plan_change.html"
    plan: ObjectPaymentPlan

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.plan = get_object_or_404(ObjectPaymentPlan, uuid=kwargs["uuid"])
        return self._show(request.GET, looked="look" in request.GET)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.plan = get_object_or_404(ObjectPaymentPlan, uuid=kwargs["uuid"])
        if "look" in request.POST:
            # Whom it names stays out of the address.
            return self._show(request.POST, looked=True)
        terms = self._terms(request.POST, bound=True)
        if terms is None or not terms.is_valid():
            return self._show(request.POST, looked=True, status=422)
        kind = request.POST["kind"]
        try:
            found = plan_previews.preview(self.plan, kind, **terms.terms)
            decided = DecideForm(request.POST, may_be_on_paper=_may_be_on_paper(found))
            if not decided.is_valid():
                return self._show(request.POST, looked=True, decided=decided, status=422)
            change = plan_changes.propose(
                self.plan,
                kind,
                decided.cleaned_data["reason"],
                request.user,
                seen=request.POST.get("seen", ""),
                on_paper=decided.cleaned_data.get("on_paper", False),
                **terms.terms,
            )
        except CheckoutError as problem:
            return self._show(request.POST, looked=True, problem=str(problem), status=409)
        if change.is_in_force and self.plan.deleted:
            # Of a plan that stays stopped nothing was to come any more, and no letter goes out.
            messages.success(request, _("Written down."))
        elif change.is_in_force:
            messages.success(request, _("The plan was changed, and its payer is told."))
        elif change.new_payer is not None:
            messages.success(request, _("The new payer is asked by mail. Until they agree, nothing changes."))
        else:
            messages.success(request, _("The payer is asked by mail. Until they agree, the old terms hold."))
        return HttpResponseRedirect(self.plan.get_absolute_url())

    def _kinds(self) -> list[str]:
        if self.plan.deleted:
            return [kind for kind in FORMS if kind in OF_STOPPED]
        kinds = [kind for kind in FORMS if kind != PlanChange.Kind.REOPEN]
        return kinds if self._undoable() else [kind for kind in kinds if kind != PlanChange.Kind.UNDO]

    def _terms(self, data: Any, *, bound: bool) -> TermsForm | None:
        kind = data.get("kind", "")
        if kind not in self._kinds():
            return None
        form = FORMS[kind]
        about: dict[str, Any] = {"lines": plan_previews.lines_of(self.plan)}
        if kind == PlanChange.Kind.UNDO:
            about["undoable"] = [(change.number, str(change)) for change in self._undoable()]
        return form(data, **about) if bound else form(**about)

    def _undoable(self) -> list[PlanChange]:
        return [change for change in self.plan.changes.order_by("-number") if change.can_be_undone]

    def _show(
        self,
        data: Any,
        *,
        looked: bool,
        decided: DecideForm | None = None,
        problem: str = "",
        status: int = 200,
    ) -> HttpResponse:
        plan = self.plan
        terms = self._terms(data, bound=looked)
        found = None
        if terms is not None and (not terms.fields or (looked and terms.is_valid())):
            try:
                found = plan_previews.preview(
                    plan, data["kind"], **(terms.terms if looked and terms.is_valid() else {})
                )
            except CheckoutError as refused:
                problem, status = problem or str(refused), max(status, 409)
        context = self.get_context_data(
            plan=plan,
            back_url=plan.get_absolute_url(),
            kinds=[{"kind": kind, "name": capfirst(PlanChange.Kind(kind).label)} for kind in self._kinds()],
            kind=data.get("kind", "") if terms is not None else "",
            kind_name=capfirst(PlanChange.Kind(data["kind"]).label) if terms is not None else "",
            form=terms,
            problem=problem,
            found=found,
            waits=plan.changes.filter(state=PlanChange.State.WAITING).first(),
        )
        if found is not None:
            context |= self._compared(found) | {
                "decide": decided or DecideForm(may_be_on_paper=_may_be_on_paper(found)),
                "hidden": [field.as_hidden() for field in terms] if terms is not None else [],
            }
        return self.render_to_response(context, status=status)

    def _compared(self, found: plan_previews.Preview) -> dict[str, Any]:
        return {
            "rows": side_by_side(found.before, found.after, self.plan.currency),
            "sums": [
                (_("In all"), self._money(owed(found.before)), self._money(owed(found.after))),
                (_("Still to come"), self._money(to_come(found.before)), self._money(to_come(found.after))),
            ],
            "odd": [*self._odd(found), *(rule_in_words(rule) for rule in found.outside)],
        }

    def _odd(self, found: plan_previews.Preview) -> list[str]:
        """What may be a slip of the hand."""
        largest = max((line.owed for line in found.before), default=Decimal(0))
        said: list[str] = []
        for line in found.after:
            if line.is_open:
                said += [odd.day(line.due)] if line.due > clock.today() else []
                said.append(odd.amount(line.owed, largest, self.plan.currency))
        return [each for each in said if each]

    def _money(self, amount: Decimal) -> str:
        return show_money(amount, self.plan.currency)


def _may_be_on_paper(found: plan_previews.Preview) -> bool:
    return not found.favours_payer and found.kind != PlanChange.Kind.PAYER


def side_by_side(before: list[Line], after: list[Line], currency: str) -> list[dict[str, Any]]:
    """A row for each line that is or will be: what it says before and after, and whether that differs."""
    then, now = ({line.count: line for line in lines} for lines in (before, after))

    def said(line: Line | None) -> tuple[date | None, str, str]:
        if line is None:
            return None, "", ""
        if line.ended:
            return None, "", str(_("not collected any more"))
        amount = show_money(line.owed, currency)
        paid = line.is_over and line.paid == line.owed
        return line.due, amount, str(_("paid")) if paid else str(_("over")) if line.is_over else ""

    rows = []
    for count in sorted(then.keys() | now.keys()):
        old, new = said(then.get(count)), said(now.get(count))
        rows.append(
            {
                "name": _("Deposit") if count == 1 else _("Instalment %(number)d") % {"number": count - 1},
                "before": old,
                "after": new,
                "differs": old != new,
            }
        )
    return rows


def history(plan: ObjectPaymentPlan) -> list[dict[str, Any]]:
    """Every change of a plan, the newest first."""
    return [
        {
            "change": change,
            "undo": _undo_url(change) if not plan.deleted and change.can_be_undone else "",
            "payers": _payers_of(change),
            "at": show_time(change.at),
            "who": change.user or _("by itself"),
            "rows": [
                row for row in side_by_side(change.lines_before, change.lines_after, plan.currency) if row["differs"]
            ],
        }
        for change in plan.changes.select_related("user", "plan__customer", "new_payer", "former_payer").order_by(
            "-number"
        )
    ]


def _payers_of(change: PlanChange) -> str:
    """Who paid before and who afterwards, of a change of the payer."""
    if change.new_payer is None:
        return ""
    former = change.former_payer if change.is_in_force else change.plan.customer
    return f"{former or _('nobody')} → {change.new_payer}"


def rule_in_words(rule: plan_rules.Rule) -> str:
    """A limit that terms are outside of, where it comes from, and that nobody here knows the law."""
    return _("%(says)s Source: %(source)s. This is a prompt, not legal advice.") % {
        "says": rule.says,
        "source": rule.source,
    }


def _undo_url(change: PlanChange) -> str:
    """The page that shows what undoing a change would do."""
    url = reverse("checkout.object.payment.plan.change", args=[change.plan.uuid])
    terms: dict[str, str | int] = {"kind": PlanChange.Kind.UNDO.value, "number": change.number, "look": 1}
    return f"{url}?{urlencode(terms)}"


class PlanChangeWithdrawView(StaffActionView):
    permission = "checkout.change_objectpaymentplan"
    menu = "checkout.object.payment.plan.list"
    heading = gettext_lazy("Withdraw a change")
    way_back = ways_back.PROPOSE
    question = gettext_lazy("Nobody is asked any more, and the old terms hold.")
    button = gettext_lazy("Withdraw it")
    object: PlanChange

    def get_object(self) -> PlanChange:
        return get_object_or_404(PlanChange.objects.select_related("plan"), uuid=self.kwargs["uuid"])

    def get_version(self) -> str:
        return str(self.object.state)

    def get_back_url(self) -> str:
        return str(self.object.plan.get_absolute_url())

    def get_refusal(self) -> str:
        return "" if self.object.waits else _("This was decided already.")

    def perform(self, form: Any) -> str:
        if not self.object.waits:
            raise AlreadyPaid(_("This was decided already."))
        plan_changes.withdraw(self.object, self.request.user, form.cleaned_data["reason"])
        return _("The change was withdrawn.")
