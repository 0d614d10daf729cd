"""Completions that start from a draft are those of token-by-token generation, whatever the draft is worth."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from crosscoders import random_crosscoder
from tiny_runs import LAYER

from rlgen.interventions.edits import FeatureEdits, directions
from rlgen.models.drafts import Draft
from rlgen.models.generation import AnswerWatch, Limits, Prompts, generate
from rlgen.models.hooks import Hook
from rlgen.models.passes import Padding

TEXTS = ["add 8 | 9 6 5 6 =", "par even | 3 2 =", "max 3 =", "add 1 | 2 3 4 5 = 3 6 0 5 ; 5 . par odd | 1 ="]
N, ROWS_B = 10, torch.tensor([0, 1, 2, 3, 2, 0])  # samples repeat, as conditions do


@pytest.fixture(scope="module", params=[None, Padding("drafts")], ids=["whole", "mixed"])
def prompts(request, tiny_model, tokenizer):
    """Mixed: prompts, and texts after them, are read in passes of one length each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rlgen.models.passes.LEAST", 0)
        yield replace(Prompts.encode(tokenizer, TEXTS), mixed=request.param).with_prefix(tiny_model)


def edit_of(rows_A: torch.Tensor):
    """Every row of the batch has its own push; the last has none."""
    direction_d = torch.randn(32, generator=torch.Generator().manual_seed(0))
    strength_B = torch.tensor([0.3, 0.1, 0.5, 0.2, 0.0, 0.0])[rows_A, None, None]
    return lambda h_BTd: h_BTd + strength_B * direction_d * h_BTd.norm(dim=-1, keepdim=True)


def hook_of(kind: str) -> Hook | None:
    if kind == "none":
        return None
    return Hook(SimpleNamespace(take=edit_of), LAYER, kind == "everywhere", torch.arange(len(ROWS_B)))


def drafted(model, prompts, tokenizer, text_NL, hook, eos, marker, second=None):
    pad = tokenizer.pad_token_id
    draft = Draft.read(model, prompts, text_NL, (text_NL != pad).sum(1), LAYER, 3)
    watch, batch = AnswerWatch(marker, len(ROWS_B), len(tokenizer)), prompts.take(ROWS_B)
    if hook is not None and hook.everywhere:
        batch = batch.with_prefix(model, hook)
    ids_BN, logits_BTV = draft.complete(model, batch, ROWS_B, Limits(N, eos, pad), hook, watch, second)
    return ids_BN, watch, logits_BTV


@pytest.mark.parametrize("kind", ["none", "from the last token", "everywhere"])
@pytest.mark.parametrize("worth", ["own", "half right", "wrong"])
@pytest.mark.parametrize("ends", [False, True])
def test_equals_token_by_token_generation(tiny_model, prompts, tokenizer, kind, worth, ends):
    hook, pad = hook_of(kind), tokenizer.pad_token_id
    free = generate(tiny_model, prompts, Limits(N, -1, pad))
    eos, marker = (int(free[0, 4]) if ends else -1), int(free[1, 3])
    text_NL = generate(tiny_model, prompts, Limits(N, eos, pad))
    if worth == "half right":
        text_NL = torch.where((torch.arange(text_NL.shape[1]) < 3) | (text_NL == pad), text_NL, (text_NL + 1) % 20 + 4)
    if worth == "wrong":
        text_NL = torch.full((len(TEXTS), N), 7)
    plain_watch = AnswerWatch(marker, len(ROWS_B), len(tokenizer))
    expected = generate(tiny_model, prompts.take(ROWS_B), Limits(N, eos, pad), hook, watch=plain_watch)
    ids_BN, watch, _ = drafted(tiny_model, prompts, tokenizer, text_NL, hook, eos, marker)
    own_NL = generate(tiny_model, prompts, Limits(N, eos, pad))
    second = Draft.read(tiny_model, prompts, own_NL, (own_NL != pad).sum(1), LAYER, 3)
    twice_BN, twice, _ = drafted(tiny_model, prompts, tokenizer, text_NL, hook, eos, marker, second)
    for found_BN, seen in ((ids_BN, watch), (twice_BN, twice)):
        assert torch.equal(found_BN, expected)
        assert bool(seen.seen_B.all()) and bool(plain_watch.seen_B.all())
        torch.testing.assert_close(seen.logprob_BV, plain_watch.logprob_BV, rtol=1e-4, atol=1e-4)


def test_logits_on_the_draft_equal_one_forward_over_everything(tiny_model, prompts, tokenizer):
    text_NL = generate(tiny_model, prompts, Limits(N, -1, tokenizer.pad_token_id))
    *_, logits_BTV = drafted(tiny_model, prompts, tokenizer, text_NL, None, -1, 3)
    for row, sample in enumerate(ROWS_B.tolist()):
        ids = tokenizer(TEXTS[sample])["input_ids"]
        with torch.inference_mode():
            expected = tiny_model(torch.tensor([ids + text_NL[sample].tolist()])).logits[0, len(ids) - 1 :]
        torch.testing.assert_close(logits_BTV[row], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("read", ["swap", "own"])
@pytest.mark.parametrize("threshold", [None, 2.0])
def test_the_folded_readout_equals_the_plain_one(read, threshold):
    """`Crosscoder.encode_one` in float64 is the formula; one latent has no decoder and never acts under a threshold."""
    crosscoder = random_crosscoder(3, M=3, S=40, d=16, threshold=threshold)
    crosscoder.W_dec_SMd[5] = 0
    edits = FeatureEdits(
        crosscoder,
        1,
        read,
        directions(crosscoder, "exchange", True),
        torch.ones(1, 40, dtype=torch.bool),
        torch.ones(1),
    )
    h_Nd = torch.randn(200, 16, generator=torch.Generator().manual_seed(0)) * 5 + 2
    expected = crosscoder.encode_one(h_Nd, 1, read) @ edits.direction_Sd
    change = edits.on("cpu").delta(torch.zeros(1, dtype=torch.long))(h_Nd[None])[0]
    assert float((change - expected).norm() / expected.norm()) < 1e-5
