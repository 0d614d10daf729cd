"""A study whose base is a GGUF file: nothing to pin, planned from the header; SFT and GRPO train from its import."""

import json
import subprocess
import sys
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest
import real_studies as studies
import torch
from gguf_files import Q8_0, gguf_of
from safetensors.torch import load_file
from snakemake_runs import copy_project, environment, snakemake
from tiny_models import TEXTS, tiny_checkpoint, tiny_tokenizer

pytestmark = pytest.mark.slow

MODELS, CONFIG = "results/training/models", "config/training.yaml"
STATES = ("base/seed0/checkpoint1", "sft/seed0/checkpoint2", "rl/seed0/checkpoint2")
TARGETS = [f"{MODELS}/{state}/model.safetensors" for state in STATES]
RATE, STEPS = 1e-4, 4


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A copy of the project with base -> SFT -> GRPO, the base in a GGUF file, SFT on the source's own solutions."""
    folder = tmp_path_factory.mktemp("gguf")
    copy_project(folder)
    studies.write_data(folder / "data")
    studies.write_problems(folder / "data")
    answers = [studies.ONE, studies.TWO]
    tokenizer = tiny_tokenizer([*TEXTS, studies.QUESTION, *answers * 20], vocabulary=400)
    base = tiny_checkpoint(folder / "tiny", "LlamaForCausalLM", tokenizer=tokenizer, seed=5)
    studies.teach(base, tokenizer, answers)  # so that some of its answers are right
    gguf_of(base, folder / "data/base.gguf", Q8_0)
    study = studies.training()
    del study["data"]["teacher"]
    study["data"]["sources"]["problems"]["format"]["completion"] = "\\boxed{ {{- a -}} }"
    study["models"]["base"]["from"] = "./data/base.gguf"
    for name, parent in (("sft", "base"), ("rl", "sft")):
        study["models"][name] |= {"parent": parent, "learning_rate": RATE}
    studies.write_study(folder, study)
    return folder


def tool(project: Path, name: str, *arguments: str) -> subprocess.CompletedProcess:
    call = [sys.executable, f"scripts/tools/{name}.py", *arguments]
    return subprocess.run(call, cwd=project, env=environment(), capture_output=True, text=True)


def test_nothing_is_pinned(project):
    run = tool(project, "pin", "--check", CONFIG)
    assert run.returncode == 0 and run.stdout == f"{CONFIG}: everything has its commit\n"


def test_a_plan_knows_the_size_from_the_header(project):
    run = tool(project, "plan_study", "--configfile", CONFIG, TARGETS[-1])
    assert run.returncode == 0 and "size is missing" not in run.stdout, run.stdout + run.stderr
    assert "import_model_base" in run.stdout and "not estimated" not in run.stdout


def test_a_missing_file_is_told_before_the_first_job(project):
    path = project / "data/base.gguf"
    path.rename(path.with_suffix(".away"))
    try:
        run = snakemake(project, "--configfile", CONFIG, "--", TARGETS[0])
    finally:
        path.with_suffix(".away").rename(path)
    assert run.returncode == 1 and "models.base.from: ./data/base.gguf: no such file" in run.stdout
    assert not (project / MODELS).exists() and "Traceback" not in run.stdout


@pytest.mark.skipif(find_spec("gguf") is None, reason="NOT CHECKED: the package gguf is not installed")
def test_sft_and_grpo_train_from_the_imported_checkpoint(project):
    """In float32, each from its parent: no weight is further from it than its steps can carry it."""
    run = snakemake(project, "--configfile", CONFIG, "--", *TARGETS, cores=2)
    assert run.returncode == 0, run.stdout
    models = [load_file(project / target) for target in TARGETS]
    for parent, child in pairwise(models):
        assert parent.keys() == child.keys()
        assert {weight.dtype for weight in child.values()} == {torch.float32}
        moved = max(float((parent[name] - child[name]).abs().max()) for name in parent)
        assert 0 < moved < 1.5 * RATE * STEPS  # Adam's steps are at most about the rate
    for target in TARGETS:
        config = json.loads((project / target).with_name("config.json").read_text())
        assert config["dtype"] == "float32" and "quantization_config" not in config
    source = json.loads((project / MODELS / "base/seed0/source.json").read_text())
    assert source[0]["source"] == "./data/base.gguf" and source[0]["quantisation"].keys() == {"F32", "Q8_0"}
