#!/bin/sh
# Every flow, at every call to Stripe in it, in every weather (or at one cell of PART); then the sizes of what was proved.
set -eu
sizes=$(mktemp)
trap 'rm -f "$sizes"' EXIT
PROOF="$sizes" PROOF_PART=${PART:-1} .venv/bin/python -m pytest tests/proof -m "not postgres" -q -n 2 -o faulthandler_timeout=0 ${PYTEST_ARGS:-}
.venv/bin/python -m tests.proof.sizes "$sizes"
