"""Shards: rows of all models stay paired, and what is cut, altered or foreign is refused by name."""

from itertools import islice

import pytest
import torch
from counted_shards import MEMBERS, write_member, write_members
from hypothesis import given, settings
from hypothesis import strategies as st

from rlgen.activations.batches import batches
from rlgen.activations.shards import Shards, permuted_shift, write_manifest, write_shard
from rlgen.files import ArtifactError, read_tensors
from rlgen.names import shard_name


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return write_members(tmp_path_factory.mktemp("shards"), [7, 8, 9, 10, 6])


def test_read_gives_the_rows_in_stream_order(folders):
    shards = Shards.open(folders, MEMBERS)
    assert (shards.rows, shards.d, shards.n_shards, shards.layer, shards.stream) == (40, 3, 5, 2, "abc")
    rows = shards.read(range(1, 3))
    expected_N = torch.arange(7, 24)
    assert torch.equal(rows.token_ids_N, expected_N.int())
    assert torch.equal(rows.sequence_N, expected_N.int() // 5)
    assert torch.equal(rows.position_N, expected_N.int() % 5)
    for m in range(3):
        assert torch.equal(rows.activations_NMd[:, m], expected_N[:, None].float().expand(-1, 3) + 1000 * m)


def test_the_last_shards_are_held_out(folders):
    shards = Shards.open(folders, MEMBERS)
    assert shards.split(2) == (range(3), range(3, 5))
    with pytest.raises(ValueError, match="held_out_shards=5"):
        shards.split(5)


@pytest.fixture
def fresh(tmp_path):
    return write_members(tmp_path, [20, 20])


def test_a_shard_cut_short_is_refused_by_name(fresh):
    path = fresh[1] / shard_name(1)
    path.write_bytes(path.read_bytes()[:-8])
    shards = Shards.open(fresh, MEMBERS)
    shards.read([0])
    with pytest.raises(ArtifactError, match=r"sft@5/shard001\.safetensors: .*cut short"):
        shards.read([1])


@settings(deadline=None)
@given(where=st.integers(min_value=0), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused_by_name(folders, where, bit):
    path = folders[2] / shard_name(3)
    good = path.read_bytes()
    bad = bytearray(good)
    bad[where % len(bad)] ^= 1 << bit
    try:
        path.write_bytes(bad)
        with pytest.raises(ArtifactError, match=r"rl@5/shard003\.safetensors: .*SHA-256"):
            Shards.open(folders, MEMBERS).read([3])
    finally:
        path.write_bytes(good)


def test_a_missing_shard_is_refused_by_name(fresh):
    (fresh[0] / shard_name(0)).unlink()
    with pytest.raises(ArtifactError, match=r"base@1/shard000\.safetensors: missing"):
        Shards.open(fresh, MEMBERS).read([0])
    with pytest.raises(ArtifactError, match=r"base@1/shard000\.safetensors: not a whole shard"):
        write_manifest(fresh[0], {"model": "base@1", "stream": "abc", "layer": 2}, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stream": "other"}, "stream is other, but abc"),
        ({"layer": 3}, "layer is 3, but 2"),
        ({"d": 4}, "width is 4, but 3"),
        ({"shard_rows": [20, 19]}, r"rows per shard is \[20, 19\]"),
        ({"model": "sft@4"}, "holds sft@4, expected sft@5"),
    ],
)
def test_a_foreign_member_is_refused_by_name(fresh, tmp_path, change, message):
    fresh[1] = write_member(tmp_path / "foreign", "sft@5", **({"shard_rows": [20, 20]} | change))
    with pytest.raises(ArtifactError, match=f"foreign/manifest.json: {message}"):
        Shards.open(fresh, MEMBERS)


def test_members_whose_tokens_differ_are_refused(fresh, tmp_path):
    folder, fingerprint, row_N = tmp_path / "shifted", {"model": "sft@5", "stream": "abc", "layer": 2}, torch.arange(20)
    for index in range(2):
        write_shard(folder / shard_name(index), torch.zeros(20, 3), row_N + 1 + 20 * index, row_N, row_N, fingerprint)
    write_manifest(folder, fingerprint, 2)
    with pytest.raises(ArtifactError, match=r"shifted/shard000\.safetensors: its token_ids differ"):
        Shards.open([fresh[0], folder], MEMBERS[:2]).read([0])


def test_a_broken_manifest_is_refused_by_name(fresh):
    path = fresh[0] / "manifest.json"
    path.write_text(path.read_text()[:-20])
    with pytest.raises(ArtifactError, match=r"base@1/manifest\.json: not a whole manifest"):
        Shards.open(fresh, MEMBERS)


def test_bad_shards_are_not_written(tmp_path):
    row_N, fingerprint = torch.arange(4), {"model": "base@1", "stream": "abc", "layer": 2}
    path = tmp_path / shard_name(0)
    with pytest.raises(ValueError, match="NaN"):
        write_shard(path, torch.full((4, 3), torch.nan), row_N, row_N, row_N, fingerprint)
    with pytest.raises(ValueError, match="4 position for 5 rows"):
        write_shard(path, torch.zeros(5, 3), torch.arange(5), torch.arange(5), row_N, fingerprint)
    with pytest.raises(ValueError, match=r"lacks \['layer'\]"):
        write_shard(path, torch.zeros(4, 3), row_N, row_N, row_N, {"model": "base@1", "stream": "abc"})
    assert not path.exists()
    write_shard(path, torch.zeros(4, 3), row_N, row_N, row_N, fingerprint)
    with pytest.raises(ArtifactError, match=r"shard000\.safetensors: made from .*base@1.*, expected .*rl@5"):
        write_manifest(tmp_path, fingerprint | {"model": "rl@5"}, 1)


def test_the_permuted_shift_keeps_the_shifts_and_moves_them(tmp_path):
    generator = torch.Generator().manual_seed(0)
    raw = {member: torch.randn(60, 3, generator=generator) for member in ("base@1", "rl@5")}
    row_N = torch.arange(30)
    for member, h_Nd in raw.items():
        fingerprint = {"model": member, "stream": "abc", "layer": 2}
        for index in range(2):
            part_Nd = h_Nd[30 * index : 30 * index + 30]
            write_shard(tmp_path / member / shard_name(index), part_Nd, row_N, row_N, row_N, fingerprint)
        write_manifest(tmp_path / member, fingerprint, 2)
    null = Shards.open([tmp_path / m for m in raw], list(raw), permute_shift=True)
    got_NMd = null.read(range(2)).activations_NMd
    assert torch.equal(got_NMd[:, 0], raw["base@1"])
    shift_Nd, null_shift_Nd = raw["rl@5"] - raw["base@1"], got_NMd[:, 1] - got_NMd[:, 0]
    for part in (slice(0, 30), slice(30, 60)):  # within a shard the same shifts, at other rows
        closest_N = (null_shift_Nd[part][:, None] - shift_Nd[part]).norm(dim=2).min(1)
        assert closest_N.values.max() < 1e-5
        assert sorted(closest_N.indices.tolist()) == list(range(30))
        assert (closest_N.indices == torch.arange(30)).sum() < 10
    assert torch.equal(null.read([1]).activations_NMd, got_NMd[30:])  # one null, however it is read
    seen_NMd = torch.cat(list(islice(batches(null, 10, 7, range(2)), 6)))
    order_N = (seen_NMd[:, None, 0] - got_NMd[:, 0]).norm(dim=2).argmin(1)
    assert torch.equal(seen_NMd, got_NMd[order_N])


def test_bfloat16_is_kept_and_read_as_it_is(tmp_path):
    """Half the bytes, and no number changes on its way to the disk and back; any other type becomes float32."""
    fingerprint, row_N = {"model": "base@1", "stream": "abc", "layer": 2}, torch.arange(50)
    raw_Nd = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)) * 1e3
    for dtype, kept in (
        (torch.bfloat16, torch.bfloat16),
        (torch.float64, torch.float32),
        (torch.float16, torch.float32),
    ):
        folder, h_Nd = tmp_path / str(dtype), raw_Nd.to(dtype)
        write_shard(folder / shard_name(0), h_Nd, row_N, row_N, row_N, fingerprint)
        write_manifest(folder, fingerprint, 1)
        assert read_tensors(folder / shard_name(0))[0]["activations"].dtype == kept
        read_NMd = Shards.open([folder], ["base@1"]).read([0]).activations_NMd
        assert read_NMd.dtype == kept and torch.equal(read_NMd[:, 0], h_Nd.to(kept))
    sizes = [(tmp_path / str(t) / shard_name(0)).stat().st_size for t in (torch.float16, torch.bfloat16)]
    assert sizes[0] - sizes[1] == pytest.approx(50 * 4 * 2, abs=16)  # headers may differ by a few spaces


def test_shards_of_both_precisions_are_read_side_by_side(tmp_path):
    """A model whose rows are bfloat16 beside one in float32: both are float32 rows to a reader."""
    row_N, folders = torch.arange(6), [tmp_path / m for m in MEMBERS[:2]]
    h_Nd = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    for folder, dtype in zip(folders, (torch.float32, torch.bfloat16), strict=True):
        fingerprint = {"model": folder.name, "stream": "abc", "layer": 2}
        write_shard(folder / shard_name(0), h_Nd.to(dtype), row_N, row_N, row_N, fingerprint)
        write_manifest(folder, fingerprint, 1)
    read_NMd = Shards.open(folders, MEMBERS[:2]).read([0]).activations_NMd
    assert torch.equal(read_NMd, torch.stack([h_Nd, h_Nd.bfloat16().float()], 1))


def test_a_bfloat16_that_is_not_finite_is_not_written(tmp_path):
    row_N, fingerprint = torch.arange(4), {"model": "base@1", "stream": "abc", "layer": 2}
    h_Nd = torch.full((4, 3), 3.4e38).bfloat16() * 2
    with pytest.raises(ValueError, match="NaN or infinite"):
        write_shard(tmp_path / shard_name(0), h_Nd, row_N, row_N, row_N, fingerprint)


def test_permuted_shift_by_hand():
    first_Nd, last_Nd = torch.zeros(2, 1), torch.tensor([[1.0], [2.0]])
    assert sorted(permuted_shift(first_Nd, last_Nd, 0).flatten().tolist()) == [1.0, 2.0]
    assert torch.equal(permuted_shift(first_Nd, first_Nd + 3, 5), first_Nd + 3)
