"""Causal equivalence: does ablating a latent that looks shared do the same in both models, prompt by prompt?

Both models m = reference, tuned are forced on the same text, the tuned model's answers. Ablating latent k takes its
contribution out of m's stream, h - f_k(h) d_k^m with m's own readout and decoder row, from a prompt's last token on:

    KL_m,k,i = mean over the tokens of answer i of KL(m || m without k), nats

A latent is equivalent as far as KL_reference,k and KL_tuned,k rank and weigh prompts alike: Spearman's and Pearson's
correlation over prompts. Chance: pairs of different latents, which also are alike where some prompts are simply easier
to disturb. (docs/method.md, section 11.)

Shapes: I prompts, K latents, N positions, S latents of the dictionary, d width of the residual stream.
"""

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy.stats import rankdata

from rlgen.activations.completions import Completions
from rlgen.dictionaries.crosscoder import ENDS, Crosscoder
from rlgen.interventions.edits import FeatureEdits
from rlgen.interventions.procedure import ROWS_PER_BATCH, first_prompts
from rlgen.interventions.subjects import OrganismBench
from rlgen.names import Readout
from rlgen.sensitivity.settings import MainInside

SHARED = (0.3, 0.7)  # norm ratios of latents that count as shared, as public code has it
COLUMNS = ["seed", "latent", "frequency_reference", "frequency_tuned", "nrn", "cosine", "prompts"]
COLUMNS += ["kl_reference", "kl_tuned", "pearson", "spearman", "chance", "chance_lo", "chance_hi", "p"]


class MeasureEquivalence(MainInside):
    """The slice that `scripts/sensitivity/measure_equivalence.py` receives."""

    latents: int = Field(ge=3)
    prompts: int = Field(ge=2)


def equivalence_table(
    cfg: MeasureEquivalence,
    crosscoder: Crosscoder,
    features: pd.DataFrame,
    completions: Completions,
    bench: OrganismBench,
) -> pd.DataFrame:
    """COLUMNS, a row per frequent shared latent; none where fewer than three fire in both models."""
    features = features.sort_values("latent")
    frequency_2S = firing_shares(crosscoder, completions, cfg.readout)
    latents = frequent(frequency_2S, shared(features), cfg.latents)
    if len(latents) < 3:
        return pd.DataFrame(columns=COLUMNS)
    chosen = first_prompts(bench.samples, "test", cfg.prompts, cfg.selection)
    kl_2KI = np.stack(list(ablated(cfg, crosscoder, latents, chosen, bench)))
    facts = {
        "seed": cfg.seed,
        "latent": latents,
        "frequency_reference": frequency_2S[0, latents],
        "frequency_tuned": frequency_2S[1, latents],
        "nrn": features["nrn_l1"].to_numpy()[latents],
        "cosine": features["cosine"].to_numpy()[latents],
        "prompts": len(chosen),
        "kl_reference": kl_2KI[0].mean(1),
        "kl_tuned": kl_2KI[1].mean(1),
    }
    return pd.DataFrame(facts | correlations(*kl_2KI)).reindex(columns=COLUMNS)


def shared(features: pd.DataFrame) -> NDArray[np.bool_]:
    """Alive latents with decoders of about the same length in both models (S,)."""
    return features["alive"].to_numpy() & features["nrn_l1"].between(*SHARED, inclusive="neither").to_numpy()


@torch.no_grad()
def firing_shares(crosscoder: Crosscoder, completions: Completions, readout: Readout) -> NDArray[np.float64]:
    """Share of the selection tasks' positions (discovery half) where each model alone fires each latent, (2, S)."""
    kept_N = completions.of_role("selection")
    fired = []
    for h_Nd, member in zip((completions.reference_Nd, completions.tuned_Nd), ENDS, strict=True):
        parts = [
            (crosscoder.encode_one(h_Bd, member, readout) > 0).sum(0) for h_Bd in h_Nd[kept_N].split(ROWS_PER_BATCH)
        ]
        fired.append(sum(parts).double() / max(1, int(kept_N.sum())))
    return torch.stack(fired).numpy()


def frequent(frequency_2S: NDArray, able_S: NDArray[np.bool_], most: int) -> NDArray[np.intp]:
    """The latents of `able_S` that fire most in the model where they fire less, in the order of their numbers."""
    least_S = np.where(able_S, frequency_2S.min(0), 0)
    ranked = np.argsort(-least_S, kind="stable")[:most]
    return np.sort(ranked[least_S[ranked] > 0])


def ablated(
    cfg: MeasureEquivalence, crosscoder: Crosscoder, latents: NDArray[np.intp], chosen: list[int], bench: OrganismBench
):
    """Of the reference, then of the tuned model: KL from itself without each latent on each prompt, nats (K, I)."""
    text = bench.goal(cfg.models[1])
    for state, member in zip(cfg.models, ENDS, strict=True):
        runner = bench.runner(state)
        yield runner.distances(
            len(latents), ablations(crosscoder, member, cfg.readout, latents), chosen, runner.goal(text)
        )


def ablations(crosscoder: Crosscoder, member: int, readout: Readout, latents: NDArray[np.intp]) -> FeatureEdits:
    """Condition k takes out what the k-th of these latents contributes to a member's stream."""
    mask_KS = torch.nn.functional.one_hot(torch.from_numpy(latents), crosscoder.n_latents).bool()
    direction_Sd = -crosscoder.decoder_raw_SMd[:, member]
    return FeatureEdits(crosscoder, member, readout, direction_Sd, mask_KS, torch.ones(len(latents)))


def correlations(reference_KI: NDArray, tuned_KI: NDArray) -> dict[str, NDArray[np.float64]]:
    """Of every latent its correlations over prompts, and what those of pairs of different latents are (Spearman).

    chance: median over the 2 (K - 1) pairs that a latent makes with others; chance_lo, chance_hi: 2.5 and 97.5 %; p:
    share of them that reach its own, which counts as one of them. NaN where a series does not vary.
    """
    K = len(reference_KI)
    ranks = [rankdata(kl_KI, axis=1) for kl_KI in (reference_KI, tuned_KI)]
    spearman_KK = _cross(*ranks)
    own_K = np.diag(spearman_KK)
    others = [np.concatenate([np.delete(spearman_KK[k], k), np.delete(spearman_KK[:, k], k)]) for k in range(K)]
    known = [pairs[np.isfinite(pairs)] for pairs in others]
    lo, middle, hi = np.transpose(
        [np.quantile(pairs, [0.025, 0.5, 0.975]) if len(pairs) else [np.nan] * 3 for pairs in known]
    )
    reach = [(1 + (pairs >= own - 1e-12).sum()) / (1 + len(pairs)) for pairs, own in zip(known, own_K, strict=True)]
    chances = {"chance": middle, "chance_lo": lo, "chance_hi": hi, "p": np.where(np.isfinite(own_K), reach, np.nan)}
    return {"pearson": np.diag(_cross(reference_KI, tuned_KI)), "spearman": own_K} | chances


def _cross(a_KI: NDArray, b_KI: NDArray) -> NDArray[np.float64]:
    """Pearson's correlation of every row of one with every row of the other (K, K); NaN where a row is constant."""
    units = []
    for x_KI in (a_KI, b_KI):
        centred_KI = x_KI - x_KI.mean(1, keepdims=True)
        norm_K1 = np.linalg.norm(centred_KI, axis=1, keepdims=True)
        varies_K1 = norm_K1 > 1e-12 * np.maximum(np.abs(x_KI).max(1, keepdims=True), 1e-300)
        units.append(np.where(varies_K1, centred_KI / np.where(varies_K1, norm_K1, 1), np.nan))
    return units[0] @ units[1].T
