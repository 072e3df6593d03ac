# Everything here sets up what it needs. `make demo` and `make test` are the two to know.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PROTO := $(wildcard proto/tallystick/v1/*.proto)

.PHONY: help demo demo-envoy test lint types layers proto proto-check docs bench bench-envoy clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(READY): pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Tallystick needs Python 3.11 or later")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable ".[demo,gateway]" --group dev
	touch $@

demo: $(READY) ## agents, a loop and a wallet that ends, in half a minute
	$(BIN)/tallystick demo

demo-envoy: $(READY) ## the official SDKs under budget by their base_url, through a real Envoy
	$(BIN)/tallystick demo --envoy

test: $(READY) ## all tests, with the coverage of core and store
	$(BIN)/python -m pytest -n 3 --dist worksteal --cov --cov-report=term $(TESTS)

lint: $(READY) ## style: ruff, sizes and names, buf
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -q tests/unit/test_tidy.py
	cd proto && ../$(BIN)/buf lint

types: $(READY) ## mypy, strict
	$(BIN)/mypy

layers: $(READY) ## who may import whom
	$(BIN)/lint-imports --no-logo

proto: $(READY) ## generates sidecar/tallystick/v1 from proto/
	$(BIN)/python -m grpc_tools.protoc -I proto --python_out=sidecar --pyi_out=sidecar \
		--grpc_python_out=sidecar $(PROTO)

proto-check: proto ## the generated code is the one checked in, and no message breaks
	git diff --exit-code -- sidecar/tallystick/v1
	cd proto && if git cat-file -e origin/main:proto 2>/dev/null; \
		then ../$(BIN)/buf breaking --against '../.git#ref=origin/main,subdir=proto'; \
		else echo 'no origin/main to compare with: buf breaking skipped'; fi

docs: $(READY) ## generates the settings reference and the policy's JSON Schema
	$(BIN)/python -m tallystick.config > docs/reference/settings.md
	$(BIN)/python -m tallystick.policyfile.schema docs/reference/policy.schema.json

bench: $(READY) ## decisions a second, CPU a decision, latencies, beside a bare echo
	$(BIN)/python -m tests.bench $(BENCH)

bench-envoy: $(READY) ## what a call through Envoy costs, beside handlers that decide nothing
	$(BIN)/python -m tests.bench.envoy $(BENCH)

clean: ## removes the environment and caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage build dist
