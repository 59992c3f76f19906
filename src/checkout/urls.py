"""The app's own addresses: `path("checkout/", include("checkout.urls"))`."""

from django.urls import path

from checkout.views import health, payer, plans, webhook

urlpatterns = [
    path("health/", health.health, name="checkout.health"),
    path("webhook/", webhook.webhook, name="checkout.webhook"),
    path("<uuid:uuid>/pay/", payer.PayView.as_view(), name="checkout.pay"),
    path("<uuid:uuid>/return/", payer.ReturnView.as_view(), name="checkout.return"),
    path("<uuid:uuid>/deposit/", plans.DepositView.as_view(), name="checkout.deposit"),
]
