"""Text that people typed is data: `python scripts/check_text.py`.

post_office compiles each subject and body that it is given as a template, and so does Django's `Template(…)`. One
module may do either, because it hands over what developers and staff wrote and everything else as values. In the others
(and in the examples of the documents, which people copy) this refuses:

- post_office's `mail`, however it is imported (but what only sends the queue);
- `Template(…)`, `….from_string(…)`;
- `mark_safe(…)` and `SafeString(…)`, but where the row below says that every part was escaped.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("src", "example_checkout")
DOOR = "src/checkout/mail.py"
QUEUES = {"send", "send_many", "create", "*"}
COMPILES = {"Template", "from_string"}
TRUSTS = {"mark_safe", "SafeString"}
#: Reviewed: what is put together there was escaped part by part.
ESCAPED = {"src/checkout/office/views/lists.py"}
IN_DOCUMENTS = re.compile(r"post_office import mail|post_office\.mail|\bmail\.send\(|\bTemplate\(|\bfrom_string\(")


def in_python(source: str, name: str = "") -> Iterator[str]:
    """`path:line: what is wrong` for one module."""
    for node in ast.walk(ast.parse(source)):
        complaint = ""
        match node:
            case ast.ImportFrom(module="post_office", names=names) if any(each.name == "mail" for each in names):
                complaint = "post_office.mail compiles what it is given; use checkout.mail"
            case ast.ImportFrom(module="post_office.mail", names=names) if any(each.name in QUEUES for each in names):
                complaint = "post_office.mail compiles what it is given; use checkout.mail"
            case ast.Import(names=names) if any(each.name.startswith("post_office.mail") for each in names):
                complaint = "post_office.mail compiles what it is given; use checkout.mail"
            case ast.Call(func=ast.Name(id=called) | ast.Attribute(attr=called)) if called in COMPILES:
                complaint = f"{called}() compiles text as a template; render a file with a context"
            case ast.Call(func=ast.Name(id=called) | ast.Attribute(attr=called)) if called in TRUSTS:
                complaint = "" if name in ESCAPED else f"{called}() trusts text; use format_html or a template"
        if complaint:
            yield f"{name}:{node.lineno}: {complaint}"


def in_document(text: str, name: str = "") -> Iterator[str]:
    """The same for the code in a document."""
    fenced = False
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced and IN_DOCUMENTS.search(line):
            yield f"{name}:{number}: people copy this; it compiles text as a template"


def complaints(root: Path) -> Iterator[str]:
    for path in sorted(path for folder in FOLDERS for path in (root / folder).rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if name != DOOR:
            yield from in_python(path.read_text("utf-8"), name)
    for path in [root / "README.md", *sorted((root / "docs").rglob("*.md"))]:
        yield from in_document(path.read_text("utf-8"), path.relative_to(root).as_posix())


if __name__ == "__main__":
    found = list(complaints(ROOT))
    print("\n".join(found) or "Text that people typed is data everywhere.")
    sys.exit(bool(found))
