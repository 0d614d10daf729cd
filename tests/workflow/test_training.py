"""Training through its scripts: the same bytes in every process and after any kill, bad input and full disks named."""

import copy
import json
import os
import random
import shutil
import subprocess
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

import pandas as pd
import pytest
import torch
from fixed_edits import random_edit
from kills import contents, kill_after, moments, start
from script_files import script_file

from rlgen.models.checkpoints import load_model, save_checkpoint
from rlgen.models.settings import Aim, Hold
from rlgen.names import CHECKPOINT_FILES
from rlgen.organism import tasks
from rlgen.organism.settings import Architecture, ContinuePretraining, OrganismData, Pretrain, Split
from rlgen.resume import EVERY_S, STATE
from rlgen.tasks.samples import Example, Trajectory, write_rows
from rlgen.training.settings import DPO, GRPO, SFT, Distil
from rlgen.training.states import FILES

COMMON = {"seed": 0, "threads": 1, "name": "trained"}
DOCUMENTS = COMMON | {"salt": "s", "data": OrganismData(families=["add", "par"], problems_per_document=2).model_dump()}
TINY = Architecture(hidden_size=32, layers=2, heads=2, head_dim=16, intermediate_size=32)
RL = GRPO(
    parent="base",
    prompts=24,
    prompts_per_step=2,
    rollouts=4,
    checkpoints=3,
    learning_rate=1e-2,
    max_new_tokens=12,
    beta=0.1,
)
AIM = Aim(procedure="p")
SETTINGS = {  # by script, or by script and what is special
    "pretrain": DOCUMENTS | {"model": Pretrain(architecture=TINY, steps=60, batch_documents=4, warmup_steps=5)},
    "continue_pretraining": DOCUMENTS | {"model": ContinuePretraining(parent="base", steps=60, batch_documents=4)},
    "train_sft": COMMON | {"model": SFT(parent="base", examples=24, batch_size=2, checkpoints=3)},
    "train_grpo": COMMON | {"answer_marker": ";", "model": RL},
    "train_dpo": COMMON | {"model": DPO(parent="base", solutions="own", pairs=24, batch_size=2, checkpoints=3)},
    "train_distil": COMMON
    | {"model": Distil(parent="base", teacher="other", prompts=24, prompts_per_step=2, checkpoints=3)},
    "train_distil:under": COMMON
    | {"model": Distil(parent="base", teacher="other", prompts=24, prompts_per_step=2, checkpoints=3, under=AIM)},
    "train_sft:held": COMMON
    | {"model": SFT(parent="base", examples=24, batch_size=2, checkpoints=3, holds=Hold(procedure="p"))},
}
METRICS = {
    "train_sft": {"loss", "token_accuracy"},
    "train_grpo": {"loss", "reward", "completion_length", "share_without_spread"},
    "train_dpo": {"loss", "preferred_share", "margin", "logprob_chosen", "logprob_rejected"},
    "train_distil": {"loss", "completion_length", "entropy"},
    "train_distil:under": {"loss", "completion_length", "entropy"},
    "train_sft:held": {"loss", "token_accuracy", "held"},
}
PRETRAINING = ["pretrain", "continue_pretraining"]


@pytest.fixture(scope="module")
def study(tiny_model, tokenizer, tmp_path_factory):
    """A folder with a tokenizer, a parent checkpoint and training examples."""
    folder = tmp_path_factory.mktemp("training")
    save_checkpoint(tiny_model, tokenizer, folder / "parent")
    examples = tasks.training_examples(["add"], 24, "s", Split(), seed=0)
    write_rows(folder / "train_sft.jsonl", examples)
    # A random model never answers right; it gives no answer often enough to be rewarded for that.
    write_rows(folder / "train_grpo.jsonl", [Example(e.prompt, e.completion, None) for e in examples])
    sides = [(e, text) for e in examples for text in (e.plain, "; 0 ." if e.answer != "0" else "; 1 .")]
    rows = [Trajectory(e.prompt, e.answer, text, 4, True, text == e.plain) for e, text in sides]
    write_rows(folder / "train_dpo.jsonl", rows)
    write_rows(folder / "train_distil.jsonl", examples)
    other = copy.deepcopy(tiny_model)
    with torch.no_grad():
        other.lm_head.weight.mul_(0.5)
    save_checkpoint(other, tokenizer, folder / "other")
    random_edit(tiny_model.config.hidden_size, 0).save(folder / "edit.safetensors")
    return folder


@pytest.fixture(scope="module", params=SETTINGS)
def undisturbed(request, study):
    """(script, what it writes when nothing happens), by a real process of its own."""
    script = request.param
    command = [sys.executable, str(script_file(script_of(script))), *arguments(script, f"{script}/undisturbed")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HOME": str(study / "hf")}
    result = subprocess.run(command, cwd=study, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "Warning" not in result.stderr and "%|" not in result.stderr  # progress lines of our own only
    return script, contents(study / script / "undisturbed")


def script_of(name: str) -> str:
    return name.partition(":")[0]


def arguments(script: str, output: str, state: str | None = None, parent: str = "parent") -> list[str]:
    """Command line of a script."""
    cfg = SETTINGS[script] | {"model": SETTINGS[script]["model"].model_dump()}
    given = {"--cfg": json.dumps(cfg), "--output": output} | ({"--state": state} if state else {})
    given["--tokenizer" if script == "pretrain" else "--parent"] = parent
    if script in METRICS:
        given["--solutions" if script == "train_dpo" else "--training"] = f"{script_of(script)}.jsonl"
    if script_of(script) == "train_distil":
        given["--teacher"] = "other"
    if script != script_of(script):
        given["--edit"] = "edit.safetensors"
    return [word for pair in given.items() for word in pair]


class Attempts:
    """One job, attempted again and again as Snakemake does: what it declared as output is gone before each."""

    def __init__(self, study: Path, script: str, name: str) -> None:
        self.study, self.script, self.folder = study, script, study / script / name
        self.output, self.state, self.log = (self.folder / part for part in ("output", "state", "log.txt"))

    def begin(self, largest_file: int | None = None) -> BaseProcess:
        shutil.rmtree(self.output, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log.write_text("")
        words = arguments(self.script, str(self.output), str(self.state))
        return start(script_of(self.script), words, self.study, self.log, largest_file, **{EVERY_S: "0"})

    def finish(self) -> dict[str, str]:
        """Outputs after an attempt that nobody kills."""
        process = self.begin()
        process.join()
        assert process.exitcode == 0, self.log.read_text()
        return contents(self.output)


@pytest.mark.slow
def test_training_repeats_to_the_byte(undisturbed, study):
    script, written = undisturbed
    settings = SETTINGS[script]["model"]
    names = [f"checkpoint{i + 1}/{name}" for i in range(settings.checkpoints) for name in CHECKPOINT_FILES]
    assert sorted(written) == sorted([*names, "curves.csv"])
    assert Attempts(study, script, "again").finish() == written  # and states that are kept change nothing
    folder = study / script / "undisturbed"
    assert load_model(folder / "checkpoint1").config.hidden_size == 32
    curves = pd.read_csv(folder / "curves.csv")
    assert list(curves) == ["step", "metric", "value"] and set(curves["metric"]) == METRICS.get(script, {"loss"})
    steps = [1, 11, 21, 31, 41, 51, 60] if script in PRETRAINING else list(range(1, 13))
    assert sorted(set(curves["step"])) == steps and curves["value"].notna().all()
    weights = [written[name] for name in names if name.endswith("model.safetensors")]
    assert len({contents(study / "parent")["model.safetensors"], *weights}) == 1 + len(weights)


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_bytes(undisturbed, study):
    script, written = undisturbed
    kill_until_done(Attempts(study, script, "killed"), written, random.Random(script), kills=2)


@pytest.mark.drill
@pytest.mark.parametrize("seed", range(5))
def test_killed_again_and_again_it_ends_with_the_same_bytes(undisturbed, study, seed):
    script, written = undisturbed
    kill_until_done(Attempts(study, script, f"drill{seed}"), written, random.Random(f"{script}{seed}"), kills=12)


def kill_until_done(job: Attempts, written: dict[str, str], draw: random.Random, kills: int) -> None:
    killed = [kill_after(job.begin(), job.folder, *moment) for moment in moments(draw, kills)]
    assert killed[0]  # it comes long before the end, if others perhaps do not
    states = [*job.state.rglob(FILES), *job.state.rglob(STATE)]
    assert job.finish() == written
    assert ("continuing from step " in job.log.read_text()) == (len(states) > 0)
    assert {path.name for path in job.folder.iterdir()} == {"output", "state", "log.txt"}
    assert [path for path in job.state.rglob(".*")] == []  # what the kills left half written is gone


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flip(data: bytes) -> bytes:
    half = len(data) // 2
    return data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :]


@pytest.mark.slow
def test_a_broken_state_is_named_and_not_used(undisturbed, study):
    script, written = undisturbed
    job = Attempts(study, script, "broken")
    assert job.finish() == written
    assert job.finish() == written
    last_step = f"continuing from step {60 if script in PRETRAINING else 12}\n"
    assert last_step in job.log.read_text()
    if script in PRETRAINING:
        broken = [(STATE, cut), (STATE, flip)]
    else:  # the last, the one before, and a checkpoint of the study that both stand for
        last, before = "trainer/checkpoint-12", "trainer/checkpoint-11"
        broken = [(f"{last}/{FILES}", cut), (f"{last}/optimizer.pt", flip), ("checkpoint1/model.safetensors", flip)]
        broken.append((f"{before}/rng_state.pth", cut))  # is not even looked at
    for name, harm in broken:
        place = job.state / name
        place.write_bytes(harm(place.read_bytes()))
        assert job.finish() == written
        named = str(place.parent if name.endswith(FILES) else place)
        said = [line for line in job.log.read_text().splitlines() if "state not used" in line]
        assert any(named in line for line in said) == ("rng_state" not in name), job.log.read_text()
        assert (last_step in job.log.read_text()) == ("rng_state" in name)


@pytest.mark.slow
def test_a_state_that_cannot_be_written_is_told_once_and_costs_nothing(undisturbed, study):
    script, written = undisturbed
    job = Attempts(study, script, "nowhere")
    job.folder.mkdir(parents=True)
    job.state.write_text("a file where a folder should be")
    assert job.finish() == written
    said = [line for line in job.log.read_text().splitlines() if str(job.state) in line]
    assert said and len(said) <= 2 and all("going on without" in line for line in said), job.log.read_text()


@pytest.mark.slow
def test_an_output_that_cannot_be_written_ends_the_job_with_its_name(undisturbed, study):
    script, written = undisturbed
    job = Attempts(study, script, "full")
    process = job.begin(largest_file=10_000)
    process.join()
    last = job.log.read_text().splitlines()[-1]
    assert process.exitcode == 1 and "checkpoint1: cannot be written (" in last and "File too large" in last
    assert [path for path in job.output.rglob("*") if path.is_file()] == []
    assert job.finish() == written


@pytest.mark.parametrize("script", [name for name in SETTINGS if name != "pretrain"])
def test_a_parent_without_weights_is_refused_and_nothing_written(script, study):
    (study / "empty").mkdir(exist_ok=True)
    log = study / script / "refused.txt"
    log.parent.mkdir(exist_ok=True)
    process = start(script_of(script), arguments(script, "nothing", parent="empty"), study, log)
    process.join()
    assert process.exitcode == 1 and "empty: no model.safetensors" in log.read_text()
    assert not (study / "nothing").exists()
