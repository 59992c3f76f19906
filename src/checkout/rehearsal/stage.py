"""The stage: settings, an empty database in memory, Stripe's stand-in, and a clock that can be put forward."""

from __future__ import annotations

import datetime
import io
import secrets
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

if TYPE_CHECKING:
    from stripe_emulator import Emulator

PAYER: Final = "payer@rehearsal.invalid"
OFFICE: Final = "office@rehearsal.invalid"

#: What the site decides about money and letters, and the rehearsal follows.
FOLLOWED: Final = (
    "CHECKOUT_CONTACT_TEXT",
    "CHECKOUT_CURRENCY",
    "CHECKOUT_DEPOSIT_WITH_CARD",
    "CHECKOUT_LETTERS",
    "CHECKOUT_LINK_DAYS",
    "CHECKOUT_NOTICE_DAYS",
    "CHECKOUT_ON_SESSION_REMINDER_DAYS",
    "CHECKOUT_REMINDER_DAYS",
    "CHECKOUT_STALE_MINUTES",
    "LANGUAGE_CODE",
    "STRIPE_CAPTION",
    "TIME_ZONE",
)


class Stage:
    """`now` is the moment of the story, for Django and for the emulator alike."""

    def __init__(self, emulator: Emulator, start: datetime.datetime) -> None:
        self.emulator = emulator
        self.now = start

    def put_forward(self, moment: datetime.datetime) -> None:
        """To a later moment (aware); background work of the emulator's that is due by then is done."""
        self.emulator.clock.advance(seconds=(moment - self.now).total_seconds())
        self.now = moment
        self.emulator.tick()

    def refused_once(self, number: str, code: str) -> str:
        """A card as a browser hands it to Stripe, by its id there; the bank says `code` to its first charge."""
        form = {"type": "card", "card[number]": number, "card[exp_month]": "12", "card[cvc]": "123"}
        form["card[exp_year]"] = str(self.now.year + 3)
        headers = {
            "Authorization": f"Bearer {self.emulator.publishable_key}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        made = self.emulator.handle("POST", "/v1/payment_methods", headers, urlencode(form).encode()).json()
        if "error" in made:
            # What Stripe has to say about it comes when it is entered.
            return number
        self.emulator.bank.decline_next(made["id"], code)
        return str(made["id"])


def build(site: dict[str, Any], start: datetime.datetime) -> Stage:
    """Set Django up in this process, which is the rehearsal's own: no row of the site's is touched. `site` holds the
    settings that are FOLLOWED; `start` is aware."""
    from django.conf import settings
    from django.utils import timezone

    from stripe_emulator import Clock, Emulator

    emulator = Emulator(seed=1, clock=Clock(start=start.timestamp(), frozen=True))
    stage = Stage(emulator, start)
    # Whoever imports `now` from there gets the story's.
    timezone.now = lambda: stage.now
    settings.configure(
        **site,
        SECRET_KEY=secrets.token_urlsafe(),
        USE_TZ=True,
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "post_office",
            "checkout",
            "checkout.rehearsal",
        ],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        # The tables as they are now, at once: the way there would take most of the time of a short story.
        MIGRATION_MODULES=dict.fromkeys(["contenttypes", "auth", "post_office", "checkout"]),
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        ROOT_URLCONF="checkout.rehearsal.urls",
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
        POST_OFFICE={"BACKENDS": {"default": "django.core.mail.backends.locmem.EmailBackend"}},
        LOGIN_URL="/",
        STRIPE_SECRET_KEY="sk_test_rehearsal",  # noqa: S106  # nosec B106 - the emulator takes any
        STRIPE_PUBLISH_KEY="pk_test_rehearsal",
        CHECKOUT_BASE_URL="https://rehearsal.invalid",
        CHECKOUT_NOTIFY_EMAILS=[OFFICE],
        CHECKOUT_STRIPE_HTTP_CLIENT=emulator.transport,
        # Another thread would see another database in memory.
        CHECKOUT_WORKERS=1,
        LOGGING_CONFIG=None,
    )
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0, run_syncdb=True)
    call_command("init_app_checkout", stdout=io.StringIO())
    return stage
