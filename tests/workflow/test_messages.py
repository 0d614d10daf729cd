"""What is said to someone who asks for what the study does not have, in a line, before a job is planned."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from snakemake_runs import ROOT, copy_project, environment, snakemake

STUDY = "miniature.yaml"


@pytest.fixture
def project(tmp_path) -> Path:
    copy_project(tmp_path)
    shutil.copy(ROOT / "tests/workflow/miniature.yaml", tmp_path / STUDY)
    return tmp_path


def tool(project: Path, name: str, *arguments: str) -> subprocess.CompletedProcess:
    call = [sys.executable, f"scripts/tools/{name}.py", "--configfile", *arguments]
    return subprocess.run(call, cwd=project, env=environment(), capture_output=True, text=True)


def without_the_joint_dictionary(project: Path) -> str:
    study = yaml.safe_load((project / STUDY).read_text())
    del study["dictionaries"]["base-sft-rl"]
    study["procedures"] = {
        name: entry for name, entry in study["procedures"].items() if entry["dictionary"] != "base-sft-rl"
    }
    (project / "pairs.yaml").write_text(yaml.safe_dump(study))
    return "pairs.yaml"


@pytest.mark.slow
def test_a_target_outside_the_study_ends_in_one_line(project):
    pairs = without_the_joint_dictionary(project)
    for config, target, message in [
        (STUDY, "fig5", "fig5: no file of study miniature, expected figures/fig5.pdf or figures/fig5.png"),
        (
            STUDY,
            "figures/fig99.pdf",
            "figures/fig99.pdf: no file of study miniature, expected one of",
        ),
        (STUDY, "results/other/x.csv", "results/other/x.csv: no file of study miniature, expected one of its files"),
        (pairs, "figures/fig3.pdf", "left out of study miniature: no dictionary reads reference, contrast and target"),
    ]:
        run = tool(project, "why", config, target)
        assert run.returncode == 1 and message in run.stderr and run.stderr.count("\n") == 1, run.stderr
    said = snakemake(project, "-n", "--configfile", pairs, "--", "figures/fig3.pdf").stdout
    assert "fig3 is left out: no dictionary reads reference, contrast and target together" in said
    assert "Traceback" not in said and "KeyError" not in said


@pytest.mark.parametrize("place", ["script", "list"])
def test_a_page_that_is_in_some_places_only_is_named_with_the_others(project, place):
    if place == "script":
        (project / "scripts/figures/fig9_new.py").write_text('"""A new page."""\n')
        missing = (
            "TABLES in rules/figures.smk, PAGES in scripts/rlgen/study/pages.py, the slices of scripts/rlgen/study"
        )
        expected = f"page fig9_new is missing in {missing}"
    else:
        path = project / "scripts/rlgen/study/pages.py"
        line = '    "fig5_mediation": "Mediating features per task and their overlap against chance",\n'
        path.write_text(path.read_text().replace(line, ""))
        expected = "page fig5_mediation is missing in PAGES in scripts/rlgen/study/pages.py\n"
    run = snakemake(project, "-n", "--configfile", STUDY, "--", "figures")
    assert run.returncode == 1 and expected in run.stdout, run.stdout


@pytest.mark.slow
def test_a_plan_and_a_dry_run_name_the_folders_that_are_missing(project):
    study = "config/bring-your-own.yaml"
    missing = "models.base.from: ./models/base: no such folder, expected a checkpoint folder"
    dry, plan = snakemake(project, "-n", "--configfile", study), tool(project, "plan_study", study)
    assert dry.returncode == plan.returncode == 0, dry.stdout + plan.stderr
    assert missing in dry.stdout and plan.stdout.startswith(f"missing: {missing}")
    assert "data.sources.general.files: data/documents.jsonl: no such file" in plan.stdout


@pytest.mark.parametrize("name", ["plan_study", "why"])
def test_plans_of_a_study_that_cannot_run_say_why_and_no_more(project, name):
    (project / "broken.yaml").write_text((project / STUDY).read_text().replace("threads: 1", "threads: two"))
    for config, said in [
        ("broken.yaml", "threads: input should be a valid integer"),
        ("no.yaml", "no.yaml: cannot be"),
    ]:
        run = tool(project, name, config)
        assert run.returncode == 1 and "Traceback" not in run.stderr, run.stderr
        assert run.stderr.startswith(f"error: the study cannot run:\n{said}"), run.stderr


def test_requests_for_an_unknown_script_are_refused(project):
    study = yaml.safe_load((project / STUDY).read_text()) | {"machine": {"requests": {"havest": {"mem_mb": 4000}}}}
    (project / STUDY).write_text(yaml.safe_dump(study))
    run = snakemake(project, "-n", "--configfile", STUDY)
    assert run.returncode == 1 and "machine.requests: unknown script 'havest', expected one of" in run.stdout
    assert ", nearest: harvest\n" in run.stdout
