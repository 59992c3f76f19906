"""The recipes of CONTRIBUTING.md lead to files and tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
[RECIPES] = re.findall(r"^## How do I add …\n(.*?)^## ", CONTRIBUTING, re.DOTALL | re.MULTILINE)
RECIPE = dict(re.findall(r"^### (.+?)\n(.*?)(?=^### |\Z)", RECIPES, re.DOTALL | re.MULTILINE))
THINGS = {
    "a setting",
    "a webhook type",
    "an action",
    "a reason in the history",
    "a letter",
    "a decline code",
    "a test card",
    "a job",
    "a staff list",
}


def test_there_is_a_recipe_for_each_thing_that_is_often_added() -> None:
    assert set(RECIPE) == THINGS


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:src|tests|docs|emulator)/[^`:]+)", CONTRIBUTING))))
def test_each_path_exists(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("thing", RECIPE)
def test_each_recipe_names_tests_that_exist(thing: str) -> None:
    named = re.findall(r"`(\S+?\.py)::(\w+)`", RECIPE[thing])
    assert named, "a recipe ends with the tests that fail until it is done"
    for path, name in named:
        functions = {node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if is_function(node)}
        assert name in functions, f"{path} has no {name}"


def is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef)


@pytest.mark.parametrize("thing", RECIPE)
def test_each_name_in_capitals_stands_in_a_file_of_its_recipe(thing: str) -> None:
    files = [ROOT / path for path in re.findall(r"`((?:src|tests|emulator)/[^`:]+\.py)", RECIPE[thing])]
    source = "\n".join(path.read_text() for path in files)
    for name in re.findall(r"`(_?[A-Z][A-Z_]+)`", RECIPE[thing]):
        assert re.search(rf"^{name}\b", source, re.MULTILINE), name
