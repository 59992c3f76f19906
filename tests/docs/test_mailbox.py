"""The whole life of a plan as its payer's mailbox: docs/letters.md shows what is really sent, day by day.

`CHECKOUT_WRITE_MAILBOX=1 python -m pytest tests/docs/test_mailbox.py` writes it anew; then read it aloud.
"""

from __future__ import annotations

import datetime
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
import time_machine
from django.core.management import call_command
from post_office.models import Email

from checkout import mail, states
from checkout.gateway import gateway
from checkout.models import Checkout, Notice, ObjectPaymentPlan, ObjectPaymentPlanInstalment, PaymentPlan
from checkout.services import fulfillment, recovery
from stripe_emulator import Emulator
from tests.host.models import Membership
from tests.services.conftest import enter_card

pytestmark = pytest.mark.django_db

PAGE: Final = Path(__file__).parents[2] / "docs" / "letters.md"
BEGIN: Final = "<!-- the mailbox: written by tests/docs/test_mailbox.py -->\n"
YEAR: Final = 2027
JOBS: Final = ("process_payments", "send_on_session_payment_emails", "refresh_card_expiry_dates", "send_letters")


class Life:
    """One payer's plan, with both clocks and every job of a morning."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.member = Membership.objects.create(total=Decimal(500))

    @contextmanager
    def morning(self, month: int, day: int) -> Iterator[None]:
        """What is to happen on that day, and then the jobs of that morning."""
        moment = datetime.datetime(YEAR, month, day, 9, tzinfo=datetime.UTC)
        with time_machine.travel(moment, tick=False):
            self.emulator.clock.advance(seconds=moment.timestamp() - self.emulator.clock.now())
            yield
            for job in JOBS:
                call_command(job, stdout=io.StringIO())

    @property
    def plan(self) -> ObjectPaymentPlan:
        plan: ObjectPaymentPlan = ObjectPaymentPlan.objects.for_content_object(self.member)
        return plan

    def agree(self, template: PaymentPlan) -> None:
        checkout = Checkout.objects.create_checkout("payment_plan", self.member, None, payment_plan=template)
        enter_card(self.emulator, checkout, "4242424242424242")
        fulfillment.fulfill(checkout)

    def bank_says(self, code: str) -> None:
        assert self.plan.card is not None
        self.emulator.bank.decline_next(self.plan.card.payment_method_id, code)

    def new_card(self, number: str) -> None:
        checkout = Checkout.objects.create_checkout("card_refresh", self.plan, None)
        enter_card(self.emulator, checkout, number)
        fulfillment.fulfill(checkout)

    def confirm(self) -> None:
        """The payer comes by the link, and passes the bank's check."""
        line = ObjectPaymentPlanInstalment.objects.get(state_id=states.PAY_ON_SESSION)
        checkout = Checkout.objects.create_checkout_pay_on_session(line, None)
        secret = gateway().retrieve_payment_intent(checkout.payment_intent_id).client_secret
        self.emulator.pay(secret, number="4242424242424242", authenticate=True)
        fulfillment.fulfill(checkout)


def live(emulator: Emulator) -> None:
    """Agreed in January: one payment goes well, one at the second try, one with a new card, and the bank requires the
    payer for the last one."""
    mail.install()
    with time_machine.travel(datetime.datetime(YEAR, 1, 4, 8, 50, tzinfo=datetime.UTC)):
        template = PaymentPlan.objects.create_payment_plan("monthly", "Monthly", 20, 4, 1)
    life = Life(emulator)
    with life.morning(1, 4):
        life.agree(template)
    for month, day in ((1, 29), (2, 1), (2, 26)):
        with life.morning(month, day):
            pass
    with life.morning(3, 1):
        life.bank_says("insufficient_funds")
    for month, day in ((3, 4), (3, 29)):
        with life.morning(month, day):
            pass
    with life.morning(4, 1):
        life.bank_says("expired_card")
    with life.morning(4, 8):
        pass
    with life.morning(4, 9):
        life.new_card("5555555555554444")
    with life.morning(4, 28):
        pass
    with life.morning(5, 1):
        life.bank_says("authentication_required")
    with life.morning(5, 4):
        pass
    with life.morning(5, 5):
        life.confirm()
    assert emulator.ledger.taken_minor() == 50000
    assert not recovery.open_steps().exists()


def mailbox() -> list[tuple[str, Email]]:
    """(template, letter) in the order in which they came."""
    letters = Email.objects.order_by("pk")
    return list(zip(Notice.objects.order_by("pk").values_list("template", flat=True), letters, strict=True))


def printed() -> str:
    letters = []
    for _template, letter in mailbox():
        text = re.sub(r"https?://\S+", "https://shop.example/…", letter.message)
        text = re.sub(r"\n{3,}", "\n\n", text.replace("\xa0", " ")).strip()
        letters.append(f"### {letter.created:%-d %B %Y}: {letter.subject}\n\n```text\n{text}\n```\n")
    return "\n".join(letters)


#: Day and template of every letter, in order.
EXPECTED: Final = [
    ("01-04", "plan_agreed"),
    ("01-29", "payment_due"),
    ("02-01", "instalment_paid"),
    ("02-26", "payment_due"),
    ("03-01", "instalment_declined"),
    ("03-04", "instalment_paid"),
    ("03-29", "payment_due"),
    ("04-01", "instalment_declined"),
    ("04-08", "payment_reminder"),
    ("04-09", "card_changed"),
    ("04-09", "instalment_paid"),
    ("04-28", "payment_due"),
    ("05-01", "object_payment_plan_instalment_on_session_payment_anon"),
    ("05-04", "object_payment_plan_instalment_on_session_payment_anon"),
    ("05-05", "plan_finished"),
]


def test_the_mailbox_of_a_whole_plan_is_what_the_document_shows(emulator: Emulator, settings: Any) -> None:
    settings.CHECKOUT_CONTACT_TEXT = "office@shop.example, 01234 567890"
    live(emulator)
    assert [(f"{letter.created:%m-%d}", template) for template, letter in mailbox()] == EXPECTED
    assert {to for _template, letter in mailbox() for to in letter.to} == {"member@example.com"}
    before, _, after = PAGE.read_text().partition(BEGIN)
    if os.environ.get("CHECKOUT_WRITE_MAILBOX"):
        PAGE.write_text(f"{before}{BEGIN}\n{printed()}")
        return
    assert after.strip() == printed().strip(), "run it with CHECKOUT_WRITE_MAILBOX=1, and read it aloud"
