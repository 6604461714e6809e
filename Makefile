# make demo | demo-all | test | ui | study | bench | docs | setup | lint | lock | prune | backup | restore | clean; `make` alone explains them.

BENCHMARK ?= coco
DAGSTER_PORT ?= 3000
MLFLOW_PORT ?= 5000

# The first Python 3.11 to 3.13 that runs; with none, preflight.py says what to do under any other Python 3.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& command -v $$p && break; done)

BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export CUDA DETECTION TORCH_INDEX_URL
export DO_NOT_TRACK := true
# Set in many containers. With it every start of Python would compile what it imports again, for ten seconds or more.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-all test lint ui study bench docs lock prune backup restore clean

help:
	@echo "make demo     set everything up, run the chain on the embedded world, print the table"
	@echo "make demo-all the same for every benchmark of params.yaml, resumable; prints the leaderboard"
	@echo "make test     set everything up, run linters and tests"
	@echo "make ui       Dagster (port $(DAGSTER_PORT)) and MLflow (port $(MLFLOW_PORT)) on 127.0.0.1; DAGSTER_PORT=, MLFLOW_PORT="
	@echo "make study    the same stages at study size, resumable; BENCHMARK=$(BENCHMARK), SEEDS= and ARMS= for some of them"
	@echo "make bench    speed next to stated references; for an idle machine"
	@echo "make docs     the documentation as a site, in build/site; opens without a server or a network"
	@echo "make setup    the environment in .venv and the stores; CUDA=1 on a GPU machine, TORCH_INDEX_URL= for torch's index,"
	@echo "              DETECTION=0 to do without the detectors of instance segmentation, which take minutes to compile"
	@echo "make lint     ruff, mypy, import contracts"
	@echo "make prune    list what nothing needs any more; YES=1 removes it"
	@echo "make backup   copy the run histories to backups/; make restore FROM=backups/... puts them back"
	@echo "make lock     resolve all dependencies into requirements.lock and its siblings"
	@echo "make clean    remove what the stages made; data/raw, data/backbones, data/answers, data/study, .venv and the run histories stay"

setup:
	@$(if $(PYTHON),$(PYTHON) scripts/install.py,python3 scripts/preflight.py || { \
		echo "setup: Python 3.11, 3.12 or 3.13 is needed."; exit 1; })

RUN_JOB := OMP_NUM_THREADS=1 PYTHONWARNINGS=ignore python -m orchestration.launch --config orchestration/demo.yaml

demo: setup
	@echo
	@echo "Labelled images in, a training set and a better model out: the whole chain on the embedded world."
	@echo "This takes 15 to 20 minutes on two cores. If it is interrupted, make demo picks up where it stopped."
	@echo
	@$(RUN_JOB) $(BENCHMARK)
	@python -m datasetdm show $(BENCHMARK)
	@echo
	@echo "The report, with pictures:    data/reports/$(BENCHMARK)/index.html"
	@echo "The synthetic training set:   data/synthetic/$(BENCHMARK)/ (previews/ shows some of it)"
	@echo "Asset graph, runs and models: make ui, then http://127.0.0.1:$(DAGSTER_PORT)/asset-groups (docs/dagster.md)"

demo-all: setup
	@$(RUN_JOB) every_benchmark
	@python -m datasetdm leaderboard
	@echo
	@echo "leaderboard    data/reports/leaderboard.html"
	@echo "reports        data/reports/<benchmark>/index.html"

# Lint and test everything.
lint test: export DETECTION = 1

# In the order of the folders: the longest tests are in the middle, so both processes end at about the same time.
test: lint
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} python -m pytest -n 2 --dist loadscope --no-loadscope-reorder

lint: setup
	ruff check .
	mypy
	lint-imports

ui: setup
	@python scripts/preflight.py --ports $(DAGSTER_PORT) $(MLFLOW_PORT)
	@python scripts/ui.py $(DAGSTER_PORT) $(MLFLOW_PORT)

study: setup
	python -m benchmarks.study $(BENCHMARK) $(if $(SEEDS),--seeds $(SEEDS)) $(if $(ARMS),--arms $(ARMS))
	@echo "report         data/study/reports/$(BENCHMARK)/index.html"
	@echo "figures        benchmarks/results/$(BENCHMARK)/"

bench: setup
	python -m benchmarks.performance

docs: setup
	python -m docs.make
	NO_MKDOCS_2_WARNING=1 python -m mkdocs build --quiet
	@echo "the site: build/site/index.html"

# torch's CUDA packages are left out of the lock: pip takes them with the CUDA build of torch.
# Both together first, so that they fit each other; requirements-detection.lock has what the other one has not.
RESOLVE := uv pip compile --quiet --python-version 3.11 --no-annotate --no-header
NEW := build/lock
lock: setup
	@mkdir -p $(NEW)
	$(RESOLVE) --upgrade --extra detection pyproject.toml requirements-dev.in --output-file $(NEW)/all
	$(RESOLVE) --constraint $(NEW)/all requirements-dev.in --output-file $(NEW)/base
	{ grep '^#' requirements.lock; grep -vE '^(nvidia-|cuda-|triton=)' $(NEW)/base; } > $(NEW)/requirements.lock
	{ grep '^#' requirements-detection.lock; grep -vxFf $(NEW)/base $(NEW)/all; } > $(NEW)/requirements-detection.lock
	$(RESOLVE) --constraint $(NEW)/base --extra deploy pyproject.toml --output-file $(NEW)/servers
	{ grep '^#' requirements-deploy.lock; grep -vxFf $(NEW)/base $(NEW)/servers; } > $(NEW)/requirements-deploy.lock
	mv $(NEW)/requirements.lock $(NEW)/requirements-detection.lock $(NEW)/requirements-deploy.lock .

prune: setup
	python -m datasetdm prune $(if $(YES),--yes)

backup:
	python scripts/stores.py backup

restore:
	@$(if $(FROM),python scripts/stores.py restore $(FROM),echo "restore: name a backup: make restore FROM=backups/..."; exit 2)

clean:
	rm -rf data/.work data/real data/adapted data/decoders data/prompts data/synthetic data/pseudo data/augmented data/downstream data/reports data/preview data/diagnosis data/labels
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build *.egg-info
	find datasetdm orchestration scripts tests -name __pycache__ -type d -prune -exec rm -rf {} +
