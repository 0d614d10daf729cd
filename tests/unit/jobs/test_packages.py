"""Versions behind results: which updates make them stale, how they are announced, and how they are accepted."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlgen.files import ArtifactError, write_json
from rlgen.jobs.packages import (
    ACCEPTED,
    Change,
    accept,
    announcement,
    changes,
    counts_as,
    packages_digest,
    read_accepted,
    used,
)

LOCK = {"numpy": "2.0", "torch": "1.0", "pandas": "3.0"}


class Study:
    """A project's lock and environments, and manifests of jobs."""

    def __init__(self, root: Path) -> None:
        self.root, self.results = root, root / "results/s"
        self.lock()

    def lock(self, *left_out: str, **pins: str) -> None:
        """Lock versions: `torch` and `numpy` belong to environment `train`, `pandas` to `plot`."""
        found = {p: v for p, v in (LOCK | pins).items() if p not in left_out}
        (self.root / "requirements.lock").write_text("# pins\n" + "".join(f"{p}=={v}\n" for p, v in found.items()))
        (self.root / "envs").mkdir(exist_ok=True)
        for name, members in {"train": found.keys() - {"pandas"}, "plot": {"pandas"}}.items():
            text = "".join(f"      - {p}=={found[p]}\n" for p in sorted(members))
            (self.root / f"envs/{name}.yaml").write_text(f"dependencies:\n  - pip:\n{text}")

    def made(self, job: str, environment: str = "train", otherwise: dict = {}, **packages: str) -> None:  # noqa: B006
        """A job that ran with these versions locked, and its output."""
        if environment == "train":
            packages = {"numpy": "2.0", "torch": "1.0"} | packages
        content = {"script": job, "cfg": {}, "code": "0", "environment": environment, "packages": packages}
        content |= {"locked_otherwise": otherwise, "inputs": {}}
        content["outputs"] = {f"results/s/{job}.txt": {"sha256": "0", "bytes": 0}}
        write_json(self.results / f"manifests/{job}.json", content)
        (self.results / f"{job}.txt").touch()

    def digest(self, environment: str = "train") -> str:
        return packages_digest(self.root, environment, self.results)

    def changes(self) -> dict[Change, int]:
        return changes(self.root, self.results)

    def accept(self) -> list[Change]:
        return accept(self.root, self.results)


@pytest.fixture
def study(tmp_path) -> Study:
    made = Study(tmp_path)
    made.made("a")
    made.made("b")
    made.made("c", "plot", pandas="3.0")
    return made


def test_an_update_is_announced_with_what_it_makes_stale_and_how_to_keep_it(study):
    before, plot = study.digest(), study.digest("plot")
    assert announcement(study.root, study.results) == []
    study.lock(torch="1.1")
    assert study.changes() == {Change("train", "torch", "1.0", "1.1"): 2}
    assert announcement(study.root, study.results) == [
        "torch was 1.0, now 1.1: stale is what 2 jobs in environment train made",
        "To keep these results as they are instead: make accept-packages",
    ]
    assert study.digest() != before and study.digest("plot") == plot


def test_an_accepted_update_changes_no_digest_and_so_does_the_next(study):
    before = study.digest()
    for number in ("1.1", "1.2"):
        study.lock(torch=number)
        assert study.digest() != before
        assert Change("train", "torch", "1.0", number) in study.accept()
        assert study.digest() == before and study.changes() == {} and study.accept() == []
        study.made(f"made_with_{number}", torch=number)
        assert study.changes() == {}
        study.lock()  # back to the first version
        assert study.digest() == before and study.changes() == {}
        study.lock(torch=number)
    study.lock(torch="1.3")
    assert study.accept() and study.digest() == before
    assert read_accepted(study.results) == {"train": {"torch": dict.fromkeys(["1.1", "1.2", "1.3"], "1.0")}}


@pytest.mark.parametrize("new", [{"torch": "1.1", "sympy": "1"}, {"torch": "1.1"}])
def test_an_update_may_bring_and_drop_packages(study, new):
    before = study.digest()
    study.lock("numpy", **new)
    expected = {Change("train", "numpy", "2.0", "absent"), Change("train", "torch", "1.0", "1.1")}
    expected |= {Change("train", "sympy", "absent", "1")} if "sympy" in new else set()
    assert set(study.changes()) == expected
    assert set(study.accept()) == expected
    assert study.digest() == before and study.changes() == {}
    study.lock(torch="1.1")
    assert study.digest() == before


def test_results_of_several_versions_cannot_be_accepted_by_one(study):
    study.made("d", torch="1.1")
    for now in ("1.2", "1.0"):  # also where the locked version made some of them: those would go stale instead
        study.lock(torch=now)
        with pytest.raises(
            ValueError, match=r"with 1\.0 \(as .*a\.json tells\), others with 1\.1 \(as .*d\.json tells"
        ):
            study.accept()
        assert not (study.results / ACCEPTED).exists()
    (study.results / "d.txt").unlink()  # as the message says
    study.lock(torch="1.2")
    assert study.accept()


def test_what_was_installed_beside_the_lock_makes_nothing_stale(study):
    """The engine's digest is of the lock: an update of the lock is a change, another installation is none."""
    study.made("d", otherwise={"torch": "1.0"}, torch="0.9")
    assert study.changes() == {}
    study.lock(torch="1.1")
    assert study.changes() == {Change("train", "torch", "1.0", "1.1"): 3}


def test_what_is_installed_is_told_without_local_labels(study, monkeypatch):
    found = {"numpy": "2.0", "torch": "1.0+cpu"}
    monkeypatch.setattr("rlgen.jobs.packages.version", found.__getitem__)
    assert used(study.root, "train") == {"packages": {"numpy": "2.0", "torch": "1.0"}, "locked_otherwise": {}}
    found["torch"] = "0.9"
    assert used(study.root, "train")["locked_otherwise"] == {"torch": "1.0"}


def test_manifests_of_an_environment_that_is_no_more_are_left_alone(study):
    study.made("d", "gone", torch="0.1")
    assert study.changes() == {} and announcement(study.root, study.results) == []


def test_an_environment_beyond_the_lock_is_named(study):
    text = (study.root / "envs/train.yaml").read_text()
    (study.root / "envs/train.yaml").write_text(text + "      - scipy==1\n")
    with pytest.raises(
        ArtifactError, match=r"envs/train\.yaml: lists scipy, requirements\.lock does not; run `make lock`"
    ):
        study.digest()


CYCLE = {"train": {"torch": {"1.0": "1.1", "1.1": "1.0"}}}


@pytest.mark.parametrize(
    "text", ["{", "[]", "\xff", '{"train": 1}', '{"train": {"torch": {"1": 2}}}', json.dumps(CYCLE)]
)
def test_a_broken_list_of_accepted_versions_is_named(study, text):
    (study.results / ACCEPTED).write_bytes(text.encode("latin-1"))
    with pytest.raises(ArtifactError, match=r"accepted_packages\.json: not readable .*; mend it, or delete it"):
        study.digest()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 6)), min_size=1, max_size=8))
def test_whatever_is_locked_and_accepted_results_stay_those_of_one_version(tmp_path_factory, updates):
    """Updates of one package, each made and then accepted: what was made with the first never goes stale."""
    study = Study(tmp_path_factory.mktemp("study"))
    study.lock(torch="v0")
    study.made("first", torch="v0")
    before = study.digest()
    for number, (version, made) in enumerate(updates):
        study.lock(torch=f"v{version}")
        study.accept()
        assert study.digest() == before and study.changes() == {}
        if made == version:
            study.made(f"job{number}", torch=f"v{version}")
    same = read_accepted(study.results).get("train", {}).get("torch", {})
    assert all(counts_as(f"v{version}", same) == "v0" for version, _ in updates)
