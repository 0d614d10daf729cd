"""Bad input of studies on published models: one message with field, value and expectation, before a GPU has worked."""

import re
import shutil
from pathlib import Path

import pytest
import real_studies as studies
import torch
from snakemake_runs import copy_project, snakemake
from tiny_models import tiny_checkpoint, tiny_tokenizer
from transformers import GPT2Config, GPT2LMHeadModel

from rlgen.models.checkpoints import save_checkpoint

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A copy of the project with a study of one's own that could run, and things beside it that do not fit."""
    folder = tmp_path_factory.mktemp("refused")
    copy_project(folder)
    data = folder / "data"
    studies.write_data(data)
    studies.write_own_models(data)
    tiny_checkpoint(data / "wide", hidden_size=48)
    tiny_checkpoint(data / "foreign", tokenizer=tiny_tokenizer(["quite another text " * 20]))
    problems = [{"q": f"How many are {i}?", "a": "" if i == 2 else str(i)} for i in range(4)]
    studies.write_lines(data / "unanswered.jsonl", problems)
    long = {"goal": "see the cat " * 400, "sol1": "run", "sol2": "sit", "label": 0}
    studies.write_lines(data / "long.jsonl", [long | {"goal": f"{i} {long['goal']}"} for i in range(8)])
    torch.manual_seed(0)
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=320, n_embd=32, n_layer=2, n_head=2, n_positions=512))
    save_checkpoint(gpt2, tiny_tokenizer(), data / "gpt2")
    return folder


def ill_fitting(study: dict) -> dict:
    """Things that do not fit, none of which needs another: each is refused by its own message."""
    for name, origin in MODELS.items():
        study["models"][name] = {"method": "load", "from": origin}
    study["data"]["sources"]["talk"]["format"]["column"] = "messages"
    study["data"]["sources"]["problems"] = {
        "files": ["data/unanswered.jsonl"],
        "format": {"prompt": "{{ q }}", "answer": "{{ a }}"},
    }
    study["data"]["benchmarks"]["openbook_qa"] = study["data"]["benchmarks"].pop("openbookqa")
    study["tasks"]["selection"] = ["openbook_qa"]
    return study


MODELS = {
    "absent": "./data/nowhere",
    "unpinned": "owner/name",
    "foreign": "./data/foreign",
    "wide": "./data/wide",
    "other": "./data/gpt2",
}
MESSAGES = [
    "./data/nowhere: no such folder, and no hub id either; expected a checkpoint folder or owner/name",
    "owner/name: no such folder, and as a hub id it has no revision, expected the commit to use; run `make pin",
    "./data/foreign: token 'Ġt' has no id, expected id 260 (results/byo/models/base/seed0/checkpoint1); ",
    "./data/wide: hidden size 48, expected 32 as in results/byo/models/base/seed0/checkpoint1; only models",
    "./data/gpt2: architecture GPT2LMHeadModel has no model.model.layers; take a model",
    "talk: no column 'messages', expected one of conversations, system; mend the source's format",
    "problems: 1 of 4 rows are unusable (row 3 first: empty answer), expected at most refused_share=0; mend",
    "benchmark openbook_qa: the installed lm-eval ships no task of that name",
]


def refused(project: Path, study: dict, *targets: str) -> list[str]:
    """The errors of a run, of which no job that would take a GPU has written anything."""
    config = studies.write_study(project, study)
    shutil.rmtree(project / "results", ignore_errors=True)
    run = snakemake(project, "--configfile", config, *(targets or ["--", "figures", "all"]))
    assert run.returncode == 1 and "Traceback" not in run.stdout, run.stdout
    made = {path.relative_to(project).parts[2] for path in project.rglob("results/*/*/**/*") if path.is_file()}
    assert made <= {"data", "models", "logs", "benchmarks", "manifests", ".jobs"}, made
    errors = re.findall(r"^error: (.*)$|^(stream.disk_gb: .*)$", run.stdout, re.M)
    return ["".join(pair) for pair in errors]


def test_a_download_tells_all_that_does_not_fit_each_by_its_own_message(project):
    found = refused(project, ill_fitting(studies.bring_your_own()), "--keep-going", "--", "download")
    assert len(found) == len(MESSAGES), found
    for message in MESSAGES:
        assert [line for line in found if line.startswith(message)], (message, found)


def test_a_layer_that_the_models_lack_is_refused_before_any_other_job(project):
    study = studies.bring_your_own()
    study["stream"]["layer"] = 2
    (found,) = refused(project, study)
    assert found.startswith("./data/base: stream.layer=2 is out of range, expected 0 to 1 (2 blocks); choose another")


def test_a_prompt_beyond_the_context_is_refused_before_a_model_is_asked_anything(project):
    study = studies.bring_your_own()
    study["data"]["benchmarks"]["piqa"]["files"] = {"validation": "data/long.jsonl"}
    (found,) = refused(project, study)
    assert re.match(
        r"benchmark piqa: the longest prompt with its text takes \d{4} tokens, .* holds 512; expected", found
    )


# By hand: 4 states x 512 rows x (32 numbers x 4 + 3 labels x 4 bytes); two windows' and the held-out shards, or all.
@pytest.mark.parametrize(("windows", "shards"), [({"windows": 3, "windows_on_disk": 2}, 6), ({"windows": 1}, 8)])
def test_activations_beyond_the_limit_are_refused_before_any_job(project, windows, shards):
    study, gb = studies.bring_your_own(), 4 * 512 * 140 * shards / 1e9
    study["stream"] |= windows | {"disk_gb": 0.999 * gb}
    (found,) = refused(project, study)
    expected = f"stream.disk_gb: activations of {gb:.3g} GB lie on the disk together (value {0.999 * gb:g}); raise it"
    assert found.startswith(expected) and not (project / "results/byo/models").exists()
