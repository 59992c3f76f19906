"""Tell Stripe on which domains the payment pages are, so that wallets appear there."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.core.management.base import CommandError, CommandParser

from checkout.conf import conf, is_live_key
from checkout.errors import CheckoutError
from checkout.management.base import BaseCommand
from checkout.services import payment_domains


class Command(BaseCommand):
    help = (
        "Register the domains of the payment pages at Stripe, which Apple Pay and Google Pay ask for: those that are "
        "named, or that of CHECKOUT_BASE_URL. One that is registered is looked at again, and one that was switched off "
        "is switched on. Safe to run again. Exits 1 when a wallet cannot be shown on one of them."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("domains", nargs="*", metavar="domain", help="pay.example.org; each subdomain by itself")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")

    def handle(self, *args: Any, **options: Any) -> None:
        domains = [name.lower() for name in options["domains"]] or [urlsplit(conf.CHECKOUT_BASE_URL).hostname or ""]
        if not all(domains):
            raise CommandError("Name a domain, or set CHECKOUT_BASE_URL.")
        if not is_live_key(conf.STRIPE_SECRET_KEY):
            self.stdout.write("This is a test key. Stripe wants domains registered with the live key, for tests too.")
        inactive = 0
        for name in domains:
            try:
                done = payment_domains.register(name, dry_run=options["dry_run"])
            except CheckoutError as problem:
                raise CommandError(f"{name}: {problem}") from problem
            self.stdout.write(f"{name}: {done.what}")
            for wallet, trouble in (done.domain.wallets if done.domain is not None else {}).items():
                self.stdout.write(f"    {wallet}: {trouble or 'active'}")
                inactive += bool(trouble)
        if inactive:
            raise CommandError(f"{inactive} wallets cannot be shown yet: Stripe says above why.")
