# The commands of this project. `make run` and `make test` prepare all that they need; a second time there is nothing to do.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
SOURCES := domain application adapters entrypoints tests docker
FAST := tests/unit tests/architecture tests/integration --ignore-glob '*hostile_values.py'

.DEFAULT_GOAL := help
.PHONY: help install run test test-fast conformance s3-tests tus-tests check audit crash moves format bench bench-compare up-backends down-backends lock clean

help: ## Show this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

install: $(VENV)/.ready ## Install what Drivebay needs to run, into .venv

run: $(VENV)/.ready ## Serve at http://127.0.0.1:8000, data in ./data
	@exec $(BIN)/drivebay serve

test: $(VENV)/.ready-dev ## Run all tests; those that need Docker only where it is
	@$(BIN)/python -m pytest --numprocesses 3 --dist loadscope $(ARGS)

test-fast: $(VENV)/.ready-dev ## Run the tests in FAST that need no Docker, in less than 90 seconds
	@$(BIN)/python -m pytest $(FAST) -m 'not docker' --numprocesses 3 --dist loadscope $(ARGS)

conformance: $(VENV)/.ready-dev ## Run the clients that others wrote, all of them, against servers
	@$(BIN)/python -m pytest tests/conformance --numprocesses 2 --dist loadscope $(ARGS)

s3-tests: $(VENV)/.ready-dev ## Run ceph/s3-tests, unpacked by you: make s3-tests SUITE=../s3-tests STORAGE=ftp
	@$(BIN)/python -m tests.conformance.s3_tests $(or $(SUITE),$(error SUITE is the folder of ceph/s3-tests)) \
	  $(if $(STORAGE),--storage $(STORAGE)) $(ARGS)

tus-tests: $(VENV)/.ready-dev ## Run the suite of tus, unpacked by you: make tus-tests SUITE=../tus-conformance-tests
	@$(BIN)/python -m tests.conformance.tus_tests $(or $(SUITE),$(error SUITE is the folder of the suite)) \
	  $(if $(STORAGE),--storage $(STORAGE)) $(ARGS)

check: $(VENV)/.ready-dev ## Check format, lint, language, types and the layers' imports
	@$(BIN)/ruff format --check --quiet $(SOURCES) || { echo 'Not formatted: make format'; exit 1; }
	@$(BIN)/ruff check --quiet $(SOURCES)
	@$(BIN)/python -m tests.architecture.language
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

audit: $(VENV)/.ready-dev ## Ask for known vulnerabilities of what is installed, which needs network
	@$(BIN)/python -m tests.audit

crash: $(VENV)/.ready-dev ## Kill servers at each step, and at random: make crash BACKEND=fs KILLS=10
	@$(BIN)/python -m tests.crash $(if $(BACKEND),--backend $(BACKEND)) $(if $(KILLS),--kills $(KILLS)) $(ARGS)

moves: $(VENV)/.ready-dev ## Move 10,000 blobs through all storages, while commands are killed: make moves ARGS="--blobs 200"
	@$(BIN)/python -m tests.verify.moving $(ARGS)

format: $(VENV)/.ready-dev ## Format the code, and mend what the linter can
	@$(BIN)/ruff check --fix --quiet $(SOURCES) || true
	@$(BIN)/ruff format --quiet $(SOURCES)

bench: $(VENV)/.ready-dev ## Measure speed and memory, all or the parts in ARGS, and check the bounds
	@$(BIN)/python -m tests.benchmarks $(ARGS)

bench-compare: $(VENV)/.ready-dev ## Compare two results, files or revisions: make bench-compare A=v1 B=bench.json
	@$(BIN)/python -m tests.benchmarks.compare $(or $(A),HEAD) $(or $(B),tests/benchmarks/results/latest.json)

up-backends: $(VENV)/.ready-dev ## Start PostgreSQL, S3 and FTP in containers, empty, and print their settings
	@$(BIN)/python -m tests.backends up

down-backends: $(VENV)/.ready-dev ## Remove these containers and all that is in them
	@$(BIN)/python -m tests.backends down

lock: $(VENV)/.ready-dev ## Write the lock files, with the newest versions allowed
	@$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-annotate \
	  --custom-compile-command 'make lock' --python-version 3.11 --group build pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-annotate \
	  --custom-compile-command 'make lock' --python-version 3.11 --group build --group dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	@for clients in tests/conformance/clients/*.in; do \
	  $(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-annotate \
	  --custom-compile-command 'make lock' --python-version 3.11 $$clients -o $${clients%.in}.lock || exit 1; done
	@for clients in tests/conformance/clients/*/package.json; do rm -f $${clients%.json}-lock.json; \
	  (cd $${clients%package.json} && npm install --silent --package-lock-only --omit-lockfile-registry-resolved) || exit 1; done

clean: ## Remove what was installed and built, not the data
	@rm -rf $(VENV) .venv-clients dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(VENV)/.ready: requirements.lock pyproject.toml
	@echo 'Installing what Drivebay needs into $(VENV), from requirements.lock ...'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.ready-dev: requirements-dev.lock $(VENV)/.ready
	@echo 'Installing what the tests need into $(VENV), from requirements-dev.lock ...'
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@
