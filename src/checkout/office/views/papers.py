"""The invoice that a payer asked for, to print or to send on. Receipts and statements are on the payer's own pages."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from checkout import pdf
from checkout.office.views.base import StaffPageView
from checkout.office.views.checkouts import find
from checkout.services import numbering, papers


class InvoicePaperView(StaffPageView):
    """As its payer gets it: the page has the looks of the payers' pages. With `as_pdf`, a file."""

    template_name = "checkout/paper.html"
    permission = "checkout.view_checkout"
    as_pdf = False

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        checkout = find(self.kwargs["uuid"])
        if not numbering.has_invoice(checkout):
            raise Http404
        sheet = papers.invoice(checkout)
        if self.as_pdf:
            return pdf.response(sheet)
        pdf_url = reverse("checkout.invoice.paper.pdf", args=[checkout.uuid])
        page = pdf.page_of(sheet, pdf_url=pdf_url, back_url=checkout.get_absolute_url())
        return self.render_to_response(self.get_context_data(**page))
