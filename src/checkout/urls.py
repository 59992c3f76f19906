"""The app's own addresses: `path("checkout/", include("checkout.urls"))`."""

from django.urls import path

from checkout.views import payer

urlpatterns = [
    path("<uuid:uuid>/return/", payer.ReturnView.as_view(), name="checkout.return"),
]
