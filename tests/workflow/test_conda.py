"""Snakemake here, jobs in their conda environments: as where Snakemake is a cluster's module. conda is a stand-in."""

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import conda_stand_in as conda
import pytest
from rules import all_rules
from script_files import script_file
from snakemake_runs import ROOT, copy_project, environment

from rlgen.jobs.code import sources
from rlgen.jobs.environments import DIRECT, with_requirements
from rlgen.jobs.packages import environment as packages_of
from rlgen.jobs.packages import locked

pytestmark = pytest.mark.slow

STUDY, OUT = "config/miniature.yaml", "results/miniature/data/training/seed0.jsonl"


def without_ours() -> dict[str, str]:
    """Variables that lead to no package of this interpreter's."""
    return {k: v for k, v in environment().items() if not k.startswith(("PYTHON", "RLGEN_", "VIRTUAL_ENV"))}


@pytest.fixture(scope="module")
def engine(tmp_path_factory) -> Path:
    """An interpreter that has Snakemake and pydantic, what these require, and nothing else."""
    names = with_requirements(["snakemake", "pydantic", "pyyaml"], locked(ROOT))
    assert not {"numpy", "pandas", "torch"} & set(names)
    return conda.create(tmp_path_factory.mktemp("engine"), names)


@pytest.fixture
def project(tmp_path) -> Path:
    folder = tmp_path / "the project"
    folder.mkdir()
    copy_project(folder)
    shutil.copy(folder / "tests/workflow/miniature.yaml", folder / STUDY)
    return folder


def run(engine: Path, project: Path, *arguments: str, commands: str = "") -> subprocess.CompletedProcess:
    path = os.pathsep.join(filter(None, [commands, "/usr/local/bin:/usr/bin:/bin"]))
    call = [engine, "-m", "snakemake", "--cores", "1", "--configfile", STUDY, *arguments]
    everything = {"cwd": project, "env": without_ours() | {"PATH": path}, "stdout": subprocess.PIPE}
    return subprocess.run(call, stderr=subprocess.STDOUT, encoding="utf-8", **everything)


def test_it_plans_says_what_its_interpreter_lacks_and_runs_jobs_in_their_environments(engine, project, tmp_path):
    plan = run(engine, project, "-n", "--", "all")
    assert plan.returncode == 0 and "Traceback" not in plan.stdout, plan.stdout[-3000:]
    refused = run(engine, project, "--", OUT)
    assert refused.returncode == 1 and "which runs Snakemake and its jobs, lacks accelerate, datasets" in refused.stdout
    assert refused.stdout.count("lacks") == 1 and not (project / OUT).exists()

    commands = str(conda.install(tmp_path / "conda"))
    made = run(engine, project, "--sdm", "conda", "--", OUT, commands=commands)
    assert made.returncode == 0, made.stdout[-3000:]
    manifest = json.loads((project / "results/miniature/manifests/make_training_set/seed0.json").read_text())
    assert manifest["packages"] == {name: version(name).partition("+")[0] for name in packages_of(ROOT, "training")}
    environments = [path for path in (project / ".snakemake/conda").iterdir() if path.is_dir()]
    assert len(environments) == 1 and (environments[0] / "pyvenv.cfg").is_file()

    again = run(engine, project, "--sdm", "conda", "--", OUT, commands=commands)
    assert again.returncode == 0 and "Nothing to be done" in again.stdout, again.stdout[-3000:]


@pytest.mark.parametrize("name", DIRECT)
def test_all_code_behind_the_scripts_of_an_environment_can_be_imported_in_it(tmp_path, name):
    python = conda.create(tmp_path / "environment", packages_of(ROOT, name))
    scripts = [script_file(rule.script) for rule in all_rules() if rule.environment == name]
    modules = {module for script in scripts for module, path in sources(script).items() if path.suffix == ".py"}
    assert len(modules - {"script"}) > 10
    text = f"import sys; sys.path.insert(0, 'scripts'); import {', '.join(sorted(modules - {'script'}))}"
    done = subprocess.run([python, "-c", text], cwd=ROOT, env=without_ours(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    other = "import importlib.util as u; print(u.find_spec('pytest'), u.find_spec('sae_lens'))"
    assert subprocess.check_output([python, "-c", other], env=without_ours(), text=True) == "None None\n", sys.path
