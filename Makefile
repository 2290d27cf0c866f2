# make reproduce [PROFILE=laptop] · make test · make lab · make strip
# The environment is a venv in .venv, made once and again when pyproject.toml changes; with conda use
# environment.yml and `python -m fewpose …` instead. Versions stand in requirements.lock, made by `make lock`.

PROFILE ?= laptop
# The first Python of 3.11 or newer; or say which: make test PYTHON=python3.12
PYTHON ?= $(firstword $(foreach name,python3 python3.12 python3.13 python3.11,$(shell \
	$(name) -c 'import sys; sys.version_info >= (3, 11) and print("$(name)")' 2>/dev/null)))
VENV ?= .venv
READY := $(VENV)/.installed
RUN := $(VENV)/bin/python -m fewpose

LOCKED := --require-hashes -r requirements.lock

.PHONY: help setup lock reproduce test lab strip hooks
.NOTPARALLEL:

help:
	@echo 'make setup                       make the environment in .venv, once'
	@echo 'make reproduce [PROFILE=laptop]  run a profile: laptop, smoke, lsp, paper (CUDA)'
	@echo 'make test                        lint, unit tests, every notebook under nbval'
	@echo 'make lab                         open JupyterLab on the notebooks'
	@echo 'make lock                        renew requirements.lock (needs uv)'
	@echo 'make strip                       strip the outputs of the notebooks'
	@echo 'make hooks                       lint and strip at every git commit (pre-commit)'

setup: $(READY)

reproduce: $(READY)
	@$(RUN) reproduce --profile $(PROFILE)

test: $(READY)
	@$(RUN) test

lab: $(READY)
	@$(RUN) lab

strip: $(READY)
	@$(RUN) strip

hooks: $(READY)
	@$(VENV)/bin/pre-commit install

# The newest versions that fit pyproject.toml, on all systems and Pythons; needs uv
lock:
	uv pip compile --quiet --universal --python-version 3.11 --extra test --generate-hashes --no-emit-index-url \
	  --no-annotate --no-header --upgrade pyproject.toml --output-file requirements.lock

$(READY): pyproject.toml requirements.lock
	@test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'fewpose needs Python 3.11 or newer: install it, or name one: make … PYTHON=python3.12' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo 'no venv could be made: on Debian and Ubuntu install python3-venv' >&2; exit 1; }
	@# uv is faster, but does not read pip's settings, as of a mirror: then pip itself
	@{ command -v uv && uv pip install --quiet --python $(VENV)/bin/python $(LOCKED); } >/dev/null 2>&1 || \
	  $(VENV)/bin/python -m pip install --disable-pip-version-check $(LOCKED)
	$(VENV)/bin/python -m pip install --disable-pip-version-check --no-deps -e .
	@$(RUN) weights rtmpose_s yolox_tiny movenet || echo 'They are downloaded when a notebook needs them.'
	@touch $@
