"""What is kept about one payer: shown, erased as far as the law lets, and forgotten when its time is over.

Books have to be kept for years, so rows about money stay: without name and address nobody is in them. What staff wrote
in free text cannot be searched for names, and is shown so that a person can look.
"""

from __future__ import annotations

import logging
import re
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.forms.models import model_to_dict
from post_office.models import STATUS, Email

from checkout import clock, states
from checkout.conf import conf
from checkout.contract import Actor
from checkout.errors import CheckoutError, StillNeeded
from checkout.models import (
    Agreement,
    BookNote,
    Checkout,
    CheckoutAdditional,
    Customer,
    CustomerPayment,
    Dispute,
    Notice,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    Paper,
    PlanChange,
    Posting,
    Proposal,
    Refund,
    SavedCard,
    StateChange,
)

logger = logging.getLogger("checkout.personal_data")

_ADDRESS = re.compile(r"[^@\s<>]+@[^@\s<>]+")


def export(email: str) -> dict[str, Any]:
    """Everything that is kept under that address, as JSON-like values; empty lists where there is nothing. Raises
    CheckoutError for what is no address."""
    customer = Customer.objects.with_email(email)
    known = _known(email, customer)
    attempts = _attempts(known, customer)
    keys = list(attempts.values_list("pk", flat=True))
    return {
        "customer": [] if customer is None else [_row(each) for each in (customer, *customer.merged.order_by("pk"))],
        "saved_cards": [_row(card, "brand", "last4", "exp_month", "exp_year") for card in _cards(customer)],
        "payment_plans": [_row(plan) for plan in _plans(customer)],
        "agreements": [_row(agreement) for agreement in _agreements(keys, customer)],
        "attempts": [
            _row(
                each, "uuid", "action", "state", "payer", "description", "total", "currency", "created_at", "settled_at"
            )
            for each in attempts
        ],
        "invoice_addresses": [_row(each) for each in _addresses(known, keys)],
        "receipts": [
            _row(each, "series", "number", "card_brand", "card_last4", "issued_at")
            for each in Paper.objects.filter(checkout__in=keys).order_by("pk")
        ],
        "requests": [_row(each) for each in CustomerPayment.objects.filter(customer=customer) if customer is not None],
        "notices": [_row(each) for each in Notice.objects.filter(_one_of("recipient", known))],
        "mails": [
            {"subject": mail.subject, "text": mail.message, "created": str(mail.created)} for mail in _mails(known)
        ],
        "refunds": [
            _row(each, "uuid", "state", "amount", "currency", "reason", "failure", "created_at", "settled_at")
            for each in Refund.objects.filter(checkout__in=keys).order_by("pk")
        ],
        "disputes": [
            _row(each, "dispute_id", "kind", "status", "reason", "amount", "currency", "opened_at")
            for each in Dispute.objects.filter(checkout__in=keys).order_by("pk")
        ],
        "notes_of_staff": _notes_of_staff(keys, customer),
        "corrections": [change.facts for change in StateChange.objects.filter(_about(customer)).exclude(code="")],
    }


def erase(email: str, user: Actor = None) -> dict[str, int]:
    """Take name and address out of everything kept under `email`; how many rows of each kind.

    Amounts, days, Stripe's ids and what was agreed stay. Invoice addresses stay as long as books do
    (CHECKOUT_KEEP_INVOICES_DAYS), and mails to staff until they are sent. What Stripe keeps is erased in its dashboard.
    Raises StillNeeded while the payer owes something or is asked to, an attempt or a dispute is open, or a refund is on
    its way.
    """
    customer = Customer.objects.with_email(email)
    known = _known(email, customer)
    with transaction.atomic():
        attempts = _attempts(known, customer)
        _check_unneeded(attempts, customer)
        keys = list(attempts.values_list("pk", flat=True))
        long_ago = clock.now() - timedelta(days=conf.CHECKOUT_KEEP_INVOICES_DAYS)
        addresses = _addresses(known, keys).filter(checkout__created_at__lt=long_ago)
        nobody = f"erased-{customer.uuid if customer is not None else 'payer'}@erased.invalid"
        done = {
            "agreements": _agreements(keys, customer).update(ip_address=None, user_agent=""),
            "invoice_addresses": addresses.update(
                company_name="", address_1="", address_2="", town="", county="", postcode="", country="",
                contact_name="", email=nobody, phone="",
            ),
            "mails": _mails(known).delete()[0] + _mails_that_name(known).delete()[0],
            "notices": Notice.objects.filter(_one_of("recipient", known)).update(recipient=nobody),
            "attempts": Checkout.objects.filter(pk__in=keys).update(payer=""),
            "customer": 0,
        }  # fmt: skip
        for merged in customer.merged.all() if customer is not None else ():
            # The same person under an address of before.
            merged.name, merged.email, merged.language = "", f"erased-{merged.uuid}@erased.invalid", ""
            merged.save()
            done["customer"] += 1
        if customer is not None:
            # What was corrected named the payer, and notes are about them.
            StateChange.objects.filter(customer=customer).update(facts={}, note="")
            customer.name, customer.email, customer.language = "", nobody, ""
            customer.save()
            done["customer"] += 1
    who = getattr(user, "pk", None)
    logger.info("personal data of customer %s erased by user %s", customer.pk if customer is not None else None, who)
    return done


def forget_old() -> int:
    """Forget the IP addresses and browsers of agreements that nothing is owed under any more, after
    CHECKOUT_KEEP_VISITORS_DAYS; how many."""
    long_ago = clock.now() - timedelta(days=conf.CHECKOUT_KEEP_VISITORS_DAYS)
    needed = ObjectPaymentPlan.objects.outstanding_payment_plans.exclude(agreement=None).values("agreement")
    old: QuerySet[Agreement] = QuerySet(Agreement).filter(agreed_at__lt=long_ago).exclude(pk__in=needed)
    return old.exclude(ip_address=None, user_agent="").update(ip_address=None, user_agent="")


def _check_unneeded(attempts: QuerySet[Checkout], customer: Customer | None) -> None:
    if attempts.open().exists():  # type: ignore[attr-defined]
        raise StillNeeded("A payment of this payer is open. Cancel it, or wait until it has ended.")
    if customer is not None and ObjectPaymentPlan.objects.outstanding_payment_plans.filter(customer=customer).exists():
        raise StillNeeded("This payer has a payment plan with something left to pay. Stop it first.")
    if customer is not None:
        asked = CustomerPayment.objects.filter(customer=customer, withdrawn_at=None).exclude(Q(state=states.SUCCESS))
        if asked.exists():
            raise StillNeeded("This payer is asked for money. Withdraw the request first, or wait until it is paid.")
        if customer.changes_to_them.filter(state=PlanChange.State.WAITING).exists():
            raise StillNeeded("This payer is asked to take over a payment plan. Withdraw that first.")
    if Refund.objects.filter(checkout__in=attempts, state=Refund.PENDING).exists():
        raise StillNeeded("A refund to this payer is on its way. If it fails, they have to be told.")
    if any(dispute.is_open for dispute in Dispute.objects.filter(checkout__in=attempts)):
        raise StillNeeded("A payment of this payer is disputed. The bank may ask for what would be erased.")


def _known(email: str, customer: Customer | None) -> list[str]:
    """Every address of that person: what was asked for, theirs, and those of customers that were merged into theirs.
    Raises CheckoutError for what is no address: nothing at all stands on every attempt without a payer."""
    if not _ADDRESS.fullmatch(email.strip()):
        raise CheckoutError(f"{email!r} is not an e-mail address")
    found = {email.strip()}
    if customer is not None:
        found |= {customer.email, *customer.merged.values_list("email", flat=True)}
    return sorted(found)


def _one_of(column: str, addresses: list[str]) -> Q:
    """Without case; one of them at least."""
    return Q(*((f"{column}__iexact", address) for address in addresses), _connector=Q.OR)


def _attempts(addresses: list[str], customer: Customer | None) -> QuerySet[Checkout]:
    theirs = _one_of("payer", addresses)
    for address in addresses:
        theirs |= Q(payer__iendswith=f"<{address}>")
    if customer is not None:
        theirs |= Q(customer=customer)
    return Checkout.objects.filter(theirs)


def _plans(customer: Customer | None) -> QuerySet[ObjectPaymentPlan]:
    return ObjectPaymentPlan.objects.filter(customer=customer) if customer else ObjectPaymentPlan.objects.none()


def _about(customer: Customer | None) -> Q:
    return Q(customer=customer) if customer is not None else Q(pk=None)


def _cards(customer: Customer | None) -> QuerySet[SavedCard]:
    return SavedCard.objects.filter(customer=customer) if customer else SavedCard.objects.none()


def _agreements(attempts: list[int], customer: Customer | None) -> QuerySet[Agreement]:
    """Also those that are in use no more, and those that they gave to a change of a plan, without any attempt."""
    found: QuerySet[Agreement] = QuerySet(Agreement)
    theirs = Q(checkout__in=attempts)
    if customer is not None:
        plans = _plans(customer)
        theirs |= Q(saved_card__customer=customer)
        # Without a card they are of whoever pays for the plan; it may have had another payer before.
        of_plans = Q(pk__in=plans.exclude(agreement=None).values("agreement")) | Q(plan_change__plan__in=plans)
        theirs |= of_plans & Q(saved_card=None)
    return found.filter(theirs)


def _notes_of_staff(attempts: list[int], customer: Customer | None) -> list[str]:
    """Whatever staff wrote, each once, the histories first."""
    plans = _plans(customer)
    lines = ObjectPaymentPlanInstalment.objects.filter(object_payment_plan__in=plans)
    requests = CustomerPayment.objects.filter(customer=customer) if customer else CustomerPayment.objects.none()
    refunds = Refund.objects.filter(checkout__in=attempts)
    changes = PlanChange.objects.filter(plan__in=plans)
    of_history = Q(checkout__in=attempts) | Q(object_payment_plan__in=plans) | Q(instalment__in=lines)
    of_history |= Q(customer_payment__in=requests) | Q(refund__in=refunds) | _about(customer)
    of_proposals = Q(checkout__in=attempts) | Q(instalment__in=lines) | Q(customer_payment__in=requests)
    of_money = Q(checkout__in=attempts) | Q(debt__instalment__in=lines)
    texts: list[QuerySet[Any]] = [
        StateChange.objects.filter(of_history).order_by("pk").values_list("note"),
        changes.order_by("pk").values_list("reason", "decision"),
        refunds.order_by("pk").values_list("note"),
        Posting.objects.filter(of_money).order_by("pk").values_list("note", "reference"),
        Proposal.objects.filter(of_proposals).order_by("pk").values_list("note", "decision", "reference"),
        requests.order_by("pk").values_list("withdrawn_why"),
        BookNote.objects.filter(difference__checkout__in=attempts).order_by("pk").values_list("note"),
    ]
    return list(dict.fromkeys(text for rows in texts for row in rows for text in row if text))


def _addresses(known: list[str], attempts: list[int]) -> QuerySet[CheckoutAdditional]:
    return CheckoutAdditional.objects.filter(_one_of("email", known) | Q(checkout__in=attempts))


def _mails(known: list[str]) -> QuerySet[Any]:
    rows: QuerySet[Any] = Email.objects.filter(_one_of("to", known))
    return rows


def _mails_that_name(known: list[str]) -> QuerySet[Any]:
    """Mails to others, staff for the most part, that have one of these addresses in them and went, or never will."""
    named, texts = Q(), ("subject", "message", "html_message")
    for address in known:
        for text in texts:
            named |= Q(**{f"{text}__icontains": address})
    rows: QuerySet[Any] = Email.objects.filter(named, status__in=[STATUS.sent, STATUS.failed])
    # Not those that name somebody whose address only ends, or begins, like it.
    wanted = "|".join(map(re.escape, known))
    exactly = re.compile(rf"(?<![\w.+-])(?:{wanted})(?![\w-]|\.\w)", re.IGNORECASE)
    found = [pk for pk, *said in rows.values_list("pk", *texts) if any(exactly.search(text or "") for text in said)]
    return Email.objects.filter(pk__in=found)


def _row(row: Any, *fields: str) -> dict[str, str]:
    return {name: str(value) for name, value in model_to_dict(row, fields=fields or None).items()} | {
        name: str(getattr(row, name)) for name in fields
    }
