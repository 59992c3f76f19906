"""The parts of a module in which a mutation changes nothing that anybody could see."""

from __future__ import annotations

import ast
from collections.abc import Iterator

#: Line and column.
Position = tuple[int, int]
LOGS = {"debug", "info", "warning", "error", "exception", "critical", "log"}


def silent_parts(tree: ast.Module) -> list[tuple[Position, Position]]:
    """From where to where nothing that runs is said: annotations and types, the punctuation of signatures, what only
    type checkers read, how a dataclass is kept, texts of the log."""
    parts: list[tuple[Position, Position]] = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            parts += signature(node)
        elif isinstance(node, ast.AnnAssign):
            parts.append(span(node.annotation))
        elif isinstance(node, (ast.Import, ast.ImportFrom)) or is_for_type_checkers(node):
            parts.append(span(node))
        elif isinstance(node, ast.ClassDef):
            parts += [span(each) for each in node.decorator_list if "dataclass" in ast.unparse(each)]
        elif isinstance(node, ast.Call) and is_log(node.func):
            parts.append(span(node))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"cast", "TypeVar", "NewType"}:
            parts.append(span(node.args[0]))
    return [*parts, *type_aliases(tree)]


def is_for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def signature(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[Position, Position]]:
    """All between the name and the body but the defaults."""
    defaults = sorted(span(each) for each in (*node.args.defaults, *node.args.kw_defaults) if each is not None)
    start = (node.lineno, node.col_offset)
    for first, last in defaults:
        yield (start, first)
        start = last
    yield (start, (node.body[0].lineno, node.body[0].col_offset))


def is_log(function: ast.expr) -> bool:
    return (
        isinstance(function, ast.Attribute)
        and function.attr in LOGS
        and isinstance(function.value, ast.Name)
        and function.value.id in {"log", "logger"}
    )


def type_aliases(tree: ast.Module) -> Iterator[tuple[Position, Position]]:
    """`Rows = QuerySet[Refund] | list[Refund]`, at the top of a module."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.BinOp) and isinstance(node.value.op, ast.BitOr):
            yield span(node)


def span(node: ast.AST) -> tuple[Position, Position]:
    """Columns are counted in bytes here and in characters by the tool: a signature with more than ASCII in it is rare,
    and only drawn a little too wide."""
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)
