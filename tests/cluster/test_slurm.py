"""The shipped SLURM profile on a real SLURM: which jobs run there, with what, and which run again."""

import re

import pytest
import yaml
from snakemake_runs import ROOT, STUDY, planned

pytestmark = pytest.mark.cluster

LOCAL = {"all", "copy_page", "total"}
GROUPS = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())["groups"]
GPU = {"build_stream", "evaluate_model", "harvest_base", "harvest_completions", "harvest_rl", "harvest_sft"}
GPU |= {"inspect_latents", "measure_dictionary", "measure_dynamics", "measure_truth", "train_dictionary"}
GPU |= {"continue_pretraining_more", "pretrain_base", "train_grpo_rl", "train_sft_sft"}


def rules_of(job, rules: set[str]) -> set[str]:
    """Which rules a SLURM job runs: the plugin writes their names into its comment, after a group's name."""
    text = job.comment.removeprefix("rule_").partition("_wildcards_")[0]
    return {rule for rule in rules if re.search(rf"(^|_){rule}(_|$)", text)}


def test_the_study_finishes_and_every_job_ran_in_slurm(study):
    assert study.returncode == 0, study.stdout
    assert {job.state for job in study.jobs} == {"COMPLETED"}
    assert study.stdout.count("submitted with SLURM jobid") == len(study.jobs)
    numbers = planned(study)
    single = set(numbers) - set(GROUPS) - LOCAL
    assert {rule: [rules_of(job, single) for job in study.jobs].count({rule}) for rule in single} == {
        rule: numbers[rule] for rule in single
    }
    # SLURM is told only the first names of a group; Snakemake says which jobs it hands over with it, further in.
    assert {job.comment.split("_")[1] for job in study.jobs if not rules_of(job, single)} == set(GROUPS.values())
    shared = sum(numbers[rule] for rule in set(GROUPS) & set(numbers))
    assert len(re.findall(r"^    Job \d+: ", study.stdout, re.M)) == shared


def test_rules_with_a_gpu_are_given_one_and_no_other_job_asks(study):
    for job in study.jobs:
        expected = ("gpu", "gres:gpu:1", "gpu:fake:1") if rules_of(job, GPU) else ("cpu", "", "")
        assert (job.partition, job.asked, job.given) == expected, job
    assert {rule for job in study.jobs for rule in rules_of(job, GPU)} == GPU


def test_jobs_of_seconds_share_slurm_jobs(study):
    assert len(study.jobs) < 45
    assert planned(study)["total"] > 70


def test_no_group_is_wider_than_the_profile_says(study):
    pages = [job for job in study.jobs if job.comment.startswith("rule_pages")]
    assert pages and {job.processors for job in pages} <= {1, 2, 3, 4}
    assert max(job.processors for job in pages) == 4  # there are more pages than that


def test_a_second_run_submits_nothing(study, on_cluster):
    run = on_cluster(study.folder, "--configfile", STUDY, "--", "all")
    assert run.returncode == 0 and "Nothing to be done" in run.stdout, run.stdout
    assert len(run.jobs) == len(study.jobs)


def test_an_edit_resubmits_only_what_is_stale(study, on_cluster):
    """A line of a plotting module: its figure. A line of the crosscoder, one dictionary asked for: that dictionary."""
    done = len(on_cluster(study.folder, "--configfile", STUDY, "--", "all").jobs)
    page, table = "results/miniature/figures/fig3.pdf", "results/miniature/dictionaries/course-rl/quality.csv"
    below = ["train_dictionary", "measure_dictionary", "summarise_dictionary"]
    for module, target, rules in [("figures/fig3_mas", page, ["fig3_mas"]), ("dictionaries/crosscoder", table, below)]:
        with (study.folder / f"scripts/rlgen/{module}.py").open("a") as text:
            text.write("\nA_NEW_LINE = 1\n")
        run = on_cluster(study.folder, "--configfile", STUDY, "--", target)
        assert planned(run) == dict.fromkeys(rules, 1) | {"total": len(rules)}
        assert [rules_of(job, set(rules)) for job in run.jobs[done:]] == [{rule} for rule in rules]
        done = len(run.jobs)


def test_a_cancelled_job_is_submitted_again(small):
    run = small()
    assert run.returncode == 0, run.stdout
    states = [(job.state, job.memory) for job in run.jobs if job.comment == "rule_cancelled"]
    assert states == [("CANCELLED", "500M"), ("COMPLETED", "1000M")]
    assert (run.folder / "cancelled.txt").read_text().split() == ["500", "1000"]


def test_a_job_out_of_memory_is_given_more(small):
    run = small()
    states = [(job.state, job.memory) for job in run.jobs if job.comment == "rule_too_large"]
    assert states == [("FAILED", "600M"), ("COMPLETED", "2400M")], run.stdout
    assert (run.folder / "too_large.txt").read_text().split() == ["600", "2400"]


def test_a_job_out_of_time_continues_from_its_state(small):
    run = small()
    *killed, last = [job.state for job in run.jobs if job.comment == "rule_too_long"]
    assert set(killed) == {"TIMEOUT"} and last == "COMPLETED", run.stdout
    first, *later, end = map(int, (run.folder / "too_long.txt").read_text().split())
    assert first == 0 and min(later) > 10 and max(later) < end == 100


def test_a_gpu_is_asked_for_either_way_and_by_nobody_else(small):
    run = small()
    asked = {job.comment.rpartition("_")[2]: (job.partition, job.given) for job in run.jobs if "given" in job.comment}
    assert asked == {"gpu": ("gpu", "gpu:fake:1"), "gres": ("gpu", "gpu:fake:1"), "none": ("cpu", "")}
    seen = {kind: (run.folder / f"given/{kind}.txt").read_text().strip() for kind in asked}
    assert seen["none"] == "" and seen["gpu"].isdecimal() and seen["gres"].isdecimal()


def test_without_gpus_the_same_jobs_ask_for_none(study, on_cluster):
    truth = "results/miniature/interventions/truth/seed0.safetensors"
    (study.folder / truth).unlink()
    run = on_cluster(study.folder, "--configfile", STUDY, "--config", "machine={device: cpu}", "--", truth)
    assert run.returncode == 0, run.stdout
    assert planned(run) == {"measure_truth": 1, "total": 1}
    assert (run.jobs[-1].partition, run.jobs[-1].asked, run.jobs[-1].given) == ("cpu", "", "")
