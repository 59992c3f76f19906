"""What is wrong with this installation, and what to do: for `checkout_doctor`, the staff page and monitoring.

Every check looks and changes nothing, and one that cannot be made says so instead of hiding the others. Some read our
own database only; the others ask somebody (Stripe, our own webhook address, the broker), which takes its time.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from checkout.services.doctor import answers, jobs, site, work
from checkout.services.doctor.findings import Check, Finding, Level, skipped
from checkout.services.doctor.jobs import JobState, job_states

__all__ = ["ASKING", "CHECKS", "Finding", "JobState", "Level", "examine", "is_healthy", "job_states", "warnings"]

logger = logging.getLogger("checkout.doctor")

#: Seconds. Once so many were spent on waiting for answers, nobody else is asked: somebody may be waiting for the page.
PATIENCE: Final = 8

#: By the name that each finding carries; pages translate it.
CHECKS: Final[dict[str, Check]] = {
    gettext_noop("jobs"): jobs.check_jobs,
    gettext_noop("database"): site.check_database,
    gettext_noop("settings"): site.check_settings,
    gettext_noop("deployment"): site.check_deployment,
    gettext_noop("events"): work.check_events,
    gettext_noop("attempts"): work.check_attempts,
    gettext_noop("books"): work.check_books,
    gettext_noop("sums"): work.check_sums,
    gettext_noop("run"): work.check_run,
    gettext_noop("mail"): site.check_mail,
    gettext_noop("broker"): answers.check_broker,
    gettext_noop("webhook"): answers.check_webhook,
    gettext_noop("stripe"): answers.check_stripe,
    gettext_noop("endpoint"): answers.check_endpoint,
}
#: Those that wait for somebody's answer.
ASKING: Final = frozenset({"broker", "webhook", "stripe", "endpoint"})
#: Those that read whole tables: seconds, where there are millions of rows.
READS_ALL: Final = frozenset({"sums"})


def examine(*, ask: bool = True, read_all: bool | None = None) -> list[Finding]:
    """Every finding: jobs that do not run first, then errors, warnings, and checks without a problem.

    Without `ask` only what our own database and settings tell, which costs nobody anything. With it Stripe is called,
    so no transaction may be open. Whole tables are read with `read_all`; unless told, when others are asked too.
    """
    read_all = ask if read_all is None else read_all
    findings: list[Finding] = []
    waited = 0.0
    for name, check in CHECKS.items():
        if name in ASKING and not ask:
            findings.append(skipped(name, _("nobody was asked.")))
            continue
        if name in READS_ALL and not read_all:
            why = _("it reads every posting, so only the button, checkout_doctor and the digest look.")
            findings.append(skipped(name, why))
            continue
        if name in ASKING and waited > PATIENCE:
            message = _("Not looked at: the checks before it waited %(seconds)d seconds for answers.")
            message %= {"seconds": round(waited)}
            do = _("Fix what does not answer, and examine again.")
            findings.append(Finding(name, Level.WARNING, message, do))
            continue
        started = time.monotonic()
        try:
            found = list(check())
        except Exception as problem:
            logger.exception("the doctor could not check %s", name)
            message = _("This could not be checked: %(problem)s") % {"problem": problem}
            found = [Finding(name, Level.ERROR, message, _("See the log for the reason."))]
        waited += time.monotonic() - started if name in ASKING else 0
        findings += found or [Finding(name, Level.OK, _("no problems found"))]
    order = {Level.ERROR: 0, Level.WARNING: 1, Level.SKIPPED: 2, Level.OK: 3}
    return sorted(findings, key=lambda finding: (order[finding.level], finding.check != "jobs"))


def warnings() -> list[str]:
    """What is wrong by our own books and settings, one line each, errors first: for the digest, so that a warning
    reaches somebody who runs no command."""
    return [
        f"{finding.level}: {finding.message} {finding.do}".strip()
        for finding in examine(ask=False, read_all=True)
        if finding.level in (Level.ERROR, Level.WARNING)
    ]


def is_healthy(findings: list[Finding]) -> bool:
    """False when there is an error. Warnings are for a person's eyes and do not wake anybody."""
    return all(finding.level != Level.ERROR for finding in findings)
