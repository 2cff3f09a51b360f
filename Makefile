# The commands of this project. `make` or `make help` lists them.
.DEFAULT_GOAL := help
CARGO ?= cargo
# rustup's own place, for a shell that has not read its profile since `make setup`.
export PATH := $(HOME)/.cargo/bin:$(PATH)

.PHONY: help setup build demo check fuzz chaos upgrade load dist-check bench clean

help: ## Show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: ## Install what building, testing and running need (says what; quick when all is there)
	@scripts/setup.sh

build: setup ## Build target/release/pyro
	@$(CARGO) build --release --locked

demo: build ## Pull debian:12 and run git --version in a guest
	@target/release/pyro env pull debian:12
	@target/release/pyro run debian:12 -- git --version

check: setup ## Format, lints, the house law, and every test, with their counts
	@$(CARGO) xtask check

fuzz: setup ## Feed everything that reads what others wrote (SECONDS=35 for each target)
	@$(CARGO) xtask fuzz $(or $(SECONDS),35)

chaos: build ## Kill, stop and starve everything while clients work (SCENARIOS=500 SEED=now)
	@$(CARGO) xtask chaos $(or $(SCENARIOS),500) $(SEED)

upgrade: build ## Run this release and the one before it on one data home (PREVIOUS=path/to/pyro)
	@$(CARGO) xtask upgrade $(PREVIOUS)

load: build ## Fifty tasks at once for ten minutes, and 500 runs (MINUTES=10)
	@$(CARGO) xtask load $(or $(MINUTES),10)

dist-check: build ## Install the release build into an empty place and run a guest from there
	@scripts/dist-check.sh

bench: build ## Measure, as ratios with their spread, into docs/performance.md
	@scripts/setup.sh --bench
	@$(CARGO) run --quiet --release --locked --package xtask -- bench

clean: ## Remove everything that was built
	@$(CARGO) clean
