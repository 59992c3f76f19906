"""Bars, worked out on the server: numbers in, places for an SVG out. The numbers stand in a table beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

WIDTH, HEIGHT, FOOT = 640, 220, 24


@dataclass(frozen=True, slots=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    kind: str


@dataclass(frozen=True, slots=True)
class Label:
    x: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    width: int
    height: int
    bars: list[Bar]
    labels: list[Label]
    base: int
    top: Any


def columns(groups: Sequence[tuple[str, Sequence[tuple[str, Decimal]]]]) -> Chart:
    """Groups of upright bars, side by side: (label, [(kind, amount), …])."""
    largest = max((amount for _label, bars in groups for _kind, amount in bars), default=Decimal(0)) or Decimal(1)
    room = HEIGHT - FOOT - 10
    step = WIDTH / max(len(groups), 1)
    bars, labels = [], []
    for number, (label, parts) in enumerate(groups):
        width = step * 0.72 / max(len(parts), 1)
        for place, (kind, amount) in enumerate(parts):
            height = round(float(max(amount, Decimal(0)) / largest) * room, 1)
            x = round(number * step + step * 0.14 + place * width, 1)
            bars.append(Bar(x, round(HEIGHT - FOOT - height, 1), round(width - 2, 1), height, kind))
        labels.append(Label(round(number * step + step / 2, 1), label))
    return Chart(WIDTH, HEIGHT, bars, labels, HEIGHT - FOOT, largest)


def shares(numbers: Sequence[int | Decimal]) -> list[int]:
    """Each number as per cent of the largest, for bars in a table."""
    largest = max(numbers, default=0)
    return [round(float(number) / float(largest) * 100) if largest else 0 for number in numbers]
