"""The workflow as a whole, without running a job: what is planned, what is refused, what goes stale."""

import json
import os
import shutil
from pathlib import Path

import pytest
import yaml
from snakemake_runs import ROOT, planned, snakemake

PARTS = ["Snakefile", "rules", "scripts", "config", "profiles", "envs", "report", "requirements.lock"]


@pytest.fixture
def clone(tmp_path) -> Path:
    """A copy of the project without results."""
    for name in PARTS:
        source = ROOT / name
        ignore = shutil.ignore_patterns("__pycache__")
        (shutil.copytree if source.is_dir() else shutil.copy)(
            source, tmp_path / name, **({"ignore": ignore} if source.is_dir() else {})
        )
    shutil.copy(ROOT / "tests/workflow/miniature.yaml", tmp_path / "miniature.yaml")
    return tmp_path


def test_the_default_study_plans_every_job(clone):
    jobs = planned(snakemake(clone, "-n", "all"))
    once_per_seed = ["pretrain_base", "continue_pretraining_more", "train_sft_sft", "train_grpo_rl", "build_stream"]
    once_per_seed += ["train_sft_sft-plain", "train_sft_relearn-sft"]
    once_per_seed += ["harvest_base", "harvest_sft", "harvest_rl", "measure_dynamics", "measure_truth", "steer"]
    assert {name: jobs[name] for name in once_per_seed} == dict.fromkeys(once_per_seed, 3)
    assert jobs["make_task"] == 8 and jobs["evaluate_model"] == 36
    assert jobs["train_dictionary"] == jobs["measure_dictionary"] == jobs["inspect_latents"] == 39
    assert jobs["intervene"] == jobs["edit_alone"] == jobs["score_features"] == 15
    assert jobs["attribute_features"] == jobs["choose_together"] == 6  # of the two procedures that score by cause
    assert jobs["map_members"] == 3  # of the one that reads by `mapped`
    assert jobs["copy_page"] == 32


def test_one_figure_plans_its_ancestors_only(clone):
    jobs = planned(snakemake(clone, "-n", "--configfile", "miniature.yaml", "--", "figures/fig3.pdf"))
    assert "fig3_mas" in jobs and not {"intervene", "evaluate_model", "train_sft_more", "fig1_behaviour"} & set(jobs)


@pytest.mark.parametrize("study", ["config", "qwen3-4b", "bring-your-own"])
def test_the_lint_finds_nothing(study):
    run = snakemake(ROOT, "--lint", "--configfile", f"config/{study}.yaml")
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("modles", {}, "modles: unknown field (value {}); expected one of the fields in config/README.md"),
        (
            "models",
            {"base": {"method": "pretrain"}, "rl": {"method": "grpo", "parent": "base", "learning_rate": -1e-4}},
            "models.rl.learning_rate: input should be greater than 0 (value -0.0001)",
        ),
        (
            "dictionaries",
            {"base-ppo": {"members": ["base", "ppo"], "recipes": ["l1-own"]}},
            "dictionaries.base-ppo.members: unknown model 'ppo', expected one of base, distil, dpo, more, own",
        ),
        ("stream", {"layer": 9, "sampled_models": ["base"]}, "stream.layer: 9 is beyond the model, expected 0 to 3"),
        ("tasks", {"in_domain": ["add"], "selection": ["max"], "unseen": ["max"]}, "listed as selection and as unseen"),
    ],
)
def test_a_broken_study_is_refused_before_anything_is_written(clone, field, value, message):
    content = yaml.safe_load((clone / "miniature.yaml").read_text())
    content[field] = value
    (clone / "broken.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    before = {path for path in clone.rglob("*") if ".snakemake" not in path.parts and "__pycache__" not in path.parts}
    run = snakemake(clone, "--configfile", "broken.yaml", "--", "all")
    assert run.returncode != 0
    assert message in run.stdout and "Traceback" not in run.stdout
    after = {path for path in clone.rglob("*") if ".snakemake" not in path.parts and "__pycache__" not in path.parts}
    assert before == after


def test_another_study_is_read_from_its_file_alone(clone):
    content = yaml.safe_load((clone / "miniature.yaml").read_text())
    content["procedures"] = content["claims"] = {}
    del content["extended"], content["arms"]["watch"], content["arms"]["sets"]
    (clone / "other.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    run = snakemake(clone, "-n", "--configfile", "other.yaml", "--", "all")
    jobs = planned(run)
    assert not {"intervene", "score_features", "fig6_selection"} & set(jobs)
    assert "fig6 is left out: no procedures are listed" in run.stdout


def test_a_snakemake_without_the_jobs_packages_plans_and_then_says_what_is_missing(clone):
    """As on clusters, where Snakemake is a module. A start-up file hides the packages from this very interpreter."""
    (clone / "site").mkdir()
    (clone / "site/sitecustomize.py").write_text(WITHOUT_PACKAGES)
    paths = os.pathsep.join([str(clone / "site"), os.environ["PYTHONPATH"]])
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", paths)
        assert planned(snakemake(clone, "-n", *TOKENIZER))["make_tokenizer"] == 1
        run = snakemake(clone, *TOKENIZER)
    assert run.returncode == 1 and "lacks torch, trl. Either run `make .venv/.installed` once and then" in run.stdout
    assert "or add `--sdm conda`" in run.stdout and not (clone / "results/miniature/logs").exists()


WITHOUT_PACKAGES = """
import importlib.metadata as metadata, sys
sys.modules.update(dict.fromkeys(["torch", "trl", "transformers"]))
find = metadata.version
def version(name):
    if name in ("torch", "trl"):
        raise metadata.PackageNotFoundError(name)
    return find(name)
metadata.version = version
"""


@pytest.fixture
def tokenizer(clone) -> Path:
    """A clone whose first job ran, with a stand-in for its script."""
    script = clone / "scripts/data/make_tokenizer.py"
    script.write_text(
        '"""Stand-in."""\nimport argparse\nfrom pathlib import Path\n\nfrom rlgen.files import write_text\n\n'
        "parser = argparse.ArgumentParser()\nparser.add_argument('--cfg')\nparser.add_argument('--output', type=Path)\n"
        "args = parser.parse_args()\nif 'boom' in args.cfg:\n    raise SystemExit('the tokenizer has no words')\n"
        "for name in ('tokenizer.json', 'tokenizer_config.json'):\n    write_text(args.output / name, args.cfg)\n"
    )
    assert snakemake(clone, *TOKENIZER).returncode == 0
    return clone


TOKENIZER = ["--configfile", "miniature.yaml", "--", "results/miniature/data/tokenizer/tokenizer.json"]


@pytest.mark.parametrize("linked", [False, True])
def test_a_study_runs_in_another_folder_than_the_projects(tokenizer, tmp_path_factory, linked):
    """With `-s` from elsewhere, and with `-d`; a path with a blank in it."""
    project = tokenizer
    elsewhere = tmp_path_factory.mktemp("else where")
    if linked:
        project = elsewhere / "the project"
        project.symlink_to(tokenizer)
    target = "results/testbed/data/tokenizer/tokenizer.json"
    run = snakemake(elsewhere, "-s", str(project / "Snakefile"), "--", target)
    assert run.returncode == 0 and (elsewhere / target).exists(), run.stdout
    assert (elsewhere / "results/testbed/manifests/make_tokenizer.json").exists()
    run = snakemake(project, "-d", str(elsewhere / "again"), "--", target)
    assert run.returncode == 0 and (elsewhere / "again" / target).exists(), run.stdout
    assert not (tokenizer / "results/testbed").exists()


def test_settings_reach_the_script_whole(tokenizer):
    text = (tokenizer / "results/miniature/data/tokenizer/tokenizer.json").read_text()
    assert json.loads(text) == {"families": ["add", "max", "cup", "dir", "par", "let"]}


def test_only_a_change_of_meaning_runs_a_job_again(tokenizer):
    assert "Nothing to be done" in snakemake(tokenizer, "-n", *TOKENIZER).stdout
    script = tokenizer / "scripts/data/make_tokenizer.py"
    script.write_text(script.read_text().replace("Stand-in.", "A stand-in.") + "# a comment\n")
    os.utime(tokenizer / "scripts/rlgen/files.py")
    assert "Nothing to be done" in snakemake(tokenizer, "-n", *TOKENIZER).stdout
    library = tokenizer / "scripts/rlgen/files.py"
    library.write_text(library.read_text() + "\n\nNEW = 1\n")
    assert planned(snakemake(tokenizer, "-n", *TOKENIZER))["make_tokenizer"] == 1


def test_a_setting_of_another_stage_changes_nothing(tokenizer):
    path = tokenizer / "miniature.yaml"
    path.write_text(path.read_text().replace("bootstrap: 100", "bootstrap: 101"))
    assert "Nothing to be done" in snakemake(tokenizer, "-n", *TOKENIZER).stdout


def test_the_error_of_a_script_reaches_the_user(tokenizer):
    script = tokenizer / "scripts/data/make_tokenizer.py"
    script.write_text(script.read_text().replace("'boom' in args.cfg", "'add' in args.cfg"))
    run = snakemake(tokenizer, *TOKENIZER)
    assert run.returncode != 0 and "the tokenizer has no words" in run.stdout
    assert not (tokenizer / "results/miniature/data/tokenizer/tokenizer.json").exists()
