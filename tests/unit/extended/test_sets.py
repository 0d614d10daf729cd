"""Sets by size, by score and by the tasks that choose."""

import json

import numpy as np
import pandas as pd
import pytest

from rlgen.extended.sets import by_size, read_sets, rotated, shares_of
from rlgen.extended.settings import ALIVE, Extended, VaryingSets
from rlgen.files import write_parquet

ALIVE_S = np.array([True, True, True, False, True])
TASKS = ["max", "cnt"]


def scores() -> pd.DataFrame:
    """Two tasks and scores over five latents; latent 3, the largest, is dead; the other population says the reverse."""
    rows = []
    for population, sign in (("critical", 1), ("noncritical", -1)):
        for task, shares in {"max": [0.5, 0.3, 0.2, 0.9, 0.0], "cnt": [0.1, 0.7, 0.2, 0.9, 0.0]}.items():
            rows += [(population, task, k, "attribution", sign * v) for k, v in enumerate(shares)]
            rows += [(population, task, k, "size", sign * v) for k, v in enumerate(shares[::-1])]
    return pd.DataFrame(rows, columns=["population", "task", "latent", "score_name", "score_share"])


JOINT = pd.DataFrame({"population": "critical", "latent": [4, 2, 0, 1], "score": [4.0, 3.0, 2.0, 1.0]})


def attribution() -> pd.DataFrame:
    """Every task has a latent of its own, and all like latent 4 a little."""
    own = {"max": 0, "cnt": 1, "par": 2}
    rows = [("critical", task, k, 1.0 if k == mine else 0.3 * (k == 4)) for task, mine in own.items() for k in range(5)]
    return pd.DataFrame(rows, columns=["population", "task", "latent", "attribution"])


def test_the_first_latents_of_every_score_and_all_alive_ones():
    """Mean shares: attribution .3 .5 .2 - 0; size 0 .9 .2 - .3."""
    shares = shares_of(scores(), JOINT, "elimination", {"max": 9, "cnt": 3}, 5)
    sets = {(s.score, s.size): s.latents for s in by_size(shares, ALIVE_S, [1, 2, 4, 8], TASKS)}
    assert sets["elimination", 1] == (4,) and sets["elimination", 2] == (4, 2)
    assert sets["elimination", 4] == (4, 2, 0, 1)
    assert sets["attribution", 2] == (1, 0) and sets["attribution", 4] == (1, 0, 2)  # none of a score of 0
    assert sets["size", 1] == (1,) and sets[ALIVE, 4] == (0, 1, 2, 4)
    assert not any(size == 8 for _, size in sets)  # only four are alive


def test_tasks_without_critical_samples_have_no_say():
    shares = shares_of(scores(), None, "attribution", {"max": 9, "cnt": 0}, 5)
    sets = {(s.score, s.size): s.latents for s in by_size(shares, ALIVE_S, [1, 2], TASKS)}
    assert sets["attribution", 1] == (0,) and set(shares) == {"attribution", "size"}


def test_a_task_that_is_left_out_chooses_neither_latents_nor_dose():
    sets = {s.tasks: set(s.latents) for s in rotated(attribution(), ["max", "cnt", "par"], ALIVE_S, 2, 1)}
    assert sets == {("cnt", "par"): {1, 2}, ("max", "par"): {0, 2}, ("max", "cnt"): {0, 1}}
    pairs = {s.tasks: set(s.latents) for s in rotated(attribution(), ["max", "cnt", "par"], ALIVE_S, 2, 2)}
    assert pairs == {("par",): {2, 4}, ("cnt",): {1, 4}, ("max",): {0, 4}}


def test_a_job_reads_them_from_the_files_of_a_procedure(tmp_path):
    features = pd.DataFrame({"latent": range(5), "alive": ALIVE_S}).iloc[::-1]
    write_parquet(tmp_path / "features.parquet", features)
    write_parquet(tmp_path / "scores.parquet", scores())
    write_parquet(tmp_path / "joint.parquet", JOINT)
    write_parquet(tmp_path / "attribution.parquet", attribution())
    (tmp_path / "set.json").write_text(json.dumps({"latents": [4, 2], "critical": {"max": 9, "cnt": 3}}))
    inside = {"seed": 0, "threads": 1, "layer": 1, "positions": "completion", "models": ["base", "rl"]}
    inside |= {"reference": "base", "selection": TASKS, "doses": [1.0], "random_directions": 1, "procedure": "ours"}
    inside |= {"score": "elimination", "readout": "swap", "tuned": "rl", "unseen": ["par"], "sizes": [1, 2]}
    cfg = VaryingSets(**inside, left_out=1, readout_variance=0)
    files = [tmp_path / name for name in ("scores.parquet", "set.json")]
    sets = read_sets(cfg, tmp_path, *files, [tmp_path / "attribution.parquet"], tmp_path / "joint.parquet")
    assert [(s.kind, s.score, s.size) for s in sets] == [
        *(("size", score, n) for score in ("elimination", "attribution", "size") for n in (1, 2)),
        ("size", ALIVE, 4),
        *[("rotation", "attribution", 2)] * 3,
    ]
    assert sets[0].latents == (4,) and sets[0].tasks == ("max", "cnt")


@pytest.mark.parametrize("sizes", [[1], [2, 1], [0, 1], [1, 1]])
def test_sizes_that_do_not_rise_are_refused(sizes):
    with pytest.raises(ValueError, match=r"expected rising numbers from 1 up|at least 2 items"):
        Extended(procedure="ours", sizes=sizes)
