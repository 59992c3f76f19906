"""The app, its system checks and its lookup rows."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class CheckoutConfig(AppConfig):
    name = "checkout"
    label = "checkout"
    verbose_name = _("Checkout")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from checkout import checks  # noqa: F401 - registers them
        from checkout.models.lookups import ensure_lookups

        post_migrate.connect(ensure_lookups, sender=self, dispatch_uid="checkout.ensure_lookups")
