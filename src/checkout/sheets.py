"""What stands on a paper: a receipt, a statement or an invoice, as words. The page and the PDF are made of the same."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of words below their columns. The first column says what, the others are amounts and stand to the right."""

    heading: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    #: One more row, in bold, or none.
    sum: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sheet:
    """A paper in the language of its reader. `file` is its name without an ending."""

    title: str
    file: str
    language: str
    number: str = ""
    #: The name of the organisation, and beneath it its address and tax number.
    organisation: str = ""
    organisation_lines: tuple[str, ...] = ()
    #: To whom it goes: a name, or the whole address of an invoice.
    to: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    #: The one amount that it is about, with its words.
    amount: tuple[str, str] = ("", "")
    tables: tuple[Table, ...] = ()
    #: Paragraphs at the end.
    notes: tuple[str, ...] = ()

    @property
    def heading(self) -> str:
        return f"{self.title} {self.number}".strip()
