"""Views and mixins, for host sites. The staff pages are reached by their URL names."""

from checkout.office.views.requests import CustomerChargeCreateView
from checkout.views.access import PayerViewMixin, remember_checkout
from checkout.views.cards import ObjectPaymentPlanSetupIntentCardRefreshMixin
from checkout.views.mixins import CheckoutAccessMixin, CheckoutMixin
from checkout.views.payer import ReturnView
from checkout.views.plans import PaymentChoiceMixin

__all__ = [
    "CheckoutAccessMixin",
    "CheckoutMixin",
    "CustomerChargeCreateView",
    "ObjectPaymentPlanSetupIntentCardRefreshMixin",
    "PayerViewMixin",
    "PaymentChoiceMixin",
    "ReturnView",
    "remember_checkout",
]
