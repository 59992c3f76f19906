"""Break the code in each place of the table, in a copy, and see that a test notices: `python -m tests.mutations.run`.

Prints a table. Exits 1 when a mutation survives, or when the text that it replaces is not there any more.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.mutations.table import MUTATIONS, Mutation

ROOT = Path(__file__).resolve().parent.parent.parent
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "*cache*", "var", "docs", "benchmarks", "node_modules")
SECONDS = 300


@dataclass(frozen=True, slots=True)
class Result:
    """`verdict` is "killed", "SURVIVED", or what went wrong; `by` is the test that noticed."""

    mutation: Mutation
    verdict: str
    by: str
    seconds: float

    @property
    def good(self) -> bool:
        return self.verdict == "killed"


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--only", default="", help="those whose name or file has this text in it")
    options.add_argument("--sample", type=int, default=0, help="so many of them: others at each commit")
    options.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    asked = options.parse_args()
    chosen = [each for each in MUTATIONS if asked.only in each.name or asked.only in each.path]
    if asked.sample:
        chosen = sample(chosen, asked.sample)
    if not chosen:
        print(f"There is no mutation with {asked.only!r} in its name.")
        return 1
    with tempfile.TemporaryDirectory(prefix="checkout-mutations-") as folder:
        trees = [Path(folder) / str(number) for number in range(asked.workers)]
        for tree in trees:
            shutil.copytree(ROOT, tree, ignore=LEFT_OUT)
        free = list(trees)

        def work(mutation: Mutation) -> Result:
            tree = free.pop()
            try:
                return attempt(tree, mutation)
            finally:
                free.append(tree)

        with ThreadPoolExecutor(asked.workers) as pool:
            results = []
            for result in pool.map(work, chosen):
                results.append(result)
                print(
                    f"{result.verdict:10} {result.mutation.rule:2}  {result.mutation.name:75} {result.seconds:5.0f} s  "
                    f"{result.by}",
                    flush=True,
                )
    bad = [result for result in results if not result.good]
    print(f"{len(results)} mutations, {len(results) - len(bad)} killed, {len(bad)} not.")
    return 1 if bad else 0


def sample(mutations: list[Mutation], size: int) -> list[Mutation]:
    """Others at each commit, so that all of them come round."""
    commits = subprocess.run(
        ["git", "rev-list", "--count", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    start = int(commits or 0) * size % len(mutations)
    return (mutations + mutations)[start : start + min(size, len(mutations))]


def attempt(tree: Path, mutation: Mutation) -> Result:
    """Break one copy, run the tests, and mend it again."""
    began = time.monotonic()
    path = tree / "src" / "checkout" / mutation.path
    text = path.read_text()
    if text.count(mutation.old) != 1:
        return Result(mutation, "MOVED", f"{mutation.path} has its text {text.count(mutation.old)} times", 0)
    rewrite(path, text.replace(mutation.old, mutation.new))
    try:
        verdict, by = run_tests(tree, mutation)
    finally:
        rewrite(path, text)
    return Result(mutation, verdict, by, time.monotonic() - began)


def rewrite(path: Path, text: str) -> None:
    """Python takes what it compiled for the file's own if size and second are the same, so that has to go with it."""
    path.write_text(text)
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()


def run_tests(tree: Path, mutation: Mutation) -> tuple[str, str]:
    """The verdict, and the first test that failed."""
    # The postgres server's wrapper and pytest run from the copy, whose folder comes before the installed package.
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *mutation.tests]
    # Each copy keeps what Python compiled there, which takes longer than most of the tests.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    if mutation.postgres:
        servers = ["tests.redis_server", "tests.postgres_server"]
        command = [part for server in servers for part in (sys.executable, "-m", server, "--")] + command
        environment["DJANGO_SETTINGS_MODULE"] = "tests.settings_postgres"
    else:
        command += ["-m", "not postgres and not redis and not browser and not node"]
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return "killed", "(the tests did not end)"
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED tests", "ERROR tests"))]
    if done.returncode == 1 and failed:
        return "killed", failed[0].split(" - ")[0].removeprefix("FAILED ").rpartition("::")[2][:70]
    if done.returncode == 0:
        return "SURVIVED", ""
    return "BROKEN", (done.stdout + done.stderr).strip().splitlines()[-1][:100] if done.stdout or done.stderr else ""


if __name__ == "__main__":
    sys.exit(main())
