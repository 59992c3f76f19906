"""For a host's own tests: proof that its model can be paid for."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import cast

from django.db import models

from checkout import actions, contract, money
from checkout.contract import ContentObject
from checkout.errors import MoneyError
from checkout.services.attempt_rows import currency_of


def check_checkout(content_object: object) -> None:
    """Raises AssertionError, with every problem in one message, unless `content_object` keeps the contract.

    Reads it only; the hooks are not run. Give it a saved row: addresses often need the primary key.
    """
    missing = contract.missing_members(content_object)
    problems = [f"{name} is missing" for name in missing]
    if not isinstance(content_object, models.Model):
        problems.append("it is no Django model")
    elif changed := contract.hooks_of_a_proxy(type(content_object)):
        problems.append(f"it is a proxy model with its own {', '.join(changed)}: define them on the concrete model")
    if not missing:
        problems += _values(cast("ContentObject", content_object))
    if problems:
        listed = "\n- ".join(problems)
        raise AssertionError(f"{type(content_object).__name__} cannot be paid for:\n- {listed}")


def _values(content_object: ContentObject) -> list[str]:
    unknown = set(content_object.checkout_actions) - set(actions.ACTIONS)
    total = content_object.checkout_total
    lines = content_object.checkout_description
    checks = {
        f"checkout_actions names {', '.join(sorted(unknown))}, but there are {', '.join(actions.ACTIONS)}": not unknown,
        "checkout_can_charge is not a bool": isinstance(content_object.checkout_can_charge, bool),
        "checkout_description is not a list of texts": not isinstance(lines, str) and all(map(str, lines)),
        "checkout_email is not an e-mail address": "@" in str(content_object.checkout_email),
        "checkout_name is not a text": isinstance(content_object.checkout_name, str),
        "checkout_total is no Decimal": isinstance(total, Decimal),
    }
    problems = [message for message, holds in checks.items() if not holds]
    addresses: dict[str, Callable[[], str]] = {
        "get_absolute_url": content_object.get_absolute_url,
        "checkout_success_url": lambda: content_object.checkout_success_url(1),
        "checkout_fail_url": lambda: content_object.checkout_fail_url(1),
    }
    problems += [
        f"{name} gives {address!r}, no address"
        for name, make in addresses.items()
        if not (address := str(make())).startswith(("/", "http"))
    ]
    try:
        money.to_minor(total, currency_of(content_object))
    except MoneyError as problem:
        problems.append(f"checkout_total: {problem}")
    return problems
