# Everything starts here: `make demo` and `make test` do all their own set-up.
#
#   make demo ARGS="--long-job 15s"      options for the program that a target runs
#   make e2e K="stop and not kill"       only the tests whose names match

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup engine images compose-images demo test check unit e2e soak bench-agent bench-api bench-bytecodes bench-placement lock clean

BIN := .venv/bin
ARGS ?=
K ?=
PYTEST = $(BIN)/pytest $(if $(K),-k "$(K)") $(ARGS)
# Tests share no name, port or folder, so several run at once. Those on containers mostly wait for one: three on two cores.
PARALLEL = --dist worksteal -n
# The rooms of tests that need no engine; some are furnished later.
UNIT = $(wildcard tests/unit tests/contract tests/properties tests/scenarios tests/repo)

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup:  ## Make the virtual environment .venv from the lock
	@scripts/venv

engine:  ## Find a working Docker Engine, or install and start one (Debian, Ubuntu, as root)
	@scripts/engine

images: engine  ## Build berth/stubborn, the container that would not stop
	@scripts/images

compose-images: setup engine  ## Build the images of compose/compose.yaml
	@scripts/compose-images

demo: setup images  ## Show the long job that would not stop, with real containers
	$(BIN)/berth demo stop $(ARGS)

test: check unit e2e  ## Run everything: lint, types, import contracts, unit, contract and Docker tests

check: setup  ## Lint, format, types, import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: setup  ## Run the tests that need no engine
	@scripts/haproxy
	$(PYTEST) $(PARALLEL) 2 -m "not docker and not soak" $(UNIT)

e2e: setup images compose-images  ## Run the tests on real containers
	@scripts/namespaces
	@scripts/haproxy
	$(PYTEST) $(PARALLEL) 3 -m "(docker or compose) and not soak" tests/contract tests/e2e

# Besides those marked so, the searches of hypothesis: fresh examples, and twenty times as many (tests/search.py).
soak: setup images  ## Run the tests that take minutes, and look for histories that nobody has thought of
	@scripts/haproxy
	$(PYTEST) --timeout 3600 --hypothesis-profile search -m "soak or hypothesis" tests

bench-agent: setup images  ## Time the agent beside plain Docker, in one run
	$(BIN)/python tests/bench/bench_agent.py $(ARGS)

bench-placement: setup  ## Place tasks beside a naive scheduler and bare SQLite, in one run
	$(BIN)/python tests/bench/bench_placement.py $(ARGS)

bench-api: setup  ## Time the API beside a public mock of ECS, in one run
	@scripts/bench-venv
	$(BIN)/python tests/bench/bench_api.py $(ARGS)

bench-bytecodes: setup  ## Count what one call costs the control plane's loop, on a machine too busy for times
	$(BIN)/python tests/bench/bench_bytecodes.py $(ARGS)

lock:  ## Write constraints.txt anew (ARGS=--upgrade: with the newest versions)
	@scripts/lock $(ARGS)

clean:  ## Remove what was built here, but no image and no engine
	rm -rf .venv .build dist .*_cache .hypothesis .benchmarks
	find . -name __pycache__ -prune -exec rm -rf {} +
