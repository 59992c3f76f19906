"""Charge the instalments that are due."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import CommandError, CommandParser

from checkout import money
from checkout.errors import CheckoutError
from checkout.management.base import BaseCommand, positive
from checkout.models import PaymentPlan, PaymentRun, PaymentRunItem
from checkout.services import dry_runs, jobs, releases, runs


def _amount(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(0)
    if not amount.is_finite() or amount <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount such as 1500.00")
    return amount


class Command(BaseCommand):
    help = (
        "Charge every instalment that is due to its payer's saved card. Safe to run again, and at the same time as "
        "another run: nothing is taken twice. Exits 1 when an outcome is unknown, when something could not be asked or "
        "waits for a release, and when a person stopped runs."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="list what would be taken; nothing changes")
        parser.add_argument("--limit", type=positive, help="charge at most so many instalments")
        parser.add_argument("--max-total", type=_amount, help="stop before this sum is passed")
        parser.add_argument("--plan", help="only plans agreed on the template with this slug")
        parser.add_argument("--currency", default="", help="only this currency, for example GBP")
        parser.add_argument("--workers", type=positive, help="requests to Stripe at the same time")

    def handle(self, *args: Any, **options: Any) -> None:
        choice = {
            "limit": options["limit"],
            "max_total": options["max_total"],
            "currency": options["currency"],
            "payment_plan": self._plan(options["plan"]),
        }
        try:
            if choice["max_total"] is not None or choice["currency"]:
                # A slip of the hand, and no failure of the job.
                runs.check_options(choice["payment_plan"], choice["currency"], choice["max_total"])
            if options["dry_run"]:
                self._dry_run(choice)
            else:
                self._run(choice, options["workers"])
        except CheckoutError as problem:
            raise CommandError(str(problem)) from problem

    def _plan(self, slug: str | None) -> PaymentPlan | None:
        if not slug:
            return None
        plan = PaymentPlan.objects.filter(slug=slug).first()
        if plan is None:
            known = ", ".join(PaymentPlan.objects.values_list("slug", flat=True)) or "none"
            raise CommandError(f"There is no payment plan {slug!r}. Known: {known}.")
        return plan

    def _dry_run(self, choice: dict[str, Any]) -> None:
        charged, refused, waiting = _Sum(), _Sum(), _Sum()
        doubtful = 0
        for line in dry_runs.dry_run(**choice):
            plan = line.instalment.object_payment_plan
            amount = money.format_money(line.instalment.left, plan.currency)
            warning = f"  ! {line.warning}" if line.warning else ""
            if line.waits:
                warning += "  ! It waits for a release."
            card = line.card or "no card"
            self.stdout.write(f"{line.instalment.due}  {amount:>12}  {line.payer}  ({card}){warning}")
            what_for = refused if line.refusal else waiting if line.waits else charged
            what_for.add(line.instalment.left, plan.currency)
            doubtful += bool(line.warning and not line.refusal and not line.waits)
        said = [f"Would charge {charged.count}: {charged}. {doubtful} of them likely to fail."]
        if refused.count:
            said.append(f"{refused.count} cannot be asked for: {refused}.")
        if waiting.count:
            said.append(f"{waiting.count} would wait for a release: {waiting}.")
        if (stopped := releases.stopped_run()) is not None:
            said.append(f"But payment run {stopped.pk} was stopped, so nothing is taken until runs may go on.")
        self.stdout.write(" ".join([*said, "Nothing was changed."]))

    def _run(self, choice: dict[str, Any], workers: int | None) -> None:
        tally = runs.Tally()

        def progress(now: runs.Tally) -> None:
            nonlocal tally
            tally = now
            if self.stdout.isatty():
                self.stdout.write(f"\r{now.done} of {now.due} …", ending="")
                self.stdout.flush()

        with jobs.recorded("process_payments"):
            run: PaymentRun = runs.process_payments(workers=workers, progress=progress, **choice)
        counts = runs.counts(run)
        if self.stdout.isatty():
            self.stdout.write("")
        parts = [f"{outcome.value} {counts.get(outcome.value, 0)}" for outcome in PaymentRunItem.Outcome]
        self.stdout.write(f"Payment run {run.pk}: {', '.join(parts)}. Taken: {_sums(tally.taken)}.")
        if run.note:
            self.stdout.write(run.note)
        run_was_stopped = run.stopped_at is not None
        unsettled = sum(counts.get(outcome, 0) for outcome in ("unknown", "claimed"))
        if unsettled:
            raise CommandError(f"{unsettled} without an answer: run `reconcile` in a few minutes; nothing is lost.")
        if counts.get("error"):
            raise CommandError(f"{counts['error']} could not be asked; each says why in the run's list and the log.")
        if run_was_stopped:
            raise CommandError(f"A person stopped it. Let runs go on: Staff > Runs > {run.pk}.")
        if waiting := counts.get("waiting"):
            raise CommandError(f"{waiting} wait for a release by a second person: Staff > Runs > The next run.")


@dataclass(slots=True)
class _Sum:
    """Lines of one kind, and what they add up to by currency."""

    count: int = 0
    totals: dict[str, Decimal] = field(default_factory=dict)

    def add(self, amount: Decimal, currency: str) -> None:
        self.count += 1
        self.totals[currency] = self.totals.get(currency, Decimal(0)) + amount

    def __str__(self) -> str:
        return _sums(self.totals)


def _sums(totals: dict[str, Decimal]) -> str:
    return ", ".join(money.format_money(total, currency) for currency, total in sorted(totals.items())) or "nothing"
