"""Maps without a dictionary: planted shifts, ridge by hand, projections, edits against the formula, the page."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from crosscoders import random_crosscoder
from matplotlib.text import Text
from synthetic_tables import SETTINGS, sensitivity
from synthetic_tables import maps as invented
from tiny_runs import LAYER, MARKER, N, completions, relative, samples

from rlgen.behaviour.settings import Evaluation
from rlgen.figures import fig9_sensitivity as fig9
from rlgen.figures import mapped as page
from rlgen.figures.variants import readable
from rlgen.interventions.mean_change import Found
from rlgen.interventions.procedure import Chosen
from rlgen.interventions.subjects import OrganismBench
from rlgen.models.checkpoints import save_checkpoint
from rlgen.sensitivity.mapped import COLUMNS, MeasureMaps, changes, maps_table
from rlgen.sensitivity.shift_maps import RIDGE, MapEdits, explained, fit_map, projector
from rlgen.tables import UNEDITED

S = 30
CFG = MeasureMaps(
    seed=3,
    threads=1,
    layer=LAYER,
    positions="completion",
    evaluation=Evaluation(max_new_tokens=N, answer_marker=MARKER),
    models=["base", "rl"],
    members=["base@1", "rl@5"],
    reference="base",
    selection=["max"],
    readout="swap",
    doses=[0.5, 1.0],
    held_out_shards=1,
    bootstrap=100,
    kinds=["ridge", "kernel"],
    units=16,
    steps=20,
)


def randn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_ridge_by_hand_and_as_least_squares_with_further_rows():
    """One coordinate: rows -1 and 1 move by -2 and 2; x has variance 1, so the slope is 2 / (1 + RIDGE)."""
    shift = fit_map("ridge", torch.tensor([[-1.0], [1.0]]), torch.tensor([[-3.0], [3.0]]), 1, 1, 0)
    assert shift.pre(torch.tensor([[1.0], [0.0]])).flatten().tolist() == pytest.approx([2 / (1 + RIDGE), 0])
    h_Nd, tuned_Nd = randn(0, 50, 4) * 3 + 1, randn(1, 50, 4)
    x_Nd, y_Nd = (h_Nd - h_Nd.mean(0)).double().numpy(), (tuned_Nd - h_Nd).double().numpy()
    penalty = np.sqrt(RIDGE * 50 * x_Nd.var(0).mean())
    left, right = np.vstack([x_Nd, penalty * np.eye(4)]), np.vstack([y_Nd - y_Nd.mean(0), np.zeros((4, 4))])
    expected_Nd = x_Nd @ np.linalg.lstsq(left, right, rcond=None)[0] + y_Nd.mean(0)
    made_Nd = fit_map("ridge", h_Nd, tuned_Nd, 1, 1, 0).pre(h_Nd)
    assert made_Nd.numpy() == pytest.approx(expected_Nd, abs=1e-4)


@pytest.mark.parametrize("kind", ["ridge", "mlp", "kernel"])
def test_a_bent_shift_is_found_by_bent_maps_alone(kind):
    """h moves by a matrix and by the length of its first coordinate, which no matrix knows."""
    A_dd = 0.2 * randn(5, 6, 6)

    def moved(h_Nd: torch.Tensor) -> torch.Tensor:
        return h_Nd + h_Nd @ A_dd + 1.5 * h_Nd[:, :1].abs() * torch.eye(6)[3]

    h_Nd, new_Nd = 2 * randn(6, 4000, 6) + 1, 2 * randn(7, 500, 6) + 1
    shift = fit_map(kind, h_Nd, moved(h_Nd), 64, 400, 0)
    share = explained(shift, new_Nd, moved(new_Nd))
    assert share < 0.9 if kind == "ridge" else share > 0.95
    again = fit_map(kind, h_Nd, moved(h_Nd), 64, 400, 0)
    assert torch.equal(shift.pre(new_Nd), again.pre(new_Nd))  # the same bits twice


def test_what_is_explained_by_hand():
    shift = fit_map("ridge", torch.tensor([[-1.0], [1.0]]), torch.tensor([[-1.0], [1.0]]), 1, 1, 0)  # adds nothing
    h_Nd, tuned_Nd = torch.zeros(2, 1), torch.tensor([[1.0], [3.0]])
    assert explained(shift, h_Nd, tuned_Nd) == pytest.approx(1 - (1 + 9) / 2)


def test_projectors_are_onto_the_span_and_nothing_else():
    rows_Fd = torch.tensor([[1.0, 1.0, 0.0], [2.0, 2.0, 0.0]])  # one direction, twice
    assert projector(rows_Fd).flatten().tolist() == pytest.approx([0.5, 0.5, 0, 0.5, 0.5, 0, 0, 0, 0], abs=1e-6)
    assert not projector(torch.zeros(2, 3)).any() and not projector(torch.zeros(0, 3)).any()
    onto_dd = projector(randn(0, 4, 9))
    torch.testing.assert_close(onto_dd @ onto_dd, onto_dd, rtol=1e-4, atol=1e-5)
    assert onto_dd.trace().item() == pytest.approx(4, abs=1e-4)


def test_edits_add_their_part_of_the_map():
    h_BTd = randn(1, 3, 2, 5)
    shift = fit_map("kernel", randn(2, 40, 5), randn(3, 40, 5), 8, 1, 0)
    onto_dd = projector(randn(4, 2, 5))
    edits = MapEdits(shift, torch.stack([torch.eye(5), onto_dd]), torch.tensor([1.0, 0.5])).on("cpu")
    added_BTd = edits.take(torch.tensor([1, 0, 1]))(h_BTd) - h_BTd
    kept = [0.5 * onto_dd, torch.eye(5), 0.5 * onto_dd]
    for b, kept_dd in enumerate(kept):
        torch.testing.assert_close(added_BTd[b], shift.pre(h_BTd[b]) @ kept_dd, rtol=1e-4, atol=1e-5)


def test_changes_are_paired_means_over_tasks_by_hand():
    """Two tasks of two prompts: base is right once in each, the family's two members at other prompts."""
    right = {UNEDITED: ([1, 0], [1, 0]), "on-00": ([1, 1], [1, 0]), "on-01": ([1, 1], [0, 0])}
    rows = pd.DataFrame(
        [
            {"role": "selection", "task": task, "set": name, "sample": f"s{i}", "correct": bool(value)}
            for name, tasks in right.items()
            for task, values in zip("ab", tasks, strict=True)
            for i, value in enumerate(values)
        ]
    )
    [(role, (value, lo, hi))] = changes(rows, 0, 200).items()
    assert role == "selection" and value == pytest.approx((0.5 - 0.25) / 2) and lo <= value <= hi


@pytest.fixture(scope="module")
def measured(tiny_model, tokenizer, tmp_path_factory):
    """The table on a tiny model and its relative, and with nothing chosen."""
    root, d = tmp_path_factory.mktemp("models"), tiny_model.config.hidden_size
    for name, model in (("base", tiny_model), ("rl", relative(tiny_model))):
        save_checkpoint(model, tokenizer, root / name)
    bench = OrganismBench(CFG, {name: root / name for name in ("base", "rl")}, samples())
    crosscoder = replace(random_crosscoder(1, S=S, d=d), members=["base@1", "rl@5"])
    rows_N2d = torch.stack([h := randn(0, 300, d), h + 0.3 * randn(1, 300, d) + 0.5], 1)
    shards = SimpleNamespace(
        split=lambda n: (range(2), range(2, 3)),
        read=lambda part: SimpleNamespace(activations_NMd=rows_N2d[: 100 * len(part)]),
    )
    chosen = Chosen(np.array([1, 4, 9]), np.array([]), np.ones(S, dtype=bool), np.linspace(0, 1, S))
    empty = replace(chosen, latents=np.array([], dtype=np.int64))
    return [maps_table(CFG, shards, Found(crosscoder, c, "swap"), completions(0, d), bench) for c in (chosen, empty)]


def test_the_table_holds_every_map_part_and_role(measured):
    table, empty = measured
    assert list(table.columns) == COLUMNS and list(table["map"].unique()) == ["ridge", "kernel"]
    effects = table[table["quantity"] == "effect"]
    assert effects.groupby("map")["part"].unique().map(list).tolist() == [["whole", "on", "without", "random"]] * 2
    assert effects.groupby(["map", "part"])["role"].nunique().eq(3).all()
    assert effects["dose"].isin(CFG.doses).all() and effects[["value", "lo", "hi"]].notna().all(axis=None)
    beside = table[table["quantity"].isin(["direction", "within"])]
    assert len(beside) == 4 and beside[["chance_lo", "chance", "chance_hi", "p"]].notna().all(axis=None)
    within = table[table["quantity"] == "within"]["value"]
    assert within.between(0, 1).all()
    assert set(empty.loc[empty["quantity"] == "effect", "part"]) == {"whole"}
    assert set(empty["quantity"]) == {"explained", "effect"}


def test_the_page_says_what_the_best_map_does_and_where():
    settings, variants = fig9.Settings.model_validate(SETTINGS["fig9_sensitivity"]), readable(sensitivity())
    figure = page.page_of(settings, invented(), variants)
    text = " ".join(t.get_text() for t in figure.findobj(Text)).replace("\n", " ")
    assert "A map of base's stream (mlp), without a dictionary, adds +.80 on the selection tasks" in text
    assert "+.50 in the set's span alone, +.20 outside it, +.05 in random spans" in text
    assert page.page_of(settings, pd.DataFrame(columns=page.COLUMNS), variants) is None


def test_a_study_without_a_set_has_a_page(measured):
    settings, variants = fig9.Settings.model_validate(SETTINGS["fig9_sensitivity"]), readable(sensitivity())
    assert page.page_of(settings, measured[1], variants.iloc[:0]) is not None
