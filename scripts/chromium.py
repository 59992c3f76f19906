"""Print the path of a Chromium that starts; install one when there is none. Run it with .venv/bin/python.

Looks at $CHROMIUM, then on the PATH, then for Playwright's own; then asks apt-get, then `playwright install`.
Exits 1 with a sentence when nothing worked: browser tests are never skipped in silence.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import apt

NAMES = ("chromium", "chromium-browser", "google-chrome")
ADVICE = """\
The browser tests need Chromium, and none could be found or installed.
Install it (Debian: sudo apt-get install chromium), or say where it is: make test CHROMIUM=/path/to/chrome"""


def main() -> None:
    if named := os.environ.get("CHROMIUM"):
        if not starts(named):
            raise SystemExit(f"CHROMIUM={named} does not start. Correct it, or unset it to have one found.")
        print(named)
        return
    path = next(find(), None)
    if path is None and apt.install("chromium", "fonts-liberation"):
        path = next(find(), None)
    if path is None:
        install_playwrights_own()
        path = next(find(), None)
    if path is None:
        raise SystemExit(ADVICE)
    print(path)


def find() -> Iterator[str]:
    """Each Chromium here that starts, best first."""
    yield from (path for name in NAMES if (path := shutil.which(name)) and starts(path))
    if starts(path := playwrights_own()):
        yield path


def starts(path: str) -> bool:
    """Can it run at all? Ubuntu's `chromium-browser` may be a stub, and a download may lack libraries."""
    try:
        return (
            subprocess.run([path, "--version"], capture_output=True, timeout=60, check=False).returncode == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False


def playwrights_own() -> str:
    """Where Playwright would keep its browser, whether or not it is there."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        return playwright.chromium.executable_path


def install_playwrights_own() -> None:
    print("Downloading Playwright's Chromium", file=sys.stderr, flush=True)
    subprocess.run(
        [sys.executable, "-m", "playwright", "install", "chromium"],
        stdout=sys.stderr,
        check=False,
        timeout=600,
    )


if __name__ == "__main__":
    main()
