"""Tables as an Excel workbook, written by openpyxl: the extra [xlsx]. Without it there is the CSV."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import cache
from importlib.util import find_spec
from typing import Any


@cache
def is_available() -> bool:
    """True on a site that has installed the extra [xlsx]."""
    return find_spec("openpyxl") is not None


def render(title: str, columns: Sequence[str], rows: Iterable[Sequence[str | Decimal]]) -> bytes:
    """One sheet with a bold first row that stays in sight. Amounts are numbers; text is text, never a formula."""
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Font

    book = Workbook(write_only=True)
    sheet = book.create_sheet(title)
    sheet.freeze_panes = "A2"

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
    for row in rows:
        sheet.append([cell(value) for value in row])
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()
