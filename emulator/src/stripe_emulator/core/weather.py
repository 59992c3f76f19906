"""Which request meets which fault."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from .faults import Fault


@dataclass(slots=True)
class Rule:
    """A fault and when it strikes. Every condition that is given must hold."""

    fault: Fault
    call: int | None = None
    """The number of the request (`Weather.seen` counts them), or None for any."""
    path: re.Pattern[str] | None = None
    times: int | None = 1
    """How often it strikes before it goes; None: always."""
    probability: float | None = None


class Weather:
    """The faults that are set. Not thread-safe: the engine asks under its lock."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.seen = 0
        self.rules: list[Rule] = []
        self._random = random.Random(f"weather/{seed}")  # noqa: S311 - chance must be the same again  # nosec B311

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.rules)

    @property
    def fair(self) -> bool:
        return not self.rules

    def add(
        self,
        fault: Fault,
        *,
        call: int | None = None,
        path: str | None = None,
        times: int | None = 1,
        probability: float | None = None,
    ) -> Rule:
        """Set a fault.

        `call=3` strikes the third request from now, `path` is a regular expression searched in e.g.
        "POST /v1/refunds", `probability` is from 0 to 1. It strikes `times` times (None: for good).

        >>> from stripe_emulator.core.faults import LostAfter
        >>> Weather(0).add(LostAfter(), path=r"POST /v1/payment_intents$").times
        1
        """
        if call is not None and call < 1:
            raise ValueError("`call` counts from 1: the next request.")
        number = None if call is None else self.seen + call
        rule = Rule(fault, number, re.compile(path) if path else None, times, probability)
        self.rules.append(rule)
        return rule

    def clear(self) -> None:
        """Fair weather from now on."""
        self.rules.clear()

    def reset(self, seed: int) -> None:
        self.__init__(seed)  # type: ignore[misc]

    def strike(self, method: str, path: str) -> Fault | None:
        """The fault that this request meets."""
        self.seen += 1
        for rule in self.rules:
            if rule.call is not None and rule.call != self.seen:
                continue
            if rule.path is not None and not rule.path.search(f"{method} {path}"):
                continue
            if rule.probability is not None and self._random.random() >= rule.probability:
                continue
            if rule.times is not None:
                rule.times -= 1
                if rule.times <= 0:
                    self.rules.remove(rule)
            return rule.fault
        return None
