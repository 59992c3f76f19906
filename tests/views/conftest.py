"""What the tests of pages share with the tests of services."""

from tests.services.conftest import payment_plan, save_plan

__all__ = ["payment_plan", "save_plan"]
