"""Searching attempts, customers and plans by the words that staff type."""

from __future__ import annotations

import re
from typing import Any

from django.db.models import BooleanField, F, Func, Q, QuerySet

from checkout.ids import uuid_or_none
from checkout.models import (
    Checkout,
    Customer,
    ObjectPaymentPlan,
    ObjectPaymentPlanInstalment,
    Refund,
)


class Words(Func):
    """True where each word of `text` begins a word in the columns; with `whole`, is one of them. That is quicker: one
    entry of the index is read for each, and not all that begin so.

    On PostgreSQL it is the expression of the index that migration 0003 makes; elsewhere the table is read.
    """

    output_field = BooleanField()
    SEPARATORS = "@.-_+<>"

    def __init__(self, text: str, *columns: str, whole: bool = False, **extra: Any) -> None:
        self.words, self.ending = words(text), "" if whole else ":*"
        super().__init__(*(F(column) if isinstance(column, str) else column for column in columns), **extra)

    def _columns(self, compiler: Any) -> tuple[str, list[Any]]:
        parts, params = [], []
        for expression in self.get_source_expressions():
            sql, more = compiler.compile(expression)
            parts.append(sql)
            params.extend(more)
        return " || ' ' || ".join(parts), params

    def as_sql(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        text, params = self._columns(compiler)
        if not self.words:
            return "1 = 0", []
        sql = " AND ".join(f"LOWER({text}) LIKE %s ESCAPE '!'" for _word in self.words)
        values: list[Any] = []
        for word in self.words:
            # SQLite knows capitals of ASCII only: any character for the others finds them, whichever they are.
            values += [*params, f"%{re.sub('[^a-z0-9]', '_', word)}%"]
        return f"({sql})", values

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, list[Any]]:
        text, params = self._columns(compiler)
        if not self.words:
            return "FALSE", []
        document = f"to_tsvector('simple'::regconfig, translate({text}, '{self.SEPARATORS}', '       '))"
        query = " & ".join(f"{word}{self.ending}" for word in self.words)
        return f"{document} @@ to_tsquery('simple'::regconfig, %s)", [*params, query]


def words(text: str) -> list[str]:
    """The words of a search, letters and digits only: lower-cased; at most six words."""
    return re.findall(r"[^\W_]+", text.lower())[:6]


def find_checkouts(rows: QuerySet[Checkout], text: str) -> QuerySet[Checkout]:
    """By number, by our or Stripe's id, or by words of its payer and of what it is for."""
    text = text.strip()
    if uuid := uuid_or_none(text):
        return rows.filter(uuid=uuid)
    if text.startswith("pi_"):
        return rows.filter(payment_intent_id=text)
    if text.startswith("seti_"):
        return rows.filter(setup_intent_id=text)
    if text.startswith("re_"):
        return rows.filter(pk__in=Refund.objects.filter(refund_id=text).values("checkout"))
    if text.isdecimal() and len(text) < 19:
        return rows.filter(pk=int(text))
    return rows.filter(Words(text, "payer", "description"))


def find_customers(rows: QuerySet[Customer], text: str) -> QuerySet[Customer]:
    text = text.strip()
    if text.startswith("cus_"):
        return rows.filter(at_stripe__stripe_customer_id=text)
    if text.isdecimal() and len(text) == 4:
        return rows.filter(saved_cards__last4=text).distinct()
    return rows.filter(Words(text, "name", "email"))


def _customers(text: str) -> QuerySet[Any]:
    return find_customers(Customer.objects.all(), text).order_by().values("pk")[:500]


def find_lines(rows: QuerySet[ObjectPaymentPlanInstalment], text: str) -> QuerySet[ObjectPaymentPlanInstalment]:
    """Lines of plans that `find_plans` would find."""
    text = text.strip()
    if uuid_or_none(text) or (text.isdecimal() and len(text) < 19):
        return rows.filter(object_payment_plan__in=find_plans(ObjectPaymentPlan.objects.all(), text).order_by())
    return rows.filter(object_payment_plan__customer__in=_customers(text))


def find_plans(rows: QuerySet[ObjectPaymentPlan], text: str) -> QuerySet[ObjectPaymentPlan]:
    text = text.strip()
    if uuid := uuid_or_none(text):
        return rows.filter(uuid=uuid)
    if text.isdecimal() and len(text) < 19:
        return rows.filter(Q(object_id=text) | Q(pk=int(text)))
    return rows.filter(customer__in=_customers(text))
