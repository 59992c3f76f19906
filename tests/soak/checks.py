"""What must hold when a year is over: the app's rows, the emulator's ledger and what payers did, compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db.models import F, Q, Sum
from post_office.models import Email

from checkout import actions, clock, states
from checkout.models import (
    BalanceTransaction,
    BookDifference,
    Checkout,
    Debt,
    Letter,
    Notice,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    Payout,
    Posting,
    Problem,
    Refund,
    StateChange,
    StripeEvent,
)
from checkout.services import audit, booking, books_match, promises
from tests.soak.world import World

AT_STRIPE = ("taken", "given_back", "give_back_failed", "disputed", "dispute_won")


def faults(world: World) -> list[str]:
    """What does not hold, in words; nothing when all is well."""
    found: list[str] = []
    for check in (_money, _books, _twice, _cards, _states, _letters, _nothing_forgotten):
        found += [f"{check.__name__.strip('_')}: {words}" for words in check(world)]
    return found


def _net(world: World) -> tuple[dict[str, int], dict[str, Any]]:
    """Pence that Stripe has of each attempt, by its uuid, less what went back; and the charges by payment intent."""
    tables, hidden = world.emulator.world.tables, world.emulator.world.hidden
    back: Counter[str] = Counter()
    for refund in tables["refund"].values():
        if refund["status"] in ("succeeded", "pending"):
            back[refund["charge"]] += refund["amount"]
    for dispute in tables["dispute"].values():
        back[dispute["charge"]] += hidden.get(dispute["id"], {}).get("withdrawn", 0)
    net: Counter[str] = Counter()
    charges: dict[str, Any] = {}
    for charge in tables["charge"].values():
        if charge["status"] == "succeeded":
            net[charge["metadata"]["checkout"]] += charge["amount_captured"] - back[charge["id"]]
            charges[charge["payment_intent"]] = charge
    return net, charges


def _pence(total: Decimal | None) -> int:
    """Of what the database added up; SQLite does that in binary fractions, so 3.07 may be 3.06999999999894."""
    return round((total or Decimal(0)) * 100)


def _unknown() -> set[str]:
    """Intents that staff were told of, because the rows that they paid for are gone with a lost day."""
    return set(Problem.objects.filter(kind=Problem.Kind.UNKNOWN_PAYMENT).values_list("subject", flat=True))


def _money(world: World) -> Iterator[str]:
    """The postings of each attempt are what Stripe has of it."""
    net, charges = _net(world)
    unknown = {charges[intent]["metadata"]["checkout"] for intent in _unknown() if intent in charges}
    posted: Counter[str] = Counter()
    for path in ("checkout", "refund__checkout", "dispute__checkout"):
        if path != "checkout":
            rows = Posting.objects.filter(kind__in=AT_STRIPE, checkout=None).exclude(**{path: None})
        else:
            rows = Posting.objects.filter(kind__in=AT_STRIPE).exclude(checkout=None)
        for key, amount in rows.order_by().values_list(f"{path}__uuid").annotate(sum=Sum("amount")):
            posted[str(key)] += _pence(amount)
    for key in net.keys() | posted.keys():
        if key not in unknown and net[key] != posted[key]:
            yield f"attempt {key}: {net[key]} at Stripe, {posted[key]} here"
    if booking.wrong_counters().exists():
        yield "counters are not the sums of postings"


def _books(world: World) -> Iterator[str]:
    """Postings are what came into the balance, and what came into it and did not leave is there."""
    known = Q(subject__in=_unknown())
    for difference in BookDifference.objects.filter(closed_at=None).exclude(known):
        yield f"difference {difference.kind} {difference.subject} {difference.amount}"
    here = BalanceTransaction.objects.aggregate(net=Sum("net"))
    there = list(world.emulator.world.tables["balance_transaction"].values())
    if _pence(here["net"]) != sum(row["net"] for row in there):
        yield f"balance {here['net']} here, {sum(row['net'] for row in there)} there"
    for payout in Payout.objects.filter(automatic=True).exclude(held_at=None):
        if remainder := books_match.remainder(payout):
            yield f"payout {payout.payout_id} is off by {remainder}"


def _twice(world: World) -> Iterator[str]:
    """No attempt took money twice, and no debt more than is owed, but where staff know of it."""
    taken = Counter(c["metadata"]["checkout"] for c in _net(world)[1].values())
    yield from (f"attempt {key} took money {times} times" for key, times in taken.items() if times > 1)
    told = set(Problem.objects.values_list("checkout__debt_id", flat=True))
    named = set(Problem.objects.values_list("subject", flat=True))
    for debt in Debt.objects.filter(paid__gt=F("owed")):
        if debt.pk not in told and str(debt.uuid) not in named:
            yield f"debt {debt.uuid}: {debt.paid} of {debt.owed}, and nobody was told"


def _cards(world: World) -> Iterator[str]:
    """Every card was charged for what its owner typed it for, and by an agreement that names it."""
    _each, charges = _net(world)
    owners = dict(ObjectPaymentPlanInstalment.objects.values_list("pk", "object_payment_plan__object_id"))
    for checkout in Checkout.objects.success().filter(action=actions.CHARGE).iterator():
        owner = owners[int(checkout.object_id)]
        charge = charges.get(checkout.payment_intent_id)
        if charge is None:
            yield f"{checkout} is a success, and Stripe has no charge"
        elif charge["payment_method"] not in world.typed.get(owner, set()):
            yield f"{checkout} charged {charge['payment_method']}, which its payer never typed"


def _states(world: World) -> Iterator[str]:
    """Histories have no gap, and nothing is unknown any more."""
    stands: dict[tuple[int | None, int | None], str] = {}
    about = Q(checkout__isnull=False) | Q(instalment__isnull=False)
    rows = StateChange.objects.filter(about, refund=None, object_payment_plan=None).order_by("pk")
    for checkout, line, before, after in rows.values_list("checkout", "instalment", "from_state", "to_state"):
        row = (checkout, line)
        if before and stands.get(row, before) != before:
            yield f"{row} moved from {before}, and was {stands[row]}"
        if before and before != after and not states.may_move(before, after) and before != states.SUCCESS:
            yield f"{row} moved from {before} to {after}"
        stands[row] = after
    for name, model in (("checkout", Checkout), ("instalment", ObjectPaymentPlanInstalment)):
        kept = {key[0] or key[1]: state for key, state in stands.items() if (key[0] is None) == (name != "checkout")}
        for pk, state in model._default_manager.values_list("pk", "state"):
            if kept.get(pk, state) != state:
                yield f"{name} {pk} stands as {state}, and its history ends with {kept[pk]}"
    yield from (f"{row} is unknown" for row in Checkout.objects.filter(Q(state=states.REQUEST)))
    yield from (f"refund {row.pk} is unknown" for row in Refund.objects.filter(state=Refund.PENDING))
    yield from (
        f"event {kind} {about}: {error}"
        for kind, about, error in StripeEvent.objects.filter(handled_at=None).values_list(
            "event_type", "object_id", "error"
        )
    )
    audited = audit.audit_failed_checkouts(days=4000)
    if audited.wrong or audited.unread:
        yield f"audit: {audited.wrong} wrong, {audited.unread} unread"


def _letters(world: World) -> Iterator[str]:
    if Email.objects.count() != Notice.objects.count():
        yield f"{Email.objects.count()} mails of {Notice.objects.count()} causes"
    causes = Counter(Letter.objects.values_list("cause", flat=True))
    yield from (f"letter {cause} was asked for {times} times" for cause, times in causes.items() if times > 1)
    if waiting := Letter.objects.filter(ended_at=None, write_after__lt=clock.now()).count():
        yield f"{waiting} letters wait"


def _nothing_forgotten(world: World) -> Iterator[str]:
    """Whatever fell due was asked for: a line is open some days later only where somebody said so."""
    late = ObjectPaymentPlanInstalment.objects.filter(
        Q(state=states.PENDING),
        due__lt=clock.today() - timedelta(days=6),
        ended="",
        deposit=False,
        object_payment_plan__deleted=False,
        object_payment_plan__paused=False,
        object_payment_plan__agreement__saved_card__gone=False,
        object_payment_plan__agreement__saved_card__detached_at=None,
    )
    for line in late.filter(~Q(pk__in=_held())):
        yield f"line {line.pk} was due on {line.due}, and nobody asked for it"
    for plan in ObjectPaymentPlan.objects.filter(deleted=False):
        if not plan.agreement_id:
            yield f"{plan} has no agreement"


def _held() -> Any:
    return ObjectPaymentPlanInstalment.objects.filter(promises.held_on(clock.today())).values("pk")
