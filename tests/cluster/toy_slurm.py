"""A SLURM on one machine: one controller, a node without and a node with (fake) GPUs, all its jobs remembered."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from string import Template
from typing import NamedTuple

from debian import install

HERE = Path(__file__).parent
ETC = Path("/etc/slurm")  # SLURM_CONF alone is not enough: steps look here
CONFIGS = ["slurm.conf", "gres.conf"]
MARK = "# Toy cluster of this project's tests"
PACKAGES = ["slurm-wlm", "munge"]
GPUS = 4
START_S = 30
ANSWER_S = 10


class Job(NamedTuple):
    """What SLURM knows of a job."""

    number: str
    state: str
    partition: str
    folder: str  # in which it runs
    comment: str  # rule_NAME and wildcards, from the plugin
    memory: str  # asked for, such as 500M
    limit: str  # hours:minutes:seconds
    asked: str  # GPUs that it asked for, such as gres:gpu:1; empty for none
    given: str  # GPUs that it was given, such as gpu:fake:1; empty for none
    processors: int
    reason: str  # why it waits or failed


def why_not() -> str:
    """Why SLURM cannot be had on this machine; empty where it can. Installs it if need be."""
    if os.geteuid() != 0:
        return "SLURM's daemons are started by root, and this is not root"
    config = ETC / "slurm.conf"
    if config.exists() and not config.read_text(encoding="utf-8").startswith(MARK):
        return f"{config} exists: this machine belongs to a real cluster"
    if all(shutil.which(name) for name in ("slurmctld", "slurmd", "sacct", "munged")):
        return ""
    if not shutil.which("apt-get"):
        return "SLURM is not installed, and there is no apt-get to install it with"
    return install(PACKAGES)


class ToyCluster:
    """The daemons, which end with this process, whatever ends it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.daemons: list[subprocess.Popen] = []

    def start(self) -> None:
        """Write the configuration, start the daemons, wait for both nodes."""
        for name in ("state", "spool", "dev"):
            (self.folder / name).mkdir()
        for i in range(GPUS):
            (self.folder / f"dev/gpu{i}").symlink_to("/dev/null")
        ETC.mkdir(exist_ok=True)
        for name in CONFIGS:
            template = Template((HERE / name).read_text(encoding="utf-8"))
            (ETC / name).write_text(
                template.substitute(HOST=socket.gethostname().split(".")[0], FOLDER=self.folder), encoding="utf-8"
            )
        self._start_munge()
        self._daemon("slurmctld", "-D", "-i")
        for node in ("c1", "g1"):
            self._daemon("slurmd", "-D", "-N", node, before=["nice"])
        self._wait_for("both nodes", lambda: self._call("sinfo", "-h", "-N", "-o", "%T").split() == ["idle", "idle"])

    def stop(self) -> None:
        """End all jobs and daemons, take the configuration away."""
        self._call("scancel", "--user", "root")
        for _ in range(ANSWER_S):  # killed jobs have a few seconds to end
            if not self._call("squeue", "-h", "-o", "%i").strip():
                break
            time.sleep(1)
        for daemon in reversed(self.daemons):
            daemon.terminate()
        for daemon in self.daemons:
            try:
                daemon.wait(timeout=15)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        for name in CONFIGS:
            (ETC / name).unlink(missing_ok=True)

    def jobs(self) -> list[Job]:
        """All jobs that were ever submitted, in that order."""
        found = []
        for line in self._call("scontrol", "-d", "-o", "show", "job").splitlines():
            has = {key: value.replace("(null)", "") for key, _, value in (word.partition("=") for word in line.split())}
            if "JobId" in has:
                asked = has.get("TresPerJob") or has.get("TresPerNode", "")
                values = [has[key] for key in ("JobId", "JobState", "Partition", "WorkDir")]
                values += [has.get("Comment", ""), has["MinMemoryNode"], has["TimeLimit"]]
                given = has.get("JOB_GRES", "")  # a job that waits has been given nothing
                processors = int(has["NumCPUs"].partition("-")[0])
                found.append(Job(*values, asked, given, processors, has["Reason"]))
        return found

    def jobs_in(self, folder: Path) -> list[Job]:
        """Jobs of the Snakemakes that ran in a folder."""
        return [job for job in self.jobs() if job.folder == str(folder)]

    def cancel(self, number: str) -> None:
        """What a user or an administrator may do to any job."""
        self._call("scancel", number)

    def _start_munge(self) -> None:
        """The messages between daemons are signed by munge, which may be there already."""
        if subprocess.run(["munge", "-n"], capture_output=True).returncode == 0:
            return
        Path("/run/munge").mkdir(mode=0o755, exist_ok=True)
        shutil.chown("/run/munge", "munge", "munge")
        self._daemon("munged", "--foreground", "--force", before=["--reuid=munge", "--regid=munge", "--clear-groups"])
        self._wait_for("munge", lambda: subprocess.run(["munge", "-n"], capture_output=True).returncode == 0)

    def _daemon(self, *call: str, before: list[str] = ()) -> None:
        log = (self.folder / f"daemon{len(self.daemons)}.log").open("w", encoding="utf-8")
        call = ["setpriv", "--pdeathsig=KILL", *before, *call]
        self.daemons.append(subprocess.Popen(call, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def _call(self, *call: str) -> str:
        try:
            return subprocess.run(call, capture_output=True, encoding="utf-8", timeout=ANSWER_S).stdout
        except subprocess.TimeoutExpired:
            return ""

    def _wait_for(self, what: str, there: Callable[[], bool]) -> None:
        """Ask again and again; a daemon that died or half a minute without an answer is an error with the logs."""
        until = time.monotonic() + START_S
        while time.monotonic() < until and all(daemon.poll() is None for daemon in self.daemons):
            if there():
                return
            time.sleep(0.5)
        logs = "".join(
            f"\n{path.name}: {path.read_text(encoding='utf-8')[-500:]}" for path in sorted(self.folder.glob("*.log"))
        )
        raise RuntimeError(f"the toy cluster does not start, {what} missing:{logs}")
