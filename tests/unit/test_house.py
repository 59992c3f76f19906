"""The houses as docs/index.md and emulator/README.md draw them: arrows point down only, Stripe is known in one room."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = {"checkout": ROOT / "src", "stripe_emulator": ROOT / "emulator" / "src"}
PICTURES = {"checkout": ROOT / "docs" / "index.md", "stripe_emulator": ROOT / "emulator" / "README.md"}


def modules(package: str) -> dict[str, Path]:
    """Every module of a package by its dotted name."""
    source = SOURCES[package]
    files = (source / package).rglob("*.py")
    return {
        ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted(files)
        if "migrations" not in path.parts
    }


@cache
def tree(path: Path) -> ast.Module:
    """What Python reads in a file. Most tests here ask it of every file, and reading takes longer than looking."""
    return ast.parse(path.read_text())


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """What runs when a module is imported: also within `if` and `try`, but not for type checkers alone."""
    for statement in body:
        match statement:
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                yield from statements(statement.orelse)
            case ast.If():
                yield from statements([*statement.body, *statement.orelse])
            case ast.Try():
                handlers = [inner for handler in statement.handlers for inner in handler.body]
                yield from statements([*statement.body, *handlers, *statement.orelse, *statement.finalbody])
            case _:
                yield statement


def named(node: ast.AST, path: Path, known: dict[str, Path]) -> set[str]:
    """The modules that an import statement in `path` names."""
    match node:
        case ast.Import(names=names):
            return {alias.name for alias in names}
        case ast.ImportFrom(module=base, names=names, level=level):
            if level:  # one dot is the folder that the module is in, each further dot the folder above
                folder = next(name for name, file in known.items() if file == path.parents[level - 1] / "__init__.py")
                base = f"{folder}.{base}" if base else folder
            return {name if (name := f"{base}.{alias.name}") in known else str(base) for alias in names}
        case _:
            return set()


def early(path: Path, known: dict[str, Path]) -> set[str]:
    """What a module imports when it is itself imported."""
    return set().union(*(named(node, path, known) for node in statements(tree(path).body)))


def late(path: Path, known: dict[str, Path]) -> set[str]:
    """What a module imports within its functions."""
    functions = [node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return set().union(*(named(node, path, known) for function in functions for node in ast.walk(function)))


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that reach each other (Tarjan's strongly connected components of more than one)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for target in sorted(arrows[module]):
            if target not in index:
                visit(target)
            if target in stack:
                low[module] = min(low[module], low[target])
        if low[module] == index[module]:
            group = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(group) > 1:
                found.append(sorted(group))

    for module in arrows:
        if module not in index:
            visit(module)
    return found


@pytest.mark.parametrize("package", SOURCES)
def test_no_imports_go_round_in_a_circle(package: str) -> None:
    known = modules(package)
    # Whoever imports a.b has run a/__init__ before, which asks nothing of the importer unless it names it.
    arrows = {name: {target for target in early(path, known) if target in known} for name, path in known.items()}
    assert circles(arrows) == []


def test_a_circle_would_be_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


def test_an_import_is_found_however_it_is_written() -> None:
    known = modules("stripe_emulator")
    path = known["stripe_emulator.wire.params"]
    for line in ("from stripe_emulator.wire import forms", "from . import forms", "from .forms import decode"):
        assert named(ast.parse(line).body[0], path, known) == {"stripe_emulator.wire.forms"}
    for line in ("import stripe_emulator.core.money", "from ..core import money", "from ..core.money import shown"):
        assert named(ast.parse(line).body[0], path, known) == {"stripe_emulator.core.money"}


def floors(package: str) -> dict[str, int]:
    """Each room's floor, counted from above, as the picture in the documents has it."""
    picture = PICTURES[package].read_text().split("floor     rooms\n")[1].split("```")[0]
    return {room: floor for floor, line in enumerate(picture.splitlines()) for room in line.split()[1:]}


def room(module: str) -> str:
    """`checkout.services.runs` is in `services`, `checkout.money` in a room of its own."""
    return module.split(".")[1]


@pytest.mark.parametrize("package", SOURCES)
def test_the_picture_names_every_room_once_and_no_other(package: str) -> None:
    rooms = {room(name) for name in modules(package) if name != package}
    assert set(floors(package)) == rooms


@pytest.mark.parametrize("package", SOURCES)
def test_arrows_point_down_only(package: str) -> None:
    known = modules(package)
    floor = floors(package)
    rising = [
        f"{name} -> {target}"
        for name, path in known.items()
        for target in sorted(early(path, known))
        if target in known and "." in target and "." in name
        if floor[room(target)] < floor[room(name)]
    ]
    assert rising == []


def anywhere(path: Path, known: dict[str, Path]) -> set[str]:
    """What a module imports at all: at once, within functions and classes, or for type checkers."""
    return set().union(*(named(node, path, known) for node in ast.walk(tree(path))))


def knows_the_office(path: Path, known: dict[str, Path]) -> bool:
    return any(f"{target}.".startswith("checkout.office.") for target in anywhere(path, known))


def test_nothing_knows_the_office_but_the_doors_to_it() -> None:
    """The admin, the addresses, and the one view of staff that hosts may put on a page of their own."""
    known = modules("checkout")
    outside = {name: path for name, path in known.items() if not f"{name}.".startswith("checkout.office.")}
    doors = {"checkout.admin", "checkout.urls", "checkout.views"}
    # What is included or loaded by its dotted name needs no import.
    by_name = {name for name, path in outside.items() if re.search(r"""["']checkout\.office\b""", path.read_text())}
    assert {name for name, path in outside.items() if knows_the_office(path, known)} | by_name == doors


@pytest.mark.parametrize(
    "code",
    [
        "from checkout import office",
        "import checkout.office.pages",
        "def later():\n    from checkout.office import pages",
        "class Row:\n    from checkout.office.pages import Page",
        "if TYPE_CHECKING:\n    from checkout.office.pages import Page",
    ],
)
def test_the_office_would_be_noticed_wherever_it_is_imported(code: str, tmp_path: Path) -> None:
    (path := tmp_path / "intruder.py").write_text(code)
    assert knows_the_office(path, modules("checkout"))


def test_services_import_nothing_late_but_the_extras() -> None:
    """A site without Celery and Redis has neither; everything else is known when the module is."""
    extras = {"celery", "kombu", "redis"}
    known = modules("checkout")
    inside = {
        name: {target for target in late(path, known) if target.split(".")[0] not in extras}
        for name, path in known.items()
        if room(f"{name}.") == "services"
    }
    assert {name: targets for name, targets in inside.items() if targets} == {}


def test_only_models_import_services_late() -> None:
    """Managers, and the hooks of rows that are themselves content objects, are doors to the services above them."""
    known = modules("checkout")
    others = {
        name: sorted(target for target in late(path, known) if target.startswith("checkout.services"))
        for name, path in known.items()
        if room(f"{name}.") != "models"
    }
    assert {name: targets for name, targets in others.items() if targets} == {}


def test_stripe_is_imported_in_the_gateway_only() -> None:
    known = modules("checkout")
    importers = {
        room(name)
        for name, path in known.items()
        if any(target.split(".")[0] == "stripe" for target in early(path, known) | late(path, known))
    }
    assert importers == {"gateway"}


def test_whoever_acts_and_what_is_paid_for_are_named_by_type() -> None:
    """`Any` where the contract could stand would tell neither a reader nor a type checker what may be passed."""
    vague = [
        f"{name}.{function.name}({parameter.arg})"
        for name, path in modules("checkout").items()
        for function in ast.walk(tree(path))
        if isinstance(function, ast.FunctionDef)
        for parameter in [*function.args.args, *function.args.kwonlyargs]
        if parameter.arg in {"content_object", "user"}
        if parameter.annotation is None or ast.unparse(parameter.annotation) == "Any"
    ]
    assert vague == []


def test_the_emulator_knows_neither_django_nor_checkout() -> None:
    known = modules("stripe_emulator")
    foreign = {
        f"{name} -> {target}"
        for name, path in known.items()
        for target in early(path, known) | late(path, known)
        if target.split(".")[0] in {"django", "checkout", "example_checkout"}
    }
    assert foreign == set()


def test_what_the_emulator_is_made_of_does_not_import_its_public_face() -> None:
    """`from stripe_emulator import Emulator` is the engine by another name: an arrow to its floor."""
    known = modules("stripe_emulator")
    floor = floors("stripe_emulator")
    users = {
        room(name)
        for name, path in known.items()
        if name != "stripe_emulator" and "stripe_emulator" in early(path, known)
    }
    assert "panel" in users
    assert {user for user in users if floor[user] >= floor["engine"]} == set()
