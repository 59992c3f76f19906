"""Whatever anybody may send to any address: URL x method x role x odd input, from a seed.

Each request is made in a transaction that is rolled back, so that every one meets the same books. Written down is what
must never be: an answer of 500 and above, rows or payments changed by looking, and text echoed as markup.
"""

from __future__ import annotations

import copy
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, quote_from_bytes

from django.core.cache import cache
from django.core.signals import got_request_exception
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse

from stripe_emulator import Emulator
from tests.odd import LOOKS_LIKE
from tests.staff.conftest import ADDRESS, Books
from tests.staff.test_access import TABLE, Public, Staff

MARKUP = "<zz onerror=alert(1)>\"'"
ODD: list[str] = [
    *LOOKS_LIKE,
    MARKUP,
    "",
    " ",
    "0",
    "-1",
    "1_000",
    "١٢٣",
    "１",
    "²",
    "NaN",
    "Infinity",
    "1e400",
    "1E-400",
    "0.0005",
    "9" * 300,
    "99999999999999999999",
    "9223372036854775808",
    "2147483648",
    "9999-12-31",
    "0001-01-01",
    "10000-01-01",
    "0000-13-45",
    "2026-02-30",
    "a9223372036854775807",
    "b" + "9" * 18,
    "pi_\x00",
    "cus_%",
    "re_" + "x" * 300,
    "a:*&b | !",
    "'; DROP TABLE x; --",
    "\\",
    "é" * 300,
    "a" * 60 + "@" + ".".join(["b" * 60] * 4) + ".example",
    "x" * 250 + "@example.com",
    "00000000-0000-0000-0000-000000000000",
    "https://evil.example/",
    "//evil.example",
    "../../etc/passwd",
    "%00",
    "true",
    "[]",
    "{}",
]
METHODS = ["get"] * 8 + ["post"] * 8 + ["head", "head", "options", "put", "patch", "delete", "trace"]
LOOKING = {"get", "head", "options"}
#: Names that some page reads from the query.
QUERY = (
    "q", "at", "sort", "show", "since", "until", "state", "action", "day", "format", "from", "to", "payment_plan",
    "next", "payment_intent", "payment_intent_client_secret", "setup_intent", "plan", "currency", "kind",
)  # fmt: skip
FIELDS = ("seen", "key", "reason", "amount", "email", "name", "agree", "shown", "action", "another_card", "quantity")
ADDRESSES = (
    "", "unix:", "1.2.3.4:5678", "fe80::1%eth0", "::ffff:1.2.3.4", "garbage", "1.2.3.4, 5.6.7.8", "127.0.0.1",
    "[2001:db8::1]:443", "2001:db8::1", "9" * 300, "1.2.3.4\x00", "<zz>",
)  # fmt: skip
#: An address in the table that says 503 on purpose: it tells load balancers so.
MAY_BE_UNWELL = {"checkout.health"}
#: The login's own session; nothing of ours.
NOT_OURS = ("django_session",)
#: When a payer was last seen on a page is the other thing that looking is meant to write down.
SEEN = 'UPDATE "checkout_checkout" SET "seen_at" = '


@dataclass
class Storm:
    """What was sent, and what must not have come of it."""

    sent: int = 0
    seconds: float = 0
    answers: Counter[int] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    echoed: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        answers = ", ".join(f"{status}: {count}" for status, count in sorted(self.answers.items()))
        return (
            f"{self.sent} requests in {self.seconds:.0f} s on {connection.vendor}: {answers}; {len(self.failed)} "
            f"failed, {len(self.changed)} changed by looking, {len(self.echoed)} echoed"
        )


def addresses(books: Books, more: dict[str, str]) -> dict[str, str]:
    """Every address of the app, and of the shop around it, by name."""
    return {name: reverse(name, args=list(row.args(books))) for name, row in TABLE.items()} | more


def blow(
    books: Books, clients: dict[str, Client], more: dict[str, str], emulator: Emulator, *, seed: int, count: int
) -> Storm:
    """Send `count` requests. The same seed sends the same ones to the same books."""
    dice = random.Random(seed)
    urls = addresses(books, more)
    at_stripe = emulator.snapshot()
    hidden = {name: _hidden(clients, url) for name, url in urls.items()}
    storm, started = Storm(), time.monotonic()
    errors: list[str] = []

    def note(sender: Any, request: Any = None, **kwargs: Any) -> None:
        kind, error, _traceback = sys.exc_info()
        errors.append(f"{getattr(kind, '__name__', kind)}: {str(error)[:120]}")

    got_request_exception.connect(note)
    try:
        for _number in range(count):
            name = dice.choice(list(urls))
            # More often somebody who gets in than somebody who is turned away at the door.
            insider = "boss" if isinstance(TABLE.get(name), Staff) else "payer"
            who = insider if dice.random() < 0.5 else dice.choice(list(clients))
            method = dice.choice(METHODS)
            url, data, headers = _path(dice, urls[name]), _data(dice, name, books, method, hidden), _headers(dice)
            label = f"{who} {method} {name} {ascii(url)[:120]} {ascii(data)[:300]} {ascii(headers)[:200]}"
            errors.clear()
            asked = len(emulator.requests)
            # A session that got a new key is undone as well.
            cookies = copy.deepcopy(clients[who].cookies)
            with undone(), writes() as written:
                answer = _send(clients[who], method, url, data, headers)
                broke = _read(answer)
            clients[who].cookies = cookies
            storm.sent += 1
            storm.answers[answer.status_code] += 1
            if broke or (answer.status_code >= 500 and name not in MAY_BE_UNWELL):
                storm.failed.append(f"{answer.status_code} {label} {errors} {broke}")
            calls = list(emulator.requests)[asked:]
            posts = [f"{each.method} {each.path}" for each in calls if each.method != "GET"]
            if posts:
                emulator.restore(at_stripe)
            if method in LOOKING and (written or posts):
                storm.changed.append(f"{label}: {written} {posts}")
            if _echoes(answer):
                storm.echoed.append(label)
    finally:
        got_request_exception.disconnect(note)
    storm.seconds = time.monotonic() - started
    return storm


def _read(answer: Any) -> str:
    """Read an answer that is streamed to its end; what broke it off, if anything did."""
    if answer.streaming:
        try:
            answer.body = b"".join(answer.streaming_content)
        except Exception as error:  # noqa: BLE001 - whatever it is, its reader gets half a file
            return f"broke off: {type(error).__name__}: {str(error)[:120]}"
    return ""


def _hidden(clients: dict[str, Client], url: str) -> dict[str, str]:
    """The hidden fields of the page's form, for whoever gets one: without them a POST is not read further."""
    for client in clients.values():
        cookies = copy.deepcopy(client.cookies)
        with undone():
            page = client.get(url)
        client.cookies = cookies
        found = re.findall(
            r'name="(seen|shown)" value="([^"]*)"', "" if page.streaming else page.content.decode(errors="replace")
        )
        if found:
            return dict(found)
    return {}


def _echoes(answer: Any) -> bool:
    if answer.streaming or "html" not in answer.headers.get("Content-Type", ""):
        return False
    return any(markup in answer.content for markup in (b"<zz", b"<img src=x", b"<script>alert"))


def _send(client: Client, method: str, url: str, data: dict[str, Any], headers: dict[str, Any]) -> Any:
    if method in ("get", "head"):
        return getattr(client, method)(url, **headers)
    if method == "post":
        body = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in data.items())
        return client.post(url, body, content_type="application/x-www-form-urlencoded", **headers)
    if method == "trace":
        return client.trace(url, **headers)
    return getattr(client, method)(url, data="{}", content_type="application/json", **headers)


def _quoted(value: Any) -> str:
    # A browser can send any bytes; what is no UTF-8 (a lone surrogate) must be coped with too.
    return quote_from_bytes(str(value).encode("utf-8", "surrogatepass"))


def _path(dice: random.Random, url: str) -> str:
    """The address, at times with one of its parts replaced, and at times with a query."""
    if dice.random() < 0.15:
        parts = url.strip("/").split("/")
        parts[dice.randrange(len(parts))] = quote(dice.choice(ODD).encode("utf-8", "surrogatepass"), safe="")
        url = "/" + "/".join(parts) + "/"
    if dice.random() < 0.6:
        names = dice.sample(QUERY, dice.randint(1, 4))
        pairs = [(name, "csv" if name == "format" and dice.random() < 0.5 else dice.choice(ODD)) for name in names]
        url += ("&" if "?" in url else "?") + "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in pairs)
    return url


def _data(
    dice: random.Random, name: str, books: Books, method: str, hidden: dict[str, dict[str, str]]
) -> dict[str, Any]:
    """What the page wants, with some of it replaced, left out or added."""
    if method != "post":
        return {}
    row = TABLE.get(name)
    data: dict[str, Any] = {}
    if isinstance(row, Staff) and row.post is not None:
        data = dict(row.post(books))
    elif isinstance(row, Public) and name == "checkout.invoice":
        data = dict(ADDRESS)
    elif name.startswith("shop"):
        data = {
            "name": "Pat",
            "email": "pat@example.com",
            "quantity": "1",
            "action": "payment_plan",
            "agree": "on",
            "payment_plan": "standard",
        }
    data |= hidden.get(name, {})
    for _change in range(dice.randint(0, 3)):
        key = dice.choice([*data, *FIELDS] if dice.random() < 0.3 or not data else list(data))
        if dice.random() < 0.1:
            data.pop(key, None)
        else:
            data[key] = dice.choice(ODD)
    return data


def _headers(dice: random.Random) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if dice.random() < 0.4:
        headers["REMOTE_ADDR"] = dice.choice(ADDRESSES)
    for name in ("HTTP_USER_AGENT", "HTTP_REFERER", "HTTP_ACCEPT_LANGUAGE", "HTTP_X_FORWARDED_FOR", "HTTP_ORIGIN",
                 "HTTP_IF_MODIFIED_SINCE", "HTTP_STRIPE_SIGNATURE", "HTTP_COOKIE_X", "HTTP_ACCEPT"):  # fmt: skip
        if dice.random() < 0.15:
            # What a server hands on was decoded from latin-1.
            headers[name] = dice.choice(ODD).encode("utf-8", "surrogatepass").decode("latin-1")
    if dice.random() < 0.1:
        headers["HTTP_SEC_PURPOSE"] = "prefetch"
    return headers


@contextmanager
def undone() -> Iterator[None]:
    """What happens within did not happen. The app's own transactions nest in it as they do in a test case's."""
    cache.clear()
    block = transaction.atomic()
    block._from_testcase = True  # type: ignore[attr-defined]
    with block:
        yield
        transaction.set_rollback(True)


@contextmanager
def writes() -> Iterator[list[str]]:
    """The tables in which statements changed rows."""
    written: list[str] = []

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        result = execute(sql, params, many, context)
        verb, _space, rest = sql.lstrip().partition(" ")
        if verb.upper() in ("INSERT", "UPDATE", "DELETE") and context["cursor"].rowcount:
            table = rest.replace("OR IGNORE ", "").replace("INTO ", "").replace("FROM ", "").split(" ", 1)[0].strip('"')
            seen = sql.startswith(SEEN) and sql.partition(" WHERE ")[0].count(" = ") == 1
            if table not in NOT_OURS and not seen:
                written.append(f"{verb} {table}")
        return result

    with connection.execute_wrapper(watch):
        yield written
