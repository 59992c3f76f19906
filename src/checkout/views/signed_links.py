"""What a page behind a signed link of a mail says when the link does not work, and how often one may guess."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_cache_control
from django.utils.translation import gettext as _

from checkout import csp, links
from checkout.ids import network_of
from checkout.views.access import PayerViewMixin, problem_page

#: So many links that we never made may be tried from one address within this many seconds.
BAD_LINKS, BAD_LINKS_WITHIN = 20, 600
#: The button on the page of a link that has expired.
NEW_LINK = "new_link"


class SignedLinkMixin(PayerViewMixin, ABC):
    """Reads the token of the address before GET and POST alike, and refuses it in the payer's words."""

    request: HttpRequest

    @abstractmethod
    def read_token(self, token: str) -> None:
        """Keep what the link opens. Raise ExpiredLink, RevokedLink or BadLink."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            self.read_token(str(kwargs["token"]))
        except links.ExpiredLink:
            return self.expired(str(kwargs["token"]))
        except links.RevokedLink:
            return self.refusal(
                410,
                _("This link is no longer valid"),
                _("It was replaced by a newer one. Please use the link of our latest mail, or ask us for a new one."),
            )
        except links.BadLink:
            # A link that we made is never refused: behind one proxy or network a guesser would lock out every payer.
            limit = _Guesses(request)
            if limit.too_many:
                return self.refusal(
                    429,
                    _("Too many wrong links"),
                    _(
                        "Too many links that we do not know were opened from your network. "
                        "Please try again in ten minutes."
                    ),
                )
            limit.count()
            return self.refusal(
                404,
                _("This link does not work"),
                _("Perhaps it was cut off. Copy the whole address from the mail into your browser."),
            )
        return super().dispatch(request, *args, **kwargs)

    def expired(self, token: str) -> HttpResponse:
        """What a link that was good once answers."""
        return self.refusal(
            410,
            _("This link has expired"),
            _("Our links work for a limited time. Please ask us for a new one; nothing was taken."),
        )

    def offer_new_link(self, offer: str, sent: str, send: Callable[[], object], heading: str = "") -> HttpResponse:
        """The page of a link that has expired, with a button: whoever holds it may have a new one sent, to the address
        that we know and no other. The same words (`offer`, and `sent` once it was asked for) for what is there and what
        is not. The button of a page that was left open until the link had expired asks for none."""
        if self.request.method == "POST" and NEW_LINK in self.request.POST:
            send()
            return self.refusal(200, heading or _("A new link is on its way"), sent)
        return self.refusal(410, _("This link has expired"), offer, press=_("Send me a new link"))

    def refusal(self, status: int, heading: str, message: str, *, press: str = "") -> HttpResponse:
        page = problem_page(self.request, status, heading, message, press=press)
        patch_cache_control(page, no_store=True, private=True)
        page.headers["Referrer-Policy"] = "same-origin"
        csp.protect(self.request, page, stripe=True)
        return page


class _Guesses:
    """How many links that we never made came from one address lately.

    The count is in Django's cache, so it is per process with the local-memory cache: still a bound. Behind a proxy
    REMOTE_ADDR has to be the visitor's.
    """

    def __init__(self, request: HttpRequest) -> None:
        self.key = f"checkout.bad_links.{network_of(request.META.get('REMOTE_ADDR', ''))}"

    @property
    def too_many(self) -> bool:
        return int(cache.get(self.key, 0)) >= BAD_LINKS

    def count(self) -> None:
        # `add` keeps the first one's time: the window ends, however busily somebody guesses.
        if not cache.add(self.key, 1, BAD_LINKS_WITHIN):
            try:
                cache.incr(self.key)
            except ValueError:
                cache.add(self.key, 1, BAD_LINKS_WITHIN)
