"""The app that exists in the rehearsal's own process only."""

from django.apps import AppConfig


class RehearsalConfig(AppConfig):
    name = "checkout.rehearsal"
    label = "checkout_rehearsal"
    default_auto_field = "django.db.models.BigAutoField"
