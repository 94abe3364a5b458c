# The one door: every target does its own set-up. Python 3.11 with pip and make are all that a machine needs; uv comes by
# itself, pinned by hash. Nothing is done twice while the lock files in requirements/ stay as they are.
.DEFAULT_GOAL := help
.PHONY: help run test check bench format lock setup setup-dev servers
.DELETE_ON_ERROR:

PYTHON ?= python3
# uv trusts the certificates that pip trusts, else those of the system, else its own.
export SSL_CERT_FILE ?= $(or $(PIP_CERT),$(wildcard /etc/ssl/certs/ca-certificates.crt))
ifeq ($(SSL_CERT_FILE),)
unexport SSL_CERT_FILE
endif
# Programs start several times faster from compiled modules: what is installed is compiled then, the rest when first used.
unexport PYTHONDONTWRITEBYTECODE
BIN := .venv/bin
UV := UV_PYTHON_DOWNLOADS=never VIRTUAL_ENV="$(CURDIR)/.venv" .build/uv/bin/uv --no-config --quiet

# A stamp holds the folder it was made in. A .venv that was moved, copied or broken loses its stamps here and is made anew;
# one whose making was interrupted never had them.
$(shell { [ "$$(cat .venv/.made-run)" = "$(CURDIR)" ] && $(BIN)/python -c ''; } 2>/dev/null || rm -f .venv/.made-*)
$(shell .build/uv/bin/uv --version >/dev/null 2>&1 || rm -f .build/uv/.made)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

run: setup ## serve the costs of three sample clusters, or with KUBECOST_API_URL=http://... of a real one; PORT=8080
	@$(BIN)/kubetally demo $(if $(KUBECOST_API_URL),--url '$(KUBECOST_API_URL)') $(if $(PORT),--port '$(PORT)')

test: check servers ## all checks, then all tests
	$(BIN)/pytest --numprocesses logical --maxprocesses 4 --dist worksteal $(ARGS)

check: setup-dev ## lint, format, types, import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup-dev ## the measurements of docs/benchmarks.md, on this machine
	$(BIN)/python -m bench $(ARGS)

format: setup-dev ## rewrite the code in the one format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# An entry that still fits is kept; ARGS=--upgrade takes the newest. The grep keeps addresses and paths out.
LOCK := pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
lock: .build/uv/.made ## rebuild the lock files from pyproject.toml and requirements/uv.in
	$(UV) $(LOCK) $(ARGS) requirements/uv.in --output-file requirements/uv.txt >/dev/null
	$(UV) $(LOCK) $(ARGS) pyproject.toml --extra build --constraint requirements/constraints.in \
	    --output-file requirements/run.txt >/dev/null
	$(UV) $(LOCK) pyproject.toml --extra build --extra dev --extra spark --constraint requirements/run.txt \
	    --output-file requirements/dev.txt >/dev/null
	@! grep -nE '://|--(extra-)?index|--find-links|^/' requirements/*.txt

# Tests start the servers themselves, as users of their own: the packages are kept from starting theirs.
SERVERS := /usr/sbin/mariadbd /usr/bin/mariadb-install-db /usr/lib/postgresql/*/bin/initdb /usr/bin/prometheus \
    /usr/bin/victoria-metrics /usr/bin/java
servers: ## MariaDB, PostgreSQL, Prometheus, VictoriaMetrics and Java for the tests, from the packages of Debian or Ubuntu
	@ls $(SERVERS) >/dev/null 2>&1 || { \
	    command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ] || { \
	        echo "The tests need mariadb-server, postgresql, prometheus, victoria-metrics and Java 17: run \`sudo make servers\`, or install them yourself"; exit 1; }; \
	    echo "Setting up: MariaDB, PostgreSQL, Prometheus, VictoriaMetrics and Java"; \
	    policy=/usr/sbin/policy-rc.d; [ -e $$policy ] || { trap "rm -f $$policy" EXIT; \
	        printf '#!/bin/sh\nexit 101\n' > $$policy; chmod 755 $$policy; }; \
	    export DEBIAN_FRONTEND=noninteractive; apt-get -qq update && \
	    apt-get -qq -y --no-install-recommends install mariadb-server postgresql \
        prometheus victoria-metrics $$(ls /usr/bin/java >/dev/null 2>&1 || echo openjdk-17-jre-headless) >/dev/null; }

setup: .venv/.made-run
	$(install)

setup-dev: .venv/.made-dev
	$(install)

define install
	@[ .venv/.made-install -nt pyproject.toml ] || \
	    { $(UV) pip install --no-build-isolation --no-deps --editable . && touch .venv/.made-install; }
	@$(BIN)/python -m compileall -q src
endef

.build/uv/.made: requirements/uv.txt
	@echo "Setting up: uv"
	@rm -rf .build/uv
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-warn-script-location --root-user-action ignore \
	    --require-hashes --no-deps --target .build/uv -r requirements/uv.txt
	@touch $@

# $(1): the lock file that .venv is made from.
define environment
	@echo "Setting up: .venv from requirements/$(1).txt"
	@rm -f .venv/.made-*
	@$(UV) venv --clear --no-project --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv
	@$(UV) pip install --require-hashes --no-deps --compile-bytecode -r requirements/$(1).txt
endef

.venv/.made-run: requirements/run.txt .build/uv/.made
	$(call environment,run)
	@echo "$(CURDIR)" > $@

# What `make test` needs holds all that `make run` needs, at the same versions.
.venv/.made-dev: requirements/dev.txt .build/uv/.made
	$(call environment,dev)
	@echo "$(CURDIR)" > .venv/.made-run
	@echo "$(CURDIR)" > $@
