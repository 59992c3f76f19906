"""Pages of a payer whose bank wants them: from the mail to the payment, and the plan as its payer sees it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib.auth.views import redirect_to_login
from django.contrib.contenttypes.models import ContentType
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.generic import TemplateView

from checkout import links, money, states
from checkout.conf import conf
from checkout.errors import AlreadyPaid, NoSavedCard
from checkout.models import Checkout, ObjectPaymentPlan, ObjectPaymentPlanInstalment
from checkout.services import instalments, on_session, payers
from checkout.views import declines, payer
from checkout.views.access import (
    SESSION_KEY,
    PayerViewMixin,
    is_asked_by_script,
    problem_page,
    remember_checkout,
    tell_next_page,
    told,
    waiting_answer,
)
from checkout.views.signed_links import SignedLinkMixin

#: A payer may try these by hand; the others are paid, being paid, or not due.
PAYABLE = frozenset({states.FAIL, states.PAY_ON_SESSION})


# -- who may see what -----------------------------------------------------------------------------------


def remembered_uuids(request: HttpRequest) -> list[str]:
    """The attempts that this browser session has begun."""
    return list(request.session.get(SESSION_KEY, {}))


def begun_here(request: HttpRequest, row: Any) -> bool:
    """True if this browser session has begun an attempt for this row."""
    uuids = remembered_uuids(request)
    return bool(uuids) and Checkout.objects.for_content_object(row).filter(uuid__in=uuids).exists()


def plan_begun_here(request: HttpRequest, plan: ObjectPaymentPlan) -> bool:
    """True if this browser session has begun an attempt for the plan: agreed it, refreshed its card, or paid a line."""
    uuids = remembered_uuids(request)
    if not uuids:
        return False
    line_type = ContentType.objects.get_for_model(ObjectPaymentPlanInstalment)
    plan_type = ContentType.objects.get_for_model(ObjectPaymentPlan)
    lines = [str(pk) for pk in plan.instalments.values_list("pk", flat=True)]
    of_plan = (
        Q(content_type=line_type, object_id__in=lines)
        | Q(content_type=plan_type, object_id=str(plan.pk))
        | Q(content_type=plan.content_type_id, object_id=plan.object_id, payment_plan=plan.payment_plan_id)
    )
    return Checkout.objects.filter(of_plan, uuid__in=uuids).exists()


# -- from the mail to the payment -----------------------------------------------------------------------


class _BeforePaying(PayerViewMixin, TemplateView):  # type: ignore[misc]
    """Shows what is to be paid. Looking changes nothing, here or at Stripe: programs that follow links in mails look
    too. The button begins the attempt, or continues it."""

    template_name = "checkout/on_session_start.html"

    def get_instalment(self) -> ObjectPaymentPlanInstalment:
        """What is paid for, if this visitor may pay it. Each page authorises in its own way, so none is inherited."""
        raise NotImplementedError(f"{type(self).__name__} does not say what is paid for.")

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
        try:
            checkout = on_session.create_checkout_pay_on_session(
                instalment, self.get_user(), another_card="another_card" in request.POST
            )
        except AlreadyPaid:
            instalment.refresh_from_db()
            return settled_page(request, instalment) or paid_page(request)
        remember_checkout(request, checkout)
        return redirect("checkout.pay", uuid=checkout.uuid)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        instalment = kwargs["instalment"]
        customer = instalment.object_payment_plan.customer
        return super().get_context_data(**kwargs) | {
            "base_template": conf.CHECKOUT_BASE_TEMPLATE,
            "amount": money.format_money(instalment.amount, instalment.checkout_currency, get_language() or "en-gb"),
            "description": instalment.checkout_description,
            "card": customer.card_description if customer is not None and customer.has_card else "",
            "wanted": instalment.state_id == states.PAY_ON_SESSION,
            "busy": instalment.state_id == states.REQUEST,
            "caption": conf.STRIPE_CAPTION,
            "contact": conf.CHECKOUT_CONTACT_TEXT,
        }


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
        self.token_uuid = links.read_token(token)

    def get_instalment(self) -> ObjectPaymentPlanInstalment:
        return find_instalment(self.token_uuid)


def find_instalment(uuid: UUID) -> ObjectPaymentPlanInstalment:
    rows = ObjectPaymentPlanInstalment.objects.select_related(
        "object_payment_plan__customer", "object_payment_plan__payment_plan", "object_payment_plan__user"
    )
    try:
        return rows.get(uuid=uuid)
    except ObjectPaymentPlanInstalment.DoesNotExist:
        raise Http404 from None


class PayOnSessionView(_BeforePaying):
    """The same for payers who can log in. A browser that has begun to pay this debt by link may come back here."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.by_session = False
        instalment = ObjectPaymentPlanInstalment.objects.filter(uuid=kwargs["uuid"]).first()
        if instalment is not None and begun_here(request, instalment):
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
        wanted = isinstance(line, ObjectPaymentPlanInstalment) and line.state_id == states.PAY_ON_SESSION
        # On an intent that saves the card the form can be changed on the spot; on the refused one it cannot.
        return context | {
            "of_plan": of_plan,
            "wanted": wanted,
            "other_card_by_post": self.object.is_charge and bool(context["saved_card"]),
        }


# -- the plan as its payer sees it ----------------------------------------------------------------------


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


class PlanProgressView(PayerViewMixin, TemplateView):  # type: ignore[misc]
    """What was paid, what comes next, with which card. What waits or failed can be paid here."""

    template_name = "checkout/plan_progress.html"
    by_login = False

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        plans = ObjectPaymentPlan.objects.select_related("customer", "payment_plan", "user")
        plan = plans.filter(uuid=kwargs["uuid"]).first()
        self.by_login = plan is not None and payers.is_payer(request.user, plan)
        by_session = plan is not None and not self.by_login and plan_begun_here(request, plan)
        self.plan = plan if self.by_login or by_session else None
        if self.plan is None and not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        return super().dispatch(request, *args, **kwargs)

    def get_plan(self) -> ObjectPaymentPlan:
        if self.plan is None:
            raise Http404
        return self.plan

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        plan = self.get_plan()
        if is_asked_by_script(request):
            return waiting_answer(plan.instalments.filter(Q(state=states.REQUEST)).exists())
        return self.render_to_response(self.get_context_data(plan=plan))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Take one line at once from the saved card. Only for a payer who is logged in: a link opens a payment, it
        does not decide over the card."""
        plan = self.get_plan()
        uuid = _uuid(request.POST.get("instalment", ""))
        line = plan.instalments.filter(uuid=uuid).first() if uuid is not None else None
        if not self.by_login or line is None:
            raise Http404
        if plan.deleted or line.state_id not in PAYABLE:
            return self._answer(_("That payment does not wait any more. Below is how it stands."))
        try:
            checkout = instalments.charge(line, request.user)
        except AlreadyPaid as problem:
            return self._answer(str(problem))
        except NoSavedCard:
            return redirect("checkout.card.refresh.plan", uuid=plan.uuid)
        remember_checkout(request, checkout)
        if checkout.state_id == states.PAY_ON_SESSION:
            return redirect("checkout.pay", uuid=checkout.uuid)
        return self._answer(_charged_text(checkout))

    def _answer(self, text: str) -> HttpResponse:
        tell_next_page(self.request, text)
        return redirect("checkout.plan.progress", uuid=self.get_plan().uuid)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        plan = kwargs["plan"]
        customer = plan.customer
        lines = self._lines(plan)
        unpaid = [row for row in lines if row.line.state_id != states.SUCCESS]
        owed = sum(row.line.amount for row in unpaid)
        coming = [row for row in unpaid if row.line.state_id == states.PENDING]
        content_object = plan.content_object
        return super().get_context_data(**kwargs) | {
            "base_template": conf.CHECKOUT_BASE_TEMPLATE,
            "told": told(self.request),
            "description": list(content_object.checkout_description) if content_object is not None else [],
            "total": self._money(plan.total),
            "still_to_pay": self._money(owed) if owed and not plan.deleted else "",
            "lines": lines,
            "busy": any(row.line.state_id == states.REQUEST for row in lines),
            "waiting": [row for row in lines if row.can_pay],
            "next_line": coming[0] if coming and not plan.deleted else None,
            "finished": not unpaid,
            "card": customer.card_description if customer is not None and customer.has_card else "",
            "card_wanted": bool(unpaid and customer is not None and (customer.refresh or customer.is_expiring)),
            "may_refresh": bool(self.by_login and unpaid and not plan.deleted),
            "contact": conf.CHECKOUT_CONTACT_TEXT,
        }

    def _money(self, amount: Decimal) -> str:
        return money.format_money(amount, self.get_plan().currency, get_language() or "en-gb")

    def _lines(self, plan: ObjectPaymentPlan) -> list[LineView]:
        rows = list(plan.payments.select_related("replaced_by"))
        attempts = Checkout.objects.filter(
            content_type=ContentType.objects.get_for_model(ObjectPaymentPlanInstalment),
            object_id__in=[str(row.pk) for row in rows],
        )
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
        card = plan.customer.payment_method_id if plan.customer is not None and plan.customer.has_card else ""
        made = []
        for row in rows:
            open_now = row.state_id in PAYABLE and not plan.deleted
            new_card = bool(card) and asked.get(str(row.pk)) not in (None, card)
            mood, says = line_in_words(row, stopped=plan.deleted)
            made.append(
                LineView(
                    line=row,
                    name=line_name(row),
                    amount=self._money(row.amount),
                    says=says,
                    mood=mood,
                    reason=reasons.get(str(row.pk), "") if mood == "failed" else "",
                    can_charge=open_now and self.by_login and new_card,
                    can_pay=open_now and (self.by_login or str(row.pk) in begun),
                )
            )
        return made


def line_name(line: ObjectPaymentPlanInstalment) -> str:
    if line.replaces_id:
        return _("To pay again")
    return _("Deposit") if line.deposit else _("Instalment %(number)d") % {"number": line.count - 1}


def line_in_words(line: ObjectPaymentPlanInstalment, *, stopped: bool = False) -> tuple[str, str]:
    """A word for the template, and where the line stands in a few words for its payer."""
    if line.state_id == states.SUCCESS:
        again = getattr(line, "replaced_by", None)
        if again is None:
            return "paid", _("Paid")
        part = again.amount < line.amount
        return "refunded", _("Refunded in part, to pay again below") if part else _("Refunded, to pay again below")
    if stopped:
        return "stopped", _("Not taken any more")
    if line.state_id == states.REQUEST:
        return "asked", _("Being taken at this moment")
    if line.state_id == states.PAY_ON_SESSION:
        return "waiting", _("Your bank wants you to confirm it")
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


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
