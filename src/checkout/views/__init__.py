"""Views and mixins, for host sites. The staff pages are reached by their URL names."""

from checkout.views.access import PayerViewMixin, remember_checkout
from checkout.views.mixins import CheckoutAccessMixin, CheckoutMixin
from checkout.views.payer import ReturnView

__all__ = ["CheckoutAccessMixin", "CheckoutMixin", "PayerViewMixin", "ReturnView", "remember_checkout"]
