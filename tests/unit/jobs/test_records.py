"""The engine's records and files' dates, restored from manifests: what is given back, and what is left alone."""

import fcntl
import os
from pathlib import Path

import pytest
from jobs import Project

from rlgen.jobs import manifests, records

HOUR = 3600 * 10**9


@pytest.fixture
def project(tmp_path, monkeypatch) -> Project:
    """data.txt and its copy, made; this process is in the project's folder."""
    made = Project(tmp_path / "project")
    assert made.make().status == made.copy().status == 0
    monkeypatch.chdir(made.root)
    return made


def dates(project: Project) -> list[int]:
    return [(project.results / name).stat().st_mtime_ns for name in ("data.txt", "copy.txt")]


def date(path: Path, ns: int) -> None:
    os.utime(path, ns=(ns, ns))


def redate(project: Project) -> int:
    return records.redate(list(manifests.manifests(project.results)), project.results)


def test_a_file_of_the_same_content_is_dated_back(project):
    before = dates(project)
    date(project.results / "data.txt", before[1] + HOUR)
    assert redate(project) == 1 and dates(project) == before
    assert redate(project) == 0


def test_other_content_keeps_its_date(project):
    before = dates(project)
    (project.results / "data.txt").write_text("version 2")  # as long as what was made
    date(project.results / "data.txt", before[1] + HOUR)
    assert redate(project) == 0 and dates(project)[0] == before[1] + HOUR


def test_contents_are_read_only_where_dates_have_an_input_after_its_product(project, monkeypatch):
    read = []
    monkeypatch.setattr(records, "file_digest", lambda path: read.append(path) or "")
    later = [old + HOUR for old in dates(project)]
    date(project.results / "data.txt", later[0])
    date(project.results / "copy.txt", later[1])
    assert redate(project) == 0 and read == [] and dates(project) == later
    date(project.results / "copy.txt", later[0] - 1)
    assert redate(project) == 0 and len(read) == 2


def test_a_job_at_work_and_one_without_noted_dates_are_left_alone(project):
    before = dates(project)
    date(project.results / "data.txt", before[1] + HOUR)
    with open(project.results / ".jobs/locks/make.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert redate(project) == 0
    (project.results / "manifests/make.run.json").write_text("{}")
    assert redate(project) == 0 and dates(project)[0] == before[1] + HOUR


def test_inputs_named_twice_are_noted(project):
    again = ["results/s/data.txt"] * 3
    assert project.run("double", ["results/s/copy.txt"], again, log="again").status == 0
    assert manifests.noted(project.manifest("again")).again == again[1:]
    assert manifests.noted(project.manifest("double")).again == []
    assert manifests.noted(project.manifest("nowhere")) == manifests.NOTHING_NOTED


def test_a_restored_record_tells_when_its_job_ran_and_never_that_it_took_no_time(project):
    noted = manifests.noted(project.manifest("make"))
    written = (project.results / "data.txt").stat().st_mtime_ns / 1e9
    for wall_s, took in ((0.0, 0.05), (12.5, 12.5)):
        begun, ended = records._times("results/s/data.txt", noted._replace(wall_s=wall_s))
        assert ended == written and ended - begun == pytest.approx(took, abs=1e-3)
    assert records._times("results/s/other.txt", noted) == (None, None)
