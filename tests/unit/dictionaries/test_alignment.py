"""Losses that compare directions or tokens instead of squares: numbers by hand, gradients, what they are blind to."""

import math

import pytest
import torch
from torch.autograd import gradcheck

from rlgen.dictionaries.objectives import alignment_loss, contrastive_loss, cosine_loss, reconstruction_loss
from rlgen.dictionaries.ranks import ALONE
from rlgen.dictionaries.settings import Recipe
from rlgen.dictionaries.step import Training, step_made_by

KINDS = ("mse", "cosine", "contrastive")


def randn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_cosine_loss_by_hand_and_as_a_squared_error_of_rows_of_length_root_d():
    rows_BMd = torch.tensor([[[1.0, 0.0], [0.0, 2.0]], [[3.0, 4.0], [1.0, 1.0]]])
    made_BMd = torch.tensor([[[0.0, 5.0], [0.0, 1.0]], [[4.0, 3.0], [-1.0, -1.0]]])
    expected = 2 * 2 * ((1 - 0) + (1 - 1) + (1 - 0.96) + (1 + 1)) / 2
    assert cosine_loss(rows_BMd, made_BMd).item() == pytest.approx(expected)
    a_BMd, b_BMd = (math.sqrt(6) * torch.nn.functional.normalize(randn(s, 5, 3, 6), dim=2) for s in (0, 1))
    assert cosine_loss(a_BMd, b_BMd).item() == pytest.approx(reconstruction_loss(a_BMd, b_BMd).item())


def test_the_contrastive_loss_is_a_loop_over_models_and_tokens():
    rows_BMd, made_BMd, t, total = randn(0, 4, 2, 3), randn(1, 4, 2, 3), 0.3, 0.0
    for m in range(2):
        for n in range(2):
            for b in range(4):
                cosines = [float(torch.cosine_similarity(made_BMd[b, m], rows_BMd[c, n], dim=0)) for c in range(4)]
                total -= math.log(math.exp(cosines[b] / t) / sum(math.exp(c / t) for c in cosines)) / 4
    assert contrastive_loss(rows_BMd, made_BMd, t).item() == pytest.approx(3 / (2 * math.log(4)) * total)


def test_reconstructions_of_other_tokens_cost_more():
    rows_BMd = randn(0, 64, 2, 8)
    chance = 2 * 8  # M d
    right, shuffled = (contrastive_loss(rows_BMd, x, 0.1).item() for x in (rows_BMd, rows_BMd.roll(1, 0)))
    assert right < chance < shuffled


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_finite_differences_in_float64(kind):
    rows_BMd, made_BMd = randn(2, 5, 2, 3), randn(3, 5, 2, 3).requires_grad_()
    assert gradcheck(lambda made: alignment_loss(kind, rows_BMd, made, 0.1, 0.2), (made_BMd,))


@pytest.mark.parametrize("kind", KINDS[1:])
def test_lengths_are_held_by_the_squared_error_alone(kind):
    rows_BMd, made_BMd = randn(4, 6, 2, 5), randn(5, 6, 2, 5)
    blind = [alignment_loss(kind, rows_BMd, c * made_BMd, 0.0, 0.1).item() for c in (1, 7)]
    assert blind[0] == pytest.approx(blind[1])
    parts = alignment_loss(kind, rows_BMd, made_BMd, 0.1, 0.1).item() - blind[0]
    assert parts == pytest.approx(0.1 * reconstruction_loss(rows_BMd, made_BMd).item())


def rows_of_few_features(seed: int, B: int) -> torch.Tensor:
    """Rows made of 6 sparse features with the same directions in both models."""
    generator = torch.Generator().manual_seed(seed)
    z_BF = torch.rand(B, 6, generator=generator) * (torch.rand(B, 6, generator=generator) < 0.3)
    directions_F2d = randn(99, 6, 1, 12).float().repeat(1, 2, 1)
    rows_B2d = torch.einsum("bf,fmd->bmd", z_BF, directions_F2d) + 0.01 * randn(seed, B, 2, 12).float()
    return (rows_B2d - rows_B2d.mean(0)) / rows_B2d.std()


@pytest.mark.parametrize("kind", KINDS)
def test_a_dictionary_learns_by_every_loss(kind):
    """Variance explained on new rows after 200 steps; raw units come from the squared error."""
    recipe = Recipe(latents=24, k=3, steps=200, batch_rows=128, learning_rate=5e-3, alignment=kind)
    training = Training.start(recipe, 2, 12, 0, "cpu")
    for step in range(recipe.steps):
        training.advance(rows_of_few_features(step, 128))
    explained = [point["fve"] for _, point in training.points]
    assert float(explained[-1]) > 0.6 > float(explained[0]) + 0.3


def test_the_compiled_step_and_several_processes_are_for_losses_that_they_know():
    assert {step_made_by("cpu", ALONE, Recipe(alignment=kind)) for kind in KINDS[1:]} == {"torch"}
    several = type("Several", (), {"size": 2})()
    with pytest.raises(ValueError, match="alignment contrastive: rows lie with 2 processes, expected one"):
        Training.start(Recipe(alignment="contrastive"), 2, 4, 0, "cpu", several)


def test_what_was_trained_before_says_nothing_of_its_loss():
    assert not {"alignment", "alignment_mse", "alignment_temperature"} & set(Recipe().model_dump())
    assert Recipe(alignment="cosine").model_dump()["alignment"] == "cosine"
