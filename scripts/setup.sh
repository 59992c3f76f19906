#!/bin/sh
# Find a Python >= 3.11 and let it run setup.py: `sh scripts/setup.sh demo|dev`.
set -eu
cd "$(dirname "$0")/.."

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

if [ -n "${PYTHON:-}" ]; then
    candidates=$PYTHON
else
    # .venv first: once it is there, nothing else needs to be looked for.
    candidates=".venv/bin/python python3 python3.13 python3.12 python3.11"
fi
for candidate in $candidates; do
    if new_enough "$candidate"; then
        exec "$candidate" scripts/setup.py "$@"
    fi
done

echo "setup: no Python 3.11 or later was found (tried: $candidates)." >&2
echo "       Install one (Debian 12, Ubuntu 24.04 and later: apt-get install python3 python3-venv)," >&2
echo "       or name it: make setup PYTHON=/path/to/python3.12" >&2
exit 1
