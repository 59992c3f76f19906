"""How an action of staff is confirmed and done."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import Any

from django.contrib import messages
from django.db.models import Model
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.generic import FormView

from checkout.errors import AlreadyPaid, CheckoutError, OutcomeUnknown
from checkout.office.forms import ReasonForm
from checkout.office.views.base import StaffMixin

logger = logging.getLogger("checkout.staff")


class StaffActionView(StaffMixin, FormView, ABC):  # type: ignore[type-arg]
    """Something is done: GET asks, POST does it.

    The page carries what was last known of its subject; when that has moved on meanwhile (a second click, a colleague),
    nothing is done and the page shows how things stand now. The services hold against races by themselves.
    """

    template_name = "checkout/staff/confirm.html"
    form_class: type[Form] = ReasonForm
    question: Any = ""
    button: Any = gettext_lazy("Yes, do it")
    #: Whether it can be undone, and how: a true sentence of every action.
    way_back: Any = ""
    danger = False
    object: Any

    @abstractmethod
    def get_object(self) -> Any:
        """What something is done to."""

    def get_version(self) -> str:
        """Changes whenever somebody did something to the object."""
        return ""

    def get_facts(self) -> list[tuple[Any, Any]]:
        return []

    def get_refusal(self) -> str:
        """Why it cannot be done now; empty when it can."""
        return ""

    def get_back_url(self) -> str:
        return str(self.object.get_absolute_url())

    def get_success_url(self) -> str:
        return self.get_back_url()

    @abstractmethod
    def perform(self, form: Any) -> str:
        """Do it. Returns what to tell whoever did it; raises CheckoutError when it cannot be done.

        One that brought nothing (a charge that was declined) sets `went_well` to False, so that it does not look like a
        success.
        """

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.went_well = True
        return super().dispatch(request, *args, **kwargs)

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.object = self.get_object()
        return super().get(request, *args, **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: str) -> HttpResponse:
        self.object = self.get_object()
        if request.POST.get("seen", "") != self.get_version():
            messages.warning(request, _("Something happened here since you opened the page. Please look again."))
            return HttpResponseRedirect(self.get_back_url())
        if refusal := self.get_refusal():
            messages.warning(request, refusal)
            return HttpResponseRedirect(self.get_back_url())
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        try:
            told = self.perform(form)
        except AlreadyPaid as problem:
            messages.info(self.request, _("Already done: %(why)s") % {"why": problem})
        except OutcomeUnknown:
            logger.info(
                "user %s: %s %s, without an answer of Stripe's",
                self.request.user.pk, type(self).__name__, getattr(self.object, "pk", ""),
                extra={"user": self.request.user.pk},
            )  # fmt: skip
            messages.warning(
                self.request,
                _("Stripe gave no answer. It is looked up by itself within minutes; do not do it a second time."),
            )
        except CheckoutError as problem:
            # Without the sentence, which is for people and may name one.
            logger.info(
                "staff action %s %s refused: %s",
                type(self).__name__,
                getattr(self.object, "pk", ""),
                type(problem).__name__,
                extra={"user": self.request.user.pk},
            )
            form.add_error(None, str(problem))
            self.object = self.get_object()
            return self.render_to_response(self.get_context_data(form=form), status=409)
        else:
            logger.info(
                "user %s: %s %s", self.request.user.pk, type(self).__name__, getattr(self.object, "pk", ""),
                extra={"user": self.request.user.pk},
            )  # fmt: skip
            (messages.success if self.went_well else messages.warning)(self.request, told)
        return HttpResponseRedirect(self.get_success_url())

    def form_invalid(self, form: Any) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form), status=422)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | {
            "object": self.object,
            "question": self.question,
            "button": self.button,
            "way_back": self.way_back,
            "danger": self.danger,
            "facts": self.get_facts(),
            "refusal": self.get_refusal(),
            "seen": self.get_version(),
            "back_url": self.get_back_url(),
        }


def newest_change(row: Model) -> str:
    """The version of something whose moves are written down."""
    changes: Any = row.state_changes  # type: ignore[attr-defined]
    return str(changes.order_by("-pk").values_list("pk", flat=True).first() or 0)
