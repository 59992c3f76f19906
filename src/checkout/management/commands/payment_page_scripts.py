"""List the scripts of the payment pages."""

from __future__ import annotations

from typing import Any

from django.contrib.staticfiles.storage import staticfiles_storage
from django.utils.translation import gettext

from checkout import csp
from checkout.conf import conf
from checkout.management.base import BaseCommand


class Command(BaseCommand):
    help = (
        "List every script of the payment pages with its hash and its reason, and the policy that keeps others away: "
        "the inventory that PCI DSS 6.4.3 asks for. Changes nothing; compare what it prints after an upgrade."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        for script in csp.SCRIPTS:
            if script.path:
                address, known = staticfiles_storage.url(script.path), csp.integrity(script.path)
            else:
                address, known = str(conf.CHECKOUT_STRIPE_JS_URL), "changed by Stripe at any time, so without a hash"
            self.stdout.write(f"{address}\n    {known}\n    {gettext(script.why)}")
        self.stdout.write(f"Policy ({conf.CHECKOUT_CSP}): {csp.policy()}")
