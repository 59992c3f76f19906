#!/bin/sh
# Odd requests to every address, from a seed, first on SQLite, then on PostgreSQL; each part prints its size.
set -eu
cd "$(dirname "$0")/.."
python=.venv/bin/python
STORM_REQUESTS=${REQUESTS:-20000}
STORM_SEED=${SEED:-12}
export STORM_REQUESTS STORM_SEED

$python -m pytest tests/fuzz -q -s --show-capture=no --tb=short -o faulthandler_timeout=0
DJANGO_SETTINGS_MODULE=tests.settings_postgres \
    $python -m tests.postgres_server -- $python -m pytest tests/fuzz -q -s --show-capture=no --tb=short -o faulthandler_timeout=0
