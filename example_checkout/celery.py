"""The example's Celery application: `celery -A example_checkout worker --beat`."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_checkout.settings")

app = Celery("example_checkout")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
