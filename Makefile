# Python 3.11 or newer is the only prerequisite. CONSTRAINTS= (empty) installs the newest versions allowed.
PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
PINS := $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS))
BIN := .venv/bin

.PHONY: quickstart tables test lint torture audit lock sbom install pictures docs

# Train a small model on CPU and evaluate it: runs/quickstart/
quickstart: .venv/installed
	$(BIN)/python train.py --config=configs/quickstart.py
	$(BIN)/python evaluate.py --workdir=runs/quickstart

# Train and compare all methods of the paper at the quickstart's scale: runs/tables/tables.md
tables: .venv/installed
	$(BIN)/python tables.py --config=configs/quickstart.py --workdir=runs/tables

test: .venv/installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/mypy

# Kill, damage and fuzz real runs, for some minutes; docs/reliability.md reports the results.
torture: .venv/installed-dev
	$(BIN)/python -m tests.torture.runs --record=runs/torture_runs.json
	$(BIN)/python -m tests.torture.fuzz --inputs=10000 --record=runs/torture_fuzz.json

# List known vulnerabilities of the versions in constraints.txt; needs a network.
audit: .venv/installed-dev
	$(BIN)/python -m tools.vulnerabilities

# Write requirements.lock from pyproject.toml and constraints.txt: every package of the commands, repair page and
# classical methods included, with its hashes, for all supported Pythons and platforms. Needs uv and a network.
lock:
	uv pip compile pyproject.toml --extra classical --extra demo --extra heif --constraint constraints.txt --universal \
	  --python-version 3.11 --generate-hashes --no-annotate --no-header --quiet --output-file requirements.lock

# Write a software bill of materials (CycloneDX) of requirements.lock: build/sbom.json. Needs cyclonedx-bom.
sbom:
	mkdir -p build
	cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --output-reproducible \
	  --output-file build/sbom.json

install: .venv/installed

# Make the pictures of the README from the quickstart's checkpoint.
pictures: quickstart .venv/installed-dev
	$(BIN)/python -m tools.pictures runs/quickstart

# Build the web site of the documents, with the reference of every module: build/docs/index.html
docs: .venv/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

.venv/installed: requirements.txt $(CONSTRAINTS)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.txt $(PINS)
	touch $@

.venv/installed-dev: .venv/installed pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[dev]' $(PINS)
	touch $@

.venv/installed-docs: .venv/installed pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[docs]' $(PINS)
	touch $@
