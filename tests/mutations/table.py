"""What is broken, and who has to notice. docs/decisions/promises.md has the promises that are broken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Mutation:
    """In `path` (below src/checkout) the text `old`, which stands there once, is replaced by `new`; one of `tests`
    (arguments for pytest) has to fail then. `rule` is the number of the promise that is broken by it."""

    name: str
    rule: int
    path: str
    old: str
    new: str
    tests: tuple[str, ...]
    postgres: bool = False


NEVER_TWICE = "tests/services/test_never_twice.py"
RUNS = "tests/services/test_runs.py"
RECONCILE = "tests/services/test_reconcile.py"
ONE_OFF = "tests/services/test_one_off.py"
SETTLING = "tests/services/test_settling.py"
DEBTS = "tests/services/test_debts.py"
CARDS = "tests/services/test_cards.py"
LOOK_BACK = "tests/services/test_look_back.py"
APPLYING = "tests/services/test_applying.py"
EARLY: Final = "tests/services/test_early.py"
BANK_NEWS = "tests/services/test_bank_news.py"
ON_SESSION = "tests/services/test_on_session.py"
MATCHING = "tests/services/test_matching.py"

MUTATIONS: Final = (
    # 1. A debt is taken twice.
    Mutation(
        "the claim does not look at the state",
        1,
        "services/moves.py",
        "manager.filter(Q(state=from_state), only_if or Q(), pk=row.pk)",
        "manager.filter(only_if or Q(), pk=row.pk)",
        (NEVER_TWICE,),
    ),
    Mutation(
        "the claim of a batch does not look at the state",
        1,
        "services/moves.py",
        "if table.filter(Q(state=from_state), pk__in=held)",
        "if table.filter(pk__in=held)",
        (NEVER_TWICE, "tests/postgres/test_runs.py"),
        postgres=True,
    ),
    Mutation(
        "what is reserved is not looked at",
        1,
        "services/debts.py",
        '"asked", "attempts", only_if=unmoved) == len(debts)',
        '"asked", "attempts") == len(debts)',
        (DEBTS, NEVER_TWICE),
    ),
    Mutation(
        "counters are written whatever they were",
        1,
        "services/debts.py",
        "only_if=before if only_if_unmoved else None",
        "only_if=None",
        (DEBTS, NEVER_TWICE),
    ),
    Mutation(
        "a run takes what was stopped, paused or postponed since it looked",
        1,
        "services/runs.py",
        "among=ObjectPaymentPlanInstalment.objects.may_be_taken(clock.today()),",
        "among=ObjectPaymentPlanInstalment.objects.all(),",
        (NEVER_TWICE,),
    ),
    Mutation(
        "each try has a key of its own",
        1,
        "services/charging.py",
        "idempotency_key=str(checkout.uuid),",
        "idempotency_key=str(checkout.uuid) + str(clock.now()),",
        (RECONCILE, NEVER_TWICE),
    ),
    Mutation(
        "a set-up is asked for without a key",
        1,
        "gateway/stripe.py",
        "lambda: self._v1.setup_intents.create(params, _key(idempotency_key)),",
        "lambda: self._v1.setup_intents.create(params),",
        ("tests/gateway", "tests/services/test_plans.py", NEVER_TWICE),
    ),
    Mutation(
        "a lost intent is looked for in a short window",
        1,
        "services/reconcile.py",
        "ANY_CLOCK_SKEW = timedelta(days=7)",
        "ANY_CLOCK_SKEW = timedelta(minutes=1)",
        (RECONCILE, NEVER_TWICE),
    ),
    Mutation(
        "a refusal of the second request is believed for the first",
        1,
        "services/reconcile.py",
        "found = find_intent(checkout)\n            return charging.settle(checkout, answer) if found is None else",
        "found = None\n            return charging.settle(checkout, answer) if found is None else",
        (RECONCILE, NEVER_TWICE),
    ),
    Mutation(
        "a request is sent again without a look",
        1,
        "services/reconcile.py",
        "    found = find_intent(checkout)\n    if found is not None:",
        "    found = None\n    if found is not None:",
        (RECONCILE, NEVER_TWICE),
    ),
    Mutation(
        "two reconcile the same request",
        1,
        "services/reconcile.py",
        "pk=checkout.pk, lease_until=checkout.lease_until)",
        "pk=checkout.pk)",
        (RECONCILE, NEVER_TWICE),
    ),
    Mutation(
        "who lost the lease frees the debt",
        1,
        "services/charging.py",
        "    return Q(lease_until=checkout.lease_until)",
        "    return Q()",
        (RECONCILE, NEVER_TWICE),
    ),
    Mutation(
        "a key is trusted longer than Stripe keeps it",
        1,
        "services/attempt_rows.py",
        "KEY_TRUSTED_FOR = timedelta(hours=20)",
        "KEY_TRUSTED_FOR = timedelta(hours=48)",
        (RECONCILE, NEVER_TWICE),
    ),
    Mutation(
        "a run does not look back first",
        1,
        "services/runs.py",
        "    look_back.look_back()\n",
        "",
        (LOOK_BACK,),
    ),
    Mutation(
        "an attempt's uuid is made anew",
        1,
        "models/debts.py",
        "return uuid5(self.uuid, str(number))",
        "return uuid4()",
        (LOOK_BACK, DEBTS),
    ),
    Mutation(
        "a debt that is opened again is another debt",
        1,
        "services/debts.py",
        'return uuid5(own, "debt") if isinstance(own, UUID) else uuid4()',
        "return uuid4()",
        (LOOK_BACK,),
    ),
    Mutation(
        "what was settled a moment ago may be claimed",
        1,
        "services/charging.py",
        "if not attempt_rows.still_payable(content_object):",
        "if False:",
        (NEVER_TWICE, "tests/services/test_stale_objects.py"),
    ),
    # 2. We say success and Stripe does not, or the intent is another.
    Mutation(
        "the amount is not compared",
        2,
        "services/settling.py",
        '"amount": (intent.amount_minor, money.to_minor(checkout.total, checkout.currency)),',
        '"amount": (wanted := money.to_minor(checkout.total, checkout.currency), wanted),',
        (MATCHING,),
    ),
    Mutation(
        "the amount received is not compared",
        2,
        "services/settling.py",
        'expected["amount received"] = (intent.amount_received_minor, expected["amount"][1])',
        "pass",
        (MATCHING,),
    ),
    Mutation(
        "the currency is not compared",
        2,
        "services/settling.py",
        '        "currency": (intent.currency, checkout.currency),\n',
        "",
        (MATCHING,),
    ),
    Mutation(
        "the owner of a payment is not compared",
        2,
        "services/settling.py",
        '        "customer": (intent.customer_id, checkout.stripe_customer_id),\n    }\n    if intent.succeeded:',
        "    }\n    if intent.succeeded:",
        (MATCHING,),
    ),
    Mutation(
        "the owner of a set-up is not compared",
        2,
        "services/settling.py",
        '    expected = {"customer": (intent.customer_id, checkout.stripe_customer_id)}\n',
        "    expected: dict[str, tuple[Any, Any]] = {}\n",
        (MATCHING,),
    ),
    Mutation(
        "live and test mode are not compared",
        2,
        "services/settling.py",
        '        "live mode": (intent.livemode, checkout.livemode),\n',
        "",
        (MATCHING,),
    ),
    Mutation(
        "any intent settles any attempt",
        2,
        "services/settling.py",
        '        "metadata": (intent.metadata.get("checkout"), str(checkout.uuid)),\n',
        "",
        (MATCHING,),
    ),
    Mutation(
        "a refund of another amount is settled",
        2,
        "services/refunds.py",
        "if wrong:",
        "if False:",
        ("tests/services/test_refunds.py",),
    ),
    # 3. Hooks run once, and money that came is never hidden.
    Mutation(
        "who did not win tells the host as well",
        3,
        "services/settling.py",
        "    if not won:\n        return False\n    debts.came(",
        "    debts.came(",
        (ONE_OFF, SETTLING, NEVER_TWICE),
    ),
    Mutation(
        "what a hook did before it raised stays",
        3,
        "services/applying.py",
        "with transaction.atomic(), moves.journal(), debts.ledger():\n            _run(checkout)",
        "with moves.journal(), debts.ledger():\n            _run(checkout)",
        (APPLYING,),
    ),
    Mutation(
        "a hook that hides an error of the database did run",
        3,
        "services/applying.py",
        "if transaction.get_rollback():",
        "if False:",
        (APPLYING,),
    ),
    Mutation(
        "a row that was settled elsewhere is told again",
        3,
        "services/applying.py",
        "if not row.checkout_can_charge:",
        "if False:",
        (APPLYING,),
    ),
    Mutation(
        "an old price pays a new one",
        3,
        "services/applying.py",
        "if debts.missing_at(checkout, row.checkout_total):",
        "if debts.missing_at(checkout, row.checkout_total) and False:",
        (APPLYING,),
    ),
    Mutation(
        "a refused payment is applied twice",
        3,
        "services/applying.py",
        "if not waiting.update(unapplied=False):",
        "if waiting.update(unapplied=False) is None:",
        (APPLYING,),
    ),
    # 4. Stripe is called in a transaction.
    Mutation(
        "Stripe is called in a transaction",
        4,
        "gateway/stripe.py",
        'if any(not getattr(block, "_from_testcase", False) for block in connection.atomic_blocks):',
        "if False:",
        ("tests/gateway", ONE_OFF),
    ),
    # 5. Nothing moves backwards.
    Mutation(
        "what failed may wait for its payer",
        5,
        "states.py",
        "FAIL: frozenset({PENDING, REQUEST, SUCCESS}),",
        "FAIL: frozenset({PENDING, REQUEST, SUCCESS, PAY_ON_SESSION}),",
        ("tests/unit/test_states.py",),
    ),
    Mutation(
        "an older card takes the place of a newer one",
        5,
        "services/cards.py",
        "beaten = ObjectPaymentPlan.objects.filter(newer | same, pk=plan.pk)",
        "beaten = ObjectPaymentPlan.objects.filter(same, pk=plan.pk)",
        (CARDS,),
    ),
    Mutation(
        "old news opens a closed dispute",
        5,
        "services/disputes.py",
        'if before is not None and before.status in Dispute.CLOSED and about["is_open"]:',
        "if False:",
        (BANK_NEWS,),
    ),
    Mutation(
        "what was read earlier takes the place of what was read later",
        5,
        "services/disputes.py",
        "if before is not None and before.read_at is not None and before.read_at > read_at:",
        "if False:",
        (BANK_NEWS,),
    ),
    Mutation(
        "an attempt that is being cancelled looks like a failure",
        5,
        "services/intents.py",
        "Checkout.objects.open().filter(pk=checkout.pk).update(superseded=True)",
        "pass",
        (NEVER_TWICE, "tests/services/test_inbox.py", ONE_OFF),
    ),
    Mutation(
        "who pays early reserves what others are asked for",
        1,
        "services/debts.py",
        "if amount > held[debt.pk].left - held[debt.pk].asked:",
        "if False:",
        (EARLY,),
    ),
    Mutation(
        "what is paid early is not looked at again under the lock",
        1,
        "services/early.py",
        "parts = parts_of(held.get(pk=plan.pk), amount)",
        "parts = parts_of(plan, amount=amount)",
        (EARLY,),
    ),
    Mutation(
        "a page for several lines stays open when one of them is paid in another way",
        1,
        "services/intents.py",
        "Checkout.objects.asking_for(content_object).one_at_a_time().open():",
        "Checkout.objects.for_content_object(content_object).one_at_a_time().open():",
        (EARLY,),
    ),
    Mutation(
        "a card is asked again after a no",
        1,
        "retries.py",
        "verdict.retry not in BY_ITSELF or tries > most",
        "tries > most",
        ("tests/unit/test_retries.py",),
    ),
    Mutation(
        "a declined line is due again before its day",
        1,
        "services/recovery.py",
        "        day__lte=day,\n",
        "",
        ("tests/services/test_recovery.py",),
    ),
    Mutation(
        "a line is due again while it is being asked for",
        1,
        "services/recovery.py",
        "only_from={states.FAIL}, only_if=only_if,",
        "only_if=only_if,",
        ("tests/services/test_promises.py",),
    ),
    Mutation(
        "a promise holds its own day too",
        1,
        "services/promises.py",
        "follow_up__promised_for__gt",
        "follow_up__promised_for__gte",
        ("tests/services/test_promises.py",),
    ),
    Mutation(
        "two work on one event",
        5,
        "services/inbox.py",
        "free = StripeEvent.objects.filter(pk=pk, handled_at=None, next_attempt_at__lte=now)",
        "free = StripeEvent.objects.filter(pk=pk)",
        ("tests/services/test_inbox.py",),
    ),
    # 6. The lines of a plan add up.
    Mutation(
        "the odd pennies are lost",
        6,
        "schedule.py",
        "amounts = [first, *split_minor(rest, count, step)]",
        "amounts = [first, *[rest // count // step * step] * count]",
        ("tests/unit/test_schedule.py",),
    ),
    Mutation(
        "a line may be less than Stripe takes",
        6,
        "schedule.py",
        "if first < least or rest // count < least:",
        "if first < 1 or rest // count < 1:",
        ("tests/unit/test_schedule.py",),
    ),
    # 7. One letter for one cause.
    Mutation(
        "a payer who has paid meanwhile is mailed",
        7,
        "services/on_session.py",
        "if not still.filter(Q(state=states.PAY_ON_SESSION)).exists():",
        "if False:",
        (ON_SESSION, NEVER_TWICE),
    ),
    # 8. What is not theirs.
    Mutation(
        "anybody opens a payment page",
        8,
        "views/access.py",
        "    if str(checkout.uuid) in remembered_uuids(request):\n        return True\n",
        "    return True\n",
        ("tests/views/test_who_may_see_what.py",),
    ),
    Mutation(
        "a link lives for ever",
        8,
        "links.py",
        "unsign(token, max_age=timedelta(days=conf.CHECKOUT_LINK_DAYS))",
        "unsign(token)",
        ("tests/views/test_links_and_sessions.py", "tests/views/test_on_session_pages.py"),
    ),
    Mutation(
        "a link for one thing opens another",
        8,
        "links.py",
        "return _signer(model).unsign(",
        "return _signer(ObjectPaymentPlanInstalment).unsign(",
        ("tests/views/test_links_and_sessions.py", "tests/services/test_requests.py"),
    ),
    Mutation(
        "whoever proposes may approve",
        8,
        "office/proposals.py",
        "return who is not None and proposal.proposed_by_id == who.pk",
        "return False",
        ("tests/staff/test_proposals.py",),
    ),
    Mutation(
        "a proposal is decided twice",
        8,
        "office/proposals.py",
        "rows = waiting().filter(pk=proposal.pk)",
        "rows = Proposal.objects.filter(pk=proposal.pk)",
        ("tests/staff/test_proposals.py",),
    ),
    Mutation(
        "small amounts are a way around the second person",
        8,
        "office/proposals.py",
        "is_above(now.moved + asked.amount, asked.currency)",
        "is_above(asked.amount, asked.currency)",
        ("tests/staff/test_proposals.py",),
    ),
    Mutation(
        "a link that was revoked opens",
        8,
        "links.py",
        'text = row.uuid.bytes + f"{email}{since}".encode()',
        "text = row.uuid.bytes + email.encode()",
        ("tests/views/test_links_and_sessions.py",),
    ),
    Mutation(
        "any link opens the papers of any plan",
        8,
        "views/papers.py",
        "return access_to_plan(self.request, line.object_payment_plan.uuid) is not None",
        "return line is not None",
        ("tests/views/test_papers.py",),
    ),
    # 9. One bad row stops nothing.
    Mutation(
        "a row that cannot be claimed stops the run",
        9,
        "services/runs.py",
        'self._skip(instalment, Outcome.ERROR, f"{type(problem).__name__}: {problem}")\n        return []',
        "raise\n        return []",
        (RUNS,),
    ),
    Mutation(
        "a run's error is called well",
        9,
        "services/bank_news.py",
        "            news.errors += 1\n        else:\n            news.found += 1",
        "            pass\n        else:\n            news.found += 1",
        (BANK_NEWS,),
    ),
    # 10. Amounts.
    Mutation(
        "an amount is off by the currency's factor",
        10,
        "money.py",
        "minor = amount.scaleb(exponent(currency))",
        "minor = amount.scaleb(2)",
        ("tests/unit/test_money.py",),
    ),
    Mutation(
        "an amount is read in one of two ways",
        10,
        "money.py",
        'locale=language.replace("-", "_"), strict=True)',
        'locale=language.replace("-", "_"))',
        ("tests/unit/test_money.py",),
    ),
    # 11. A card is charged for what its owner agreed to.
    Mutation(
        "any card of a payer pays for anything",
        11,
        "services/charging.py",
        "card = customer.card_for_other_amounts if customer is not None else None",
        "card = SavedCard.objects.filter(customer=customer).first()",
        (CARDS, "tests/services/test_requests.py"),
    ),
    Mutation(
        "a line is taken before its day",
        11,
        "models/managers.py",
        "            due__lte=day,\n",
        "",
        ("tests/services/test_plans.py", NEVER_TWICE, CARDS),
    ),
)
