"""Is this installation put up as it should be: its settings, its database, its mail?"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings
from django.core import checks as system_checks
from django.db import DEFAULT_DB_ALIAS, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from post_office.models import STATUS, Email, EmailTemplate

from checkout import checks, clock, deployment, states
from checkout.letters import REGISTER
from checkout.models import CheckoutAction, CheckoutState
from checkout.services.doctor.findings import LONG, Finding, Level, skipped


def check_settings() -> Iterator[Finding]:
    for check in (
        checks.check_keys,
        checks.check_emulator,
        checks.check_currency,
        checks.check_can_login_and_pay,
        checks.check_webhook_secret,
        checks.check_background,
        checks.check_numbers,
        checks.check_databases,
    ):
        for message in check():
            level = Level.ERROR if message.level >= system_checks.ERROR else Level.WARNING
            yield Finding("settings", level, f"{message.msg} ({message.id})", message.hint or "")


def check_deployment() -> Iterator[Finding]:
    """What `check --deploy` says of a site that takes real money."""
    if settings.DEBUG:
        yield skipped("deployment", _("DEBUG is on, so nothing real is paid here."))
        return
    for check in deployment.CHECKS:
        for message in check():
            level = Level.ERROR if message.level >= system_checks.ERROR else Level.WARNING
            yield Finding("deployment", level, f"{message.msg} ({message.id})", message.hint or "")


def check_database() -> Iterator[Finding]:
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if plan:
        names = ", ".join(f"{migration.app_label}.{migration.name}" for migration, _back in plan[:5])
        message = ngettext(
            "%(number)d migration is not applied: %(names)s.",
            "%(number)d migrations are not applied: %(names)s.",
            len(plan),
        ) % {"number": len(plan), "names": names}
        yield Finding("database", Level.ERROR, message, _("Run `migrate`."))
        return
    lost = {*states.STATES} - {*CheckoutState.objects.values_list("slug", flat=True)}
    if lost or not CheckoutAction.objects.exists():
        do = _("Run `migrate`, which puts them back.")
        yield Finding("database", Level.ERROR, _("Rows of the lookup tables are missing."), do)
    for wrong in checks.check_isolation(databases=[DEFAULT_DB_ALIAS]):
        yield Finding("database", Level.ERROR, f"{wrong.msg} ({wrong.id})", wrong.hint or "")


def check_mail() -> Iterator[Finding]:
    there = EmailTemplate.objects.filter(default_template=None).values_list("name", flat=True)
    if missing := sorted(set(REGISTER) - set(there)):
        message = _("Mail templates are not in the database: %(names)s. These mails are not sent.")
        message %= {"names": ", ".join(missing)}
        yield Finding("mail", Level.ERROR, message, _("Run `init_app_checkout`; it keeps what you have reworded."))
    old = Email.objects.filter(status=STATUS.queued, created__lt=clock.now() - LONG, scheduled_time=None)
    if waiting := old.count():
        do = _("Does `send_queued_mail` run?")
        message = ngettext(
            "%(number)d mail has waited for more than two hours.",
            "%(number)d mails have waited for more than two hours.",
            waiting,
        ) % {"number": waiting}
        yield Finding("mail", Level.ERROR, message, do)
    if failed := Email.objects.filter(status=STATUS.failed, created__gte=clock.now() - timedelta(days=7)).count():
        do = _("The log of post_office (admin > Post Office > Logs) says why; fix the cause and queue them again.")
        message = ngettext(
            "%(number)d mail of the last week could not be sent.",
            "%(number)d mails of the last week could not be sent.",
            failed,
        ) % {"number": failed}
        yield Finding("mail", Level.WARNING, message, do)
