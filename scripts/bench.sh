#!/bin/sh
# Run each benchmarks/*.py in turn (names that begin with _ are helpers), or the one that BENCH names, with BENCH_ARGS.
# A throw-away PostgreSQL and Redis run beside each, unless DATABASE_URL and REDIS_URL name others.
set -eu
cd "$(dirname "$0")/.."
python=.venv/bin/python
eval "set -- ${BENCH_ARGS:-}"

for file in benchmarks/${BENCH:-[!_]*}.py; do
    name=$(basename "$file" .py)
    if [ ! -f "$file" ]; then
        echo "make bench: there is no benchmark called $name in benchmarks/." >&2
        exit 1
    fi
    echo "== $name"
    $python -m tests.redis_server -- $python -m tests.postgres_server -- $python -m "benchmarks.$name" "$@"
done
