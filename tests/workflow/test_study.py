"""The miniature study end to end: what it leaves behind, what makes it stale, what comes back after a loss."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from snakemake_runs import RESULTS, STUDY, digests, manifests, pdf_text, planned, snakemake

from rlgen.dictionaries.crosscoder import Crosscoder
from rlgen.files import read_tensors
from rlgen.planning import timings

pytestmark = pytest.mark.slow

DELETED = [  # one file of a rule each, early and late
    f"{RESULTS}/data/tokenizer/tokenizer_config.json",
    f"{RESULTS}/data/tasks/par.yaml",
    f"{RESULTS}/data/training/seed0.jsonl",
    f"{RESULTS}/models/sft/seed0/checkpoint2/generation_config.json",
    f"{RESULTS}/behaviour/accuracy.csv",
    f"{RESULTS}/activations/seed0/stream.safetensors",
    f"{RESULTS}/activations/seed0/rl@1/shard002.safetensors",
    f"{RESULTS}/dictionaries/base-rl/shared-latents/seed0/normalisation.safetensors",
    f"{RESULTS}/dictionaries/base-sft/batchtopk/seed0/features.parquet",
    f"{RESULTS}/features/mediation/published/seed0/set.json",
    f"{RESULTS}/interventions/contribution/seed0.parquet",
    f"{RESULTS}/interventions/effects.csv",
    f"{RESULTS}/figures/fig3.pdf",
    "figures/table2.tex",
]
OF_VARIANTS = {"fig9_sensitivity", "table5_sensitivity"}  # tests/workflow/test_sensitivity.py
ASKED_FOR = {"site", "neuronpedia", "export_neuronpedia"}  # the first is a name for what `all` makes
OF_EXTENDED = {"extended", "vary_sets", "summarise_varied", "fig12_extended"}  # tests/workflow/test_extended.py
LOAD = """
import json, sys, torch
from pathlib import Path
from safetensors.torch import load_file, save_file
from sae_lens import SAE
from transformers import AutoModelForCausalLM, AutoTokenizer

asked = json.load(sys.stdin)
for folder in asked["checkpoints"]:
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert torch.isfinite(model(**tokenizer(asked["prompt"], return_tensors="pt")).logits).all(), folder
codes = {}
for folder, shards in asked["dictionaries"].items():
    h_BX = torch.cat([load_file(shard)["activations"][:200] for shard in shards], dim=1)
    codes[folder] = SAE.load_from_disk(folder).encode(h_BX).detach()
save_file(codes, asked["codes"])
assert not [name for name in sys.modules if name.startswith("rlgen")]
"""


def test_every_rule_ran_and_made_what_it_declares_and_nothing_else(finished, jobs):
    assert set(digests(finished)) == set(jobs)
    listed = snakemake(finished, "--list-rules", "--configfile", STUDY).stdout
    elsewhere = {"all", "figures", *OF_VARIANTS, *OF_EXTENDED, *ASKED_FOR}
    assert {job.rule for job in jobs.values()} == set(re.findall(r"^[\w-]+$", listed, re.M)) - elsewhere


def test_every_artifact_has_a_manifest_with_all_that_made_it(finished, jobs):
    found = manifests(finished)
    made = {name: manifest for manifest in found.values() for name in manifest["outputs"]}
    copies = {name for name in jobs if name.startswith("figures/")}
    assert set(made) == set(jobs) - copies
    contents = digests(finished)
    for manifest in found.values():
        known = manifest["inputs"] | {name: entry["sha256"] for name, entry in manifest["outputs"].items()}
        assert known.items() <= contents.items() and len(manifest["code"]) == 16 and manifest["cfg"]
        assert manifest["packages"]["pydantic"] == version("pydantic") and manifest["seed"] in (0, None)
    assert found["train_dictionary/base-rl_batchtopk_seed0.json"]["cfg"]["recipe"]["k"] == 4
    assert len(found["train_dictionary/base-rl_batchtopk_seed0.json"]["inputs"]) == 10
    text = "".join(map(str, found.values()))
    assert socket.gethostname() not in re.findall(r"[\w.-]+", text) and "wall" not in text
    record = json.loads(
        (finished / RESULTS / "manifests/train_dictionary/base-rl_batchtopk_seed0.run.json").read_text()
    )
    assert record["host"] == socket.gethostname() and record["wall_s"] > 0


def test_every_number_of_the_site_names_a_table_that_is_there_and_every_latent_has_a_page(finished):
    site, members = finished / RESULTS / "site", 0
    for features in sorted((finished / RESULTS / "dictionaries").glob("*/*/seed0/features.parquet")):
        data = site / "data" / features.parent.relative_to(finished / RESULTS / "dictionaries")
        table = _handed_over(data / "table.js")
        latents = pd.read_parquet(features)["latent"].tolist()
        assert table["values"]["latent"] == latents
        assert all((site / column["source"]).is_file() for column in table["columns"])
        held = [entry for path in sorted(data.glob("chunk*.js")) for entry in _handed_over(path).items()]
        assert sorted(int(latent) for latent, _ in held) == latents
        fires = {int(latent) for latent, entry in held if entry["passages"]}
        assert fires == set(pd.read_parquet(features.parent / "inspection/density.parquet")["latent"]) != set()
        members += 1
    assert members == 8
    links = re.findall(r'href="([^"#:]+)', "".join(path.read_text() for path in site.glob("*.html")))
    assert len(links) > 100 and [link for link in links if not (site / link).exists()] == []


def _handed_over(path: Path) -> dict:
    """What a script of the site hands over: the last argument of its call."""
    text = path.read_text()
    return json.loads(text[text.index("{") : text.rindex("}") + 1])


def _report(path: Path) -> str:
    """All pages and scripts of a report; with a folder in it, it is a zip file."""
    with zipfile.ZipFile(path) as report:
        return "".join(report.read(name).decode() for name in report.namelist() if name.endswith((".html", ".js")))


def test_the_report_shows_every_page_with_caption_and_category(finished, tmp_path):
    run = snakemake(finished, "--configfile", STUDY, "--report", str(tmp_path / "report.zip"), "--", "all")
    assert run.returncode == 0, run.stdout
    with zipfile.ZipFile(tmp_path / "report.zip") as report:
        names = report.namelist()
    text = _report(tmp_path / "report.zip")
    for page in [*(f"fig{i}.png" for i in (*range(1, 9), 10)), *(f"table{i}.html" for i in range(1, 5)), "claims.png"]:
        assert any(name.endswith(page) for name in names) or page in text, page
    shown = " ".join(re.findall(r"\w+", re.sub(r"<[^>]*>|\\n|’", " ", text)))  # words without markup
    elsewhere = {"fig9", "table5", "fig12"}  # drawn for variants, and by `snakemake extended`
    for path in sorted(path for path in (finished / "report").glob("*.rst") if path.stem not in elsewhere):
        words = re.findall(r"\w+", path.read_text())[:4]
        assert " ".join(words) in shown, path.name
    categories = ("1 What came out", "2 Figures", "3 Tables", "4 Every latent")  # the report sorts them by name
    assert all(f'"{category}"' in text for category in categories)
    assert '"shows": "Accuracies"' in text or "Accuracies" in shown  # titles, in place of paths
    assert any(name.endswith("site/index.html") or "chunk0000.js" in name for name in names)
    words = re.search(r"<p>(Claims written down.*)</p>", (finished / RESULTS / "figures/findings.html").read_text())[1]
    first = next(line for line in text.splitlines() if "This report shows the figures and tables" in line)
    assert words in first and "What came out of study miniature" in first  # on the first page, which is one JSON text


@pytest.mark.parametrize("engine", ["with", "without"])
def test_the_report_has_the_run_time_of_every_job(tree, tmp_path, engine):
    """On a log axis: one run time of 0, or less, and the plot is empty. Restored records have times, too."""
    if engine == "without":
        shutil.rmtree(tree / ".snakemake")
    run = snakemake(tree, "--configfile", STUDY, "--report", str(tmp_path / "report.zip"), "--", "all")
    assert run.returncode == 0, run.stdout
    text = _report(tmp_path / "report.zip")
    drawn = [(rule, float(s)) for rule, s in re.findall(r'"rule": "([\w-]+)", "runtime": ([-+.\de]+)', text)]
    copies = [s for rule, s in drawn if rule == "copy_page"]
    assert len(drawn) == len(manifests(tree)) + len(copies)
    assert len(copies) == (len(list((tree / "figures").iterdir())) if engine == "with" else 0)
    assert all(0.01 < s < 1000 for _, s in drawn)


def test_the_miniature_makes_every_kind_of_edit(finished):
    tables = [pd.read_parquet(path) for path in (finished / RESULTS / "interventions").glob("*/seed0.parquet")]
    edits = set(pd.concat(tables)["edit"])
    assert {"exchange", "disable", "scale", "add", "none", "truth", "direction"} <= edits


def test_all_asks_for_every_declared_file_by_name(finished, jobs):
    text = snakemake(finished, "-n", "--forceall", "--configfile", STUDY, "--", "all").stdout
    inputs = re.search(r"^(?:local)?rule all:\n +input: (.*)$", text, re.M)[1].split(", ")
    assert set(inputs) == set(jobs)


def test_every_page_is_there_and_names_its_study(finished):
    for i in range(1, 9):
        assert "Study miniature." in pdf_text(finished / f"figures/fig{i}.pdf"), i
        png = (finished / f"figures/fig{i}.png").read_bytes()
        assert png.startswith(b"\x89PNG") and len(png) > 20_000, i
    for i in range(1, 4):
        assert "Study miniature." in (finished / f"figures/table{i}.tex").read_text(), i
        assert len(pd.read_csv(finished / f"figures/table{i}.csv")) > 0, i
    assert "Study miniature." in pdf_text(finished / "figures/claims.pdf")
    judged = pd.read_csv(finished / "figures/claims.csv", dtype={"seed": str}).query("seed == '0'")
    assert len(judged) == 8 and set(judged["verdict"]) <= {"holds", "fails", "not decidable", "no data"}
    assert set(judged.query("claim == 'restrained' or claim == 'contrast'")["verdict"]) != {"no data"}
    for path in (finished / "figures").iterdir():
        assert path.read_bytes() == (finished / RESULTS / "figures" / path.name).read_bytes(), path.name


def test_no_job_takes_two_gigabytes(finished):
    table = timings.summary(finished / RESULTS / "manifests")
    assert {"train_grpo", "measure_dictionary", "intervene", "fig8_recovery"} <= set(table["rule"])
    assert 100 < table["peak_mb"].max() < 2000, table


def test_a_second_run_does_nothing(tree):
    before = {path: path.stat().st_mtime_ns for part in ("results", "figures") for path in (tree / part).rglob("*")}
    run = snakemake(tree, "--configfile", STUDY, "--", "all")
    assert run.returncode == 0 and "Nothing to be done" in run.stdout, run.stdout
    after = {path: path.stat().st_mtime_ns for part in ("results", "figures") for path in (tree / part).rglob("*")}
    assert before == after


def test_a_file_asked_for_by_itself_comes_back_alone(tree):
    before, lost = digests(tree), f"{RESULTS}/dictionaries/base-rl/batchtopk/seed0/quality.csv"
    (tree / lost).unlink()
    assert planned(snakemake(tree, "--configfile", STUDY, "--", lost)) == {"measure_dictionary": 1, "total": 1}
    assert digests(tree) == before


def test_lost_files_come_back_with_the_same_bytes_and_so_does_all_that_is_made_of_them(tree, jobs):
    """The tokenizer is among the lost, so every rule runs again: two runs give one tree, figures included."""
    before, made_of = digests(tree), manifests(tree)
    for name in DELETED:
        (tree / name).unlink()
    again = planned(snakemake(tree, "--configfile", STUDY, "--", "all", cores=2))
    assert set(again) == {job.rule for job in jobs.values()} | {"all", "total"}
    after = digests(tree)
    assert set(after) == set(before)
    assert [name for name in before if after[name] != before[name]] == []
    assert manifests(tree) == made_of


def test_models_and_dictionaries_load_without_our_code_and_encode_alike(finished, tmp_path):
    results = finished / RESULTS
    shards = {}  # dictionary folder -> a held-out shard of each member
    for path in sorted(results.glob("dictionaries/*/*/seed0/sae_weights.safetensors")):
        members = Crosscoder.load(path.parent).members
        shards[str(path.parent)] = [str(results / f"activations/seed0/{m}/shard003.safetensors") for m in members]
    checkpoints = sorted({str(path.parent) for path in results.glob("models/*/seed0/*/model.safetensors")})
    assert len(checkpoints) == 18 and len(shards) == 8
    prompt = json.loads((results / "data/tasks/max.jsonl").read_text().splitlines()[0])["prompt"]
    asked = {"checkpoints": checkpoints, "dictionaries": shards, "prompt": prompt, "codes": str(tmp_path / "codes")}
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"HF_HOME": str(tmp_path / "hf")}
    call = [sys.executable, "-c", LOAD]
    run = subprocess.run(call, cwd=tmp_path, env=clean, input=json.dumps(asked), capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    codes, _ = read_tensors(Path(asked["codes"]))
    for folder, paths in shards.items():
        h_BMd = torch.stack([read_tensors(path)[0]["activations"][:200] for path in paths], dim=1)
        ours_BS = Crosscoder.load(folder).encode(h_BMd)
        assert (ours_BS > 0).any(), folder
        np.testing.assert_allclose(codes[folder], ours_BS, rtol=1e-3, atol=1e-4, err_msg=folder)
