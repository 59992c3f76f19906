#!/bin/sh
# Put cosmic-ray into an environment of its own, at its locked version, and break the code where it says.
set -eu
locked=requirements/mutants.txt
tool=var/mutants/tool
uv=$(command -v uv || echo .venv/bin/uv)
if ! cmp -s "$locked" "$tool/installed.txt"; then
    "$uv" venv --quiet --clear --python .venv/bin/python "$tool"
    "$uv" pip sync --quiet --python "$tool/bin/python" --require-hashes "$locked"
    cp "$locked" "$tool/installed.txt"
fi
exec .venv/bin/python -m tests.mutations.sampled "$@"
