"""How much of what banks decline comes in after all, by policy, against what anybody could have got; in this one run.

    make bench BENCH=recovery BENCH_ARGS="--debts 120 --seed 1"

Each debt falls due on 1 December 2026 and is declined for a reason that hangs on the seed: no money until pay day or
for a few days, a bank that does not say why, a lost card that its owner replaces or does not, an account that stays
empty. A run every morning for 45 days, on the in-process emulator. The ideal knows on which day each card works again.
"""

from __future__ import annotations

import argparse
import datetime
import os
import random
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings_postgres")

DUE = datetime.date(2026, 12, 1)
DAYS = 45
#: Share of the declined debts, the bank's code, from when to when the card works again (in days), and from when to when
#: its owner gives another one. None: never.
REASONS: tuple[tuple[int, str, tuple[int, int] | None, tuple[int, int] | None], ...] = (
    (35, "insufficient_funds", (24, 28), None),
    (25, "insufficient_funds", (1, 6), None),
    (10, "do_not_honor", (1, 5), None),
    (5, "issuer_not_available", (1, 1), None),
    (10, "lost_card", None, (1, 12)),
    (5, "lost_card", None, None),
    (10, "insufficient_funds", None, None),
)


#: Days after the decline, and whether on pay day too; None is the default.
POLICIES: dict[str, tuple[list[int], bool] | None] = {
    "nothing is tried again": ([], False),
    "the default": None,
    "every day for a week": ([1, 2, 3, 4, 5, 6, 7], True),
}


@dataclass(frozen=True, slots=True)
class Payer:
    """What happens to one card."""

    code: str
    works_after: int | None
    new_card_after: int | None

    @property
    def can_pay(self) -> bool:
        return self.works_after is not None or self.new_card_after is not None


def payers(count: int, seed: int) -> list[Payer]:
    """The same ones for the same seed."""
    chance = random.Random(seed)
    weights = [share for share, *_rest in REASONS]
    made = []
    for _share, code, works, renewed in chance.choices(REASONS, weights, k=count):
        made.append(
            Payer(code, chance.randint(*works) if works else None, chance.randint(*renewed) if renewed else None)
        )
    return made


def at(day: datetime.date) -> datetime.datetime:
    return datetime.datetime(day.year, day.month, day.day, 6, 10, tzinfo=datetime.UTC)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one policy brought: pounds that came in of the declined debts, how often their cards were asked in all and
    for the debt that was asked for most, and how many letters were written from the due day on, with receipts and
    notices of payments to come."""

    came: Decimal
    attempts: int
    most: int
    letters: int


def live(people: list[Payer], policy: tuple[list[int], bool] | None) -> Outcome:
    """Let the 45 days pass under `policy`: days after the decline, and whether on pay day too; None is the default."""
    import time_machine
    from django.contrib.contenttypes.models import ContentType
    from django.core.management import call_command
    from django.db.models import Count
    from django.test.utils import override_settings
    from post_office.models import Email

    from checkout import mail
    from checkout.models import Checkout, CheckoutSettings, ObjectPaymentPlan, PaymentPlan, Posting, RecoveryPolicy
    from checkout.services import attempt_rows, fulfillment, runs
    from checkout.services.letters import due, writing
    from stripe_emulator import Clock, Emulator
    from tests.host.models import Membership

    call_command("flush", interactive=False, verbosity=0)
    # Kept for the life of a process, which has one database elsewhere.
    ContentType.objects.clear_cache()
    attempt_rows.site.cache_clear()
    mail.install()
    emulator = Emulator(seed=1, clock=Clock())
    # Everybody has the same test card here, and Stripe would hold back after fifteen declines of it.
    emulator.bank.block_after(None)
    # Tells those who have kept the emulator of the last policy.
    override_settings(CHECKOUT_STRIPE_HTTP_CLIENT=emulator.transport).enable()

    def to(day: datetime.date) -> Any:
        travel = time_machine.travel(at(day))
        travel.start()
        emulator.clock.advance(seconds=max(0, at(day).timestamp() - emulator.clock.now()))
        return travel

    def enter(checkout: Checkout, number: str) -> None:
        from checkout.gateway import gateway

        emulator.pay(gateway().retrieve_setup_intent(checkout.setup_intent_id).client_secret, number=number)
        fulfillment.fulfill(checkout)

    if policy is not None:
        days, pay_day = policy
        made = RecoveryPolicy.objects.create(name="Tried out", days=days, pay_day=pay_day)
        CheckoutSettings.objects.update_or_create(pk=1, defaults={"recovery": made})
    template = PaymentPlan.objects.create_payment_plan("half", "Half now", 50, 1, 1)
    travel = to(DUE - datetime.timedelta(20))
    agreed: list[ObjectPaymentPlan] = []
    for number in range(len(people)):
        row = Membership.objects.create(email=f"payer{number}@example.com")
        begun = Checkout.objects.create_checkout("payment_plan", row, None, payment_plan=template)
        enter(begun, "4242424242424242")
        agreed.append(ObjectPaymentPlan.objects.for_content_object(row))
    travel.stop()
    for passed in range(DAYS + 1):
        travel = to(DUE + datetime.timedelta(passed))
        for payer, plan in zip(people, agreed, strict=True):
            if passed == 0 and plan.card is not None:
                # Funds arrive during the night before the morning's run.
                until = payer.works_after if payer.works_after is not None else 10 * DAYS
                emulator.bank.decline_for_days(plan.card.payment_method_id, until - 0.1, payer.code)
            if passed == payer.new_card_after:
                enter(Checkout.objects.create_checkout("card_refresh", plan), "5555555555554444")
        runs.process_payments(workers=1)
        due.ask()
        writing.write_waiting()
        travel.stop()
    asked = Checkout.objects.filter(action="charge", created_at__gte=at(DUE))
    came = Posting.objects.filter(kind="taken", checkout__in=asked).values_list("amount", flat=True)
    debts = asked.values("debt").annotate(times=Count("pk")).values_list("times", flat=True)
    letters = Email.objects.filter(created__gte=at(DUE)).count()
    return Outcome(sum(came, Decimal(0)), sum(debts), max(debts), letters)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--debts", type=int, default=120)
    options.add_argument("--seed", type=int, default=1)
    chosen = options.parse_args()

    import logging

    import django
    from django.test.runner import DiscoverRunner

    django.setup()
    logging.disable(logging.CRITICAL)
    runner = DiscoverRunner(verbosity=0, interactive=False)
    databases = runner.setup_databases()
    people = payers(chosen.debts, chosen.seed)
    ideal = Decimal(50) * sum(payer.can_pay for payer in people)
    try:
        print(f"{chosen.debts} declined debts of £50, seed {chosen.seed}, {DAYS} days; the ideal recovers £{ideal}")
        for name, policy in POLICIES.items():
            outcome = live(people, policy)
            print(
                f"{name:24} £{outcome.came:8.2f}  {outcome.came / ideal:.2f} of the ideal  "
                f"{outcome.attempts / chosen.debts:.2f} attempts a debt, {outcome.most} at most  "
                f"{outcome.letters / chosen.debts:.2f} letters a debt"
            )
    finally:
        runner.teardown_databases(databases)


if __name__ == "__main__":
    main()
