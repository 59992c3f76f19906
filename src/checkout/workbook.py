"""Tables as an Excel workbook, written by openpyxl: the extra [xlsx]. Without it there is the CSV."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import cache
from importlib.util import find_spec
from itertools import chain, islice
from typing import Any, Final

LOOKED_AT: Final = 200
#: In characters; what is longer is read in its cell.
WIDEST: Final = 44


@cache
def is_available() -> bool:
    """True on a site that has installed the extra [xlsx]."""
    return find_spec("openpyxl") is not None


def render(title: str, columns: Sequence[str], rows: Iterable[Sequence[str | Decimal]]) -> bytes:
    """One sheet with a bold first row that stays in sight, also on paper, where it is as wide as the page. Amounts are
    numbers; text is text, never a formula."""
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Font
    from openpyxl.utils import get_column_letter
    from openpyxl.worksheet.properties import PageSetupProperties

    book = Workbook(write_only=True)
    sheet = book.create_sheet(title)
    sheet.freeze_panes = "A2"
    sheet.print_title_rows = "1:1"
    sheet.page_setup.orientation = "landscape"
    sheet.sheet_properties.pageSetUpPr = PageSetupProperties(fitToPage=True)
    sheet.page_setup.fitToHeight = 0
    left = iter(rows)
    # Columns are as wide as what the first rows have in them: the rest is not held in memory.
    first = list(islice(left, LOOKED_AT))
    for number, values in enumerate(zip(columns, *first, strict=True), 1):
        widest = max(len(str(value)) for value in values) + 2
        sheet.column_dimensions[get_column_letter(number)].width = min(widest, WIDEST)

    def cell(value: Any) -> Any:
        made: Any = WriteOnlyCell(sheet, value=value)
        if isinstance(value, str):
            made.data_type = "s"
        else:
            made.number_format = "#,##0.00"
        return made

    head = [cell(column) for column in columns]
    for each in head:
        each.font = Font(bold=True)
    sheet.append(head)
    for row in chain(first, left):
        sheet.append([cell(value) for value in row])
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()
