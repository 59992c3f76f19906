"""The app, its system checks and its lookup rows."""

from django.apps import AppConfig, apps
from django.core.exceptions import ImproperlyConfigured
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class CheckoutConfig(AppConfig):
    name = "checkout"
    label = "checkout"
    verbose_name = _("Checkout")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        if not apps.is_installed("post_office"):
            # Before anything of ours is imported: its tables are what our mails are queued in.
            raise ImproperlyConfigured('checkout needs django-post-office: add "post_office" to INSTALLED_APPS.')
        from checkout import checks, deployment  # noqa: F401 - registers them
        from checkout.models.lookups import ensure_lookups

        post_migrate.connect(ensure_lookups, sender=self, dispatch_uid="checkout.ensure_lookups")
