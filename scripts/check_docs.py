"""Check that relative links and anchors in our Markdown files lead somewhere, and a link to each page of docs/.

The web is not visited.
"""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^(```|~~~).*?^\1", re.DOTALL | re.MULTILINE)
INLINE_CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
ELSEWHERE = re.compile(r"^[a-z][a-z+.-]*:", re.IGNORECASE)


def main() -> int:
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "*.md"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    pages = [ROOT / name for name in names if name and (ROOT / name).exists()]
    broken = [complaint for page in pages for complaint in complaints(page)]
    broken += [f"{page.relative_to(ROOT)}: no other page links to it" for page in lonely(pages)]
    print("\n".join(broken or [f"{len(pages)} Markdown files: every relative link and anchor leads somewhere."]))
    return 1 if broken else 0


def complaints(page: Path) -> list[str]:
    """A line for each link of `page` that leads nowhere."""
    found = []
    for link in relative_links(page):
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path) if path else page
        where = f"{page.relative_to(ROOT)}: {link}"
        if not target.exists():
            found.append(f"{where}: there is no such file")
        elif anchor and target.suffix == ".md" and anchor not in anchors(target):
            found.append(f"{where}: there is no such heading")
    return found


def relative_links(page: Path) -> list[str]:
    """Every link of `page` that stays within the repository, as it is written."""
    found = LINK.findall(INLINE_CODE.sub("", FENCE.sub("", page.read_text())))
    return [link for pair in found if not ELSEWHERE.match(link := pair[0] or pair[1])]


def lonely(pages: list[Path]) -> list[Path]:
    """Pages of docs/ that a reader of the others would never find."""
    linked = {
        (page.parent / unquote(link).partition("#")[0]).resolve()
        for page in pages
        for link in relative_links(page)
        if not link.startswith("#")
    }
    return [page for page in pages if page.is_relative_to(ROOT / "docs") and page.resolve() not in linked]


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings get, spelt as the usual hosts spell them."""
    seen: dict[str, int] = {}
    found = set()
    for heading in HEADING.findall(FENCE.sub("", page.read_text())):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if slug in seen else slug)
        seen[slug] = seen.get(slug, 0) + 1
    return found


if __name__ == "__main__":
    sys.exit(main())
