"""What postgres_server.py and redis_server.py share: run a command while a server is up."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager


def run_beside(variable: str, server: Callable[[], AbstractContextManager[str]], arguments: list[str]) -> int:
    """Run the command after `--` with `variable` naming a server; start one unless the variable already does.

    Returns the command's exit status. Started outside pytest, it is shared by all pytest-xdist workers.
    """
    if arguments[:1] != ["--"] or len(arguments) < 2:
        print(f"usage: python -m {server.__module__} -- COMMAND …", file=sys.stderr)
        return 2
    command = arguments[1:]
    if os.environ.get(variable):
        return _run(command, os.environ.copy())
    with server() as url:
        return _run(command, {**os.environ, variable: url})


def _run(command: list[str], env: dict[str, str]) -> int:
    # `kill` must not leave a server behind: end by an exception, so that everything on the way out is done.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with subprocess.Popen(command, env=env) as child:
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:
                # Ctrl-C reached the child as well: let it finish its own way, then stop the server.
                continue
            except SystemExit:
                child.terminate()
                raise
