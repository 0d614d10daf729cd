"""The ring: rows stay paired, come once per epoch, from any step on, in bounded memory; the reader's thread."""

import threading
import time
import weakref
from itertools import islice

import pytest
import torch
from counted_shards import MEMBERS, write_members
from hypothesis import given, settings
from hypothesis import strategies as st

from rlgen.activations.batches import Waited, ahead, batches
from rlgen.activations.shards import Shards
from rlgen.files import ArtifactError, file_digest
from rlgen.names import shard_name
from rlgen.seeds import stream_seed

SHARD_ROWS = [7, 8, 9, 10, 6]


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return Shards.open(write_members(tmp_path_factory.mktemp("shards"), SHARD_ROWS), MEMBERS)


@settings(deadline=None)
@given(
    shuffle_seed=st.integers(0, 2**31),
    batch_rows=st.integers(1, 50),
    ring=st.integers(1, 6),
    n_shards=st.integers(1, 5),
)
def test_shuffled_rows_stay_paired_and_come_once_per_epoch(shards, shuffle_seed, batch_rows, ring, n_shards):
    n_rows = sum(SHARD_ROWS[:n_shards])
    taken = list(
        islice(batches(shards, batch_rows, shuffle_seed, range(n_shards), ring), 1 + 3 * n_rows // batch_rows)
    )  # three epochs
    assert all(batch.shape == (batch_rows, 3, 3) for batch in taken)
    rows_NMd = torch.cat(taken)
    row_N = rows_NMd[:, 0, 0]
    for m in range(3):  # every member's row comes from the same row of the stream
        assert torch.equal(rows_NMd[:, m], row_N[:, None].expand(-1, 3) + 1000 * m)
    for epoch in range(len(row_N) // n_rows):
        assert sorted(row_N[epoch * n_rows : (epoch + 1) * n_rows].tolist()) == list(range(n_rows))


@settings(deadline=None)
@given(
    shuffle_seed=st.integers(0, 2**31),
    batch_rows=st.integers(1, 50),
    ring=st.integers(1, 6),
    n_shards=st.integers(1, 5),
    start=st.integers(0, 30),
    parts=st.integers(1, 4),
)
def test_a_later_start_gives_the_batches_that_skipping_gives(
    shards, shuffle_seed, batch_rows, ring, n_shards, start, parts
):
    arguments = (shards, batch_rows, shuffle_seed, range(n_shards), ring)
    expected = list(islice(batches(*arguments), start, start + 4))
    assert all(map(torch.equal, islice(batches(*arguments, start=start), 4), expected))
    taken = [list(islice(batches(*arguments, start=start, part=(i, parts)), 4)) for i in range(parts)]
    assert all(map(torch.equal, map(torch.cat, zip(*taken, strict=True)), expected))


def test_the_order_of_the_rows_by_hand(shards):
    """Against the definition, with numbers drawn here: shards permuted, then the rows of two of them at a time."""
    generator, expected = torch.Generator().manual_seed(stream_seed(5, "batches")), []
    for _ in range(2):  # epochs
        order = torch.randperm(3, generator=generator).tolist()
        for places in (order[:2], order[2:]):
            rows = [row for place in places for row in range(sum(SHARD_ROWS[:place]), sum(SHARD_ROWS[: place + 1]))]
            expected += [rows[i] for i in torch.randperm(len(rows), generator=generator).tolist()]
    taken = torch.cat(list(islice(batches(shards, 6, 5, range(3), ring=2), 8)))
    assert taken[:, 0, 0].tolist() == expected[:48]


def test_batches_depend_on_the_seed_alone_and_differ_between_epochs(shards):
    def epochs(seed):
        return [batch[:, 0, 0].tolist() for batch in islice(batches(shards, 40, seed, range(5)), 3)]

    assert epochs(0) == epochs(0)
    assert epochs(0) != epochs(1)
    first, second, third = epochs(0)
    assert first != second != third


def test_a_ring_mixes_rows_of_its_shards(shards):
    batch = next(batches(shards, 20, 0, range(5), ring=5))
    assert len(set(torch.bucketize(batch[:, 0, 0].contiguous(), torch.tensor([6.5, 14.5, 23.5, 33.5])).tolist())) >= 4


def watched(shards, monkeypatch, held):
    """Notes for every read which shards it read and how many rows of all reads are then in memory."""
    reads, alive = [], weakref.WeakSet()
    read = Shards.read

    def counting(self, indices):
        rows = read(self, indices)
        alive.add(rows.activations_NMd)
        reads.append(sorted(indices))
        held.append(sum(len(tensor) for tensor in alive))
        return rows

    monkeypatch.setattr(Shards, "read", counting)
    return reads


def test_memory_does_not_grow_with_the_rows(shards, monkeypatch):
    held = []
    watched(shards, monkeypatch, held)
    for _ in islice(batches(shards, 4, 0, range(5), ring=1), 100):  # ten epochs
        time.sleep(0.001)  # lets the reader run as far ahead as it may
    assert len(held) >= 50
    assert max(held) <= 2 * max(SHARD_ROWS)


def test_a_later_start_reads_nothing_that_it_does_not_need(shards, monkeypatch):
    """40 rows in rings of one shard, batches of 4: step 9 needs the fifth ring of the first epoch and later ones."""
    reads = watched(shards, monkeypatch, [])
    with_all = islice(batches(shards, 4, 3, range(5), ring=1), 10)
    last = list(with_all)[9]
    order = reads[:5]
    reads.clear()
    later = batches(shards, 4, 3, range(5), ring=1, start=9)
    assert torch.equal(next(later), last)
    assert reads[0] == order[4] and len(reads) <= 2  # the ring in use and the one read ahead


def test_a_broken_shard_stops_the_training_that_reads_it(tmp_path):
    folders = write_members(tmp_path, [20, 20])
    path = folders[1] / shard_name(1)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ArtifactError, match=r"sft@5/shard001\.safetensors: .*cut short"):
        list(islice(batches(Shards.open(folders, MEMBERS), 10, 0, range(2)), 5))


def test_each_file_is_hashed_once(shards, monkeypatch):
    hashed = []
    monkeypatch.setattr("rlgen.digests.file_digest", lambda path: hashed.append(path) or file_digest(path))
    list(islice(batches(Shards.open(shards.folders, MEMBERS), 10, 0, range(5), ring=2), 20))  # five epochs
    assert len(hashed) == len(set(hashed)) == 15


def test_ahead_keeps_the_order_makes_one_item_more_and_ends_its_thread():
    made = []

    def items():
        for i in range(5):
            made.append(i)
            yield i

    before = threading.active_count()
    taken = ahead(items())
    assert next(taken) == 0
    for _ in range(100):
        time.sleep(0.001)
    assert made == [0, 1]  # the one in use and the next
    assert list(taken) == [1, 2, 3, 4]
    endless = ahead(iter(int, 1))
    next(endless)
    endless.close()
    assert threading.active_count() == before


def test_waited_counts_the_time_in_which_there_was_nothing():
    def slow():
        for i in range(3):
            time.sleep(0.02)
            yield i

    waited = Waited(slow())
    assert [next(waited), next(waited)] == [0, 1]
    time.sleep(0.02)
    assert waited.count == 2 and 0.04 <= waited.seconds < time.monotonic() - waited.started
    assert " rows/s, " in waited.note(10) and "% of the time waiting for data" in waited.note(10)
    assert list(waited) == [2]
