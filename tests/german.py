"""Which of our English texts a page or a mail shows that should be in German."""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Iterable

from scripts import messages

GERMAN = {"accept-language": "de"}
PLACEHOLDER = re.compile(r"%\((\w+)\)[0-9]*[sd]|%%")


def texts(said: str | Iterable[str] | None) -> list[str]:
    """One text, or one for each plural form."""
    return [said] if isinstance(said, str) else list(said or [])


@functools.cache
def english() -> list[tuple[str, re.Pattern[str]]]:
    """What stands between the placeholders of our texts, unless German says the same somewhere (`Name`, `Status`)."""
    catalog = messages.read("de")
    german = "\n".join(text for message in catalog if message.id for text in texts(message.string))
    found = {}
    for message in catalog:
        for text in texts(message.id):
            for piece in (part.strip() for part in PLACEHOLDER.split(text)[::2]):
                if len(re.findall("[a-z]", piece)) < 2:
                    continue
                pattern = re.compile(rf"(?<!\w){re.escape(piece)}(?!\w)")
                # To look for the bare letters first is a hundred times as fast.
                if piece not in german or not pattern.search(german):
                    found[piece] = pattern
    return list(found.items())


def english_in(page: str) -> list[str]:
    """Our English texts in a page or mail, the longest first; what readers do not see is left out."""
    scripts = " ".join(re.findall(r"<script\b.*?</script>", page, re.DOTALL))
    # Of what elements.js reads, the values of more than one word: the others are names and addresses.
    said = re.findall(r': "([^" ]+ [^"]*)"', scripts.encode().decode("unicode_escape"))
    said += re.findall(r'(?:aria-label|placeholder|title|alt)="([^"]*)"', page)
    said += [re.sub(r"<script\b.*?</script>|<[^>]+>", " ", page, flags=re.DOTALL)]
    text = re.sub(r"https?://\S+", " ", html.unescape(" | ".join(said)))
    text = " ".join(text.split())
    return sorted(
        (piece for piece, pattern in english() if piece in text and pattern.search(text)), key=len, reverse=True
    )
