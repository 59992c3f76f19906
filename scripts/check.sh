#!/bin/sh
# Everything that can be checked without running the program. All steps run, so that one visit shows all complaints.
set -u
cd "$(dirname "$0")/.."
failed=""

step() {
    echo "== $*"
    "$@" || failed="$failed
  $*"
}

bin=.venv/bin
step $bin/ruff check .
step $bin/ruff format --check .
step $bin/mypy
step $bin/python manage.py makemigrations --check --dry-run
step env DJANGO_SETTINGS_MODULE=example_checkout.settings_production \
    $bin/python manage.py check --deploy --fail-level WARNING
step $bin/python scripts/check_docs.py

if [ -n "$failed" ]; then
    echo "make check failed in:$failed" >&2
    exit 1
fi
echo "make check: all is well."
