"""The shop's addresses."""

from django.urls import include, path

urlpatterns = [path("checkout/", include("checkout.urls"))]
