#!/bin/sh
# Run each benchmarks/bench_*.py in turn.
set -eu
cd "$(dirname "$0")/.."

found=no
for file in benchmarks/bench_*.py; do
    [ -e "$file" ] || continue
    found=yes
    echo "== $file"
    .venv/bin/python "$file"
done
if [ $found = no ]; then
    echo "make bench: there is no benchmarks/bench_*.py yet." >&2
    exit 1
fi
