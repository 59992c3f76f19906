"""A site that has forgotten our addresses."""

from django.contrib.auth.views import LoginView
from django.urls import path

urlpatterns = [path("log-in/", LoginView.as_view(), name="login")]
