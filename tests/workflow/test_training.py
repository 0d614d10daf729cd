"""SFT and RL through their scripts: checkpoints, curves, the same bytes in every process, bad parents refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from rlgen import files, tasks
from rlgen.models import CHECKPOINT_FILES, load_model, save_checkpoint
from rlgen.samples import write_rows
from rlgen.settings.data import Split
from rlgen.settings.models import GRPO, SFT

SCRIPTS = Path(files.__file__).parents[1]
COMMON = {"seed": 0, "threads": 1, "name": "tuned"}
SETTINGS = {
    "train_sft": COMMON | {"model": SFT(parent="base", examples=12, batch_size=4, checkpoints=2).model_dump()},
    "train_grpo": COMMON
    | {
        "answer_marker": ";",
        "model": GRPO(
            parent="base",
            prompts=6,
            prompts_per_step=2,
            rollouts=2,
            checkpoints=2,
            learning_rate=1e-2,
            max_new_tokens=4,
        ).model_dump(),
    },
}


@pytest.fixture(scope="module")
def study(tiny_model, tokenizer, tmp_path_factory):
    """A folder with a parent checkpoint and training examples."""
    folder = tmp_path_factory.mktemp("training")
    save_checkpoint(tiny_model, tokenizer, folder / "parent")
    write_rows(folder / "training.jsonl", tasks.training_examples(["add"], 12, "s", Split(), seed=0))
    return folder


def run(script: str, study: Path, output: str, **change) -> subprocess.CompletedProcess:
    arguments = {"--parent": "parent", "--training": "training.jsonl", "--output": output} | change
    command = [sys.executable, str(SCRIPTS / f"{script}.py"), "--cfg", json.dumps(SETTINGS[script])]
    command += [word for pair in arguments.items() for word in pair]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HOME": str(study / "hf")}
    return subprocess.run(command, cwd=study, env=environment, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "metrics"),
    [
        ("train_sft", {"loss", "token_accuracy"}),
        ("train_grpo", {"loss", "reward", "completion_length", "share_without_spread"}),
    ],
)
def test_training_repeats_to_the_byte(script, metrics, study):
    for output in ("one", "two"):
        result = run(script, study, f"{script}/{output}")
        assert result.returncode == 0, result.stderr
        assert "Warning" not in result.stderr and "%|" not in result.stderr  # progress lines of our own only
    one, two = study / script / "one", study / script / "two"
    names = [f"checkpoint{i}/{name}" for i in (1, 2) for name in CHECKPOINT_FILES] + ["curves.csv"]
    assert sorted(str(p.relative_to(one)) for p in one.rglob("*") if p.is_file()) == sorted(names)
    for name in names:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    assert load_model(one / "checkpoint2").config.hidden_size == 32
    curves = pd.read_csv(one / "curves.csv")
    assert list(curves) == ["step", "metric", "value"] and set(curves["metric"]) == metrics
    assert sorted(set(curves["step"])) == [1, 2, 3] and curves["value"].notna().all()
    if script == "train_sft":  # random rewards of an untrained model may well leave nothing to learn
        bytes_of = [(study / p / "model.safetensors").read_bytes() for p in ("parent", one / "checkpoint1")]
        assert bytes_of[0] != bytes_of[1] != (one / "checkpoint2" / "model.safetensors").read_bytes()


@pytest.mark.parametrize("script", SETTINGS)
def test_a_parent_without_weights_is_refused_and_nothing_written(script, study):
    (study / "empty").mkdir(exist_ok=True)
    result = run(script, study, "nothing", **{"--parent": "empty"})
    assert result.returncode != 0 and "empty: no model.safetensors" in result.stderr
    assert not (study / "nothing").exists()
