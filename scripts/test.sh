#!/bin/sh
# All tests: first everything that SQLite can show, then on PostgreSQL what is marked for it and the services that move money.
# Both parts always run. PYTEST_ARGS is added to both (shell quoting in it works).
set -u
cd "$(dirname "$0")/.."
python=.venv/bin/python

CHROMIUM=$($python scripts/chromium.py) || exit 1
export CHROMIUM
# Stripe's Node SDK drives the emulator too; without a Node.js on this machine, take the one that came by pip.
export PATH="$PATH:$PWD/.venv/bin"
# npm trusts only its own certificates unless told; pip, git and (see setup.py) uv trust this machine's.
if [ -z "${NODE_EXTRA_CA_CERTS:-}" ] && [ -f /etc/ssl/certs/ca-certificates.crt ]; then
    export NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
fi

# Where Python may not keep what it compiled, each process compiles every test and rewrites its asserts again: half a minute.
unset PYTHONDONTWRITEBYTECODE

# Each process of the suite writes the requests that it sent to Stripe into a file of this folder.
if [ -n "${CHECKOUT_REQUEST_LOG:-}" ]; then mkdir -p "$CHECKOUT_REQUEST_LOG"; fi

# The tests take very unequal times, so a worker that has nothing left takes over some of another's.
spread="-n ${PYTEST_WORKERS:-logical} --maxprocesses 8 --dist worksteal"
eval "set -- ${PYTEST_ARGS:-}"

echo "== SQLite"
$python -m tests.redis_server -- $python -m pytest -m "not postgres" $spread "$@"
sqlite=$?

echo "== PostgreSQL"
DJANGO_SETTINGS_MODULE=tests.settings_postgres \
    $python -m tests.redis_server -- $python -m tests.postgres_server -- \
    $python -m pytest -p tests.only_on_postgres $spread "$@"
postgres=$?

# 5 = "no tests ran". When a choice was passed in, it may well leave one of the two parts empty, but not both.
if [ $# -gt 0 ]; then
    if [ $sqlite -eq 5 ] && [ $postgres -ne 5 ]; then sqlite=0; fi
    if [ $postgres -eq 5 ] && [ $sqlite -ne 5 ]; then postgres=0; fi
fi
if [ $sqlite -ne 0 ]; then
    echo "make test: the part on SQLite failed (pytest's exit status was $sqlite); see above." >&2
    exit "$sqlite"
fi
exit "$postgres"
