"""`python -m checkout.rehearsal`, which `checkout_rehearse` starts: what is to be played comes as JSON on stdin."""

from __future__ import annotations

import datetime
import json
import sys
from decimal import Decimal


def main() -> int:
    """Plays it, a line of the story per line of stdout; 1 with a sentence on stderr when it cannot begin."""
    asked = json.load(sys.stdin)
    from checkout.rehearsal import stage

    built = stage.build(asked["site"], datetime.datetime.fromisoformat(asked["start"]))
    from django.core import serializers

    from checkout.errors import CheckoutError
    from checkout.journal import in_english
    from checkout.models import CheckoutSettings, PaymentPlan
    from checkout.rehearsal.story import Cast, Story

    for row in serializers.deserialize("json", asked["rows"]):
        row.save()
    CheckoutSettings.objects.settings  # noqa: B018 - makes the row
    CheckoutSettings.objects.update(recovery=asked["recovery"])
    template = PaymentPlan.objects.get(slug=asked["plan"])
    declines = {int(count): code for count, code in asked["declines"].items()}
    cast = Cast(asked["card"], declines, asked["comes_after"], asked["every_day"])
    try:
        with in_english():
            for line in Story(built, template, Decimal(asked["total"]), asked["currency"], cast).lines():
                print(line, flush=True)
    except CheckoutError as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
