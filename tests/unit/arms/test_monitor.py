"""The monitor says of a checkpoint what the study's tables say of it, and writes it into a trainer's log."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from crosscoders import random_crosscoder
from datasets import Dataset
from transformers import TrainerCallback

from rlgen.arms import early
from rlgen.arms.drift import drift, reference_texts
from rlgen.arms.monitor import Monitor, MonitorCallback, line
from rlgen.arms.readouts import Reader, Watched
from rlgen.arms.settings import ForetellArms
from rlgen.tasks.samples import Sample

LAYER, SET = 1, np.array([2, 5])
SAMPLES = [
    Sample(task, role, "discovery", f"{task}{i}", f"{task} {i} | 1 2 3 {i} =", str(i), tuple("0123456789"))
    for task, role in (("add", "in_domain"), ("max", "selection"))
    for i in range(4)
]


def moved(model, share: float):
    """A copy whose weights moved along one direction."""
    copied, generator = copy.deepcopy(model), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.add_(share * parameter.std() * torch.randn(parameter.shape, generator=generator))
    return copied


@pytest.fixture(scope="module")
def parts(tiny_model, tokenizer):
    """Texts, the reader, the set, and tables of drift of two arms, the target at two checkpoints."""
    crosscoder = replace(random_crosscoder(0, d=tiny_model.config.hidden_size), members=["base@1", "rl@2"])
    texts = reference_texts(tiny_model, tokenizer, SAMPLES, 4, 7, seed=0)
    length_S = (crosscoder.decoder_raw_SMd[:, 1] - crosscoder.decoder_raw_SMd[:, 0]).double().norm(dim=1).numpy()
    watched = Watched(length_S, SET, np.arange(7))
    reader = Reader.of(crosscoder, "swap", "own")

    def table(model, shares):
        rows = [
            drift(tiny_model, moved(tiny_model, s), texts, LAYER, Reader.of(crosscoder, "swap", model)) for s in shares
        ]
        return early.pd.concat([r.assign(checkpoint=i) for i, r in enumerate(rows, start=1)], ignore_index=True)

    return texts, reader, watched, {("rl", 3): table("rl", (0.01, 0.02)), ("own", 3): table("own", (0.015,))}


@pytest.fixture(scope="module")
def monitor(parts, tiny_model):
    texts, reader, watched, tables = parts
    return Monitor(tiny_model, texts, LAYER, reader, watched, tables["rl", 3])


def test_it_says_what_the_table_says(parts, monitor, tiny_model):
    _, _, watched, tables = parts
    arms = [("rl", "reward"), ("own", "own")]
    cfg = ForetellArms(arms=arms, seeds=[3], reference="base", target="rl", random_sets=1, bootstrap=10)
    rows = early.readings_table(tables, {3: watched}, cfg).query("model == 'own' and not predictor.str.contains('-')")
    expected = {f"{row.predictor}/{row.texts}": row.value for row in rows.itertuples()}
    assert monitor.read(moved(tiny_model, 0.015)) == pytest.approx(expected, rel=1e-5)
    still = monitor.read(tiny_model)
    assert still["set/selection"] == 0 and still["displacement/in_domain"] == 0


def test_a_line_has_both_kinds_of_texts():
    assert (
        line({"set/selection": 0.5, "set/in_domain": 0.25, "kl/selection": 0.012345}) == "set 0.5 / 0.25 | kl 0.01235"
    )


@pytest.mark.slow
def test_a_trainer_of_trl_logs_it(monitor, tiny_model, tokenizer, tmp_path):
    from trl import SFTConfig, SFTTrainer

    seen = []

    class Later(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **_):
            seen.append(dict(logs))

    trainer = SFTTrainer(
        model=copy.deepcopy(tiny_model),
        processing_class=tokenizer,
        train_dataset=Dataset.from_list([{"input_ids": [1, 5, 6, 7], "labels": [1, 5, 6, 7]}] * 8),
        callbacks=[MonitorCallback(monitor, every=2), Later()],
        args=SFTConfig(
            output_dir=str(tmp_path), use_cpu=True, bf16=False, report_to="none", logging_steps=1, max_length=None,
            per_device_train_batch_size=2, num_train_epochs=1, learning_rate=1e-2, save_strategy="no",
        ),
    )  # fmt: skip
    trainer.train()
    read = [row["step"] for row in trainer.state.log_history if "monitor/set/selection" in row]
    assert read[:2] == [2, 4] and "monitor/kl/in_domain" in seen[1] and "monitor/kl/in_domain" not in seen[0]
    last = trainer.state.log_history[3]
    assert last["monitor/kl/selection"] == pytest.approx(monitor.read(trainer.model.eval())["kl/selection"], rel=1e-5)
    with pytest.raises(ValueError, match="every=0, expected at least 1"):
        MonitorCallback(monitor, every=0)
