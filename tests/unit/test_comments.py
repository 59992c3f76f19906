"""Comments and docstrings point at what exists: files, migrations, numbered rules and sections."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
MIGRATIONS = ROOT / "src" / "checkout" / "migrations"
#: Where a path may begin, besides the repository and the folder of the file that names it.
BEGINNINGS = (
    "emulator",
    "src",
    "src/checkout",
    "src/checkout/static",
    "src/checkout/templates",
    "emulator/src",
    "emulator/src/stripe_emulator",
)
#: The one thing outside of the repository; .ci/run says itself that it may be absent.
OUTSIDE = {"../shared/stripe-contract/check.py"}
#: Not files, but what they are called.
PRODUCTS = {"Node.js", "Stripe.js"}
ENDINGS = "cfg|css|html|in|ini|js|json|md|mjs|mo|po|py|sh|toml|txt|yaml|yml"
#: A path or the name of a file, but no part of an address, of a pattern or of something that a shell puts in.
A_FILE = re.compile(rf"(?<![\w/:.*$<>{{}}-])((?:\.\./)*[\w.][\w./-]*\.(?:{ENDINGS}))(?![\w/*-]|\.\w)")
A_MIGRATION = re.compile(r"\bmigrations?\s+(\d{4})", re.IGNORECASE)
A_NUMBER = re.compile(r"(?<!RFC \d{4} )\b((?:rule|section|chapter|appendix)\s+\d+)", re.IGNORECASE)
A_DESIGN = re.compile(r"\b(the design (?:asks|says|wants|draws)|design rule)", re.IGNORECASE)


@cache
def tracked() -> frozenset[str]:
    """Every file of the repository, by its path."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    return frozenset(subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\n"))


@cache
def names() -> frozenset[str]:
    return frozenset(Path(path).name for path in tracked())


def remarks(path: Path) -> Iterator[str]:
    """The comments and docstrings of a file."""
    source = path.read_text("utf-8")
    if path.suffix == ".py":
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                yield token.string
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield ast.get_docstring(node) or ""
    elif path.suffix in (".js", ".mjs", ".css"):
        yield from re.findall(r"/\*.*?\*/", source, re.DOTALL)
        yield from re.findall(r"(?:^|\s)//\s.*", source)
    elif path.suffix == ".html":
        yield from re.findall(r"{%\s*comment\s*%}.*?{%\s*endcomment\s*%}|{#.*?#}|<!--.*?-->", source, re.DOTALL)
    else:
        yield from re.findall(r"(?:^|\s)#\s.*", source)


def commented() -> list[str]:
    """Every file that may hold comments of ours. This one's are about comments."""
    endings = {".py", ".js", ".mjs", ".css", ".html", ".sh", ".toml", ".yaml", ".yml"}
    return sorted(
        path
        for path in tracked()
        if (ROOT / path).is_file()
        and (Path(path).suffix in endings or path in {"Makefile", ".ci/run"})
        and not path.startswith("requirements/")
        and ROOT / path != Path(__file__).resolve()
    )


def dead(remark: str, home: Path) -> Iterator[str]:
    """What this remark, in a file of the folder `home`, points at and is not there."""
    for named in A_FILE.findall(remark):
        if named in OUTSIDE | PRODUCTS or ("/" not in named and named in names()):
            continue
        places = [home / named, ROOT / named, *(ROOT / beginning / named for beginning in BEGINNINGS)]
        if not any(place.resolve().is_file() for place in places):
            yield named
    for number in A_MIGRATION.findall(remark):
        if not list(MIGRATIONS.glob(f"{number}_*.py")):
            yield f"migration {number}"
    for numbered in A_NUMBER.findall(remark):
        if not re.search(rf"^#+ (?:{numbered}\b|{numbered.split()[1]}\. )", documents(), re.MULTILINE | re.IGNORECASE):
            yield numbered
    for design in A_DESIGN.findall(remark):
        if not any(re.fullmatch(r"docs/(?:.*/)?design.*\.md", path) for path in tracked()):
            yield design


@cache
def documents() -> str:
    return "\n".join(path.read_text("utf-8") for path in (ROOT / "docs").rglob("*.md"))


def test_every_remark_points_at_what_exists() -> None:
    looked_at = commented()
    assert len(looked_at) > 100
    assert [
        f"{path}: {gone}"
        for path in looked_at
        # Remarks are sought only where the whole text points at something that is not there: that takes much longer.
        if any(dead((ROOT / path).read_text("utf-8"), (ROOT / path).parent))
        for remark in remarks(ROOT / path)
        for gone in dead(remark, (ROOT / path).parent)
    ] == []


@pytest.mark.parametrize(
    ("remark", "gone"),
    [
        ("# See docs/nowhere.md.", "docs/nowhere.md"),
        ("# The other half is in nobody_wrote_this.py", "nobody_wrote_this.py"),
        ("# the index that migration 9999 makes", "migration 9999"),
        ("# Design rule 1: once only.", "Design rule"),
        ("# as section 99 says", "section 99"),
        ("# ../shared/elsewhere/check.py", "../shared/elsewhere/check.py"),
    ],
)
def test_a_remark_about_nothing_is_noticed(remark: str, gone: str) -> None:
    assert gone in list(dead(remark, ROOT))


@pytest.mark.parametrize(
    "remark",
    [
        "# docs/reference.md says when; https://example.com/a/b.html does not.",
        "# checkout/pay.html, elements.js and migration 0001",
        "# see RFC 9111 section 4",
        "# tests/settings_*.py",
    ],
)
def test_a_remark_about_something_is_not(remark: str) -> None:
    assert list(dead(remark, ROOT)) == []
