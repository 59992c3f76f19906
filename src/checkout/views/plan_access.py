"""Who may open the pages of a plan: its payer by login, by the link of a letter, or the browser that began it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.contrib.contenttypes.models import ContentType
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.generic import View

from checkout import links
from checkout.ids import uuid_or_none
from checkout.models import Checkout, ObjectPaymentPlan, ObjectPaymentPlanInstalment, PlanChange
from checkout.services import payers
from checkout.services.letters import asking
from checkout.views.access import remembered_uuids
from checkout.views.signed_links import SignedLinkMixin

#: The links that this browser has opened, by plan. Each is looked at again on every page: it may be revoked meanwhile.
SESSION_KEY = "checkout_plan_links"
#: A family rarely has more plans; this bounds the session.
REMEMBERED = 20


@dataclass(frozen=True, slots=True)
class PlanAccess:
    """What opens a plan for this visitor."""

    plan: ObjectPaymentPlan
    by_login: bool
    by_link: bool

    @property
    def is_payer(self) -> bool:
        """They may decide about all of the plan. A browser that began one payment of it may go on with that one."""
        return self.by_login or self.by_link


def access_to_plan(request: HttpRequest, uuid: UUID) -> PlanAccess | None:
    """How this visitor may open the plan; None when they may not, or there is none."""
    plans = ObjectPaymentPlan.objects.select_related("customer", "payment_plan", "user", "agreement__saved_card")
    plan = plans.filter(uuid=uuid).first()
    if plan is None:
        return None
    found = PlanAccess(plan, by_login=payers.is_payer(request.user, plan), by_link=opened_by_link(request, plan))
    return found if found.is_payer or _begun_here(request, plan) else None


def opened_by_link(request: HttpRequest, plan: ObjectPaymentPlan) -> bool:
    """True if this browser has opened the link of a letter about the plan, and that link is still good."""
    token = request.session.get(SESSION_KEY, {}).get(str(plan.uuid), "")
    try:
        return bool(token) and links.is_current(token, plan)
    except (links.BadLink, links.ExpiredLink):
        return False


def _begun_here(request: HttpRequest, plan: ObjectPaymentPlan) -> bool:
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
    begun = Checkout.objects.filter(of_plan, uuid__in=uuids)
    if plan.links_revoked_at is not None:
        # By a link, perhaps: who it was cannot be told.
        begun = begun.filter(created_at__gt=plan.links_revoked_at)
    return begun.exists()


def open_for_new_payer(request: HttpRequest, change: PlanChange, checkout: Checkout) -> None:
    """Whoever has just taken over the plan in this browser may go on to its page, as by the link that their letter
    holds. Not once its links were revoked since."""
    change = PlanChange.objects.select_related("plan__customer", "agreement").get(pk=change.pk)
    agreement = change.agreement
    theirs = agreement is not None and agreement.checkout_id == checkout.pk and change.is_in_force
    if theirs and str(checkout.uuid) in remembered_uuids(request) and change.plan.links_revoked_at == change.decided_at:
        _remember(request, change.plan, links.make_token(change.plan))


def _remember(request: HttpRequest, plan: ObjectPaymentPlan, token: str) -> None:
    opened: dict[str, str] = request.session.get(SESSION_KEY, {})
    if str(plan.uuid) not in opened:
        # From now on this session opens a plan, so nobody else may know its id.
        request.session.cycle_key()
    opened.pop(str(plan.uuid), None)
    request.session[SESSION_KEY] = dict([*opened.items(), (str(plan.uuid), token)][-REMEMBERED:])


class PlanLinkView(SignedLinkMixin, View):
    """The signed link of a letter. It opens the pages of its plan in this browser, whoever is logged in here, and takes
    itself out of the address bar."""

    plan: ObjectPaymentPlan

    def read_token(self, token: str) -> None:
        plan = ObjectPaymentPlan.objects.select_related("customer").filter(
            uuid=links.read_token(token, ObjectPaymentPlan)
        )
        found = plan.first()
        if found is None:
            raise links.BadLink("There is no such plan.")
        if not links.is_current(token, found):
            raise links.RevokedLink("The payer's address was corrected, or the link revoked.")
        self.plan, self.token = found, token

    def expired(self, token: str) -> HttpResponse:
        return self.offer_new_link(
            _("Our links work for a limited time. We can send a new one to the address that we have for this plan."),
            _("It comes by mail within a few minutes, to the address that we have for this plan."),
            lambda: self._send(links.read_expired(token, ObjectPaymentPlan)),
        )

    def _send(self, uuid: UUID) -> None:
        plan = ObjectPaymentPlan.objects.filter(uuid=uuid).first()
        if plan is not None:
            asking.link_asked(plan)

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        _remember(request, self.plan, self.token)
        # That page asks for itself whether the plan's link opens it.
        receipt = uuid_or_none(request.GET.get("receipt", ""))
        if receipt is not None:
            return redirect("checkout.receipt", uuid=receipt)
        return redirect("checkout.plan.progress", uuid=self.plan.uuid)
