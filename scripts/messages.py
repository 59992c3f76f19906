"""Bring the translations in src/checkout/locale/ up to date with the code, and compile them.

    python scripts/messages.py            every language that is there
    python scripts/messages.py fr it      these too, begun if need be
    python scripts/messages.py --check    change nothing; exit 1 if something would change

What is translated is kept. A text that was changed keeps its old translation, marked `fuzzy` and unused until somebody
has looked at it; one that is gone goes to the end of the file. Babel reads and writes it all, so no gettext of the
system is needed, and the files say nothing of who ran this, when or where: run again, it changes nothing.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog as BabelCatalog
from babel.messages.catalog import Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import PoFileParser, write_po
from django.conf import settings
from django.utils.translation.template import templatize

APP = Path(__file__).resolve().parent.parent / "src" / "checkout"
LOCALE = APP / "locale"
#: Django's functions beside those that Babel knows: which arguments are texts, and which is the context ("c").
KEYWORDS = {
    **DEFAULT_KEYWORDS,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext_lazy": (1, 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext_lazy": ((1, "c"), 2, 3),
}


class Catalog(BabelCatalog):
    """A catalogue whose header says what a reader of it needs, and nothing that changes from run to run."""

    def __init__(self, language: str | None = None) -> None:
        super().__init__(locale=language, header_comment="# Kept up to date by `make messages`.", fuzzy=False)

    @property
    def mime_headers(self) -> list[tuple[str, str]]:
        headers = [("MIME-Version", "1.0"), ("Content-Type", "text/plain; charset=UTF-8")]
        headers.append(("Content-Transfer-Encoding", "8bit"))
        if self.locale_identifier:
            headers += [("Language", self.locale_identifier), ("Plural-Forms", self.plural_forms)]
        return headers

    @mime_headers.setter
    def mime_headers(self, headers: object) -> None:
        """A file's own header says nothing that is not known from its path."""


def sources() -> Iterator[tuple[str, str]]:
    """Every file that may hold texts: its path within the app, and Python source that Babel can read."""
    if not settings.configured:
        settings.configure()
    for path in sorted(APP.rglob("*")):
        name = path.relative_to(APP).as_posix()
        if path.suffix == ".py" and not name.startswith("migrations/"):
            yield name, path.read_text("utf-8")
        elif path.suffix in (".html", ".txt") and name.startswith("templates/"):
            # A template's indentation is none that Python would take.
            yield name, re.sub(r"^[ \t]+", "", templatize(path.read_text("utf-8"), origin=name), flags=re.MULTILINE)


@cache
def found() -> tuple[tuple[str, Any, list[str], str | None], ...]:
    """Where each text of the app stands, the text (or both its forms), what is said of it, and its context.

    Looked for once, because it takes seconds: the languages have them in common.
    """
    return tuple(
        (name, message, comments, context)
        for name, source in sources()
        for _line, message, comments, context in extract(
            "python", io.BytesIO(source.encode()), KEYWORDS, ("Translators",), strip_comment_tags=True
        )
    )


def extracted() -> Catalog:
    """Every text of the app, untranslated. One of its own for each caller: Babel hands its messages on."""
    made = Catalog()
    for name, message, comments, context in found():
        # No line numbers: they would change with every edit above them.
        made.add(message, locations=[(name, 0)], auto_comments=list(comments), context=context)
    return made


def read(language: str) -> Catalog:
    """The catalogue as it lies on the disk; empty if there is none."""
    catalog = Catalog(language)
    path = po_path(language)
    if path.exists():
        with path.open("rb") as file:
            PoFileParser(catalog).parse(file)
    return catalog


def updated(language: str) -> Catalog:
    """The catalogue as the code of now wants it."""
    catalog = read(language)
    catalog.update(extracted(), update_header_comment=False)
    for message in catalog:
        # Babel takes over the flags of the old text, which may have had placeholders where the new one has none.
        message.flags = {"fuzzy"} if message.fuzzy else set()
        if message.python_format:
            message.flags.add("python-format")
    for key, message in list(catalog.obsolete.items()):
        if not any(_texts(message.string)):
            del catalog.obsolete[key]
    return catalog


def po_bytes(catalog: Catalog) -> bytes:
    out = io.BytesIO()
    write_po(out, catalog, width=0, include_lineno=False)
    return out.getvalue()


def mo_bytes(catalog: Catalog) -> bytes:
    """What Django reads. Unfinished messages are left out, so their readers get English."""
    finished = Catalog(catalog.locale_identifier)
    left = {(message.id, message.context) for message in unfinished(catalog)}
    for message in catalog:
        if message.id and (message.id, message.context) not in left:
            finished.add(message.id, message.string, context=message.context)
    out = io.BytesIO()
    write_mo(out, finished)
    return out.getvalue()


def unfinished(catalog: Catalog) -> list[Message]:
    """The messages that still need a translator."""
    return [each for each in catalog if each.id and (each.fuzzy or not all(_texts(each.string)))]


def _texts(string: str | list[str] | tuple[str, ...] | None) -> list[str]:
    """One text, or one for each plural form."""
    return list(string) if isinstance(string, (list, tuple)) else [string or ""]


def po_path(language: str) -> Path:
    return LOCALE / language / "LC_MESSAGES" / "django.po"


def languages() -> list[str]:
    """The names of the folders, as Django spells them: `de`, `pt_BR`."""
    return sorted(path.parent.parent.name for path in LOCALE.glob("*/LC_MESSAGES/django.po"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("languages", nargs="*", help="for example fr or pt_BR")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if something would change")
    options = parser.parse_args()
    stale = []
    for language in sorted({*languages(), *options.languages}):
        catalog = updated(language)
        path = po_path(language)
        for file, content in [(path, po_bytes(catalog)), (path.with_suffix(".mo"), mo_bytes(catalog))]:
            if file.exists() and file.read_bytes() == content:
                continue
            stale.append(file)
            if not options.check:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
        left = unfinished(catalog)
        print(f"{language}: {len(catalog)} messages, {len(left)} to translate, {len(catalog.obsolete)} gone")
        for message in left:
            print(f"  {'look again' if message.fuzzy else 'translate'}: {_texts(message.id)[0]}")
    if options.check and stale:
        print("Not up to date (run `make messages`):", *(file.relative_to(LOCALE) for file in stale), sep="\n  ")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
