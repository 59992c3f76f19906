"""Lines of the day book, the journal entries that follow from them, and the layouts that bookkeeping programs import.

An entry debits one account and credits another with the same amount, so any number of entries balances.
"""

from __future__ import annotations

import csv
import datetime
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from checkout.spreadsheets import harmless


class Kind(StrEnum):
    PAYMENT = "payment"
    REFUND = "refund"
    DISPUTE = "dispute"
    BILLED = "fee"
    PAYOUT = "payout"
    KEPT_BACK = "kept back"
    CORRECTION = "correction"
    FOREIGN = "not of this site"
    BY_HAND = "paid by other means"


@dataclass(frozen=True, slots=True)
class Line:
    """One movement of money. `gross`, `fee` and `net` are signed, in `currency`, which it is settled in; `paid` is the
    amount in the payer's. `adjusts` is the closed month that it belongs to, when it came later; the journal has it on
    `booked_on` then, for nothing is booked into a closed month."""

    day: datetime.date
    kind: Kind
    gross: Decimal
    fee: Decimal
    currency: str
    paid: Decimal
    paid_currency: str
    number: str = ""
    payer: str = ""
    what: str = ""
    method: str = ""
    reference: str = ""
    payout: str = ""
    payout_day: datetime.date | None = None
    movement: str = ""
    source: str = ""
    tax: Decimal | None = None
    adjusts: str = ""
    booked_on: datetime.date | None = None

    @property
    def net(self) -> Decimal:
        return self.gross - self.fee


#: The day book's columns, in English: the file is kept for years, and read by programs.
COLUMNS: Final = (
    "day", "kind", "number", "payer", "what for", "currency", "gross", "fee", "net", "paid", "paid currency", "tax",
    "method", "reference", "payout", "payout day", "movement", "source", "adjusts",
)  # fmt: skip
#: Which of them are amounts.
AMOUNTS: Final = frozenset({"gross", "fee", "net", "paid", "tax"})


def cells(line: Line) -> list[str | Decimal]:
    """A row of the day book. Text is made harmless for spreadsheets; a missing amount is an empty text."""
    texts = {
        "day": line.day.isoformat(), "kind": str(line.kind), "number": line.number, "payer": line.payer,
        "what for": line.what, "currency": line.currency, "paid currency": line.paid_currency, "method": line.method,
        "reference": line.reference, "payout": line.payout,
        "payout day": line.payout_day.isoformat() if line.payout_day else "", "movement": line.movement,
        "source": line.source, "adjusts": line.adjusts,
    }  # fmt: skip
    amounts = {"gross": line.gross, "fee": line.fee, "net": line.net, "paid": line.paid, "tax": line.tax}
    row: list[str | Decimal] = []
    for name in COLUMNS:
        amount = amounts.get(name)
        row.append(amount if amount is not None else harmless(texts.get(name, "")))
    return row


class _Echo:
    def write(self, line: str) -> str:
        return line


def day_book_csv(lines: Iterable[Line]) -> Iterator[str]:
    """The day book, line by line; the mark at the beginning tells spreadsheets that it is UTF-8."""
    writer = csv.writer(_Echo())
    yield "\ufeff" + writer.writerow(COLUMNS)
    for line in lines:
        yield writer.writerow(cells(line))


# -- entries -----------------------------------------------------------------------------------------------

#: CHECKOUT_ACCOUNTS: numbers, or names, of the site's own chart of accounts.
ACCOUNTS: Final[Mapping[str, str]] = {
    "revenue": "200",
    "fees": "404",
    "disputes": "405",
    "clearing": "610",
    "bank": "090",
    "by_hand": "091",
    "kept_back": "611",
    "not_ours": "850",
    "unexplained": "851",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """`amount` (above zero) from the account `credit` to the account `debit`."""

    day: datetime.date
    debit: str
    credit: str
    amount: Decimal
    currency: str
    text: str
    reference: str = ""


#: The account that stands against the clearing account, by kind.
_AGAINST: Final = {
    Kind.PAYMENT: "revenue",
    Kind.REFUND: "revenue",
    Kind.DISPUTE: "disputes",
    Kind.BILLED: "fees",
    Kind.PAYOUT: "bank",
    Kind.KEPT_BACK: "kept_back",
    Kind.CORRECTION: "unexplained",
    Kind.FOREIGN: "not_ours",
}


def entries_of(line: Line, accounts: Mapping[str, str]) -> list[Entry]:
    """What a line books: its gross between the clearing account and one other, its fee from clearing to fees."""
    if line.kind == Kind.BY_HAND:
        return _moved(line, line.gross, accounts["by_hand"], accounts["revenue"])
    if line.kind == Kind.FOREIGN:
        return _moved(line, line.net, accounts["clearing"], accounts["not_ours"])
    entries = _moved(line, line.gross, accounts["clearing"], accounts[_AGAINST[line.kind]])
    return entries + _moved(line, line.fee, accounts["fees"], accounts["clearing"])


def _moved(line: Line, amount: Decimal, debit: str, credit: str) -> list[Entry]:
    if not amount:
        return []
    if amount < 0:
        debit, credit, amount = credit, debit, -amount
    reference = line.source if line.kind == Kind.PAYOUT else ""
    text = f"{line.kind} of {line.adjusts}" if line.adjusts else str(line.kind)
    return [Entry(line.booked_on or line.day, debit, credit, amount, line.currency, text, reference)]


def journal(lines: Iterable[Line], accounts: Mapping[str, str], currency: str) -> list[Entry]:
    """One entry for each day, kind and pair of accounts; payouts stand alone, for the bank has a line for each."""
    sums: dict[tuple[datetime.date, str, str, str, str], Decimal] = {}
    for line in lines:
        if line.currency == currency:
            for entry in entries_of(line, accounts):
                key = (entry.day, entry.debit, entry.credit, entry.text, entry.reference)
                sums[key] = sums.get(key, Decimal(0)) + entry.amount
    return [
        Entry(day, debit, credit, amount, currency, text, reference)
        for (day, debit, credit, text, reference), amount in sorted(sums.items())
    ]


# -- layouts -----------------------------------------------------------------------------------------------


def _written(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    made = io.StringIO()
    writer = csv.writer(made)
    writer.writerow(header)
    writer.writerows([harmless(cell) if not _is_number(cell) else cell for cell in row] for row in rows)
    return made.getvalue()


def _is_number(cell: str) -> bool:
    return cell.removeprefix("-").replace(".", "", 1).isdigit()


def _number(amount: Decimal) -> str:
    """Two decimals, or three where there are some."""
    rounded = amount.quantize(Decimal("0.01"))
    return str(rounded if rounded == amount else amount)


def _told(entry: Entry) -> str:
    return f"Stripe: {entry.text} {entry.reference}".strip()


XERO: Final = (
    "*Narration", "*Date", "Description", "*AccountCode", "*TaxRate", "*Amount", "TrackingName1", "TrackingOption1",
    "TrackingName2", "TrackingOption2",
)  # fmt: skip


def xero(entries: Iterable[Entry], accounts: Mapping[str, str]) -> str:
    """Xero's template for importing manual journals: debits above zero, credits below, a narration and a day together
    are one journal that has to add up to nothing."""
    rows = []
    for entry in entries:
        day, text = f"{entry.day:%d/%m/%Y}", _told(entry)
        rate = accounts.get("xero_tax_rate", "No VAT")
        narration = f"Stripe {entry.day:%Y-%m-%d}"
        rows.append([narration, day, text, entry.debit, rate, _number(entry.amount), "", "", "", ""])
        rows.append([narration, day, text, entry.credit, rate, _number(-entry.amount), "", "", "", ""])
    return _written(XERO, rows)


QUICKBOOKS: Final = (
    "*JournalNo", "*JournalDate", "*AccountName", "*Debits", "*Credits", "Description", "Name", "Currency", "Location",
    "Class",
)  # fmt: skip


def quickbooks(entries: Iterable[Entry], accounts: Mapping[str, str]) -> str:
    """QuickBooks Online's sample file for importing journal entries: a journal number for each day."""
    rows = []
    for entry in entries:
        number, day = f"STRIPE-{entry.day:%Y%m%d}", f"{entry.day:%d/%m/%Y}"
        about = [_told(entry), "", entry.currency, "", ""]
        rows.append([number, day, entry.debit, _number(entry.amount), "", *about])
        rows.append([number, day, entry.credit, "", _number(entry.amount), *about])
    return _written(QUICKBOOKS, rows)


#: The captions of DATEV's format "Buchungsstapel", version 13 of its category 21: 125 columns.
DATEV: Final = (
    "Umsatz (ohne Soll/Haben-Kz)", "Soll/Haben-Kennzeichen", "WKZ Umsatz", "Kurs", "Basis-Umsatz", "WKZ Basis-Umsatz",
    "Konto", "Gegenkonto (ohne BU-Schlüssel)", "BU-Schlüssel", "Belegdatum", "Belegfeld 1", "Belegfeld 2", "Skonto",
    "Buchungstext", "Postensperre", "Diverse Adressnummer", "Geschäftspartnerbank", "Sachverhalt", "Zinssperre",
    "Beleglink",
    *(f"Beleginfo - {part} {number}" for number in range(1, 9) for part in ("Art", "Inhalt")),
    "KOST1 - Kostenstelle", "KOST2 - Kostenstelle", "Kost-Menge", "EU-Land u. UStID (Bestimmung)",
    "EU-Steuersatz (Bestimmung)", "Abw. Versteuerungsart", "Sachverhalt L+L", "Funktionsergänzung L+L",
    "BU 49 Hauptfunktionstyp", "BU 49 Hauptfunktionsnummer", "BU 49 Funktionsergänzung",
    *(f"Zusatzinformation - {part} {number}" for number in range(1, 21) for part in ("Art", "Inhalt")),
    "Stück", "Gewicht", "Zahlweise", "Forderungsart", "Veranlagungsjahr", "Zugeordnete Fälligkeit", "Skontotyp",
    "Auftragsnummer", "Buchungstyp", "USt-Schlüssel (Anzahlungen)", "EU-Land (Anzahlungen)",
    "Sachverhalt L+L (Anzahlungen)", "EU-Steuersatz (Anzahlungen)", "Erlöskonto (Anzahlungen)", "Herkunft-Kz",
    "Buchungs GUID", "KOST-Datum", "SEPA-Mandatsreferenz", "Skontosperre", "Gesellschaftername", "Beteiligtennummer",
    "Identifikationsnummer", "Zeichnernummer", "Postensperre bis", "Bezeichnung SoBil-Sachverhalt",
    "Kennzeichen SoBil-Buchung", "Festschreibung", "Leistungsdatum", "Datum Zuord. Steuerperiode", "Fälligkeit",
    "Generalumkehr (GU)", "Steuersatz", "Land", "Abrechnungsreferenz", "BVV-Position", "EU-Land u. UStID (Ursprung)",
    "EU-Steuersatz (Ursprung)", "Abw. Skontokonto",
)  # fmt: skip


def datev(entries: Sequence[Entry], accounts: Mapping[str, str], month: datetime.date, last: datetime.date) -> str:
    """DATEV's format (EXTF 700) for a batch of bookings: the account is debited, its contra account credited. Written
    for the code page 1252."""
    currency = entries[0].currency if entries else "EUR"
    head = [
        '"EXTF"', "700", "21", '"Buchungsstapel"', "13", f"{last:%Y%m%d}000000000", "", '"RE"', '""', '""',
        accounts.get("datev_consultant", "1001"), accounts.get("datev_client", "1"), f"{month.year}0101",
        accounts.get("datev_digits", "4"), f"{month:%Y%m%d}", f"{last:%Y%m%d}", f'"Stripe {month:%Y-%m}"', '""', "1",
        "0", "0", f'"{currency}"', "", '""', "", "", '""', "", "", '""', '""',
    ]  # fmt: skip
    lines = [";".join(head), ";".join(DATEV)]
    for entry in entries:
        row = [""] * len(DATEV)
        row[0], row[1], row[2] = _number(entry.amount).replace(".", ","), '"S"', f'"{entry.currency}"'
        row[6], row[7], row[9] = entry.debit, entry.credit, f"{entry.day:%d%m}"
        # Of a payout's id the end: the field holds 36 characters.
        row[10], row[13] = f'"{entry.reference[-36:]}"', f'"{_told(entry)[:60]}"'
        lines.append(";".join(row))
    return "\r\n".join(lines) + "\r\n"
