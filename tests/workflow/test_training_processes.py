"""Training as real models are trained: turns of a chat, bfloat16, one process and several that train together.

Several processes on a CPU share the batch (accelerate's choice there), or the weights as well (`fsdp_on_cpu`).
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from kills import SCRIPTS, contents
from safetensors.torch import load_file
from script_files import script_file
from tiny_models import tiny_checkpoint

from rlgen.jobs.launch import PROBLEM, STARTER
from rlgen.names import CHECKPOINT_FILES
from rlgen.resume import EVERY_S
from rlgen.tasks.samples import Example, write_rows
from rlgen.training.settings import GRPO, SFT, GRPOScale, Scale
from rlgen.training.states import FILES

HERE = Path(__file__).parent
SCALE = {"per_device_batch": 2, "max_length": 68, "max_cut_share": 0.2, "end_token": "<|im_end|>"}
COMMON = {"seed": 0, "threads": 1, "name": "trained", "chat": True}
PATIENCE_S = 60


def sft(gpus: int, precision: str) -> dict:
    scale = Scale(gpus=gpus, precision=precision, **SCALE)
    model = SFT(parent="base", examples=48, batch_size=8, learning_rate=1e-3, checkpoints=3, scale=scale)
    return COMMON | {"model": model.model_dump()}


def grpo(gpus: int) -> dict:
    scale = GRPOScale(gpus=gpus, vllm="none", check_workers=3, check_timeout_s=7.5, **SCALE)
    sizes = {"prompts": 24, "prompts_per_step": 4, "rollouts": 4, "max_new_tokens": 10, "checkpoints": 3}
    model = GRPO(parent="base", learning_rate=1e-3, beta=0.05, scale=scale, **sizes)
    return COMMON | {"answer_marker": None, "model": model.model_dump()}


KINDS = {  # what trains -> script, settings, scripts before it
    "one": ("train_sft", sft(1, "bf16"), []),
    "one-exact": ("train_sft", sft(1, "float32"), []),
    "two-exact": ("train_sft", sft(2, "float32"), []),
    "sharded-exact": ("train_sft", sft(2, "float32"), ["fsdp_on_cpu"]),
    "sharded": ("train_sft", sft(2, "bf16"), ["fsdp_on_cpu"]),
    "gpu": ("train_sft", sft(1, "bf16"), []),
    "gpus": ("train_sft", sft(2, "bf16"), []),
    "rl": ("train_grpo", grpo(2), ["other_checker"]),
    "rl-sharded": ("train_grpo", grpo(2), ["fsdp_on_cpu", "other_checker"]),
}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A folder with a parent checkpoint in bfloat16 and training examples, three of which are too long."""
    folder = tmp_path_factory.mktemp("training")
    tiny_checkpoint(folder / "parent", dtype=torch.bfloat16)
    sums = [(i, i + 1, 2 * i + 1) for i in range(48)]
    texts = [f"It is {a} + {b} = {c}. The answer is {c}." + " so" * (a % 7) for a, b, c in sums]
    examples = [Example(f"What is {a} + {b}?", text, str(c)) for (a, b, c), text in zip(sums, texts, strict=True)]
    write_rows(folder / "examples.jsonl", examples)
    return folder


def begin(study: Path, kind: str, name: str, **change) -> subprocess.Popen:
    """Start a training, in a folder of the name of its own."""
    script, cfg, before = KINDS[kind]
    folder = study / name
    folder.mkdir(exist_ok=True)
    (folder / "problem").unlink(missing_ok=True)
    cfg = cfg | change
    gpus = cfg["model"]["scale"]["gpus"]
    launch = ["-m", "rlgen.jobs.launch", "launch", str(gpus)] if gpus > 1 else []
    call = [*(str(HERE / f"{word}.py") for word in before), str(script_file(script))]
    given = {"--parent": "parent", "--training": "examples.jsonl", "--output": f"{name}/output"}
    given |= {"--cfg": json.dumps(cfg), "--state": f"{name}/state"}
    told = {STARTER: str(os.getpid()), PROBLEM: f"{name}/problem", EVERY_S: "0", "PYTHONPATH": str(SCRIPTS)}
    told |= {"OMP_NUM_THREADS": "1", "HF_HOME": str(study / "hf")}
    told |= {} if kind.startswith("gpu") else {"CUDA_VISIBLE_DEVICES": ""}
    with open(folder / "log.txt", "a") as log:
        command = [sys.executable, *launch, *call, *(word for pair in given.items() for word in pair)]
        return subprocess.Popen(command, cwd=study, env=os.environ | told, stdout=log, stderr=subprocess.STDOUT)


def trained(study: Path, kind: str, name: str | None = None) -> dict[str, str]:
    """Train to the end, once per name; returns what was written."""
    name = name or kind
    folder = study / name / "output"
    if not (folder / "curves.csv").exists():
        log = study / name / "log.txt"
        assert begin(study, kind, name).wait() == 0, log.read_text()
        assert "Warning" not in log.read_text()
    return contents(folder)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["one", "sharded", "rl"])
def test_what_is_written_can_be_loaded_and_is_in_the_dtype_of_the_parent(study, kind):
    written = trained(study, kind)
    names = [f"checkpoint{i}/{name}" for i in (1, 2, 3) for name in CHECKPOINT_FILES]
    assert sorted(written) == sorted([*names, "curves.csv"])
    parent, last = ("parent", f"{kind}/output/checkpoint3")
    before, after = (load_file(study / folder / "model.safetensors") for folder in (parent, last))
    assert {name: (t.dtype, t.shape) for name, t in after.items()} == {n: (t.dtype, t.shape) for n, t in before.items()}
    assert any(not torch.equal(after[name], before[name]) for name in before)
    configs = [json.loads((study / folder / "config.json").read_text()) for folder in (parent, last)]
    changed = {name for name in configs[0] | configs[1] if configs[0].get(name) != configs[1].get(name)}
    assert changed <= {"eos_token_id", "use_cache"}
    generates = json.loads((study / last / "generation_config.json").read_text())
    assert generates["eos_token_id"] == [3, 0] and generates["use_cache"]  # the turn's end, and the tokenizer's
    tokenizer = json.loads((study / last / "tokenizer_config.json").read_text())
    assert tokenizer["eos_token"] == "<|im_end|>" and "<|im_start|>" in tokenizer["chat_template"]
    log = (study / kind / "log.txt").read_text()
    assert log.count("tokens: median") == 1  # said by one of the processes, before the first step
    assert log.index("tokens: median") < log.index("saved")
    curves = pd.read_csv(study / kind / "output/curves.csv")
    assert sorted(set(curves["step"])) == list(range(1, 7 if kind == "rl" else 6)) and curves["value"].notna().all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [pytest.param("two-exact", marks=pytest.mark.drill), "sharded-exact"])
def test_two_processes_train_the_model_of_one(study, kind):
    """Up to the order of sums, as the losses of every step show: the batch is one, whoever holds which part of it."""
    for name in ("one-exact", kind):
        trained(study, name)
    one, two = (pd.read_csv(study / name / "output/curves.csv") for name in ("one-exact", kind))
    both = one.merge(two, on=["step", "metric"], validate="one_to_one")
    losses = both[both["metric"] == "loss"]
    assert len(losses) == 5
    torch.testing.assert_close(
        torch.tensor(losses["value_x"].to_numpy()), torch.tensor(losses["value_y"].to_numpy()), rtol=1e-4, atol=0
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["one", "sharded", pytest.param("rl", marks=pytest.mark.drill)])
def test_killed_between_two_steps_it_ends_with_the_same_bytes(study, kind):
    written, name = trained(study, kind), f"{kind}-killed"
    process = begin(study, kind, name)
    state = study / name / "state"
    until(lambda: (state / f"trainer/checkpoint-2/{FILES}").exists() or process.poll() is not None)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    until(lambda: not at_work(study / name))  # the others end by themselves
    assert not (study / name / "output/curves.csv").exists()
    assert trained(study, kind, name) == written
    log = (study / name / "log.txt").read_text()
    refused = [line for line in log.splitlines() if "state not used" in line]
    # The kill may also come while the state after it is being written.
    assert log.count("continuing from step ") == 1 and all(line.endswith("was not finished") for line in refused)


@pytest.mark.drill
def test_states_of_several_processes_are_checked_in_all_their_parts(study):
    written = trained(study, "sharded")
    part = study / "sharded/state/trainer/checkpoint-5/optimizer_0/__1_0.distcp"
    part.write_bytes(part.read_bytes()[:-1])
    (study / "sharded/output/curves.csv").unlink()
    assert trained(study, "sharded") == written
    log = (study / "sharded/log.txt").read_text()
    assert "optimizer_0/__1_0.distcp is not as it was written" in log and "continuing from step 4\n" in log


@pytest.mark.drill
def test_the_weights_of_rl_may_be_shared_too(study):
    trained(study, "rl")
    trained(study, "rl-sharded")
    one, two = (pd.read_csv(study / name / "output/curves.csv") for name in ("rl", "rl-sharded"))
    first = [table[(table["step"] == 1) & (table["metric"] == "reward")]["value"].item() for table in (one, two)]
    assert 0 < first[0] == first[1] < 1  # before the first update both are the parent, which draws the same


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "gpus"), [("one", 1), ("two-exact", 2)])
def test_too_many_long_texts_are_refused_in_one_line_and_nothing_is_written(study, kind, gpus):
    cfg = json.loads(json.dumps(KINDS[kind][1]))
    cfg["model"]["scale"] |= {"max_cut_share": 0.05}
    name = f"{kind}-refused"
    assert begin(study, kind, name, model=cfg["model"]).wait() != 0
    told = "3 of 48 training texts (6.25%) are longer than scale.max_length=68 tokens (longest 71)"
    said = (study / name / "problem").read_text() if gpus > 1 else (study / name / "log.txt").read_text()
    assert told in said and not (study / name / "output").exists()


@pytest.mark.slow
def test_another_number_of_processes_than_the_study_says_is_refused(study):
    cfg = json.loads(json.dumps(KINDS["one"][1]))
    cfg["model"]["scale"] |= {"gpus": 2}
    call = [sys.executable, str(script_file("train_sft")), "--cfg", json.dumps(cfg), "--parent", "parent"]
    call += ["--training", "examples.jsonl", "--output", "alone"]
    ended = subprocess.run(call, cwd=study, capture_output=True, text=True)
    assert ended.returncode != 0 and "scale.gpus: 2, but 1 processes were started, expected 2" in ended.stderr


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["gpu", "gpus"])
def test_a_gpu_trains_the_model_of_the_cpu(study, kind):
    """In bfloat16, so only roughly; with two of them, weights are shared as accelerate itself decides."""
    needed = KINDS[kind][1]["model"]["scale"]["gpus"]
    if torch.cuda.device_count() < needed:
        pytest.skip(f"TRAINING ON {needed} GPU(S) WAS NOT TESTED: {torch.cuda.device_count()} are here")
    trained(study, "one")
    trained(study, kind)
    one, two = (pd.read_csv(study / name / "output/curves.csv") for name in ("one", kind))
    both = one[one["metric"] == "loss"].merge(two, on=["step", "metric"], validate="one_to_one")
    assert len(both) == 5 and ((both["value_x"] - both["value_y"]).abs() < 0.05).all()


def until(what, seconds: float = PATIENCE_S) -> None:
    last = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < last, "it never came"
        time.sleep(0.02)


def at_work(folder: Path) -> list[int]:
    """Processes whose command line names a folder's output."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if f"{folder.name}/output".encode() in place.read_bytes().split(b"\0"):
                found.append(int(place.parent.name))
        except OSError:
            continue
    return found
