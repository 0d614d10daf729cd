"""Which Pythons `make` takes, whether the lock is for all of them, and what is said where there is none."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from rlgen.jobs.packages import locked, normal

ROOT = Path(__file__).parents[3]
PYTHONS = re.findall(r"python(3\.\d+)", re.search(r"^PYTHONS := (.*)$", (ROOT / "Makefile").read_text(), re.M)[1])
BESIDE = {"setuptools"}  # comes with a virtual environment, or is brought along; no result depends on it


def test_make_and_the_project_name_the_same_pythons():
    accepted = SpecifierSet(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"])
    assert [f"3.{minor}" for minor in range(8, 20) if accepted.contains(f"3.{minor}.0")] == PYTHONS
    assert all(re.search(rf"\b{re.escape(version)}\b", (ROOT / "README.md").read_text()) for version in PYTHONS)


@pytest.mark.parametrize("python", PYTHONS)
def test_every_pin_takes_the_python_and_has_what_it_requires_there(python):
    """What a resolver does, on the packages' own metadata as they are installed here."""
    pins, machine = locked(ROOT), default_environment()
    there = machine | {"python_version": python, "python_full_version": f"{python}.0", "extra": ""}
    wrong = []
    for package in pins:
        try:
            found = distribution(package)
        except PackageNotFoundError:
            continue  # of another system
        if not SpecifierSet(found.metadata.get("Requires-Python") or "").contains(f"{python}.1"):
            wrong.append(f"{package} wants Python {found.metadata['Requires-Python']}")
        for one in map(Requirement, found.requires or []):
            name = normal(one.name)
            if name not in BESIDE and (one.marker is None or one.marker.evaluate(there)):
                fits = name in pins and one.specifier.contains(pins[name], prereleases=True)
                wrong += [] if fits else [f"{package} wants {one}, pinned: {pins.get(name)}"]
    assert wrong == []


def compiled() -> list[str]:
    """Pins of the packages that are built for one Python."""
    found = []
    for package, version in locked(ROOT).items():
        try:
            built = "Root-Is-Purelib: false" in (distribution(package).read_text("WHEEL") or "")
        except PackageNotFoundError:
            continue
        found += [f"{package}=={version}"] if built else []
    return found


@pytest.mark.slow
@pytest.mark.parametrize("python", PYTHONS[1:])
def test_an_index_has_every_compiled_pin_for_the_python(tmp_path, python):
    """Asks a package index; installs nothing. The tests run on the first of the Pythons."""
    ask = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--dry-run", "--ignore-installed"]
    ask += ["--quiet", "--no-deps", "--only-binary=:all:", "--target", str(tmp_path), "--python-version"]
    pins = compiled()
    assert len(pins) > 20 and any(pin.startswith("torch==") for pin in pins)
    if subprocess.run([*ask, PYTHONS[0], "numpy"], capture_output=True).returncode:
        pytest.skip("NOT CHECKED, no package index")
    found = subprocess.run([*ask, python, *pins], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr[-3000:]


@pytest.fixture
def bare(tmp_path) -> Path:
    """A fresh clone's files that `make` reads, and a folder `bin` with the commands it calls."""
    (tmp_path / "bin").mkdir()
    for command in ("make", "sh", "grep", "test", "sed", "rm", "touch"):
        (tmp_path / "bin" / command).symlink_to(shutil.which(command))
    for name in ("Makefile", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    path = {"PATH": str(folder / "bin")} | {k: v for k, v in os.environ.items() if k == "HOME"}
    return subprocess.run(["make", *arguments], cwd=folder, env=path, capture_output=True, text=True)


def test_make_takes_the_first_python_there_is(bare):
    for name in ("python3.13", "python3.12"):
        (bare / "bin" / name).symlink_to("/bin/false")
    assert "bin/python3.12 -m venv .venv" in make(bare, "-n", "figures").stdout
    assert "other -m venv .venv" in make(bare, "-n", "figures", "PYTHON=other").stdout


def test_make_without_any_says_in_a_line_what_to_do(bare):
    run = make(bare, "figures")
    said, *rest = run.stderr.splitlines()
    assert run.returncode == 2 and said.startswith("none of python3.11 python3.12 python3.13 is in PATH: install one")
    assert "make PYTHON=/path/to/python3.11" in said and len(rest) == 1  # make's own line


def test_an_environment_that_was_not_made_whole_is_not_left_behind(bare):
    """As Debian's Python without its package `python3-venv` leaves it: with an interpreter, without pip."""
    half = bare / "bin/python3.11"
    half.write_text("#!/bin/sh\nmkdir -p .venv/bin && touch .venv/bin/python && chmod +x .venv/bin/python; exit 1\n")
    half.chmod(0o755)
    for command in ("mkdir", "chmod"):
        (bare / "bin" / command).symlink_to(shutil.which(command))
    assert make(bare, "figures").returncode == 2 and not (bare / ".venv").exists()
