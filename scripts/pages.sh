#!/bin/sh
# Every page of the office in a browser (or one of PART): what axe finds, what sticks out on a phone, what the policy stops.
set -eu
cd "$(dirname "$0")/.."
CHROMIUM=$(.venv/bin/python scripts/chromium.py)
export CHROMIUM
PAGES_PART=${PART:-1} .venv/bin/python -m pytest tests/browser/test_office_pages.py -q -n 2 -o faulthandler_timeout=0 ${PYTEST_ARGS:-}
