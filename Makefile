# Everything runs in .venv, which `make setup` fills from requirements.lock.
# Another interpreter: make setup PYTHON=/path/to/python3.12

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.forebay-setup
EXTRAS := bench,dev,docs,example,grpc,local

PYTHON ?=
PYTEST_ARGS ?=
TEST_PROCESSES ?= 2
BENCHMARKS ?= stream
SEEDS ?= 20
FROM ?= 1
JOBS ?= 1

# The first of these that runs and is new enough; 3.11 is the version the lock file is tested on.
define find_python
for candidate in $(or $(PYTHON),python3.11 python3.12 python3.13 python3 python); do \
    if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
        python=$$candidate; break; \
    fi; \
done; \
if [ -z "$${python:-}" ]; then \
    echo "Forebay needs Python 3.11 or newer: none of '$(or $(PYTHON),python3.11 python3.12 python3.13 python3 python)' is." >&2; \
    echo "Install one, or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; \
    exit 1; \
fi
endef

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: setup
setup: $(STAMP) ## Make .venv with the locked dependencies and this project
	@:

$(STAMP): requirements.lock pyproject.toml
	@$(find_python); \
	$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	    echo "Making $(VENV) with $$("$$python" --version) ..."; \
	    "$$python" -m venv --clear $(VENV) || { \
	        echo "Python could not make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; \
	        exit 1; \
	    }; \
	}
	@echo "Installing the locked dependencies, about a minute and a half the first time ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: demo
demo: setup ## Replay a day of flights through the whole stack and check the predictions
	$(BIN)/python -m examples.flights.demo

.PHONY: test
test: lint ## Lint, then run every test (those on real Kafka where Docker, or Java and Maven, are)
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadscope --no-loadscope-reorder $(PYTEST_ARGS)

.PHONY: lint
lint: setup ## Style, formatting, strict types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict forebay benchmarks examples
	$(BIN)/lint-imports

.PHONY: bench
bench: setup ## Run the benchmarks (BENCHMARKS="stream ..." chooses); results in benchmarks/results
	for name in $(BENCHMARKS); do $(BIN)/python -m "benchmarks.$$name"; done

.PHONY: faults
faults: setup ## Random faults on real processes, Kafka and store (SEEDS=20 FROM=1 JOBS=1)
	$(BIN)/python -m tests.faults --seeds $(SEEDS) --from $(FROM) --jobs $(JOBS)

.PHONY: faults-scoring
faults-scoring: SEEDS = 40
faults-scoring: setup ## Random faults on scoring, on a busy machine (SEEDS=40 FROM=1 JOBS=1)
	$(BIN)/python -m tests.faults.scoring --seeds $(SEEDS) --from $(FROM) --jobs $(JOBS)

.PHONY: docs
docs: setup ## Build the documentation site in build/site; a broken link fails
	$(BIN)/zensical build --strict
	@echo "To read it: python -m http.server --bind 127.0.0.1 --directory build/site"

.PHONY: reference
reference: setup ## Write the pages that are made from the code and from the decisions
	mkdir -p build
	for page in reference architecture decisions; do \
	    $(BIN)/python -m forebay.reference $$page > build/$$page.md; \
	done
	mv build/reference.md build/architecture.md docs/
	mv build/decisions.md docs/decisions/index.md

.PHONY: lock
lock: ## Resolve the newest allowed versions and write requirements.lock
	@$(find_python); "$$python" -m venv --clear build/lock
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check ".[$(EXTRAS)]"
	{ \
	    echo "# Exact versions of everything, for all extras. Made by: make lock"; \
	    build/lock/bin/python -m pip freeze --all --exclude pip --exclude forebay | LC_ALL=C sort -f; \
	} > build/requirements.lock
	mv build/requirements.lock requirements.lock
	rm -rf build/lock

.PHONY: clean
clean: ## Remove what the commands made, except .venv and trained models
	rm -rf build dist *.egg-info .demo .forebay .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
