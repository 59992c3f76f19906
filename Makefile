# Every target sets up what it needs by itself; the work is done by the small programs in scripts/.
.DEFAULT_GOAL := help
.PHONY: help setup demo test check mutate mutants quarter soak chaos proof crashes pages stripe fuzz bench messages docs lock clean

PYTHON_IN_VENV := .venv/bin/python
export PART REQUESTS SEED PYTEST_ARGS LOCK_ARGS BENCH BENCH_ARGS DJANGO

help: ## Show this list
	@echo "make TARGET, where TARGET is one of:"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-10s %s\n", $$1, $$2 }'

setup: ## Make .venv with everything a developer needs (PYTHON=... picks the interpreter)
	@sh scripts/setup.sh dev

demo: ## Run the example shop at http://127.0.0.1:8000 (PORT=..., EMULATOR_PORT=...)
	@sh scripts/setup.sh demo
	@exec $(PYTHON_IN_VENV) manage.py demo

test: ## Run all tests, on SQLite and on PostgreSQL (PYTEST_ARGS="-k name -x")
	@sh scripts/setup.sh dev
	@sh scripts/test.sh

check: ## Lint (Python, templates, JavaScript), types, migrations, deployment checks, translations, links
	@sh scripts/setup.sh dev
	@sh scripts/check.sh

mutate: ## Break the code in one place at a time, and see that a test notices (MUTATE_ARGS="--only claim")
	@sh scripts/setup.sh dev
	@$(PYTHON_IN_VENV) -m tests.mutations.run $(MUTATE_ARGS)

mutants: ## Break services/ and gateway/ where a tool says, by lot (SAMPLE=60 SEED=1 ONLY=services/debts MUTANTS_ARGS="--workers 1")
	@sh scripts/setup.sh dev
	@sh scripts/mutants.sh --sample $${SAMPLE:-60} --seed $${SEED:-1} --only "$${ONLY:-}" $(MUTANTS_ARGS)

quarter: ## Live a quarter of 3,000 plans, and see that the books end in zero (PLANS=3000)
	@sh scripts/setup.sh dev
	@BOOKS_PLANS=$${PLANS:-3000} .venv/bin/python -m pytest tests/services/test_books_quarter.py -q -o faulthandler_timeout=0

soak: ## Live a year of 2,000 plans in bad weather, and compare (SEED=1 PLANS=2000 DAYS=365 SOAK_ARGS="--seeds 4 --processes 2")
	@sh scripts/setup.sh dev
	@$(PYTHON_IN_VENV) -m tests.soak.run --seed $${SEED:-1} --plans $${PLANS:-2000} --days $${DAYS:-365} $${SOAK_ARGS:-}

chaos: ## Let anything happen in any order, for long (EXAMPLES=500 stories of STEPS=60; SAME=1: each time the same)
	@sh scripts/setup.sh dev
	@CHAOS_EXAMPLES=$${EXAMPLES:-500} CHAOS_STEPS=$${STEPS:-60} CHAOS_SAME=$${SAME:-} .venv/bin/python -m pytest tests/chaos -q -n 2 -o faulthandler_timeout=0

proof: ## Prove every flow at every call to Stripe in every weather (PART=24: one cell of so many)
	@sh scripts/setup.sh dev
	@sh scripts/proof.sh

crashes: ## Kill every flow at every point, on PostgreSQL, and see that the jobs bring it to its end
	@sh scripts/setup.sh dev
	@sh scripts/crashes.sh

pages: ## Look at every page of the office in a browser, at a desk and on a phone (PART=6: one page of so many)
	@sh scripts/setup.sh dev
	@sh scripts/pages.sh

stripe: ## Play the main flows in Stripe's test mode too, and compare (STRIPE_SECRET_KEY=sk_test_...)
	@sh scripts/setup.sh dev
	@$(PYTHON_IN_VENV) -m tests.stripe_test_mode.run $(STRIPE_ARGS)

fuzz: ## Send odd requests to every address, on SQLite and PostgreSQL (REQUESTS=20000 SEED=12)
	@sh scripts/setup.sh dev
	@sh scripts/fuzz.sh

bench: ## Run the benchmarks, or one of them (BENCH=charging BENCH_ARGS="--count 600")
	@sh scripts/setup.sh dev
	@sh scripts/bench.sh

messages: ## Bring the translations up to date with the code (LANGUAGES="fr it" begins new ones)
	@sh scripts/setup.sh dev
	@$(PYTHON_IN_VENV) scripts/messages.py $(LANGUAGES)

docs: ## Check that links and anchors in the documents lead somewhere
	@sh scripts/setup.sh dev
	@$(PYTHON_IN_VENV) scripts/check_docs.py

lock: ## Resolve pyproject.toml again into requirements/, with hashes
	@sh scripts/setup.sh dev
	@sh scripts/lock.sh

clean: ## Remove everything that make made: .venv, caches, built files, the demo's data
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov build dist var emulator/dist emulator/var
	find . -name .git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
