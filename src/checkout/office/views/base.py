"""What every staff page shares: who may open it, and the menu above it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.mixins import AccessMixin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import NoReverseMatch, reverse
from django.utils.cache import patch_cache_control
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.generic import TemplateView

from checkout import csp
from checkout.conf import conf

#: The menu: URL name, words, the permission that its page wants.
MENU: tuple[tuple[str, Any, str], ...] = (
    ("checkout.dashboard", gettext_lazy("Overview"), "checkout.view_dashboard"),
    ("checkout.list.audit", gettext_lazy("To look at"), "checkout.view_checkout"),
    ("checkout.overdue.list", gettext_lazy("Overdue"), "checkout.view_objectpaymentplaninstalment"),
    ("checkout.problem.list", gettext_lazy("Problems"), "checkout.view_problem"),
    ("checkout.proposal.list", gettext_lazy("For a second person"), "checkout.view_proposal"),
    ("checkout.change.list", gettext_lazy("Since yesterday"), "checkout.view_statechange"),
    ("checkout.list", gettext_lazy("Checkouts"), "checkout.view_checkout"),
    ("checkout.object.payment.plan.list", gettext_lazy("Plans"), "checkout.view_objectpaymentplan"),
    ("checkout.payment.run.list", gettext_lazy("Runs"), "checkout.view_paymentrun"),
    ("checkout.customer.list", gettext_lazy("Customers"), "checkout.view_customer"),
    ("checkout.card.refresh.list", gettext_lazy("Cards"), "checkout.view_customer"),
    ("checkout.customer.payment.list", gettext_lazy("Requests"), "checkout.view_customerpayment"),
    ("checkout.refund.list", gettext_lazy("Refunds"), "checkout.view_refund"),
    ("checkout.dispute.list", gettext_lazy("Disputes"), "checkout.view_dispute"),
    ("checkout.books", gettext_lazy("Books"), "checkout.view_payout"),
    ("checkout.difference.list", gettext_lazy("Differences"), "checkout.view_bookdifference"),
    ("checkout.payment.plan.list", gettext_lazy("Templates"), "checkout.view_paymentplan"),
    ("checkout.event.list", gettext_lazy("Events"), "checkout.view_stripeevent"),
    ("checkout.doctor", gettext_lazy("Health"), "checkout.view_scheduledjob"),
    ("checkout.letter.register", gettext_lazy("Letters"), "checkout.view_checkoutsettings"),
    ("checkout.settings", gettext_lazy("Settings"), "checkout.view_checkoutsettings"),
)


def _is_used(name: str) -> bool:
    """False for a page that this site has no use for."""
    return name != "checkout.proposal.list" or conf.CHECKOUT_SECOND_PERSON_ABOVE is not None


class StaffMixin(AccessMixin):
    """Anonymous visitors log in; everybody else needs to be staff and to have `permission`. The same for any method."""

    request: HttpRequest
    permission = ""
    #: The entry of the menu that this page belongs to.
    menu = ""
    heading: Any = ""

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Callable[..., HttpResponseBase]:
        # Actions ask Stripe, which must not happen inside ATOMIC_REQUESTS' transaction.
        view: Callable[..., HttpResponseBase] = super().as_view(**initkwargs)  # type: ignore[misc]
        return transaction.non_atomic_requests(view)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return self.handle_no_permission()
        if not (request.user.is_active and request.user.is_staff and request.user.has_perm(self.permission)):
            if request.user.is_active and request.user.is_staff:
                return self._forbidden(request)
            raise PermissionDenied(_("Your login may not open this page."))
        response: HttpResponseBase = super().dispatch(request, *args, **kwargs)  # type: ignore[misc]
        patch_cache_control(response, no_store=True, private=True)
        response.headers.setdefault("Referrer-Policy", "same-origin")
        csp.protect(request, response, stripe=False)
        return response

    @staticmethod
    def _forbidden(request: HttpRequest) -> HttpResponseBase:
        """Staff stay in the office, where the menu shows what they may open."""
        page = _ForbiddenView()
        page.setup(request)
        response = page.render_to_response(page.get_context_data(), status=403)
        patch_cache_control(response, no_store=True, private=True)
        csp.protect(request, response, stripe=False)
        return response

    def can(self, permission: str) -> bool:
        return self.request.user.has_perm(f"checkout.{permission}")

    def offer(self, *buttons: tuple[str, str, Any, bool]) -> list[dict[str, Any]]:
        """Of (permission, address, words, does it fit now) those that this login may use and that fit."""
        return [
            {"url": url, "text": text}
            for permission, url, text, fits in buttons
            if fits and (not permission or self.can(permission))
        ]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(**kwargs)  # type: ignore[misc]
        return {
            "base_template": conf.CHECKOUT_STAFF_BASE_TEMPLATE,
            "heading": self.heading,
            "menu": [
                {"url": reverse(name), "text": text, "current": name == self.menu}
                for name, text, permission in MENU
                if self.request.user.has_perm(permission) and _is_used(name)
            ],
            "log_out_url": _log_out_url(),
            "search_url": reverse("checkout.search") if self.can("view_checkout") else "",
            "back": self.request.META.get("HTTP_REFERER", ""),
        } | context


class _ForbiddenView(StaffMixin, TemplateView):  # type: ignore[misc]
    template_name = "checkout/staff/forbidden.html"
    heading = gettext_lazy("Your login may not open this page")


def _log_out_url() -> str:
    """Where the site logs people out, if it has such an address by one of the usual names."""
    for name in ("logout", "account_logout", "admin:logout"):
        try:
            return reverse(name)
        except NoReverseMatch:
            continue
    return ""


class StaffPageView(StaffMixin, TemplateView):  # type: ignore[misc]
    """A page that shows one thing."""
