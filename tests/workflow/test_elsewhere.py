"""Every script that is given a device runs on one that refuses tensors of two places, in three studies, to all figures.

The trainers of SFT and RL choose their device themselves, which is the CPU here; all else computes elsewhere.
"""

import json
import re
from pathlib import Path

import pytest
import real_studies as studies
import yaml
from snakemake_runs import ROOT, STUDY, copy_project, snakemake

pytestmark = pytest.mark.slow


# What the miniature study has no part of: variants of a procedure, and models that aim at its set.
VARIANTS = {
    "procedure": "elimination",
    "equivalence": {"latents": 4, "prompts": 4},
    "maps": {"units": 8, "steps": 20},
    "factors": {"selector": {"by-size": {"procedure": {"score": "size"}}}},
}
AIM = {"method": "distil", "parent": "base", "teacher": "base", "under": {"procedure": "elimination"}}
HELD = {"method": "sft", "parent": "base", "holds": {"procedure": "elimination", "set": "alive"}}
AIMING = {
    "aim": AIM | {"prompts": 4, "prompts_per_step": 2, "checkpoints": 1},
    "held": HELD | {"examples": 8, "batch_size": 4, "checkpoints": 1},
}


def write_miniature(folder: Path) -> str:
    content = yaml.safe_load((folder / "tests/workflow/miniature.yaml").read_text())
    # Ties of weights are undone elsewhere, so that the dictionary explains less, and an edit would be refused.
    interventions = content["interventions"] | {"readout_variance": 0.5}
    more = {"models": content["models"] | AIMING, "variants": VARIANTS, "interventions": interventions}
    (folder / STUDY).write_text(yaml.safe_dump(content | more, sort_keys=False))
    return STUDY


def write_own(folder: Path) -> str:
    studies.write_own_models(folder / "data")
    studies.write_problems(folder / "data")
    return studies.write_study(folder, studies.aiming(studies.varied(studies.bring_your_own())))


def write_training(folder: Path) -> str:
    studies.write_problems(folder / "data")
    studies.write_taught_models(folder / "data")
    return studies.write_study(folder, studies.training())


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, Path]:
    """Name of a study -> its folder, after a run in which `rlgen.compute.start` says: elsewhere."""
    return {}


@pytest.mark.parametrize("write", [write_miniature, write_own, write_training])
def test_a_study_runs_elsewhere(write, made, tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("elsewhere")
    copy_project(folder)
    studies.write_data(folder / "data")
    study = write(folder)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'scripts'}:{ROOT / 'tests/stand_ins/elsewhere_site'}")
    targets = ["figures", "all", *["extended"] * ("extended" in yaml.safe_load((folder / study).read_text()))]
    done = snakemake(folder, "--keep-going", "--configfile", study, "--", *targets, cores=2)
    logs = [path for path in folder.glob("results/*/logs/**/*.log") if "Traceback" in path.read_text()]
    assert done.returncode == 0, (done.stdout, [path.read_text() for path in logs])
    configs = [json.loads(path.read_text()) for path in folder.glob("results/*/dictionaries/*/*/seed*/cfg.json")]
    assert configs and {config["metadata"]["step"] for config in configs} == {"torch"}  # not the CPU's compiled step
    made[study] = folder


def test_no_script_with_a_device_is_left_out(made):
    if len(made) < 3:
        pytest.skip("a study did not run")
    given = {path.stem for path in ROOT.glob("scripts/*/*.py") if re.search(r"\bstart\(cfg", path.read_text())}
    manifests = [path for folder in made.values() for path in folder.glob("results/*/manifests/**/*.json")]
    run = {json.loads(path.read_text()).get("script") for path in manifests}
    assert len(given) > 20 and given - run == set()
