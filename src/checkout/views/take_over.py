"""The page on which another payer takes over a plan: what was agreed, is paid and is left, and a card of their own."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.generic import TemplateView

from checkout import clock, links, money, states
from checkout.conf import conf
from checkout.errors import AlreadyPaid
from checkout.ids import ip_address_or_none, storable
from checkout.models import Checkout, ObjectPaymentPlanInstalment, PlanChange
from checkout.services import plan_cards, plan_changes, recovery, take_overs
from checkout.views import limits
from checkout.views.access import remember_checkout, remembered_uuids, tell_next_page, told
from checkout.views.mixins import CheckoutMixin
from checkout.views.signed_links import SignedLinkMixin


class TakeOverView(SignedLinkMixin, CheckoutMixin, TemplateView):  # type: ignore[misc]
    """By the link of the letter, and by nothing else. Looking changes nothing, here or at Stripe; the button agrees and
    leads to the card form, in this browser. Whoever opens the link elsewhere is asked again."""

    template_name = "checkout/take_over_card.html"
    start_template_name = "checkout/take_over.html"
    change: PlanChange

    def read_token(self, token: str) -> None:
        rows = PlanChange.objects.filter(kind=PlanChange.Kind.PAYER, uuid=links.read_token(token, PlanChange))
        change = rows.select_related("plan__customer", "plan__payment_plan", "new_payer").first()
        if change is None:
            raise links.BadLink("There is no such change.")
        if not links.is_current(token, change):
            raise links.RevokedLink("It was decided, an address was corrected, or the link was revoked.")
        self.change = change

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if over := self._over():
            return over
        begun = self._begun()
        if begun is None:
            return render(request, self.start_template_name, self._shared())
        return self.show(request, begun)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if over := self._over():
            return over
        if request.POST.get("answer") == "refuse":
            try:
                plan_changes.refuse(self.change)
            except AlreadyPaid:
                self.change.refresh_from_db()
            return self._over() or redirect(request.path)
        if request.POST.get("seen", "") != take_overs.seen(self.change):
            tell_next_page(request, _("The plan has changed since you opened this page. Please look at it again."))
            return redirect(request.path)
        limits.check(request, self.change)
        begun = take_overs.begin(
            self.change,
            ip_address=ip_address_or_none(request.META.get("REMOTE_ADDR", "")),
            user_agent=storable(request.headers.get("User-Agent", ""))[:500],
        )
        remember_checkout(request, begun, request.path)
        return redirect(request.path)

    def _begun(self) -> Checkout | None:
        """The attempt that the button has begun in this browser, while it is open."""
        attempts = Checkout.objects.for_content_object(self.change).open()
        rows = attempts.filter(uuid__in=remembered_uuids(self.request), superseded=False)
        found: Checkout | None = rows.select_related("customer", "payment_plan").order_by("-pk").first()
        return found

    def _over(self) -> HttpResponse | None:
        """What to say when there is nothing to take over any more; None while there is."""
        change = self.change
        if change.state == PlanChange.State.REFUSED:
            return self.refusal(
                200,
                _("You do not take over this plan"),
                _("Nothing was changed, and nothing is taken from you. If that was a mistake, please contact us."),
            )
        if not change.checkout_can_charge or not plan_cards.what_is_left(change.plan):
            return self.refusal(
                410,
                _("There is nothing to take over any more"),
                _("It was withdrawn, or nothing is left to pay. Nothing is taken from you."),
            )
        return None

    def _shared(self) -> dict[str, Any]:
        change, plan = self.change, self.change.plan
        left = plan_cards.what_is_left(plan)
        rows = list(plan.payments.select_related("debt"))
        waits = sum((row.left for row in [*recovery.declined_lines(plan), *_wait_for_bank(rows)]), start=Decimal(0))
        return {
            "base_template": conf.CHECKOUT_BASE_TEMPLATE,
            "told": told(self.request),
            "change": change,
            "payer": plan.checkout_name,
            "description": change.checkout_description[:-1],
            "total": self._money(plan.total),
            "paid": self._money(sum((row.net_paid for row in rows), start=Decimal(0))),
            "left": self._money(sum((Decimal(line["amount"]) for line in left), start=Decimal(0))),
            "lines": [
                {"due": datetime.date.fromisoformat(line["due"]), "amount": self._money(Decimal(line["amount"]))}
                for line in left
            ],
            # Of a plan that a bank disputes nothing is taken by itself.
            "overdue": self._money(waits) if waits and not plan.paused else "",
            "wording": take_overs.wording(change),
            "seen": take_overs.seen(change),
            "caption": conf.STRIPE_CAPTION,
            "contact": conf.CHECKOUT_CONTACT_TEXT,
        }

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs) | self._shared()
        if context["overdue"]:
            # The button says what pressing it costs.
            context["button_text"] = _("Save card and pay %(amount)s") % {"amount": context["overdue"]}
        return context

    def _money(self, amount: Decimal) -> str:
        return money.format_money(amount, self.change.plan.currency, get_language() or "en-gb")


def _wait_for_bank(rows: list[ObjectPaymentPlanInstalment]) -> list[ObjectPaymentPlanInstalment]:
    """What is due, and waits for the bank of whoever pays now."""
    return [row for row in rows if row.state_id == states.PAY_ON_SESSION and row.due <= clock.today()]
