"""The sweep that writes the letters that were asked for, and nothing that is no longer true."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Prefetch, prefetch_related_objects
from django.utils import timezone, translation

from checkout import clock, letters, mail
from checkout.models import Letter, Notice, ObjectPaymentPlan
from checkout.services import attempt_rows, notices, unsent
from checkout.services.letters import about_declines, about_payers, about_plans, words

logger = logging.getLogger("checkout.letters")

#: How many are read at a time; each is committed by itself.
CHUNK = 200
#: A letter that could not be written is tried again after this.
AGAIN_AFTER = timedelta(minutes=30)

#: What a cause asks for, and who reads its words from the rows, in the language that is active.
WRITERS: Final[Mapping[str, Callable[[Letter], words.Words | None]]] = {
    letters.PLAN_AGREED: about_plans.plan_agreed,
    "payment_received": words.payment_received,
    "instalment_paid": words.instalment_paid,
    "payment_due": words.payment_due,
    letters.DECLINED: about_declines.instalment_declined,
    "payment_reminder": about_declines.payment_reminder,
    "card_changed": about_plans.card_changed,
    "plan_changed": about_plans.plan_changed,
    "change_proposed": about_plans.change_proposed,
    "payer_proposed": about_payers.payer_proposed,
    "payer_changed": about_payers.payer_changed,
    "payer_released": about_payers.payer_released,
    "plan_stopped": about_plans.plan_stopped,
    "plan_link": about_plans.plan_link,
    "plan_statement": about_plans.plan_statement,
    "payment_refunded": words.payment_refunded,
    "refund_failed": words.refund_failed,
    "payment_undone": words.payment_undone,
    "invoice_requested": words.invoice_requested,
}

#: What whoever paid for a plan was to be told, and whoever has taken it over since is not.
OF_ITS_PAYER: Final = frozenset({letters.PLAN_AGREED, "plan_changed", "plan_link", "plan_statement"})

#: Nobody is written to twice a day about declined payments of one plan, whatever the number of its lines.
ONE_A_DAY: Final = frozenset({letters.DECLINED, "payment_reminder"})
ONE_A_DAY_TEMPLATES: Final = ONE_A_DAY | {letters.RETRIES_ENDED}
#: When a letter goes that had to wait for the next day.
MORNING: Final = time(8)


@dataclass(slots=True)
class Written:
    """What one sweep did. `untrue` were asked for and are not true any more; `errors` are tried again."""

    mailed: int = 0
    untrue: int = 0
    errors: int = 0


def write_waiting() -> Written:
    """Write every letter that waits, as a mail in post_office's queue. Safe at any time, in many processes at once.

    One that cannot be written, for its template, its address or its row, is a problem for staff, is tried again, and
    keeps nobody else's from going.
    """
    done = Written()
    waiting = Letter.objects.filter(ended_at=None, write_after__lte=clock.now()).order_by("pk")
    # The list is fixed first: those that fail would otherwise be found again for ever.
    pks = list(waiting.values_list("pk", flat=True))
    for start in range(0, len(pks), CHUNK):
        with mail.templates_read_once():
            _write_each(_read(pks[start : start + CHUNK]), done)
    return done


def _write_each(waiting: list[Letter], done: Written) -> None:
    stuck = unsent.among([letter.cause for letter in waiting])
    for letter in waiting:
        try:
            with transaction.atomic():
                _write(letter, done)
            if letter.cause in stuck:
                unsent.gone(letter.cause)
        except Exception as problem:
            # Staff word the templates, and the host's rows are read, so anything may come out of them.
            logger.exception("letter %s was not written", letter.pk, extra={"letter": letter.pk})
            unsent.report(letter.cause, problem, checkout=letter.checkout)
            Letter.objects.filter(pk=letter.pk).update(write_after=clock.now() + AGAIN_AFTER)
            done.errors += 1


def _read(pks: list[int]) -> list[Letter]:
    rows = Letter.objects.filter(pk__in=pks, ended_at=None).order_by("pk")
    found = list(rows.select_related("checkout__customer", "checkout__paper", "instalment__debt"))
    plans = ObjectPaymentPlan.objects.select_related("customer", "payment_plan", "agreement__saved_card")
    prefetch_related_objects(
        found,
        "refund__checkout",
        Prefetch("plan", plans),
        Prefetch("instalment__object_payment_plan", plans),
        "plan__content_object",
        "instalment__object_payment_plan__content_object",
    )
    for letter in found:
        # One object for a line and for what its attempt paid: its plan and its host's row are read once.
        line, checkout = letter.instalment, letter.checkout
        if line is None or checkout is None or not attempt_rows.is_plan_line(checkout):
            continue
        if checkout.object_id == str(line.pk):
            attempt_rows.hold(checkout, line)
    prefetch_related_objects(found, "checkout__content_object")
    return found


def _write(letter: Letter, done: Written) -> None:
    if letter.kind in ONE_A_DAY:
        _hold_plan(letter)
        if _had_one_today(letter):
            return
    # Whoever ends it writes it; another sender waits here, and finds that it has ended.
    rows = Letter.objects.filter(pk=letter.pk, ended_at=None)
    if not rows.update(ended_at=clock.now(), outcome=Letter.Outcome.WRITTEN):
        return
    address, customer, row = words.recipient(letter)
    on_page = letter.checkout.language if letter.checkout is not None else None
    language = notices.language_of(row, customer, on_page=on_page)
    with translation.override(language):
        said = None if _is_of_before(letter) else WRITERS[letter.kind](letter)
    if said is None:
        Letter.objects.filter(pk=letter.pk).update(outcome=Letter.Outcome.NOT_TRUE)
        done.untrue += 1
        return
    if not letters.is_on(said.template):
        Letter.objects.filter(pk=letter.pk).update(outcome=Letter.Outcome.OFF)
        return
    sent = notices.send_once(
        letter.cause,
        said.template,
        said.to or address,
        said.context,
        language=language,
        checkout=letter.checkout,
        instalment=letter.instalment,
        customer=customer,
    )
    if said.also:
        also = Letter.objects.filter(pk__in=said.also, ended_at=None)
        also.update(ended_at=clock.now(), outcome=Letter.Outcome.TOGETHER)
    done.mailed += sent


def _is_of_before(letter: Letter) -> bool:
    """Asked for before somebody else took the plan over."""
    taken_over_at = letter.plan.taken_over_at if letter.plan is not None else None
    return letter.kind in OF_ITS_PAYER and taken_over_at is not None and letter.asked_at <= taken_over_at


def _hold_plan(letter: Letter) -> None:
    """Locked, so that of two senders the second sees what the first has said."""
    plans = ObjectPaymentPlan.objects.select_for_update(no_key=True, of=("self",))
    list(plans.filter(instalments=letter.instalment_id))


def _had_one_today(letter: Letter) -> bool:
    """A plan whose payer was written to today about declines: this letter waits until tomorrow morning."""
    today = clock.today()
    told = Notice.objects.filter(
        template__in=ONE_A_DAY_TEMPLATES,
        instalment__object_payment_plan__instalments=letter.instalment_id,
        queued_at__gte=timezone.make_aware(datetime.combine(today, time.min)),
    )
    if not told.exists():
        return False
    morning = timezone.make_aware(datetime.combine(today + timedelta(days=1), MORNING))
    Letter.objects.filter(pk=letter.pk, ended_at=None).update(write_after=morning)
    return True
