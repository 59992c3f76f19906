"""Print the path of a Chromium that starts; install one when there is none. Run it with .venv/bin/python.

Takes $CHROMIUM, or what is on the PATH, or Playwright's own; then asks apt-get, then `playwright install`.
Best is the shell that Chromium is without windows, tabs and their upkeep: it runs the same pages on the same engine,
and a test takes less than half of the time.
Exits 1 with a sentence when nothing worked: browser tests are never skipped in silence.
"""

import os
import shutil
import subprocess
import sys

import apt
from playwright.sync_api import sync_playwright

SHELL = "chromium-headless-shell"
NAMES = (SHELL, "chromium", "chromium-browser", "google-chrome")
#: What to install, the best first. Not every distribution has the shell.
PACKAGES = (SHELL, "chromium")
NO_CHROMIUM = """\
The browser tests need Chromium, and none could be found or installed.
Install it (Debian: sudo apt-get install chromium-headless-shell), or say where it is:
make test CHROMIUM=/path/to/chrome"""
NO_DRIVER = """\
Playwright, which drives the browser in the tests, does not start: most likely libatomic is missing.
Install it (Debian: sudo apt-get install libatomic1), then run the same command again."""


def main() -> None:
    ensure_driver()
    if named := os.environ.get("CHROMIUM"):
        if not starts(named):
            raise SystemExit(f"CHROMIUM={named} does not start. Correct it, or unset it to have one found.")
        print(named)
        return
    path = find()
    for package in PACKAGES:
        if path is None and apt.install(package, "fonts-liberation"):
            path = find()
    if path is None:
        install_playwrights_own()
        path = find()
    if path is None:
        raise SystemExit(NO_CHROMIUM)
    print(path)


def ensure_driver() -> None:
    """Playwright drives the browser through its own Node.js, for which a small Debian lacks a library."""
    driver = (sys.executable, "-m", "playwright")
    if not starts(*driver) and not (apt.install("libatomic1") and starts(*driver)):
        raise SystemExit(NO_DRIVER)


def find() -> str | None:
    """The best Chromium here that starts."""
    for name in NAMES:
        if (path := shutil.which(name)) and starts(path):
            return path
    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if starts(path) else None


def starts(*command: str) -> bool:
    """Can it run at all? Ubuntu's `chromium-browser` may be a stub, and a download may lack libraries."""
    try:
        done = subprocess.run([*command, "--version"], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def install_playwrights_own() -> None:
    print("Downloading Playwright's Chromium", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "playwright", "install", "chromium"]
    subprocess.run(command, stdout=sys.stderr, check=False, timeout=600)


if __name__ == "__main__":
    main()
