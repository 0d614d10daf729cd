"""Shared latents ablated in both models: correlations by hand, planted twins, edits against a plain forward pass."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from crosscoders import random_crosscoder
from matplotlib.text import Text
from scipy.stats import pearsonr, spearmanr
from synthetic_tables import SETTINGS
from synthetic_tables import equivalence as invented
from tiny_runs import LAYER, MARKER, N, completions, relative, samples

from rlgen.behaviour.settings import Evaluation
from rlgen.figures import equivalence as page
from rlgen.figures import fig9_sensitivity as fig9
from rlgen.interventions.subjects import OrganismBench
from rlgen.models.checkpoints import save_checkpoint
from rlgen.models.hooks import Hook, edited
from rlgen.sensitivity.equivalence import (
    COLUMNS,
    MeasureEquivalence,
    ablated,
    correlations,
    equivalence_table,
    firing_shares,
    frequent,
    shared,
)

S = 12
CFG = MeasureEquivalence(
    seed=3,
    threads=1,
    layer=LAYER,
    positions="completion",
    evaluation=Evaluation(max_new_tokens=N, answer_marker=MARKER),
    models=["base", "rl"],
    reference="base",
    selection=["add", "max", "par"],
    readout="swap",
    latents=5,
    prompts=2,
)


@pytest.fixture(scope="module")
def models(tiny_model):
    return {"base": tiny_model, "rl": relative(tiny_model)}


@pytest.fixture(scope="module")
def crosscoder(tiny_model):
    return replace(random_crosscoder(1, S=S, d=tiny_model.config.hidden_size), members=["base@1", "rl@5"])


def bench_of(models, tokenizer, root) -> OrganismBench:
    for name, model in models.items():
        save_checkpoint(model, tokenizer, root / name)
    return OrganismBench(CFG, {name: root / name for name in models}, samples())


def test_correlations_by_hand_and_against_scipy():
    """Three latents, four prompts: the first two are the same in both models, the third is still in one."""
    reference_KI = np.array([[1.0, 2, 3, 4], [4, 1, 3, 2], [1, 1, 1, 1]])
    tuned_KI = np.array([[10.0, 20, 30, 400], [8, 2, 6, 4], [1, 3, 2, 4]])
    found = correlations(reference_KI, tuned_KI)
    assert found["spearman"][:2] == pytest.approx([1, 1]) and np.isnan(found["spearman"][2])
    assert found["pearson"][0] == pytest.approx(pearsonr(reference_KI[0], tuned_KI[0]).statistic)
    # the first latent's pairs: base's first with rl's second and third, base's second with rl's first
    pairs = [spearmanr(reference_KI[a], tuned_KI[b]).statistic for a, b in ((0, 1), (0, 2), (1, 0))]
    assert found["chance"][0] == pytest.approx(np.median(pairs)) and pairs[1] == pytest.approx(0.8)
    assert found["chance_hi"][0] == pytest.approx(np.quantile(pairs, 0.975))
    assert found["p"][:2] == pytest.approx([1 / 4, 1 / 4]) and np.isnan(found["p"][2])


def test_latents_without_a_common_cause_correlate_as_their_pairs_do():
    rng = np.random.default_rng(0)
    found = correlations(rng.random((40, 200)), rng.random((40, 200)))
    assert abs(found["spearman"].mean()) < 0.03 and abs(found["p"].mean() - 0.5) < 0.1
    easy_I = 3 * rng.random(200)  # prompts that anything disturbs: all correlate, and so do pairs
    found = correlations(easy_I + rng.random((40, 200)), easy_I + rng.random((40, 200)))
    assert found["spearman"].min() > 0.8 and abs(found["p"].mean() - 0.5) < 0.1


def test_a_model_and_its_copy_do_the_same(crosscoder, tiny_model, tokenizer, tmp_path):
    """Planted: decoders alike in both members, and the same weights in both models."""
    alike = replace(
        crosscoder,
        W_dec_SMd=crosscoder.W_dec_SMd[:, :1].expand(-1, 2, -1).clone(),
        mean_Md=crosscoder.mean_Md[:1].expand(2, -1).clone(),
        scale_M=crosscoder.scale_M[:1].expand(2).clone(),
    )
    features = pd.DataFrame({"latent": range(S), "alive": True, "nrn_l1": 0.5, "cosine": 1.0})
    bench = bench_of({"base": tiny_model, "rl": tiny_model}, tokenizer, tmp_path)
    table = equivalence_table(CFG, alike, features, completions(0, crosscoder.d), bench)
    assert list(table.columns) == COLUMNS and len(table) == 5 and set(table["prompts"]) == {6}
    assert table["spearman"].tolist() == pytest.approx([1] * 5) and (table["kl_reference"] > 0).all()
    assert table["kl_reference"].tolist() == pytest.approx(table["kl_tuned"].tolist())


def test_ablations_are_those_of_a_plain_forward_pass(crosscoder, models, tokenizer, tmp_path):
    """KL from itself, token by token, on the tuned model's own answers; the reference is forced on them."""
    bench, chosen, latents = bench_of(models, tokenizer, tmp_path), [0, 3, 5], np.array([2, 7])
    found_2KI = np.stack(list(ablated(CFG, crosscoder, latents, chosen, bench)))
    text = bench.goal("rl")
    for m, name in enumerate(("base", "rl")):
        for column, i in enumerate(chosen):
            n = int(text.mask_NT[i].sum())
            prompt = tokenizer(samples()[i].prompt)["input_ids"]
            ids = torch.tensor([[*prompt, *text.text_NT[i, :n].tolist()]])
            last = len(prompt) - 1
            with torch.no_grad():
                plain_TV = models[name](ids).logits[0, last : last + n].log_softmax(-1)
                for row, k in enumerate(latents):

                    def take_out(h_BTd, k=int(k), m=m, last=last):
                        f_BTS = crosscoder.encode_one(h_BTd.flatten(0, 1), m).view(*h_BTd.shape[:2], S)
                        lost_BTd = f_BTS[..., k, None] * crosscoder.decoder_raw_SMd[k, m]
                        lost_BTd[:, :last] = 0
                        return h_BTd - lost_BTd

                    with edited(models[name], Hook(take_out, LAYER)):
                        without_TV = models[name](ids).logits[0, last : last + n].log_softmax(-1)
                    expected = (plain_TV.exp() * (plain_TV - without_TV)).sum(-1).mean().item()
                    assert found_2KI[m, row, column] == pytest.approx(expected, rel=2e-3, abs=1e-5)


def test_shared_latents_fire_most_where_they_fire_least():
    features = pd.DataFrame({"alive": [True, True, True, False], "nrn_l1": [0.5, 0.7, np.nan, 0.5]})
    assert shared(features).tolist() == [True, False, False, False]
    frequency_2S = np.array([[0.9, 0.2, 0.5, 0.6, 0.0], [0.1, 0.3, 0.5, 0.6, 0.9]])
    able_S = np.array([True, True, True, False, True])
    assert frequent(frequency_2S, able_S, 2).tolist() == [1, 2] and frequent(frequency_2S, able_S, 9).tolist() == [
        0,
        1,
        2,
    ]


def test_firing_is_counted_on_the_selection_tasks(crosscoder):
    data = completions(0, crosscoder.d)
    kept_N = data.of_role("selection")
    expected_S = (crosscoder.encode_one(data.tuned_Nd[kept_N], 1) > 0).double().mean(0).numpy()
    assert firing_shares(crosscoder, data, "swap")[1] == pytest.approx(expected_S)


def test_too_few_latents_make_an_empty_table(crosscoder):
    features = pd.DataFrame({"latent": range(S), "alive": np.arange(S) < 2, "nrn_l1": 0.5, "cosine": 1.0})
    table = equivalence_table(CFG, crosscoder, features, completions(0, crosscoder.d), None)
    assert table.empty and list(table.columns) == COLUMNS
    assert page.page_of(fig9.Settings.model_validate(SETTINGS["fig9_sensitivity"]), table) is None


def test_the_page_says_how_many_do_the_same_and_what_decoders_tell():
    settings, table = fig9.Settings.model_validate(SETTINGS["fig9_sensitivity"]), invented()
    figure = page.page_of(settings, table)
    text = " ".join(t.get_text() for t in figure.findobj(Text)).replace("\n", " ")
    assert "67 % of frequent shared features do the same in both models beyond chance" in text
    rho = spearmanr(*table.loc[table["seed"] == 0, ["cosine", "spearman"]].to_numpy().T).statistic
    assert page.told_by_cosine(table)[0] == pytest.approx(rho)
    assert np.isnan(page.told_by_cosine(table.assign(cosine=1.0))[0])
