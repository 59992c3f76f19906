"""Who may open a payment page, and what is said when something cannot be done."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import formats, timezone
from django.utils.cache import patch_cache_control
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _

from checkout import clock, csp
from checkout.conf import conf
from checkout.errors import CheckoutError, GatewayError, OutcomeUnknown, TooManyAttempts, TooManyRequests
from checkout.models import Checkout
from checkout.views import limits

logger = logging.getLogger("checkout.views")

SESSION_KEY = "checkout_pages"
#: What the next look at a plan's page says first.
TOLD_KEY = "checkout_told"
#: The attempt whose page is to confirm by itself.
PRESSED_KEY = "checkout_pressed"
#: A browser rarely has more than one payment open; this bounds the session.
REMEMBERED = 20


def remember_checkout(request: HttpRequest, checkout: Checkout, page: str = "") -> None:
    """Let this browser session open the attempt's pages. Call it in the view that created the attempt.

    Needed for payers without a login; harmless for the others. Raises TooManyAttempts for a visitor who has begun too
    many attempts; in a view without `PayerViewMixin`, handle it as you handle CannotPay.
    """
    pages: dict[str, str] = request.session.get(SESSION_KEY, {})
    key = str(checkout.uuid)
    if key not in pages:
        # From now on this session opens a payment, so nobody else may know its id: not whoever planted one in this
        # browser before.
        request.session.cycle_key()
        limits.check(request, checkout.content_object)
        limits.count(request, checkout)
    pages[key] = page or pages.pop(key, "")
    request.session[SESSION_KEY] = dict(list(pages.items())[-REMEMBERED:])


def remember_press(request: HttpRequest, checkout: Checkout) -> None:
    """The payer pressed a button that says it pays, so the payment page that follows confirms without another press."""
    request.session[PRESSED_KEY] = str(checkout.uuid)


def was_pressed(request: HttpRequest, checkout: Checkout) -> bool:
    """True once: whoever loads the page again presses there."""
    if request.session.get(PRESSED_KEY) != str(checkout.uuid):
        return False
    del request.session[PRESSED_KEY]
    return True


def remembered_page(request: HttpRequest, checkout: Checkout) -> str:
    """The path of the page on which this browser was paying, or an empty text."""
    return str(request.session.get(SESSION_KEY, {}).get(str(checkout.uuid), ""))


def tell_next_page(request: HttpRequest, text: str) -> None:
    """Told once, on the page that the answer leads to; reloading that page sends nothing a second time."""
    request.session[TOLD_KEY] = text


def told(request: HttpRequest) -> str:
    """What was left to be told, which is forgotten by asking; or an empty text."""
    return str(request.session.pop(TOLD_KEY, ""))


def remembered_uuids(request: HttpRequest) -> list[str]:
    """The attempts that this browser session has begun."""
    return list(request.session.get(SESSION_KEY, {}))


def may_open(request: HttpRequest, checkout: Checkout) -> bool:
    """True for the payer who began the attempt: by login, or by this browser's session."""
    if str(checkout.uuid) in remembered_uuids(request):
        return True
    return request.user.is_authenticated and checkout.user_id is not None and checkout.user_id == request.user.pk


class PayerViewMixin:
    """What every page for payers shares: no open transaction while Stripe is asked, nothing cached, nothing leaked by
    the referrer, and a clear page instead of a traceback."""

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Callable[..., HttpResponseBase]:
        # A decorated `dispatch` loses its mark behind LoginRequiredMixin; this one does not.
        view: Callable[..., HttpResponseBase] = super().as_view(**initkwargs)  # type: ignore[misc]
        return transaction.non_atomic_requests(view)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            response: HttpResponseBase = super().dispatch(request, *args, **kwargs)  # type: ignore[misc]
            if isinstance(response, HttpResponse) and hasattr(response, "render"):
                response.render()
        except (Http404, PermissionDenied):
            # The same words for "not yours" and "does not exist": a guess learns nothing.
            response = problem_page(
                request,
                404,
                _("This page is not open to you"),
                _(
                    "It does not exist, or it belongs to another visit or another login. Go back to what you were "
                    "buying and start the payment from there. If you have paid already, nothing more is taken."
                ),
            )
        except CheckoutError as problem:
            response = _checkout_problem(request, problem)
        except ImproperlyConfigured as problem:
            response = _our_fault(request, problem, status=500)
        if response.status_code == 405:
            response = _wrong_method(request, response)
        patch_cache_control(response, no_store=True, private=True)
        # The return address carries the intent's client secret in its query.
        response.headers.setdefault("Referrer-Policy", "same-origin")
        csp.protect(request, response, stripe=True)
        return response


def _checkout_problem(request: HttpRequest, problem: CheckoutError) -> HttpResponse:
    if isinstance(problem, TooManyAttempts):
        return _too_many(request, problem)
    if problem.for_payer:
        return problem_page(request, 409, _("This cannot be paid now"), str(problem))
    if isinstance(problem, OutcomeUnknown | TooManyRequests):
        logger.warning("payment page: %s", problem)
        return problem_page(
            request,
            503,
            _("We could not reach the payment service"),
            _("Please try again in a minute. What was begun is found again, so you cannot be charged twice."),
            retry=True,
        )
    return _our_fault(request, problem, status=503 if isinstance(problem, GatewayError) else 500)


def _too_many(request: HttpRequest, problem: TooManyAttempts) -> HttpResponse:
    if problem.url:
        return redirect(problem.url)
    page = problem_page(
        request,
        429,
        _("Too many attempts"),
        _("Nothing was taken. Please try again after %(time)s: this pause protects you and us from misuse of cards.")
        % {"time": formats.time_format(timezone.localtime(problem.until))},
    )
    page.headers["Retry-After"] = str(max(1, round((problem.until - clock.now()).total_seconds())))
    return page


def _our_fault(request: HttpRequest, problem: Exception, *, status: int) -> HttpResponse:
    logger.error("payment page: %s", problem, exc_info=problem)
    return problem_page(
        request,
        status,
        _("Something is wrong on our side"),
        _("We have been told about it. Please do not pay a second time before you have spoken to us."),
    )


def _wrong_method(request: HttpRequest, refusal: HttpResponseBase) -> HttpResponse:
    page = problem_page(
        request,
        405,
        _("Nothing was sent"),
        _("This page cannot be used in that way. Go back and use the buttons on the page."),
    )
    page.headers["Allow"] = refusal.headers["Allow"]
    return page


def is_asked_by_script(request: HttpRequest) -> bool:
    """True for the courtesy looks of `status.js`, which wants to know only whether to go on waiting."""
    return request.GET.get("format") == "json"


def waiting_answer(processing: bool, **more: str | None) -> JsonResponse:
    """What `status.js` reads: as soon as `processing` is false it reloads the page."""
    return JsonResponse({"processing": processing, **more})


def problem_page(
    request: HttpRequest, status: int, heading: str, message: str, *, retry: bool = False, press: str = ""
) -> HttpResponse:
    """A page that says what happened and what to do next; `press` is what a button on it says, which posts to the same
    address."""
    context = {
        "base_template": conf.CHECKOUT_BASE_TEMPLATE,
        "heading": heading,
        "message": message,
        "contact": conf.CHECKOUT_CONTACT_TEXT,
        "retry_url": request.get_full_path() if retry and request.method == "GET" else "",
        "press": press,
        # Where all is well there is nothing to go back to.
        "back_url": _came_from(request) if request.method == "POST" and status >= 400 else "",
    }
    return render(request, "checkout/problem.html", context, status=status)


def _came_from(request: HttpRequest) -> str:
    """The page of this site whose button was pressed; empty when the browser does not say."""
    address = request.headers.get("Referer", "")
    ours = url_has_allowed_host_and_scheme(address, {request.get_host()}, require_https=request.is_secure())
    return address if ours else ""
