"""A plugin for pytest that notes which lines of services/ and gateway/ each test reaches, and how long it takes.

`CHECKOUT_REACHED` names the file that it writes; tests/mutations/reached.py reads it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import coverage
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
ROOMS = ("services", "gateway")


class Noting:
    """One context of coverage for each test."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds: dict[str, float] = {}
        include = [str(ROOT / "src" / "checkout" / room / "*") for room in ROOMS]
        self.coverage = coverage.Coverage(data_file=None, config_file=False, include=include, concurrency=["thread"])
        self.coverage.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.coverage.switch_context(item.nodeid)
        try:
            return (yield)
        finally:
            self.coverage.switch_context("")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration

    def pytest_sessionfinish(self) -> None:
        self.coverage.stop()
        data = self.coverage.get_data()
        number = {test: index for index, test in enumerate(self.seconds)}
        lines = {
            str(Path(file).relative_to(ROOT)): {
                line: sorted(number[test] for test in contexts if test)
                for line, contexts in data.contexts_by_lineno(file).items()
            }
            for file in data.measured_files()
        }
        self.path.write_text(json.dumps({"seconds": self.seconds, "lines": lines}))


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Noting(Path(os.environ["CHECKOUT_REACHED"])))
