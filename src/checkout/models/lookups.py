"""The two lookup tables, keyed by slug, and the settings that staff may change."""

from __future__ import annotations

import uuid
from typing import Any, Final

from django.db import models
from django.utils.translation import gettext_lazy as _

from checkout import actions, states
from checkout.models.primary import ReadsPrimary


class _BySlug(ReadsPrimary, models.Manager[Any]):
    """`CheckoutState.objects.pending`: the row of that slug, one query."""

    slugs: tuple[str, ...] = ()

    def __getattr__(self, name: str) -> Any:
        if name in self.slugs:
            return self.get(slug=name)
        raise AttributeError(f"{type(self).__name__} has no {name!r}")


class CheckoutStateManager(_BySlug):
    slugs = tuple(states.STATES)


class CheckoutActionManager(_BySlug):
    slugs = tuple(actions.ACTIONS)


class CheckoutState(models.Model):
    """Where an attempt or an instalment stands; `checkout.states` holds the moves."""

    PENDING: Final = states.PENDING
    REQUEST: Final = states.REQUEST
    PAY_ON_SESSION: Final = states.PAY_ON_SESSION
    SUCCESS: Final = states.SUCCESS
    FAIL: Final = states.FAIL

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=100)

    objects = CheckoutStateManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["slug"]
        verbose_name = _("checkout state")

    def __str__(self) -> str:
        return self.name


class CheckoutAction(models.Model):
    """What an attempt does."""

    PAYMENT: Final = actions.PAYMENT
    PAYMENT_PLAN: Final = actions.PAYMENT_PLAN
    CARD_REFRESH: Final = actions.CARD_REFRESH
    CHARGE: Final = actions.CHARGE
    MANUAL: Final = actions.MANUAL
    INVOICE: Final = actions.INVOICE

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=100)
    payment = models.BooleanField(default=False, help_text=_("Takes money now."))

    objects = CheckoutActionManager()

    class Meta:
        base_manager_name = "objects"
        ordering = ["slug"]
        verbose_name = _("checkout action")

    def __str__(self) -> str:
        return self.name


class CheckoutSettingsManager(ReadsPrimary, models.Manager["CheckoutSettings"]):
    @property
    def settings(self) -> CheckoutSettings:
        """The one row."""
        return self.get_or_create(pk=1)[0]


class CheckoutSettings(models.Model):
    """What staff, not developers, decide. One row."""

    site = models.UUIDField(
        default=uuid.uuid4, editable=False, help_text=_("By which our intents are known among others at Stripe.")
    )
    default_payment_plan = models.ForeignKey(
        "checkout.PaymentPlan",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text=_("Offered first when a payer may pay in instalments."),
    )
    recovery = models.ForeignKey(
        "checkout.RecoveryPolicy",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("when a card is declined"),
        help_text=_("When a declined card is asked again, unless a template has a policy of its own."),
    )

    objects = CheckoutSettingsManager()

    class Meta:
        base_manager_name = "objects"
        verbose_name = _("checkout settings")
        verbose_name_plural = _("checkout settings")
        constraints = [models.CheckConstraint(condition=models.Q(pk=1), name="checkout_settings_one_row")]

    def __str__(self) -> str:
        return _("Default payment plan: %(plan)s") % {"plan": self.default_payment_plan or _("none")}


def ensure_lookups(using: str = "default", **kwargs: Any) -> None:
    """Put the rows of both lookup tables and the settings there; safe to run again.

    A migration does it for a site. `post_migrate` does it again because Django empties every table after a
    TransactionTestCase, and sends that signal afterwards: hosts' own tests would otherwise lose the rows.
    """
    for slug, name in states.STATES.items():
        CheckoutState.objects.using(using).get_or_create(slug=slug, defaults={"name": name})
    for slug, (name, payment) in actions.ACTIONS.items():
        CheckoutAction.objects.using(using).get_or_create(slug=slug, defaults={"name": name, "payment": payment})
    CheckoutSettings.objects.using(using).get_or_create(pk=1)
