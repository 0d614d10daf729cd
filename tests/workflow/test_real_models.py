"""Studies on published models end to end, offline: bring your own checkpoints, and training from a base on."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pandas as pd
import pytest
import real_studies as studies
import torch
import yaml
from safetensors.torch import load_file
from snakemake_runs import ROOT, copy_project, digests, jobs_of, pdf_text, planned, snakemake, stale

from rlgen.dictionaries.crosscoder import Crosscoder

pytestmark = pytest.mark.slow

OWN, TRAINING = "config/byo.yaml", "config/training.yaml"
FIGURES, TABLES = range(1, 8), range(1, 5)
GSM8K = ROOT.parent / "shared/data/gsm8k_test.jsonl"


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> tuple[Path, set[frozenset[str]], str]:
    """A finished study of one's own models; which windows lay on the disk together; what Snakemake said."""
    folder = tmp_path_factory.mktemp("own")
    copy_project(folder)
    studies.write_data(folder / "data")
    studies.write_own_models(folder / "data")
    studies.write_study(folder, studies.bring_your_own())
    with windows_together(folder / "results/byo/activations/seed0") as seen:
        said = run(folder, OWN)
    return folder, seen, said


@pytest.fixture
def changed(own, tmp_path) -> Path:
    """A copy of that study to be changed, times of files included."""
    return Path(shutil.copytree(own[0], tmp_path / "changed", ignore=shutil.ignore_patterns("*.sock")))


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A finished study that trains SFT on a teacher's solutions, and RL."""
    folder = tmp_path_factory.mktemp("trained")
    copy_project(folder)
    studies.write_data(folder / "data")
    studies.write_problems(folder / "data")
    studies.write_taught_models(folder / "data")
    studies.write_study(folder, studies.training())
    run(folder, TRAINING)
    return folder


def run(folder: Path, study: str) -> str:
    """Make everything of a study; what Snakemake said."""
    done = snakemake(folder, "--configfile", study, "--", "figures", "all", cores=2)
    assert done.returncode == 0, done.stdout
    return done.stdout


@contextmanager
def windows_together(folder: Path) -> Iterator[set[frozenset[str]]]:
    """Looks at a folder all the time: every set of windows of which shards, whole or half written, lay there."""
    seen, over = set(), Event()

    def look() -> None:
        while not over.wait(0.01):
            seen.add(frozenset(path.parts[-3] for path in folder.glob("window*/*/*.safetensors")))

    looking = Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        over.set()
        looking.join()


def check_pages(folder: Path, study: str) -> None:
    """Every figure but the organism's, and every table, in results and as a copy."""
    expected = {f"fig{i}.{kind}" for i in FIGURES for kind in ("pdf", "png")}
    expected |= {f"table{i}.{kind}" for i in TABLES for kind in ("csv", "tex", "html")}
    for place in (folder / "figures", folder / "results" / study / "figures"):
        assert {path.name for path in place.iterdir()} == expected
    for i in FIGURES:
        assert f"Study {study}." in pdf_text(folder / f"figures/fig{i}.pdf"), i
        png = (folder / f"figures/fig{i}.png").read_bytes()
        assert png.startswith(b"\x89PNG") and len(png) > 20_000, i
    for i in TABLES:
        assert len(pd.read_csv(folder / f"figures/table{i}.csv")) > 0, i


def check_agreement(results: Path, tasks: list[str]) -> None:
    """The hooked model without an edit says what the plain one said, sample by sample."""
    table = pd.read_csv(results / "interventions/steering/agreement_seed0.csv")
    compared = set(table[["task", "state"]].itertuples(index=False, name=None))
    assert compared == {(task, state) for task in tasks for state in ("base", "sft", "rl")}
    assert (table["same_verdict"] == 1).all() and (table["logprob_difference"] < 1e-4).all(), table
    plain = pd.concat([pd.read_parquet(path) for path in results.glob("behaviour/*/seed0/*.parquet")])
    hooked = pd.read_parquet(results / "interventions/steering/seed0.parquet")
    hooked = hooked[hooked["edit"] == "none"]
    both = plain.merge(hooked, on=["task", "state", "sample"], suffixes=("", "_hooked"))
    assert len(both) == len(hooked) == table["n"].sum() > 80
    assert (both["correct"].astype(bool) == both["correct_hooked"].astype(bool)).all()
    assert 0 < both["correct"].mean() < 1


def test_own_models_give_every_page_but_the_one_that_needs_a_planted_truth(own):
    folder, _, said = own
    check_pages(folder, "byo")
    assert "fig8 is left out: its models have no planted truth to recover" in said


def test_own_models_are_read_as_they_are(own):
    """Three files become one; an adapter is merged: W + alpha / rank * B A, here 6 / 4."""
    data, models = own[0] / "data", own[0] / "results/byo/models"
    parts = [load_file(path) for path in sorted((data / "rl").glob("model-*.safetensors"))]
    whole = {name: tensor for part in parts for name, tensor in part.items()}
    imported = load_file(models / "rl/seed0/checkpoint2/model.safetensors")
    assert len(parts) == 3 and {*whole} == {*imported} and all(torch.equal(whole[n], imported[n]) for n in whole)
    base, merged = (
        load_file(data / "base/model.safetensors"),
        load_file(models / "sft/seed0/checkpoint1/model.safetensors"),
    )
    adapter = load_file(data / "sft-lora/adapter_model.safetensors")
    adapted = {name.removeprefix("base_model.model.").partition(".lora_")[0] for name in adapter}
    assert len(adapted) == 6  # three matrices in each of two blocks
    for name, weight in base.items():
        module = name.removesuffix(".weight")
        place = f"base_model.model.{module}.lora"
        more = 1.5 * adapter[f"{place}_B.weight"] @ adapter[f"{place}_A.weight"] if module in adapted else 0
        torch.testing.assert_close(merged[name], weight + more, rtol=0, atol=1e-5)
    facts = json.loads((models / "sft/seed0/source.json").read_text())
    assert [(fact["source"], fact["adapter"]) for fact in facts] == [("./data/base", "./data/sft-lora")]


def test_plain_and_hooked_models_of_ones_own_agree(own):
    check_agreement(own[0] / "results/byo", ["arc_challenge", "openbookqa", "piqa"])
    sets = pd.read_csv(own[0] / "results/byo/features/mediation/sets.csv")
    assert (sets["critical"] > 0).all() and (sets["size"] > 0).all(), sets


@pytest.fixture(scope="module")
def varied(own, tmp_path_factory) -> tuple[Path, dict[str, int]]:
    """A copy of that study whose sets are varied, and whose edits are made, however poor the readout; its jobs."""
    folder = tmp_path_factory.mktemp("varied") / "study"
    shutil.copytree(own[0], folder, ignore=shutil.ignore_patterns("*.sock"))
    study = studies.varied(yaml.safe_load((folder / OWN).read_text()))
    (folder / OWN).write_text(yaml.safe_dump(study, sort_keys=False))
    alone = [f"results/byo/interventions/{name}/seed0.alone.parquet" for name in study["procedures"]]
    done = snakemake(folder, "--configfile", OWN, "--", "extended", *alone, cores=2)
    assert done.returncode == 0, done.stdout
    assert set(stale(folder, "extended", *alone, study=OWN)) <= {"extended"}
    return folder / "results/byo", planned(done)


@pytest.mark.parametrize("procedure", ["contribution", "attribution"])
def test_single_latents_and_completions_are_those_of_the_chosen_set(varied, procedure):
    """What the pages show beyond the tables, against the tables: the set, its dose, and verdicts without an edit."""
    results, jobs = varied
    assert jobs["edit_alone_benchmarks"] == 2
    edited = results / "interventions"
    alone = pd.read_parquet(edited / f"{procedure}/seed0.alone.parquet")
    texts = pd.read_parquet(edited / f"{procedure}/seed0.texts.parquet")
    every = pd.read_parquet(edited / f"{procedure}/seed0.parquet")
    plain = pd.read_parquet(edited / "steering/seed0.parquet").query("edit == 'none'")
    chosen = json.loads((results / f"features/mediation/{procedure}/seed0/set.json").read_text())["latents"]
    done = every.query("set == 'selected' and form == 'own_dose'").loc[lambda rows: rows["chosen"].astype(bool)]
    states = set(done["state"])  # of which the readout explains something
    assert set(alone["state"]) == set(texts["state"]) == states and "base" in states
    for (state, _), rows in alone.groupby(["state", "task"]):
        assert list(rows["latent"]) == chosen[:32] and list(rows["rank"]) == list(range(1, len(rows) + 1))
        assert set(rows["dose"]) == set(done.loc[done["state"] == state, "dose"])
    assert set(alone["n"]) == {16} and alone["kl_change"].notna().all()  # all prompts of a half
    before = plain[plain["half"] == "test"].groupby(["state", "task"])["correct"].mean()
    told = alone.assign(before=alone["accuracy"] - alone["accuracy_change"]).groupby(["state", "task"])["before"]
    assert all(value == pytest.approx(before[place]) for place, some in told for value in some)
    both = texts.merge(plain, on=["state", "task", "sample"], suffixes=("", "_plain"))
    assert len(both) == len(texts) == len(states) * 3 * 6
    assert (both["right_before"] == both["correct"].astype(bool)).all()
    both = texts.merge(done, on=["state", "task", "sample"], suffixes=("", "_done"))
    assert len(both) == len(texts) and (both["right_after"] == both["correct"].astype(bool)).all()
    assert (texts["before"].str.len() > 0).all()


def test_sets_of_every_size_and_choice_of_tasks_edit_shipped_tasks(varied):
    results, jobs = varied
    assert {"vary_sets_benchmarks": 1, "attribute_features": 2, "summarise_varied": 1}.items() <= jobs.items()
    rows = pd.read_parquet(results / "extended/seed0.parquet")
    latents = pd.read_parquet(results / "dictionaries/base-rl/batchtopk/seed0/features.parquet")
    sizes = rows[rows["kind"] == "size"].groupby("score")["size"].agg(set)
    assert sizes.pop("alive") == {latents["alive"].sum()} and all(found <= {1, 2, 4} for found in sizes)
    assert {"activation", "contribution", "size", "attribution"} == set(sizes.index)
    assert set(rows.loc[rows["kind"] == "rotation", "left_out"]) == {"openbookqa", "piqa"}
    answers = rows.groupby(["state", "kind", "score", "size", "left_out"])["sample"].size()
    assert set(rows["state"]) == {"base", "rl"} and set(rows["half"]) == {"test"} and set(answers) == {3 * 16}
    plain = pd.read_parquet(results / "interventions/steering/seed0.parquet")
    plain = plain.query("edit == 'none' and half == 'test' and state in ['base', 'rl']")
    before = plain.groupby(["state", "role"])["correct"].mean()  # one task in each role
    after = rows[rows["kind"] == "size"].groupby(["state", "role", "score", "size"])["correct"].mean()
    curves = pd.read_csv(results / "extended/curves.csv").set_index(["state", "role", "score", "size"])["effect"]
    expected = after.sub(before)
    assert len(curves) == len(expected) > 2 * 3 * 4 and curves.sub(expected).abs().max() < 1e-9
    assert "Study byo." in pdf_text(results / "figures/fig12.pdf")


def test_windows_come_one_at_a_time_and_go(own):
    folder, seen, _ = own
    assert seen - {frozenset()} == {frozenset({f"window{i}"}) for i in (1, 2, 3)}
    results = folder / "results/byo"
    assert [*results.glob("activations/seed0/window*/*/*.safetensors")] == []
    assert [*results.rglob("state.safetensors")] == []
    assert [path for path in (results / ".jobs/states").rglob("*") if path.is_file()] == []
    kept = {path.name for path in results.glob("activations/seed0/*@*/shard*.safetensors")}
    assert kept == {"shard000.safetensors", "shard001.safetensors"}  # held out
    for path in sorted(results.glob("dictionaries/*/*/seed0/curves.csv")):
        steps = pd.read_csv(path)["step"]  # of all windows, one behind the other
        assert sorted(set(steps)) == list(range(30)) and steps.is_monotonic_increasing, path
        assert Crosscoder.load(path.parent).members[0] == "base@1", path


def test_a_second_run_and_more_room_on_the_disk_train_nothing(changed):
    before = digests(changed)
    assert stale(changed, "figures", "all", study=OWN) == {}
    content = yaml.safe_load((changed / OWN).read_text())
    content["stream"] |= {"windows_on_disk": 2, "disk_gb": 1}
    (changed / OWN).write_text(yaml.safe_dump(content))
    done = snakemake(changed, "--configfile", OWN, "--", "figures", "all", cores=2)
    assert set(planned(done)) <= {"open_window", "total"}, done.stdout
    assert digests(changed) == before
    assert stale(changed, "figures", "all", study=OWN) == {}


def test_what_is_lost_comes_back_and_a_changed_recipe_changes_its_dictionary_alone(changed):
    """The harvest comes back for both, and with it every dictionary is trained again: to the same bytes."""
    before, results = digests(changed), changed / "results/byo"
    content = yaml.safe_load((changed / OWN).read_text())
    content["recipes"]["l1-own"]["learning_rate"] = 1e-3
    (changed / OWN).write_text(yaml.safe_dump(content))
    for name in ("sae_weights.safetensors", "cfg.json", "window2/curves.csv"):
        (results / "dictionaries/base-rl/batchtopk/seed0" / name).unlink()
    said = run(changed, OWN)
    words = (
        "2 dictionaries are stale, 3 dictionaries are trained anew because activations are shared; their activations "
    )
    assert words + "were deleted: 3 windows x 3 models are harvested again" in said
    after = digests(changed)
    assert set(after) == set(before)
    other = {name for name in before if after[name] != before[name]}
    mine = "results/byo/dictionaries/base-sft/l1-own/seed0/"
    assert {f"{mine}sae_weights.safetensors", f"{mine}window1/curves.csv", f"{mine}features.parquet"} <= other
    downstream = (
        r"results/byo/dictionaries/base-sft/(l1-own/.*|quality.csv|features.parquet)|.*figures/(fig2|table3)\..*"
        r"|results/byo/site"
    )
    assert [name for name in other if not re.fullmatch(downstream, name)] == []
    assert stale(changed, "figures", "all", study=OWN) == {}


def test_training_from_a_base_gives_every_page(trained):
    check_pages(trained, "training")
    assert stale(trained, "figures", "all", study=TRAINING) == {}


def test_the_two_studies_run_every_rule_and_all_asks_for_every_file(own, trained):
    rules = set()
    for folder, study in ((own[0], OWN), (trained, TRAINING)):
        jobs = jobs_of(folder, study)
        listed = snakemake(folder, "--list-rules", "--configfile", study).stdout
        rules |= {job.rule for job in jobs.values()}
        left_out = {"all", "figures", "download", "fig8_recovery", "judge_claims"}  # no claims are listed
        left_out |= {
            "fig9_sensitivity",
            "table5_sensitivity",
            "fig10_arms",
            "fig11_early",
            "fig12_extended",
        }  # none asked for
        left_out |= {"site", "neuronpedia", "export_neuronpedia"}  # the first is a name for what `all` makes
        left_out |= {
            "attribute_features",
            "choose_together",
            "map_members",
        }  # no procedure chooses by cause
        left_out |= {"export_edit_benchmarks"}  # no model aims at a set
        assert {job.rule for job in jobs.values()} == set(re.findall(r"^[\w-]+$", listed, re.M)) - left_out
    text = snakemake(trained, "-n", "--forceall", "--configfile", TRAINING, "--", "all").stdout
    assert set(re.search(r"^(?:local)?rule all:\n +input: (.*)$", text, re.M)[1].split(", ")) == set(jobs)
    assert set(digests(trained)) == set(jobs)
    named = {"write_trajectories", "collect_trajectories", "train_sft_sft", "train_grpo_rl", "train_dictionary"}
    assert named | {"harvest_window_rl", "train_window", "finish_dictionary", "intervene_benchmarks"} <= rules


def test_sft_learns_from_the_teachers_right_solutions_alone(trained):
    """The teacher always answers 1, which every other of 64 problems asks for; it is asked twice, one copy is kept."""
    data = trained / "results/training/data/training"
    report = pd.read_csv(data / "seed0.csv").set_index(["measure", "of"])["value"]
    counts = {"all": 128, "accepted": 64, "kept": 32}
    assert {of: report["completions", of] for of in counts} == counts and report["problems", "all"] == 64
    assert report["accepted_share", "all"] == 0.5 and report["finished_share", "all"] == 1
    rows = [json.loads(line) for line in (data / "seed0.jsonl").read_text().splitlines()]
    assert {row["prompt"] for row in rows} == {studies.QUESTION.format(i) for i in range(0, 64, 2)} and len(rows) == 32
    assert {(row["answer"], row["completion"]) for row in rows} == {("1", studies.ONE)}


def test_training_follows_its_loss_and_its_reward(trained):
    results = trained / "results/training"
    curves = {name: pd.read_csv(results / f"models/{name}/seed0/curves.csv") for name in ("sft", "rl")}
    value = {name: table.set_index(["metric", "step"])["value"] for name, table in curves.items()}
    assert value["sft"]["loss"].loc[4] < value["sft"]["loss"].loc[1]
    assert 0 < value["rl"]["reward"].loc[1] < 1  # math-verify read boxes: the base answers 1 or 2
    assert value["rl"]["completion_length"].max() <= 10
    weights = [path.read_bytes() for path in results.glob("models/*/seed0/checkpoint*/model.safetensors")]
    assert len(weights) == len(set(weights)) == 1 + 2 + 2  # the base, and two checkpoints of each trained model


def test_generated_answers_are_judged_by_their_boxes(trained):
    results = trained / "results/training"
    check_agreement(results, ["hendrycks_math500", "openbookqa", "piqa"])
    samples = (results / "data/tasks/hendrycks_math500.jsonl").read_text().splitlines()
    gold = {row["sample"]: row["answer"] for row in map(json.loads, samples)}
    tables = [pd.read_parquet(path) for path in results.glob("behaviour/*/seed0/known.parquet")]
    rows = pd.concat(tables).query("task == 'hendrycks_math500'")
    assert len(rows) == 5 * len(gold) and set(gold.values()) == {"1", "2"}
    expected = [
        text.startswith(rf"\boxed{{{gold[s]}}}") for s, text in zip(rows["sample"], rows["completion"], strict=True)
    ]
    assert rows["correct"].astype(bool).tolist() == expected and 0 < sum(expected) < len(expected)


@pytest.mark.skipif(not GSM8K.exists(), reason=f"{GSM8K} is not here: GSM8K in its own format is NOT tested")
def test_published_problems_in_their_own_format_are_trained_on(trained, tmp_path):
    """GSM8K as it is published: the answer stands behind ####, the solution before it."""
    folder = Path(shutil.copytree(trained, tmp_path / "gsm8k", ignore=shutil.ignore_patterns("results", "*.sock")))
    study = studies.training() | {"study": "gsm8k"}
    study["data"]["teacher"] = None
    study["data"]["sources"]["problems"] = {
        "files": [str(GSM8K)],
        "format": {
            "prompt": "{{ question }}",
            "answer": "{{ answer }}",
            "answer_pattern": r"#### (.+)",
            "completion": "{{ answer }}",
        },
    }
    study["models"]["sft"]["scale"] |= {"max_length": 512, "max_cut_share": 0.9}
    config = studies.write_study(folder, study)
    done = snakemake(folder, "--configfile", config, "--", "results/gsm8k/models/sft/seed0/curves.csv", cores=2)
    assert done.returncode == 0, done.stdout
    published = [json.loads(line) for line in GSM8K.read_text().splitlines()]
    answers = {row["question"]: row["answer"].rpartition("#### ")[2] for row in published}
    rows = [
        json.loads(line) for line in (folder / "results/gsm8k/data/sources/problems.jsonl").read_text().splitlines()
    ]
    assert {row["prompt"]: row["answer"] for row in rows} == answers and len(rows) == len(answers)
    examples = (folder / "results/gsm8k/data/training/seed0.jsonl").read_text().splitlines()
    assert all(row["completion"].endswith(f"#### {row['answer']}") for row in map(json.loads, examples))
    log = (folder / "results/gsm8k/logs/train_sft/sft_seed0.log").read_text()
    assert re.search(r"\d+ of 32 training texts \(\d+\.\d+%\) are longer than scale.max_length=512 tokens", log), log
