"""A toy cluster, and what is run on it with the project's own SLURM profile."""

import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))  # modules beside the tests can be imported by name
sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

from snakemake_runs import ROOT, SNAKEMAKE, STUDY, copy_project, environment
from toy_slurm import Job, ToyCluster, why_not

from rlgen.jobs.claims import claim

SMALL = ROOT / "tests/cluster/small/Snakefile"
# All that a toy needs beside the shipped profile: it is quick, so it is asked often.
OVERRIDES = ["--slurm-init-seconds-before-status-checks", "4", "--latency-wait", "20"]


class Run(NamedTuple):
    """One Snakemake run on the cluster."""

    folder: Path
    stdout: str
    returncode: int
    jobs: list[Job]  # SLURM's, of this run


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    reason = why_not()
    if reason:
        pytest.skip(f"NO CLUSTER TEST: {reason}")
    with claim(Path(tempfile.gettempdir()) / "rlgen-toy-slurm.lock", "the toy cluster is"):
        toy = ToyCluster(tmp_path_factory.mktemp("toy"))
        try:
            toy.start()
            yield toy
        finally:
            toy.stop()


@pytest.fixture(scope="session")
def on_cluster(cluster):
    """A function that runs Snakemake in a folder with the shipped profile; it is interrupted after so many minutes."""

    def run(folder: Path, *arguments: str, minutes: int = 12) -> Run:
        limit = ["timeout", "-s", "INT", "-k", "30", f"{minutes}m"]
        call = [*limit, SNAKEMAKE, "--workflow-profile", str(ROOT / "profiles/slurm"), *OVERRIDES, *arguments]
        at = {"cwd": folder, "env": environment(), "text": True}
        done = subprocess.run(call, **at, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return Run(folder, done.stdout, done.returncode, cluster.jobs_in(folder))

    return run


@pytest.fixture(scope="session")
def small(cluster, on_cluster, tmp_path_factory):
    """A function that waits for the workflow of a few rules, which runs beside the study and has a job cancelled."""
    folder = tmp_path_factory.mktemp("small")
    runs = []
    threads = [
        threading.Thread(target=lambda: runs.append(on_cluster(folder, "--snakefile", str(SMALL)))),
        threading.Thread(target=_cancel_first, args=(cluster, folder), daemon=True),
    ]
    for thread in threads:
        thread.start()

    def wait() -> Run:
        threads[0].join()
        return runs[0]

    yield wait
    threads[0].join()


def _cancel_first(cluster: ToyCluster, folder: Path) -> None:
    """Cancel the job that waits for it, once its own command runs."""
    while not (folder / "tried/cancelled").exists():
        time.sleep(1)
    for job in cluster.jobs_in(folder):
        if job.comment == "rule_cancelled":
            cluster.cancel(job.number)


@pytest.fixture(scope="session")
def study(on_cluster, small, tmp_path_factory) -> Run:
    """The miniature study, run on the cluster from nothing; without causes, claims and further models."""
    folder = tmp_path_factory.mktemp("study")
    copy_project(folder)
    content = yaml.safe_load((folder / "tests/workflow/miniature.yaml").read_text(encoding="utf-8"))
    content["dictionaries"] = {name: content["dictionaries"][name] for name in ("base-rl", "base-sft-rl", "course-rl")}
    content["dictionaries"]["base-rl"]["recipes"] = ["batchtopk"]
    content["procedures"] = {"contribution": content["procedures"]["contribution"]}
    content["models"] = {name: content["models"][name] for name in ("base", "sft", "rl", "more")}
    del content["arms"], content["solutions"]
    for part in ("claims", "relearning", "extended"):
        content.pop(part, None)
    (folder / STUDY).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return on_cluster(folder, "--configfile", STUDY, "--", "all")
