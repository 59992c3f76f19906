"""The tables. Import them from here."""

from checkout.errors import CheckoutError
from checkout.models.books import BalanceTransaction, BookDifference, BookMonth, BookNote, Payout
from checkout.models.bulk import BulkItem, BulkJob
from checkout.models.cards import Agreement, SavedCard, StripeCustomer
from checkout.models.checkouts import Checkout, CheckoutAdditional, StateChange
from checkout.models.customers import Customer, CustomerPayment
from checkout.models.debts import Allocation, Debt, Posting
from checkout.models.inbox import Notice, StripeEvent
from checkout.models.instalments import ObjectPaymentPlanInstalment
from checkout.models.jobs import ScheduledJob
from checkout.models.letters import Letter
from checkout.models.lookups import CheckoutAction, CheckoutSettings, CheckoutState
from checkout.models.managers import content_key, model_of
from checkout.models.papers import Paper, PaperSeries
from checkout.models.plan_changes import PlanChange
from checkout.models.plans import ObjectPaymentPlan, PaymentPlan
from checkout.models.problems import LookBack, Problem
from checkout.models.proposals import Proposal
from checkout.models.recovery import FollowUp, Forecast, RecoveryPolicy, RecoveryStep
from checkout.models.refunds import Dispute, Refund
from checkout.models.runs import PaymentRun, PaymentRunItem, RunDay, RunRelease, RunReleaseLine

__all__ = [
    "Agreement",
    "Allocation",
    "BalanceTransaction",
    "BookDifference",
    "BookMonth",
    "BookNote",
    "BulkItem",
    "BulkJob",
    "Checkout",
    "CheckoutAction",
    "CheckoutAdditional",
    "CheckoutError",
    "CheckoutSettings",
    "CheckoutState",
    "Customer",
    "CustomerPayment",
    "Debt",
    "Dispute",
    "FollowUp",
    "Forecast",
    "Letter",
    "LookBack",
    "Notice",
    "ObjectPaymentPlan",
    "ObjectPaymentPlanInstalment",
    "Paper",
    "PaperSeries",
    "PaymentPlan",
    "PaymentRun",
    "PaymentRunItem",
    "Payout",
    "PlanChange",
    "Posting",
    "Problem",
    "Proposal",
    "RecoveryPolicy",
    "RecoveryStep",
    "Refund",
    "RunDay",
    "RunRelease",
    "RunReleaseLine",
    "SavedCard",
    "ScheduledJob",
    "StateChange",
    "StripeCustomer",
    "StripeEvent",
    "content_key",
    "model_of",
]
