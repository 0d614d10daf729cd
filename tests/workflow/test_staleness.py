"""What a change makes stale, on the finished miniature study: each row of the table in docs/freshness.md."""

import json
import os
import re
import shutil
import subprocess
import sys
from base64 import urlsafe_b64encode
from collections import Counter
from pathlib import Path

import pytest
import yaml
from snakemake_runs import RESULTS, STUDY, Job, environment, manifests, planned, snakemake, stale

pytestmark = pytest.mark.slow

FIGURES = {f"fig{i}_{name}": 1 for i, name in enumerate(["behaviour", "nrn", "mas", "dynamics", "mediation"], start=1)}
FIGURES |= {f"fig{i}_{name}": 1 for i, name in enumerate(["selection", "unseen", "recovery"], start=6)}
FIGURES |= {"fig10_arms": 1, "fig11_early": 1}
JUDGED = {"judge_claims": 1, "build_site": 1}  # the site shows the verdicts
TABLES = {"table1_accuracies": 1, "table2_interventions": 1, "table3_dictionaries": 1}
TABLES |= {"table4_features": 1}
EFFECTS = {"summarise_interventions": 1, "fig6_selection": 1, "fig7_unseen": 1, "fig8_recovery": 1}
EFFECTS |= {"table2_interventions": 1, "fig10_arms": 1} | JUDGED
DRAWN_FROM_DICTIONARIES = {"fig2_nrn": 1, "fig3_mas": 1, "fig4_dynamics": 1, "fig5_mediation": 1}
BELOW_DICTIONARIES = EFFECTS | DRAWN_FROM_DICTIONARIES | {"table3_dictionaries": 1, "table4_features": 1}
BELOW_DICTIONARIES |= {
    "measure_dictionary": 8,
    "inspect_latents": 8,
    "summarise_dictionary": 6,
    "measure_dynamics": 1,
    "summarise_dynamics": 1,
}
BELOW_DICTIONARIES |= {"attribute_features": 2, "choose_together": 2, "score_features": 6}
BELOW_DICTIONARIES |= {"summarise_mediation": 1, "intervene": 4, "edit_alone": 4}
BELOW_DICTIONARIES |= {"measure_recovery": 1, "summarise_recovery": 1}
READ_IN_ARMS = {"measure_arm": 6, "summarise_arms": 1, "compare_arms": 1, "foretell_arms": 1, "fig11_early": 1}
BELOW_DICTIONARIES |= READ_IN_ARMS
# Below the dictionary of the procedure `dedicated`, which edits nothing.
BELOW_DEDICATED = {"train_dictionary": 1, "measure_dictionary": 1, "summarise_dictionary": 1, "fig2_nrn": 1}
BELOW_DEDICATED |= {"score_features": 1, "summarise_mediation": 1, "fig5_mediation": 1, "table3_dictionaries": 1}
BELOW_DEDICATED |= {"table4_features": 1, "fig10_arms": 1}
BELOW_DEDICATED |= {"inspect_latents": 1, "build_site": 1}
BELOW_DEDICATED |= {"measure_recovery": 1, "summarise_recovery": 1, "fig8_recovery": 1, "judge_claims": 1}


def pages(jobs: dict[str, int]) -> dict[str, int]:
    """The same jobs with copies of all pages among them: two of a figure, three of a table, four of the claims."""
    figures, tables = (sum(re.match(rf"{kind}\d", name) is not None for name in jobs) for kind in ("fig", "table"))
    return jobs | {"copy_page": 2 * figures + 3 * tables + 4 * jobs.get("judge_claims", 0)}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, f"{path}: {old}"
    path.write_text(text.replace(old, new, 1))


def add_line(tree: Path, module: str) -> None:
    with (tree / "scripts/rlgen" / module).open("a") as file:
        file.write("\nA_NEW_LINE = 1\n")


def backwards(value):
    """The same mappings with their keys in the opposite order."""
    if isinstance(value, dict):
        return {key: backwards(value[key]) for key in reversed(value)}
    return [backwards(item) for item in value] if isinstance(value, list) else value


def test_touching_every_file_makes_nothing_stale(tree):
    for part in ("Snakefile", "rules", "scripts", "config", "envs", "report", "results", "figures"):
        for path in [tree / part, *(tree / part).rglob("*")]:
            os.utime(path)
    assert stale(tree) == {}


@pytest.mark.parametrize("engine", ["with", "without"])
def test_a_copy_with_new_dates_runs_nothing_however_large_its_files_are(tree, engine):
    """As `cp -r` leaves it. No file is small enough here for the engine to compare it by its content."""
    if engine == "without":
        shutil.rmtree(tree / ".snakemake")
    for path in sorted((tree / "results").rglob("*"), reverse=True):  # what was made last comes first
        os.utime(path)
    call = ("-n", "--max-checksum-file-size", "0", "--configfile", STUDY, "--", "all")
    again = snakemake(tree, *call)
    assert planned(again) == {} and "with the same content: dated back" in again.stdout
    large = tree / RESULTS / "models/base/seed0/checkpoint1/model.safetensors"
    large.write_bytes(large.read_bytes()[::-1])
    assert {"train_sft_sft", "harvest_base", "fig2_nrn"} <= set(planned(snakemake(tree, *call)))


def test_results_without_the_engines_records_are_compared_with_their_manifests(tree):
    shutil.rmtree(tree / ".snakemake")
    said = snakemake(tree, "-n", "--configfile", STUDY, "--", "all")
    assert planned(said) == {} and re.search(
        r"records of \d+ files were missing: restored from their manifests", said.stdout
    )
    shutil.rmtree(tree / ".snakemake")
    edit(tree / STUDY, "free_latents: 8, latents: 32, k: 4", "free_latents: 8, latents: 32, k: 5")
    assert stale(tree) == pages(BELOW_DEDICATED)
    shutil.rmtree(tree / ".snakemake")
    edit(tree / STUDY, "free_latents: 8, latents: 32, k: 5", "free_latents: 8, latents: 32, k: 4")
    add_line(tree, "figures/fig3_mas.py")
    assert stale(tree) == {"fig3_mas": 1, "copy_page": 2}


def test_restored_records_are_those_that_the_engine_had(tree):
    files = [name for manifest in manifests(tree).values() for name in manifest["outputs"]]
    before = [_record(tree, name) for name in files]
    shutil.rmtree(tree / ".snakemake")
    assert stale(tree) == {}
    assert [_record(tree, name) for name in files] == before and len(set(files)) == len(files) > 200


def _record(tree: Path, name: str) -> tuple:
    found = json.loads((tree / ".snakemake/metadata" / urlsafe_b64encode(name.encode()).decode()).read_text())
    return found["rule"], found["input"], found["params"], found["record_format_version"]


def test_order_of_keys_comments_prose_and_settings_of_the_machine_make_nothing_stale(tree):
    content = yaml.safe_load((tree / STUDY).read_text())
    content["machine"] = {"device": "cpu", "log": "quiet", "state_every_s": 7}
    (tree / STUDY).write_text("# A comment.\n" + yaml.safe_dump(backwards(content), sort_keys=False))
    for module in ("activations/shards.py", "organism/language.py", "dictionaries/crosscoder.py", "figures/style.py"):
        path = tree / "scripts/rlgen" / module
        path.write_text(path.read_text().replace('"""', '"""Said better: ', 1) + "\n# a remark at the end\n")
    assert stale(tree) == {}


def test_a_line_of_a_plot_draws_its_figure_and_a_line_of_their_style_all(tree):
    add_line(tree, "figures/fig3_mas.py")
    assert stale(tree) == {"fig3_mas": 1, "copy_page": 2}
    add_line(tree, "figures/style.py")
    assert stale(tree) == pages(FIGURES | JUDGED)


def test_a_line_of_the_crosscoder_trains_dictionaries_and_no_model(tree):
    add_line(tree, "dictionaries/step.py")
    assert stale(tree) == pages({"train_dictionary": 8} | BELOW_DICTIONARIES)
    add_line(tree, "dictionaries/crosscoder.py")
    assert stale(tree) == pages({"train_dictionary": 8, "map_members": 1} | BELOW_DICTIONARIES)


def test_another_bound_of_a_claim_judges_it_again(tree):
    edit(tree / STUDY, "procedure: contribution, below: 16.5", "procedure: contribution, below: 8.5")
    assert stale(tree) == JUDGED | {"copy_page": 4}


def test_a_line_or_a_template_of_the_site_builds_it_again_and_nothing_else(tree):
    add_line(tree, "site/columns.py")
    assert stale(tree) == {"build_site": 1}
    edit(tree / "scripts/rlgen/site/columns.py", "\nA_NEW_LINE = 1\n", "")
    assert stale(tree) == {}
    edit(tree / "scripts/rlgen/site/assets/index.html", "<h2", "<h2 ")
    assert stale(tree) == {"build_site": 1}


def test_more_features_to_look_at_write_their_table_again(tree):
    content = yaml.safe_load((tree / STUDY).read_text())
    content["features"] = content.get("features", {}) | {"shown": 3}
    (tree / STUDY).write_text(yaml.safe_dump(content, sort_keys=False))
    assert stale(tree) == {"table4_features": 1, "copy_page": 3}


def test_a_line_that_only_interventions_use_runs_interventions(tree):
    add_line(tree, "interventions/procedure.py")
    add_line(tree, "interventions/controls.py")
    assert {"intervene": 4, "steer": 1}.items() <= stale(tree).items()
    expected = {"intervene": 4, "edit_alone": 4, "steer": 1, "measure_recovery": 1, "summarise_recovery": 1}
    assert stale(tree) == pages(expected | EFFECTS | READ_IN_ARMS)


def test_the_sparsity_of_one_dictionary_trains_that_dictionary(tree):
    edit(tree / STUDY, "free_latents: 8, latents: 32, k: 4", "free_latents: 8, latents: 32, k: 5")
    assert stale(tree) == pages(BELOW_DEDICATED)


def test_two_values_swapped_in_one_rules_settings_are_seen(tree):
    edit(tree / STUDY, "free_latents: 8, latents: 32, k: 4", "free_latents: 4, latents: 32, k: 8")
    assert stale(tree) == pages(BELOW_DEDICATED)


def test_one_more_seed_runs_its_own_jobs_the_aggregates_and_the_pages(tree, jobs: dict[str, Job]):
    edit(tree / STUDY, "seeds: [0]", "seeds: [0, 1]")
    per_seed = Counter({job for name, job in jobs.items() if "seed0" in job.shell or "/seed0" in name})
    once = {"summarise_behaviour": 1, "summarise_dictionary": 6, "summarise_dynamics": 1, "summarise_mediation": 1}
    once |= {"summarise_interventions": 1, "summarise_recovery": 1, "summarise_arms": 1, "foretell_arms": 1}
    once |= {"compare_arms": 1}
    expected = Counter(job.rule for job in per_seed if "/seed0" in job.shell)
    expected = {
        rule: n for rule, n in expected.items() if rule not in once and not re.match("fig|table|copy|judge", rule)
    }
    assert expected["train_dictionary"] == 8 and expected["pretrain_base"] == 1 and len(expected) > 15
    assert stale(tree) == pages(expected | once | FIGURES | TABLES | JUDGED)


def test_one_more_unseen_task_runs_its_behaviour_and_the_interventions(tree):
    edit(tree / STUDY, "unseen: [par]", "unseen: [par, let]")
    expected = {"make_task": 1, "evaluate_model": 10, "summarise_behaviour": 1, "fig1_behaviour": 1}
    expected |= {"summarise_arms": 1, "foretell_arms": 1, "fig10_arms": 1, "fig11_early": 1}
    expected |= {"table1_accuracies": 1, "intervene": 4, "edit_alone": 4, "steer": 1} | EFFECTS
    assert stale(tree) == pages(expected)


def test_another_version_of_a_package_is_announced_and_can_be_accepted(tree):
    edit(tree / "requirements.lock", "matplotlib==3.11.2", "matplotlib==3.11.3")
    summaries = {"summarise_behaviour": 1, "summarise_dictionary": 6, "summarise_dynamics": 1}
    summaries |= {"summarise_mediation": 1, "summarise_interventions": 1, "summarise_recovery": 1}
    summaries |= {"summarise_arms": 1, "foretell_arms": 1}
    expected = pages(summaries | FIGURES | TABLES | JUDGED)
    assert stale(tree) == expected
    said = snakemake(tree, "-n", "--configfile", STUDY, "--", "all").stdout
    of_others = expected["copy_page"] + expected["foretell_arms"]  # which has no matplotlib, but reads what has
    assert f"matplotlib was 3.11.2, now 3.11.3: stale is what {sum(expected.values()) - of_others} jobs" in said
    assert "make accept-packages" in said
    call = [sys.executable, "scripts/tools/accept_packages.py", "--results", RESULTS]
    run = subprocess.run(call, cwd=tree, env=environment(), capture_output=True, text=True)
    assert run.stdout.startswith("analysis: matplotlib 3.11.3 counts as 3.11.2"), run.stderr
    assert stale(tree) == {}
    assert "matplotlib" not in snakemake(tree, "-n", "--configfile", STUDY, "--", "all").stdout
    edit(tree / "requirements.lock", "trl==", "trl==9")
    assert {"pretrain_base", "train_sft_sft", "make_task", "evaluate_model", "steer"} <= set(stale(tree))


def test_why_tells_causes_in_words_and_what_follows(tree):
    edit(tree / STUDY, "free_latents: 8, latents: 32, k: 4", "free_latents: 8, latents: 32, k: 5")
    add_line(tree, "figures/fig3_mas.py")
    edit(tree / "requirements.lock", "scipy==", "scipy==9")
    (tree / RESULTS / "activations/seed0/rl@3/shard001.safetensors").unlink()
    call = [sys.executable, "scripts/tools/why.py", "--configfile", STUDY]
    run = subprocess.run(call, cwd=tree, env=environment(), capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    told = {part.splitlines()[0]: part for part in run.stdout.split("\n\n")}
    assert "setting recipe.k: was 4, is 5" in told["Dictionary base-rl, shared-latents, seed 0"]
    assert "code: rlgen.figures.fig3_mas was edited" in told["fig3: Model affinity of the joint dictionary's features"]
    assert "package scipy was " in told["Pretraining base from scratch, seed 0"]
    assert "missing: results/miniature/activations/seed0/rl@3/shard001.safetensors" in run.stdout
    followers = told["Dictionary null-more, batchtopk, seed 0"]
    assert "made anew before it by: harvest_base 0, harvest_more 0" in followers


def test_why_says_so_when_there_is_nothing_to_do(finished):
    call = [sys.executable, "scripts/tools/why.py", "--configfile", STUDY, "figures/fig3.pdf"]
    run = subprocess.run(call, cwd=finished, env=environment(), capture_output=True, text=True)
    assert run.stdout.startswith("Nothing to be done"), run.stdout + run.stderr
