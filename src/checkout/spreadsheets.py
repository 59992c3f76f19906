"""CSV that a spreadsheet shows and does not run. Names and references are typed by payers and by strangers."""

from __future__ import annotations

import re
from typing import Final

#: Where a program may take a formula to begin: at the start of the cell, or after a sign that a program of another
#: locale separates cells by (";" in much of Europe), whatever spaces stand before. Full-width signs (=, +, -, @) count.
_FORMULA: Final = re.compile(
    r"(?:^|(?<=[;\t\r\n]))(?=[\s\x00-\x1f]*[=+\-@\uff1d\uff0b\uff0d\uff20])|^(?=[\t\r\n\x0b\x0c])"
)


def harmless(cell: str) -> str:
    """The cell with an apostrophe before whatever would be run; spreadsheets show it as text.

    >>> harmless("=1+1"), harmless("Ann;=1+1"), harmless("Ann"), harmless("")
    ("'=1+1", "Ann;'=1+1", 'Ann', '')
    """
    return _FORMULA.sub("'", cell)
