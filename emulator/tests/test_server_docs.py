"""The pytest plugin as a stranger's project meets it, and every example of the README run as it stands."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stripe_emulator import Emulator
from stripe_emulator.__main__ import make_parser
from stripe_emulator.resources.cards import BY_NUMBER

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)


def run_pytest(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """pytest in `folder`, with the plugin loaded as an installed package loads it, and without Django."""
    # Where the package is installed its entry point loads the plugin; here a plain -p stands for it.
    installed = "import importlib.metadata as m; print([e.value for e in m.entry_points(group='pytest11')])"
    found = subprocess.run([sys.executable, "-c", installed], capture_output=True, text=True, timeout=60).stdout
    load = [] if "stripe_emulator.pytest_plugin" in found else ["-p", "stripe_emulator.pytest_plugin"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:django", *load, *args]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "DJANGO_", "COV_"))}
    env["PYTHONPATH"] = str(ROOT / "src")
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, env=env)


def test_the_first_example_prints_what_the_readme_says() -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", blocks("python")[0]]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, env=env)
    assert result.stdout == blocks("text")[0], result.stderr


def test_the_examples_run(tmp_path: Path) -> None:
    examples = blocks("python")[1:]
    (tmp_path / "test_examples.py").write_text("\n\n".join(examples))
    result = run_pytest(tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{len(examples)} passed" in result.stdout


def test_the_commands_are_ones_that_the_program_takes() -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    commands = [shlex.split(line)[3:] for line in lines if line.startswith("python -m stripe_emulator")]
    assert commands
    for command in commands:
        make_parser().parse_args(command)
    for option in re.findall(r"`(--[a-z-]+)", DOCUMENT):
        assert option in make_parser().format_help()


def test_the_requests_are_ones_that_the_server_answers(
    served: str, api: Callable[..., Any], emulator: Emulator
) -> None:
    paid = api("POST", "/v1/payment_intents", amount=1250, currency="gbp")
    emulator.pay(paid["client_secret"])
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("curl ")]
    assert lines
    import urllib.request

    for line in lines:
        words = shlex.split(line.replace("http://127.0.0.1:12111", served).replace("pi_...", paid["id"]))
        url = next(word for word in words if word.startswith(served))
        body = words[words.index("-d") + 1].encode() if "-d" in words else None
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"} if body else {})
        with urllib.request.urlopen(request, timeout=10) as reply:
            assert reply.status == 200, line


def test_each_card_of_the_table_is_a_test_card() -> None:
    numbers = re.findall(r"^\| (\d{4} [\d ]+) \|", DOCUMENT, re.MULTILINE)
    assert numbers
    assert {number.replace(" ", "") for number in numbers} <= set(BY_NUMBER)


def test_every_test_has_an_emulator_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text(
        """
import urllib.request

def test_one(stripe_client, stripe_emulator, stripe_weather, stripe_clock, stripe_ledger):
    stripe_client.v1.customers.create({"name": "Ada"})
    assert len(stripe_client.v1.customers.list().data) == 1
    assert stripe_emulator.weather is stripe_weather
    assert stripe_emulator.clock is stripe_clock
    assert stripe_emulator.ledger is stripe_ledger

def test_two(stripe_client, stripe_emulator_url):
    assert stripe_client.v1.customers.list().data == []
    assert urllib.request.urlopen(stripe_emulator_url + "/stripe.js").status == 200
"""
    )
    result = run_pytest(tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 passed" in result.stdout


@pytest.mark.parametrize("module", ["stripe", "django", "uvicorn", "starlette", "requests"])
def test_the_plugin_imports_nothing_heavy(module: str) -> None:
    code = f"import sys, stripe_emulator.pytest_plugin; sys.exit({module!r} in sys.modules)"
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    assert subprocess.run([sys.executable, "-c", code], env=env, timeout=60).returncode == 0


def test_the_options_list_the_fixtures(tmp_path: Path) -> None:
    result = run_pytest(tmp_path, "--fixtures")
    for name in re.findall(r"^\| `(stripe_\w+)`", DOCUMENT, re.MULTILINE):
        assert name in result.stdout
