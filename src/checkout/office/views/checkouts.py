"""Checkouts: all of them, the successes, what needs looking at, and the story of one."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from checkout import actions, advice, states
from checkout.conf import conf, is_live_key
from checkout.errors import AlreadyPaid
from checkout.journal import Code, Why
from checkout.models import Checkout, CustomerPayment, ObjectPaymentPlanInstalment, Proposal
from checkout.office import proposals, search, selectors, stories, sums
from checkout.office.forms import ConfirmForm, ReasonForm
from checkout.office.money_forms import MeansForm
from checkout.office.pages import Sort
from checkout.office.views import undoing, ways_back
from checkout.office.views.base import StaffPageView
from checkout.office.views.cells import Cell, money_cell, show_money, show_time, state_cell, time_cell
from checkout.office.views.lists import CURRENCY, Column, Filter, StaffListView, Tab
from checkout.office.views.staff_actions import StaffActionView, newest_change
from checkout.services import fulfillment, intents, numbering, reconcile, refunds


def number_cell(checkout: Checkout) -> Cell:
    return Cell(f"{checkout.pk}", url=checkout.get_absolute_url(), plain=checkout.pk)


def _what(checkout: Checkout) -> Cell:
    first, *others = checkout.description_lines or [""]
    return Cell(first, small=", ".join(others), plain=", ".join(checkout.description_lines))


def payer_cell(checkout: Checkout, small: str = "") -> Cell:
    """The name, and the address small beneath it."""
    name, bracket, email = checkout.payer.partition(" <")
    return Cell(name, small=small or (email.rstrip(">") if bracket else ""), plain=checkout.payer)


def attempt_cell(checkout: Checkout) -> Cell:
    colour, name = advice.attempt_state(checkout)
    return Cell(name, state=colour, plain=checkout.state_id)


def _since(rows: QuerySet[Any], day: Any) -> QuerySet[Any]:
    return rows.filter(created_at__gte=stories.start_of(day))


def _until(rows: QuerySet[Any], day: Any) -> QuerySet[Any]:
    return rows.filter(created_at__lt=stories.start_of(day + timedelta(days=1)))


COLUMNS = [
    Column(gettext_lazy("Number"), number_cell, header=True),
    Column(gettext_lazy("Payer"), payer_cell),
    Column(gettext_lazy("What for"), _what),
    Column(gettext_lazy("Kind"), lambda row: actions.name_of(row.action_id)),
    Column(gettext_lazy("Amount"), lambda row: money_cell(row.total, row.currency), number=True),
    Column(gettext_lazy("State"), attempt_cell),
    Column(gettext_lazy("Begun"), lambda row: time_cell(row.created_at)),
    CURRENCY,
]

FILTERS = [
    Filter(
        "action",
        gettext_lazy("Kind"),
        lambda rows, value: rows.filter(action=value),
        [(slug, gettext_lazy(name)) for slug, (name, _payment) in actions.ACTIONS.items()],
    ),
    Filter("since", gettext_lazy("From"), _since, is_date=True),
    Filter("until", gettext_lazy("To"), _until, is_date=True),
]


class CheckoutListView(StaffListView):
    permission = "checkout.view_checkout"
    menu = "checkout.list"
    heading = gettext_lazy("Checkouts")
    intro = gettext_lazy("Every attempt to take money or to save a card.")
    empty = gettext_lazy("Nobody has tried to pay yet.")
    filters = [
        *FILTERS,
        Filter(
            "state",
            gettext_lazy("State"),
            lambda rows, value: rows.filter(Q(state=value)),
            list(advice.STATE_NAMES.items()),
        ),
    ]
    find = staticmethod(search.find_checkouts)
    search_hint = gettext_lazy("Name, e-mail address, number, or an id of Stripe's")
    csv_name = "checkouts"

    def get_rows(self) -> QuerySet[Checkout]:
        return Checkout.objects.all()

    def prepare(self, rows: list[Any]) -> None:
        self.moved = sums.of_attempts(row.pk for row in rows)

    def _sums(self, checkout: Checkout) -> sums.Sums:
        return self.moved.get(checkout.pk, sums.NOTHING)

    def _kept(self, checkout: Checkout) -> Cell:
        """What is in of it now, and small what went back."""
        moved, currency = self._sums(checkout), checkout.currency
        small = _("%(amount)s went back") % {"amount": show_money(moved.back, currency)} if moved.back else ""
        return money_cell(moved.kept if moved.came else None, currency, small=small)

    @property
    def columns(self) -> list[Column]:  # type: ignore[override]
        return [
            *COLUMNS[:6],
            Column(
                _("Came"),
                lambda row: money_cell(self._sums(row).came or None, row.currency),
                number=True,
                only_csv=True,
            ),
            Column(
                _("Went back"),
                lambda row: money_cell(self._sums(row).back or None, row.currency),
                number=True,
                only_csv=True,
            ),
            Column(_("Paid, net"), self._kept, number=True),
            *COLUMNS[6:],
        ]

    def sort(self) -> Sort:
        """Between two days, by the moment: the same order, and the days are then a piece of one index."""
        chosen = super().sort()
        if not (self.request.GET.get("since") or self.request.GET.get("until")):
            return chosen
        return dataclasses.replace(chosen, column="created_at")

    def get_tabs(self) -> list[Tab]:
        names = [
            ("checkout.list", _("All")),
            ("checkout.list.success", _("Paid")),
            ("checkout.list.invoice", _("Unpaid invoices")),
            ("checkout.list.audit", _("To look at")),
        ]
        here = self.request.resolver_match
        current = here.url_name if here else ""
        return [Tab(reverse(name), text, name == current) for name, text in names]


class CheckoutSuccessListView(CheckoutListView):
    heading = gettext_lazy("Payments")
    intro = gettext_lazy(
        "Every payment by which money came. Paid, net is what came of it less what was given back to its payer or "
        "taken back by a bank."
    )
    empty = gettext_lazy("Nothing was paid yet.")
    filters = [
        dataclasses.replace(
            FILTERS[0], choices=[pair for pair in FILTERS[0].choices if pair[0] in actions.TAKES_MONEY]
        ),
        *FILTERS[1:],
    ]
    csv_name = "checkouts-success"

    def get_rows(self) -> QuerySet[Checkout]:
        return Checkout.objects.success().taking_money()


class CheckoutInvoiceListView(CheckoutListView):
    heading = gettext_lazy("Unpaid invoices")
    intro = gettext_lazy("Invoices that were asked for, and that nothing has come for yet.")
    empty = gettext_lazy("No invoice waits for its money.")
    filters = FILTERS[1:]
    csv_name = "unpaid-invoices"

    def get_rows(self) -> QuerySet[Checkout]:
        return selectors.unpaid_invoices()


class CheckoutAuditListView(CheckoutListView):
    menu = "checkout.list.audit"
    heading = gettext_lazy("To look at")
    intro = gettext_lazy("What is owed and failed or waits, one row for each: why, and what to do next.")
    empty = gettext_lazy("Nothing failed and nothing waits. All is well.")
    columns = [
        COLUMNS[0],
        Column(gettext_lazy("Payer"), lambda row: payer_cell(row, small=", ".join(row.description_lines))),
        Column(gettext_lazy("Amount"), lambda row: money_cell(row.total, row.currency), number=True),
        Column(gettext_lazy("State"), lambda row: state_cell(row.state_id)),
        Column(gettext_lazy("Why"), lambda row: advice.advise(row).why),
        Column(gettext_lazy("What next"), lambda row: advice.advise(row).next_step),
        *COLUMNS[-2:],
    ]
    filters = [
        Filter(
            "state",
            gettext_lazy("State"),
            lambda rows, value: rows.filter(Q(state=value)),
            [(slug, name) for slug, name in advice.STATE_NAMES.items() if slug != states.SUCCESS],
        ),
        *FILTERS[1:],
    ]
    csv_name = "checkouts-to-look-at"

    def get_rows(self) -> QuerySet[Checkout]:
        return selectors.to_look_at()

    def prepare(self, rows: list[Any]) -> None:
        """None of its cells says what came."""

    def get_actions(self) -> list[dict[str, str]]:
        number = proposals.waiting().count() if self.can("view_proposal") else 0
        if not number:
            return []
        text = ngettext("%(number)d waits for a second person", "%(number)d wait for a second person", number)
        return [{"url": reverse("checkout.proposal.list"), "text": text % {"number": number}}]


def stripe_url(object_id: str) -> str:
    """Where Stripe's dashboard shows this; empty for the emulator and without an id."""
    if not object_id or conf.CHECKOUT_STRIPE_API_BASE or conf.CHECKOUT_STRIPE_HTTP_CLIENT:
        return ""
    kind = {"pi": "payments", "seti": "setup_intents", "cus": "customers", "du": "disputes", "dp": "disputes"}
    folder = kind.get(object_id.split("_", 1)[0])
    mode = "" if is_live_key(conf.STRIPE_SECRET_KEY) else "test/"
    return f"https://dashboard.stripe.com/{mode}{folder}/{object_id}" if folder else ""


def find(uuid: Any) -> Checkout:
    rows = Checkout.objects.select_related("action", "state", "customer", "user", "payment_plan", "content_type")
    return get_object_or_404(rows, uuid=uuid)


def _pays_for(checkout: Checkout) -> list[tuple[Any, Any, str]]:
    """What each line gets of a payment that is for several, with the line's page."""
    if not checkout.allocated:
        return []
    parts = checkout.allocations.select_related("debt__instalment")
    return [
        (
            _("For instalment %(number)d") % {"number": part.debt.instalment.count - 1},
            show_money(part.amount, checkout.currency),
            part.debt.instalment.get_absolute_url(),
        )
        for part in parts
    ]


def _in_one_visit(checkout: Checkout) -> list[tuple[Any, Any, str]]:
    """The two attempts of a plan whose deposit was paid while the card was saved."""
    plan, deposit = checkout.begun_by, Checkout.objects.filter(begun_by=checkout).first()
    return [
        (label, _("Checkout %(number)d") % {"number": other.pk}, other.get_absolute_url())
        for label, other in ((_("Plan agreed with"), plan), (_("Deposit paid with"), deposit))
        if other is not None
    ]


def subject_url(checkout: Checkout) -> str:
    """What was paid for: its staff page where it is ours, else what the host's row says."""
    content_object = checkout.content_object
    url = getattr(content_object, "get_absolute_url", None)
    return str(url()) if url is not None else ""


class CheckoutDetailView(StaffPageView):
    template_name = "checkout/staff/checkout_detail.html"
    permission = "checkout.view_checkout"
    menu = "checkout.list"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        checkout = find(self.kwargs["uuid"])
        told = advice.advise(checkout)
        moved = sums.of_attempts([checkout.pk]).get(checkout.pk, sums.NOTHING)
        self.heading = _("Checkout %(number)d") % {"number": checkout.pk}
        return super().get_context_data(**kwargs) | {
            "checkout": checkout,
            "payer": payer_cell(checkout).text,
            "amount": show_money(checkout.total, checkout.currency),
            "state": attempt_cell(checkout),
            "back": show_money(moved.back, checkout.currency) if moved.back else "",
            "kept": show_money(moved.kept, checkout.currency) if moved.back else "",
            "advice": told if told.why else None,
            "facts": self._facts(checkout),
            "address": checkout.invoice_data,
            "agreement": getattr(checkout, "agreement", None),
            "story": stories.checkout_story(checkout),
            "refunds": [
                {"refund": row, "amount": show_money(row.amount, row.currency)}
                for row in checkout.refunds.select_related("requested_by")
            ],
            "disputes": list(checkout.disputes.all()),
            "others": list(
                selectors.checkouts()
                .filter(content_type=checkout.content_type_id, object_id=checkout.object_id)
                .exclude(pk=checkout.pk)
                .order_by("-pk")[:20]
            ),
            "actions": self._actions(checkout),
        }

    def _facts(self, checkout: Checkout) -> list[tuple[Any, Any, str]]:
        return [
            (_("Payer"), checkout.payer, ""),
            (_("What for"), ", ".join(checkout.description_lines), subject_url(checkout)),
            *_pays_for(checkout),
            *_in_one_visit(checkout),
            (
                _("Customer"),
                checkout.customer or "",
                reverse("checkout.customer.detail", args=[checkout.customer_id]) if checkout.customer_id else "",
            ),
            (_("Begun"), show_time(checkout.created_at), ""),
            (_("Settled"), show_time(checkout.settled_at) if checkout.settled_at else "", ""),
            (_("Undone"), show_time(checkout.undone_at) if checkout.undone_at else "", ""),
            (_("Begun by"), checkout.user or "", ""),
            (_("At Stripe"), checkout.intent_id, stripe_url(checkout.intent_id)),
            (_("Stripe's code"), " / ".join(filter(None, [checkout.error_code, checkout.decline_code])), ""),
        ]

    def _actions(self, checkout: Checkout) -> list[dict[str, Any]]:
        uuid, is_open, owed = checkout.uuid, checkout.is_open, checkout.content_object
        # What is owed is charged again, asked for or marked as paid on a page of its own.
        page = owed.get_absolute_url() if isinstance(owed, ObjectPaymentPlanInstalment | CustomerPayment) else ""
        owed_text = _("Open the request") if isinstance(owed, CustomerPayment) else _("Open the instalment")
        to_pay = checkout.is_invoice and checkout.succeeded
        receipt, invoice = numbering.has_receipt(checkout), numbering.has_invoice(checkout)
        return self.offer(
            ("", page, owed_text, bool(page) and not checkout.succeeded),
            ("refund", reverse("checkout.refund.create", args=[uuid]), _("Refund"), not refunds.why_not(checkout)),
            ("", reverse("checkout.look", args=[uuid]), _("Ask Stripe now"), is_open and bool(checkout.intent_id)),
            ("cancel_attempt", reverse("checkout.cancel", args=[uuid]), _("Cancel this attempt"), is_open),
            ("settle_by_hand", reverse("checkout.invoice.paid", args=[uuid]), _("Mark as paid"), to_pay),
            *(undoing.offers(checkout) if checkout.is_manual and checkout.undone_at is None else []),
            ("", reverse("checkout.receipt", args=[uuid]), _("Receipt"), receipt),
            ("", reverse("checkout.invoice.paper", args=[uuid]), _("Invoice"), invoice),
        )


class _CheckoutActionView(StaffActionView):
    menu = "checkout.list"
    object: Checkout

    def get_object(self) -> Checkout:
        return find(self.kwargs["uuid"])

    def get_version(self) -> str:
        return newest_change(self.object)

    def get_facts(self) -> list[tuple[Any, Any]]:
        checkout = self.object
        return [
            (_("Payer"), checkout.payer),
            (_("What for"), ", ".join(checkout.description_lines)),
            (_("Amount"), show_money(checkout.total, checkout.currency)),
            (_("State"), advice.STATE_NAMES[checkout.state_id or ""]),
        ]


class CheckoutCancelView(_CheckoutActionView):
    permission = "checkout.cancel_attempt"
    heading = gettext_lazy("Cancel this attempt")
    way_back = gettext_lazy("It cannot be undone; the payer can begin anew.")
    question = gettext_lazy("It is cancelled at Stripe first. If it turns out to be paid, it is kept as paid.")
    button = gettext_lazy("Cancel the attempt")
    danger = True

    def get_refusal(self) -> str:
        return "" if self.object.is_open else _("Already done: this attempt is not open any more.")

    def perform(self, form: ReasonForm) -> str:
        why = Why(Code.CANCELLED_BY_STAFF, note=form.cleaned_data["reason"])
        closed = intents.close(self.object, why=why, user=self.request.user)
        if closed.succeeded:
            raise AlreadyPaid(_("it was paid meanwhile, and is kept as paid."))
        return _("The attempt was cancelled. Nothing was taken.")


class CheckoutLookView(_CheckoutActionView):
    """Brings Stripe's truth about one attempt: changes nothing that Stripe does not say."""

    permission = "checkout.view_checkout"
    form_class = ConfirmForm
    heading = gettext_lazy("Ask Stripe now")
    way_back = ways_back.NOTHING
    question = gettext_lazy("What Stripe says about this attempt is brought into the books. Nothing is taken by this.")
    button = gettext_lazy("Ask Stripe")

    def get_refusal(self) -> str:
        return "" if self.object.is_open else _("Nothing to ask: this attempt is settled.")

    def perform(self, form: Any) -> str:
        checkout = self.object
        if checkout.state_id == states.REQUEST and not checkout.on_session:
            checkout = reconcile.resolve(checkout)
        else:
            checkout = fulfillment.fulfill(checkout, self.request.user)
        return _("Stripe was asked. State: %(state)s.") % {"state": advice.STATE_NAMES[checkout.state_id or ""]}


class InvoicePaidView(_CheckoutActionView):
    permission = "checkout.settle_by_hand"
    form_class = MeansForm
    heading = gettext_lazy("The invoice was paid")
    way_back = ways_back.PAID
    question = gettext_lazy("The debt is marked as paid by other means. No card is charged.")
    button = gettext_lazy("Mark as paid")

    def get_refusal(self) -> str:
        return proposals.refusal(self.object) if self.object.is_invoice else _("This is not an invoice.")

    def get_facts(self) -> list[tuple[Any, Any]]:
        return [*super().get_facts(), *proposals.limit_fact()]

    def perform(self, form: MeansForm) -> str:
        reason = form.cleaned_data["reason"]
        done = proposals.do_or_propose(
            Proposal.Kind.PAID, self.object, None, self.request.user, reason, means=form.means
        )
        if isinstance(done, Proposal):
            self.went_well = False
            return proposals.told(done)
        return _("Marked as paid.")
