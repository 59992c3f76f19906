"""A line of code by what it says: its function and its statement. That stays when lines above it come and go."""

from __future__ import annotations

import ast
from dataclasses import dataclass

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITIONS = (*FUNCTIONS, ast.ClassDef)


@dataclass(frozen=True, slots=True)
class Statement:
    """`function` is the dotted name of where it stands, "" at the top of the module; `text` its first line. A `def`
    itself, with its decorators and defaults, belongs to its own function. `at_import`: it runs once, before any test,
    as the fields of a class do."""

    function: str
    text: str
    at_import: bool

    @property
    def key(self) -> str:
        return f"{self.function}: {self.text}"


def by_line(source: str) -> dict[int, Statement]:
    """For each line of code, the innermost statement that it is a part of."""
    lines = source.splitlines()
    found: dict[int, Statement] = {}

    def walk(node: ast.AST, function: str, at_import: bool) -> None:
        for child in ast.iter_child_nodes(node):
            inside = function
            if isinstance(child, DEFINITIONS):
                inside = f"{function}.{child.name}".lstrip(".")
            if isinstance(child, (ast.stmt, ast.ExceptHandler)):
                first = min([child.lineno, *(each.lineno for each in getattr(child, "decorator_list", []))])
                statement = Statement(inside, lines[child.lineno - 1].strip(), at_import)
                # What stands inside comes after, and takes its lines for itself.
                found.update(dict.fromkeys(range(first, (child.end_lineno or first) + 1), statement))
            walk(child, inside, at_import and not isinstance(child, FUNCTIONS))

    walk(ast.parse(source), "", at_import=True)
    return found
