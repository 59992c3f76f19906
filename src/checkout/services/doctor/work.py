"""Does anything wait that should have been done by now: events, attempts, books, the last run?"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from checkout import clock, money, states
from checkout.conf import conf, is_live_key, webhook_secrets
from checkout.gateway import API_VERSION
from checkout.models import (
    BookDifference,
    Checkout,
    Dispute,
    LookBack,
    ObjectPaymentPlanInstalment,
    PaymentRun,
    PaymentRunItem,
    Problem,
    Refund,
    StripeEvent,
)
from checkout.services import booking, disputes, ending, inbox, plans, reconcile, refunds, stale
from checkout.services.doctor.findings import LONG, Finding, Level, age, moment, skipped

#: A bank's date so near wants somebody today.
ANSWER_SOON: Final = timedelta(days=3)


def check_events() -> Iterator[Finding]:
    if not webhook_secrets():
        yield skipped("events", _("without CHECKOUT_WEBHOOK_SECRET none comes."))
        return
    now = clock.now()
    given_up = inbox.given_up().count()
    if given_up:
        do = _("Each holds its error (Staff > Events). Fix the cause and try them again.")
        message = ngettext(
            "%(number)d webhook event failed to the end.", "%(number)d webhook events failed to the end.", given_up
        ) % {"number": given_up}
        yield Finding("events", Level.ERROR, message, do)
    waiting = StripeEvent.objects.filter(handled_at=None, next_attempt_at__isnull=False)
    oldest = waiting.order_by("pk").first()
    if oldest is not None and oldest.received_at < now - LONG:
        message = _("The oldest unprocessed webhook event came %(age)s ago: %(event)s.")
        message %= {"age": age(now - oldest.received_at), "event": oldest}
        do = _("Does `process_events` run?")
        if oldest.error:
            do = _("It says: %(error)s") % {"error": oldest.error.splitlines()[0]}
        yield Finding("events", Level.ERROR, message, do)
    newest = StripeEvent.objects.exclude(event_type="checkout.doctor").order_by("-pk").first()
    paid = Checkout.objects.filter(Q(state=states.SUCCESS), settled_at__lt=now - LONG).exclude(payment_intent_id="")
    last_paid = paid.order_by("-settled_at").values_list("settled_at", flat=True).first()
    if last_paid is not None and (newest is None or newest.received_at < last_paid - LONG):
        message = _("No webhook ever came, although payments were made.")
        if newest is not None:
            message = _("No webhook came since %(when)s, although payments were made.")
            message %= {"when": moment(newest.received_at)}
        do = _("Look at the endpoint in Stripe's dashboard: it lists every delivery and our answer.")
        yield Finding("events", Level.ERROR, message, do)
    if newest is not None and newest.api_version and newest.api_version != API_VERSION:
        message = _("Webhooks come in version %(theirs)s, this app reads %(ours)s.")
        message %= {"theirs": newest.api_version, "ours": API_VERSION}
        yield Finding("events", Level.WARNING, message, _("Make a new endpoint at Stripe with that version."))


def check_attempts() -> Iterator[Finding]:
    now = clock.now()
    asked = reconcile.overdue().filter(lease_until__lt=now - LONG).first()
    if asked is not None:
        message = _("Checkout %(number)s was asked for %(age)s ago, and what became of it is unknown.")
        message %= {"number": asked.pk, "age": age(now - (asked.claimed_at or asked.created_at))}
        yield Finding("attempts", Level.ERROR, message, _("Run `reconcile` and read what it logs."))
    left = stale.stale_attempts().filter(seen_at__lt=now - timedelta(minutes=conf.CHECKOUT_STALE_MINUTES) - LONG)
    oldest = left.first()
    if oldest is not None:
        message = _("Checkout %(number)s was begun %(age)s ago and is still open.")
        message %= {"number": oldest.pk, "age": age(now - oldest.created_at)}
        yield Finding("attempts", Level.ERROR, message, _("Run `stripe_intent_fulfillment` and read what it logs."))
    taken = Checkout.objects.open().filter(error_code=ending.NOT_WRITTEN_DOWN).order_by("pk").first()
    if taken is not None:
        message = _("Stripe took the money of checkout %(number)s, and it cannot be written down: %(why)s")
        message %= {"number": taken.pk, "why": taken.failure}
        do = _("Fix the cause; then `stripe_intent_fulfillment` settles it.")
        yield Finding("attempts", Level.ERROR, message, do)
    if not is_live_key(conf.STRIPE_SECRET_KEY):
        live = Checkout.objects.open().filter(livemode=True).order_by("pk").first()
        if live is not None:
            message = _(
                "Checkout %(number)s was begun with a live key and is open, and STRIPE_SECRET_KEY is a test key."
            )
            message %= {"number": live.pk}
            do = _(
                "Set the live key: until then what becomes of real money is not seen. Is this a copy of the live data?"
            )
            yield Finding("attempts", Level.ERROR, message, do)
    yield from _refunds(now)
    deposit = plans.waiting_deposits().filter(object_payment_plan__created_at__lt=now - LONG).first()
    if deposit is not None:
        message = _("The deposit of plan %(number)s is due and was never asked for.")
        message %= {"number": deposit.object_payment_plan_id}
        do = _("Charge it on the plan's page, or run `stripe_intent_fulfillment`.")
        yield Finding("attempts", Level.WARNING, message, do)


def _refunds(now: datetime) -> Iterator[Finding]:
    """Those whose answer never came, and whose plan goes on although it was to be stopped."""
    do = _("Run `settle_refunds` and read what it logs.")
    unanswered = Refund.objects.filter(state=Refund.PENDING, refund_id="", created_at__lt=now - LONG)
    row = unanswered.order_by("pk").first()
    if row is not None:
        message = _("Refund %(number)s was asked for %(age)s ago, and what became of it is unknown.")
        message %= {"number": row.pk, "age": age(now - row.created_at)}
        yield Finding("attempts", Level.ERROR, message, do)
    going_on = refunds.unfinished_plans().filter(created_at__lt=now - LONG).order_by("pk").first()
    if going_on is not None:
        message = _("Refund %(number)s was to change its plan %(age)s ago, and the plan goes on as before.")
        message %= {"number": going_on.pk, "age": age(now - going_on.created_at)}
        yield Finding("attempts", Level.ERROR, message, do)


def check_sums() -> Iterator[Finding]:
    """Do the counters of debts equal the sums behind them? Reads every posting."""
    for debt in booking.wrong_counters()[:1]:
        message = _("The counters of debt %(debt)s are not the sums of its postings.") % {"debt": debt.uuid}
        yield Finding("sums", Level.ERROR, message, _("Somebody has changed rows by SQL. Tell a developer."))


def check_books() -> Iterator[Finding]:
    """Does anything wait for somebody, and has Stripe's side been compared?"""
    waiting = Problem.objects.filter(closed_at=None).order_by("pk")
    oldest = waiting.first()
    if oldest is not None:
        number = waiting.count()
        message = ngettext(
            "%(number)d problem is open, for %(age)s: %(problem)s",
            "%(number)d problems are open, the oldest for %(age)s: %(problem)s",
            number,
        ) % {"number": number, "age": age(clock.now() - oldest.opened_at), "problem": oldest}
        yield Finding("books", Level.WARNING, message, _("See the page Problems of the office."))
    awaited = Dispute.objects.filter(disputes.AWAITS_EVIDENCE)
    if number := awaited.filter(due_by__lt=clock.now()).count():
        message = ngettext(
            "%(number)d dispute was not answered in time.", "%(number)d disputes were not answered in time.", number
        ) % {"number": number}
        yield Finding("books", Level.WARNING, message, _("See the page Disputes of the office."))
    soon = awaited.filter(due_by__range=(clock.now(), clock.now() + ANSWER_SOON)).order_by("due_by").first()
    if soon is not None and soon.due_by is not None:
        message = _("A dispute over %(amount)s has to be answered by %(when)s.")
        shown = money.format_money(soon.amount, soon.currency) if soon.amount is not None else soon.dispute_id
        message %= {"amount": shown, "when": moment(soon.due_by)}
        yield Finding("books", Level.WARNING, message, _("Send the evidence: the page Disputes of the office."))
    late = ObjectPaymentPlanInstalment.objects.filter(Q(state__in=states.UNPAID), due__lt=clock.today())
    # Those of stopped plans are few. Asked for the others at once, PostgreSQL reads the plan of each line.
    if (number := late.count() - late.filter(object_payment_plan__deleted=True).count()) > 0:
        message = ngettext(
            "%(number)d payment of a plan is late.", "%(number)d payments of plans are late.", number
        ) % {"number": number}
        yield Finding("books", Level.WARNING, message, _("See Staff > Overdue: each says why, and what to do."))
    differences = BookDifference.objects.filter(closed_at=None)
    if number := differences.count():
        message = ngettext(
            "%(number)d difference between Stripe and our books is not explained.",
            "%(number)d differences between Stripe and our books are not explained.",
            number,
        ) % {"number": number}
        yield Finding("books", Level.WARNING, message, _("See the page Differences of the office."))
    for what, message, do in (
        (
            LookBack.What.PAYMENTS,
            _("Since %(since)s nothing was compared with Stripe's list of payments."),
            _("Run `process_payments` or `reconcile` and read what they log."),
        ),
        (
            LookBack.What.MONEY_BACK,
            _("Since %(since)s nothing was compared with Stripe's lists of refunds and disputes."),
            _("Run `settle_refunds` and read what it logs."),
        ),
    ):
        looked = LookBack.objects.filter(what=what).order_by("-until").first()
        if looked is not None and looked.until < clock.now() - timedelta(days=2):
            yield Finding("books", Level.WARNING, message % {"since": moment(looked.until)}, do)


def check_run() -> Iterator[Finding]:
    run = PaymentRun.objects.first()
    if run is None:
        yield skipped("run", _("there was none yet."))
        return
    now = clock.now()
    if run.finished_at is None and run.started_at < now - LONG:
        message = _("Payment run %(number)s of %(when)s has not finished.")
        message %= {"number": run.pk, "when": moment(run.started_at)}
        do = _("Run `reconcile`, then `process_payments`: nothing is taken twice.")
        yield Finding("run", Level.ERROR, message, do)
    if run.note:
        message = _("Payment run %(number)s stopped early: %(why)s") % {"number": run.pk, "why": run.note}
        yield Finding("run", Level.WARNING, message, _("Run it again."))
    errors = PaymentRunItem.objects.filter(payment_run=run, outcome=PaymentRunItem.Outcome.ERROR).count()
    if errors:
        message = ngettext(
            "Payment run %(number)s could not ask for %(errors)d instalment.",
            "Payment run %(number)s could not ask for %(errors)d instalments.",
            errors,
        ) % {"number": run.pk, "errors": errors}
        yield Finding("run", Level.WARNING, message, _("Each says why in the run's list."))
