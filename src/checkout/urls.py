"""The app's own addresses: `path("checkout/", include("checkout.urls"))`."""

from django.urls import path

from checkout.views import health, payer, webhook

urlpatterns = [
    path("health/", health.health, name="checkout.health"),
    path("webhook/", webhook.webhook, name="checkout.webhook"),
    path("<uuid:uuid>/return/", payer.ReturnView.as_view(), name="checkout.return"),
]
