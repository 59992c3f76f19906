"""Every row of the table of declines, through the SDK over the emulator: the right step, on the right day, once told.

What is expected stands here by itself, as Stripe advises it (https://docs.stripe.com/declines/codes), and is not read
from the table.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import time_machine
from post_office.models import Email

from checkout import declines, mail, states
from checkout.models import (
    CheckoutSettings,
    Notice,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    RecoveryPolicy,
    RecoveryStep,
)
from checkout.services import on_session, runs
from checkout.services.letters import words, writing
from stripe_emulator import Emulator
from tests.services.conftest import SavePlan

pytestmark = pytest.mark.django_db

AGREED = datetime.datetime(2026, 11, 10, 9, tzinfo=datetime.UTC)
#: A Tuesday; three days later is a Friday.
DECEMBER = datetime.date(2026, 12, 1)
MASTERCARD = "5555555555554444"


@contextmanager
def on(day: datetime.date, emulator: Emulator) -> Iterator[None]:
    moment = datetime.datetime(day.year, day.month, day.day, 9, tzinfo=datetime.UTC)
    with time_machine.travel(moment):
        emulator.clock.advance(seconds=max(0, moment.timestamp() - emulator.clock.now()))
        yield


@dataclass(frozen=True, slots=True)
class Became:
    """What became of a declined line: the day of the next try, whom a letter went to, and whether staff were told."""

    state: str
    tried_again: datetime.date | None
    letter: str
    staff_told: bool


def later(days: int) -> Became:
    return Became(states.FAIL, DECEMBER + datetime.timedelta(days), "instalment_declined", staff_told=False)


AGAIN = later(3)
#: The payer gives another card, or speaks to the office.
NO_MORE = Became(states.FAIL, None, "instalment_declined", staff_told=True)
CONFIRMS = Became(
    states.PAY_ON_SESSION, None, ObjectPaymentPlanInstalment.MAIL_TEMPLATE_ON_SESSION_PAYMENT_ANON, staff_told=False
)

EXPECTED: dict[str, Became] = {
    **dict.fromkeys(
        [
            "approve_with_id",
            "call_issuer",
            "card_velocity_exceeded",
            "do_not_honor",
            "generic_decline",
            "insufficient_funds",
            "issuer_not_available",
            "no_action_taken",
            "processing_error",
            "reenter_transaction",
            "security_violation",
            "service_not_allowed",
            "try_again_later",
            "withdrawal_count_limit_exceeded",
            # Not a bank's words, but Stripe's own, or a bank's next invention.
            "card_decline_rate_limit_exceeded",
            "previously_declined_do_not_retry",
            "card_declined",
            "a_code_of_tomorrow",
        ],
        AGAIN,
    ),
    **dict.fromkeys(
        ["authentication_required", "authentication_not_handled", "mobile_device_authentication_required"], CONFIRMS
    ),
    **dict.fromkeys(
        [
            "card_not_supported",
            "currency_not_supported",
            "do_not_try_again",
            "expired_card",
            "fraud",
            "fraudulent",
            "incorrect_pin",
            "invalid_account",
            "invalid_pin",
            "lost_card",
            "merchant_blacklist",
            "new_account_information_available",
            "not_permitted",
            "offline_pin_required",
            "online_or_offline_pin_required",
            "pickup_card",
            "pin_try_exceeded",
            "restricted_card",
            "revocation_of_all_authorizations",
            "revocation_of_authorization",
            "stolen_card",
            "stop_payment_order",
            "transaction_not_allowed",
            # Entered wrongly.
            "incorrect_address",
            "incorrect_cvc",
            "incorrect_number",
            "incorrect_zip",
            "invalid_cvc",
            "invalid_expiry_month",
            "invalid_expiry_year",
            "invalid_number",
            # Staff look first, or a developer does.
            "duplicate_transaction",
            "invalid_amount",
            "testmode_decline",
        ],
        NO_MORE,
    ),
}

#: No bank declines a charge with one of these: they are of set-ups, or refuse the request itself.
NO_DECLINES = {
    "amount_too_large",
    "amount_too_small",
    "payment_intent_authentication_failure",
    "resource_missing",
    "setup_intent_authentication_failure",
}

#: What Mastercard advises beside `insufficient_funds` -> what becomes of it. Weekends are left out.
ADVISED: dict[str, Became] = {
    "02": AGAIN,
    "24": AGAIN,
    "25": AGAIN,
    "26": AGAIN,
    "27": later(6),
    "28": later(6),
    "29": later(8),
    "30": later(10),
    "03": NO_MORE,
    "21": NO_MORE,
}


def first(plan: ObjectPaymentPlan) -> ObjectPaymentPlanInstalment:
    return plan.payments.get(count=2)


def became(plan: ObjectPaymentPlan) -> Became:
    line = first(plan)
    step = RecoveryStep.objects.filter(instalment=line, ended="").first()
    asking = ["instalment_declined", line.MAIL_TEMPLATE_ON_SESSION_PAYMENT_ANON]
    letters = Notice.objects.filter(instalment=line, template__in=asking).values_list("template", flat=True)
    return Became(
        line.state_id or "",
        step.day if step is not None else None,
        " and ".join(letters),
        Notice.objects.filter(cause__startswith=f"fell-off-{plan.pk}-").exists(),
    )


def agree(
    codes: Iterable[str], emulator: Emulator, save_plan: SavePlan, number: str = "4242424242424242"
) -> dict[str, ObjectPaymentPlan]:
    """A plan for each, with a card of its own."""
    mail.install()
    # They have one test card in common, and Stripe would hold back after fifteen declines of it.
    emulator.bank.block_after(None)
    with time_machine.travel(AGREED):
        return {code: save_plan(number, email=f"{code}@example.com") for code in codes}


def decline(plan: ObjectPaymentPlan, emulator: Emulator, code: str, *, times: int = 1, **advice: Any) -> None:
    assert plan.card is not None
    emulator.bank.decline_next(plan.card.payment_method_id, code, times, **advice)


def run_and_write(emulator: Emulator) -> None:
    with on(DECEMBER, emulator):
        runs.process_payments(workers=1)
        on_session.send_on_session_payment_emails()
        writing.write_waiting()


def test_the_table_is_expected_in_full() -> None:
    assert EXPECTED.keys() | NO_DECLINES == declines.MEANINGS.keys() | {"a_code_of_tomorrow"}


def test_every_decline_leads_to_its_step_on_its_day_and_to_one_letter(
    emulator: Emulator, save_plan: SavePlan, settings: Any
) -> None:
    settings.CHECKOUT_NOTIFY_EMAILS = ["office@example.com"]
    plans = agree(EXPECTED, emulator, save_plan)
    for code, plan in plans.items():
        decline(plan, emulator, code)
    run_and_write(emulator)
    assert {code: became(plan) for code, plan in plans.items()} == EXPECTED
    # Once is enough for everybody, however often the jobs come round that day.
    run_and_write(emulator)
    assert {code: became(plan) for code, plan in plans.items()} == EXPECTED
    for code, plan in plans.items():
        if EXPECTED[code] != CONFIRMS:
            check_words(code, Email.objects.filter(to=plan.checkout_email).latest("pk").message)


def check_words(code: str, letter: str) -> None:
    """It says why, where that may be said, and when the card is asked again, if it is."""
    known = declines.MEANINGS.get(code)
    told = "It does not tell us why." if known is None or known.payer is None else str(known.payer)
    assert told in letter, code
    assert AGAIN.tried_again is not None
    assert (words.day(AGAIN.tried_again) in letter) == (EXPECTED[code] == AGAIN), code


def test_what_mastercard_advises_is_obeyed_to_the_day(emulator: Emulator, save_plan: SavePlan, settings: Any) -> None:
    settings.CHECKOUT_NOTIFY_EMAILS = ["office@example.com"]
    plans = agree(ADVISED, emulator, save_plan, MASTERCARD)
    for advice, plan in plans.items():
        decline(plan, emulator, "insufficient_funds", network_advice_code=advice)
    run_and_write(emulator)
    assert {advice: became(plan) for advice, plan in plans.items()} == ADVISED


def test_two_months_of_declines_never_pass_a_limit(emulator: Emulator, save_plan: SavePlan) -> None:
    """Of the networks (20 of one card and amount within 30 days, 35 of Mastercard's) and of Stripe (8 tries of one
    charge), whatever a site's policy says. Two instalments of one amount fall into it."""
    emulator.bank.block_after(None)
    eager = RecoveryPolicy.objects.create(
        name="Eager", days=[1, 2, 3, 4, 5, 6, 7, 8], pay_day=True, weekdays=[1, 2, 3, 4, 5, 6, 7]
    )
    CheckoutSettings.objects.update_or_create(pk=1, defaults={"recovery": eager})
    tried = ["insufficient_funds", "do_not_honor", "issuer_not_available", "previously_declined_do_not_retry"]
    never = ["lost_card", "incorrect_cvc"]
    plans = agree([*tried, *never], emulator, save_plan)
    cards = {code: plan.card.payment_method_id for code, plan in plans.items() if plan.card is not None}
    for code, plan in plans.items():
        decline(plan, emulator, code, times=99)
    for number in range(61):
        with on(DECEMBER + datetime.timedelta(number), emulator):
            runs.process_payments(workers=1)
    refused: dict[str, list[datetime.date]] = {code: [] for code in plans}
    for charge in emulator.ledger.charges(succeeded=False):
        [code] = [code for code, card in cards.items() if card == charge["payment_method"]]
        refused[code].append(datetime.datetime.fromtimestamp(charge["created"], tz=datetime.UTC).date())
    for code, days in refused.items():
        windows = [sum(start <= day < start + datetime.timedelta(30) for day in days) for start in days]
        assert max(windows) <= 8, (code, days)
    january = datetime.date(2027, 1, 1)
    assert [refused[code] for code in never] == [[DECEMBER, january]] * len(never)
    assert all(len(refused[code]) > 8 for code in tried), refused
