"""Mails to the office (CHECKOUT_NOTIFY_EMAILS), once per cause, queued in the transaction that gives the reason."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction
from django.db.models import Count
from django.urls import NoReverseMatch, reverse
from django.utils import formats, translation
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from checkout import actions, advice, clock, mail, money, states
from checkout.conf import conf
from checkout.models import Checkout, Notice, StateChange
from checkout.services import unsent

if TYPE_CHECKING:
    from django.http import HttpRequest

logger = logging.getLogger("checkout.staff")

IMMEDIATE, DIGEST, OFF = "immediate", "digest", "off"

#: What the digest leaves to other mails or to the pages: saving a card is not news.
NEWSWORTHY = actions.TAKES_MONEY
MOST_LINES = 200


@contextmanager
def in_office_language() -> Iterator[None]:
    """Staff are written to in the site's own language, whoever's page or webhook gave the reason."""
    with translation.override(settings.LANGUAGE_CODE):
        yield


def tell_staff(cause: str, subject: str, lines: Sequence[str], *, checkout: Checkout | None = None) -> bool:
    """Queue one mail to each staff address. False when there is none, when this cause has had its mails, or when none
    can be written: what is told is in the books either way, and no mail may keep it out of them.
    """
    recipients = list(conf.CHECKOUT_NOTIFY_EMAILS)
    if not recipients:
        return False
    refused: dict[str, Exception] = {}
    try:
        with transaction.atomic():
            # Who it went to is in the mails; this row is about the cause.
            recipient = str(recipients[0])[:254]
            Notice.objects.create(cause=cause, template="staff", recipient=recipient, checkout=checkout)
            refused = _queue(recipients, subject, lines)
            if len(refused) == len(recipients):
                raise _NobodyTold
        told = True
    except IntegrityError:
        if not Notice.objects.filter(cause=cause).exists():
            logger.exception("staff could not be told: %s", cause)
        return False
    except _NobodyTold:
        told = False
    except Exception:
        logger.exception("staff could not be told: %s", cause)
        return False
    for address, problem in refused.items():
        unsent.report(f"staff: {address}", problem, checkout=checkout)
    return told


class _NobodyTold(Exception):
    """Undoes the row that says that staff were told."""


def _queue(recipients: Sequence[str], subject: str, lines: Sequence[str]) -> dict[str, Exception]:
    """A mail to each, so that one address that is none silences nobody else. Those that were refused, and why."""
    refused: dict[str, Exception] = {}
    for recipient in recipients:
        try:
            with transaction.atomic():
                mail.queue_text(recipient, subject, "\n".join(map(str, lines)) + "\n")
        except Exception as problem:  # noqa: BLE001 - the caller opens a problem for each
            # An address that is none, or whatever a site's mail backend raises.
            refused[str(recipient)] = problem
    return refused


def link(name: str, *args: Any) -> str:
    """The address of a staff page, whole when the site has said its own (CHECKOUT_BASE_URL); empty for a site that does
    not use the staff pages."""
    try:
        return str(conf.CHECKOUT_BASE_URL).rstrip("/") + reverse(name, args=args)
    except NoReverseMatch:
        return ""


@in_office_language()
def notify(checkout: Checkout, request: HttpRequest | None = None) -> int:
    """Queue a mail about an attempt now, whatever CHECKOUT_NOTIFY says and however often it is called; the number of
    addresses. With a request the link has its host, else CHECKOUT_BASE_URL's."""
    recipients = list(conf.CHECKOUT_NOTIFY_EMAILS)
    if recipients:
        url = (
            request.build_absolute_uri(checkout.get_absolute_url())
            if request
            else link("checkout.detail", checkout.uuid)
        )
        refused = _queue(recipients, _line(checkout), _lines(checkout, url))
        for address, problem in refused.items():
            unsent.report(f"staff: {address}", problem, checkout=checkout)
        return len(recipients) - len(refused)
    return 0


@in_office_language()
def settled(checkout: Checkout) -> None:
    """An attempt succeeded or failed: tell staff at once, if the site wants that. In the settling transaction."""
    if conf.CHECKOUT_NOTIFY != IMMEDIATE or checkout.superseded or not conf.CHECKOUT_NOTIFY_EMAILS:
        return
    if checkout.action_id not in NEWSWORTHY:
        return
    # A failure may be followed by a success, and by another failure of the same attempt: each is told once.
    cause = f"staff-checkout-{checkout.pk}-{checkout.state_id}"
    try:
        with transaction.atomic():
            subject, lines = _line(checkout), _lines(checkout, link("checkout.detail", checkout.uuid))
    except Exception:
        # The words are ours and the row's; neither may undo what Stripe said.
        logger.exception("staff could not be told: %s", cause)
        return
    tell_staff(cause, subject, lines, checkout=checkout)


def _line(checkout: Checkout) -> str:
    amount = (
        money.format_money(checkout.total, checkout.currency, settings.LANGUAGE_CODE)
        if checkout.total is not None
        else ""
    )
    state = _("paid") if checkout.succeeded else _("not paid") if checkout.failed else pgettext("of a payment", "open")
    return " ".join(filter(None, [f"{capfirst(state)}:", amount, checkout.payer]))


def _lines(checkout: Checkout, url: str) -> list[str]:
    told = advice.advise(checkout)
    return [
        *checkout.description_lines,
        *filter(None, [str(told.why), str(told.next_step)]),
        "",
        url,
    ]


def _digest_line(checkout: Checkout) -> str:
    url = link("checkout.detail", checkout.uuid)
    try:
        return f"{_line(checkout)} ({url})"
    except Exception:
        # The row is the host's; one that cannot be shown must not silence the day.
        logger.exception("checkout %s cannot be told in words", checkout.pk, extra={"checkout": checkout.pk})
        return url


def _what_staff_did(day: datetime.date) -> list[str]:
    """A line for each member of staff who did something on a day, with the page that tells what."""
    rows = StateChange.objects.filter(at__date=day, user__is_staff=True).order_by("user").values("user")
    people = get_user_model()._default_manager.in_bulk([row["user"] for row in rows.distinct()])
    page = link("checkout.change.list")
    told = []
    for row in rows.annotate(number=Count("pk")):
        number = ngettext("%(number)d change", "%(number)d changes", row["number"]) % {"number": row["number"]}
        where = f" ({page}?since={day}&until={day}&person={row['user']})" if page else ""
        told.append(f"{people[row['user']]}: {number}{where}")
    return told


@in_office_language()
def digest(day: datetime.date | None = None, *, warnings: Sequence[str] = ()) -> int | None:
    """Queue the digest of one day (default: yesterday, which is complete), once, on a site that wants one
    (CHECKOUT_NOTIFY). Below the payments stands what staff did, and what the doctor warns of; each is worth a mail
    without any. The number of payments that it tells of; None when there is nothing to tell, or it was told before.

    Raises MailNotReady when nobody in CHECKOUT_NOTIFY_EMAILS can be written to.
    """
    if conf.CHECKOUT_NOTIFY != DIGEST or not conf.CHECKOUT_NOTIFY_EMAILS:
        return None
    day = day or clock.today() - datetime.timedelta(days=1)
    rows = (
        Checkout.objects.filter(settled_at__date=day, superseded=False, action__in=NEWSWORTHY)
        .order_by("state", "pk")
        .select_related("action")
    )
    counted = dict(rows.order_by().values_list("state").annotate(Count("pk")))
    number, paid = sum(counted.values()), counted.get(states.SUCCESS, 0)
    did = _what_staff_did(day)
    if not number and not warnings and not did:
        return None
    lines = [_digest_line(checkout) for checkout in rows[:MOST_LINES]]
    if number > MOST_LINES:
        lines.append(_("… and more: %(link)s") % {"link": link("checkout.list")})
    if did:
        lines += ["", _("What colleagues did:"), *did]
    if warnings:
        lines += ["", _("What the doctor says of the site:"), *warnings]
    subject = _("Payments of %(day)s: %(paid)d paid, %(failed)d not paid") % {
        "day": formats.date_format(day, _("j F Y")),
        "paid": paid,
        "failed": number - paid,
    }
    cause = f"staff-digest-{day:%Y-%m-%d}"
    if tell_staff(cause, subject, lines):
        return number
    if not Notice.objects.filter(cause=cause).exists():
        raise mail.MailNotReady("Nobody in CHECKOUT_NOTIFY_EMAILS can be written to; the page Problems says why.")
    return None
