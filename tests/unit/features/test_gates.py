"""Gates: their slopes against finite differences, and a planted sparse set."""

import numpy as np
import pytest
import torch
from exchanges import constant_crosscoder, exchange_of, plain_pair

from rlgen.features.gates import HIGH, LOW, TEMPERATURE, Direction, Gates, hard_concrete, learn_gates, slopes

TEXTS = [([0], [1, 2]), ([1], [0]), ([2, 0], [1, 1, 2])]


def planted(S: int = 12, d: int = 16, seed: int = 0):
    """Models that differ by latents 1, 4 and 7 at dose 1; the other latents' directions are noise of the same size."""
    generator = torch.Generator().manual_seed(seed)
    difference_Sd = 0.4 * torch.randn(S, d, dtype=torch.float64, generator=generator)
    reference_Vd = torch.randn(d, d, dtype=torch.float64, generator=generator)
    tuned_Vd = reference_Vd + difference_Sd[[1, 4, 7]].sum(0)
    crosscoder = constant_crosscoder(difference_Sd)
    pairs = [plain_pair(reference_Vd, tuned_Vd, TEXTS), plain_pair(tuned_Vd, reference_Vd, TEXTS)]
    found = []
    for running, pair in enumerate(pairs):
        exchange = exchange_of(crosscoder, running)
        scale_1B, gate_F = torch.zeros(1, 3, dtype=torch.float64), torch.ones(S, dtype=torch.float64)
        distance = float(pair.run([0, 1, 2], exchange, gate_F, scale_1B, slopes=False).kl_WB.mean())
        found.append(Direction(pair, exchange, distance))
    return found


def test_slopes_by_finite_differences():
    for direction in planted():
        gate_F = torch.rand(12, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        _, by_gate_F, by_log_dose = slopes(direction, [0, 1, 2], gate_F, 0.3)
        step = 1e-6
        for k in (0, 4, 11):
            moved = step * (torch.arange(12) == k)
            ends = [slopes(direction, [0, 1, 2], gate_F + sign * moved, 0.3)[0] for sign in (1, -1)]
            assert by_gate_F[k].item() == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5, abs=1e-8)
        ends = [slopes(direction, [0, 1, 2], gate_F, 0.3 * np.exp(sign * step))[0] for sign in (1, -1)]
        assert by_log_dose.item() == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5)


def test_a_gate_is_shut_and_open_as_often_as_it_says():
    uniform_F = torch.rand(20000, generator=torch.Generator().manual_seed(0))
    for log_odds in (-2.0, 0.0, 1.5):
        gate_F = hard_concrete(torch.full_like(uniform_F, log_odds), uniform_F)
        assert gate_F.min() >= 0 and gate_F.max() <= 1
        open_share = Gates(np.array([log_odds]), 1.0).open_F[0]
        assert (gate_F > 0).float().mean().item() == pytest.approx(open_share, abs=0.01)
        full = 1 - 1 / (1 + np.exp(-(TEMPERATURE * np.log((1 - LOW) / (HIGH - 1)) - log_odds)))
        assert (gate_F == 1).float().mean().item() == pytest.approx(full, abs=0.01)


def test_a_planted_set_is_found_and_a_seed_gives_the_same_gates_again():
    gates = learn_gates(planted(), [0, 1, 2], penalty=0.03, steps=400, samples_per_step=3, seed=5)
    assert set(np.argsort(-gates.log_odds_F)[:3]) == {1, 4, 7}
    again = learn_gates(planted(), [0, 1, 2], penalty=0.03, steps=400, samples_per_step=3, seed=5)
    assert np.array_equal(gates.log_odds_F, again.log_odds_F) and gates.dose == again.dose
