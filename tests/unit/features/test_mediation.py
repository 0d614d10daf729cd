"""Scores, cuts, sets and overlaps of mediating features."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from crosscoders import random_crosscoder
from hypothesis import given, settings
from hypothesis import strategies as st

from rlgen.activations.completions import Completions
from rlgen.dictionaries.member_maps import fit_maps
from rlgen.features.mediation import (
    choose,
    cut_list,
    decompose,
    decompositions,
    group_means,
    populations,
    position_weights,
    positive_shares,
    ranked,
    sizes,
)
from rlgen.features.selection import ScoreFeatures, gather_evidence, mediating_set, overlap_table, score_table
from rlgen.files import canonical_json

seeds = st.integers(0, 10**6)


def test_populations_by_hand():
    reference, tuned = np.array([0, 0, 1, 1], bool), np.array([0, 1, 0, 1], bool)
    gained = populations(reference, tuned, "gained")
    assert gained["critical"].tolist() == [False, True, False, False]
    assert populations(reference, tuned, "lost")["critical"].tolist() == [False, False, True, False]
    assert gained["noncritical"].tolist() == [False, False, False, True]


def test_weights_are_a_mean_over_positions_then_samples():
    sample_N = np.array([0, 0, 0, 1, 2])
    weights_GN = position_weights(np.array([[1, 1, 0, 1], [0, 0, 0, 1]], bool), sample_N)  # sample 3 has no positions
    assert weights_GN.tolist() == [pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2, 0]), [0] * 5]
    assert weights_GN[0] @ [3, 6, 9, 10, 99] == pytest.approx((6 + 10) / 2)


def test_decomposition_by_hand():
    """s = (3, 4): latent 0 adds 2 * (1, 1), latent 1 nothing, bias (1, 0), error (0, 2)."""
    parts = decompose(
        np.array([2.0, 5.0]),
        np.array([[1.0, 1.0], [0.0, 0.0]]),
        np.array([1.0, 0]),
        np.array([0, 2.0]),
        np.array([3.0, 4.0]),
    )
    assert parts.norm == 5 and parts.features_S.tolist() == [pytest.approx(2.8), 0]
    assert (parts.bias, parts.error) == pytest.approx((0.6, 1.6))
    nothing = decompose(np.ones(2), np.ones((2, 2)), np.ones(2), np.ones(2), np.zeros(2))
    assert (nothing.norm, nothing.bias, nothing.error, nothing.features_S.tolist()) == (0, 0, 0, [0, 0])


def random_groups(seed: int, N: int = 40, d: int = 5):
    rng = np.random.default_rng(seed)
    reference_Nd = torch.from_numpy(rng.normal(size=(N, d))).float()
    tuned_Nd = reference_Nd + torch.from_numpy(rng.normal(0.3, 1, size=(N, d))).float()
    return reference_Nd, tuned_Nd, rng.integers(0, 8, size=N), rng.random((3, 8)) > 0.5


@settings(max_examples=25, deadline=None)
@given(seeds, st.booleans())
def test_features_bias_and_error_add_up_to_the_shift(seed, thresholded):
    crosscoder = random_crosscoder(seed, threshold=2.0 if thresholded else None)
    reference_Nd, tuned_Nd, sample_N, members_GI = random_groups(seed)
    means = group_means(crosscoder, reference_Nd, tuned_Nd, position_weights(members_GI, sample_N), "swap")
    for part in decompositions(crosscoder, means):
        assert part.features_S.sum() + part.bias + part.error == pytest.approx(part.norm, abs=1e-4)


@pytest.mark.parametrize("readout", ["swap", "own"])
@pytest.mark.parametrize("rows", [3, 4096])
def test_means_match_a_plain_loop(readout, rows, monkeypatch):
    monkeypatch.setattr("rlgen.features.mediation.ROWS_PER_BATCH", rows)
    crosscoder = random_crosscoder(5)
    reference_Nd, tuned_Nd, sample_N, members_GI = random_groups(5)
    means = group_means(crosscoder, reference_Nd, tuned_Nd, position_weights(members_GI, sample_N), readout)
    raw_SMd = crosscoder.decoder_raw_SMd.double().numpy()
    parts = decompositions(crosscoder, means)
    for g, members_I in enumerate(members_GI):
        codes, scores, shifts = [], [], []
        for i in np.flatnonzero(members_I):
            at = np.flatnonzero(sample_N == i)
            if len(at) == 0:
                continue
            pair = [torch.stack([reference_Nd[n], tuned_Nd[n]]) for n in at]
            codes.append(np.mean([crosscoder.encode(p[None])[0].double().numpy() for p in pair], axis=0))
            one = [[crosscoder.encode_one(p[m : m + 1], m, readout)[0].double().numpy() for m in (0, 1)] for p in pair]
            scores.append(np.mean([b - a for a, b in one], axis=0))
            shifts.append(np.mean([(p[1] - p[0]).double().numpy() for p in pair], axis=0))
        code_S, shift_d = np.mean(codes, axis=0), np.mean(shifts, axis=0)
        assert means.code_GS[g] == pytest.approx(code_S, abs=1e-5)
        assert means.readout_GS[g] == pytest.approx(np.mean(scores, axis=0), abs=1e-5)
        for k in range(crosscoder.n_latents):
            difference_d = raw_SMd[k, 1] - raw_SMd[k, 0]
            expected = code_S[k] * sum(difference_d * shift_d) / math.sqrt(sum(shift_d**2))
            assert parts[g].features_S[k] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("readout", ["swap", "mapped"])
def test_a_member_between_changes_no_sum(readout):
    """The parts add up to the shift for three members, too, and scores are those of the first and the last one."""
    crosscoder = random_crosscoder(5, M=3, threshold=2.0)
    reference_Nd, tuned_Nd, sample_N, members_GI = random_groups(5)
    crosscoder.maps = fit_maps([torch.stack([reference_Nd, tuned_Nd.flip(1), tuned_Nd], 1)])
    weights_GN = position_weights(members_GI, sample_N)
    means = group_means(crosscoder, reference_Nd, tuned_Nd, weights_GN, readout)
    read = [crosscoder.encode_one(h_Nd, m, readout).double().numpy() for m, h_Nd in ((0, reference_Nd), (2, tuned_Nd))]
    assert means.readout_GS == pytest.approx(weights_GN @ (read[1] - read[0]), abs=1e-5)
    for part in decompositions(crosscoder, means):
        assert part.features_S.sum() + part.bias + part.error == pytest.approx(part.norm, abs=1e-4)
    raw_SMd = crosscoder.decoder_raw_SMd.double()
    norm_S = (raw_SMd[:, 2] - raw_SMd[:, 0]).norm(dim=1).numpy()
    assert sizes(crosscoder, means) == pytest.approx(weights_GN @ read[0] * norm_S, abs=1e-5)


POOL = np.array([True, True, True, True, False])


def test_cuts_by_hand():
    score_S = np.array([4.0, 1.0, 3.0, -2.0, 100.0])  # the last is dead
    kept = cut_list(score_S, POOL, "intersection", 0.5)
    assert kept.kept_S.tolist() == [True, False, True, False, False] and kept.threshold == 2.0
    assert cut_list(score_S, POOL, "intersection", 0.75).kept_S.tolist() == [
        True,
        False,
        False,
        False,
        False,
    ]  # strictly
    kept = cut_list(score_S, POOL, "cumulative", 0.8)  # positive sum 8, wanted 6.4: 4 + 3
    assert kept.kept_S.tolist() == [True, False, True, False, False] and kept.threshold == 3.0
    assert cut_list(score_S, POOL, "cumulative", 0.5).kept_S.sum() == 1  # exactly reached
    assert cut_list(score_S, POOL, "cumulative", 0.99).kept_S.sum() == 3
    kept = cut_list(score_S, POOL, "top", 2)
    assert kept.kept_S.tolist() == [True, False, True, False, False] and kept.threshold == 3.0
    assert cut_list(score_S, POOL, "top", 9).kept_S.sum() == 3  # a score that is not positive is never chosen
    assert cut_list(np.ones(5), POOL, "top", 2).kept_S.tolist() == [True, True, False, False, False]  # ties
    for cut in ("intersection", "cumulative", "top"):
        kept = cut_list(-np.abs(score_S), POOL, cut, 0.5)
        assert not kept.kept_S.any() and math.isnan(kept.threshold)
    assert positive_shares(score_S, POOL).tolist() == [0.5, 0.125, 0.375, -0.25, 12.5]
    assert positive_shares(-score_S[:1], POOL[:1]).tolist() == [0]


@settings(max_examples=50, deadline=None)
@given(seeds, st.floats(0.05, 0.95))
def test_the_cumulative_cut_is_the_smallest_that_reaches_the_share(seed, share):
    rng = np.random.default_rng(seed)
    score_S, pool_S = rng.normal(size=15), rng.random(15) > 0.2
    kept_S, threshold = cut_list(score_S, pool_S, "cumulative", share)
    positive = sorted((s for s, p in zip(score_S, pool_S, strict=True) if p and s > 0), reverse=True)
    if not positive:
        assert not kept_S.any()
        return
    n = next(i for i in range(1, len(positive) + 1) if sum(positive[:i]) >= share * sum(positive) - 1e-12)
    assert kept_S.sum() == n and threshold == positive[n - 1] and not (kept_S & ~pool_S).any()


def test_sets_from_tasks_by_hand():
    share_TS = np.array([[0.6, 0.4, 0.0, 0.0, 0.0], [0.0, 0.5, 0.5, 0.0, 0.0], [0.9, 0.9, 0.9, 0.9, 0.9]])
    present = np.array([True, True, False])
    assert ranked(choose(share_TS, present, POOL, "cumulative", 0.7), share_TS[:2]) == [1, 0]  # means .3 .45 .25
    assert ranked(choose(share_TS[:2], present[:2], POOL, "intersection", 0.2), share_TS[:2]) == [1]
    assert not choose(share_TS, present, POOL, "intersection", 0.2).any()  # a task without samples has no list
    assert ranked(choose(share_TS, present, POOL, "top", 2), share_TS[:2]) == [1, 0]
    assert not choose(share_TS, np.zeros(3, bool), POOL, "cumulative", 0.7).any()


# From a completions file to the tables of scripts/features/score_features.py.

CFG = dict(score="contribution", cut="cumulative", cut_share=0.8, cut_count=None, readout="swap", critical="gained",
           tasks=["max", "cnt", "dir"], random_draws=50, seed=0, threads=1)  # fmt: skip


def some_completions(reference_right: float = 0.3, tuned_right: float = 0.9) -> Completions:
    """Three selection tasks and an unseen one, 12 samples each of 1 to 4 positions."""
    rng, samples = np.random.default_rng(4), 48
    sample_N = np.repeat(np.arange(samples), rng.integers(1, 5, size=samples))
    reference_Nd = rng.normal(size=(len(sample_N), 5)).astype(np.float32)
    tuned_Nd = (reference_Nd + [1, 0, 0, 0.5, 0] + 0.1 * rng.normal(size=reference_Nd.shape)).astype(np.float32)
    return Completions(
        *(torch.from_numpy(x) for x in (reference_Nd, tuned_Nd, sample_N, np.zeros_like(sample_N))),
        samples=[f"sample{i}" for i in range(samples)],
        tasks=["max", "cnt", "dir", "par"],
        role_of={},
        sample_task_I=np.arange(samples) % 4,
        reference_correct_I=rng.random(samples) < reference_right,
        tuned_correct_I=rng.random(samples) < tuned_right,
    )


def feature_table(S: int) -> pd.DataFrame:
    rng = np.random.default_rng(6)
    return pd.DataFrame({"alive": np.arange(S) % 5 != 0, "frequency": rng.random(S), "difference_norm": rng.random(S),
                         "decoder_norm_1": rng.random(S)})  # fmt: skip


@pytest.mark.parametrize("score", ["contribution", "activation", "size"])
@pytest.mark.parametrize("cut", ["cumulative", "intersection", "top"])
def test_tables_agree_with_one_another(score, cut):
    share = 0.2 if cut == "intersection" else 0.8
    cfg = ScoreFeatures(
        **CFG | {"score": score, "cut": cut, "cut_share": share, "cut_count": 5 if cut == "top" else None}
    )
    crosscoder, features = random_crosscoder(8, S=40), feature_table(40)
    alive_S = features["alive"].to_numpy()
    evidence = gather_evidence(crosscoder, some_completions(), alive_S, cfg)
    scores = score_table(evidence, alive_S, cfg)
    chosen = mediating_set(evidence, alive_S, cfg)
    overlap = overlap_table(evidence, features, crosscoder.free_S.numpy(), cfg)
    json.loads(canonical_json(chosen))  # no NaN, plain types

    assert len(scores) == 2 * 3 * 3 * 40 and set(scores["task"]) == set(cfg.tasks)  # an unseen task chooses nothing
    used = scores[(scores["population"] == "critical") & (scores["score_name"] == score)]
    assert not scores[scores["score_name"] != score]["kept"].any()
    assert not used.loc[used["kept"], "latent"].isin(np.flatnonzero(~alive_S)).any()
    for task, rows in used.groupby("task"):
        part = chosen["tasks"][task]
        assert sorted(part["latents"]) == rows.loc[rows["kept"], "latent"].tolist()
        shares = [part[f"{name}_share"] for name in ("features", "bias", "error")]
        assert sum(shares) == pytest.approx(1, abs=1e-4)
        limit = rows["threshold"].iloc[0]
        above = rows["score"] > limit if cut == "intersection" else rows["score"] >= limit
        assert (rows["kept"].to_numpy() == (above & alive_S).to_numpy()).all()
    if cut == "intersection":
        lists = [set(chosen["tasks"][task]["latents"]) for task in cfg.tasks]
        assert set(chosen["latents"]) == set.intersection(*lists)
    contribution = scores[(scores["population"] == "critical") & (scores["score_name"] == "contribution")]
    carried = contribution[contribution["latent"].isin(chosen["latents"])].groupby("task")["score_share"].sum()
    for name in ("carried", "features", "bias", "error"):
        mean = np.mean([chosen["tasks"][task][f"{name}_share"] for task in cfg.tasks])
        assert chosen[f"{name}_share"] == pytest.approx(mean)
    assert chosen["carried_share"] == pytest.approx(carried.reindex(cfg.tasks, fill_value=0).mean())
    assert set(chosen["without"]) == set(cfg.tasks) and not set(chosen["latents"]) & set(np.flatnonzero(~alive_S))
    assert overlap.groupby("population").size().tolist() == [7, 7]


def test_empty_critical_set_is_noted_not_fatal():
    completions = some_completions(tuned_right=0.0)
    features, crosscoder = feature_table(10), random_crosscoder(8, S=10)
    alive_S = features["alive"].to_numpy()
    for cut in ("cumulative", "intersection"):
        cfg = ScoreFeatures(**CFG | {"cut": cut})
        evidence = gather_evidence(crosscoder, completions, alive_S, cfg)
        chosen = mediating_set(evidence, alive_S, cfg)
        assert chosen["latents"] == [] and chosen["critical"] == dict.fromkeys(cfg.tasks, 0)
        assert "no critical samples on any selection task" in chosen["note"] and chosen["carried_share"] is None
        canonical_json(chosen)
        assert (overlap_table(evidence, features, crosscoder.free_S.numpy(), cfg)["p"] == 1).all()
        assert not score_table(evidence, alive_S, cfg)["kept"].any()


def test_one_task_without_critical_samples():
    completions = some_completions()
    completions.tuned_correct_I[completions.sample_task_I == 1] = False
    crosscoder, alive_S = random_crosscoder(8, S=10), np.ones(10, bool)
    results = {}
    for cut in ("cumulative", "intersection"):
        cfg = ScoreFeatures(**CFG | {"cut": cut})
        results[cut] = mediating_set(gather_evidence(crosscoder, completions, alive_S, cfg), alive_S, cfg)
    assert results["cumulative"]["latents"] and results["cumulative"]["note"] is None
    assert results["cumulative"]["critical"]["cnt"] == 0
    assert results["intersection"]["latents"] == [] and "no critical samples on cnt" in results["intersection"]["note"]


def test_no_alive_latents_and_unknown_tasks():
    completions, crosscoder = some_completions(), random_crosscoder(8, S=10)
    dead_S = np.zeros(10, bool)
    chosen = mediating_set(
        gather_evidence(crosscoder, completions, dead_S, ScoreFeatures(**CFG)), dead_S, ScoreFeatures(**CFG)
    )
    assert chosen["latents"] == [] and "no latent with a positive score" in chosen["note"]
    with pytest.raises(ValueError, match="tasks let: no completions"):
        gather_evidence(crosscoder, completions, dead_S, ScoreFeatures(**CFG | {"tasks": ["max", "let"]}))


def test_size_is_the_mean_length_of_what_an_exchange_adds():
    completions, crosscoder = some_completions(), random_crosscoder(8, S=10)
    evidence = gather_evidence(crosscoder, completions, np.ones(10, bool), ScoreFeatures(**CFG))
    critical_I = ~completions.reference_correct_I & completions.tuned_correct_I
    raw_S2d = crosscoder.decoder_raw_SMd
    for t in range(3):
        added = []
        for i in np.flatnonzero(critical_I & (completions.sample_task_I == t)):
            f_NS = crosscoder.encode_one(completions.reference_Nd[completions.sample_N == i], 0)
            added.append((f_NS[..., None] * (raw_S2d[:, 1] - raw_S2d[:, 0])).norm(dim=-1).mean(0))
        assert evidence["critical"].score_TS["size"][t] == pytest.approx(torch.stack(added).mean(0).numpy(), rel=1e-4)


def by_cause(alive_S, joint: bool) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Tables as the jobs write them: alive latents only, both populations, tasks that do not choose among them."""
    rng, latents = np.random.default_rng(3), np.flatnonzero(alive_S)
    rows = [
        pd.DataFrame({"population": p, "task": t, "latent": latents, "attribution": rng.normal(size=len(latents))})
        for p in ("critical", "noncritical", "all")
        for t in ("add", "max", "cnt", "dir")
    ]
    ranks = [
        pd.DataFrame({"population": p, "latent": latents, "score": 1 - rng.permutation(len(latents)) / len(latents)})
        for p in ("critical", "noncritical")
    ]
    return pd.concat(rows), pd.concat(ranks) if joint else None


@pytest.mark.parametrize("score", ["attribution", "elimination", "gates"])
def test_scores_by_cause_choose_among_alive_latents(score):
    cfg = ScoreFeatures(**CFG | {"score": score, "cut": "top", "cut_count": 4})
    crosscoder, features = random_crosscoder(8, S=40), feature_table(40)
    alive_S = features["alive"].to_numpy()
    scored, joint = by_cause(alive_S, joint=score != "attribution")
    evidence = gather_evidence(crosscoder, some_completions(), alive_S, cfg, scored, joint)
    chosen = mediating_set(evidence, alive_S, cfg)
    canonical_json(chosen)
    attribution = scored[scored["population"] == "critical"]
    for task in cfg.tasks:  # every task's own list is by attribution
        rows = attribution[attribution["task"] == task].nlargest(4, "attribution")
        assert sorted(chosen["tasks"][task]["latents"]) == sorted(rows["latent"])
    for name, found in (("critical", chosen["latents"]), ("noncritical", chosen["noncritical"])):
        if joint is not None:
            rows = joint[joint["population"] == name].nlargest(4, "score")
            assert found == rows["latent"].tolist() and chosen["without"] == {}
        else:
            rows = scored[scored["population"] == name]
            wide = rows[rows["task"].isin(cfg.tasks)].pivot(index="task", columns="latent", values="attribution")
            shares = wide.div(wide.clip(lower=0).sum(axis=1), axis=0).mean()
            assert found == shares.nlargest(4).index.tolist() and set(chosen["without"]) == set(cfg.tasks)
    scores = score_table(evidence, alive_S, cfg)
    kept = scores[(scores["population"] == "critical") & scores["kept"]]
    assert set(kept["score_name"]) == {"attribution"} and len(kept) == 12
    dead = scores[(scores["score_name"] == "attribution") & ~alive_S[scores["latent"]]]
    assert (dead["score"] == 0).all() and not dead["kept"].any()
    assert len(overlap_table(evidence, features, crosscoder.free_S.numpy(), cfg)) == 14
