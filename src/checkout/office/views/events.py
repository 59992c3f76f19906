"""Events of Stripe's that could not be handled, the app's settings, and mails that are sent again."""

from __future__ import annotations

import logging
from typing import Any, ClassVar

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext
from django.views.generic import FormView

from checkout import advice
from checkout.conf import conf
from checkout.errors import AlreadyPaid, CheckoutError
from checkout.models import CheckoutSettings, Notice, StripeEvent
from checkout.office import selectors, services
from checkout.office.forms import ConfirmForm
from checkout.office.template_forms import CheckoutSettingsForm
from checkout.office.views import ways_back
from checkout.office.views.base import StaffMixin
from checkout.office.views.cells import Cell, show_time, state_cell, time_cell
from checkout.office.views.lists import Column, StaffListView
from checkout.office.views.staff_actions import StaffActionView
from checkout.services import inbox

logger = logging.getLogger("checkout.staff")


class EventListView(StaffListView):
    permission = "checkout.view_stripeevent"
    menu = "checkout.event.list"
    heading = gettext_lazy("Events not handled")
    intro = gettext_lazy(
        "News from Stripe that could not be worked on yet. It is tried again by itself for three days; after that, put "
        "the cause right and open the event to try it by hand."
    )
    empty = gettext_lazy("Every event was handled. All is well.")
    csv_name = "events"

    def get_rows(self) -> QuerySet[StripeEvent]:
        return selectors.events()

    def _event(self, row: StripeEvent) -> Cell:
        url = reverse("checkout.event.retry", args=[row.pk]) if self.can("change_stripeevent") else ""
        return Cell(
            advice.event_name(row.event_type), url=url, small=f"{row.event_type} {row.event_id}", plain=row.event_id
        )

    @staticmethod
    def _next(row: StripeEvent) -> Cell:
        if row.next_attempt_at is not None:
            return time_cell(row.next_attempt_at)
        return state_cell("fail", _("Given up: try it by hand"))

    @property
    def columns(self) -> list[Column]:  # type: ignore[override]
        return [
            Column(_("Event"), self._event, header=True),
            Column(_("About"), lambda row: row.object_id),
            Column(_("Received"), lambda row: time_cell(row.received_at)),
            Column(_("Tries"), lambda row: row.attempts, number=True),
            Column(_("Next try"), self._next),
            Column(_("What went wrong"), lambda row: row.error),
        ]


class EventRetryView(StaffActionView):
    permission = "checkout.change_stripeevent"
    menu = "checkout.event.list"
    form_class = ConfirmForm
    heading = gettext_lazy("Try this event again")
    way_back = ways_back.NOTHING
    question = gettext_lazy("It is worked on at once. That is safe: what was done already is not done twice.")
    button = gettext_lazy("Try again")
    object: StripeEvent

    def get_object(self) -> StripeEvent:
        return get_object_or_404(StripeEvent, pk=self.kwargs["pk"])

    def get_back_url(self) -> str:
        return reverse("checkout.event.list")

    def get_refusal(self) -> str:
        return _("Already done: this event was handled.") if self.object.handled_at else ""

    def get_facts(self) -> list[tuple[Any, Any]]:
        event = self.object
        return [
            (_("Event"), advice.event_name(event.event_type)),
            (_("Stripe calls it"), f"{event.event_type} {event.event_id}"),
            (_("About"), event.object_id),
            (_("Received"), show_time(event.received_at)),
            (_("Tries"), event.attempts),
            (_("What went wrong"), event.error),
        ]

    def perform(self, form: Any) -> str:
        inbox.try_again(self.object)
        done = inbox.handle(self.object.pk)
        if done is None:
            raise AlreadyPaid(_("somebody else is working on it at this moment."))
        if not done:
            self.object.refresh_from_db()
            raise CheckoutError(_("It failed again: %(why)s") % {"why": self.object.error})
        return _("The event was handled.")


class NoticeAgainView(StaffActionView):
    permission = "checkout.send_mail"
    form_class = ConfirmForm
    heading = gettext_lazy("Send this mail again")
    way_back = ways_back.MAIL
    question = gettext_lazy("The same text goes to the same address once more.")
    button = gettext_lazy("Send it again")
    object: Notice

    def get_object(self) -> Notice:
        rows = Notice.objects.select_related("checkout", "instalment", "customer").exclude(template="staff")
        return get_object_or_404(rows, pk=self.kwargs["pk"])

    def get_version(self) -> str:
        return str(Notice.objects.filter(cause__startswith=f"{self.object.cause}-again-").count())

    def get_back_url(self) -> str:
        notice = self.object
        if notice.instalment is not None:
            return notice.instalment.get_absolute_url()
        if notice.checkout is not None:
            return notice.checkout.get_absolute_url()
        if notice.customer is not None:
            return reverse("checkout.customer.detail", args=[notice.customer.pk])
        return reverse("checkout.list")

    def get_facts(self) -> list[tuple[Any, Any]]:
        notice = self.object
        return [
            (pgettext("of a mail", "To"), notice.recipient),
            (_("Mail"), advice.mail_name(notice.template)),
            (_("First sent"), show_time(notice.queued_at)),
        ]

    def perform(self, form: Any) -> str:
        services.send_again(self.object, self.request.user)
        return _("The mail is on its way.")


class SettingsView(StaffMixin, FormView):  # type: ignore[type-arg]
    """What staff decide, and what the developers have set (to read only; no secret is shown)."""

    permission = "checkout.view_checkoutsettings"
    menu = "checkout.settings"
    template_name = "checkout/staff/form.html"
    form_class = CheckoutSettingsForm
    heading = gettext_lazy("Settings")
    SHOWN: ClassVar[dict[str, Any]] = {
        "CHECKOUT_CURRENCY": gettext_lazy("Currency"),
        "CHECKOUT_NOTIFY_EMAILS": gettext_lazy("Mails to staff go to"),
        "CHECKOUT_NOTIFY": gettext_lazy("When staff are told of payments"),
        "CHECKOUT_LINK_DAYS": gettext_lazy("Days that a link to pay is good for"),
        "CHECKOUT_STALE_MINUTES": gettext_lazy("Minutes after which an abandoned attempt is cancelled"),
        "CHECKOUT_ON_SESSION_REMINDER_DAYS": gettext_lazy("Days between reminders to confirm a payment"),
        "CHECKOUT_SECOND_PERSON_ABOVE": gettext_lazy("Above this a second person approves"),
        "CHECKOUT_PAUSE_DISPUTED_PLANS": gettext_lazy("A dispute pauses its plan"),
        "CHECKOUT_AGREEMENT_VERSION": gettext_lazy("Version of the wording that payers agree to"),
        "CHECKOUT_CONTACT_TEXT": gettext_lazy("How payers reach you"),
    }

    def get_form_kwargs(self) -> dict[str, Any]:
        return super().get_form_kwargs() | {"instance": CheckoutSettings.objects.settings}

    def get_form(self, form_class: Any = None) -> Any:
        form = super().get_form(form_class)
        if not self.can("change_checkoutsettings"):
            for field in form.fields.values():
                field.disabled = True
        return form

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | {
            "button": _("Save") if self.can("change_checkoutsettings") else "",
            "set_by_developers": [(words, name, _text(getattr(conf, name))) for name, words in self.SHOWN.items()],
        }

    def post(self, request: Any, *args: str, **kwargs: Any) -> HttpResponse:
        if not self.can("change_checkoutsettings"):
            messages.error(request, _("Your login may look at the settings, but not change them."))
            return HttpResponseRedirect(reverse("checkout.settings"))
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        form.save()
        logger.info(
            "user %s changed the settings: %s", self.request.user.pk, ", ".join(form.changed_data) or "nothing",
            extra={"user": self.request.user.pk},
        )  # fmt: skip
        messages.success(self.request, _("Saved."))
        return HttpResponseRedirect(reverse("checkout.settings"))


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(part) for part in value) or _("none")
    if value is None:
        return _("none")
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return str(value) or _("not set")
