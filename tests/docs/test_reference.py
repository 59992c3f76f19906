"""docs/reference.md and the code name the same things: what exists is written down, and what is written down exists."""

from __future__ import annotations

import argparse
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from django.core.management import BaseCommand, get_commands, load_command_class
from django.dispatch import Signal
from django.template.loader import get_template
from django.urls import URLPattern, URLResolver, get_resolver

import checkout
from checkout import actions, conf, contract, errors, letters, signals, states, tasks, views
from checkout.office.views.base import StaffMixin
from tests.public.test_names import SIGNATURES

SOURCE = Path(checkout.__file__).parent
DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = (DOCS / "reference.md").read_text()


def section(heading: str) -> str:
    """The text below a heading, up to the next one of its rank."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", REFERENCE, re.DOTALL | re.MULTILINE)
    assert found, f"docs/reference.md has no section {heading}"
    return found[1]


def rows(heading: str, header: str) -> list[list[str]]:
    """The cells of every table of a section whose first column is called `header`."""
    tables = re.findall(r"^(\|.*?\|)\n\| ---.*?\n((?:\|.*\n)+)", section(heading), re.MULTILINE)
    return [cells(line) for head, body in tables if cells(head)[0] == header for line in body.splitlines()]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def code(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def first_cells(heading: str, header: str) -> list[str]:
    """Every name in the first column, each once."""
    found = [name for row in rows(heading, header) for name in code(row[0])]
    assert len(found) == len(set(found)), f"{heading} names something twice"
    return found


def source(pattern: str, *suffixes: str) -> set[str]:
    """What `pattern` finds in the app's own files."""
    files = [path for path in SOURCE.rglob("*") if path.suffix in (suffixes or (".py",))]
    return {found for path in files for found in re.findall(pattern, path.read_text())}


def test_settings_with_their_defaults() -> None:
    told = {name: row[1] for row in rows("Settings", "setting") for name in code(row[0])}
    assert told == {
        name: "required" if name in source(r'conf\.required\("(\w+)"\)') else f"`{_double_quoted(default)}`"
        for name, default in conf.DEFAULTS.items()
    }


def _double_quoted(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def test_the_contract() -> None:
    required = {name for name in vars(contract.ContentObject) if name.startswith("checkout_")} | {"get_absolute_url"}
    assert set(first_cells("The content object", "required")) == required
    asked_for = source(r'getattr\([^()]*?(?:\([^()]*\))?[^()]*?, "(checkout_\w+)"')
    asked_for |= source(r'hooks\.has\([^()]*, "(checkout_\w+)"')
    assert set(first_cells("The content object", "optional")) == asked_for - required


def test_signals() -> None:
    there = {name for name, value in vars(signals).items() if isinstance(value, Signal)}
    assert set(first_cells("Signals", "signal")) == there


def test_states_and_their_moves() -> None:
    told = {code(row[0])[0]: frozenset(code(row[2])) for row in rows("States", "state")}
    assert told == states.MOVES


def test_actions() -> None:
    told = {code(row[0])[0]: row[1] == "yes" for row in rows("Actions", "action")}
    assert told == {slug: takes_money for slug, (_, takes_money) in actions.ACTIONS.items()}


def test_views_that_hosts_use() -> None:
    told = {name.partition("(")[0] for row in rows("Python", "name") for name in code(row[0])}
    assert set(views.__all__) <= told


def test_names_that_hosts_rely_on() -> None:
    told = {name.partition("(")[0].rpartition(".")[2] for row in rows("Python", "name") for name in code(row[0])}
    told |= {name.rpartition(".")[2] for name in code(section("Mails"))} | {"objects"}
    promised = {path.rpartition(".")[2] for path in SIGNATURES if path.startswith("checkout.models:")}
    # Kept for hosts of old; nobody should begin to use it.
    assert promised - told == {"_user_has_active_account"}


def test_every_python_name_exists() -> None:
    from checkout import models

    for row in rows("Python", "name"):
        owner: Any = None
        for name in code(row[0]):
            path = name.partition("(")[0]
            if path.startswith("."):
                assert _reach(owner, path[1:].split(".")), name
                continue
            first, *rest = path.split(".")
            if first == "checkout":
                module, _, last = path.rpartition(".")
                assert hasattr(importlib.import_module(module), last), name
                continue
            owner = getattr(models, first, None) or getattr(views, first, None) or _row_of(first)
            assert owner is not None, name
            assert _reach(owner, rest), name
            if rest[:1] == ["objects"]:
                owner = owner.objects


def _row_of(name: str) -> Any:
    from checkout.models import ObjectPaymentPlan

    return {"plan": ObjectPaymentPlan}.get(name)


def _reach(owner: Any, names: list[str]) -> bool:
    """True if the names lead from `owner`. Properties of a manager, which would ask the database, count as they are."""
    for name in names:
        if name in getattr(owner, "slugs", ()) or isinstance(getattr(type(owner), name, None), property):
            return True
        owner = getattr(owner, name, None)
        if owner is None:
            return False
    return True


def our_commands() -> dict[str, BaseCommand]:
    return {name: load_command_class(app, name) for name, app in get_commands().items() if app == "checkout"}


def test_commands_with_their_options() -> None:
    told = {code(row[0])[0]: set(code(row[1])) for row in rows("Commands", "command")}
    assert told == {name: set(own_options(command, name)) for name, command in our_commands().items()}


def own_options(command: BaseCommand, name: str) -> Iterator[str]:
    """What a command adds to Django's own options."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)  # type: ignore[arg-type]
    for action in parser._actions:
        if not isinstance(action, argparse._HelpAction):
            yield action.option_strings[-1] if action.option_strings else action.dest


def test_tasks() -> None:
    from celery import current_app

    there = {name for name in current_app.tasks if name.startswith(f"{tasks.__name__}.")}
    assert set(first_cells("Tasks", "task")) == there


def test_url_names() -> None:
    assert set(first_cells("Addresses", "URL name")) == {
        name for name in url_names(get_resolver().url_patterns) if name.startswith("checkout.")
    }


def url_names(patterns: Iterable[URLPattern | URLResolver]) -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from url_names(pattern.url_patterns)
        else:
            yield pattern.name or ""


def test_templates_and_blocks() -> None:
    folder = SOURCE / "templates"
    pages = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    ours = {name for name in pages if not name.startswith(("checkout/mail/", "checkout/staff/"))}
    assert set(first_cells("Templates", "template")) == ours | {"checkout/staff/base.html"}
    for name in ours:
        assert get_template(name)
    assert set(first_cells("Templates", "block")) == source(r"{% block (\w+)", ".html")


def test_mails() -> None:
    assert [code(row[0])[0] for row in rows("Mails", "template")] == list(letters.REGISTER)


#: What every letter has.
ALWAYS = {"name", "contact", "organisation", "brand", "language"}


@pytest.mark.parametrize("letter", list(letters.REGISTER))
def test_variables_of_mails(letter: str) -> None:
    [row] = [row for row in rows("Mails", "template") if code(row[0]) == [letter]]
    folder = SOURCE / "templates" / "checkout" / "mail"
    text = "".join((folder / f"{letter}{ending}").read_text() for ending in (".subject.txt", ".txt", ".html"))
    loops = dict(re.findall(r"{%\s*for\s+(\w+)\s+in\s+(\w+)", text))
    used = {shown or asked for shown, asked in re.findall(r"{{\s*(\w+)|{%\s*(?:el)?if\s+(\w+)", text)}
    assert set(code(row[2])) == ({loops.get(each, each) for each in used} | {*loops.values()}) - ALWAYS


def test_permissions() -> None:
    asked_for = source(r'"(checkout\.(?:add|change|delete|view)_[a-z]+)"') | set(_own_permissions())
    asked_for |= {f"checkout.{codename}" for codename in source(r'self\.can\("(\w+)"')}
    assert set(first_cells("Permissions", "permission")) == asked_for


def _own_permissions() -> Iterator[str]:
    from checkout.models import BookMonth, Checkout, PaymentRun, Proposal

    for model in (BookMonth, Checkout, PaymentRun, Proposal):
        for codename, _ in model._meta.permissions:
            yield f"checkout.{codename}"


def test_staff_pages_want_only_permissions_that_are_listed() -> None:
    listed = {*first_cells("Permissions", "permission"), ""}
    # The views are there once the addresses are.
    assert get_resolver().url_patterns
    wanted = {view.permission for view in _subclasses(StaffMixin)}
    assert len(wanted) > 20
    assert wanted <= listed


def test_errors() -> None:
    for module in pkgutil.walk_packages(checkout.__path__, "checkout."):
        if "migrations" not in module.name:
            importlib.import_module(module.name)
    public = [error for error in _subclasses(errors.CheckoutError) if not error.__name__.startswith("_")]
    there = {_error_name(error) for error in [errors.CheckoutError, errors.InsideTransaction, *public]}
    assert set(first_cells("Errors", "error")) == there
    for row in rows("Errors", "error"):
        error = next((each for each in vars(errors).values() if getattr(each, "__name__", "") == code(row[0])[0]), None)
        if inspect.isclass(error) and issubclass(error, errors.CheckoutError):
            assert error.for_payer == ("(for the payer)" in row[1]), row


def _error_name(error: type) -> str:
    return error.__name__ if error.__module__ == "checkout.errors" else f"{error.__module__}.{error.__name__}"


def _subclasses(owner: Any) -> Iterator[Any]:
    for each in owner.__subclasses__():
        if each.__module__.startswith("checkout."):
            yield each
        yield from _subclasses(each)


def test_system_checks() -> None:
    assert set(first_cells("System checks", "id")) == source(r'id="(checkout\.[EW]\d+)"')
    only_on_deployment = {code(row[0])[0] for row in rows("System checks", "id") if "(`--deploy`)" in row[1]}
    blocks = [
        block for path in SOURCE.glob("*.py") for block in re.split(r"^@register", path.read_text(), flags=re.MULTILINE)
    ]
    deployed = [block for block in blocks if re.match(r"\([^\n]*deploy=True\)", block)]
    found = {number for block in deployed for number in re.findall(r'id="(checkout\.[EW]\d+)"', block)}
    assert only_on_deployment == found


def test_webhook_events() -> None:
    from checkout.gateway import API_VERSION
    from checkout.services.inbox import HANDLERS

    assert set(first_cells("Webhook events", "event")) == set(HANDLERS)
    assert API_VERSION in section("Webhook events")


def test_operations_lists_every_event_to_subscribe_to() -> None:
    from checkout.services.inbox import HANDLERS

    listed = re.search(r"and these events: (.*?)\. Other events", (DOCS / "operations.md").read_text(), re.DOTALL)
    assert listed
    families = code(listed[1])
    for event in HANDLERS:
        assert any(fnmatch(event, family) for family in families), event
    for family in families:
        assert any(fnmatch(event, family) for event in HANDLERS), family


def test_loggers() -> None:
    assert set(first_cells("Loggers", "logger")) == source(r'getLogger\("(checkout\.\w+)"\)')


def test_calls_to_stripe() -> None:
    told = {call for row in rows("Calls to Stripe", "resource") for call in code(row[1]) if "." in call}
    charge = {"payment_intents.charge": "payment_intents.create"}
    plainly = {charge.get(call, call) for call in source(r'"(\w+\.\w+)",\s[^"]*self\._raw')}
    listed = {
        path.replace("/", ".") if "/" in path else f"{path}.list"
        for path in source(r'"/v1/(\w+(?:/\w+)?)", (?:params|_since)')
    }
    assert told == source(r"_v1\.(\w+\.\w+)") | plainly | listed
