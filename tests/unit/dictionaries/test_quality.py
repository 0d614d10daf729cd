"""Quality of a dictionary: variance explained, sparsity, and the language-model loss with a replaced layer."""

import math
import weakref
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from elsewhere import elsewhere
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import tiny_checkpoint

from rlgen.activations.shards import Shards, write_manifest, write_shard
from rlgen.dictionaries.crosscoder import Crosscoder
from rlgen.dictionaries.held_out import HeldOut
from rlgen.dictionaries.quality import (
    FitSums,
    RowReplacement,
    lm_losses,
    loss_recovered,
    measure_fit,
    member_losses,
    quality,
)
from rlgen.features.contexts import contexts
from rlgen.features.statistics import latent_table, sum_latents
from rlgen.files import ArtifactError, read_tensors, write_tensors
from rlgen.models.checkpoints import load_model
from rlgen.models.residual import residual_stream
from rlgen.names import shard_name


def variance_explained(x_BMd, reconstruction_BMd) -> list[float]:
    sums = FitSums.zero(x_BMd.shape[1], x_BMd.shape[2])
    for part in zip(x_BMd.split(3), reconstruction_BMd.split(3), strict=True):
        sums.add(*part)
    return sums.variance_explained().tolist()


def test_variance_explained_by_hand():
    x = torch.tensor([[[1.0]], [[3.0]]])
    assert variance_explained(x, x) == [1.0]
    assert variance_explained(x, torch.full((2, 1, 1), 2.0)) == [0.0]
    assert variance_explained(x, torch.tensor([[[1.0]], [[4.0]]])) == [0.5]  # 1 - 1 / 2
    assert math.isnan(variance_explained(torch.ones(2, 1, 1), torch.zeros(2, 1, 1))[0])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_variance_explained_matches_a_loop(seed):
    g = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(10, 2, 3, generator=g) for _ in range(2))
    for m, found in enumerate(variance_explained(x, y)):
        rows = x[:, m].double().numpy()
        mean = sum(rows) / 10
        variance = sum(((row - mean) ** 2).sum() for row in rows)
        error = sum(((row - other) ** 2).sum() for row, other in zip(rows, y[:, m].double().numpy(), strict=True))
        assert found == pytest.approx(1 - error / variance)


def test_fit_of_a_dictionary_that_keeps_positive_coordinates():
    """Latent k is coordinate k of both members; a third never fires. Negative coordinates are lost."""
    W_SMd = torch.cat([torch.eye(2), torch.zeros(1, 2)])[:, None].repeat(1, 2, 1)
    crosscoder = Crosscoder(
        ["a", "b"], "l1", 0.5 * W_SMd.permute(1, 2, 0), torch.tensor([0.0, 0.0, -1.0]), W_SMd,
        torch.zeros(2, 2), torch.zeros(2, 2), torch.tensor([1.0, 2.0]), None, 3,
    )  # fmt: skip
    x_Bd = torch.tensor([[1.0, 0.0], [2.0, 2.0], [0.0, 3.0], [-1.0, 0.0]])
    h_BMd = torch.stack([x_Bd, 2 * x_Bd], dim=1)
    fit = measure_fit(crosscoder, h_BMd.split(3))
    expected = 1 - 1 / np.square(x_Bd.numpy() - x_Bd.numpy().mean(0)).sum()
    assert fit.rows == 4 and fit.l0 == 1.0 and fit.dead_share == pytest.approx(1 / 3)
    assert fit.fve_M.tolist() == pytest.approx([expected] * 2)
    assert fit.fve_swap_M.tolist() == pytest.approx([expected] * 2) and fit.l0_swap_M.tolist() == [1.0, 1.0]
    with pytest.raises(ValueError, match="no held-out rows"):
        measure_fit(crosscoder, [])


class ToyModel(torch.nn.Module):
    """Embedding, two blocks that add a constant, a linear head; block outputs are tensors or tuples."""

    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self, tuples: bool = False) -> None:
        super().__init__()
        g = torch.Generator().manual_seed(0)
        self.embedding = torch.randn(6, 4, generator=g)
        self.head = torch.randn(4, 6, generator=g)
        self.model = SimpleNamespace(layers=torch.nn.ModuleList([Block(1.0, tuples), Block(2.0, tuples)]))
        self.config, self.logits_made = SimpleNamespace(vocab_size=6), []

    def forward(self, input_ids, use_cache):
        hidden = self.embedding[input_ids]
        for block in self.model.layers:
            hidden = block(hidden)
            hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        logits = hidden @ self.head
        self.logits_made.append(logits.numel())
        return SimpleNamespace(logits=logits)


class Block(torch.nn.Module):
    def __init__(self, shift: float, tuples: bool) -> None:
        super().__init__()
        self.shift, self.tuples = shift, tuples

    def forward(self, hidden):
        return (hidden + self.shift, None) if self.tuples else hidden + self.shift


IDS_NT = torch.tensor([[1, 2, 3, 4], [5, 4, 3, 0], [2, 2, 1, 0]], dtype=torch.int32)
MASK_NT = torch.tensor([[0, 1, 1, 0], [0, 0, 0, 0], [1, 1, 0, 0]], dtype=torch.bool)


def loss_by_loop(model: ToyModel, replaced: dict[tuple[int, int], torch.Tensor]) -> float:
    losses = []
    for n, t in MASK_NT.nonzero().tolist():
        hidden = replaced.get((n, t), model.embedding[IDS_NT[n, t]] + 1.0) + 2.0
        logits = (hidden @ model.head).double()
        losses.append(math.log(sum(math.exp(v) for v in logits)) - logits[IDS_NT[n, t + 1]].item())
    return sum(losses) / len(losses)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("tuples", [False, True])
@pytest.mark.parametrize("batch", [1, 2, 256])
def test_loss_with_replaced_rows_matches_a_loop(mixed, tuples, batch, monkeypatch):
    monkeypatch.setattr("rlgen.dictionaries.quality.SEQUENCES_PER_BATCH", batch)
    model = ToyModel(tuples)
    plain = pytest.approx(loss_by_loop(model, {}))
    assert lm_losses(model, 0, IDS_NT, MASK_NT) == [plain]
    rows = [(0, 2), (2, 0), (2, 1)]
    values_Rd = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    mean_1d = values_Rd[:1]
    replacements = [RowReplacement(*torch.tensor(rows).T, values) for values in (values_Rd, mean_1d)]
    by_row, by_mean = dict(zip(rows, values_Rd, strict=True)), dict.fromkeys(rows, mean_1d[0])
    expected = [plain, *(pytest.approx(loss_by_loop(model, values)) for values in (by_row, by_mean))]
    assert lm_losses(model, 0, IDS_NT, MASK_NT, replacements, mixed) == expected
    assert not any(block._forward_hooks for block in model.model.layers)


@pytest.mark.parametrize(("most", "expected"), [(1, [72, 72]), (143, [72, 72]), (144, [144]), (2**28, [144])])
def test_the_logits_of_a_batch_are_bounded(most, expected, monkeypatch):
    """A sequence has 3 variants x 4 positions x 6 words = 72 logits; two of the three ask for a loss."""
    model, replacements = ToyModel(), [lambda h_BTd, _: h_BTd + 1.0, lambda h_BTd, _: -h_BTd]
    whole = lm_losses(ToyModel(), 0, IDS_NT, MASK_NT, replacements)
    monkeypatch.setattr("rlgen.dictionaries.quality.LOGITS_PER_BATCH", most)
    assert lm_losses(model, 0, IDS_NT, MASK_NT, replacements) == pytest.approx(whole, rel=1e-6)
    assert model.logits_made == expected


def test_replacing_rows_by_themselves_changes_nothing():
    model = ToyModel()
    sequence_R, position_R = MASK_NT.nonzero(as_tuple=True)
    values_Rd = model.embedding[IDS_NT[sequence_R, position_R]] + 1.0
    plain, same = lm_losses(model, 0, IDS_NT, MASK_NT, [RowReplacement(sequence_R, position_R, values_Rd)])
    assert same == plain


@pytest.mark.parametrize("mixed", [False, True])
def test_blocks_after_the_layer_see_all_variants_of_a_real_model(tiny_model, mixed):
    """Against a hook that replaces the block's output in one forward per variant; sequence 1 asks for nothing."""
    ids_NT = torch.randint(3, 20, (4, 6), generator=torch.Generator().manual_seed(0))
    mask_NT = torch.zeros(4, 6, dtype=torch.bool)
    mask_NT[0, 2] = mask_NT[2, 4] = mask_NT[3, 0] = True
    values_Rd = torch.randn(3, 32, generator=torch.Generator().manual_seed(1))
    replace = RowReplacement(*mask_NT.nonzero().T, values_Rd)
    losses = lm_losses(tiny_model, 1, ids_NT, mask_NT, [replace], mixed)
    for found, edit in zip(losses, (None, replace), strict=True):
        block = tiny_model.model.layers[1]
        handle = block.register_forward_hook(
            lambda _m, _i, h, edit=edit: h if edit is None else edit(h, torch.arange(4))
        )
        with torch.inference_mode():
            logprob_NTV = tiny_model(input_ids=ids_NT).logits.double().log_softmax(-1)
        handle.remove()
        one_by_one = [-logprob_NTV[n, t, ids_NT[n, t + 1]].item() for n, t in mask_NT.nonzero().tolist()]
        assert found == pytest.approx(sum(one_by_one) / 3, rel=1e-5)


def test_losses_of_mixed_lengths_are_read_with_little_padding(tiny_model, monkeypatch, capsys):
    """A long sequence and four short ones, each with a row at its last token, which predicts nothing."""
    monkeypatch.setattr("rlgen.models.passes.LEAST", 0)
    ids_NT = torch.randint(3, 20, (5, 40), generator=torch.Generator().manual_seed(0))
    length_N, mask_NT = torch.tensor([5, 40, 5, 5, 4]), torch.zeros(5, 40, dtype=torch.bool)
    mask_NT[torch.arange(5), length_N - 3] = True
    sequence_R, position_R = torch.arange(5).repeat(2), torch.cat([length_N - 3, length_N - 1])
    replace = RowReplacement(sequence_R, position_R, torch.randn(1, 32))
    found = lm_losses(tiny_model, 1, ids_NT, mask_NT, [replace], mixed_lengths=True)
    assert "losses: 0.0% of 54 tokens read were padding" in capsys.readouterr().err  # 39 + 3 x 4 + 3
    assert found == pytest.approx(lm_losses(tiny_model, 1, ids_NT, mask_NT, [replace]), rel=1e-5)


@pytest.mark.parametrize("mixed", [False, True])
def test_masks_that_ask_for_nothing_or_too_much(mixed):
    assert all(map(math.isnan, lm_losses(ToyModel(), 0, IDS_NT, torch.zeros_like(MASK_NT), [lambda h, _: h], mixed)))
    with pytest.raises(ValueError, match="predicts no token"):
        lm_losses(ToyModel(), 0, IDS_NT, torch.ones_like(MASK_NT))


def test_loss_recovered_by_hand():
    assert loss_recovered(1.0, 1.5, 3.0) == 0.75
    assert loss_recovered(1.0, 1.0, 3.0) == 1.0 and loss_recovered(1.0, 3.0, 3.0) == 0.0
    assert math.isnan(loss_recovered(1.0, 1.5, 1.0))


def perfect_dictionary(members: list[str], d: int = 4) -> Crosscoder:
    """Latents k and d + k are coordinate k and its negative: nothing is lost where members agree."""
    signs_Sd = torch.cat([torch.eye(d), -torch.eye(d)])
    W_dec_SMd = signs_Sd[:, None].repeat(1, len(members), 1)
    W_enc_MdS = W_dec_SMd.permute(1, 2, 0) / len(members)
    zeros = torch.zeros(len(members), d)
    return Crosscoder(members, "l1", W_enc_MdS, torch.zeros(2 * d), W_dec_SMd, zeros, zeros, torch.ones(2), None, 2 * d)


@pytest.fixture
def harvested(tmp_path) -> dict:
    """The toy model under two names: activations at block 0 of every position with a next token, in two shards."""
    model, lengths_N = ToyModel(), torch.tensor([4, 3, 2], dtype=torch.int32)
    mask_NT = torch.arange(4) < lengths_N[:, None]
    sequence_R, position_R = mask_NT.nonzero(as_tuple=True)
    h_Rd = model.embedding[IDS_NT[sequence_R, position_R]] + 1.0
    for member in ("a@1", "b@1"):
        fingerprint = {"model": member, "stream": "abc", "layer": 0}
        for i, rows in enumerate((slice(0, 5), slice(5, 9))):
            labels = IDS_NT[sequence_R, position_R][rows], sequence_R[rows], position_R[rows]
            write_shard(tmp_path / member / shard_name(i), h_Rd[rows], *labels, fingerprint)
        write_manifest(tmp_path / member, fingerprint, 2)
    write_tensors(tmp_path / "stream", {"token_ids": IDS_NT, "lengths": lengths_N}, {"digest": "abc"})
    write_tensors(tmp_path / "foreign", {"token_ids": IDS_NT, "lengths": lengths_N}, {"digest": "abd"})
    perfect_dictionary(["a@1", "b@1"]).save(tmp_path / "dictionary")
    return {
        "folder": tmp_path,
        "model": model,
        "rows": list(zip(sequence_R.tolist(), position_R.tolist(), strict=True)),
    }


def open_held_out(folder, members=("a@1", "b@1"), stream="stream", permute_shift=False) -> HeldOut:
    shards = Shards.open([folder / m for m in members], list(members), permute_shift)
    return HeldOut.open(folder / "dictionary", shards, 1, folder / stream, torch.device("cpu"))


def test_a_perfect_dictionary_recovers_the_loss(harvested):
    """Held out are rows 5 to 8: (1, 1), (1, 2), (2, 0), (2, 1), of which (1, 2) and (2, 1) predict nothing."""
    model, held_out = harvested["model"], open_held_out(harvested["folder"])
    table = quality(held_out, [lambda: model, lambda: model])
    mask_NT = torch.zeros_like(MASK_NT)
    mask_NT[1, 1] = mask_NT[2, 0] = True
    values_Rd = next(held_out.batches())[:, 0]
    replace = RowReplacement(*torch.tensor(harvested["rows"][5:]).T, values_Rd.mean(0, keepdim=True))
    plain, ablated = lm_losses(model, 0, IDS_NT, mask_NT, [replace])
    assert table["member"].tolist() == ["a@1", "b@1"] and table["rows"].tolist() == [4, 4]
    for column, value in {
        "fve": 1.0, "fve_swap": 1.0, "l0": 4.0, "l0_swap": 4.0,
        "loss": plain, "loss_reconstructed": plain, "loss_mean_ablated": ablated,
    }.items():  # fmt: skip
        assert table[column].tolist() == pytest.approx([value] * 2, abs=1e-5)


def test_rows_of_a_batch_are_let_go_before_the_next(harvested):
    """The losses keep one member's reconstruction: with a slice of them, the rows of all members would stay."""
    held_out, arrays, alive = open_held_out(harvested["folder"]), [], []
    rows_RMd = torch.cat(list(held_out.batches()))

    def watched():
        for row_Md in rows_RMd.numpy():
            alive.append(sum(array() is not None for array in arrays))
            array = row_Md[None].copy()
            arrays.append(weakref.ref(array))
            yield torch.from_numpy(array)

    expected = member_losses(held_out, 1, harvested["model"])
    held_out.batches = watched
    assert member_losses(held_out, 1, harvested["model"]) == pytest.approx(expected, rel=1e-6, nan_ok=True)
    assert len(alive) == 4 and max(alive) <= 2


def test_places_are_known_without_reading_rows(harvested, monkeypatch):
    held_out, read = open_held_out(harvested["folder"]), []

    def watched(path, *arguments, **options):
        found = read_tensors(path, *arguments, **options)
        read.extend(found[0])
        return found

    monkeypatch.setattr("rlgen.activations.shards.read_tensors", watched)
    sequence_R, position_R = held_out.places()
    assert list(zip(sequence_R.tolist(), position_R.tolist(), strict=True)) == harvested["rows"][5:]
    assert set(read) == {"sequence", "position"}


@pytest.mark.parametrize("members", [2, 3])
def test_everything_measured_of_a_dictionary_is_the_same_on_another_device(tmp_path, members):
    """Models and dictionary of real classes, on a device that refuses what a GPU would refuse."""
    here, there = (measured(tmp_path / place, members, device) for place, device in (("here", "cpu"), ("there", None)))
    for one, other in zip(here, there, strict=True):
        pd.testing.assert_frame_equal(one, other, rtol=1e-4, atol=1e-6)


def measured(folder: Path, members: int, device: str | None) -> list[pd.DataFrame]:
    """Quality, latents and contexts of a random dictionary over random models, on the CPU or elsewhere."""
    names, generator = [f"m{i}@1" for i in range(members)], torch.Generator().manual_seed(0)
    ids_NT, lengths_N = torch.randint(5, 200, (6, 8), generator=generator), torch.full((6,), 8, dtype=torch.int32)
    checkpoints = [tiny_checkpoint(folder / name, seed=i) for i, name in enumerate(names)]
    place = torch.ones(6, 7, dtype=torch.bool).nonzero()
    for name, checkpoint in zip(names, checkpoints, strict=True):
        h_Rd = residual_stream(load_model(checkpoint), ids_NT, 0)[:, 1:].flatten(0, 1)
        fingerprint = {"model": name, "stream": "abc", "layer": 0}
        labels = ids_NT[:, 1:].flatten(), place[:, 0], place[:, 1] + 1
        for i in (0, 1):
            write_shard(folder / "shards" / name / shard_name(i), h_Rd, *labels, fingerprint)
        write_manifest(folder / "shards" / name, fingerprint, 2)
    write_tensors(folder / "stream", {"token_ids": ids_NT.int(), "lengths": lengths_N}, {"digest": "abc"})
    shards = Shards.open([folder / "shards" / name for name in names], names)
    weights = [torch.randn(shape, generator=generator) for shape in ((members, 32, 12), (12, members, 32))]
    zeros = torch.zeros(members, 32)
    tensors = (weights[0], torch.zeros(12), weights[1], zeros, zeros, torch.ones(members))
    Crosscoder(names, "batchtopk", *tensors, 3.0, 12).save(folder / "dictionary")
    with elsewhere() if device is None else nullcontext(torch.device(device)) as place:
        held_out = HeldOut.open(folder / "dictionary", shards, 1, folder / "stream", place)
        tables = [quality(held_out, [lambda path=path: load_model(path, place) for path in checkpoints])]
        tables.append(latent_table(held_out.crosscoder, sum_latents(held_out.crosscoder, held_out.batches()), 1))
        return [*tables, contexts(held_out, lambda ids: " ".join(map(str, ids)), 2, 3)]


def test_the_permuted_null_has_no_language_model_loss(harvested):
    table = quality(open_held_out(harvested["folder"], permute_shift=True), [None, None])
    assert table[["loss", "loss_recovered"]].isna().all(axis=None) and table["fve"].notna().all()


def test_contexts_are_of_held_out_rows(harvested):
    table = contexts(open_held_out(harvested["folder"]), lambda ids: " ".join(map(str, ids)), 2, 3)
    assert set(table["text"]) <= {"5 4", "5 4 3", "2", "2 2"} and set(table["member"]) == {"a@1", "b@1"}
    both = [part.drop(columns="member").reset_index(drop=True) for _, part in table.groupby("member")]
    pd.testing.assert_frame_equal(*both)


def test_what_does_not_belong_together_is_refused(harvested):
    with pytest.raises(ArtifactError, match=r"dictionary: reads a@1, b@1, expected b@1, a@1"):
        open_held_out(harvested["folder"], members=("b@1", "a@1"))
    with pytest.raises(ArtifactError, match="foreign: not the token stream"):
        open_held_out(harvested["folder"], stream="foreign")
