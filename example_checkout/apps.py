from django.apps import AppConfig


class ExampleCheckoutConfig(AppConfig):
    name = "example_checkout"
    verbose_name = "Example shop"
    default_auto_field = "django.db.models.BigAutoField"
