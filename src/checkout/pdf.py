"""Papers as PDF, drawn by ReportLab: the extra [pdf]. Without it there are the pages, which print."""

from __future__ import annotations

import io
import unicodedata
from functools import cache
from html import escape
from importlib.util import find_spec
from typing import Any, Final

from django.http import Http404, HttpResponse
from django.utils.text import get_valid_filename

from checkout import brand
from checkout.conf import conf
from checkout.sheets import Sheet, Table

#: Points: a quarter of an inch less than most printers leave out, and the widths of an A4 page.
MARGIN: Final = 56
WIDTH: Final = 595.27 - 2 * MARGIN
AMOUNT: Final = 82


@cache
def is_available() -> bool:
    """True on a site that has installed the extra [pdf]."""
    return find_spec("reportlab") is not None


def render(sheet: Sheet) -> bytes:
    """The sheet on A4. Letters that the font has not are written without their accents, or as a question mark: the page
    has them all (CHECKOUT_BRAND, `pdf_font`)."""
    from reportlab.platypus import SimpleDocTemplate

    made = io.BytesIO()
    SimpleDocTemplate(
        made,
        pagesize=(595.27, 841.89),
        leftMargin=MARGIN,
        rightMargin=MARGIN,
        topMargin=MARGIN,
        bottomMargin=MARGIN,
        title=sheet.heading,
        author=sheet.organisation,
        lang=sheet.language,
    ).build(_Drawing().story(sheet))
    return made.getvalue()


def response(sheet: Sheet) -> HttpResponse:
    """The sheet as a file to keep. Raises Http404 on a site without the extra."""
    if not is_available():
        raise Http404
    name = f"{get_valid_filename(sheet.file)}.pdf"
    return HttpResponse(
        render(sheet),
        content_type="application/pdf",
        headers={"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"},
    )


def page_of(sheet: Sheet, *, pdf_url: str, back_url: str = "") -> dict[str, Any]:
    """What checkout/paper.html shows: the sheet, the address of its file where there can be one, and the way back."""
    return {
        "base_template": conf.CHECKOUT_BASE_TEMPLATE,
        "sheet": sheet,
        "pdf_url": pdf_url if is_available() else "",
        "back_url": back_url,
    }


class _Drawing:
    """The pieces of one document, in the site's font and colour."""

    def __init__(self) -> None:
        from reportlab.lib.styles import ParagraphStyle

        self.regular, self.bold = _fonts(brand.brand()["pdf_font"], brand.brand()["pdf_font_bold"])
        plain = ParagraphStyle("plain", fontName=self.regular, fontSize=10.5, leading=15)
        self.styles = {
            "plain": plain,
            "small": ParagraphStyle("small", plain, fontSize=9.5, leading=13, textColor="#515a56"),
            "small right": ParagraphStyle(
                "small right", plain, fontSize=9.5, leading=13, textColor="#515a56", alignment=2
            ),
            "strong": ParagraphStyle("strong", plain, fontName=self.bold),
            "right": ParagraphStyle("right", plain, alignment=2),
            "strong right": ParagraphStyle("strong right", plain, fontName=self.bold, alignment=2),
            "title": ParagraphStyle(
                "title", plain, fontName=self.bold, fontSize=21, leading=26, spaceBefore=24, textColor=self._accent()
            ),
            "heading": ParagraphStyle("heading", plain, fontName=self.bold, spaceBefore=18, spaceAfter=4),
            "amount": ParagraphStyle("amount", plain, fontName=self.bold, fontSize=14, leading=20),
        }

    def _accent(self) -> Any:
        from reportlab.lib import colors

        try:
            return colors.toColor(brand.brand()["accent"])
        except ValueError:
            # CSS knows more ways to name a colour.
            return colors.black

    def _text(self, text: str, style: str) -> Any:
        from reportlab.platypus import Paragraph

        # Paragraphs read markup, and whatever people typed is no markup.
        bold = self.styles[style].fontName == self.bold
        return Paragraph(escape(writable(text, self.bold if bold else self.regular)), self.styles[style])

    def story(self, sheet: Sheet) -> list[Any]:
        from reportlab.platypus import Spacer

        said: list[Any] = [self._text(sheet.organisation, "strong")] if sheet.organisation else []
        said += [self._text(line, "small") for line in sheet.organisation_lines]
        if sheet.to:
            said += [Spacer(1, 24), *(self._text(line, "plain") for line in sheet.to)]
        said += [self._text(sheet.heading, "title"), Spacer(1, 10), self._facts(sheet)]
        for table in sheet.tables:
            said += [self._text(table.heading, "heading"), self._table(table)]
        if sheet.notes:
            said += [Spacer(1, 18), *(self._text(note, "plain") for note in sheet.notes)]
        return said

    def _facts(self, sheet: Sheet) -> Any:
        label, amount = sheet.amount
        rows = [[self._text(name, "small"), self._text(value, "plain")] for name, value in sheet.facts]
        rows.append([self._text(label, "amount"), self._text(amount, "amount")])
        return self._grid(rows, [WIDTH * 0.32, WIDTH * 0.68])

    def _table(self, table: Table) -> Any:
        numbers = len(table.columns) - 1
        rows = [self._row(table.columns, "small", "small right"), *(self._row(row) for row in table.rows)]
        if table.sum:
            rows.append(self._row(table.sum, "strong", "strong right"))
        return self._grid(rows, [WIDTH - numbers * AMOUNT] + [AMOUNT] * numbers, repeat=1)

    def _row(self, words: tuple[str, ...], first: str = "plain", others: str = "right") -> list[Any]:
        head, *amounts = words
        return [self._text(head, first), *(self._text(amount, others) for amount in amounts)]

    def _grid(self, rows: list[list[Any]], widths: list[float], *, repeat: int = 0) -> Any:
        from reportlab.platypus import Table as Grid

        lines = [
            ("LINEBELOW", (0, 0), (-1, -1), 0.5, "#d9ddd7"),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LEFTPADDING", (0, 0), (0, -1), 0),
            ("RIGHTPADDING", (-1, 0), (-1, -1), 0),
            ("TOPPADDING", (0, 0), (-1, -1), 4),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 5),
        ]
        return Grid(rows, colWidths=widths, style=lines, hAlign="LEFT", repeatRows=repeat)


@cache
def _fonts(regular: str, bold: str) -> tuple[str, str]:
    """The names of the two fonts: TrueType files of the site's, or Helvetica, which every reader of PDF has."""
    if not regular:
        return "Helvetica", "Helvetica-Bold"
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    pdfmetrics.registerFont(TTFont("checkout-regular", regular))
    pdfmetrics.registerFont(TTFont("checkout-bold", bold or regular))
    return "checkout-regular", "checkout-bold"


def writable(text: str, font: str) -> str:
    """The text with nothing in it that the font has not, which would be printed as a black square."""
    return "".join(_letter(letter, font) for letter in text)


def _letter(letter: str, font: str) -> str:
    if _has(font, letter):
        return letter
    plain = "".join(each for each in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(each))
    return plain if plain and all(_has(font, each) for each in plain) else "?"


def _has(font: str, letter: str) -> bool:
    from reportlab.pdfbase import pdfmetrics

    found = pdfmetrics.getFont(font)
    glyphs = getattr(found.face, "charToGlyph", None)
    if glyphs is not None:
        return ord(letter) in glyphs
    try:
        letter.encode("cp1252")
    except UnicodeEncodeError:
        return False
    return letter.isprintable() or letter == " "
