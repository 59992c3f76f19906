"""`Membership` has a UUID key and a currency of its own; it writes down which hooks ran."""

import datetime
import uuid
from decimal import Decimal

from django.db import models

from checkout.errors import NotWanted


class Membership(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    email = models.EmailField(default="member@example.com")
    name = models.CharField(max_length=100, default="A Member")
    total = models.DecimalField(max_digits=15, decimal_places=3, default=Decimal(100))
    currency = models.CharField(max_length=3, default="GBP")
    can_charge = models.BooleanField(default=True)
    successes = models.PositiveIntegerField(default=0)
    failures = models.PositiveIntegerField(default=0)
    waits = models.PositiveIntegerField(default=0)
    failed_due = models.DateField(null=True)
    hook_raises = models.BooleanField(default=False)
    hook_refuses = models.BooleanField(default=False)

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return f"/members/{self.pk}/"

    checkout_actions = ("payment", "payment_plan", "invoice")

    @property
    def checkout_can_charge(self) -> bool:
        return self.can_charge

    @property
    def checkout_currency(self) -> str:
        return self.currency

    @property
    def checkout_description(self) -> list[str]:
        return ["Membership", "One year"]

    @property
    def checkout_email(self) -> str:
        return self.email

    @property
    def checkout_name(self) -> str:
        return self.name

    @property
    def checkout_total(self) -> Decimal:
        return self.total

    def checkout_success(self, checkout) -> None:
        if self.hook_raises:
            raise RuntimeError("the hook is broken")
        if self.hook_refuses:
            raise NotWanted("The club is full.")
        Membership.objects.filter(pk=self.pk).update(successes=models.F("successes") + 1, can_charge=False)

    def checkout_fail(self, due: datetime.date | None = None) -> None:
        Membership.objects.filter(pk=self.pk).update(failures=models.F("failures") + 1, failed_due=due)

    def checkout_pay_on_session(self, checkout) -> None:
        Membership.objects.filter(pk=self.pk).update(waits=models.F("waits") + 1)

    def checkout_success_url(self, checkout_pk: int) -> str:
        return f"/members/{self.pk}/thanks/"

    def checkout_fail_url(self, checkout_pk: int) -> str:
        return f"/members/{self.pk}/"
