"""What may be a slip of the hand: a day years away, an amount out of all proportion. Asked about once more."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from dateutil.relativedelta import relativedelta
from django import forms
from django.utils.formats import date_format, number_format
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from checkout import clock, money

#: So far from today.
FAR: Final = relativedelta(years=2)
#: So many times what is usual.
TIMES: Final = 10
#: In whole units of the currency, where nothing is usual yet.
MUCH: Final = Decimal(10_000)
#: More plans or payments at once than anybody looks through.
MANY: Final = 100


def day(value: datetime.date) -> str:
    """Why a day looks odd; empty when it does not."""
    today = clock.today()
    said = {"day": date_format(value, "DATE_FORMAT")}
    if value > today + FAR:
        return _("%(day)s is more than two years from now.") % said
    return _("%(day)s is more than two years ago.") % said if value < today - FAR else ""


def amount(value: Decimal, usual: Decimal | None, currency: str) -> str:
    """Why an amount looks odd; empty when it does not. `usual` is the largest so far, None without any."""
    said = {"amount": money.format_money(value, currency, get_language() or "en-gb")}
    if usual:
        return (
            _("%(amount)s is more than ten times the largest payment so far.") % said if value > TIMES * usual else ""
        )
    return _("%(amount)s is a large amount.") % said if value > MUCH else ""


def number(of: int) -> str:
    """Why an action for so many looks odd; empty when it does not."""
    return _("It is done to %(number)s at once.") % {"number": number_format(of, use_l10n=True)} if of > MANY else ""


class SureMixin(forms.Form):
    """Asks once more, by a box to tick, about what looks odd. A form says by `odd` what that is."""

    def odd(self, cleaned: dict[str, Any]) -> Iterable[str]:
        """A sentence about each thing that looks odd; empty ones count for nothing."""
        return ()

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        said = [sentence for sentence in self.odd(cleaned) if sentence]
        if said:
            # It was not looked for with the other fields; shown, it is as necessary as they are.
            self.fields["sure"] = forms.BooleanField(label=_("Yes, this is right"))
            if self.data.get(self.add_prefix("sure")) != "on":
                raise forms.ValidationError([*said, _("Tick the box if this is right.")])
        return cleaned
