#!/bin/sh
# Everything that can be checked without running the program. All steps run, so that one visit shows all complaints.
set -u
cd "$(dirname "$0")/.."
failed=""

step() {
    name=$1
    shift
    echo "== $name"
    "$@" || failed="$failed
  $name"
}

bin=.venv/bin
step "ruff check" $bin/ruff check .
step "ruff format --check" $bin/ruff format --check .
step mypy $bin/mypy
step "templates" $bin/djlint --lint --quiet src emulator/src example_checkout tests
step "scripts in the browser" $bin/oxlint --deny-warnings .
step "length of lines" $bin/python scripts/check_lines.py
step "bandit" $bin/bandit --quiet --configfile pyproject.toml --recursive src emulator/src example_checkout
step "text that people typed is data" $bin/python scripts/check_text.py
mkdir -p var  # where the example keeps its database, which makemigrations looks into
step "makemigrations --check" $bin/python manage.py makemigrations --check --dry-run
# Production settings take secrets from the environment; these stand in for them and open nothing.
step "check --deploy" env DJANGO_SETTINGS_MODULE=example_checkout.settings_production \
    SECRET_KEY="$($bin/python -c 'import secrets; print(secrets.token_urlsafe(50))')" \
    STRIPE_SECRET_KEY=sk_test_standin STRIPE_PUBLISH_KEY=pk_test_standin \
    CHECKOUT_WEBHOOK_SECRET=whsec_standin \
    $bin/python manage.py check --deploy --fail-level WARNING
step "translations are up to date" $bin/python scripts/messages.py --check
step "links in the documents" $bin/python scripts/check_docs.py

if [ -n "$failed" ]; then
    echo "make check failed in:$failed" >&2
    exit 1
fi
echo "make check: all is well."
