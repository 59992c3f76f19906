"""The recipes, run as they stand in the document."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from .test_server_docs import run_pytest
from .test_server_node import PACKAGES, install

DOCUMENT = (Path(__file__).parents[1] / "RECIPES.md").read_text()


def recipes(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)


def test_the_recipes_in_python_run(tmp_path: Path) -> None:
    found = recipes("python")
    assert len(found) == 3
    for number, recipe in enumerate(found):
        (tmp_path / f"test_recipe_{number}.py").write_text(recipe)
    result = run_pytest(tmp_path, "-p", "no:playwright", "--durations=0", "-vv")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "3 passed" in result.stdout
    # Of the recipe itself, without the start of Python; a second is what it takes, and a busy machine is given more.
    (seconds,) = re.findall(r"([0-9.]+)s call .*test_a_plan_of_a_year", result.stdout)
    assert float(seconds) < 5


@pytest.mark.browser
def test_the_recipe_for_playwright_runs(tmp_path: Path) -> None:
    (recipe,) = recipes("python browser")
    (tmp_path / "test_recipe.py").write_text(recipe)
    # What this suite tells its browser, for that test is a project of its own.
    (tmp_path / "conftest.py").write_text((Path(__file__).parent / "launch.py").read_text())
    result = run_pytest(tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.node
def test_the_recipe_for_node_runs(served: str) -> None:
    install()
    (recipe,) = recipes("js")
    program = PACKAGES / "recipe.mjs"
    program.write_text(recipe)
    result = subprocess.run(
        ["node", str(program)], env={**os.environ, "STRIPE": served}, capture_output=True, text=True, timeout=60
    )
    assert (result.returncode, result.stdout) == (0, "one refund\n"), result.stdout + result.stderr
