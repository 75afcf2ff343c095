# Each target does its own set-up: a machine needs Python 3.11 to 3.13, git and make, and a package index.
PYTHON ?= $(shell for it in python3.11 python3.12 python3.13 python3; do $$it --version >/dev/null 2>&1 && command -v $$it && break; done)
VENV := .venv
RUN := $(VENV)/bin/python
# Two processes, a file of tests each at a time, in the order of tests/conftest.py: most tests wait for Ray or TensorFlow
# to start.
PYTEST := $(RUN) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# Where this is set, each of the hundreds of processes that tests start compiles the project anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install demo test test-fast test-slow lint lock clean

install: $(VENV)/ready

demo: $(VENV)/ready
	$(RUN) -m jobs.demo

test: lint
	$(PYTEST) -m "not slow"

test-slow: $(VENV)/ready
	$(RUN) -m pytest -m slow

test-fast: $(VENV)/ready
	$(PYTEST) -m "not ray and not long and not slow"

lint: $(VENV)/ready
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-logo

# requirements.lock names every package with its version and hashes, and no index.
$(VENV)/ready: requirements.lock pyproject.toml
	@case "$$('$(PYTHON)' --version 2>&1)" in "Python 3.11."*|"Python 3.12."*|"Python 3.13."*) ;; *) echo "mnist_batch needs Python 3.11, 3.12 or 3.13," \
	  "and '$(PYTHON)' is $$('$(PYTHON)' --version 2>&1); install it, or say where it is:" \
	  "make PYTHON=/path/to/python3.12" >&2; exit 2;; esac
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# After a change of the dependencies in pyproject.toml.
lock:
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet uv==0.13.8
	$(VENV)-lock/bin/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --output-file requirements.lock
	rm -r $(VENV)-lock

clean:
	rm -rf $(VENV) demo
