"""Snakemake in a copy of the project, and what it left behind: shared by the tests of the workflow."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zlib
from pathlib import Path
from subprocess import PIPE, STDOUT
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SNAKEMAKE = Path(sys.executable).with_name("snakemake")
STUDY = "config/miniature.yaml"
RESULTS = "results/miniature"
SITE = "site"  # a folder that is one artifact


class Job(NamedTuple):
    """What made a file: its rule, and the shell command as it was run."""

    rule: str
    shell: str


def copy_project(folder: Path) -> None:
    """Copy every file of the project that git tracks or would track: no results, no environment."""
    call = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    listed = subprocess.run(call, cwd=ROOT, check=True, capture_output=True, encoding="utf-8").stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():  # one that was deleted a moment ago may still be listed
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


def environment() -> dict[str, str]:
    """This process's environment without a Snakemake's of the outside: tests may run inside a rule."""
    return {k: v for k, v in os.environ.items() if not k.startswith("SNAKEMAKE")}


def snakemake(folder: Path, *arguments: str, cores: int = 1) -> subprocess.CompletedProcess:
    """Run Snakemake in a folder; what it prints is in `stdout`."""
    call = [SNAKEMAKE, "--cores", str(cores), *arguments]
    return subprocess.run(call, cwd=folder, env=environment(), stdout=PIPE, stderr=STDOUT, encoding="utf-8")


def planned(run: subprocess.CompletedProcess) -> dict[str, int]:
    """Rule -> number of jobs of a run or dry run."""
    assert run.returncode == 0, run.stdout
    table = run.stdout.partition("Job stats:")[2].partition("\n\n")[0]
    jobs = {name: int(number) for name, number in re.findall(r"^([\w-]+) +(\d+)$", table, flags=re.M)}
    assert jobs or "Nothing to be done" in run.stdout, run.stdout
    return jobs


def stale(folder: Path, *targets: str, study: str = STUDY) -> dict[str, int]:
    """What a dry run of a study would do: rule -> number of jobs, without `all` and the total."""
    jobs = planned(snakemake(folder, "-n", "--configfile", study, "--", *(targets or ["all"])))
    return {rule: n for rule, n in jobs.items() if rule not in ("all", "total")}


def jobs_of(folder: Path, study: str = STUDY) -> dict[str, Job]:
    """Every output of the jobs behind `all` -> the job."""
    run = snakemake(folder, "--detailed-summary", "--configfile", study, "--", "all")
    assert run.returncode == 0, run.stdout
    _, found, rows = run.stdout.partition("output_file\tdate\trule")
    assert found, run.stdout
    cells = [line.split("\t") for line in rows.splitlines()[1:] if line.count("\t") == 7]
    return {row[0]: Job(row[2], row[5]) for row in cells}


def digests(folder: Path) -> dict[str, str]:
    """Every artifact in a folder -> SHA-256: all results and copies of pages, but no records of how they were made."""
    files = [path for part in ("results/*/", "figures/") for path in folder.glob(f"{part}**/*") if path.is_file()]
    names = {str(path.relative_to(folder)): path for path in files}
    records = {"logs", "benchmarks", "manifests", ".jobs"}  # results/{study}/logs/...
    kept = {name: path for name, path in names.items() if not records & {*Path(name).parts[2:3]}}
    found = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in sorted(kept.items())}
    return _folders_as_one(found)


def _folders_as_one(found: dict[str, str]) -> dict[str, str]:
    """The files of a site, which is one artifact, as that: the digest of their places in it and of theirs."""
    sites = {}
    for name in [name for name in found if SITE in Path(name).parts[2:3]]:
        place, digest = Path(*Path(name).parts[3:]), found.pop(name)
        if not place.name.startswith("."):  # the engine's own
            sites.setdefault("/".join(Path(name).parts[:3]), {})[place.as_posix()] = digest
    texts = {site: json.dumps(places, sort_keys=True, separators=(",", ":")) for site, places in sites.items()}
    return found | {site: hashlib.sha256(text.encode()).hexdigest() for site, text in texts.items()}


def manifests(folder: Path) -> dict[str, dict]:
    """Every job's manifest, by its path in the folder of manifests."""
    root = folder / RESULTS / "manifests"
    paths = [p for p in sorted(root.rglob("*.json")) if not p.name.endswith(".run.json") and p.parent != root / "code"]
    return {str(path.relative_to(root)): json.loads(path.read_text(encoding="utf-8")) for path in paths}


def by_hand(folder: Path, job: Job) -> subprocess.CompletedProcess:
    """Run a job's own command without Snakemake; what it says is in `stderr` and in its log."""
    path = os.pathsep.join([str(SNAKEMAKE.parent), os.environ.get("PATH", os.defpath)])
    run = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", job.shell],
        cwd=folder,
        env=environment() | {"PATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        encoding="utf-8",
    )
    log = re.search(r"--log (\S+)", job.shell)[1]
    return subprocess.CompletedProcess(
        run.args, run.returncode, run.stdout, (folder / log).read_text(encoding="utf-8") + run.stderr
    )


def pdf_text(path: Path) -> str:
    """The words of a page drawn by matplotlib with embedded TrueType fonts, spaces and line ends as one space each."""
    blocks = []
    for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", path.read_bytes(), re.S):
        try:
            content = zlib.decompress(stream)
        except zlib.error:  # a stream that is not compressed holds no text
            continue
        blocks += re.findall(rb"BT\n(.*?)\nET", content, re.S)
    return " ".join(" ".join(map(_words, blocks)).split())


def _words(block: bytes) -> str:
    """The strings of one text block: two bytes per character, brackets and line ends escaped."""
    named = {b"n": b"\n", b"r": b"\r"}
    strings = re.findall(rb"\(((?:\\.|[^\\)])*)\)", block, re.S)
    raw = [re.sub(rb"\\(.)", lambda m: named.get(m[1], m[1]), text, flags=re.S) for text in strings]
    return b"".join(raw).decode("utf-16-be", errors="replace")
