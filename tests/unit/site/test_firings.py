"""Densities and neighbours against hand-made codes and plain loops."""

import numpy as np
import pandas as pd
import pytest
import torch
from crosscoders import activations, random_crosscoder
from hypothesis import given, settings
from hypothesis import strategies as st

from rlgen.files import ArtifactError
from rlgen.site.firings import BINS, NEAREST, density, load_course, neighbours, with_course


def test_density_by_hand():
    z_RS = torch.tensor([[20.0, 0.0], [1.0, 0.0], [0.5, 0.0], [0.0, 0.0], [10.5, 0.0], [19.5, 0.0]])
    table = density(lambda: iter(z_RS.split(4)))
    assert table["latent"].tolist() == [0] and table["largest"].tolist() == [20.0]
    (counts,) = table["counts"]
    assert {i: n for i, n in enumerate(counts) if n} == {0: 2, 10: 1, BINS - 1: 2}


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_every_firing_is_in_one_bin(seed):
    z_RS = random_crosscoder(seed).encode(activations(seed))
    table = density(lambda: iter(z_RS.split(3)))
    assert table["latent"].tolist() == (z_RS > 0).any(0).nonzero()[:, 0].tolist()
    for latent, largest, counts in table.itertuples(index=False):
        assert sum(counts) == int((z_RS[:, latent] > 0).sum()) and largest == float(z_RS[:, latent].max())
        assert counts[-1] >= 1 and len(counts) == BINS


def test_neighbours_by_hand():
    z_RS = torch.tensor([[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 2.0, 0.0], [0.0, 0.0, 3.0, 0.0]])
    W_dec_SMd = torch.tensor([[[1.0], [0.0]], [[1.0], [1.0]], [[-1.0], [0.0]], [[1.0], [0.0]]])  # the last never fires
    table = neighbours(lambda: iter(z_RS.split(3)), W_dec_SMd)
    rows = {(k, by, rank): (other, round(v, 4)) for k, by, rank, other, v in table.itertuples(index=False)}
    assert rows == {
        (0, "decoder", 1): (1, 0.7071),
        (1, "decoder", 1): (0, 0.7071),
        (0, "firing", 1): (1, 0.6667),
        (0, "firing", 2): (2, 0.25),
        (1, "firing", 1): (0, 0.6667),
        (2, "firing", 1): (0, 0.25),
    }


def test_the_nearest_of_a_course_points_most_like_the_row_of_the_model_that_both_have_last():
    rows_Sd = torch.tensor([[2.0, 0.0], [0.0, 9.0], [1.0, 1.0]])
    course_Cd = torch.tensor([[0.0, 1.0], [-5.0, 0.0], [3.0, 2.0]])
    near = pd.DataFrame([(2, "decoder", 1, 0, 0.5)], columns=["latent", "by", "rank", "other", "value"])
    table = with_course(near, rows_Sd, [0, 2], course_Cd)
    assert [row[:4] for row in table.itertuples(index=False, name=None)] == [
        (0, "course", 1, 2),
        (2, "course", 1, 2),
        (2, "decoder", 1, 0),
    ]
    assert table["value"].tolist() == pytest.approx([3 / 13**0.5, 5 / 26**0.5, 0.5])
    assert with_course(near, rows_Sd, [], course_Cd).equals(near)


def test_a_course_of_another_model_is_refused(tmp_path):
    random_crosscoder(0).save(tmp_path)
    assert torch.equal(load_course(tmp_path, "m1@1", torch.device("cpu")), random_crosscoder(0).decoder_raw_SMd[:, -1])
    with pytest.raises(ArtifactError, match="its last member is m1@1, expected rl@5"):
        load_course(tmp_path, "rl@5", torch.device("cpu"))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_neighbours_are_those_of_a_plain_loop(seed):
    crosscoder = random_crosscoder(seed, S=9)
    z_RS = crosscoder.encode(activations(seed))
    table = neighbours(lambda: iter(z_RS.split(6)), crosscoder.W_dec_SMd)
    fired_RS, rows_SD = (z_RS > 0).numpy(), crosscoder.W_dec_SMd.flatten(1).numpy()
    for k in range(9):
        jaccard, cosine = {}, {}
        for other in set(range(9)) - {k}:
            either = (fired_RS[:, k] | fired_RS[:, other]).sum()
            jaccard[other] = (fired_RS[:, k] & fired_RS[:, other]).sum() / either if either else 0
            if fired_RS[:, k].any() and fired_RS[:, other].any():
                lengths = np.linalg.norm(rows_SD[k]) * np.linalg.norm(rows_SD[other])
                cosine[other] = rows_SD[k] @ rows_SD[other] / lengths
        for by, wanted in (("firing", jaccard), ("decoder", cosine)):
            found = table[(table["latent"] == k) & (table["by"] == by)]
            best = sorted((v for v in wanted.values() if v > 0), reverse=True)[:NEAREST]
            np.testing.assert_allclose(found["value"], best, rtol=1e-5, atol=1e-6)
            assert all(abs(wanted[o] - v) < 1e-5 for o, v in zip(found["other"], found["value"], strict=True))
