"""Shards hold the stream's rows, in order, and the rows of two models stay paired."""

import copy
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tiny_runs import LAYER, relative

from rlgen.activations import harvest as module
from rlgen.activations import settings as settings_module
from rlgen.activations import stream as stream_module
from rlgen.activations.harvest import (
    HighNorms,
    harvest,
    harvest_kept,
    harvest_rows,
    harvest_to,
    publish,
)
from rlgen.activations.settings import Harvested, read_together
from rlgen.activations.shards import Shards
from rlgen.activations.stream import TokenStream
from rlgen.files import read_tensors
from rlgen.models import passes as passes_module
from rlgen.models import residual
from rlgen.models.checkpoints import save_checkpoint
from rlgen.models.residual import residual_stream
from rlgen.names import shard_name


@pytest.fixture(scope="module")
def other_model(tiny_model):
    return relative(tiny_model)


def random_stream(
    seed: int, sequences: int = 7, longest: int = 6, kept: float = 0.6, mixed: bool = False
) -> TokenStream:
    """Random tokens and rows, at least one row."""
    generator = torch.Generator().manual_seed(seed)
    length_N = torch.randint(1, longest + 1, (sequences,), generator=generator).int()
    inside_NT = torch.arange(longest) < length_N[:, None]
    ids_NT = torch.randint(1, 20, (sequences, longest), generator=generator).int() * inside_NT
    mask_NT = (torch.rand(sequences, longest, generator=generator) < kept) & inside_NT
    mask_NT[0, 0] = True
    return TokenStream(ids_NT, length_N, mask_NT, mixed)


def slow_rows(model, stream: TokenStream) -> list[tuple[torch.Tensor, int, int, int]]:
    """One sequence at a time, without padding: (h_d, token, sequence, position) of every row."""
    rows = []
    for n, length in enumerate(stream.lengths_N.tolist()):
        ids_1T = stream.token_ids_NT[n : n + 1, :length].long()
        h_Td = residual_stream(model, ids_1T, LAYER)[0]
        kept = [t for t in range(length) if stream.row_mask_NT[n, t]]
        rows += [(h_Td[t], int(ids_1T[0, t]), n, t) for t in kept]
    return rows


def settings_of(rows: int, shard_rows: int) -> Harvested:
    return Harvested(rows=rows, shard_rows=shard_rows, layer=LAYER)


def assert_rows(shards, expected):
    h_Nd, token_N, sequence_N, position_N = (torch.cat(column) for column in zip(*shards, strict=True))
    assert list(zip(token_N.tolist(), sequence_N.tolist(), position_N.tolist(), strict=True)) == [
        row[1:] for row in expected
    ]
    torch.testing.assert_close(h_Nd, torch.stack([row[0] for row in expected]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shard_rows", [1, 5, 12])
@pytest.mark.parametrize("batch", [1, 3, 256])
def test_shards_hold_the_rows_of_the_stream_in_order_whatever_the_batch(tiny_model, monkeypatch, shard_rows, batch):
    monkeypatch.setattr(stream_module, "SEQUENCES_PER_BATCH", batch)
    stream = random_stream(0)
    rows = stream.rows // shard_rows * shard_rows
    shards = [harvest_rows(tiny_model, stream, LAYER, first, shard_rows) for first in range(0, rows, shard_rows)]
    assert [len(shard[0]) for shard in shards] == [shard_rows] * (rows // shard_rows)
    assert_rows(shards, slow_rows(tiny_model, stream)[:rows])


@pytest.mark.parametrize(("longest", "sizes"), [(6, [4, 3]), (9, [2, 2, 2, 1]), (30, [1] * 7)])
def test_a_forward_pass_is_bounded_by_tokens_and_by_sequences(tiny_model, monkeypatch, longest, sizes):
    """At most 4 sequences, and at most 24 tokens were every sequence the longest of the stream."""
    monkeypatch.setattr(stream_module, "SEQUENCES_PER_BATCH", 4)
    monkeypatch.setattr(residual, "TOKENS_PER_PASS", 24)
    stream, seen = random_stream(1, longest=longest, kept=1), []
    stream = TokenStream(
        torch.nn.functional.pad(stream.token_ids_NT, (0, longest - stream.token_ids_NT.shape[1])),
        stream.lengths_N,
        stream.row_mask_NT,
    )
    read = residual_stream

    def noted(model, ids_BT, layer):
        seen.append(ids_BT.shape)
        return read(model, ids_BT, layer)

    monkeypatch.setattr(module, "residual_stream", noted)
    shard = harvest_rows(tiny_model, stream, LAYER, 0, stream.rows)
    assert [rows for rows, _ in seen] == sizes and all(rows * tokens <= max(24, tokens) for rows, tokens in seen)
    assert_rows([shard], slow_rows(tiny_model, stream))


def test_a_harvest_in_bfloat16_keeps_the_models_own_numbers(tiny_model, tmp_path):
    """On the disk as the model made them, two bytes each; readers get the same numbers as float32."""
    model, stream = copy.deepcopy(tiny_model).bfloat16(), random_stream(2, sequences=9, kept=1)
    rows = stream.rows // 2 * 2
    cfg = settings_of(rows, rows // 2).model_copy(update={"precision": "bfloat16"})
    harvest_to(tmp_path / "whole", model, "base@1", stream, cfg)
    harvest_kept(tmp_path / "kept", lambda: model, "base@1", stream, cfg)
    publish(tmp_path / "kept", tmp_path / "published", "base@1", stream, cfg)
    assert contents(tmp_path / "published") == contents(tmp_path / "whole")
    kept_Nd = torch.cat([read_tensors(tmp_path / "whole" / shard_name(i))[0]["activations"] for i in range(2)])
    expected = torch.cat([harvest_rows(model, stream, LAYER, i * rows // 2, rows // 2)[0] for i in range(2)])
    assert kept_Nd.dtype == torch.bfloat16 and torch.equal(kept_Nd, expected)
    read = Shards.open([tmp_path / "whole"], ["base@1"]).read(range(2)).activations_NMd
    assert torch.equal(read[:, 0], expected.float())
    full = torch.stack([row[0] for row in slow_rows(tiny_model, stream)[:rows]])
    assert (expected.float() - full).norm() < 0.05 * full.norm()


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**31),
    shard_rows=st.integers(1, 9),
    together=st.integers(1, 40),
    tokens=st.integers(1, 90),
    least=st.integers(0, 40),
)
def test_a_harvest_of_mixed_lengths_is_that_of_one_sequence_at_a_time(
    tiny_model, seed, shard_rows, together, tokens, least
):
    """Whatever shards are read together and however small the passes; with little padding, which is told."""
    stream = random_stream(seed, sequences=15, longest=30, mixed=True)
    rows = stream.rows // shard_rows * shard_rows
    assume(rows)
    shards, seen = [], []
    read = residual_stream

    def noted(model, ids_BT, layer):
        seen.append(ids_BT.shape)
        return read(model, ids_BT, layer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings_module, "ROWS_TOGETHER", together)
        patch.setattr(passes_module, "CPU_TOKENS_PER_PASS", tokens)
        patch.setattr(passes_module, "LEAST", least)
        patch.setattr(module, "residual_stream", noted)
        harvest(tiny_model, stream, LAYER, rows, shard_rows, lambda *shard: shards.append(shard))
    assert [index for index, *_ in shards] == [*range(rows // shard_rows)]
    assert {len(h_Nd) for _, h_Nd, *_ in shards} == {shard_rows}
    assert_rows([shard[1:] for shard in shards], slow_rows(tiny_model, stream)[:rows])
    assert all(n * width <= tokens or n == 1 for n, width in seen)


@pytest.mark.parametrize(
    ("shards", "rows", "mixed", "expected"),
    [
        (5, 8192, True, [range(4), range(4, 5)]),
        (2, 40000, True, [range(1), range(1, 2)]),
        (2, 8192, False, [range(1), range(1, 2)]),
    ],
)
def test_small_shards_of_mixed_lengths_are_read_together(shards, rows, mixed, expected):
    assert read_together(shards, rows, mixed) == expected


def test_a_killed_harvest_of_mixed_lengths_ends_with_the_same_bytes(tiny_model, tmp_path, monkeypatch, capsys):
    """Seven shards, three read together: killed while the fifth is written, and with the second altered since."""
    monkeypatch.setattr(settings_module, "ROWS_TOGETHER", 15)
    stream, cfg = random_stream(5, sequences=12, longest=12, mixed=True), settings_of(35, 5)
    harvest_to(tmp_path / "whole", tiny_model, "base@1", stream, cfg)
    kept, write = tmp_path / "kept", module.write_shard

    def dies(path, *tensors):
        if path.name == shard_name(4):
            raise Killed
        write(path, *tensors)

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_shard", dies)
        with pytest.raises(Killed):
            harvest_kept(kept, lambda: tiny_model, "base@1", stream, cfg)
    (kept / shard_name(1)).write_bytes(b"")
    before = {index: (kept / shard_name(index)).stat().st_mtime_ns for index in (0, 2, 3)}
    capsys.readouterr()
    harvest_kept(kept, lambda: tiny_model, "base@1", stream, cfg)
    assert before == {index: (kept / shard_name(index)).stat().st_mtime_ns for index in (0, 2, 3)}
    assert "padding" in capsys.readouterr().err
    publish(kept, tmp_path / "published", "base@1", stream, cfg)
    assert contents(tmp_path / "published") == contents(tmp_path / "whole")


def test_too_few_rows_are_refused_before_anything_is_written(tiny_model, tmp_path):
    stream = random_stream(0)
    with pytest.raises(ValueError, match=rf"stream.rows=1000: the stream holds {stream.rows} rows"):
        harvest_to(tmp_path, tiny_model, "base@1", stream, settings_of(1000, 10))
    assert not list(tmp_path.iterdir())


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**31), shard_rows=st.integers(1, 6), batch=st.integers(1, 8))
def test_rows_of_two_models_stay_paired(tiny_model, other_model, seed, shard_rows, batch):
    """Row i of both is one token of one sequence, and each model's own activation of that token.

    The models are read in batches of different sizes, as machines of different memory would.
    """
    stream = random_stream(seed)
    rows = stream.rows // shard_rows * shard_rows
    assume(rows >= 2 * shard_rows)  # the settings ask for a shard to train on and one held out
    cfg = settings_of(rows, shard_rows)
    members = {"base@1": (tiny_model, batch), "rl@5": (other_model, 256)}
    with tempfile.TemporaryDirectory() as root, pytest.MonkeyPatch.context() as patch:
        for state, (model, size) in members.items():
            patch.setattr(stream_module, "SEQUENCES_PER_BATCH", size)
            harvest_to(Path(root) / state, model, state, stream, cfg)
        shards = Shards.open([Path(root) / state for state in members], list(members))
        read = shards.read(range(shards.n_shards))
    assert (shards.rows, shards.layer, shards.stream) == (rows, LAYER, stream.digest())
    for m, (model, _) in enumerate(members.values()):
        labels = (read.token_ids_N, read.sequence_N, read.position_N)
        assert_rows([(read.activations_NMd[:, m], *labels)], slow_rows(model, stream)[:rows])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def undisturbed(tiny_model, tmp_path_factory) -> tuple[TokenStream, Harvested, dict[str, bytes]]:
    """A harvest of four shards that nothing interrupts and that keeps no state."""
    folder, stream, cfg = tmp_path_factory.mktemp("undisturbed"), random_stream(3, sequences=12), settings_of(20, 5)
    harvest_to(folder, tiny_model, "base@1", stream, cfg)
    return stream, cfg, contents(folder)


class Killed(Exception):
    pass


def kept_after(tiny_model, undisturbed, folder: Path, whole: int, monkeypatch) -> None:
    """Run into an end before shard number `whole` is computed."""
    stream, cfg, _ = undisturbed
    original = module.harvest_rows

    def dies(model, stream, layer, first, rows, read):
        if first == whole * cfg.shard_rows:
            raise Killed
        return original(model, stream, layer, first, rows, read)

    with monkeypatch.context() as patch:
        patch.setattr(module, "harvest_rows", dies)
        with pytest.raises(Killed):
            harvest_kept(folder, lambda: tiny_model, "base@1", stream, cfg)


def finish(tiny_model, undisturbed, folder: Path, output: Path, monkeypatch) -> list[int]:
    """Run to the end; which shards were computed."""
    stream, cfg, expected = undisturbed
    original, made = module.harvest_rows, []

    def noted(model, stream, layer, first, rows, read):
        made.append(first // cfg.shard_rows)
        return original(model, stream, layer, first, rows, read)

    monkeypatch.setattr(module, "harvest_rows", noted)
    harvest_kept(folder, lambda: tiny_model, "base@1", stream, cfg)
    publish(folder, output, "base@1", stream, cfg)
    assert contents(output) == expected
    assert not list(folder.iterdir())
    return made


@pytest.mark.parametrize("whole", [0, 1, 3])
def test_a_killed_harvest_continues_at_the_first_missing_shard(tiny_model, undisturbed, tmp_path, monkeypatch, whole):
    (tmp_path / "kept").mkdir()
    kept_after(tiny_model, undisturbed, tmp_path / "kept", whole, monkeypatch)
    assert finish(tiny_model, undisturbed, tmp_path / "kept", tmp_path / "out", monkeypatch) == [*range(whole, 4)]


@pytest.mark.parametrize("damage", ["altered", "cut", "unsigned"])
def test_a_broken_kept_shard_is_named_and_made_anew(tiny_model, undisturbed, tmp_path, monkeypatch, capsys, damage):
    (tmp_path / "kept").mkdir()
    kept_after(tiny_model, undisturbed, tmp_path / "kept", 3, monkeypatch)
    path = tmp_path / "kept" / "shard001.safetensors"
    if damage == "unsigned":
        path.with_suffix(".sha256").unlink()
    else:
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]) if damage == "altered" else data[:-4])
    assert finish(tiny_model, undisturbed, tmp_path / "kept", tmp_path / "out", monkeypatch) == [1, 3]
    assert str(path) in capsys.readouterr().err


def test_a_write_that_fails_stops_the_harvest(tiny_model, undisturbed, tmp_path, monkeypatch):
    stream, cfg, _ = undisturbed

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_shard", full)
    with pytest.raises(OSError, match="No space left"):
        harvest_to(tmp_path, tiny_model, "base@1", stream, cfg)


def test_sigkill_of_the_script(tiny_model, tokenizer, undisturbed, tmp_path):
    """Killed as soon as a shard is kept (or a little later); the same command then ends with the same bytes."""
    stream, cfg, expected = undisturbed
    save_checkpoint(tiny_model, tokenizer, tmp_path / "model")
    stream.save(tmp_path / "stream.safetensors", {})
    script = Path(__file__).parents[3] / "scripts/activations/harvest.py"
    settings_json = json.dumps({"threads": 1, "states": ["base@1"], "stream": cfg.model_dump()})
    command = [sys.executable, script, "--cfg", settings_json, "--stream", tmp_path / "stream.safetensors"]
    command += ["--models", tmp_path / "model", "--outputs", tmp_path / "out", "--state", tmp_path / "kept"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(tmp_path.glob("kept/*/*.sha256")):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    assert contents(tmp_path / "out") == expected


def test_rows_of_high_norm_in_one_model_are_told(capsys):
    """199 rows of norm 1 and one of norm 100: it carries 10,000 of 10,199 of the squared norm."""
    h_Nd = torch.zeros(100, 4)
    h_Nd[:, 0] = 1
    norms = HighNorms()
    norms.see(h_Nd)
    norms.tell()
    assert capsys.readouterr().err == ""
    h_Nd[7, 0] = -100
    norms.see(h_Nd.bfloat16())
    norms.tell()
    assert "1 of 200 rows have norms above 10 medians of this model: they carry 98% of its" in capsys.readouterr().err


def test_a_harvest_tells_rows_of_high_norm(tiny_model, capsys):
    def push(_module, _inputs, h_BTd):
        h_BTd = h_BTd.clone()
        h_BTd[:, 3] *= 1000
        return h_BTd

    ids_NT = torch.randint(3, 20, (8, 6), dtype=torch.int32)
    stream = TokenStream(ids_NT, torch.full((8,), 6, dtype=torch.int32), torch.ones(8, 6, dtype=torch.bool))
    for high, told in ((False, None), (True, "8 of 48 rows have norms above 10 medians of this model")):
        handle = tiny_model.model.layers[1].register_forward_hook(push) if high else None
        try:
            harvest(tiny_model, stream, 1, 48, 24, lambda *_: None)
        finally:
            if handle is not None:
                handle.remove()
        said = capsys.readouterr().err
        assert told in said if told else "norms" not in said
