"""Pretraining: the loss falls on completions only, runs repeat to the bit, a trained model's parent stays as it was."""

import copy

import numpy as np
import pytest
import torch

from rlgen.models.checkpoints import load_model, load_tokenizer, save_checkpoint
from rlgen.models.residual import residual_stream
from rlgen.organism.pretraining import document_batch, new_model, train
from rlgen.organism.settings import Architecture, ContinuePretraining, OrganismData, Pretrain
from rlgen.progress import Progress
from rlgen.resume import Resume

DATA = OrganismData(families=["add", "par"], problems_per_document=2)
TINY = Architecture(hidden_size=16, layers=1, heads=1, head_dim=16, intermediate_size=16)
QUIET = Progress("pretraining", 1, "steps", every_s=1e9)
NOTHING = Resume(None)


def weights(model) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_labels_are_the_completions(tokenizer):
    ids_BT, attention_BT, labels_BT = document_batch(tokenizer, DATA, "s", 20, 0.5, np.random.default_rng(0))
    assert len(set(attention_BT.sum(1).tolist())) > 1  # padded rows exist
    for ids, attention, labels in zip(ids_BT, attention_BT, labels_BT, strict=True):
        length = int(attention.sum())
        assert attention.tolist() == [1] * length + [0] * (len(ids) - length)
        assert ids[0] == tokenizer.bos_token_id and (ids[length:] == tokenizer.pad_token_id).all()
        inside, words = False, tokenizer.convert_ids_to_tokens(ids.tolist())
        for word, token, label in zip(words, ids.tolist(), labels.tolist(), strict=True):
            assert label == (token if inside else -100)
            inside = word == "=" or (inside and word != ".")


def test_the_same_seed_gives_the_same_model(tokenizer):
    settings = Pretrain(architecture=TINY, steps=4, batch_documents=4, warmup_steps=2)
    runs = []
    for seed in (0, 0, 1):
        model = new_model(TINY, tokenizer, seed)
        curve = train(model, tokenizer, settings, DATA, "s", seed, QUIET, NOTHING)
        runs.append((weights(model), curve))
    assert torch.equal(runs[0][0], runs[1][0]) and runs[0][1] == runs[1][1]
    assert not torch.equal(runs[0][0], runs[2][0])
    assert [(row["step"], row["metric"]) for row in runs[0][1]] == [(1, "loss"), (4, "loss")]


@pytest.mark.parametrize("kind", ["qwen3", "llama", "qwen2"])
def test_a_model_is_of_the_family_that_is_asked_for(tokenizer, kind, tmp_path):
    sizes = TINY.model_copy(update={"kind": kind, "layers": 2})
    model = new_model(sizes, tokenizer, 0)
    assert type(model).__name__.lower() == f"{kind}forcausallm" and model.dtype == torch.float32
    assert model.config.tie_word_embeddings and model.lm_head.weight is model.model.embed_tokens.weight
    assert len(model.model.layers) == 2 and model.config.head_dim == 16
    train(model, tokenizer, Pretrain(steps=1, batch_documents=2), DATA, "s", 0, QUIET, NOTHING)
    save_checkpoint(model, tokenizer, tmp_path)
    ids_BT = torch.tensor([[1, 2, 3, 4]])
    again = load_model(tmp_path, "cpu")
    assert torch.equal(again(ids_BT).logits, model.eval()(ids_BT).logits)
    assert torch.equal(residual_stream(again, ids_BT, 1), residual_stream(model, ids_BT, 1))
    theirs, ours = load_tokenizer(tmp_path), tokenizer  # transformers would make Qwen2's of any in its folder
    assert len(theirs) == len(ours) == model.config.vocab_size
    assert theirs.backend_tokenizer.to_str() == ours.backend_tokenizer.to_str()


def test_the_learning_rate_rises_and_falls_from_scratch_and_stays_later(tokenizer, monkeypatch):
    seen: list[float] = []
    step = torch.optim.AdamW.step
    monkeypatch.setattr(
        torch.optim.AdamW, "step", lambda self: (seen.append(self.param_groups[0]["lr"]), step(self))[1]
    )
    model = new_model(TINY, tokenizer, 0)
    train(
        model,
        tokenizer,
        Pretrain(steps=6, batch_documents=1, warmup_steps=2, learning_rate=1.0),
        DATA,
        "s",
        0,
        QUIET,
        NOTHING,
    )
    assert seen == pytest.approx([0.5, 1.0, 1.0, 0.5 + 0.5 * 2**-0.5, 0.5, 0.5 - 0.5 * 2**-0.5])
    seen.clear()
    again = ContinuePretraining(parent="base", steps=3, batch_documents=1, learning_rate=0.1)
    train(copy.deepcopy(model), tokenizer, again, DATA, "s", 0, QUIET, NOTHING)
    assert seen == [0.1, 0.1, 0.1]
