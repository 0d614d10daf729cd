"""Log-probabilities and distances from final hidden states, against whole logits, and over vocabularies that differ."""

import pytest
import torch

from rlgen.models import logprobs
from rlgen.models.logprobs import mean_kl, token_logprobs

B, T, D = 3, 7, 5


def head_of(rows: int, seed: int = 0) -> torch.nn.Linear:
    torch.manual_seed(seed)
    return torch.nn.Linear(D, rows, bias=False)


@pytest.fixture
def texts():
    torch.manual_seed(1)
    mask_BT = torch.rand(B, T) < 0.6
    mask_BT[:, 0] = True
    return torch.randn(B, T, D), torch.randn(B, T, D), torch.randint(11, (B, T)), mask_BT


@pytest.mark.parametrize("positions", [1, 4, 512])
def test_by_whole_logits(texts, positions, monkeypatch):
    monkeypatch.setattr(logprobs, "POSITIONS", positions)
    goal_BTd, hidden_BTd, ids_BT, mask_BT = texts
    head, goal_head = head_of(11), head_of(11, seed=2)
    whole_BTV = head(hidden_BTd).log_softmax(-1)
    found_BT, greedy_BT = token_logprobs(head, hidden_BTd, ids_BT, mask_BT)
    torch.testing.assert_close(found_BT, whole_BTV.gather(2, ids_BT[..., None]).squeeze(2) * mask_BT)
    assert torch.equal(greedy_BT, (whole_BTV.argmax(-1) == ids_BT) | ~mask_BT)
    goal_BTV = goal_head(goal_BTd).log_softmax(-1)
    kl_BT = (goal_BTV.exp() * (goal_BTV - whole_BTV)).sum(-1) * mask_BT
    torch.testing.assert_close(mean_kl(goal_head, goal_BTd, head, hidden_BTd, mask_BT), kl_BT.sum(1) / mask_BT.sum(1))


@pytest.mark.parametrize("more_in_goal", [True, False])
def test_a_vocabulary_with_more_rows_is_compared_over_the_common_ids(texts, more_in_goal):
    """Rows beyond the common ones, whatever they hold, change nothing."""
    goal_BTd, hidden_BTd, _, mask_BT = texts
    short, long = head_of(11), torch.nn.Linear(D, 14, bias=False)
    with torch.no_grad():
        long.weight[:11] = head_of(11, seed=2).weight
        long.weight[11:] = 40
    cut = head_of(11, seed=2)
    heads, same = ((long, short), (cut, short)) if more_in_goal else ((short, long), (short, cut))
    found = mean_kl(heads[0], goal_BTd, heads[1], hidden_BTd, mask_BT)
    torch.testing.assert_close(found, mean_kl(same[0], goal_BTd, same[1], hidden_BTd, mask_BT))
    assert bool((found > 0).all())


def test_by_hand():
    """Two ids, logits (0, 0) against (ln 3, 0): KL = .5 ln(.5/.75) + .5 ln(.5/.25) = .5 ln(4/3)."""
    flat, tilted = torch.nn.Identity(), lambda hidden: hidden + torch.tensor([3.0, 1.0]).log()
    kl = mean_kl(flat, torch.zeros(1, 1, 2), tilted, torch.zeros(1, 1, 2), torch.ones(1, 1, dtype=torch.bool))
    torch.testing.assert_close(kl, 0.5 * torch.tensor([4 / 3]).log())
