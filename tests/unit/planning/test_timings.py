"""What jobs noted of themselves, added up per rule."""

import json
from pathlib import Path

from rlgen.planning.timings import summary


def note(folder: Path, job: str, **measured: float) -> None:
    path = folder / f"{job}.run.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(measured))


def test_jobs_add_up_per_rule(tmp_path):
    note(tmp_path, "steer/seed0", wall_s=10.0, peak_mb=300.5, cpu_s=9.0)
    note(tmp_path, "steer/seed1", wall_s=12.0, peak_mb=310.0, cpu_s=11.0)
    note(tmp_path, "fig1_behaviour", wall_s=0.2)  # of a version that noted no more
    (tmp_path / "fig1_behaviour.json").write_text('{"wall_s": 99}')  # a manifest tells of no time
    (tmp_path / "steer/seed2.run.json").write_text("cut sh")
    table = summary(tmp_path).set_index("rule")
    assert table.loc["steer"].to_list() == [2, 22.0, 12.0, 310.0, 20.0]
    assert table.loc["fig1_behaviour", ["jobs", "seconds", "longest"]].to_list() == [1, 0.2, 0.2]
    assert table.loc["all", ["jobs", "seconds", "peak_mb"]].to_list() == [3, 22.2, 310.0]
    assert list(table.index) == ["steer", "fig1_behaviour", "all"]
    assert summary(tmp_path / "nothing").empty
