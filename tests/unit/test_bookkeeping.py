"""Journal entries balance whatever happened, and each layout says the same when it is read back."""

from __future__ import annotations

import csv
import datetime
import io
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkout import bookkeeping
from checkout.bookkeeping import ACCOUNTS, Kind, Line

MONTH, LAST = datetime.date(2026, 11, 1), datetime.date(2026, 11, 30)
AMOUNTS = st.decimals(-10_000, 10_000, places=2)


def line(kind: Kind, gross: str | Decimal, fee: str | Decimal = "0", **more: object) -> Line:
    known = {"day": MONTH, "currency": "GBP", "paid": Decimal(gross), "paid_currency": "GBP"}
    return Line(kind=kind, gross=Decimal(gross), fee=Decimal(fee), **(known | more))  # type: ignore[arg-type]


LINES = st.lists(
    st.builds(
        line, st.sampled_from(list(Kind)), AMOUNTS, AMOUNTS,
        day=st.dates(MONTH, LAST), source=st.sampled_from(["po_1", "po_2"]),
    ),
    max_size=30,
)  # fmt: skip


def balances(entries: list[bookkeeping.Entry]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for entry in entries:
        assert entry.amount > 0
        sums[entry.debit] = sums.get(entry.debit, Decimal(0)) + entry.amount
        sums[entry.credit] = sums.get(entry.credit, Decimal(0)) - entry.amount
    return {account: amount for account, amount in sums.items() if amount}


@given(LINES)
def test_entries_balance_and_the_clearing_account_is_the_balance_at_stripe(lines: list[Line]) -> None:
    entries = bookkeeping.journal(lines, ACCOUNTS, "GBP")
    sums = balances(entries)
    assert sum(sums.values()) == 0
    at_stripe = sum((each.net for each in lines if each.kind != Kind.BY_HAND), Decimal(0))
    assert sums.get(ACCOUNTS["clearing"], Decimal(0)) == at_stripe


def test_each_kind_stands_on_its_own_accounts() -> None:
    lines = [
        line(Kind.PAYMENT, "100", "1.70"), line(Kind.REFUND, "-30"), line(Kind.DISPUTE, "-20", "20"),
        line(Kind.BILLED, "-7"), line(Kind.FOREIGN, "42", "0.83"), line(Kind.CORRECTION, "2.50"),
        line(Kind.KEPT_BACK, "-5"), line(Kind.BY_HAND, "15"), line(Kind.PAYOUT, "-50", source="po_1"),
    ]  # fmt: skip
    assert balances(bookkeeping.journal(lines, ACCOUNTS, "GBP")) == {
        ACCOUNTS["revenue"]: Decimal(-85),
        ACCOUNTS["fees"]: Decimal("28.70"),
        ACCOUNTS["disputes"]: Decimal(20),
        ACCOUNTS["not_ours"]: Decimal("-41.17"),
        ACCOUNTS["unexplained"]: Decimal("-2.50"),
        ACCOUNTS["kept_back"]: Decimal(5),
        ACCOUNTS["by_hand"]: Decimal(15),
        ACCOUNTS["bank"]: Decimal(50),
        ACCOUNTS["clearing"]: Decimal("9.97"),
    }


def test_every_payout_is_an_entry_of_its_own() -> None:
    lines = [line(Kind.PAYOUT, "-50", source="po_1"), line(Kind.PAYOUT, "-60", source="po_2")]
    entries = bookkeeping.journal(lines, ACCOUNTS, "GBP")
    assert [(entry.reference, entry.amount) for entry in entries] == [("po_1", Decimal(50)), ("po_2", Decimal(60))]


def test_another_currency_is_another_journal() -> None:
    lines = [line(Kind.PAYMENT, "100"), line(Kind.PAYMENT, "10", currency="EUR")]
    assert [entry.amount for entry in bookkeeping.journal(lines, ACCOUNTS, "EUR")] == [Decimal(10)]


@given(LINES)
def test_xero_reads_back_what_was_booked(lines: list[Line]) -> None:
    entries = bookkeeping.journal(lines, ACCOUNTS, "GBP")
    rows = list(csv.DictReader(io.StringIO(bookkeeping.xero(entries, ACCOUNTS))))
    journals: dict[tuple[str, str], Decimal] = {}
    sums: dict[str, Decimal] = {}
    for row in rows:
        key, amount = (row["*Narration"], row["*Date"]), Decimal(row["*Amount"])
        journals[key] = journals.get(key, Decimal(0)) + amount
        sums[row["*AccountCode"]] = sums.get(row["*AccountCode"], Decimal(0)) + amount
        datetime.datetime.strptime(row["*Date"], "%d/%m/%Y")
    assert set(journals.values()) <= {Decimal(0)}
    assert {account: amount for account, amount in sums.items() if amount} == balances(entries)


@given(LINES)
def test_quickbooks_reads_back_what_was_booked(lines: list[Line]) -> None:
    entries = bookkeeping.journal(lines, ACCOUNTS, "GBP")
    sums: dict[str, Decimal] = {}
    journals: dict[str, Decimal] = {}
    for row in csv.DictReader(io.StringIO(bookkeeping.quickbooks(entries, ACCOUNTS))):
        assert bool(row["*Debits"]) != bool(row["*Credits"])
        amount = Decimal(row["*Debits"] or 0) - Decimal(row["*Credits"] or 0)
        sums[row["*AccountName"]] = sums.get(row["*AccountName"], Decimal(0)) + amount
        journals[row["*JournalNo"]] = journals.get(row["*JournalNo"], Decimal(0)) + amount
    assert set(journals.values()) <= {Decimal(0)}
    assert {account: amount for account, amount in sums.items() if amount} == balances(entries)


@given(LINES)
def test_datev_reads_back_what_was_booked(lines: list[Line]) -> None:
    entries = bookkeeping.journal(lines, ACCOUNTS, "GBP")
    text = bookkeeping.datev(entries, ACCOUNTS, MONTH, LAST).encode("cp1252").decode("cp1252")
    head, captions, *rows = list(csv.reader(io.StringIO(text), delimiter=";"))
    assert (head[:5], len(head)) == (["EXTF", "700", "21", "Buchungsstapel", "13"], 31)
    assert (head[14], head[15]) == ("20261101", "20261130")
    assert len(captions) == 125 == len(set(captions))
    sums: dict[str, Decimal] = {}
    for row in rows:
        assert (len(row), row[1]) == (125, "S")
        amount = Decimal(row[0].replace(",", "."))
        assert amount > 0
        sums[row[6]] = sums.get(row[6], Decimal(0)) + amount
        sums[row[7]] = sums.get(row[7], Decimal(0)) - amount
        datetime.datetime.strptime(f"2026{row[9]}", "%Y%d%m")
    assert {account: amount for account, amount in sums.items() if amount} == balances(entries)


def test_what_people_typed_is_no_formula_in_the_day_book() -> None:
    evil = line(Kind.PAYMENT, "-1", payer="=cmd()", what="+1", reference="@x")
    text = "".join(bookkeeping.day_book_csv([evil]))
    (row,) = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    assert (row["payer"], row["what for"], row["reference"]) == ("'=cmd()", "'+1", "'@x")
    assert (row["gross"], row["tax"]) == ("-1", "")


@pytest.mark.parametrize("name", ACCOUNTS)
def test_an_account_may_be_any_text(name: str) -> None:
    accounts = {**ACCOUNTS, name: "=1+1"}
    lines = [line(kind, "10", "1") for kind in Kind]
    for row in csv.reader(io.StringIO(bookkeeping.xero(bookkeeping.journal(lines, accounts, "GBP"), accounts))):
        assert not any(cell.startswith("=") for cell in row)
