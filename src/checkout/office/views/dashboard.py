"""The overview: what was expected and taken, what is late, why payments fail, which cards run out, today's run."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from checkout import clock
from checkout.conf import conf
from checkout.models import PaymentRunItem
from checkout.office import figures, proposals
from checkout.office.pages import number_text
from checkout.office.views import charts
from checkout.office.views.base import StaffPageView
from checkout.office.views.cells import show_date, show_money, show_time
from checkout.office.views.doctor import silent_jobs


class DashboardView(StaffPageView):
    template_name = "checkout/staff/dashboard.html"
    permission = "checkout.view_dashboard"
    menu = "checkout.dashboard"
    heading = gettext_lazy("Overview")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        known = figures.currencies()
        wanted = self.request.GET.get("currency", "")
        currency = wanted if wanted in known else conf.CHECKOUT_CURRENCY
        read = figures.figures(currency, known=known)
        return super().get_context_data(**kwargs) | {
            "currency": currency,
            "currencies": [{"code": code, "current": code == currency} for code in known] if len(known) > 1 else [],
            "read_at": show_time(read.read_at),
            "silent": silent_jobs(),
            "health_url": reverse("checkout.doctor") if self.can("view_scheduledjob") else "",
            "cards": self._cards(read),
            "months": [self._month(month, currency) for month in read.months],
            "chart": charts.columns(
                [
                    (date_format(month.first, "M"), [("expected", month.expected), ("taken", month.taken)])
                    for month in read.months
                ]
            ),
            "top": show_money(max((max(m.expected, m.taken) for m in read.months), default=None), currency),
            "overdue": self._shares(read.overdue, currency),
            "failures": self._shares(read.failures, currency),
            "soonest": [
                {
                    "plan": plan,
                    "name": plan.customer.name or plan.customer.email if plan.customer else "",
                    "good_until": show_date(plan.card.expiry_date if plan.card else None),
                    "past": plan.card is not None and plan.card.has_run_out,
                }
                for plan in figures.soonest_cards()
            ],
            "card_days": figures.CARD_DAYS,
            "run": self._run(),
        }

    def _cards(self, read: figures.Figures) -> list[dict[str, Any]]:
        """The few numbers that ask for something to be done, each with the page where it is done."""
        late = sum(share.number for share in read.overdue)
        plans = reverse("checkout.object.payment.plan.list")
        number = proposals.waiting().count()
        second = {
            "text": _("For a second person"),
            "number": number_text(number),
            "url": reverse("checkout.proposal.list"),
        }
        return [
            *([second] if number else []),
            {"text": _("Payments late"), "number": number_text(late), "url": reverse("checkout.overdue.list")},
            {
                "text": _("May not come"),
                "number": show_money(sum((month.shaky for month in read.months), Decimal(0)), read.currency),
                "url": reverse("checkout.ahead.list"),
            },
            {
                "text": _("Waiting for their payer"),
                "number": read.waiting,
                "url": f"{plans}?show=waiting",
            },
            {"text": _("Unpaid invoices"), "number": read.invoices, "url": reverse("checkout.list.invoice")},
            {
                "text": _("Requests to pay"),
                "number": read.requests,
                "url": f"{reverse('checkout.customer.payment.list')}?show=open",
            },
            {
                "text": self._disputes(read),
                "number": number_text(read.disputes),
                "url": reverse("checkout.dispute.list"),
            },
            {
                "text": _("Cards that run out within %(days)d days") % {"days": figures.CARD_DAYS},
                "number": read.cards,
                "url": reverse("checkout.object.payment.plan.card.expiry.list"),
            },
            {"text": _("Events not handled"), "number": read.events, "url": reverse("checkout.event.list")},
        ]

    @staticmethod
    def _disputes(read: figures.Figures) -> str:
        """With the next date until which evidence can be sent, and how many such dates have passed."""
        said = [_("Disputes open")]
        if read.answer_by is not None:
            said.append(_("the next to answer by %(day)s") % {"day": show_date(timezone.localdate(read.answer_by))})
        if read.too_late:
            said.append(_("date passed: %(number)d") % {"number": read.too_late})
        return ", ".join(said)

    def _month(self, month: figures.Month, currency: str) -> dict[str, Any]:
        return {
            "name": date_format(month.first, "M Y"),
            # A dash for nothing, so that the eye finds what there is.
            "expected": show_money(month.expected or None, currency),
            "taken": show_money(month.taken or None, currency),
            "back": show_money(month.back or None, currency),
            "left": show_money(month.left or None, currency),
            "shaky": show_money(month.shaky, currency) if month.shaky else "",
            "current": month.first == clock.today().replace(day=1),
        }

    def _shares(self, rows: list[figures.Share], currency: str) -> list[dict[str, Any]]:
        widths = charts.shares([row.number for row in rows])
        return [
            {
                "name": row.name,
                "number": number_text(row.number),
                "amount": show_money(row.amount or None, currency),
                "width": width,
            }
            for row, width in zip(rows, widths, strict=True)
        ]

    def _run(self) -> dict[str, Any] | None:
        found = figures.newest_run()
        if found is None:
            return None
        run, counts = found
        names = dict(PaymentRunItem.Outcome.choices)
        return {
            "run": run,
            "started": show_time(run.started_at),
            "finished": show_time(run.finished_at) if run.finished_at else "",
            "counts": [(names[outcome], number_text(number)) for outcome, number in sorted(counts.items())],
        }
