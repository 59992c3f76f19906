"""Pages of a payer whose bank requires them: from the mail to the payment."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any
from uuid import UUID

from django.contrib.auth.views import redirect_to_login
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.generic import TemplateView

from checkout import actions, clock, declines, links, money, states
from checkout.conf import conf
from checkout.errors import AlreadyPaid
from checkout.models import Checkout, ObjectPaymentPlanInstalment
from checkout.services import on_session, payers
from checkout.services.letters import asking
from checkout.views import limits, payer
from checkout.views.access import (
    PayerViewMixin,
    is_asked_by_script,
    problem_page,
    remember_checkout,
    remember_press,
    remembered_uuids,
    waiting_answer,
)
from checkout.views.plan_access import opened_by_link
from checkout.views.signed_links import SignedLinkMixin

# -- who may see what -----------------------------------------------------------------------------------


def begun_here(request: HttpRequest, row: ObjectPaymentPlanInstalment) -> bool:
    """True if this browser session has begun an attempt at this line, since its links were last revoked."""
    uuids = remembered_uuids(request)
    if not uuids:
        return False
    begun = Checkout.objects.for_content_object(row).filter(uuid__in=uuids)
    revoked_at = row.object_payment_plan.links_revoked_at
    return (begun if revoked_at is None else begun.filter(created_at__gt=revoked_at)).exists()


# -- from the mail to the payment -----------------------------------------------------------------------


class _BeforePaying(PayerViewMixin, TemplateView, ABC):  # type: ignore[misc]
    """Shows what is to be paid. Looking changes nothing, here or at Stripe: programs that follow links in mails look
    too. The button begins the attempt, or continues it."""

    template_name = "checkout/on_session_start.html"

    @abstractmethod
    def get_instalment(self) -> ObjectPaymentPlanInstalment:
        """What is paid for, if this visitor may pay it. Each page authorises in its own way, so none is inherited."""

    def get_user(self) -> Any:
        """The user who is written down as having begun the attempt."""
        return None

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        instalment = self.get_instalment()
        if is_asked_by_script(request):
            return waiting_answer(instalment.state_id == states.REQUEST)
        over = settled_page(request, instalment)
        return over or self.render_to_response(self.get_context_data(instalment=instalment))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        instalment = self.get_instalment()
        over = settled_page(request, instalment)
        if over is not None:
            return over
        limits.check(request, instalment)
        try:
            checkout = on_session.create_checkout_pay_on_session(
                instalment, self.get_user(), another_card="another_card" in request.POST
            )
        except AlreadyPaid:
            instalment.refresh_from_db()
            return settled_page(request, instalment) or paid_page(request)
        remember_checkout(request, checkout)
        if "confirm" in request.POST:
            remember_press(request, checkout)
        return redirect("checkout.pay", uuid=checkout.uuid)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        instalment = kwargs["instalment"]
        card = instalment.object_payment_plan.card
        return super().get_context_data(**kwargs) | {
            "base_template": conf.CHECKOUT_BASE_TEMPLATE,
            "amount": money.format_money(instalment.left, instalment.checkout_currency, get_language() or "en-gb"),
            "description": instalment.checkout_description,
            "card": card.short_description if card is not None else "",
            "declined": why_declined(instalment),
            "overdue": instalment.due < clock.today(),
            "wanted": instalment.state_id == states.PAY_ON_SESSION,
            "busy": instalment.state_id == states.REQUEST,
            "caption": conf.STRIPE_CAPTION,
            "contact": conf.CHECKOUT_CONTACT_TEXT,
        }


def why_declined(instalment: ObjectPaymentPlanInstalment) -> str:
    """Why the plan's card was declined when it was last asked for this; empty when it was not, or is another by now."""
    card = instalment.object_payment_plan.card
    if instalment.state_id != states.FAIL or card is None:
        return ""
    last = Checkout.objects.for_content_object(instalment).filter(action=actions.CHARGE).order_by("-pk").first()
    if last is None or last.payment_method_id != card.payment_method_id or not (last.error_code or last.decline_code):
        return ""
    return declines.sentence(last.error_code, last.decline_code)


def settled_page(request: HttpRequest, instalment: ObjectPaymentPlanInstalment) -> HttpResponse | None:
    """What to say when there is nothing to pay any more; None while there is. Tells nothing about the debt."""
    if instalment.state_id == states.SUCCESS:
        return paid_page(request)
    if instalment.object_payment_plan.deleted:
        return problem_page(
            request,
            410,
            _("There is nothing to pay"),
            _("This payment plan was stopped. Nothing is taken. If you expected something else, please contact us."),
        )
    return None


def paid_page(request: HttpRequest) -> HttpResponse:
    return problem_page(
        request,
        200,
        _("This has been paid already"),
        _("Thank you. There is nothing more to do, and nothing more is taken."),
    )


class PaymentLinkView(SignedLinkMixin, _BeforePaying):  # type: ignore[misc]
    """The signed link of a mail, for payers without a login. It opens this one debt, whoever is logged in here."""

    def read_token(self, token: str) -> None:
        self.token_uuid = links.read_token(token, ObjectPaymentPlanInstalment)
        instalment = _instalments().filter(uuid=self.token_uuid).first()
        if instalment is not None and not links.is_current(token, instalment):
            raise links.RevokedLink("The payer's address was corrected, or the link revoked.")

    def get_instalment(self) -> ObjectPaymentPlanInstalment:
        return find_instalment(self.token_uuid)

    def expired(self, token: str) -> HttpResponse:
        """The new link is that of the plan, which shows what waits, and is true whatever became of this payment."""
        return self.offer_new_link(
            _("Our links work for a limited time. We can send a new one to the address that we have for this payment."),
            _("It comes by mail within a few minutes, to the address that we have for this payment."),
            lambda: self._send(links.read_expired(token, ObjectPaymentPlanInstalment)),
        )

    def _send(self, uuid: UUID) -> None:
        instalment = _instalments().filter(uuid=uuid).first()
        if instalment is not None:
            asking.link_asked(instalment.object_payment_plan)


def _instalments() -> QuerySet[ObjectPaymentPlanInstalment]:
    return ObjectPaymentPlanInstalment.objects.select_related(
        "object_payment_plan__customer",
        "object_payment_plan__payment_plan",
        "object_payment_plan__user",
        "object_payment_plan__agreement__saved_card",
        "debt",
    )


def find_instalment(uuid: UUID) -> ObjectPaymentPlanInstalment:
    try:
        return _instalments().get(uuid=uuid)
    except ObjectPaymentPlanInstalment.DoesNotExist:
        raise Http404 from None


class PayOnSessionView(_BeforePaying):
    """The same for payers who can log in, or have opened the link to their plan. A browser that has begun to pay this
    debt by link may come back here."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.by_session = False
        instalment = _instalments().filter(uuid=kwargs["uuid"]).first()
        if instalment is not None and (
            begun_here(request, instalment) or opened_by_link(request, instalment.object_payment_plan)
        ):
            self.by_session = True
        elif not request.user.is_authenticated:
            # Before anything is looked at: a stranger learns nothing about which debts exist.
            return redirect_to_login(request.get_full_path())
        return super().dispatch(request, *args, **kwargs)

    def get_instalment(self) -> ObjectPaymentPlanInstalment:
        instalment = find_instalment(self.kwargs["uuid"])
        if not self.by_session and not payers.is_payer(self.request.user, instalment.object_payment_plan):
            raise Http404
        return instalment

    def get_user(self) -> Any:
        instalment = find_instalment(self.kwargs["uuid"])
        is_payer = payers.is_payer(self.request.user, instalment.object_payment_plan)
        return self.request.user if is_payer else None


class InstalmentPayView(payer.PayView):
    """The ready payment page, which knows instalments: whose they are, and that another card may be saved."""

    template_name = "checkout/on_session_pay.html"

    def get_object(self, queryset: Any = None) -> Checkout:
        """Staff may have begun the attempt by charging the card; the page is its payer's all the same."""
        checkout = super().get_object(queryset)
        line = checkout.content_object
        if not isinstance(line, ObjectPaymentPlanInstalment) or str(checkout.uuid) in remembered_uuids(self.request):
            return checkout
        if not payers.is_payer(self.request.user, line.object_payment_plan):
            raise Http404
        return checkout

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Another card: the intent that the bank refused cannot save one, so a new one takes its place."""
        checkout = self.get_object()
        line = checkout.content_object
        if not isinstance(line, ObjectPaymentPlanInstalment):
            return redirect("checkout.pay", uuid=checkout.uuid)
        try:
            begun = on_session.create_checkout_pay_on_session(line, checkout.user, another_card=True)
        except AlreadyPaid:
            return redirect("checkout.return", uuid=checkout.uuid)
        remember_checkout(request, begun)
        return redirect("checkout.pay", uuid=begun.uuid)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        line = self.object.content_object
        context = super().get_context_data(**kwargs)
        of_plan = isinstance(line, ObjectPaymentPlanInstalment)
        # The bank of the plan's card; that of another one has not been asked yet.
        wanted = bool(context["saved_card"]) and of_plan and line.state_id == states.PAY_ON_SESSION
        # On an intent that saves the card the form can be changed on the spot; on the refused one it cannot.
        return context | {
            "of_plan": of_plan,
            "wanted": wanted,
            "other_card_by_post": self.object.is_charge and bool(context["saved_card"]),
        }
