"""The layering rule: imports go down only, rooms of one floor are strangers, planning needs next to nothing."""

import shutil
import subprocess
import sys
from pathlib import Path

import architecture
import pytest

LIBRARY = Path(__file__).parents[2] / "scripts/rlgen"
RULES = [
    architecture.wrong_arrows,
    architecture.circles,
    architecture.mixed_settings,
    architecture.busy_inits,
    architecture.long_modules,
]
PLAN_WITHOUT = """
import sys
for name in ("numpy", "torch", "pandas", "transformers", "scipy", "matplotlib"):
    sys.modules[name] = None
from rlgen.study.load import load
from rlgen.study.paths import Paths
from rlgen.study import pages, slices
from rlgen.planning import plan, report, why
from rlgen.jobs import code, engine_lock, packages, run
for config in sys.argv[1:]:
    study = load(config)
    assert Paths(study).every_artifact() and slices.summarise_seeds(study)
    pages.left_out(study)
"""


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_its_rule(rule):
    assert list(rule(LIBRARY)) == []


def test_no_function_is_long():
    assert architecture.long_functions(LIBRARY) == set()


def test_every_room_has_a_floor():
    rooms = {path.stem for path in LIBRARY.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms - {"__init__"} == {*architecture.FLOOR_OF, architecture.BESIDE}


@pytest.mark.parametrize(
    ("rule", "module", "line"),
    [
        (architecture.wrong_arrows, "models/cache.py", "from rlgen.interventions import edits"),
        (architecture.wrong_arrows, "features/overlap.py", "from rlgen.interventions.edits import Edits"),
        (architecture.wrong_arrows, "training/sft.py", "from rlgen.jobs.claims import claim"),
        (architecture.wrong_arrows, "jobs/claims.py", "from rlgen.tasks import answers"),
        (architecture.wrong_arrows, "files.py", "import rlgen.models.cache"),
        (architecture.circles, "files.py", "def late():\n    from rlgen.resume import STATE\n"),
        (architecture.mixed_settings, "features/settings.py", "from rlgen.features.overlap import jaccard"),
        (architecture.busy_inits, "features/__init__.py", "from rlgen.features.overlap import jaccard"),
        (architecture.long_modules, "seeds.py", "\n" * 301),
    ],
    ids=lambda value: value if isinstance(value, str) and value.endswith(".py") else "",
)
def test_a_planted_fault_is_found(tmp_path, rule, module, line):
    tree = shutil.copytree(LIBRARY, tmp_path / "rlgen", ignore=shutil.ignore_patterns("__pycache__"))
    assert list(rule(tree)) == []
    with (tree / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    assert list(rule(tree))


def test_planning_needs_no_numpy_and_no_torch():
    configs = [str(LIBRARY.parents[1] / "config" / name) for name in ("config.yaml", "qwen3-4b.yaml")]
    command = [sys.executable, "-c", PLAN_WITHOUT, *configs]
    done = subprocess.run(command, cwd=LIBRARY.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
