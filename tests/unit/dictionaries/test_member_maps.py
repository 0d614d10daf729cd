"""Maps between members: against numbers by hand and least squares with the penalty as further rows."""

import numpy as np
import pytest
import torch
from crosscoders import random_crosscoder
from hypothesis import given, settings
from hypothesis import strategies as st

from rlgen.dictionaries.crosscoder import Crosscoder
from rlgen.dictionaries.member_maps import RIDGE, MemberMaps, fit_maps
from rlgen.files import ArtifactError

seeds = st.integers(0, 10**6)


def rows(seed: int, B: int = 60, M: int = 3, d: int = 4) -> torch.Tensor:
    """Members that say something of one another, with means of their own."""
    g = torch.Generator().manual_seed(seed)
    first_Bd = torch.randn(B, d, generator=g)
    others = [first_Bd @ torch.randn(d, d, generator=g) + 0.3 * torch.randn(B, d, generator=g) for _ in range(M - 1)]
    return torch.stack([first_Bd, *others], dim=1) + torch.randn(M, d, generator=g)


def test_a_map_by_hand():
    """One coordinate: variances 1 and 4, covariance 2, means 0 and 5."""
    maps = fit_maps([torch.tensor([[[-1.0], [3.0]]]), torch.tensor([[[1.0], [7.0]]])])
    there = 2 / (1 + RIDGE)
    assert maps.map_MMdd.flatten().tolist() == pytest.approx([1, there, 2 / (4 + 4 * RIDGE), 1])
    assert maps.offset_MMd.flatten().tolist() == pytest.approx([0, 5, -5 * 2 / (4 + 4 * RIDGE), 0])


def test_maps_are_penalised_least_squares():
    h_BMd = rows(1)
    maps = fit_maps(h_BMd.split(17))
    for m in range(3):
        x_Bd = h_BMd[:, m].double().numpy()
        centred_Bd = x_Bd - x_Bd.mean(0)
        penalty = np.sqrt(RIDGE * len(x_Bd) * centred_Bd.var(0).mean())
        for o in {0, 1, 2} - {m}:
            y_Bd = h_BMd[:, o].double().numpy()
            left = np.vstack([centred_Bd, penalty * np.eye(4)])
            right = np.vstack([y_Bd - y_Bd.mean(0), np.zeros((4, 4))])
            expected_dd = np.linalg.lstsq(left, right, rcond=None)[0]
            assert maps.map_MMdd[m, o].numpy() == pytest.approx(expected_dd, abs=1e-8)
            assert maps.offset_MMd[m, o].numpy() == pytest.approx(y_Bd.mean(0) - x_Bd.mean(0) @ expected_dd, abs=1e-8)


@settings(max_examples=25, deadline=None)
@given(seeds, st.integers(0, 2), st.booleans())
def test_mapped_is_the_joint_code_of_what_a_member_predicts(seed, member, thresholded):
    crosscoder = random_crosscoder(seed, M=3, d=4, threshold=1.0 if thresholded else None)
    crosscoder.maps = fit_maps([rows(seed)])
    h_Bd = rows(seed + 1)[:, member]
    predicted = [
        h_Bd.double() @ crosscoder.maps.map_MMdd[member, o] + crosscoder.maps.offset_MMd[member, o] for o in range(3)
    ]
    joint_BS = crosscoder.encode(torch.stack(predicted, 1).float())
    mapped_BS = crosscoder.encode_one(h_Bd, member, "mapped")
    unsure_BS = (joint_BS > 0) != (mapped_BS > 0)  # at a jump rounding decides
    assert unsure_BS.float().mean() < 0.02
    torch.testing.assert_close(mapped_BS[~unsure_BS], joint_BS[~unsure_BS], rtol=1e-3, atol=1e-3)


def test_maps_return_from_a_file_and_belong_to_their_members(tmp_path):
    maps = fit_maps([rows(2)])
    maps.save(tmp_path / "maps.safetensors", ["base@1", "sft@5", "rl@5"])
    found = MemberMaps.load(tmp_path / "maps.safetensors", ["base@1", "sft@5", "rl@5"])
    torch.testing.assert_close(found.map_MMdd, maps.map_MMdd, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found.offset_MMd, maps.offset_MMd, rtol=1e-6, atol=1e-6)
    with pytest.raises(ArtifactError, match="maps between base@1, sft@5, rl@5, expected base@1, rl@5"):
        MemberMaps.load(tmp_path / "maps.safetensors", ["base@1", "rl@5"])


def test_a_readout_without_its_maps_says_so(tmp_path):
    with pytest.raises(ValueError, match="needs the maps between the dictionary's members"):
        random_crosscoder(0, M=3).encode_one(torch.zeros(1, 5), 0, "mapped")
    with pytest.raises(ValueError, match="no held-out rows"):
        fit_maps([])
    random_crosscoder(0, M=3).save(tmp_path)
    assert Crosscoder.load(tmp_path).maps is None
    with pytest.raises(ArtifactError, match=r"maps\.safetensors"):
        Crosscoder.load(tmp_path, "mapped")


def test_members_without_a_text_are_what_both_ends_say():
    crosscoder = random_crosscoder(3, M=3, d=1, S=2)
    crosscoder.mean_Md, crosscoder.scale_M = torch.tensor([[1.0], [10.0], [3.0]]), torch.tensor([1.0, 2.0, 4.0])
    h_B2d = torch.tensor([[[2.0], [11.0]]])  # normalised 1 and 2: the member between gets 1.5, 13 in raw units
    assert crosscoder.complete(h_B2d, "swap").flatten().tolist() == [2.0, 13.0, 11.0]
    identity_MMdd, offset_MMd = torch.ones(3, 3, 1, 1).double(), torch.zeros(3, 3, 1).double()
    offset_MMd[0, 1], offset_MMd[2, 1] = 4.0, -2.0
    crosscoder.maps = MemberMaps(identity_MMdd, offset_MMd)
    assert crosscoder.complete(h_B2d, "mapped").flatten().tolist() == [2.0, (6 + 9) / 2, 11.0]
    pair = random_crosscoder(3)
    h_B2d = torch.randn(4, 2, 5)
    assert torch.equal(pair.complete(h_B2d, "swap"), h_B2d)
