"""Receipts and statements, as pages and as PDF, for whoever may open what they are about."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any
from uuid import UUID

from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.generic import TemplateView, View

from checkout import actions, links, pdf
from checkout.contract import Actor, actor
from checkout.models import Checkout, ObjectPaymentPlanInstalment
from checkout.services import numbering, papers, payers
from checkout.sheets import Sheet
from checkout.views.access import PayerViewMixin, remembered_uuids
from checkout.views.plan_access import access_to_plan
from checkout.views.signed_links import SignedLinkMixin

#: The links to receipts that this browser has opened, by attempt. Each is looked at again on every page.
SESSION_KEY = "checkout_receipt_links"
REMEMBERED = 20


def is_staff(user: Actor, permission: str) -> bool:
    """True for staff who may look at this in the office."""
    who = actor(user)
    return who is not None and who.is_active and who.is_staff and who.has_perm(permission)


class PaperView(PayerViewMixin, TemplateView, ABC):  # type: ignore[misc]
    """A paper as a page; with `as_pdf`, as a file."""

    template_name = "checkout/paper.html"
    as_pdf = False

    @abstractmethod
    def may_open(self) -> bool:
        """Whether this visitor may. False for what does not exist, too."""

    @abstractmethod
    def get_sheet(self) -> Sheet:
        """What stands on it."""

    @abstractmethod
    def addresses(self) -> dict[str, str]:
        """`pdf_url`, and `back_url`, which may be empty."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not self.may_open():
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path())
            raise Http404
        sheet = self.get_sheet()
        if self.as_pdf:
            return pdf.response(sheet)
        return self.render_to_response(self.get_context_data(**pdf.page_of(sheet, **self.addresses())))


class ReceiptView(PaperView):
    """The receipt of one payment: of a plan for whoever may open the plan, else for its payer; and for staff."""

    checkout: Checkout | None = None

    def may_open(self) -> bool:
        rows = Checkout.objects.select_related("customer")
        self.checkout = found = rows.filter(uuid=self.kwargs["uuid"]).first()
        if found is None or not numbering.has_receipt(found):
            return False
        if is_staff(self.request.user, "checkout.view_checkout"):
            return True
        line = found.content_object
        if isinstance(line, ObjectPaymentPlanInstalment):
            if payers.is_of_former(line.object_payment_plan, found):
                # Of a plan that was taken over, the receipts of whoever paid before are their own.
                return False
            return access_to_plan(self.request, line.object_payment_plan.uuid) is not None
        return is_payer(self.request, found)

    def get_checkout(self) -> Checkout:
        if self.checkout is None:
            raise Http404
        return self.checkout

    def get_sheet(self) -> Sheet:
        return papers.receipt(self.get_checkout())

    def addresses(self) -> dict[str, str]:
        checkout = self.get_checkout()
        line = checkout.content_object
        plan = line.object_payment_plan if isinstance(line, ObjectPaymentPlanInstalment) else None
        theirs = plan is not None and access_to_plan(self.request, plan.uuid) is not None
        return {
            "pdf_url": reverse("checkout.receipt.pdf", args=[checkout.uuid]),
            "back_url": reverse("checkout.plan.progress", args=[plan.uuid]) if plan is not None and theirs else "",
        }


def is_payer(request: HttpRequest, checkout: Checkout) -> bool:
    """True for the payer of a payment that is no line of a plan: in the browser that paid, by the link of its letter,
    or by login. Who charged a card for somebody is not its payer."""
    if str(checkout.uuid) in remembered_uuids(request) or _opened_by_link(request, checkout):
        return True
    who = actor(request.user)
    if who is None or not who.is_active:
        return False
    began = checkout.user_id if checkout.action_id == actions.PAYMENT else None
    return who.pk == began or who == getattr(checkout.content_object, "checkout_user", None)


def _opened_by_link(request: HttpRequest, checkout: Checkout) -> bool:
    token = request.session.get(SESSION_KEY, {}).get(str(checkout.uuid), "")
    try:
        return bool(token) and links.is_current(token, checkout)
    except (links.BadLink, links.ExpiredLink):
        return False


class ReceiptLinkView(SignedLinkMixin, View):
    """The signed link of a letter about a payment at once. It opens that receipt in this browser, and takes itself out
    of the address bar."""

    checkout: Checkout

    def read_token(self, token: str) -> None:
        found = Checkout.objects.filter(uuid=links.read_token(token, Checkout)).first()
        if found is None or not numbering.has_receipt(found):
            raise links.BadLink("There is no such payment.")
        if not links.is_current(token, found):
            raise links.RevokedLink("The payer's address was corrected, or the link revoked.")
        self.checkout, self.token = found, token

    def expired(self, token: str) -> HttpResponse:
        """The letter is sent again."""
        return self.offer_new_link(
            _("Our links work for a limited time. We can send a new one to the address that we have for this payment."),
            _("It comes by mail within a few minutes, to the address that we have for this payment."),
            lambda: self._send(links.read_expired(token, Checkout)),
        )

    def _send(self, uuid: UUID) -> None:
        found = Checkout.objects.filter(uuid=uuid).first()
        if found is not None and numbering.has_receipt(found):
            papers.send_again(found)

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        opened: dict[str, str] = request.session.get(SESSION_KEY, {})
        key = str(self.checkout.uuid)
        if key not in opened:
            # From now on this session opens a receipt, so nobody else may know its id.
            request.session.cycle_key()
        opened.pop(key, None)
        request.session[SESSION_KEY] = dict([*opened.items(), (key, self.token)][-REMEMBERED:])
        return redirect("checkout.receipt", uuid=self.checkout.uuid)


class StatementView(PaperView):
    """What was agreed for a plan, came, went back and is left: for whoever may open the plan, and for staff."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.access = access_to_plan(request, kwargs["uuid"])
        return super().dispatch(request, *args, **kwargs)

    def may_open(self) -> bool:
        return self.access is not None or is_staff(self.request.user, "checkout.view_objectpaymentplan")

    def get_sheet(self) -> Sheet:
        if self.access is not None:
            return papers.statement(self.access.plan)
        return papers.statement(get_object_or_404(papers.plans(), uuid=self.kwargs["uuid"]))

    def addresses(self) -> dict[str, str]:
        uuid = self.kwargs["uuid"]
        return {
            "pdf_url": reverse("checkout.statement.pdf", args=[uuid]),
            "back_url": reverse("checkout.plan.progress", args=[uuid]) if self.access is not None else "",
        }
