"""Mediating features: which latents carry what a tuned model does right and its reference does wrong.

Scores of a latent on a set of samples that need no model, and cuts that turn scores into a set. (docs/method.md, 7.)

    activation     E[f_k(h_tuned) - f_k(h_reference)], each model read alone                                    (paper)
    contribution   c_k = E[z_k] <d_k^tuned - d_k^reference, s> / ||s||, s = E[h_tuned - h_reference], z the joint code
    size           E[f_k(h_reference)] ||d_k^tuned - d_k^reference||: the mean length of what an exchange of k adds

E is the mean over the completion tokens of a sample, then over samples; both models read the same text.

Shapes: G groups of samples, T tasks, S latents, N token positions, B rows, d width of the residual stream.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from rlgen.dictionaries.crosscoder import ENDS, Crosscoder, of_ends
from rlgen.names import Readout

ROWS_PER_BATCH = 4096
Cut = Literal["cumulative", "intersection", "top"]


def populations(
    reference_correct: NDArray[np.bool_], tuned_correct: NDArray[np.bool_], critical: Literal["gained", "lost"]
) -> dict[str, NDArray[np.bool_]]:
    """Samples that a set is chosen on, and those it is compared with.

    critical: `gained`, the reference is wrong and the tuned model right (paper); `lost`, the reverse, for a model that
    forgets. noncritical: both right.
    """
    gained = ~reference_correct & tuned_correct
    lost = reference_correct & ~tuned_correct
    return {"critical": gained if critical == "gained" else lost, "noncritical": reference_correct & tuned_correct}


def position_weights(members_GI: NDArray[np.bool_], sample_N: NDArray[np.integer]) -> NDArray[np.float64]:
    """weights_GN such that weights @ x_N is the mean over positions of a sample, then over a group's samples.

    `members_GI` says which of I samples a group holds, `sample_N` which sample a position belongs to. A sample without
    positions counts as absent; a group without samples gets zero weights.
    """
    positions_I = np.bincount(sample_N, minlength=members_GI.shape[1])
    members_GI = members_GI & (positions_I > 0)
    samples_G1 = members_GI.sum(1, keepdims=True)
    weights_GI = members_GI / np.maximum(samples_G1, 1) / np.maximum(positions_I, 1)
    return weights_GI[:, sample_N]


@dataclass
class GroupMeans:
    """Means per group of samples, float64, activations in raw units."""

    code_GS: NDArray[np.float64]  # joint code z
    readout_GS: NDArray[np.float64]  # one-sided code of the tuned model minus that of the reference
    reference_GS: NDArray[np.float64]  # one-sided code of the reference
    shift_Gd: NDArray[np.float64]  # h_tuned - h_reference
    error_Gd: NDArray[np.float64]  # what the joint reconstruction leaves of that shift: e_tuned - e_reference


@torch.no_grad()
def group_means(
    crosscoder: Crosscoder,
    reference_Nd: torch.Tensor,
    tuned_Nd: torch.Tensor,
    weights_GN: NDArray[np.float64],
    readout: Readout,
) -> GroupMeans:
    """Means of codes, shift and reconstruction error under `weights_GN`.

    The dictionary's members between reference and tuned model have not read these texts: see `Crosscoder.complete`.
    """
    device = crosscoder.W_dec_SMd.device
    sums = None
    for start in range(0, len(reference_Nd), ROWS_PER_BATCH):
        rows = slice(start, start + ROWS_PER_BATCH)
        h_B2d = torch.stack([reference_Nd[rows], tuned_Nd[rows]], dim=1).to(device)
        z_BS = crosscoder.encode(crosscoder.complete(h_B2d, readout))
        error_B2d = h_B2d - of_ends(crosscoder.decode(z_BS))
        one = [crosscoder.encode_one(h_B2d[:, i], member, readout) for i, member in enumerate(ENDS)]
        columns = (z_BS, one[1] - one[0], one[0], h_B2d[:, 1] - h_B2d[:, 0], error_B2d[:, 1] - error_B2d[:, 0])
        parts = [weights_GN[:, rows] @ column.double().cpu().numpy() for column in columns]
        sums = parts if sums is None else [a + b for a, b in zip(sums, parts, strict=True)]
    if sums is None:
        raise ValueError("the completions hold no token positions")
    return GroupMeans(*sums)


class Decomposition(NamedTuple):
    """||s|| in parts that add up to it: sum of features_S + bias + error = norm."""

    features_S: NDArray[np.float64]  # the contributions c_k
    bias: float
    error: float
    norm: float


def decompose(
    code_S: NDArray, difference_Sd: NDArray, bias_d: NDArray, error_d: NDArray, shift_d: NDArray
) -> Decomposition:
    """Split the mean shift s into what travels through each latent, the biases and the reconstruction error.

    s = sum_k E[z_k] (d_k^tuned - d_k^reference) + (b^tuned - b^reference) + E[e^tuned - e^reference], each term
    projected on s / ||s||. All in raw units; `difference_Sd` and `bias_d` are differences of decoders and of biases.
    Zeros when the models agree.
    """
    norm = float(np.linalg.norm(shift_d))
    unit_d = shift_d / norm if norm > 0 else np.zeros_like(shift_d)
    return Decomposition(code_S * (difference_Sd @ unit_d), float(bias_d @ unit_d), float(error_d @ unit_d), norm)


def decompositions(crosscoder: Crosscoder, means: GroupMeans) -> list[Decomposition]:
    """The decomposition of every group's shift."""
    raw_S2d = of_ends(crosscoder.decoder_raw_SMd).double().cpu().numpy()
    nothing_1S = torch.zeros(1, crosscoder.n_latents, device=crosscoder.W_dec_SMd.device)
    bias_2d = of_ends(crosscoder.decode(nothing_1S))[0].double().cpu().numpy()
    difference_Sd, bias_d = raw_S2d[:, 1] - raw_S2d[:, 0], bias_2d[1] - bias_2d[0]
    groups = zip(means.code_GS, means.error_Gd, means.shift_Gd, strict=True)
    return [decompose(code_S, difference_Sd, bias_d, error_d, shift_d) for code_S, error_d, shift_d in groups]


def sizes(crosscoder: Crosscoder, means: GroupMeans) -> NDArray[np.float64]:
    """Mean length of what an exchange of each latent adds to the reference at dose 1, raw units (G, S)."""
    raw_S2d = of_ends(crosscoder.decoder_raw_SMd).double().cpu().numpy()
    return means.reference_GS * np.linalg.norm(raw_S2d[:, 1] - raw_S2d[:, 0], axis=1)


def positive_shares(score_S: NDArray, pool_S: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Scores as shares of the pool's positive sum, so that tasks can be averaged; zeros where none is positive."""
    total = score_S[pool_S & (score_S > 0)].sum()
    return score_S / total if total > 0 else np.zeros_like(score_S)


class Kept(NamedTuple):
    """Latents of a list, and the score that bounded it (NaN for an empty list)."""

    kept_S: NDArray[np.bool_]
    threshold: float


def cut_list(score_S: NDArray, pool_S: NDArray[np.bool_], cut: Cut, amount: float) -> Kept:
    """The latents of `pool_S` that one list of scores selects.

    intersection: score > amount * maximum (paper: 0.2). cumulative: the fewest latents whose scores reach `amount` of
    the positive sum. top: the `amount` highest scores, fewer where fewer are positive. For the latter two the threshold
    is the smallest score kept, and ties go to the lower index. Empty where no score is positive.
    """
    score_S = np.where(pool_S, score_S, -np.inf)
    if not (score_S > 0).any():
        return Kept(np.zeros_like(pool_S), float("nan"))
    if cut == "intersection":
        threshold = amount * score_S.max()
        return Kept(score_S > threshold, float(threshold))
    order = np.argsort(-score_S, kind="stable")
    running = np.cumsum(np.maximum(score_S[order], 0))
    n = np.searchsorted(running, amount * running[-1]) + 1 if cut == "cumulative" else int(amount)
    chosen = order[: min(n, int((score_S > 0).sum()))]
    kept_S = np.zeros_like(pool_S)
    kept_S[chosen] = True
    return Kept(kept_S, float(score_S[chosen[-1]]))


def choose(
    share_TS: NDArray, has_samples_T: NDArray[np.bool_], pool_S: NDArray[np.bool_], cut: Cut, amount: float
) -> NDArray[np.bool_]:
    """The mediating set (bool over latents) from the score shares of the selection tasks.

    cumulative, top: cut of the mean over the tasks that have samples. intersection: latents on the list of every task;
    a task without samples has an empty list, and so has the intersection.
    """
    if not has_samples_T.any():
        return np.zeros_like(pool_S)
    if cut != "intersection":
        return cut_list(share_TS[has_samples_T].mean(0), pool_S, cut, amount).kept_S
    lists_TS = [cut_list(s, pool_S, cut, amount).kept_S & has for s, has in zip(share_TS, has_samples_T, strict=True)]
    return np.logical_and.reduce(lists_TS)


def ranked(chosen_S: NDArray[np.bool_], share_TS: NDArray) -> list[int]:
    """The chosen latents by falling mean share."""
    mean_S = share_TS.mean(0)
    return [int(k) for k in np.argsort(-mean_S, kind="stable") if chosen_S[k]]
