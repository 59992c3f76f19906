"""The search over everything, and asking Stripe about an id that is not in our rows."""

from __future__ import annotations

import logging
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from checkout import money
from checkout.errors import GatewayError
from checkout.office import everywhere
from checkout.office.views.base import StaffPageView
from checkout.office.views.cells import show_money, show_time
from checkout.services import look_up
from checkout.services.look_up import Thing

logger = logging.getLogger("checkout.staff")


class SearchView(StaffPageView):
    """GET looks in our rows. POST asks Stripe about one id, once, and looks for what that is about."""

    template_name = "checkout/staff/search.html"
    permission = "checkout.view_checkout"
    heading = gettext_lazy("Search everything")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        asked = everywhere.Asked.read(self.request.GET.get("q", ""))
        return self._found(asked, **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        asked = everywhere.Asked.read(request.POST.get("q", ""))
        thing, trouble = None, ""
        if not look_up.is_id(asked.text):
            trouble = _("This is no id that Stripe can be asked about.")
        else:
            logger.info("user %s asked Stripe about %s", request.user.pk, asked.text, extra={"user": request.user.pk})
            try:
                thing = look_up.look_up(asked.text)
            except GatewayError:
                trouble = _("Stripe gave no answer, or our key may not read this. Ask again later.")
            else:
                trouble = "" if thing is not None else _("Stripe has no such thing in our account.")
        return self.render_to_response(self._found(asked, thing) | {"trouble": trouble})

    def _found(self, asked: everywhere.Asked, thing: Thing | None = None, **kwargs: Any) -> dict[str, Any]:
        may = self.request.user.has_perm
        if thing is None:
            groups = everywhere.find(asked, may) if asked.text else []
        else:
            # Our own mark first: it names the attempt even where nothing else is known here.
            marks = [thing.metadata[name] for name in ("checkout",) if thing.metadata.get(name)]
            groups = everywhere.around([*marks, thing.id, *thing.names], may)
        return super().get_context_data(**kwargs) | {
            "asked": asked.text,
            # For the box that is on every page.
            "searched": asked.text,
            "groups": groups,
            "most": everywhere.SHOWN,
            "may_ask": look_up.is_id(asked.text) and thing is None,
            "thing": self._facts(thing) if thing is not None else [],
            "trouble": "",
        }

    def _facts(self, thing: Thing) -> list[tuple[Any, Any, str]]:
        amount = ""
        if thing.amount_minor is not None and thing.currency in money.CURRENCIES:
            amount = show_money(money.from_minor(thing.amount_minor, thing.currency), thing.currency)
        return [
            (_("At Stripe"), thing.id, ""),
            (_("What"), capfirst(thing.kind.replace("_", " ")), ""),
            (_("State"), thing.status.replace("_", " "), ""),
            (_("Amount"), amount, ""),
            (_("Since"), show_time(thing.created_at), ""),
            (_("About"), ", ".join(thing.names), ""),
        ]
