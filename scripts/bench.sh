#!/bin/sh
# Run each benchmarks/*.py in turn (names that begin with _ are helpers).
set -eu
cd "$(dirname "$0")/.."

found=no
for file in benchmarks/[!_]*.py; do
    [ -e "$file" ] || continue
    found=yes
    echo "== $file"
    .venv/bin/python "$file"
done
if [ $found = no ]; then
    echo "make bench: there is no benchmark in benchmarks/ yet." >&2
    exit 1
fi
