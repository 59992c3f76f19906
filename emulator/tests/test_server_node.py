"""Stripe's official Node SDK against the running server: the emulator speaks no Python dialect."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stripe_emulator import API_VERSION

HERE = Path(__file__).parent / "node"
PACKAGES = Path(__file__).parents[1] / "var" / "node"


def install() -> None:
    """Fetch the pinned SDK with npm, unless the same package.json was installed before."""
    PACKAGES.mkdir(parents=True, exist_ok=True)
    wanted = (HERE / "package.json").read_text()
    done = PACKAGES / "installed.json"
    with (PACKAGES / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if done.exists() and done.read_text() == wanted:
            return
        shutil.copy(HERE / "package.json", PACKAGES)
        command = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund"]
        result = subprocess.run(command, cwd=PACKAGES, capture_output=True, text=True, timeout=300)
        if result.returncode != 0:
            pytest.fail(f"npm could not install Stripe's Node SDK: {result.stderr[-2000:]}", pytrace=False)
        done.write_text(wanted)


@pytest.mark.node
@pytest.mark.parametrize("version", [API_VERSION, "2026-08-26.dahlia", "2026-02-25.clover"])
def test_the_node_sdk_finds_stripe_here(served: str, version: str) -> None:
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.fail(
                f"{program} is not installed, and this test drives the emulator with Stripe's Node SDK. "
                "Install Node.js 20 or later, or leave it out with -m 'not node'.",
                pytrace=False,
            )
    install()
    result = subprocess.run(
        ["node", str(HERE / "drive.mjs"), served, version],
        env={**os.environ, "NODE_PACKAGES": str(PACKAGES)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    sys.stdout.write(result.stdout)
    assert result.returncode == 0, result.stdout + result.stderr
    assert sum(line.startswith("ok ") for line in result.stdout.splitlines()) == 8
