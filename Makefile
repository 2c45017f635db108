# Every target works alone on a fresh clone: it installs what it needs into .venv first.
PYTHON ?= python3
SLOW ?=
DETECT ?=
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: install check test test-lowest demo bench lock clean

install: $(READY)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "found $$($(PYTHON) --version), expected Python 3.11 to 3.13; try: make install PYTHON=python3.11"; exit 1; }
	@echo "installing into $(VENV) (a few GB the first time, two to five minutes)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $(READY)

check: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

test: check
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal $(if $(SLOW),--slow) src tests

# the lowest versions that we claim: their own environment, their own lock; what they say of newer ones is not an error
test-lowest: PYTHON = python3.11
test-lowest:
	@test -x .venv-lowest/bin/python || $(PYTHON) -m venv .venv-lowest
	@.venv-lowest/bin/python -m pip install --quiet --require-hashes -r requirements-lowest.lock
	@.venv-lowest/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@OMP_NUM_THREADS=1 .venv-lowest/bin/python -m pytest -n 2 --dist worksteal -W ignore::DeprecationWarning -W ignore::FutureWarning src tests

# make demo DETECT=1: a detector on what was distilled
demo: install
	@$(BIN)/limbeck demo $(if $(DETECT),--detect)

bench: install
	@for file in distill_cost divergence keep_top views memory select_memory; do \
		$(BIN)/python bench/$$file.py || exit 1; done
	@echo "these need photos, and say which with --help: cifar.py, selection.py, near_duplicates.py, scale.py"

# the locks name packages, versions and hashes, nothing else
lock: install
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
		--extra onnx --extra scale --group dev pyproject.toml --output-file requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
		--resolution lowest-direct --extra onnx --extra scale --group dev pyproject.toml --output-file requirements-lowest.lock

clean:
	rm -rf $(VENV) .venv-lowest .pytest_cache .mypy_cache .ruff_cache
