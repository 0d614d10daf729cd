"""What `make plan` and `make why` say of studies on real models, offline, before anything has run."""

import base64
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from snakemake_runs import copy_project, environment, snakemake

BIG_DISK = shutil.disk_usage(Path(__file__)).free > 2e12
QWEN = "config/qwen3-4b.yaml"
ACCURACY = "results/qwen3-4b/behaviour/accuracy.csv"  # a target with few jobs: what lies on the disk is the study's

# Counted by hand in config/qwen3-4b.yaml: 80 windows, harvested from the models base, sft and rl; 3 dictionaries with
# two recipes and 3 with one; 10 benchmarks, known and unseen ones apart; 3 sources; 16 shards of the teacher's.
JOBS = {
    "fetch_source": 3,
    "import_model_base": 1,
    "import_teacher": 1,
    "make_benchmark": 10,
    "write_trajectories": 16,
    "collect_trajectories": 1,
    "train_sft_sft": 1,
    "train_grpo_rl": 1,
    "evaluate_benchmarks": 3 * 2,
    "summarise_behaviour": 1,
    "draw_problems": 1,
    "build_mixed_stream": 1,
    "build_window_stream": 80,
    "open_window": 80,
    "harvest_base": 1,
    "harvest_sft": 1,
    "harvest_rl": 1,
    "harvest_benchmark_completions": 1,
    "harvest_window_base": 80,
    "harvest_window_sft": 80,
    "harvest_window_rl": 80,
    "train_window": 80 * 9,
    "finish_dictionary": 9,
    "measure_dictionary": 9,
    "inspect_latents": 9,
    "edit_alone_benchmarks": 2,
    "build_site": 1,
    "summarise_dictionary": 6,
    "measure_dynamics": 1,
    "summarise_dynamics": 1,
    "score_features": 2,
    "summarise_mediation": 1,
    "intervene_benchmarks": 2,
    "steer_benchmarks": 1,
    "summarise_interventions": 1,
    "fig1_behaviour": 1,
    "fig2_nrn": 1,
    "fig3_mas": 1,
    "fig4_dynamics": 1,
    "fig5_mediation": 1,
    "fig6_selection": 1,
    "fig7_unseen": 1,
    "copy_page": 2 * 7 + 3 * 4 + 4,
    "judge_claims": 1,
    "table1_accuracies": 1,
    "table2_interventions": 1,
    "table3_dictionaries": 1,
    "table4_features": 1,
}


@pytest.fixture
def clone(tmp_path) -> Path:
    copy_project(tmp_path)
    return tmp_path


def say(folder: Path, script: str, *arguments: str) -> str:
    """What a script prints."""
    call = [sys.executable, f"scripts/tools/{script}.py", *arguments]
    run = subprocess.run(call, cwd=folder, env=environment(), capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def table(text: str) -> dict[str, list[str]]:
    """Rule -> cells of its line in the table."""
    lines = text.partition("\nrule ")[2].partition("\nh/job")[0].splitlines()[1:]
    return {cells[0]: cells[1:] for line in lines if (cells := re.split(r"  +", line.strip()))}


def jobs_in(text: str) -> dict[str, int]:
    """Rule -> jobs: in the table, and behind it for rules without a GPU."""
    further = text.partition("\nWithout a GPU")[2].partition(": ")[2].partition(".\n")[0]
    named = re.findall(r"(\w+) (\d+)", further.replace("\n", " "))
    return {rule: int(cells[0]) for rule, cells in table(text).items()} | {rule: int(n) for rule, n in named}


def change(folder: Path, study: str, **fields: dict) -> None:
    content = yaml.safe_load((folder / study).read_text())
    for name, values in fields.items():
        content[name] = content[name] | values
    (folder / study).write_text(yaml.safe_dump(content, sort_keys=False))


def test_the_papers_study_is_planned_offline_without_a_measured_figure(clone):
    text = say(clone, "plan_study", "--configfile", QWEN, "--gpus", "8")
    assert jobs_in(text) == JOBS
    assert f"{sum(JOBS.values())} jobs would run." in text
    rules = table(text)
    assert {cells[4] for cells in rules.values()} == {"assumed", "not known"}
    # 400M rows / 80 windows, 512 tokens for 511 rows, of five checkpoints; the dictionaries' rows are 9 x 400M
    assert rules["harvest_window_rl"][5] == "2G" and rules["train_window"][5] == "3.6G"
    assert re.search(r"GPU-hours: \d+ \(assumed\)", text) and "time on 8 GPUs: at least" in text
    measured = [line for line in text.splitlines() if "measured" in line]
    assert len(measured) == 5  # legend, the disk's heading, what is there and free, and that there is no GPU benchmark
    assert "dictionary steps measured on a GPU (docs/speed.csv): none" in text
    assert "jobs of this study that ran and were timed: none" in text
    # 11 states x (2 x 10 windows' shards + 4 held out) x 500,000 rows x (2560 x 2 + 12) bytes
    assert "565 GB  activations, windows on the disk (2 of 80)" in text
    assert "22.6 GB  activations, kept shards" in text
    assert "stream.disk_gb" not in text  # 587 of 700 GB


def test_what_a_killed_job_left_is_planned_again(clone):
    """Also where it left a file: Snakemake alone would stop there, and `make smollm2` plans first."""
    target = "results/testbed/data/tasks/add.jsonl"
    mark = clone / ".snakemake/incomplete" / base64.b64encode(target.encode()).decode()  # as Snakemake notes it
    for path, text in {clone / target: "{}", mark: '{"external_jobid": null}'}.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert jobs_in(say(clone, "plan_study", target)) == {"make_task": 1}
    assert "an earlier attempt was killed: what it left may not be whole" in say(clone, "why", target)


def test_what_does_not_fit_is_said(clone):
    change(clone, QWEN, stream={"disk_gb": 500}, machine={"requests": {"evaluate_benchmarks": {"runtime": 30}}})
    text = say(clone, "plan_study", "--configfile", QWEN, "--gpus", "4", "--gpu-memory-gb", "30", ACCURACY)
    warnings = text.partition("\nWarnings: ")[2].partition("\n\n")[0]
    assert re.search(r"disk: the study takes up to \d+ GB more \(assumed\)", warnings) or BIG_DISK
    assert "stream.disk_gb: 2 windows and the held-out shards take 587 GB (assumed; value 500)" in warnings
    assert "train_grpo_rl: asks for 8 GPUs, 4 are there (--gpus)" in warnings
    assert re.search(r"train_sft_sft: 31\.\d GB \(assumed\) on each of 8 GPUs, which have 30 GB", warnings)
    assert re.search(r"evaluate_benchmarks: .* h \(assumed\), 0.5 h asked for \(machine.*\.runtime\)", warnings)
    assert re.search(r"train_sft_sft: at least 16 GB of memory \(assumed\), 2 GB asked for", warnings)


def test_a_size_that_is_missing_leaves_its_rules_out_by_name(clone):
    content = yaml.safe_load((clone / QWEN).read_text())
    del content["data"]["teacher"]["size"]
    (clone / QWEN).write_text(yaml.safe_dump(content, sort_keys=False))
    text = say(clone, "plan_study", "--configfile", QWEN, ACCURACY)
    assert table(text)["write_trajectories"][4] == "not known"
    reason = "data.teacher.size is missing (blocks, hidden_size, parameters)"
    assert f"left out, {reason}: write_trajectories\n" in text
    assert re.search(rf"\? +the teacher: {re.escape(reason)}", text)


def test_times_of_jobs_that_ran_take_the_place_of_assumptions(clone):
    folder = clone / "results/qwen3-4b/manifests/write_trajectories"
    folder.mkdir(parents=True)
    (folder / "seed0_3.run.json").write_text('{"wall_s": 36000}')
    text = say(clone, "plan_study", "--configfile", QWEN, ACCURACY)
    # one of 16 equal shards took 10 h on 2 GPUs
    assert table(text)["write_trajectories"][2:5] == ["10", "320", "measured (1 job)"]
    assert "jobs of this study that ran and were timed: 1\n" in text
    assert re.search(r"GPU-hours: \d+ \(measured and assumed\)", text)


@pytest.fixture
def done(clone) -> Path:
    """A small study in windows that looks finished: every file that stays is there, of one time, and the manifests."""
    change(clone, QWEN, stream={"rows": 2400000, "held_out_shards": 2, "windows": 2, "windows_on_disk": 1})
    (clone / "pretend.py").write_text(PRETEND)
    subprocess.run([sys.executable, "pretend.py"], cwd=clone, env=environment(), check=True, capture_output=True)
    return clone


PRETEND = f"""
import os, sys
from pathlib import Path
sys.path.insert(0, "scripts")
from rlgen.planning import why
dag = why.planned(["all"], Path("{QWEN}"))
paths = [Path(str(f)) for job in dag.jobs for f in job.output if not f.is_temp]
manifests = [why.manifest_of(job) for job in dag.jobs if job.output and why.manifest_of(job)]
for path in [*paths, *manifests]:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("pretended")
    os.utime(path, (1e9, 1e9))
"""


def test_activations_that_were_deleted_are_announced_before_the_jobs(done):
    assert "Nothing to be done" in say(done, "why", "--configfile", QWEN)
    dictionaries = done / "results/qwen3-4b/dictionaries"
    for lost in ("base-rl/batchtopk", "base-rl/l1-own", "null-permuted/batchtopk"):
        (dictionaries / lost / "seed0/sae_weights.safetensors").unlink()
    words = "3 dictionaries are stale, 6 dictionaries are trained anew because activations are shared; "
    words += "their activations were deleted: 2 windows x 3 models are harvested again, about "
    why = say(done, "why", "--configfile", QWEN)
    assert why.startswith(words) and re.match(r".* GPU-hours \(assumed\)\n\n\d+ jobs would run", why)
    plan = re.sub(r"\A(missing: .*\n)+\n?", "", say(done, "plan_study", "--configfile", QWEN))  # files that users bring
    assert plan.startswith(words)
    # A run says it before its first job, which fails here on pretended checkpoints.
    run = snakemake(done, "--configfile", QWEN)
    assert run.returncode != 0
    before, found, after = run.stdout.partition(words)
    assert found and "Activations of" not in before and "Activations of" in after


def test_a_first_harvest_is_no_news(done):
    for path in (done / "results/qwen3-4b/manifests/harvest_window").glob("*.json"):
        path.unlink()
    (done / "results/qwen3-4b/dictionaries/base-rl/batchtopk/seed0/sae_weights.safetensors").unlink()
    assert "harvested again" not in say(done, "why", "--configfile", QWEN)
