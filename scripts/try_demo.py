"""Clone the last commit, run `make demo` there as a newcomer would, look at the first page, press Ctrl-C.

In a clone, because .venv here holds the developer's tools too: it would hide that the demo needs one of them.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SET_UP_SECONDS = 300


def main() -> int:
    shop, emulator = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="checkout-demo-") as folder:
        subprocess.run(["git", "clone", "--quiet", str(ROOT), folder], check=True)
        demo = subprocess.Popen(
            ["make", "demo", f"PORT={shop}", f"EMULATOR_PORT={emulator}"], cwd=folder, start_new_session=True
        )
        try:
            page = wait_for(f"http://127.0.0.1:{shop}/", demo)
        finally:
            # As a terminal does it: to make, the shop and the emulator alike.
            if demo.poll() is None:
                os.killpg(demo.pid, signal.SIGINT)
            try:
                demo.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(demo.pid, signal.SIGKILL)
                raise
    if page is None:
        print("make demo did not get as far as its first page.", file=sys.stderr)
        return 1
    left = [port for port in (shop, emulator) if answers(port)]
    if left:
        print(f"Ctrl-C did not stop everything: something still listens on {left}.", file=sys.stderr)
        return 1
    print("make demo works in a fresh clone, and Ctrl-C stops it.")
    return 0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(url: str, demo: subprocess.Popen[bytes]) -> bytes | None:
    """The page, once it is there; None when the demo ended first or took too long."""
    deadline = time.monotonic() + SET_UP_SECONDS
    while demo.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return bytes(answer.read())
        except OSError:
            time.sleep(0.5)
    return None


def answers(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    # A shell without job control starts background commands with Ctrl-C switched off; the demo must not inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
