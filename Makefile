SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
DIST := dist
BIN := $(VENV)/bin
# uv then trusts what pip trusts, such as the certificate of a company's proxy.
export UV_SYSTEM_CERTS := 1
SOURCES := dags plugins include tests bench mkdocs_hook.py
SCRIPTS = .ci/run $$(find deploy tests -name '*.sh')

.PHONY: help demo run pictures env pin up down test test-compose lint docs bench tables dist lock clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(VENV)/.installed: requirements.txt pyproject.toml include/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null || \
	  { echo "Python 3.11, 3.12 or 3.13 is needed; $(PYTHON) says: $$($(PYTHON) --version 2>&1 | head -1)" >&2; \
	    echo "Name another one: make $(or $(MAKECMDGOALS),run) PYTHON=/path/to/python3.12" >&2; exit 1; }
	@echo "Creating $(VENV): Airflow and everything it needs, from the hash-locked requirements.txt"
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV) || \
	  { echo "python3 -m venv failed. On Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --require-hashes -r requirements.txt \
	  | sed -u -n 's/^Collecting \([^ ]*\).*/  \1/p; s/^Installing collected packages.*/  installing them all, a minute at most/p' || \
	  { echo "The packages could not be installed; pip says why above. Without a direct way to a package index, set" >&2; \
	    echo "HTTPS_PROXY or PIP_INDEX_URL. The same command goes on from here." >&2; exit 1; }
	@for part in . include; do \
	  $(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --editable $$part || exit; done
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	@echo "Adding the development tools"
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements-dev.txt
	@touch $@

demo: $(VENV)/.installed  ## Show sync, failover, re-protect and failback of a stand-in pair in a real Airflow
	@$(BIN)/python -m denodo_demo demo

run: $(VENV)/.installed  ## Run Airflow and a stand-in pair until Ctrl-C, with a guided tour
	@$(BIN)/python -m denodo_demo run

pictures: $(VENV)/.installed-dev  ## Take the pictures of README and docs again, from a run of the demo in Chromium
	@$(BIN)/python -m denodo_demo pictures

env:  ## Write settings and fresh secrets for the containers
	@sh deploy/compose/env.sh

pin:  ## Pull the images of the containers, and write their digests to .env
	@sh deploy/compose/pin.sh

up:  ## Start Airflow in containers, with a stand-in pair by default; BUILD=--no-build takes the image that IMAGE names
	@docker compose up $(or $(BUILD),--build) --detach --wait
	@echo "Airflow is at http://$$(docker compose port api-server 8080) (user admin, password: in secrets/admin_password)"

down:  ## Stop the containers and keep their volumes
	@docker compose --profile '*' down

test: $(VENV)/.installed-dev  ## Run all tests, or some: make test ARGS="tests/unit -k cron"
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

test-compose: $(VENV)/.installed-dev  ## Test the containers; installs Docker as root on Debian where there is none
	@bash tests/compose/run.sh $(ARGS)

lint: $(VENV)/.installed-dev  ## Run ruff (with Airflow's rules), mypy --strict, codespell, proselint and shellcheck
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/mypy
	@$(BIN)/codespell . .ci/run
	@$(BIN)/proselint check docs/*.md *.md
	@if [[ -x $(BIN)/shellcheck ]]; then $(BIN)/shellcheck $(SCRIPTS); \
	  else echo "No shellcheck: there is no wheel of it for this machine"; fi

docs: $(VENV)/.installed-dev  ## Build the documentation as a site, site/index.html; every warning is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(VENV)/.installed-dev  ## Measure, print a table and write bench/results/bench.json
	@$(BIN)/python -m bench $(ARGS)

tables: $(VENV)/.installed  ## Generate the pages, the template of pairs.yaml and its schema that come from the code
	@$(BIN)/python -m denodo_ha.reference .

dist: $(VENV)/.installed-dev  ## Build the wheels and source distributions into dist/, always the same files for a commit
	@rm -f $(DIST)/*.whl $(DIST)/*.tar.gz
	@from=.; epoch=1767225600; copy=$$(mktemp -d); trap 'rm -rf "$$copy"' EXIT; \
	if [ -e .git ]; then \
	  from=$$copy; epoch=$$(git log -1 --format=%ct) || exit; \
	  git ls-files -z | tar --create --null --files-from - --ignore-failed-read 2> /dev/null | tar -x -C "$$copy" || exit; \
	  git status --porcelain | sed -n 's/^?? /Not in git, and so in no distribution: /p'; \
	fi; \
	export SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$epoch}; \
	for folder in . include; do \
	  $(BIN)/uv build --quiet --python $(BIN)/python --out-dir $(DIST) "$$from/$$folder" || exit; \
	done
	@ls -1 $(DIST)

lock: $(VENV)/.installed-dev  ## Resolve requirements.in, requirements-dev.in and requirements-image.in again
	@$(BIN)/uv pip compile requirements.in --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links -q -o requirements.txt
	@$(BIN)/uv pip compile requirements-dev.in --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-strip-extras -q -o requirements-dev.txt
	@$(BIN)/uv pip compile requirements-image.in --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links -q -o requirements-image.txt

clean:  ## Remove the virtual environment, the state of make run, what was built, and all caches
	@rm -rf $(VENV) .run dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
