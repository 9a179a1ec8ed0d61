# Two commands matter: `make demo` and `make test`. Each makes the environment in .venv first if it is not there.

PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip --quiet --quiet --disable-pip-version-check install -c constraints.txt

.PHONY: demo test check bench docs clean
.NOTPARALLEL:  # two pips in one environment would meet

demo: .venv/installed-all  ## train on the embedded pictures at 127 pixels, which is quicker than 227; then predict
	$(BIN)/alexnet train patterns --epochs 5 --set size=127 --out runs/demo --force
	$(BIN)/alexnet predict docs/pictures/patterns --top 2 --model runs/demo
	@echo "Look at it: $(CURDIR)/runs/demo/report.html"

test: .venv/installed-dev  ## all tests but those marked slow or gpu
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal  # most tests start programs, which one core does

check: .venv/installed-dev  ## lint, format, types, import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: .venv/installed-all  ## what the documents say about speed, measured anew; wants a quiet machine
	$(BIN)/python benchmarks/foundation.py

docs: .venv/installed-docs  ## the documentation as a web site in site/
	$(BIN)/zensical build

clean:  ## what was built or cached; .venv and runs stay
	rm -rf build dist site src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp for each set of extras, so that the demo does not wait for the development tools.
.venv/installed-all: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "Installing alexnet into .venv (torch is large: about a minute)"
	@$(INSTALL) -e '.[all]'
	@touch $@

.venv/installed-dev: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "Installing alexnet and the development tools into .venv (torch is large: about a minute)"
	@$(INSTALL) -e '.[all,dev]'
	@touch $@

.venv/installed-docs: pyproject.toml constraints.txt | $(BIN)/pip
	@$(INSTALL) -e '.[docs]'
	@touch $@

# pip is the last thing that venv puts there: an environment that was left half made is made again.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "alexnet needs Python 3.11 or newer, this is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.11 ...")'
	@$(PYTHON) -m venv .venv
