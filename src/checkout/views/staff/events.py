"""Events of Stripe's that could not be handled, the app's settings, and mails that are sent again."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.generic import FormView

from checkout import clock, selectors
from checkout.conf import DEFAULTS, conf
from checkout.forms import CheckoutSettingsForm, ConfirmForm
from checkout.models import CheckoutSettings, Notice, StripeEvent
from checkout.selectors import Sort
from checkout.services import office
from checkout.views.staff.base import Cell, Column, StaffActionView, StaffListView, StaffMixin, show_time, time_cell


class EventListView(StaffListView):
    permission = "checkout.view_stripeevent"
    menu = "checkout.event.list"
    heading = gettext_lazy("Events not handled")
    intro = gettext_lazy("News from Stripe that could not be worked on yet. It is tried again by itself.")
    empty = gettext_lazy("Every event was handled. All is well.")
    csv_name = "events"
    sorts = [
        Sort("new", gettext_lazy("Newest first"), "pk", descending=True),  # type: ignore[arg-type]
        Sort("old", gettext_lazy("Oldest first"), "pk"),  # type: ignore[arg-type]
    ]

    def get_rows(self) -> QuerySet[StripeEvent]:
        return selectors.events()

    def _event(self, row: StripeEvent) -> Cell:
        url = reverse("checkout.event.retry", args=[row.pk]) if self.can("change_stripeevent") else ""
        return Cell(row.event_type, url=url, small=row.event_id, plain=row.event_id)

    @property
    def columns(self) -> list[Column]:  # type: ignore[override]
        return [
            Column(_("Event"), self._event, header=True),
            Column(_("About"), lambda row: row.object_id),
            Column(_("Received"), lambda row: time_cell(row.received_at)),
            Column(_("Tries"), lambda row: row.attempts, number=True),
            Column(_("Next try"), lambda row: time_cell(row.next_attempt_at)),
            Column(_("What went wrong"), lambda row: row.error),
        ]


class EventRetryView(StaffActionView):
    permission = "checkout.change_stripeevent"
    menu = "checkout.event.list"
    form_class = ConfirmForm
    heading = gettext_lazy("Try this event again")
    question = gettext_lazy("It is put first in the queue, and worked on within a minute.")
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
            (_("Event"), event.event_type),
            (_("About"), event.object_id),
            (_("Received"), show_time(event.received_at)),
            (_("Tries"), event.attempts),
            (_("What went wrong"), event.error),
        ]

    def perform(self, form: Any) -> str:
        StripeEvent.objects.filter(pk=self.object.pk, handled_at=None).update(next_attempt_at=clock.now())
        return _("The event is tried again.")


class NoticeAgainView(StaffActionView):
    permission = "checkout.send_mail"
    form_class = ConfirmForm
    heading = gettext_lazy("Send this mail again")
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
            (_("To"), notice.recipient),
            (_("Mail"), notice.template.replace("_", " ")),
            (_("First sent"), show_time(notice.queued_at)),
        ]

    def perform(self, form: Any) -> str:
        office.send_again(self.object, self.request.user)
        return _("The mail is on its way.")


class SettingsView(StaffMixin, FormView):  # type: ignore[type-arg]
    """What staff decide, and what the developers have set (to read only; no secret is shown)."""

    permission = "checkout.view_checkoutsettings"
    menu = "checkout.settings"
    template_name = "checkout/staff/form.html"
    form_class = CheckoutSettingsForm
    heading = gettext_lazy("Settings")
    SHOWN = (
        "CHECKOUT_CURRENCY",
        "CHECKOUT_NOTIFY",
        "CHECKOUT_NOTIFY_EMAILS",
        "CHECKOUT_LINK_DAYS",
        "CHECKOUT_STALE_MINUTES",
        "CHECKOUT_ON_SESSION_REMINDER_DAYS",
        "CHECKOUT_PAUSE_DISPUTED_PLANS",
        "CHECKOUT_AGREEMENT_VERSION",
        "CHECKOUT_CONTACT_TEXT",
    )

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
            "set_by_developers": [(name, _text(getattr(conf, name))) for name in self.SHOWN if name in DEFAULTS],
        }

    def post(self, request: Any, *args: str, **kwargs: Any) -> HttpResponse:
        if not self.can("change_checkoutsettings"):
            messages.error(request, _("Your login may look at the settings, but not change them."))
            return HttpResponseRedirect(reverse("checkout.settings"))
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        form.save()
        messages.success(self.request, _("Saved."))
        return HttpResponseRedirect(reverse("checkout.settings"))


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(part) for part in value) or _("none")
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return str(value) or _("not set")
