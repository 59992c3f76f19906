"""The health of the site: which jobs run, what is wrong, and what to do about each."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from checkout.office.views.base import StaffPageView
from checkout.office.views.cells import show_time
from checkout.services import doctor
from checkout.services.doctor import Level

#: The colours of states, borrowed.
COLOURS = {Level.ERROR: "fail", Level.WARNING: "pay_on_session", Level.OK: "success"}
NAMES = {Level.ERROR: gettext_lazy("Error"), Level.WARNING: gettext_lazy("Warning"), Level.OK: gettext_lazy("OK")}


class DoctorView(StaffPageView):
    """GET shows what our own database tells: no call to anybody, so opening or reloading the page costs nothing and it
    opens while Stripe is down. POST asks Stripe and our own webhook address as well. What they answered is shown at
    once and not kept: an old "all is well" would mislead, and each process may have a cache of its own.
    """

    template_name = "checkout/staff/doctor.html"
    permission = "checkout.view_scheduledjob"
    menu = "checkout.doctor"
    heading = gettext_lazy("Health")

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._show(asked=False)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._show(asked=True)

    def _show(self, *, asked: bool) -> HttpResponse:
        findings = doctor.examine(ask=asked)
        jobs = doctor.job_states()
        # A silent job has a line of its own, the loudest on the page.
        troubles = [
            finding
            for finding in findings
            if finding.level in COLOURS
            and finding.level != Level.OK
            and (finding.check, finding.level) != ("jobs", Level.ERROR)
        ]
        context = self.get_context_data(
            asked=asked,
            silent=silent_jobs(jobs),
            troubles=[self._row(finding) for finding in troubles],
            well=[_(finding.check) for finding in findings if finding.level == Level.OK],
            skipped=[
                {"check": _(finding.check), "message": finding.message}
                for finding in findings
                if finding.level == Level.SKIPPED
            ],
            jobs=[self._job(state) for state in jobs],
        )
        return self.render_to_response(context)

    @staticmethod
    def _row(finding: doctor.Finding) -> dict[str, Any]:
        return {
            "check": _(finding.check),
            "finding": finding,
            "state": COLOURS[finding.level],
            "level": NAMES[finding.level],
        }

    @staticmethod
    def _job(state: doctor.JobState) -> dict[str, Any]:
        level = Level.ERROR if state.is_silent else Level.WARNING if state.error else Level.OK
        return {
            "name": state.job.name,
            "succeeded": show_time(state.succeeded_at) if state.succeeded_at else _("never"),
            "started": show_time(state.started_at) if state.started_at else _("never"),
            "error": state.error,
            "state": COLOURS[level],
            "level": _("Silent") if state.is_silent else _("Failed last time") if state.error else _("On time"),
        }


def silent_jobs(states: list[doctor.JobState] | None = None) -> list[str]:
    """A sentence for each job that has not run when it should."""
    return [
        (
            _("%(job)s has not run since %(when)s, so %(lost)s.")
            if state.succeeded_at
            else _("%(job)s has never run, so %(lost)s.")
        )
        % {"job": state.job.name, "when": show_time(state.succeeded_at), "lost": _(state.job.what_is_lost)}
        for state in (doctor.job_states() if states is None else states)
        if state.is_silent
    ]
