"""A small shop that sells with checkout."""

from example_checkout.celery import app as celery_app

__all__ = ["celery_app"]
