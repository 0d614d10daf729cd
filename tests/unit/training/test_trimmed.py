"""GRPO without padding: fewer tokens through the model, the same log-probabilities, losses and gradients."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import tiny_checkpoint

from rlgen.models.checkpoints import load_model
from rlgen.training.trimmed import TrimmedGRPOTrainer, filled_columns

trl = pytest.importorskip("trl")
PROMPT, COMPLETION = 5, 7


class Bare:
    """The part of a trainer that these methods use."""

    args = SimpleNamespace(report_to=[])

    class accelerator:
        is_main_process = False

        @staticmethod
        def autocast():
            return torch.autocast("cpu", enabled=False)


class Trimmed(Bare, TrimmedGRPOTrainer):
    def __init__(self) -> None:
        pass


class Whole(Bare, trl.GRPOTrainer):
    def __init__(self) -> None:
        pass


class Model(torch.nn.Module):
    """TRL's head over a tiny checkpoint would need a whole trainer: log-probabilities by definition."""

    def __init__(self, inner) -> None:
        super().__init__()
        self.inner, self.widths, self.masks = inner, [], []

    def forward(self, input_ids, attention_mask, labels, fused_lm_head):
        self.widths.append(input_ids.shape[1])
        self.masks.append(bool(attention_mask.all()))
        position_BT = (attention_mask.cumsum(1) - 1).clamp(min=0)
        logits = self.inner(input_ids=input_ids, attention_mask=attention_mask, position_ids=position_BT).logits
        logprob_BTV = torch.nn.functional.pad(logits[:, :-1].log_softmax(-1), (0, 0, 1, 0))
        found = logprob_BTV.gather(2, input_ids[..., None]).squeeze(2).masked_fill(labels == -100, 0)
        entropy_BT = -(logprob_BTV.exp() * logprob_BTV).sum(-1)
        return type("Output", (), {"log_probs": found, "entropy": entropy_BT})


@pytest.fixture(scope="module")
def inner(tmp_path_factory):
    return load_model(tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "model"))


def padded(lengths: list[tuple[int, int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """ids_BT and mask_BT of rows whose prompts and completions have these lengths."""
    ids_BT = torch.randint(5, 200, (len(lengths), PROMPT + COMPLETION), generator=torch.Generator().manual_seed(0))
    place_T = torch.arange(PROMPT + COMPLETION)
    mask = [(place_T >= PROMPT - prompt) & (place_T < PROMPT + completion) for prompt, completion in lengths]
    return ids_BT, torch.stack(mask).long()


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.tuples(st.integers(1, PROMPT), st.integers(1, COMPLETION)), min_size=1, max_size=5), st.integers(1, 3)
)
def test_log_probabilities_and_gradients_are_those_with_padding(inner, lengths, batch_size):
    ids_BT, mask_BT = padded(lengths)
    counted_BC, found = mask_BT[:, -COMPLETION:].bool(), []
    for trainer in (Trimmed(), Whole()):
        model = Model(inner)
        logps_BC, entropy_BC, _ = trainer._get_per_token_logps_and_entropies(
            model, ids_BT, mask_BT, COMPLETION, batch_size, compute_entropy=True
        )
        assert logps_BC.shape == entropy_BC.shape == counted_BC.shape
        inner.zero_grad()
        logps_BC[counted_BC].sum().backward()
        gradient = inner.model.layers[0].mlp.down_proj.weight.grad.clone()
        found.append((logps_BC[counted_BC].detach(), entropy_BC[counted_BC].detach(), gradient))
        assert torch.isfinite(logps_BC).all()
    for mine, trls in zip(*found, strict=True):
        torch.testing.assert_close(mine, trls, rtol=1e-4, atol=1e-4)


def test_one_row_at_a_time_sees_no_padding_and_no_more_columns_than_it_has(inner):
    lengths, model = [(2, 7), (5, 1), (3, 4)], Model(inner)
    Trimmed()._get_per_token_logps_and_entropies(model, *padded(lengths), COMPLETION, 1)
    assert model.widths == [9, 6, 7] and model.masks == [True] * 3


def test_a_row_without_a_completion_keeps_a_column():
    assert filled_columns(torch.tensor([[0, 1, 1, 0, 0]]), 2) == (1, 4)
    assert filled_columns(torch.zeros(1, 5, dtype=torch.long), 2) == (0, 4)


def test_pictures_are_refused(inner):
    with pytest.raises(ValueError, match="texts alone"):
        Trimmed()._get_per_token_logps_and_entropies(
            Model(inner), *padded([(1, 1)]), COMPLETION, pixel_values=torch.ones(1)
        )
