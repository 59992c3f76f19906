"""Django's admin for every table: for looking. What moves money is done on the staff pages, through the services.

Rows about money cannot be added, changed or deleted here, whatever the permissions: a state set by hand would be a
claim that Stripe does not back. What staff may edit (templates, settings, a customer's name) is kept by Django's own
log of changes, which is on every such page under "History"; a second history of the same edits would only differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.utils import dates
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from checkout.errors import CheckoutError
from checkout.models import (
    Agreement,
    Allocation,
    BalanceTransaction,
    BookDifference,
    BookMonth,
    BookNote,
    BulkItem,
    BulkJob,
    Checkout,
    CheckoutAction,
    CheckoutAdditional,
    CheckoutSettings,
    CheckoutState,
    Customer,
    CustomerPayment,
    Debt,
    Dispute,
    FollowUp,
    Forecast,
    Letter,
    LookBack,
    Notice,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    Paper,
    PaperSeries,
    PaymentPlan,
    PaymentRun,
    PaymentRunItem,
    Payout,
    PlanChange,
    Posting,
    Problem,
    Proposal,
    RecoveryPolicy,
    RecoveryStep,
    Refund,
    RunDay,
    RunRelease,
    RunReleaseLine,
    SavedCard,
    ScheduledJob,
    StateChange,
    StripeCustomer,
    StripeEvent,
)
from checkout.office import pages
from checkout.services import fulfillment, inbox, refunds

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
    _TabularInline = admin.TabularInline[Any, Any]
    _Paginator = Paginator[Any]
    _PolicyForm = forms.ModelForm[RecoveryPolicy]
else:
    # Django's own classes have no subscript at run time.
    _ModelAdmin, _TabularInline, _Paginator = admin.ModelAdmin, admin.TabularInline, Paginator
    _PolicyForm = forms.ModelForm


class BoundedPaginator(_Paginator):
    """Counts no further than the office does: counting a million rows takes longer than the page."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[: pages.COUNTED * 10].count())


class LookAdmin(_ModelAdmin):
    """To read only. Lists join what they show, and choose nothing from tables that may hold a million rows."""

    paginator = BoundedPaginator
    show_full_result_count = False
    list_per_page = 50
    ordering = ("-pk",)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description=gettext_lazy("staff page"))
    def office(self, row: Any) -> SafeString | str:
        url = getattr(row, "get_absolute_url", None)
        return format_html('<a href="{}">{}</a>', url(), _("open")) if url is not None else ""


class StateChangeInline(_TabularInline):
    model = StateChange
    fk_name = "checkout"
    fields = readonly_fields = ("at", "from_state", "to_state", "user", "reason")
    extra = 0
    can_delete = False

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        return super().get_queryset(request).select_related("user")

    @admin.display(description=gettext_lazy("reason"))
    def reason(self, row: StateChange) -> str:
        return row.reason_text

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Checkout)
class CheckoutAdmin(LookAdmin):
    list_display = ("pk", "action", "state", "payer", "total", "currency", "created_at", "office")
    list_filter = ("action", "state")
    list_select_related = ("action", "state")
    search_fields = ("=payment_intent_id", "=setup_intent_id", "=pk")
    inlines = (StateChangeInline,)
    actions = ("ask_stripe",)

    @admin.action(description=gettext_lazy("Ask Stripe about these, and settle what it says"), permissions=["view"])
    def ask_stripe(self, request: HttpRequest, rows: models.QuerySet[Checkout]) -> None:
        settled = 0
        for checkout in rows[:50]:
            try:
                settled += fulfillment.fulfill(checkout, request.user).state_id != checkout.state_id
            except CheckoutError as problem:
                messages.error(request, f"{checkout.pk}: {problem}")
        text = ngettext("%(number)d changed.", "%(number)d changed.", settled) % {"number": settled}
        messages.info(request, text)


@admin.register(ObjectPaymentPlan)
class ObjectPaymentPlanAdmin(LookAdmin):
    list_display = ("pk", "customer", "payment_plan", "total", "currency", "deleted", "paused", "office")
    list_filter = ("deleted", "paused")
    list_select_related = ("customer", "payment_plan")
    search_fields = ("=object_id", "=pk")


@admin.register(ObjectPaymentPlanInstalment)
class ObjectPaymentPlanInstalmentAdmin(LookAdmin):
    list_display = ("pk", "object_payment_plan", "count", "deposit", "amount", "due", "state", "office")
    list_filter = ("state", "deposit")
    list_select_related = ("object_payment_plan__payment_plan", "state")
    search_fields = ("=pk",)


class RecoveryPolicyForm(_PolicyForm):
    """Weekdays are ticked, not typed."""

    weekdays = forms.TypedMultipleChoiceField(
        label=gettext_lazy("Weekdays"),
        coerce=int,
        choices=[(number + 1, dates.WEEKDAYS[number]) for number in range(7)],
        widget=forms.CheckboxSelectMultiple,
    )

    class Meta:
        model = RecoveryPolicy
        fields = ("name", "days", "pay_day", "pay_day_is", "weekdays", "hour", "end", "end_after")


@admin.register(RecoveryPolicy)
class RecoveryPolicyAdmin(_ModelAdmin):
    """What is tried by itself from now on; tries that are planned stay as they are."""

    list_display = ("name", "days", "pay_day", "pay_day_is", "weekdays", "hour", "end", "end_after")
    form = RecoveryPolicyForm


@admin.register(RecoveryStep)
class RecoveryStepAdmin(LookAdmin):
    list_display = ("pk", "instalment", "day", "number", "most", "policy", "ended")
    list_filter = ("ended",)
    list_select_related = ("instalment",)


@admin.register(FollowUp)
class FollowUpAdmin(LookAdmin):
    list_display = ("pk", "instalment", "promised_for", "snoozed_until", "done_at", "note")
    list_select_related = ("instalment",)


@admin.register(Forecast)
class ForecastAdmin(LookAdmin):
    list_display = ("month", "currency", "expected", "shaky", "read_at")


@admin.register(Customer)
class CustomerAdmin(LookAdmin):
    """The name may be corrected; the rest is Stripe's."""

    list_display = ("pk", "name", "email", "language", "created_at")
    search_fields = ("=email", "=at_stripe__stripe_customer_id")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("checkout.change_customer"))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [field.name for field in Customer._meta.fields if field.name != "name"]


@admin.register(StripeCustomer)
class StripeCustomerAdmin(LookAdmin):
    list_display = ("pk", "customer", "stripe_customer_id", "account", "livemode", "gone")
    list_filter = ("livemode", "gone")
    list_select_related = ("customer",)
    search_fields = ("=customer__email", "=stripe_customer_id")


@admin.register(SavedCard)
class SavedCardAdmin(LookAdmin):
    list_display = ("pk", "customer", "brand", "last4", "expiry_date", "refresh", "gone", "replaced")
    list_filter = ("refresh", "gone", "replaced")
    list_select_related = ("customer",)
    search_fields = ("=customer__email", "=payment_method_id")


@admin.register(Debt)
class DebtAdmin(LookAdmin):
    list_display = ("pk", "uuid", "owed", "paid", "asked", "currency", "attempts")
    search_fields = ("=uuid", "=object_id")


@admin.register(Posting)
class PostingAdmin(LookAdmin):
    list_display = ("pk", "debt_id", "kind", "amount", "day", "cause", "user")
    list_filter = ("kind",)
    list_select_related = ("user",)
    search_fields = ("=cause",)


@admin.register(Allocation)
class AllocationAdmin(LookAdmin):
    list_display = ("pk", "checkout", "debt", "amount")
    list_select_related = ("checkout__action", "debt")
    search_fields = ("=checkout__pk",)


@admin.register(Problem)
class ProblemAdmin(LookAdmin):
    list_display = ("pk", "kind", "subject", "amount", "currency", "opened_at", "closed_at", "owner")
    list_filter = ("kind",)
    list_select_related = ("owner",)
    search_fields = ("=subject",)


@admin.register(PlanChange)
class PlanChangeAdmin(LookAdmin):
    list_display = ("pk", "plan", "number", "kind", "by", "state", "favours_payer", "user", "at")
    list_filter = ("kind", "state")
    list_select_related = ("plan__payment_plan", "user")


@admin.register(Proposal)
class ProposalAdmin(LookAdmin):
    list_display = ("pk", "kind", "amount", "currency", "state", "proposed_by", "proposed_at", "decided_by")
    list_filter = ("kind", "state")
    list_select_related = ("proposed_by", "decided_by")


@admin.register(BulkJob)
class BulkJobAdmin(LookAdmin):
    list_display = ("pk", "kind", "reason", "user", "made_at", "finished_at")
    list_filter = ("kind",)
    list_select_related = ("user",)


@admin.register(BulkItem)
class BulkItemAdmin(LookAdmin):
    list_display = ("pk", "job_id", "plan_id", "instalment_id", "outcome", "note", "ended_at")
    list_filter = ("outcome",)


@admin.register(LookBack)
class LookBackAdmin(LookAdmin):
    list_display = ("pk", "account", "livemode", "until")


@admin.register(Payout)
class PayoutAdmin(LookAdmin):
    list_display = ("pk", "payout_id", "amount", "currency", "status", "automatic", "arrival_on", "held_at")
    list_filter = ("status", "automatic", "livemode")
    search_fields = ("=payout_id", "=trace_id")


@admin.register(BalanceTransaction)
class BalanceTransactionAdmin(LookAdmin):
    list_display = ("pk", "transaction_id", "type", "amount", "fee", "net", "currency", "day", "state", "payout_id")
    list_filter = ("state", "type", "livemode")
    search_fields = ("=transaction_id", "=source_id", "=payment_intent_id")


@admin.register(BookDifference)
class BookDifferenceAdmin(LookAdmin):
    list_display = ("pk", "kind", "subject", "amount", "currency", "day", "how", "closed_at")
    list_filter = ("kind", "how")
    search_fields = ("=subject", "=cause")


@admin.register(BookNote)
class BookNoteAdmin(LookAdmin):
    list_display = ("pk", "difference_id", "how", "amount", "user", "note", "at")
    list_select_related = ("user",)


@admin.register(BookMonth)
class BookMonthAdmin(LookAdmin):
    list_display = ("pk", "month", "account", "livemode", "lines", "sha256", "closed_at", "closed_by")
    list_select_related = ("closed_by",)
    exclude = ("day_book",)


@admin.register(CustomerPayment)
class CustomerPaymentAdmin(LookAdmin):
    list_display = ("pk", "customer", "description", "total", "currency", "state", "office")
    list_filter = ("state",)
    list_select_related = ("customer", "state")


@admin.register(Refund)
class RefundAdmin(LookAdmin):
    list_display = ("pk", "checkout_id", "amount", "currency", "state", "from_dashboard", "requested_by", "created_at")
    list_filter = ("state", "from_dashboard")
    list_select_related = ("requested_by",)
    search_fields = ("=refund_id", "=pk")
    actions = ("ask_stripe",)

    @admin.action(description=gettext_lazy("Ask Stripe about these, and settle what it says"), permissions=["view"])
    def ask_stripe(self, request: HttpRequest, rows: models.QuerySet[Refund]) -> None:
        for row in rows.select_related("checkout")[:50]:
            try:
                refunds.resolve(row)
            except CheckoutError as problem:
                messages.error(request, f"{row.pk}: {problem}")


@admin.register(Dispute)
class DisputeAdmin(LookAdmin):
    list_display = ("pk", "kind", "status", "reason", "amount", "currency", "due_by", "is_open")
    list_filter = ("kind", "is_open")


@admin.register(PaymentRun)
class PaymentRunAdmin(LookAdmin):
    list_display = ("pk", "started_at", "finished_at", "user", "note")
    list_select_related = ("user",)


@admin.register(PaymentRunItem)
class PaymentRunItemAdmin(LookAdmin):
    list_display = ("pk", "payment_run_id", "instalment_id", "checkout_id", "outcome")
    list_filter = ("outcome",)


@admin.register(RunRelease)
class RunReleaseAdmin(LookAdmin):
    list_display = ("pk", "day", "currency", "count", "total", "state", "asked_by", "decided_by")
    list_select_related = ("asked_by", "decided_by")
    list_filter = ("state",)


@admin.register(RunReleaseLine)
class RunReleaseLineAdmin(LookAdmin):
    list_display = ("pk", "release_id", "instalment_id", "amount")


@admin.register(RunDay)
class RunDayAdmin(LookAdmin):
    list_display = ("day", "currency", "claimed")


@admin.register(StripeEvent)
class StripeEventAdmin(LookAdmin):
    list_display = ("pk", "event_type", "event_id", "received_at", "attempts", "handled_at")
    search_fields = ("=event_id", "=object_id")
    actions = ("try_again",)

    @admin.action(description=gettext_lazy("Try these again"), permissions=["retry"])
    def try_again(self, request: HttpRequest, rows: models.QuerySet[StripeEvent]) -> None:
        waiting = list(rows.filter(handled_at=None)[:50])
        for row in waiting:
            inbox.try_again(row)
        number = len(waiting)
        messages.info(
            request, ngettext("%(number)d is tried again.", "%(number)d are tried again.", number) % {"number": number}
        )

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("checkout.change_stripeevent"))


@admin.register(Notice)
class NoticeAdmin(LookAdmin):
    list_display = ("pk", "template", "recipient", "queued_at")
    search_fields = ("=cause", "=recipient")


@admin.register(Letter)
class LetterAdmin(LookAdmin):
    list_display = ("pk", "kind", "asked_at", "write_after", "ended_at", "outcome")
    search_fields = ("=cause",)


@admin.register(StateChange)
class StateChangeAdmin(LookAdmin):
    list_display = ("pk", "at", "from_state", "to_state", "user", "reason")
    list_select_related = ("user",)

    @admin.display(description=gettext_lazy("reason"))
    def reason(self, row: StateChange) -> str:
        return row.reason_text


@admin.register(Agreement)
class AgreementAdmin(LookAdmin):
    list_display = ("pk", "checkout_id", "version", "total", "currency", "agreed_at")


@admin.register(CheckoutAdditional)
class CheckoutAdditionalAdmin(LookAdmin):
    list_display = ("pk", "checkout_id", "company_name", "contact_name", "email", "phone")


@admin.register(Paper)
class PaperAdmin(LookAdmin):
    list_display = ("pk", "series", "number", "checkout_id", "issued_at")
    list_filter = ("series",)


@admin.register(PaperSeries)
class PaperSeriesAdmin(LookAdmin):
    list_display = ("name", "last")
    ordering = ("name",)


@admin.register(ScheduledJob)
class ScheduledJobAdmin(LookAdmin):
    list_display = ("name", "last_started_at", "last_succeeded_at", "last_error")
    ordering = ("name",)


@admin.register(CheckoutState, CheckoutAction)
class LookupAdmin(LookAdmin):
    list_display = ("slug", "name")
    ordering = ("slug",)


@admin.register(PaymentPlan)
class PaymentPlanAdmin(_ModelAdmin):
    """Terms that are in use are frozen; the model refuses, and the form does not offer it."""

    list_display = ("name", "slug", "deposit", "count", "interval", "deleted")
    list_filter = ("deleted",)
    readonly_fields = ("created_at",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        frozen = PaymentPlan.FROZEN if obj is not None and obj.in_use else ()
        return (*self.readonly_fields, *frozen)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # "No longer offered" is a tick; a deleted row would take the terms of old plans with it.
        return False


@admin.register(CheckoutSettings)
class CheckoutSettingsAdmin(_ModelAdmin):
    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        # The one row is made when it is first asked for.
        CheckoutSettings.objects.settings  # noqa: B018
        return super().changelist_view(request, extra_context)
