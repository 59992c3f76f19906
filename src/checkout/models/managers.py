"""Managers: the public names, one line deep. The work is in `services` and `selectors`.

The imports are late because services import models.
"""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models import Q

from checkout import actions, clock, logins, states
from checkout.contract import Actor, ContentObject
from checkout.logins import CanLoginAndPay
from checkout.models.fields import fold
from checkout.models.primary import ReadsPrimary

if TYPE_CHECKING:
    from checkout.models.checkouts import Checkout
    from checkout.models.customers import Customer
    from checkout.models.instalments import ObjectPaymentPlanInstalment
    from checkout.models.plans import ObjectPaymentPlan, PaymentPlan
    from checkout.models.runs import PaymentRun
    from checkout.services.card_expiry import CardsRead


def content_key(content_object: ContentObject) -> dict[str, Any]:
    """The columns that point at a content object, for a filter or a new row."""
    return {
        "content_type": ContentType.objects.get_for_model(model_of(content_object)),
        "object_id": str(content_object.pk),
    }


def model_of(content_object: ContentObject) -> type[models.Model]:
    """The class of a content object: the contract names what a host writes, and a row is a model anyhow."""
    return cast("type[models.Model]", type(content_object))


class CheckoutQuerySet(models.QuerySet["Checkout"]):
    def for_content_object(self, content_object: ContentObject) -> CheckoutQuerySet:
        """Every attempt at this row, whatever became of it."""
        return self.filter(**content_key(content_object))

    def asking_for(self, content_object: ContentObject) -> CheckoutQuerySet:
        """Every attempt that is to pay for this row: its own, and of a line of a plan those that pay for several."""
        row = Q(**content_key(content_object))
        debt = (
            getattr(content_object, "debt_id", None) if model_of(content_object)._meta.app_label == "checkout" else None
        )
        if debt is None:
            return self.filter(row)
        return self.filter(row | Q(pk__in=self.model.objects.filter(allocations__debt=debt).values("pk")))

    def open(self) -> CheckoutQuerySet:
        """Attempts that may still take money or save a card."""
        return self.filter(Q(state__in=states.OPEN))

    def taking_money(self) -> CheckoutQuerySet:
        """Attempts that take money now; those that save a card or ask for an invoice do not."""
        return self.filter(Q(action__in=actions.TAKES_MONEY))

    def one_at_a_time(self) -> CheckoutQuerySet:
        """Attempts of which a content object has one open at most: those that take money or save a card."""
        return self.filter(Q(action__in=actions.ONE_AT_A_TIME))

    def paid(self) -> CheckoutQuerySet:
        """Attempts by which money came, by card or by other means, and that nobody has undone since."""
        return self.taking_money().success().filter(undone_at=None)

    def success(self) -> CheckoutQuerySet:
        """What Stripe, or staff, say has succeeded."""
        return self.filter(Q(state=states.SUCCESS))

    def audit(self) -> CheckoutQuerySet:
        """What staff should look at: everything that is not a success, newest first."""
        return self.exclude(Q(state=states.SUCCESS)).order_by("-pk")


class CheckoutManager(ReadsPrimary, models.Manager.from_queryset(CheckoutQuerySet)):  # type: ignore[misc]
    def create_checkout(
        self, action: Any, content_object: ContentObject, user: Actor = None, **options: Any
    ) -> Checkout:
        """Begin (or continue) an attempt, and make its intent at Stripe. Call it outside any transaction.

        Options: `payment_plan` and `agreement`, for the action `payment_plan`. Raises CannotPay, AlreadyPaid and
        AttemptInProgress, each with a sentence for the payer, OutcomeUnknown, MoneyError.
        """
        from checkout.services import checkouts

        return checkouts.create_checkout(action, content_object, user, **options)

    def create_checkout_pay_on_session(
        self, instalment: ObjectPaymentPlanInstalment, user: Actor = None, **options: Any
    ) -> Checkout:
        """The payer is here for an instalment: continue with the same intent where Stripe allows it.

        Option: `another_card=True` begins a new intent that also saves the card. Raises AlreadyPaid, CannotPay and
        AttemptInProgress.
        """
        from checkout.services import on_session

        return on_session.create_checkout_pay_on_session(instalment, user, **options)

    def charge(self, content_object: ContentObject, user: Actor = None) -> Checkout:
        """Charge the saved card of the content object's payer, off session.

        The answer is in the attempt's state: success, fail (declined), pay_on_session (the bank requires the payer), or
        request (no answer yet). Raises NoSavedCard, CannotPay, AlreadyPaid, AttemptInProgress, MoneyError, and
        KeyRefused or TooManyRequests when Stripe did not take the request at all.
        """
        from checkout.services import charging

        return charging.charge(content_object, user)

    def manual(self, content_object: ContentObject, user: Actor = None) -> Checkout:
        """Staff: it was paid by other means. Open attempts are cancelled at Stripe first.

        Raises AlreadyPaid when one of them had succeeded, AttemptInProgress while one is unanswered.
        """
        from checkout.services import checkouts

        return checkouts.manual(content_object, user)

    def stripe_intent_fulfillment(self) -> int:
        """Bring the truth about every open attempt from Stripe; the number of attempts that changed."""
        from checkout.services import polling

        return polling.fulfill_open_intents().changed


class CustomerManager(ReadsPrimary, models.Manager["Customer"]):
    def with_email(self, email: str) -> Customer | None:
        """The customer of that address, compared without case; for one that was merged, whom it was merged into."""
        # One at most, and hardly one was merged: nothing is sorted or joined.
        found: Customer | None = next(iter(self.filter(email_folded=fold(email)).order_by()), None)
        return found if found is None or found.merged_into is None else found.merged_into

    @property
    def refresh(self) -> models.QuerySet[Customer]:
        """Customers who should give us a new card for a plan, the soonest to run out first."""
        from checkout.models.cards import SavedCard

        flagged = (
            SavedCard.objects.in_use().filter(refresh=True, customer=models.OuterRef("pk")).order_by("expiry_date")
        )
        return (
            self.filter(models.Exists(flagged))
            .annotate(runs_out=models.Subquery(flagged.values("expiry_date")[:1]))
            .order_by("runs_out", "pk")
        )

    def refresh_credit_card(self, email: str) -> bool:
        """True if the customer of that address should give us a new card."""
        customer = self.with_email(email)
        return customer is not None and customer.refresh

    def update_card_expiry(self, email: str) -> Customer | None:
        """Read the cards in use of that address from Stripe again; None when there are none."""
        from checkout.services import cards

        customer = self.with_email(email)
        return customer if customer is not None and cards.read_cards_of(customer) else None


class PaymentPlanManager(ReadsPrimary, models.Manager["PaymentPlan"]):
    def create_payment_plan(self, slug: str, name: str, deposit: int, count: int, interval: int) -> PaymentPlan:
        """A template: `deposit` per cent now, the rest in `count` instalments, `interval` months apart.

        Raises PlanError for terms that make no plan.
        """
        return self.create(slug=slug, name=name, deposit=deposit, count=count, interval=interval)

    def current(self) -> models.QuerySet[PaymentPlan]:
        """Templates that are offered."""
        return self.filter(deleted=False)


class ObjectPaymentPlanManager(ReadsPrimary, models.Manager["ObjectPaymentPlan"]):
    def create_object_payment_plan(
        self, content_object: ContentObject, payment_plan: PaymentPlan, total: Decimal, **options: Any
    ) -> ObjectPaymentPlan:
        """Agree a plan and make its deposit line, due today. `total` is in whole currency units.

        Options: `customer`, `user`, `deposit_due`. Raises PlanError, with what would work, when the total cannot be
        split so, when the row has a live plan, or when the template is no longer offered.
        """
        from checkout.services import agreements

        return agreements.create_object_payment_plan(content_object, payment_plan, total, **options)

    def for_content_object(self, content_object: ContentObject) -> ObjectPaymentPlan:
        """The live plan of that row. Raises ObjectPaymentPlan.DoesNotExist."""
        return self.get(deleted=False, **content_key(content_object))

    def charge_deposit(self, content_object: ContentObject, user: Actor = None) -> Checkout:
        """Charge the deposit of that row's live plan to the saved card, off session.

        Raises what `Checkout.objects.charge` raises, and ObjectPaymentPlan.DoesNotExist.
        """
        return self.for_content_object(content_object).charge_deposit(user)

    @property
    def outstanding_payment_plans(self) -> models.QuerySet[ObjectPaymentPlan]:
        """Live plans with something still to pay."""
        from checkout.models.instalments import ObjectPaymentPlanInstalment

        lines = ObjectPaymentPlanInstalment.objects.filter(object_payment_plan=models.OuterRef("pk"))
        unpaid = lines.exclude(Q(state=states.SUCCESS))
        return self.filter(models.Exists(unpaid), deleted=False)

    def refresh_card_expiry_dates(self) -> CardsRead:
        """Read the cards of outstanding plans, flag and mail those that run out within a month."""
        from checkout.services import card_expiry

        return card_expiry.refresh_card_expiry_dates()

    @property
    def report_card_expiry_dates(self) -> models.QuerySet[ObjectPaymentPlan]:
        """Outstanding plans, the card that runs out soonest first."""
        plans = self.outstanding_payment_plans.select_related("customer", "payment_plan", "agreement__saved_card")
        return plans.order_by(models.F("agreement__saved_card__expiry_date").asc(nulls_last=True), "pk")


class InstalmentQuerySet(models.QuerySet["ObjectPaymentPlanInstalment"]):
    def may_be_taken(self, day: datetime.date) -> InstalmentQuerySet:
        """Lines that may be taken off session on that day: due, untouched, of a live plan that no bank disputes, and
        whose payer has agreed to a card that is good. Whoever takes one asks this again under its lock."""
        return self.filter(
            Q(state=states.PENDING),
            # A line has its debt from the first attempt on, if it was not made with one.
            Q(debt=None) | Q(debt__paid__lt=models.F("debt__owed")),
            due__lte=day,
            object_payment_plan__deleted=False,
            object_payment_plan__paused=False,
            object_payment_plan__agreement__saved_card__gone=False,
            object_payment_plan__agreement__saved_card__detached_at=None,
        )


class ObjectPaymentPlanInstalmentManager(ReadsPrimary, models.Manager.from_queryset(InstalmentQuerySet)):  # type: ignore[misc]
    @property
    def due(self) -> models.QuerySet[ObjectPaymentPlanInstalment]:
        """What a run would take: due today or before, untouched, no deposit, of a live plan that no bank disputes."""
        return self.filter(
            Q(state=states.PENDING),
            due__lte=clock.today(),
            deposit=False,
            object_payment_plan__deleted=False,
            object_payment_plan__paused=False,
        ).order_by("due", "pk")

    def process_payments(self, **options: Any) -> PaymentRun:
        """Charge everything that is due. Options, all by name: `user`, `workers`, `limit`, `max_total` (Decimal),
        `payment_plan`, `currency`, `progress`."""
        from checkout.services import runs

        return runs.process_payments(**options)

    def pay_on_session_for_email(self) -> models.QuerySet[ObjectPaymentPlanInstalment]:
        """Those whose bank requires the payer, and whose payer has not been told or reminded yet."""
        from checkout.services import on_session

        return on_session.waiting_for_mail()

    def send_on_session_payment_emails(self, can_login_and_pay: CanLoginAndPay | None = None) -> int:
        """Tell them, once for each refusal; the number of mails queued.

        `can_login_and_pay(contact)` is true for those who are sent to the login page. It is asked about payers with an
        active account only; the others get a signed link. Default: CHECKOUT_CAN_LOGIN_AND_PAY.
        """
        from checkout.services import on_session

        return on_session.send_on_session_payment_emails(can_login_and_pay).mailed

    def _user_has_active_account(self, contact: object, can_login_and_pay: CanLoginAndPay) -> bool:
        """True if the contact has an active user account **and** the function says that they can log in and pay."""
        return logins.accounts(contact).exists() and bool(can_login_and_pay(contact))
