"""Manifests: what they tell, in which bytes; and inputs that are not what their makers wrote."""

import json
from importlib.metadata import version

import pytest
from jobs import MAKE, Project

from rlgen.files import ArtifactError, file_digest
from rlgen.jobs import manifests


@pytest.fixture
def project(tmp_path) -> Project:
    return Project(tmp_path / "project")


def test_a_manifest_tells_all_that_decides_the_outputs_and_nothing_of_the_run(project):
    assert project.make(3).status == project.copy(cfg={"unit": "m"}).status == 0
    made, copied = (json.loads(project.manifest(name).read_text()) for name in ("make", "double"))
    sha256 = file_digest(project.results / "data.txt")
    packages = {"numpy": version("numpy")}
    assert made == {
        "script": "make",
        "cfg": {"version": 3, "seed": 5},
        "seed": 5,
        "code": made["code"],
        "environment": "tiny",
        "packages": packages,
        "locked_otherwise": {"numpy": "0.1"},
        "inputs": {},
        "outputs": {"results/s/data.txt": {"sha256": sha256, "bytes": 9}},
    }
    assert copied["inputs"] == {"results/s/data.txt": sha256} and copied["seed"] is None
    assert copied["outputs"]["results/s/copy.txt"]["sha256"] == sha256
    modules = json.loads((project.results / f"manifests/code/{made['code']}.json").read_text())
    assert list(modules) == ["rlgen", "rlgen.files", "script"]


def test_host_and_time_lie_beside_and_are_no_manifest(project):
    project.make()
    sidecar = project.results / "manifests/make.run.json"
    facts = json.loads(sidecar.read_text())
    assert set(facts) == {"host", "start", "wall_s", "cpu_s", "peak_mb", "written_ns", "inputs_again"}
    assert facts["written_ns"] == {"results/s/data.txt": (project.results / "data.txt").stat().st_mtime_ns}
    assert [path for path, _ in manifests.manifests(project.results)] == [project.manifest("make")]
    sidecar.write_text("anything")
    assert project.copy().status == 0


def test_what_a_job_noted_is_read_fact_by_fact(tmp_path):
    def noted(text: str) -> manifests.Noted:
        (tmp_path / "a.b.run.json").write_text(text)
        [(path, found)] = manifests.runs(tmp_path)
        assert path == tmp_path / "a.b.json" and found == manifests.noted(path)
        return found

    whole = {"wall_s": 10, "cpu_s": 9.5, "peak_mb": 300.5, "written_ns": {"x": 1, "y": None}, "inputs_again": ["x"]}
    assert noted(json.dumps(whole)) == ({"x": 1}, ["x"], 10.0, 9.5, 300.5)
    assert noted('{"wall_s": 0.2}') == manifests.NOTHING_NOTED._replace(wall_s=0.2)  # an earlier version's
    assert noted('{"written_ns": {"x": 1}, "inputs_again": 5, "wall_s": "?"}') == ({"x": 1}, *[None] * 4)
    for broken in ("", "cut sh", "[]", "5"):
        assert noted(broken) == manifests.NOTHING_NOTED


def test_the_same_run_writes_the_same_bytes_in_any_folder(project, tmp_path):
    other = Project(tmp_path / "elsewhere")
    for one in (project, other):
        assert one.make().status == one.copy().status == 0
    for name in ("make", "double"):
        assert project.manifest(name).read_bytes() == other.manifest(name).read_bytes()


def test_a_project_that_was_moved_goes_on(project, tmp_path):
    project.make()
    moved = project.root.rename(tmp_path / "moved")
    project.root, project.results = moved, moved / "results/s"
    (project.results / "data.txt").rename(tmp_path / "data.txt")
    (project.results / "data.txt").symlink_to(tmp_path / "data.txt")
    assert project.copy().status == 0
    (tmp_path / "data.txt").write_text("version 2")
    assert project.copy().status == 1


DAMAGE = {
    "missing": "results/s/data.txt: missing; run snakemake again to rebuild it",
    "cut": "8 bytes, but 9 were written (results/s/manifests/make.json): cut short or replaced; delete it and run",
    "one bit": "its SHA-256 is not the one that was written (results/s/manifests/make.json): altered since; delete it",
    "older": "its SHA-256 is not the one that was written (results/s/manifests/make.json): altered since; delete it",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_an_input_that_is_not_as_it_was_written_is_named_and_not_used(project, damage):
    project.make(1)
    path = project.results / "data.txt"
    older = path.read_bytes()
    project.make(2)
    whole = path.read_bytes()
    damaged = {"cut": whole[:-1], "one bit": bytes([whole[0] ^ 1]) + whole[1:], "older": older}
    path.unlink()
    if damage in damaged:
        path.write_bytes(damaged[damage])
    ended = project.copy()
    last = ended.log.splitlines()[-1]
    assert ended.status == 1 and last.startswith("error: results/s/data.txt: ") and DAMAGE[damage] in last
    assert "Traceback" not in ended.log and not (project.results / "copy.txt").exists()
    path.unlink(missing_ok=True)
    assert project.make(2).status == project.copy().status == 0  # what the message asks for helps


def test_a_file_that_no_manifest_knows_is_taken_as_it_is(project):
    (project.results).mkdir(parents=True)
    (project.results / "data.txt").write_text("somebody's own")
    assert project.copy().status == 0
    assert (project.results / "copy.txt").read_text() == "somebody's own"


def test_of_two_manifests_that_list_a_file_one_has_to_fit(project):
    """A rule whose log was renamed leaves its old manifest, which nobody rewrites."""
    project.make(1, log="z_old_name")
    project.make(2)
    assert project.copy().status == 0
    (project.results / "data.txt").write_text("version 3")
    assert project.copy().status == 1


BROKEN = {
    "empty": lambda text: "",
    "cut": lambda text: text[: len(text) // 2],
    "a list": lambda text: "[]",
    "no settings": lambda text: text.replace('"cfg"', '"cfh"'),
    "a lost key": lambda text: text.replace('"sha256"', '"sha257"'),
    "a foreign entry": lambda text: json.dumps(json.loads(text) | {"outputs": {"results/s/data.txt": 5}}),
    "outputs as a list": lambda text: json.dumps(json.loads(text) | {"outputs": []}),
}


@pytest.mark.parametrize("damage", BROKEN)
def test_a_broken_manifest_vouches_for_nothing_and_stops_nobody(project, damage):
    project.make(1)
    broken = BROKEN[damage](project.manifest("make").read_text())
    project.manifest("make").write_text(broken)
    assert manifests.read(project.manifest("make")) is None
    assert project.copy().status == 0
    ended = project.make(1)
    assert ended.status == 0 and "taken over" not in ended.log
    assert manifests.read(project.manifest("make")) is not None


def test_a_kill_while_the_manifest_is_written_leaves_no_manifest_and_the_next_run_makes_it(project):
    die = """import rlgen.files
def die(source, target):
    os.kill(os.getpid(), signal.SIGKILL) if str(target).endswith("/make.json") else replace(source, target)
if Path("kill").exists():
    replace, rlgen.files.os.replace = os.replace, die
"""
    project.script("make", die + MAKE)
    (project.root / "kill").touch()
    assert project.make().status == -9
    (left,) = project.manifest("make").parent.glob(".make.*")
    assert json.loads(left.read_text())["script"] == "make" and not project.manifest("make").exists()
    assert list(manifests.manifests(project.results)) == []
    assert project.copy().status == 0  # a whole file without a manifest
    (project.root / "kill").unlink()
    assert project.make().status == 0
    assert project.manifest("make").exists() and not left.exists()


def test_an_output_that_was_not_written_is_named(tmp_path):
    with pytest.raises(ArtifactError, match=r"x\.txt: the job ended without it"):
        manifests.outputs([str(tmp_path / "x.txt")])


def test_a_folder_is_whole_as_long_as_all_its_files_are(tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site/a").write_text("a")
    name = str(tmp_path / "site")
    entries = manifests.outputs([name])
    assert entries[name]["bytes"] == 1 and manifests.whole(entries, [name])
    (tmp_path / "site/a").write_text("b")
    assert not manifests.whole(entries, [name])
    (tmp_path / "site/a").unlink()
    assert not manifests.whole(entries, [name])
