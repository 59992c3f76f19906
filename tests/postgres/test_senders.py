"""Twenty senders at once queue one mail for each payer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from post_office.models import Email

from checkout import mail, states
from checkout.models import Notice, ObjectPaymentPlanInstalment
from checkout.services import runs
from stripe_emulator import Emulator
from tests.postgres.conftest import FillDue, in_thread

pytestmark = pytest.mark.django_db(transaction=True)

SENDERS = 20


def test_twenty_parallel_senders_send_one_mail_each(emulator: Emulator, fill_due: FillDue, settings: Any) -> None:
    mail.install()
    fill_due(5, "pm_card_authenticationRequired")
    runs.process_payments(workers=2)
    assert ObjectPaymentPlanInstalment.objects.filter(state=states.PAY_ON_SESSION).count() == 5
    start = Barrier(SENDERS)

    def send() -> int:
        start.wait()
        return ObjectPaymentPlanInstalment.objects.send_on_session_payment_emails(lambda contact: False)

    with ThreadPoolExecutor(SENDERS) as pool:
        counts = [future.result() for future in [pool.submit(in_thread(send)) for _ in range(SENDERS)]]
    assert sum(counts) == 5  # type: ignore[arg-type]
    assert Email.objects.count() == Notice.objects.count() == 5
    assert {address for letter in Email.objects.all() for address in letter.to} == {
        f"payer{number}@example.com" for number in range(5)
    }
