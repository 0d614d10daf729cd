"""Scores by cause from files to tables: the organism's words, and published models with choices and solutions."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from crosscoders import random_crosscoder
from tiny_models import tiny_checkpoint
from tiny_runs import relative

from rlgen.features.attribution import attribute, dose_curve
from rlgen.features.causes import AttributeFeatures, ChooseTogether, Subjects, attribution_tables, joint_table
from rlgen.files import write_parquet
from rlgen.models.checkpoints import save_checkpoint
from rlgen.tasks.samples import Sample, write_rows

CFG = dict(seed=0, threads=1, reference="base", tuned="rl", layer=1, positions="completion", readout="swap",
           critical="gained", doses=[0.5, 1.0, 2.0], completion_tokens=None, batch_size=None)  # fmt: skip
PROMPTS = {"max": "max 3 | 1 2 =", "add": "add 3 | 1 2 4 ="}
DEAD = [0, 5]


def samples() -> list[Sample]:
    """Four samples a task: the last is of the test half."""
    return [
        Sample(task, "in_domain" if task == "add" else "selection", "test" if i == 3 else "discovery", f"{task}{i}",
               PROMPTS[task], "3", ("3", "4"))
        for task in PROMPTS for i in range(4)
    ]  # fmt: skip


def behaviours(folder, texts: dict[str, str], right: dict[str, list[bool]], first: str) -> tuple:
    """Tables of both models, with a checkpoint's rows beside those that count; the tuned model's first text."""
    paths = []
    for state in ("base", "rl"):
        rows = [
            {"state": other, "sample": s.sample, "correct": right[state][int(s.sample[-1])], "completion": text}
            for s in samples()
            for other, text in ((state, texts[state]), (f"{state}@1", "nothing like it"))
        ]
        rows[0]["completion"] = texts[state] if state == "base" else first  # max0
        paths.append(folder / f"{state}.parquet")
        write_parquet(paths[-1], pd.DataFrame(rows))
    return tuple(paths)


RIGHT = {"base": [False, False, True, False], "rl": [True, True, True, True]}


def files(folder, d: int, texts, first: str, S: int = 7) -> dict:
    """Dictionary, behaviours and samples on disk."""
    dictionary = random_crosscoder(3, S=S, d=d, threshold=2.0)
    dictionary.members = ["base@1", "rl@5"]
    dictionary.W_dec_SMd *= 0.1
    dictionary.save(folder / "dictionary")
    alive = ~np.isin(np.arange(S), DEAD)
    table = pd.DataFrame({"latent": np.arange(S), "alive": alive}).sample(frac=1, random_state=0)  # any order of rows
    write_parquet(folder / "dictionary/features.parquet", table)
    write_rows(folder / "samples.jsonl", samples())
    found = behaviours(folder, texts, RIGHT, first)
    return {"dictionary": folder / "dictionary", "behaviours": found, "samples": [folder / "samples.jsonl"]}


@pytest.fixture(scope="module")
def organism(tmp_path_factory, tiny_model, tokenizer):
    """Arguments of `Subjects` but for the settings."""
    folder = tmp_path_factory.mktemp("organism")
    for name, model in (("base", tiny_model), ("rl", relative(tiny_model))):
        save_checkpoint(model, tokenizer, folder / name)
    given = files(folder, 32, {"base": "4 ; 4", "rl": "3 3 ; 3"}, "")
    return given | {"folders": (folder / "base", folder / "rl"), "device": torch.device("cpu")}


def subjects(given: dict, cfg=AttributeFeatures, **fields) -> Subjects:
    return Subjects(cfg(**CFG | fields), **given)


def test_populations_texts_and_alive_latents(organism):
    found = subjects(organism)
    assert [s.sample for s in found.samples] == ["max0", "max1", "max2", "add0", "add1", "add2"]
    assert found.alive_F.tolist() == [1, 2, 3, 4, 6]
    assert found.of("max", "critical") == [1] and found.of("max", "noncritical") == [2]  # max0 is without text
    assert found.of("add", "critical") == [3, 4] and found.of("add", "all") == [3, 4, 5]
    lengths = [[len(text) for _, text in pair.texts] for pair in (found.enable, found.disable)]
    assert lengths == [[0, 4, 4, 4, 4, 4], [3] * 6]  # each model is forced on the other's text


def test_tables_hold_what_attribution_gives_task_by_task(organism):
    found = subjects(organism)
    scores, paths = attribution_tables(found)
    assert set(scores["latent"]) == {1, 2, 3, 4, 6} and len(scores) == 2 * 3 * 5
    assert not scores["attribution"].isna().any()
    exchange = found.exchange(0)
    kl_ID = dose_curve(found.enable, exchange, [3, 4, 5], [0.0, 0.5, 1.0, 2.0])
    end = 1 + int(kl_ID[:, 1:].mean(0).argmin())
    share_IF = attribute(found.enable, exchange, dict.fromkeys([3, 4], [0.0, 0.5, 1.0, 2.0][end]))
    rows = scores[(scores["task"] == "add") & (scores["population"] == "critical")]
    assert rows["attribution"].to_numpy() == pytest.approx(share_IF.mean(0).numpy(), rel=1e-4, abs=1e-7)
    path = paths[(paths["task"] == "add") & (paths["population"] == "critical")].iloc[0]
    assert path["samples"] == 2 and path["dose"] == [0.0, 0.5, 1.0, 2.0][end]
    assert path["kl_unedited"] == pytest.approx(kl_ID[:2, 0].mean())
    assert path["kl_exchanged"] == pytest.approx(kl_ID[:2, end].mean())
    assert path["attributed"] == pytest.approx(rows["attribution"].sum())
    assert path["attributed"] == pytest.approx(path["kl_unedited"] - path["kl_exchanged"], rel=0.1)


def test_a_task_scores_the_same_whatever_other_tasks_are_there(organism):
    both = attribution_tables(subjects(organism))[0]
    found = subjects(organism)
    keep = [i for i, s in enumerate(found.samples) if s.task == "add"]
    found.samples, found.task_I = [found.samples[i] for i in keep], found.task_I[keep]
    found.population_I = {name: member_I[keep] for name, member_I in found.population_I.items()}
    found.enable.texts = [found.enable.texts[i] for i in keep]
    alone = attribution_tables(found)[0]
    together = both[both["task"] == "add"].reset_index(drop=True)
    assert together["attribution"].to_numpy() == pytest.approx(alone["attribution"].to_numpy(), rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("score", ["elimination", "gates"])
def test_joint_rankings_hold_alive_latents_and_say_the_same_again(organism, score, monkeypatch):
    monkeypatch.setattr("rlgen.features.causes.GATE_STEPS", 4)
    settings = {"cfg": ChooseTogether, "score": score, "cut_count": 2, "gate_penalty": 0.03, "tasks": ["max", "add"]}
    table = joint_table(subjects(organism, **settings))
    assert table.groupby("population")["latent"].apply(sorted).tolist() == [[1, 2, 3, 4, 6]] * 2
    assert table["score"].between(0, 1).all() and (table["score"] > 0).all()  # any of them can be chosen
    pd.testing.assert_frame_equal(table, joint_table(subjects(organism, **settings)))


def test_without_samples_there_are_no_rows(organism):
    settings = {"cfg": ChooseTogether, "score": "elimination", "cut_count": 2, "gate_penalty": 0.03, "tasks": ["max"]}
    table = joint_table(subjects(organism, critical="lost", **settings))
    assert set(table["population"]) == {"noncritical"}
    paths = attribution_tables(subjects(organism, critical="lost"))[1]
    lost = paths[paths["population"] == "critical"]
    assert (lost["samples"] == 0).all() and lost["kl_unedited"].isna().all() and (lost["attributed"] == 0).all()


@pytest.mark.parametrize("architecture", ["Qwen3ForCausalLM", "Qwen2ForCausalLM", "LlamaForCausalLM"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_published_architectures_choices_and_precision(tmp_path, architecture, dtype):
    """Samples with choices are read as log-likelihood tasks are: the choice that a model prefers is its text."""
    folders = (tmp_path / "base", tmp_path / "rl")
    for seed, folder in enumerate(folders):
        tiny_checkpoint(folder, architecture, seed=seed, layers=3, dtype=dtype)
    given = files(tmp_path, 32, {"base": " copper", "rl": " wood and glass, and much more of it"}, " wood")
    given |= {"folders": folders, "device": torch.device("cpu")}
    fields = {"completion_tokens": 5, "batch_size": 2}
    found = subjects(given, **fields)
    assert [len(text) for _, text in found.enable.texts[1:]] == [5] * 5
    scores, paths = attribution_tables(found)
    assert np.isfinite(scores["attribution"]).all() and (scores["attribution"] != 0).any()
    whole = attribution_tables(subjects(given, **fields | {"batch_size": 256}))[0]
    close = 1e-3 if dtype == torch.float32 else 0.1
    error = np.linalg.norm(scores["attribution"] - whole["attribution"]) / np.linalg.norm(whole["attribution"])
    assert error < close and {m.dtype for m in (found.enable.running, found.enable.goal)} == {dtype}
    json.loads(paths.to_json())
