"""Install Debian packages where that is possible without asking anybody."""

import os
import shutil
import subprocess
import sys


def install(*packages: str) -> bool:
    """Install `packages` by apt-get, as root or with a sudo that asks nothing. False when it cannot."""
    prefix = _as_root()
    if shutil.which("apt-get") is None or prefix is None:
        return False
    apt = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-o", "DPkg::Lock::Timeout=300"]
    print(f"Installing {' '.join(packages)} with apt-get", file=sys.stderr, flush=True)
    # One unreachable source makes `update` fail although the others would do: its status decides nothing.
    subprocess.run([*apt, "update"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    # Callers read our standard output (chromium.py prints a path there); apt's words go to standard error.
    done = subprocess.run([*apt, "install", "-y", "--no-install-recommends", *packages], stdout=sys.stderr, check=False)
    return done.returncode == 0


def _as_root() -> list[str] | None:
    """The words to put before a command to run it as root; None when we cannot."""
    if os.geteuid() == 0:
        return []
    sudo = ["sudo", "-n"]
    if shutil.which("sudo") and subprocess.run([*sudo, "true"], capture_output=True, check=False).returncode == 0:
        return sudo
    return None
