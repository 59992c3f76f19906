#!/bin/sh
# Resolve pyproject.toml into requirements/, with hashes and without naming a package registry. The emulator lives in this
# repository: its own requirements are locked with the others, itself is not, since setup.py installs it by its path.
#   dev.txt   everything, for tests and checks      demo.txt   what the example shop needs, at the same versions
#   uv.txt    uv itself, for machines without it    mutants.txt   the tool of `make mutants`, for an environment of its own
# `make lock` keeps the versions that are there; `make lock LOCK_ARGS=--upgrade` takes newer ones.
set -eu
cd "$(dirname "$0")/.."
uv=$(command -v uv || echo .venv/bin/uv)

compile() {
    UV_CUSTOM_COMPILE_COMMAND="make lock" "$uv" pip compile --quiet --universal --generate-hashes \
        --python-version 3.11 --no-emit-package stripe-emulator ${LOCK_ARGS:-} "$@"
}

compile pyproject.toml --all-extras --group dev -o requirements/dev.txt
compile pyproject.toml --extra emulator --extra celery --extra pdf --extra xlsx --constraint requirements/dev.txt -o requirements/demo.txt
compile requirements/uv.in -o requirements/uv.txt
compile requirements/mutants.in -o requirements/mutants.txt
