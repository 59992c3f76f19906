"""Which tests reach a line of services/ or gateway/: measured once, and again for the test modules that changed since.

Kept by function and statement (`KEPT`), so that it stays true while lines move.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.mutations import statements
from tests.mutations.noting import ROOMS, ROOT

KEPT = ROOT / "var" / "mutants" / "reached.json"
#: What has to notice. Stories, faults, crashes and a year reach everything, and take minutes each; so do, in these
#: folders, those below. What the pages of payers show is tested with them, in a minute for each mutant; but some
#: services are asked by one page only, and tested there.
FOLDERS = ("services", "gateway", "staff")
PAGES = ("views/test_card_testing.py", "views/test_health_for_machines.py", "views/test_moving.py")
LONG = {"test_books_quarter.py", "test_declines.py", "test_access.py", "test_pages.py"}
POSTGRES = "postgres"
NOT_HERE = "not postgres and not redis and not browser and not node"


@dataclass(slots=True)
class Test:
    """A test function with all of its parameters."""

    seconds: float = 0.0
    postgres: bool = False
    #: How many statements of each file it reaches.
    statements: Counter[str] = field(default_factory=Counter)

    def __repr__(self) -> str:
        return f"{self.seconds:.1f} s"

    def share(self, path: str) -> float:
        """How much of what it reaches is in that file: who reaches little else is about it."""
        return self.statements[path] / max(self.statements.total(), 1)


class Reached:
    """The tests that reach a statement, by file and statement."""

    def __init__(self, kept: dict[str, Any]) -> None:
        self.modules: dict[str, str] = kept.get("modules", {})
        self.tests = {name: Test(*values) for name, values in kept.get("tests", {}).items()}
        self.by_file: dict[str, dict[str, set[str]]] = {
            path: {key: set(tests) for key, tests in reached.items()}
            for path, reached in kept.get("by_file", {}).items()
        }
        self._count()

    @classmethod
    def up_to_date(cls, *, anew: bool = False) -> Reached:
        """Read what is kept, and measure what is not there or has changed."""
        reached = cls({} if anew or not KEPT.exists() else json.loads(KEPT.read_text()))
        folders = [path for folder in (*FOLDERS, POSTGRES) for path in (ROOT / "tests" / folder).rglob("test_*.py")]
        now = {
            str(path.relative_to(ROOT)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted([*folders, *(ROOT / "tests" / page for page in PAGES)])
            if path.name not in LONG
        }
        for gone in reached.modules.keys() - now.keys():
            reached.forget(gone)
        changed = [name for name, digest in now.items() if reached.modules.get(name) != digest]
        if changed:
            print(f"Measuring which lines {len(changed)} test modules reach.", flush=True)
            for postgres in (False, True):
                modules = [name for name in changed if name.startswith(f"tests/{POSTGRES}/") is postgres]
                if modules:
                    for name in modules:
                        reached.forget(name)
                    reached.add(measure(modules, postgres=postgres), postgres=postgres)
            reached.modules = now
            reached.save()
        return reached

    def save(self) -> None:
        KEPT.parent.mkdir(parents=True, exist_ok=True)
        kept = {
            "modules": self.modules,
            "tests": {name: (test.seconds, test.postgres) for name, test in self.tests.items()},
            "by_file": {
                path: {key: sorted(tests) for key, tests in reached.items()} for path, reached in self.by_file.items()
            },
        }
        KEPT.write_text(json.dumps(kept))

    def forget(self, module: str) -> None:
        gone = {name for name in self.tests if name.startswith(f"{module}::")}
        for name in gone:
            del self.tests[name]
        for reached in self.by_file.values():
            for tests in reached.values():
                tests -= gone
        self._count()

    def add(self, noted: dict[str, Any], *, postgres: bool) -> None:
        """Take in what the plugin noted."""
        names = [node.partition("[")[0] for node in noted["seconds"]]
        for name, seconds in zip(names, noted["seconds"].values(), strict=True):
            self.tests.setdefault(name, Test(postgres=postgres)).seconds += seconds
        for room in ROOMS:
            for file in sorted((ROOT / "src" / "checkout" / room).rglob("*.py")):
                path = str(file.relative_to(ROOT))
                reached = self.by_file.setdefault(path, {})
                lines = statements.by_line(file.read_text())
                for statement in lines.values():
                    reached.setdefault(statement.key, set())
                for line, numbers in noted["lines"].get(path, {}).items():
                    if statement := lines.get(int(line)):
                        reached[statement.key].update(names[number] for number in numbers)
        self._count()

    def _count(self) -> None:
        for test in self.tests.values():
            test.statements.clear()
        for path, reached in self.by_file.items():
            for tests in reached.values():
                for name in tests:
                    self.tests[name].statements[path] += 1

    def by(self, path: str, line: int, source: str | None = None) -> list[str]:
        """The tests that reach that line, those that are most about its file first; on PostgreSQL only when no other
        does. A statement that is newer than the measurement is reached by whatever reaches its function, and what runs
        at import by whatever reaches its class or function, or makes one, else its module. `source` is the file, if it
        may have changed."""
        reached = self.by_file.get(path, {})
        statement = statements.by_line(source or (ROOT / path).read_text()).get(line)
        if statement is None:
            return []
        tests: set[str] = set()
        if statement.key in reached and not statement.at_import:
            tests = reached[statement.key]
        else:
            inside = (f"{statement.function}:", f"{statement.function}.") if statement.function else ("",)
            tests = set().union(*(names for key, names in reached.items() if key.startswith(inside)))
            if not tests and statement.at_import:
                tests = self._who_makes(statement.function) or set().union(*reached.values())
        here = {name for name in tests if not self.tests[name].postgres} or tests
        return sorted(here, key=lambda name: (-self.tests[name].share(path), self.tests[name].seconds, name))

    def _who_makes(self, name: str) -> set[str]:
        """The tests that reach a statement which makes one of that class."""
        call = f"{name.rpartition('.')[2]}("
        made = (names for reached in self.by_file.values() for key, names in reached.items() if call in key)
        return set().union(*made) if name else set()


def measure(modules: list[str], *, postgres: bool) -> dict[str, Any]:
    """Run them once under coverage. Tests that fail have reached what they reached."""
    with tempfile.TemporaryDirectory(prefix="checkout-reached-") as folder:
        noted = Path(folder) / "noted.json"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.mutations.noting"]
        environment = os.environ | {"CHECKOUT_REACHED": str(noted)}
        command, environment = (
            on_postgres(command, environment) if postgres else ([*command, "-m", NOT_HERE], environment)
        )
        done = subprocess.run(
            [*command, *modules], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        if not noted.exists():
            sys.exit(f"Which lines the tests reach could not be measured:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        print(done.stdout.strip().splitlines()[-1], flush=True)
        return json.loads(noted.read_text())


def on_postgres(command: list[str], environment: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    """The same, on a PostgreSQL and a Redis that live as long as the command."""
    servers = ("tests.redis_server", "tests.postgres_server")
    wrapped = [part for server in servers for part in (sys.executable, "-m", server, "--")] + command
    return wrapped, environment | {"DJANGO_SETTINGS_MODULE": "tests.settings_postgres"}
