# Needs git, make and Python >= 3.11. Everything goes to .venv/ and build/.

PYTHON ?= python3
CORPUS ?= examples/data/wikipedia.txt.xz
OUT ?= build/benchmark
DRIFT ?=

VENV = .venv
BIN = $(VENV)/bin
VECTORS = build/wikipedia.safetensors
# pip before 25.3 reads the first name for the build's own packages too, later ones the second.
PIP = PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
	$(BIN)/python -m pip --quiet --disable-pip-version-check install

# What each peer needs; an environment for each, because they want different versions of the same.
PEERS = $(patsubst tests/benchmarks/environments/%.txt,build/peers/%/installed,\
	$(wildcard tests/benchmarks/environments/*.txt))

.PHONY: help demo test lint bench peers kafka clean

help:
	@echo 'make demo    train on $(CORPUS), ask for neighbours, score the vectors'
	@echo 'make test    run the tests'
	@echo 'make lint    run the linters, the type checker and the import contract'
	@echo 'make bench   measure against gensim: $(OUT)/benchmark.md (CORPUS=path for another text,'
	@echo '             DRIFT=path for one whose language drifts, in order)'
	@echo 'make peers   install the other libraries that make bench measures if they are there (2 GB)'
	@echo 'make kafka   run a Kafka broker at localhost:9092 until Ctrl-C (needs Java 17 and Maven)'
	@echo 'make clean   delete what the other targets made'
	@echo
	@echo 'PYTHON=python3.12 (for example) picks the interpreter; it must be 3.11 or newer.'

demo: $(VENV)/installed-run
	@mkdir -p build
	$(BIN)/stream-w2v train $(CORPUS) --vectors $(VECTORS)
	$(BIN)/stream-w2v similar $(VECTORS) music -n 5
	$(BIN)/stream-w2v similar $(VECTORS) france -n 5
	$(BIN)/stream-w2v similar $(VECTORS) physics -n 5
	$(BIN)/stream-w2v similar $(VECTORS) french germany --minus france -n 5
	$(BIN)/stream-w2v evaluate $(VECTORS) --similarity examples/data/similarity.tsv --analogies examples/data/analogies.txt

test: $(VENV)/installed-test
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/installed-bench
	$(BIN)/python -m tests.benchmarks --corpus $(CORPUS) --out $(OUT) $(if $(DRIFT),--drift-corpus $(DRIFT))

peers: $(PEERS)

kafka: $(VENV)/installed-test
	$(BIN)/python -m tests.broker

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp says that an environment has everything; it goes stale when what it needs changes.
$(VENV)/installed-run: $(VENV)/created pyproject.toml constraints.txt
	$(PIP) -e .
	@touch $@

$(VENV)/installed-test: $(VENV)/created pyproject.toml constraints.txt
	$(PIP) -e '.[test]'
	@touch $@ $(VENV)/installed-run

$(VENV)/installed-bench: $(VENV)/created pyproject.toml constraints.txt
	$(PIP) -e '.[bench]'
	@touch $@ $(VENV)/installed-run

# A peer that cannot be installed here is left out, and the page says so.
build/peers/%/installed: tests/benchmarks/environments/%.txt
	$(PYTHON) -m venv build/peers/$*
	-build/peers/$*/bin/python -m pip --quiet --disable-pip-version-check install -r $< && touch $@

$(VENV)/created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "stream-w2v needs Python 3.11 or newer, and $(PYTHON) is not: try make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) has no venv: install it (on Debian and Ubuntu the package python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@
