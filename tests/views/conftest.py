"""What the tests of pages share with the tests of services and of the office."""

from tests.services.conftest import payment_plan, save_plan
from tests.staff.conftest import boss, staff_with

__all__ = ["boss", "payment_plan", "save_plan", "staff_with"]
