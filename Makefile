# Driftless. `make` alone lists what can be done.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:
MAKEFLAGS += --no-print-directory

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/driftless
# Outside the checkout: a fresh clone starts warm, and nothing large lies beside the sources.
export CARGO_TARGET_DIR ?= $(CACHE)/target
export PATH := $(CACHE)/tools/bin:$(PATH)
export PYTHONDONTWRITEBYTECODE := 1
export SAM_CLI_TELEMETRY := 0
VENV := $(or $(DRIFTLESS_VENV),$(CACHE)/venv)
PYTHON := $(or $(shell command -v python3),python3)
CLOUD := $(PYTHON) infra/local/cloud.py

FUNCTIONS := ingest planner janitor connector
FUNCTION_PACKAGES := $(FUNCTIONS:%=-p driftless-fn-%)
# The bench is a program that is measured, in a profile of its own: its dependencies are not built for the tests.
TESTED := --workspace --exclude driftless-bench

.PHONY: help demo test lint lint-rust lint-templates lint-deny unit conformance bench bench-planning bench-micro functions e2e build fmt tools local-up local-down

help: ## This list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-16s %s\n", $$1, $$2 }'
	echo
	echo "  make demo DATA='a.parquet b.parquet' KEY=column   the same with your own snapshots, oldest first"

demo: tools functions ## The whole product on the local cloud: snapshots in, a remote list kept equal, compared at the end
	@$(PYTHON) infra/local/demo.py $(if $(DATA),--key '$(KEY)' $(DATA))

test: ## Everything that must hold before a change is merged
	@step() { echo; echo "== [$$1/8] $$2"; }
	started=$$(date +%s)
	step 1 "tools: the Python environment of the local cloud and the lints"; $(MAKE) tools
	step 2 "format"; cargo fmt --all --check
	step 3 "templates: cfn-lint, sam validate"; $(MAKE) lint-templates
	step 4 "clippy: warnings are errors"; $(MAKE) lint-rust
	step 5 "unit, property, simulation, conformance and template tests"; $(MAKE) conformance
	step 6 "functions: built for the local cloud"; $(MAKE) functions
	step 7 "end to end, on the deployed templates"; $(MAKE) e2e
	step 8 "the demo, as a new user runs it"; $(MAKE) demo
	echo "== all passed in $$(( ($$(date +%s) - started) / 60 )) min"

lint: tools ## Format, clippy, templates, and cargo-deny where it is installed
	@cargo fmt --all --check
	$(MAKE) lint-rust lint-templates
	if cargo deny --version >/dev/null 2>&1; then $(MAKE) lint-deny; else echo "cargo-deny is not installed; make lint-deny installs it"; fi

lint-rust:
	@cargo clippy --locked --workspace --all-targets --all-features -- -D warnings

lint-templates: tools
	@$(VENV)/bin/cfn-lint template.yaml infra/*.yaml
	for template in template.yaml infra/connector.yaml; do $(VENV)/bin/sam validate --lint --region us-east-1 --template-file $$template; done

lint-deny: ## Licences, advisories, sources and bans of the dependencies
	@if ! cargo deny --version >/dev/null 2>&1; then cargo install cargo-deny --locked --root $(CACHE)/tools; fi
	cargo deny --workspace check

unit: tools ## Unit, property, simulation and template tests, without any service
	@DRIFTLESS_VENV="$(VENV)" cargo test --locked $(TESTED)

conformance: tools ## The same, with the stores also on the emulated AWS and the SCIM connector on scim2-server
	@cloud="$(CLOUD) --state .local/unit"
	$$cloud down
	trap "$$cloud down" EXIT
	$$cloud up
	export DRIFTLESS_TEST_ENDPOINT=$$($$cloud env | sed -n 's/^export AWS_ENDPOINT_URL=//p')
	export DRIFTLESS_SCIM2_SERVER="$(VENV)/bin/scim2-server"
	DRIFTLESS_VENV="$(VENV)" cargo test --locked $(TESTED)

bench: tools ## The diff beside DuckDB and Polars (FULL=1: 50 M records too; CASES='1m-1'; SWEEP=1; REPEAT=5; DOCS=1)
	@cargo build --locked --profile bench -p driftless-bench
	binary="$(CARGO_TARGET_DIR)/release/driftless-bench"
	$(VENV)/bin/python benches/bench.py --binary "$$binary" --cache "$(CACHE)/bench" $(if $(REPEAT),--repeat $(REPEAT)) \
		$(if $(FULL),--full) $(if $(SWEEP),--sweep) $(if $(DOCS),--docs) $(CASES)

bench-planning: tools ## What planning and committing take: first loads, small changes of long lists (CASES='first-1m')
	@cargo build --locked --profile bench -p driftless-bench --features functions --bin driftless-planning
	$(VENV)/bin/python benches/planning.py --binary "$(CARGO_TARGET_DIR)/release/driftless-planning" --cache "$(CACHE)/bench" $(CASES)

bench-micro: ## Micro-benchmarks of its parts: hash, sort, merge, aggregate, fold
	@cargo bench --locked -p driftless-bench

e2e: tools ## End to end on the local cloud (after `make functions`)
	@$(PYTHON) tests/e2e/run.py

functions: ## The four functions and the driftless command for this machine, in .build/lambda
	@echo "building the functions and the driftless command"
	# What the tests are built from: one selection of features, so that nothing is compiled twice.
	cargo build --locked $(TESTED) --bins --tests
	for function in $(FUNCTIONS); do
		mkdir -p .build/lambda/$$function
		target=.build/lambda/$$function/bootstrap
		cp "$(CARGO_TARGET_DIR)/debug/$$function" $$target.new
		# Without the debug information a deployment uploads a tenth.
		strip --strip-debug $$target.new 2>/dev/null || true
		mv $$target.new $$target
	done

build: tools ## The four functions for AWS: release, arm64, in .build/lambda (then: sam deploy)
	@export PATH="$(VENV)/bin:$$PATH"
	cargo lambda build --locked --release --arm64 $(FUNCTION_PACKAGES) --lambda-dir "$(CARGO_TARGET_DIR)/lambda"
	for function in $(FUNCTIONS); do
		mkdir -p .build/lambda/$$function
		cp "$(CARGO_TARGET_DIR)/lambda/$$function/bootstrap" .build/lambda/$$function/bootstrap
	done
	ls -l .build/lambda/*/bootstrap

fmt: ## Format everything
	@cargo fmt --all

tools: ## The Python tools, pinned, in a virtual environment outside the checkout
	@$(PYTHON) infra/local/toolbox.py

local-up: tools functions ## Start the local cloud and deploy the templates on it (DESTINATIONS='a b')
	@$(CLOUD) up
	$(CLOUD) deploy $(addprefix --destination ,$(DESTINATIONS)) || { $(CLOUD) down; exit 1; }
	echo 'eval "$$(python3 infra/local/cloud.py env)" points the AWS tools and driftless at it; make local-down stops it'

local-down: ## Stop the local cloud
	@$(CLOUD) down
