"""Every letter that payers get, and how each looks with made-up words. Nothing is sent."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from checkout import letters, mail
from checkout.office.example_letters import example
from checkout.office.views.base import StaffPageView

#: A letter is a page of its own, that loads pictures and runs nothing.
POLICY = "default-src 'none'; img-src * data:; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"


class LetterListView(StaffPageView):
    template_name = "checkout/staff/letters.html"
    permission = "checkout.view_checkoutsettings"
    menu = "checkout.letter.register"
    heading = gettext_lazy("Letters")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        rows = [
            {
                "url": reverse("checkout.letter.detail", args=[name]),
                "name": name,
                "entry": entry,
                "is_on": letters.is_on(name),
            }
            for name, entry in letters.REGISTER.items()
        ]
        return super().get_context_data(**kwargs) | {"letters": rows}


class LetterView(StaffPageView):
    """The words of one letter, as the site has them, in one of its languages."""

    template_name = "checkout/staff/letter.html"
    permission = "checkout.view_checkoutsettings"
    menu = "checkout.letter.register"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if kwargs["name"] not in letters.REGISTER:
            raise Http404(_("There is no such letter."))
        return super().get(request, *args, **kwargs)

    @property
    def name(self) -> str:
        return str(self.kwargs["name"])

    @property
    def language(self) -> str:
        """The one that was asked for, if the site has it, else the reader's own."""
        codes = [code for code, _name in settings.LANGUAGES]
        wanted = self.request.GET.get("language", "")
        return wanted if wanted in codes else translation.get_language() or settings.LANGUAGE_CODE

    def preview(self) -> mail.Preview:
        with translation.override(self.language):
            return mail.preview(self.name, example(self.name), self.language)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        entry = letters.REGISTER[self.name]
        try:
            said, problem = self.preview(), ""
        except mail.MailNotReady as refusal:
            said, problem = None, str(refusal)
        here = reverse("checkout.letter.detail", args=[self.name])
        return super().get_context_data(**kwargs) | {
            "heading": entry.name,
            "letter": entry,
            "name": self.name,
            "is_on": letters.is_on(self.name),
            "said": said,
            "problem": problem,
            "language": self.language,
            "languages": [
                {"name": _(name), "url": f"{here}?language={code}", "current": code == self.language}
                for code, name in settings.LANGUAGES
            ],
            "html_url": f"{reverse('checkout.letter.html', args=[self.name])}?language={self.language}",
        }


class LetterHtmlView(LetterView):
    """The same letter as a mail program shows it."""

    def render_to_response(self, context: dict[str, Any], **kwargs: Any) -> HttpResponse:
        if context["said"] is None:
            return super().render_to_response(context, **kwargs)
        return HttpResponse(context["said"].html, headers={"Content-Security-Policy": POLICY})
