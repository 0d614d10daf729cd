"""What each kind of rule needs installed: the packages it uses, and through their requirements all others."""

import re
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from rlgen.jobs.packages import locked, normal

# What the scripts of each environment import. Making data and training share one: nothing that only draws, or only
# fetches what others published, may retrain a model.
DIRECT = {
    "analysis": ["jinja2", "matplotlib", "numpy", "pandas", "pyarrow", "pydantic", "pyyaml", "safetensors", "scipy"],
    "dictionaries": [
        *["numpy", "pandas", "pyarrow", "pydantic", "pyyaml", "safetensors", "scipy", "torch", "transformers"],
    ],
    "sources": [
        *["accelerate", "datasets", "huggingface-hub", "jinja2", "math-verify", "numpy", "pandas", "peft", "pyarrow"],
        *["pydantic", "pyyaml", "safetensors", "torch", "transformers"],
    ],
    "training": [
        *["accelerate", "datasets", "math-verify", "numpy", "pandas", "pyarrow", "pydantic", "pyyaml", "safetensors"],
        *["scipy", "torch", "transformers", "trl"],
    ],
    "benchmarks": [
        *["accelerate", "datasets", "lm-eval", "math-verify", "numpy", "pandas", "pyarrow", "pydantic", "pyyaml"],
        *["safetensors", "scipy", "torch", "transformers"],
    ],
}


# Hardware builds of torch bring libraries that a CPU build lacks: they belong to the machine, not to the study.
OF_THE_MACHINE = re.compile(r"(nvidia|cuda)-.*|triton")


def lacking(environments: Iterable[str]) -> list[str]:
    """Packages that scripts of these environments import and this interpreter, which is the jobs' too, has not."""
    return sorted({package for name in environments for package in DIRECT[name] if not _installed(package)})


def _installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def with_requirements(packages: Iterable[str], known: Iterable[str]) -> list[str]:
    """The packages and, through what is installed here, all that they require; only those in `known`, sorted."""
    known, found, waiting = set(known), set(), [normal(p) for p in packages]
    while waiting:
        name = waiting.pop()
        if name in found or name not in known or OF_THE_MACHINE.fullmatch(name):
            continue
        found.add(name)
        waiting += [normal(requirement) for requirement in _required(name)]
    return sorted(found)


def _required(package: str) -> list[str]:
    """Names that an installed package requires on any machine, without those of its extras."""
    try:
        lines = requires(package) or []
    except PackageNotFoundError:
        return []
    return [re.match(r"[\w.-]+", line)[0] for line in lines if "extra ==" not in line]


def environment_yaml(root: Path, name: str) -> str:
    """Text of envs/{name}.yaml."""
    pins = locked(root)
    lines = ["# Made by `make lock`: versions as in requirements.lock. A test compares them.", "channels:"]
    lines += ["  - conda-forge", "  - nodefaults", "dependencies:", "  - python=3.11", "  - pip", "  - pip:"]
    lines += [f"      - {package}=={pins[package]}" for package in with_requirements(DIRECT[name], pins)]
    return "\n".join(lines) + "\n"
