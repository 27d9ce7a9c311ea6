# The two commands of a newcomer. Python 3.11 or newer is all they need.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: quickstart tables test torture audit install pictures

quickstart: .venv/installed
	$(BIN)/python train.py --config=configs/quickstart.py
	$(BIN)/python evaluate.py --workdir=runs/quickstart

# Every method of the paper, trained and compared at the quickstart's scale: runs/tables/tables.md.
tables: .venv/installed
	$(BIN)/python tables.py --config=configs/quickstart.py --workdir=runs/tables

test: .venv/installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile

# Kills, damage and hostile files; minutes. docs/reliability.md says what came of it.
torture: .venv/installed-dev
	$(BIN)/python -m tests.torture.runs --record=runs/torture_runs.json
	$(BIN)/python -m tests.torture.fuzz --inputs=10000 --record=runs/torture_fuzz.json

# Known vulnerabilities of what constraints.txt pins; needs a network.
audit: .venv/installed-dev
	$(BIN)/python docs/vulnerabilities.py

install: .venv/installed

# The pictures of the README, from the quickstart's checkpoint.
pictures: quickstart .venv/installed-dev
	$(BIN)/python docs/pictures.py runs/quickstart

.venv/installed: requirements.txt constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.txt --constraint constraints.txt
	touch $@

.venv/installed-dev: .venv/installed pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[dev]' --constraint constraints.txt
	touch $@
