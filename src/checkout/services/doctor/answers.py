"""Do those answer on whom we depend: Stripe, our own webhook address, the broker? Asking takes its time."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from checkout import clock
from checkout.conf import conf, is_live_key, webhook_secrets
from checkout.errors import CheckoutError, GatewayError
from checkout.gateway import API_VERSION, gateway
from checkout.gateway.webhooks import sign
from checkout.services import cards, inbox
from checkout.services.doctor.findings import Finding, Level, skipped

#: Stripe refuses signatures older than five minutes, and keys and leases are counted by the clock.
SKEW: Final = timedelta(seconds=30)


def check_stripe() -> Iterator[Finding]:
    before = clock.now()
    try:
        probe = gateway().probe()
    except GatewayError as problem:
        yield Finding(
            "stripe",
            Level.ERROR,
            _("Stripe does not answer: %(problem)s") % {"problem": problem},
            _("Check the key and the network."),
        )
        return
    if probe.api_version and probe.api_version != API_VERSION:
        yield Finding(
            "stripe",
            Level.ERROR,
            _("Stripe answered in version %(theirs)s, this app speaks %(ours)s.")
            % {"theirs": probe.api_version, "ours": API_VERSION},
            _("Install the version of `stripe` that pyproject.toml names."),
        )
    if probe.clock is not None:
        # The header counts whole seconds, and the answer took a moment.
        now = clock.now()
        skew = max(before - probe.clock - timedelta(seconds=1), probe.clock - now, timedelta())
        if skew > SKEW:
            yield Finding(
                "stripe",
                Level.ERROR,
                _("This machine's clock and Stripe's differ by %(seconds)d seconds.")
                % {"seconds": int(skew.total_seconds())},
                _("Let the machine keep its time by NTP; webhooks are refused when the clocks differ by five minutes."),
            )
    yield from _cards_of_another_key()


def _cards_of_another_key() -> Iterator[Finding]:
    try:
        account = gateway().account_id()
    except GatewayError as problem:
        yield skipped(
            "stripe", _("whose account the key is of, Stripe does not say: %(problem)s") % {"problem": problem}
        )
        return
    if plans := cards.plans_of_another_key(account).count():
        message = ngettext(
            "The card of %(number)d payment plan was saved with a key of another mode or account of Stripe.",
            "The cards of %(number)d payment plans were saved with a key of another mode or account of Stripe.",
            plans,
        )
        yield Finding(
            "stripe",
            Level.WARNING,
            message % {"number": plans},
            _("No run can charge them. Is STRIPE_SECRET_KEY the right one? If so, ask for new cards."),
        )


def check_endpoint() -> Iterator[Finding]:
    """What Stripe knows about our address."""
    if not conf.CHECKOUT_BASE_URL or not webhook_secrets():
        yield skipped("endpoint", _("CHECKOUT_BASE_URL or CHECKOUT_WEBHOOK_SECRET is not set."))
        return
    url = conf.CHECKOUT_BASE_URL.rstrip("/") + _path("checkout.webhook")
    try:
        endpoints = gateway().webhook_endpoints()
    except GatewayError as problem:
        yield Finding(
            "endpoint",
            Level.WARNING,
            _("Stripe does not tell us its webhook endpoints: %(problem)s") % {"problem": problem},
            _("Let the restricted key read webhook endpoints, or look at the dashboard."),
        )
        return
    ours = next((endpoint for endpoint in endpoints if endpoint.url == url), None)
    if ours is None:
        message = _("Stripe has no webhook endpoint %(url)s") % {"url": url}
        yield Finding("endpoint", Level.ERROR, message, _("Add it: Stripe dashboard > Developers > Webhooks."))
        return
    if not ours.enabled:
        message = _("The webhook endpoint %(url)s is disabled.") % {"url": url}
        yield Finding("endpoint", Level.ERROR, message, _("Enable it: Stripe dashboard > Developers > Webhooks."))
    missing = sorted(set(inbox.HANDLERS) - ours.events) if "*" not in ours.events else []
    if missing:
        message = _("The webhook endpoint is not subscribed to %(events)s.") % {"events": ", ".join(missing)}
        do = _("Subscribe it to them: Stripe dashboard > Developers > Webhooks.")
        yield Finding("endpoint", Level.WARNING, message, do)
    if ours.api_version and ours.api_version != API_VERSION:
        message = _("The webhook endpoint sends version %(theirs)s, this app reads %(ours)s.")
        message %= {"theirs": ours.api_version, "ours": API_VERSION}
        do = _("Make a new endpoint with that version: Stripe dashboard > Developers > Webhooks.")
        yield Finding("endpoint", Level.WARNING, message, do)


def check_webhook() -> Iterator[Finding]:
    """Send our own address a signed event, as Stripe would. It is stored once and changes nothing."""
    secrets = webhook_secrets()
    if not conf.CHECKOUT_BASE_URL or not secrets:
        yield skipped("webhook", _("CHECKOUT_BASE_URL or CHECKOUT_WEBHOOK_SECRET is not set."))
        return
    url = conf.CHECKOUT_BASE_URL.rstrip("/") + _path("checkout.webhook")
    event = {
        "id": "evt_checkout_doctor",
        "object": "event",
        "type": "checkout.doctor",
        "api_version": API_VERSION,
        "created": int(time.time()),
        "livemode": is_live_key(conf.STRIPE_SECRET_KEY),
        "data": {"object": {"id": "", "object": "doctor"}},
    }
    body = json.dumps(event).encode()
    headers = {"Content-Type": "application/json", "Stripe-Signature": sign(body, secrets[0])}
    try:
        status = post(url, body, headers)
    except OSError as problem:
        do = _("Look at CHECKOUT_BASE_URL, the web server and the firewall: Stripe has to reach this address.")
        if isinstance(problem, TimeoutError):
            alone = _("A site with a single worker cannot answer itself while it shows a page: run `checkout_doctor`.")
            do = f"{do} {alone}"
        message = _("%(url)s cannot be reached from here: %(problem)s") % {"url": url, "problem": problem}
        yield Finding("webhook", Level.ERROR, message, do)
        return
    if status != 200:
        do = _(
            "A login, a redirect or a proxy may stand in front of it; the log (checkout.webhook) says what was refused."
        )
        message = _("%(url)s answered %(status)d to a correctly signed event.") % {"url": url, "status": status}
        yield Finding("webhook", Level.ERROR, message, do)


def post(url: str, body: bytes, headers: dict[str, str]) -> int:
    """The status; a redirect counts as what it is, since Stripe does not follow one."""

    class _Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *args: Any, **kwargs: Any) -> None:
            return None

    if not url.startswith(("https://", "http://")):
        raise OSError("CHECKOUT_BASE_URL is not a web address")
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - the scheme was looked at
    try:
        with urllib.request.build_opener(_Stay).open(request, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as problem:
        return problem.code


def check_broker() -> Iterator[Finding]:
    """With Celery, a broker that does not answer means that nothing is worked on in the background."""
    if conf.CHECKOUT_BACKGROUND != "celery":
        yield skipped("broker", _("this site works without one (CHECKOUT_BACKGROUND)."))
        return
    from celery import current_app
    from kombu.exceptions import OperationalError

    try:
        with current_app.connection_for_write() as broker:
            broker.ensure_connection(max_retries=1, timeout=3)
    except (OSError, OperationalError) as problem:
        do = _("Start the broker. Meanwhile `process_events` by cron works on webhooks.")
        message = _("Celery's broker does not answer: %(problem)s") % {"problem": problem}
        yield Finding("broker", Level.ERROR, message, do)


def _path(name: str) -> str:
    try:
        return reverse(name)
    except NoReverseMatch as error:
        raise CheckoutError(
            _("checkout.urls is not included in the site's urls, so there is no webhook address.")
        ) from error
