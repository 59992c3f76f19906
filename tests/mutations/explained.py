"""Mutants that were read, and that nothing can tell from the original: the file, the line as it is and as the tool
makes it, and why. Nobody has to read them again; when the line changes, the entry has to go (test_sampled.py)."""

from __future__ import annotations

from typing import Final

EXPLAINED: Final[dict[tuple[str, str, str], str]] = {
    (
        "services/runs.py",
        "BATCH = 50",
        "BATCH = 49",
    ): "How many lines are claimed at once is a matter of speed.",
    (
        "services/checkouts.py",
        "with transaction.atomic(durable=True):",
        "with transaction.atomic(durable=False):",
    ): "Nobody comes here in a transaction: `create_checkout` has refused that before.",
    (
        "services/letters/asking.py",
        "CHANGE_GRACE: Final = timedelta(minutes=15)",
        "CHANGE_GRACE: Final = timedelta(minutes= 16)",
    ): "How long letters wait for a second change of mind is a matter of choice.",
    (
        "services/papers.py",
        "in_all = [before + here for before, here in zip(in_all, sums, strict=True)]",
        "in_all = [before + here for before, here in zip(in_all, sums, strict=False)]",
    ): "Both are always four sums.",
    (
        "services/letters/about_declines.py",
        "if checkout is None or line is None or not checkout.failed or line.state_id != states.FAIL:",
        "if checkout is None and line is None or not checkout.failed or line.state_id != states.FAIL:",
    ): "Whoever asks for a letter about a decline names both; the columns are empty in letters about other things.",
    (
        "services/plan_changes.py",
        'ObjectPaymentPlanInstalment.objects.select_for_update(of=("self",), no_key=True)',
        'ObjectPaymentPlanInstalment.objects.select_for_update(of=("self",), no_key=False)',
    ): "Whoever writes a row about the line waits a moment longer.",
    (
        "services/books_things.py",
        "is_marked_as_ours: bool = False",
        "is_marked_as_ours: bool = True",
    ): "It is asked only of what has no attempt here, and for all of that it is looked up.",
    (
        "services/runs.py",
        "page = list(self._next_page()[:size]) if size > 0 else []",
        "page = list(self._next_page()[:size]) if size != 0 else []",
    ): "No more are claimed than there is room for, so it is never less than none.",
    (
        "services/releases.py",
        "if not rows.update(state=state, decided_by=actor(user), decided_at=clock.now(), decision=note[:255]):",
        "if not rows.update(state=state, decided_by=actor(user), decided_at=clock.now(), decision=note[: 254]):",
    ): "One letter less of a note that does not fit is no loss.",
    (
        "services/many.py",
        "MOST: Final = 2000",
        "MOST: Final = 1999",
    ): "How much one job does at most is a matter of choice.",
    (
        "services/reconcile.py",
        "asked_at = checkout.claimed_at or checkout.created_at",
        "asked_at = checkout.claimed_at and checkout.created_at",
    ): "A charge is claimed in the moment in which its row is made.",
    (
        "services/disputes.py",
        '("3-D Secure", json.dumps(secure, sort_keys=True) if secure else "not used for this charge"),',
        '("3-D Secure", json.dumps(secure, sort_keys=False) if secure else "not used for this charge"),',
    ): "The same facts in the order that Stripe gives them.",
    (
        "services/early.py",
        "existing = Checkout.objects.asking_for(parts[0].line).taking_money().open().first()",
        "existing = Checkout.objects.asking_for(parts[ -1].line).taking_money().open().first()",
    ): "An attempt at the same parts is found by each of them, and whatever else is open is closed.",
    (
        "services/by_hand.py",
        "return [row for row, cause in zip(rows, causes, strict=True) if cause not in undone]",
        "return [row for row, cause in zip(rows, causes, strict=False) if cause not in undone]",
    ): "Each row has one cause.",
    (
        "services/early.py",
        'held = ObjectPaymentPlan.objects.select_for_update(no_key=True, of=("self",)).select_related("payment_plan")',
        'held = ObjectPaymentPlan.objects.select_for_update(no_key=False, of=("self",)).select_related("payment_plan")',
    ): "Whoever writes a row about the plan waits a moment longer.",
    (
        "services/papers.py",
        'list(ObjectPaymentPlan.objects.select_for_update(no_key=True).filter(pk=plan.pk).values_list("pk"))',
        'list(ObjectPaymentPlan.objects.select_for_update(no_key=False).filter(pk=plan.pk).values_list("pk"))',
    ): "Whoever writes a row about the plan waits a moment longer.",
    (
        "services/runs.py",
        "for row, attempt in zip(won, attempts, strict=True)",
        "for row, attempt in zip(won, attempts, strict=False)",
    ): "Of each line that was won an attempt was made, or an earlier `zip` has raised.",
    (
        "services/intents.py",
        "since = (checkout.claimed_at or checkout.created_at) - attempt_rows.CLOCK_SKEW",
        "since = (checkout.claimed_at and checkout.created_at) - attempt_rows.CLOCK_SKEW",
    ): "What is looked for was asked for, so it has been claimed, and its row was made before that.",
    (
        "services/letters/words.py",
        "row: Any = letter.checkout.content_object if letter.checkout is not None and plan is None else None",
        "row: Any = letter.checkout.content_object if letter.checkout is not None or plan is None else None",
    ): "Of a letter about a plan the row is not asked for, and every other letter is about an attempt.",
    (
        "gateway/money_back.py",
        'params = {"payment_intent": payment_intent_id, "limit": 100}',
        'params = {"payment_intent": payment_intent_id, "limit": 101}',
    ): "Stripe's lists bring it back to a hundred.",
    (
        "services/runs.py",
        "plans = ObjectPaymentPlan.objects.select_for_update(no_key=True).filter(",
        "plans = ObjectPaymentPlan.objects.select_for_update(no_key=False).filter(",
    ): "Whoever writes a row about one of the plans waits a moment longer.",
}
