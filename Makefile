# make demo | test | test-all | lint | bench | hero | clean
# Everything runs in .venv, which is set up on first use and again when pyproject.toml changes.

# Any Python from 3.11 on: make PYTHON=python3.12 demo
PYTHON ?= python3
# Installed before everything else: left to themselves, other packages would pull torch with gigabytes of CUDA.
# On Linux outside our CI add: TORCH="torch --index-url https://download.pytorch.org/whl/cpu"
TORCH ?= torch==2.13.0

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
TORCH_STAMP := $(VENV)/.torch
USER_STAMP := $(VENV)/.user
DEV_STAMP := $(VENV)/.dev
DEMO ?= demo

.PHONY: help demo test test-all lint bench hero clean
.DEFAULT_GOAL := help

help:
	@echo "make demo      small annotated images and a volume in $(DEMO)/, with a picture of each"
	@echo "make test      the quick tests"
	@echo "make test-all  also those that need minutes, or the real images in ../shared/data"
	@echo "make lint      ruff and mypy"
	@echo "make bench     time and memory of generating images and volumes; needs no data"
	@echo "make hero      docs/images/hero.png and volume.png anew from the shipped bundles"

demo: $(USER_STAMP)
	$(BIN)/cytocascade demo --out $(DEMO)

test: $(DEV_STAMP)
	$(BIN)/python -m pytest -q -m "not slow"

test-all: $(DEV_STAMP)
	$(BIN)/python -m pytest -q

lint: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(DEV_STAMP)
	$(BIN)/python benchmarks/generate_2d.py
	$(BIN)/python benchmarks/generate_3d.py

hero: $(USER_STAMP)
	$(BIN)/cytocascade demo --out $(DEMO)/hero --overwrite
	mkdir -p docs/images
	cp $(DEMO)/hero/contact_sheet.png docs/images/hero.png
	cp $(DEMO)/hero/volume.png docs/images/volume.png

clean:
	rm -rf $(VENV) $(DEMO) .pytest_cache .mypy_cache .ruff_cache .hypothesis

# A stamp is written last, so that an interrupted set-up is taken up again.
$(TORCH_STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "CytoCascade needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.11 demo" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet $(TORCH)
	@touch $@

$(USER_STAMP): $(TORCH_STAMP) pyproject.toml
	$(PIP) install --quiet -e '.[evaluate]'
	@touch $@

$(DEV_STAMP): $(TORCH_STAMP) pyproject.toml
	$(PIP) install --quiet -e '.[all,dev]'
	@touch $@
