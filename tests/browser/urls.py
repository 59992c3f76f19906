"""The shop's addresses, and a page on which the host does something of its own after success."""

from django.urls import path
from django.views.generic import TemplateView

from checkout.views import CheckoutMixin
from example_checkout.urls import urlpatterns as shop


class OwnActionView(CheckoutMixin, TemplateView):
    template_name = "host/own_action.html"


urlpatterns = [*shop, path("own/<uuid:uuid>/", OwnActionView.as_view(), name="own")]
