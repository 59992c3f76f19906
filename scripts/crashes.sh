#!/bin/sh
# Every flow, in a process that is killed at every point, on PostgreSQL; then the sizes of what was proved.
set -eu
sizes=$(mktemp)
trap 'rm -f "$sizes"' EXIT
export DJANGO_SETTINGS_MODULE=tests.settings_postgres
CRASHES="$sizes" .venv/bin/python -m tests.postgres_server -- \
    .venv/bin/python -m pytest tests/proof/test_crashes.py -m postgres -q -n 2 -o faulthandler_timeout=0 ${PYTEST_ARGS:-}
.venv/bin/python -m tests.proof.sizes "$sizes" points kills
