# Everything runs in .venv, made from requirements.lock at the first need. `make help` lists what there is.

PYTHON ?= python3
WORKERS ?= 2
BIN := .venv/bin
INSTALLED := .venv/installed
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help install demo test test-slow lint format campaign bench lock clean programs
.DEFAULT_GOAL := help

help:
	@echo "make demo      a made-up hospital export through the whole graph, on local servers (4 minutes)"
	@echo "make test      all tests (10 minutes on 2 cores)"
	@echo "make test-slow the tests that take minutes each: the demo, kills, signals, faults, Slurm"
	@echo "make lint      ruff, snakefmt, snakemake --lint, mypy"
	@echo "make format    have the formatters rewrite the code"
	@echo "make campaign  the long tests (hours)"
	@echo "make bench     measurements of speed and memory"
	@echo "make install   the environment alone; the command is then .venv/bin/ecogvault"
	@echo "make lock      bring requirements.lock up to pyproject.toml"
	@echo "make clean     remove the environment, the demo and caches; never results/ or private/"

install: $(INSTALLED)

# --no-compile: what is imported is compiled then; all of it beforehand takes longer than the demo's own work.
$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ecogvault needs Python 3.11 or newer: make PYTHON=...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

# Debian's programs that the tests compare with: command:package.
PROGRAMS := age:age zstd:zstd node:nodejs npm:npm git:git tar:tar unshare:util-linux \
  slurmctld:slurm-wlm munged:munge cc:gcc setpriv:util-linux /usr/bin/aws:awscli openssl:openssl

# And those that the benchmarks run beside ours.
BENCH_PROGRAMS := mkfs.btrfs:btrfs-progs mkfs.xfs:xfsprogs restic:restic borg:borgbackup rclone:rclone

programs:
	@PATH="$$PATH:/usr/sbin:/sbin"; missing=""; \
	for pair in $(PROGRAMS); do \
	  command -v "$${pair%%:*}" >/dev/null || missing="$$missing $${pair##*:}"; \
	done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; \
	else \
	  echo "The tests need programs that are not installed:$$missing"; \
	  echo "Have them installed, on Debian and Ubuntu by: sudo apt-get install$$missing"; exit 1; \
	fi

demo: $(INSTALLED)
	ecogvault sandbox demo --dir demo

test: $(INSTALLED) programs
	python -m pytest -n $(WORKERS) --dist loadgroup -m "not slow" tests/unit tests/stores tests/workflow

test-slow: $(INSTALLED) programs
	python -m pytest -n $(WORKERS) --dist loadgroup -m slow tests/unit tests/stores tests/workflow

lint: $(INSTALLED)
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile rules
	snakemake --lint --configfile config/demo.yaml
	mypy

format: $(INSTALLED)
	ruff check --fix-only .
	ruff format .
	snakefmt Snakefile rules

campaign: $(INSTALLED) programs
	python -m pytest -n $(WORKERS) --dist loadgroup --timeout 7200 tests/campaign

# The shell names the files: pytest by itself looks at test_*.py alone.
bench: PROGRAMS += $(BENCH_PROGRAMS)
bench: $(INSTALLED) programs
	python -m pytest --timeout 3600 -s tests/bench/*.py

lock: $(INSTALLED)
	uv pip compile --quiet --universal --generate-hashes --all-extras --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command "make lock" pyproject.toml -o requirements.lock

clean:
	if [ -f demo/sandbox/sandbox.json ]; then ecogvault sandbox down --dir demo/sandbox; fi
	rm -rf .venv .tools demo build .pytest_cache .mypy_cache .ruff_cache .hypothesis scripts/*.egg-info
	find scripts tests -name __pycache__ -type d -prune -exec rm -rf {} +
