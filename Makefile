# Everyday commands; `make run` and `make test` need only Python 3.10 or newer and make.
PYTHON ?= python3
VENV ?= .venv
VARIATIONS ?= _dummy-weights
comma := ,

RUN := $(VENV)/run
TEST := $(VENV)/test

# Tests that install much, need root or take long; each has a target of its own.
APART := runtime container gui site callers races
empty :=
apart := $(subst $(empty) $(empty), or ,$(APART))

.PHONY: run test test-full lint docs bench clean $(APART:%=test-%)

# Asks for VARIATIONS and prints what it got: in CM_REPOS where that is set, whose index may not
# know this copy yet, else in a CM of its own, under $(VENV).
run: $(RUN)/.done
	$(if $(CM_REPOS),$(RUN)/bin/cm reindex repo >$(RUN)/reindex.log,true) && \
	  CM_REPOS="$(or $(CM_REPOS),$(CURDIR)/$(RUN)/CM)" $(RUN)/bin/cm run script --quiet \
	  --tags=get,ml-model,resnet50$(if $(VARIATIONS),$(comma)$(VARIATIONS))

test: $(TEST)/.done
	$(TEST)/bin/python -m pytest -n auto -m "not (full or $(apart))"

test-full: $(TEST)/.done
	$(TEST)/bin/python -m pytest -n auto -m "not ($(apart))"

# Loads what is delivered in the frameworks themselves, which are large to install.
test-runtime: $(TEST)/.runtime
	$(TEST)/bin/python -m pytest -m runtime

# The engine's own pip alters an environment: the tests that share it wait for one another.
test-callers: $(TEST)/.callers
	$(TEST)/bin/python -m pytest -n 2 -m callers tests/callers

# As root: installs Debian's podman, buildah, crun and debootstrap if need be; else it says why not.
test-container: $(TEST)/.done
	$(TEST)/bin/python -m pytest -m container

# Debian's chromium, which root gets from apt-get; else it says why not.
test-gui: $(TEST)/.gui
	$(TEST)/bin/python -m pytest -m gui

test-races: $(TEST)/.done
	$(TEST)/bin/python -m pytest -m races

# Root, and Debian's nginx and iproute2; else it says why not.
test-site: $(TEST)/.site
	$(TEST)/bin/python -m pytest -m site

# Installs the peers (about 1 GB) and measures all; NAMES="hit cold" for some, QUICK=1 for a trial.
bench: $(TEST)/.site
	PYTHONPATH= $(TEST)/bin/python -m benchmarks.peers $(VENV)/bench
	PYTHONPATH= $(TEST)/bin/python -m benchmarks --peers $(VENV)/bench $(if $(QUICK),--quick) $(NAMES)

lint: $(TEST)/.lint
	$(TEST)/bin/ruff check .
	$(TEST)/bin/ruff format --check .
	$(TEST)/bin/mypy

docs: $(TEST)/.done
	$(TEST)/bin/python -m cmx_resnet50 docs --output README.md
	$(TEST)/bin/python -m cmx_resnet50 docs choose --output docs/choose.md

$(RUN)/.done: pyproject.toml
	$(PYTHON) -m venv $(RUN)
	$(RUN)/bin/pip install --quiet --editable .
	touch $@

# The tests build and install the wheel themselves: here are only the packages it needs.
$(TEST)/.done: pyproject.toml
	$(PYTHON) -m venv $(TEST)
	$(TEST)/bin/pip install --quiet ".[test]"
	$(TEST)/bin/pip uninstall --quiet --yes cmx-resnet50
	touch $@

$(TEST)/.runtime: $(TEST)/.done
	$(TEST)/bin/pip install --quiet ".[runtime]" && $(TEST)/bin/pip uninstall --quiet --yes cmx-resnet50
	touch $@

$(TEST)/.callers: $(TEST)/.done
	$(TEST)/bin/pip install --quiet ".[callers]" && $(TEST)/bin/pip uninstall --quiet --yes cmx-resnet50
	touch $@

$(TEST)/.gui: $(TEST)/.done
	$(TEST)/bin/pip install --quiet ".[gui]" playwright && $(TEST)/bin/pip uninstall --quiet --yes cmx-resnet50
	touch $@

$(TEST)/.site: $(TEST)/.done
	$(TEST)/bin/pip install --quiet ".[site]" && $(TEST)/bin/pip uninstall --quiet --yes cmx-resnet50
	touch $@

$(TEST)/.lint: $(TEST)/.done
	$(TEST)/bin/pip install --quiet ".[lint]" && $(TEST)/bin/pip uninstall --quiet --yes cmx-resnet50
	touch $@

clean:
	rm -rf $(VENV) dist build
