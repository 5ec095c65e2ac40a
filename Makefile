# Every target sets up what it needs in .venv; PYTHON chooses the interpreter (3.11 or newer).
PYTHON ?= python3
BIN = .venv/bin

.venv/ready: requirements-dev.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements-dev.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	$(BIN)/pip check
	touch $@

setup: .venv/ready            ## the environment
check: lint test              ## what CI runs
lint: .venv/ready
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
test: .venv/ready
	$(BIN)/python -m pytest -q -n auto
demo: .venv/ready             ## the main job on sample data
	test -d demo/in || $(BIN)/fw-gear-deid sample demo/in
	$(BIN)/fw-gear-deid run demo/in demo/out --profile research-site
	$(BIN)/fw-gear-deid sample demo/in --check demo/out || test $$? = 1 # some survive, as the profile says
bench: .venv/ready            ## our command beside its peers; BENCH="--all", "--only CASE...", "--help"
	$(BIN)/python -m bench $(BENCH)
dictionaries standard safe fuzz mutants reference: .venv/ready ## tables of DICOM, of its standard; mutated input; a program broken on purpose; docs/reference.md
	$(BIN)/python -m tests.$@ $(ARGS)
lock:                         ## pin what pyproject.toml asks for, with hashes and without hosts
	sh docs/lock.sh
.PHONY: setup check lint test demo bench dictionaries standard safe fuzz mutants reference lock
