"""So that letters have links."""

from django.urls import include, path

urlpatterns = [path("checkout/", include("checkout.urls"))]
