# make figures             every figure and table of the default study
# make replication         the ledger of claims of the default study on eight seeds, which can decide them
# make test                every check but the kill drills and the cluster
# make test-cluster        the SLURM profile on a SLURM that it starts on this machine (root on Debian; skipped elsewhere)
# make test-all            every check
# make check               linters alone: ruff, snakefmt, snakemake --lint; `pre-commit install` runs them before each commit
# make format              ruff and snakefmt, which mend what they can
# make plan STUDY=config/qwen3-4b.yaml GPUS=8   what a study takes before it runs: hours, memory, disk, what will not fit
# make why TARGET=figures/fig3.pdf   in words, why each job of a target would run
# make pin STUDY=config/qwen3-4b.yaml    write the commits of all that a study takes from the hub into its file
# make pin-check STUDY=...   say what has no commit in that file; asks nobody
# make accept-packages     keep the study's results although packages have other versions now
# make speed               speed against peers and limits: docs/speed.csv and docs/images/speed.png
# make timings             seconds and peak memory of every rule of the last run
# make readme              the ledger's verdicts of READ_STUDIES into README.md and docs/claims.csv; CHECK=1 only compares the two
# make describe            config/schema.json and config/README.md from the settings models
# make lock                requirements.lock anew from requirements.in, and envs/*.yaml from it
# STUDY=config/other.yaml, or CONFIG=, names another study than the default one, for any of them.
# Each sets up .venv by itself, with the versions of requirements.lock.

PYTHON ?= python3.11
CORES ?= all
STUDY ?= config/config.yaml
CONFIG ?= $(STUDY)
VENV := .venv
INSTALLED := $(VENV)/.installed
TORCH := $(shell grep '^torch==' requirements.lock)

export PYTHONHASHSEED := 0

READ_STUDIES ?= testbed replication
RESULTS = results/$(shell sed -n "s/^study: *//p" $(CONFIG))

.PHONY: figures replication plan why pin pin-check accept-packages test test-all test-cluster check format speed benchmark timings benchmarks-summary describe lock readme

figures: $(INSTALLED)
	$(VENV)/bin/snakemake figures --configfile $(CONFIG) --cores $(CORES)

replication: $(INSTALLED)
	$(VENV)/bin/snakemake results/replication/figures/claims.pdf --configfile config/replication.yaml --cores $(CORES)

plan: $(INSTALLED)
	$(VENV)/bin/python scripts/tools/plan_study.py --configfile $(CONFIG) $(if $(GPUS),--gpus $(GPUS)) $(ASSUME) $(TARGET)

why: $(INSTALLED)
	$(VENV)/bin/python scripts/tools/why.py --configfile $(CONFIG) $(TARGET)

pin: $(INSTALLED)
	$(VENV)/bin/python scripts/tools/pin.py $(STUDY)

pin-check: $(INSTALLED)
	$(VENV)/bin/python scripts/tools/pin.py --check $(STUDY)

accept-packages: $(INSTALLED)
	$(VENV)/bin/python scripts/tools/accept_packages.py --results $(RESULTS)

test: $(INSTALLED) check
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -m "not drill and not cluster"

test-all: $(INSTALLED) check
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -m "not cluster"
	$(MAKE) test-cluster

# Jobs of a cluster can wait for ever, so this is interrupted after 20 minutes. The last lines tell what was skipped, and why.
test-cluster: $(INSTALLED)
	timeout -s INT -k 60 20m $(VENV)/bin/python -m pytest tests/cluster -m cluster

check: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/snakefmt --check Snakefile rules
	$(VENV)/bin/snakemake --lint --configfile $(CONFIG)
	$(VENV)/bin/python scripts/tools/quote_claims.py --check

format: $(INSTALLED)
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .
	$(VENV)/bin/snakefmt Snakefile rules

# `benchmark` stays for one release: the word now means a task of lm-eval.
speed benchmark: $(INSTALLED)
	$(VENV)/bin/python tests/performance/run.py --config $(CONFIG)

timings benchmarks-summary: $(INSTALLED)
	$(VENV)/bin/python scripts/tools/summarise_benchmarks.py results

describe: $(INSTALLED)
	$(VENV)/bin/python scripts/tools/describe_config.py

# What lies in results/ of these studies is quoted; without results the README is written anew from docs/claims.csv.
readme: $(INSTALLED)
	$(VENV)/bin/python scripts/tools/quote_claims.py $(if $(CHECK),--check,--claims $(wildcard $(READ_STUDIES:%=results/%/figures/claims.csv)))

# A .pth file lets every script find the library. torch is asked for first and alone, so that a build for the machine at hand (CPU or GPU), from whatever index pip is
# set up with, is kept by the install of the rest.
$(INSTALLED): requirements.lock
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	echo "$(CURDIR)/scripts" > "$$($(VENV)/bin/python -c 'import site; print(site.getsitepackages()[0])')/rlgen.pth"
	touch $@

lock:
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.in
	{ echo '# Every package of the environment, pinned. Made by `make lock` from requirements.in; do not edit.'; \
	  .venv-lock/bin/python -m pip freeze --exclude pip --exclude setuptools | sed 's/+[a-z0-9]*$$//' | LC_ALL=C sort -f; } > requirements.lock
	.venv-lock/bin/python scripts/tools/write_environments.py
	rm -rf .venv-lock
