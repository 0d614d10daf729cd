"""A procedure's edits: the dose is chosen on the discovery half, controls run on the test half at that dose."""

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from crosscoders import random_crosscoder
from tiny_runs import LAYER, MARKER, N, completions, relative, runner, samples, task_names

from rlgen.activations.completions import Completions
from rlgen.behaviour.evaluator import Evaluator
from rlgen.behaviour.settings import Evaluation
from rlgen.dictionaries.crosscoder import Crosscoder
from rlgen.files import ArtifactError, write_parquet
from rlgen.interventions.controls import role_shift
from rlgen.interventions.edits import FeatureEdits, VectorEdits, directions
from rlgen.interventions.exports import fixed_edit
from rlgen.interventions.procedure import (
    Chosen,
    ProcedureEffects,
    best_dose,
    mean_activation,
    mean_readout,
    member_of,
    moves_away,
    readout_quality,
    same_model,
)
from rlgen.interventions.rivals import FORMS, Rival
from rlgen.interventions.runner import Condition
from rlgen.interventions.runs import COLUMNS, FACTS, read_chosen, run_procedure, run_steering
from rlgen.interventions.subjects import Intervene, OrganismBench, Steer
from rlgen.models.checkpoints import save_checkpoint
from rlgen.models.fixed_edits import FixedEdit

S, DOSES, LATENTS = 40, [0.5, 1.0, 2.0], np.array([3, 8, 11, 17])
INSIDE = {
    "seed": 0,
    "threads": 1,
    "layer": LAYER,
    "positions": "completion",
    "evaluation": Evaluation(max_new_tokens=N, answer_marker=MARKER),
    "reference": "base",
    "selection": ["max"],
    "doses": DOSES,
    "random_directions": 2,
}
INTERVENE = Intervene(
    **INSIDE,
    procedure="ours",
    readout="swap",
    models=["base", "rl"],
    edits={"base": ["exchange", "scale", "add"], "rl": ["exchange", "disable"]},
    tuned="rl",
    away=[],
    random_sets=3,
    readout_variance=-1e9,
)
TEST_HALF = [i for i, s in enumerate(samples()) if s.half == "test"]
STEER = Steer(**INSIDE, models=["base", "rl"], states=["base", "rl"], target="rl", truth_doses=[1.0, 3.0])


def chosen(latents=LATENTS) -> Chosen:
    """Latents 30-39 are dead; NRN falls with the index."""
    return Chosen(np.array(latents, dtype=np.int64), np.array([1, 2, 3]), np.arange(S) < 30, np.linspace(1, 0, S))


@pytest.fixture(scope="module")
def models(tiny_model):
    return {"base": tiny_model, "rl": relative(tiny_model)}


@pytest.fixture(scope="module")
def crosscoder(tiny_model) -> Crosscoder:
    return replace(random_crosscoder(1, S=S, d=tiny_model.config.hidden_size), members=["base@1", "rl@5"])


@pytest.fixture(scope="module")
def effects_of(models, tokenizer, crosscoder):
    """effects_of(state, latents): the edits of one running model; `rl@1` runs on rl's weights."""
    data = completions(0, crosscoder.d)

    @cache
    def make(state: str, latents=tuple(LATENTS)) -> ProcedureEffects:
        goal = runner(models["base" if same_model(state, "rl") else "rl"], tokenizer).goal()
        running = runner(models[state.partition("@")[0]], tokenizer)
        return ProcedureEffects(INTERVENE, crosscoder, chosen(latents), data, running, state, goal)

    return make


@pytest.fixture(scope="module")
def folders(models, tokenizer, tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    for name, model in models.items():
        save_checkpoint(model, tokenizer, root / name)
    return {name: root / name for name in models}


def test_the_best_dose_has_the_least_mean_distance_and_tasks_weigh_the_same():
    """Mean of task means: (1 + 3) / 2 against (2 + 1) / 2; over prompts the first dose would win, 1.5 to 1.75."""
    kl_DI = np.array([[1.0, 1.0, 1.0, 3.0], [2.0, 2.0, 2.0, 1.0]])
    assert best_dose(kl_DI, ["max", "max", "max", "cnt"], [1.0, 2.0]) == 2.0
    assert best_dose(kl_DI, ["max"] * 4, [1.0, 2.0]) == 1.0
    assert best_dose(np.ones((2, 4)), ["max"] * 4, [2.0, 1.0]) == 1.0  # a tie goes to the smaller dose


def test_the_member_of_a_running_state():
    assert member_of("rl@1", ["base@1", "sft@5", "rl@5"]) == 2 and member_of("sft", ["base@1", "sft@5", "rl@5"]) == 1
    assert member_of("sft", ["base@1", "rl@5"]) == 0 and member_of("rl", ["base@1", "rl@4", "rl@5"]) == 2


def test_a_readout_explains_all_of_what_it_decodes_and_nothing_of_noise(crosscoder):
    """Rows that the dictionary itself decodes are explained; where every latent is silent nothing is."""
    h_Nd = torch.randn(50, crosscoder.d, generator=torch.Generator().manual_seed(0))
    back_Nd = crosscoder.decode(crosscoder.encode_one(h_Nd, 0))[:, 0]
    slow = 1 - (h_Nd - back_Nd).double().square().sum() / (h_Nd - h_Nd.mean(0)).double().square().sum()
    assert readout_quality(crosscoder, h_Nd, 0, "swap") == pytest.approx(float(slow), rel=1e-5)
    expected_S = crosscoder.encode_one(h_Nd, 0).mean(0)
    torch.testing.assert_close(mean_readout(crosscoder, h_Nd, 0, "swap"), expected_S)


def test_states_of_one_model():
    assert same_model("rl@1", "rl") and same_model("rl", "rl@5") and same_model("rl", "rl")
    assert not same_model("rl", "rl2") and not same_model("base", "rl@1")


def test_shift_and_mean_activation_are_of_one_roles_tasks(crosscoder):
    data = completions(3, crosscoder.d)
    kept = [i for i, task in enumerate(task_names(data)) if task == "max"]
    expected_d = (data.tuned_Nd[kept] - data.reference_Nd[kept]).mean(0)  # as many positions in every sample
    torch.testing.assert_close(role_shift(data, "selection"), expected_d)
    expected_S = torch.stack([crosscoder.encode_one(data.tuned_Nd[i : i + 1], 1)[0] for i in kept]).mean(0)
    torch.testing.assert_close(mean_activation(data, crosscoder, "swap", "selection"), expected_S)


def test_an_empty_set_gives_an_empty_table_and_says_so(effects_of):
    table, facts = effects_of("base", ()).run("exchange")
    assert table.empty and facts["refused_readout"] == "no set" and facts["set_size"] == 0


def test_a_readout_that_explains_too_little_is_refused_in_words(effects_of, monkeypatch):
    effects = effects_of("base")
    monkeypatch.setattr(effects, "cfg", INTERVENE.model_copy(update={"readout_variance": 0.999}))
    table, facts = effects.run("exchange")
    assert table.empty and "less than 0.999" in facts["refused_readout"]
    assert facts["variance_explained"] == pytest.approx(
        readout_quality(effects.crosscoder, effects.stream_Nd, 0, "swap")
    )


@pytest.mark.parametrize(
    ("state", "kind"), [("base", "exchange"), ("base", "add"), ("rl", "disable"), ("rl@1", "exchange")]
)
def test_one_kind_of_edit(effects_of, state, kind):
    """The set at every dose, every rival in three forms, all of them on the test half; lengths are what they say."""
    effects = effects_of(state)
    table, facts = effects.run(kind)
    assert (table["procedure"] == "ours").all() and (table["state"] == state).all() and (table["edit"] == kind).all()
    test = {s.sample for s in samples() if s.half == "test"}
    assert set(table["sample"]) == test
    curve = table[table["set"] == "selected"]
    assert sorted(curve["dose"].unique()) == DOSES and curve["kl"].notna().all()
    (dose,) = curve.loc[curve["chosen"], "dose"].unique()
    unit = (curve["delta_norm"] / curve["dose"]).iloc[0]
    controls = table[table["set"] != "selected"]
    names = ["random-00", "random-01", "random-02", "nrn", "size", "noncritical", "complement", "alive"]
    names += ["shift-selection", "shift-in_domain", "direction-00", "direction-01"]
    names += [*(f"rotated-{i:02d}" for i in range(3)), "along", "rest"] * (kind == "exchange")
    assert sorted(controls["set"].unique()) == sorted(names) and controls["chosen"].all()
    assert not controls.duplicated(["set", "form", "sample"]).any()
    assert set(controls.groupby("set")["form"].unique().map(set).map(frozenset)) == {frozenset(FORMS)}
    assert (controls.loc[controls["form"] == "set_dose", "dose"] == dose).all()
    np.testing.assert_allclose(controls.loc[controls["form"] == "equal_norm", "delta_norm"], dose * unit, rtol=1e-4)
    assert set(controls.loc[controls["form"] == "own_dose", "dose"]) <= set(DOSES)
    assert facts["random_sets"] == 3 and 12 <= facts["pool"] <= 30 - len(LATENTS) and facts["effective"] >= 1


def test_the_sets_dose_is_least_far_from_the_goal_on_discovery_prompts_of_selection_tasks(effects_of):
    effects = effects_of("base")
    mechanics = effects.mechanics("exchange")
    selected = Rival("selected", LATENTS)
    edits = mechanics.edits([selected] * len(DOSES), DOSES)
    choosing = [i for i, s in enumerate(samples()) if (s.half, s.task) == ("discovery", "max")]
    rows = effects.runner.run([Condition("s", d) for d in DOSES], edits, choosing, effects.goal)
    assert effects._own_doses(mechanics, [selected]) == [rows.groupby("dose")["kl"].mean().idxmin()]


def test_a_family_shares_the_dose_that_suits_its_mean(effects_of):
    effects = effects_of("base")
    mechanics = effects.mechanics("exchange")
    members = [Rival("random-00", LATENTS), Rival("random-01", np.array([1, 2, 4])), Rival("size", LATENTS)]
    first, second, own = effects._own_doses(mechanics, members)
    assert first == second and own == effects._own_doses(mechanics, [Rival("selected", LATENTS)])[0]


@pytest.mark.parametrize(("state", "sign"), [("base", 1), ("rl", -1)])
def test_mean_shift_rivals_point_where_the_edit_points(effects_of, state, sign):
    effects = effects_of(state)
    table, _ = effects.run("exchange")
    for role in ("selection", "in_domain"):
        rows = table[(table["set"] == f"shift-{role}") & (table["form"] == "equal_norm")]
        shift_d = role_shift(effects.completions, role)
        vector_d = sign * rows["delta_norm"].iloc[0] * shift_d / shift_d.norm()
        expected = effects.runner.run([Condition("s", 1.0)], VectorEdits(vector_d[None]), effects.test_half)
        np.testing.assert_allclose(rows["answer_logprob"], expected["answer_logprob"], rtol=1e-4, atol=1e-4)


def test_the_two_parts_of_a_change_add_up_to_it_and_one_lies_along_the_shift(effects_of, crosscoder):
    mechanics = effects_of("base").mechanics("exchange")
    parts = [mechanics.edits([Rival(part, LATENTS, part=part)], [1.0]) for part in ("along", "rest")]
    whole = mechanics.edits([Rival("selected", LATENTS)], [1.0])
    h_BTd = torch.randn(1, 5, crosscoder.d, generator=torch.Generator().manual_seed(1))
    condition = torch.zeros(1, dtype=torch.long)
    along, rest = (edits.on("cpu").delta(condition)(h_BTd) for edits in parts)
    torch.testing.assert_close(along + rest, whole.on("cpu").delta(condition)(h_BTd), rtol=1e-4, atol=1e-5)
    unit_d = mechanics.shift_d / mechanics.shift_d.norm()
    assert (rest @ unit_d).abs().max() < 1e-4 * along.norm()
    torch.testing.assert_close((along @ unit_d)[..., None] * unit_d, along, rtol=1e-4, atol=1e-5)


def test_size_is_what_a_latent_adds_on_task_text_and_names_the_size_only_rival(effects_of, crosscoder):
    effects = effects_of("base")
    candidates = effects.candidates("exchange")
    f_S = crosscoder.encode_one(effects.stream_Nd, 0).mean(0)
    expected_S = f_S * directions(crosscoder, "exchange", True).norm(dim=1)
    np.testing.assert_allclose(candidates.size_S, expected_S, rtol=1e-4, atol=1e-6)
    top = sorted(np.argsort(-candidates.size_S[:30], kind="stable")[: len(LATENTS)])
    assert candidates.top(candidates.size_S).tolist() == top


@pytest.mark.parametrize(("state", "sign", "member"), [("base", 1, 0), ("rl", -1, 1), ("rl@1", -1, 1)])
def test_an_exchange_points_to_the_goal_and_reads_with_the_running_models_statistics(
    effects_of, crosscoder, state, sign, member
):
    edits = effects_of(state).mechanics("exchange").edits([Rival("selected", LATENTS)], [2.0])
    assert isinstance(edits, FeatureEdits) and edits.member == member
    torch.testing.assert_close(edits.direction_Sd, sign * directions(crosscoder, "exchange", True))
    assert edits.mask_CS[0].nonzero().flatten().tolist() == LATENTS.tolist()


def test_add_is_the_mean_activation_in_the_tuned_model_times_the_references_decoder(effects_of, crosscoder):
    effects = effects_of("base")
    edits = effects.mechanics("add").edits([Rival("a", LATENTS), Rival("b", np.array([5]))], [2.0, 1.0])
    assert isinstance(edits, VectorEdits)
    mean_S = mean_activation(effects.completions, crosscoder, "swap", "selection")
    reference_Sd = crosscoder.decoder_raw_SMd[:, 0]
    expected_d = 2 * sum(mean_S[k] * reference_Sd[k] for k in LATENTS)
    torch.testing.assert_close(edits.vector_Cd[0], expected_d)
    torch.testing.assert_close(edits.vector_Cd[1], mean_S[5] * reference_Sd[5])


def test_lengths_are_measured_on_discovery_prompts_of_selection_tasks(effects_of, crosscoder):
    effects, kept = effects_of("base"), torch.zeros(S)
    choosing = [i for i, s in enumerate(samples()) if (s.half, s.task) == ("discovery", "max")]
    assert torch.equal(effects.stream_Nd, effects.runner.stream_on_goal(choosing, effects.goal))
    kept[torch.from_numpy(LATENTS)] = 1
    added_Nd = (crosscoder.encode_one(effects.stream_Nd, 0) * kept) @ directions(crosscoder, "exchange", True)
    (length,) = effects.mechanics("exchange").lengths([Rival("selected", LATENTS)], effects.stream_Nd)
    assert length == pytest.approx(float(added_Nd.norm(dim=1).mean()), rel=1e-5)


def test_a_whole_procedure_runs_every_state_and_edit_and_is_reproducible(folders, crosscoder, effects_of):
    data = completions(0, crosscoder.d)
    bench = OrganismBench(INTERVENE, folders, samples())
    table, facts = run_procedure(INTERVENE, crosscoder, chosen(), data, bench)
    assert facts.columns.tolist() == FACTS and len(facts) == sum(map(len, INTERVENE.edits.values()))
    assert table.columns.tolist() == COLUMNS
    edits = list(dict.fromkeys(zip(table["state"], table["edit"], strict=True)))
    assert edits == [(state, edit) for state, kinds in INTERVENE.edits.items() for edit in kinds]
    keys = ["state", "edit", "set", "form", "dose", "sample"]
    assert not table.duplicated(keys).any() and table[[*keys, "correct", "delta_norm"]].notna().all().all()
    again, _ = run_procedure(INTERVENE, crosscoder, chosen(), data, OrganismBench(INTERVENE, folders, samples()))
    assert table.equals(again)
    for state, kinds in INTERVENE.edits.items():  # each state with its own model, goal and direction
        alone = effects_of(state).run(kinds[0])[0].reindex(columns=COLUMNS)
        part = table[(table["state"] == state) & (table["edit"] == kinds[0])].reset_index(drop=True)
        pd.testing.assert_frame_equal(part, alone, check_dtype=False)


def test_a_procedure_without_a_set_has_a_table_without_rows(folders, crosscoder, tmp_path):
    table, facts = run_procedure(
        INTERVENE, crosscoder, chosen([]), completions(0, crosscoder.d), OrganismBench(INTERVENE, folders, samples())
    )
    assert len(table) == 0 and table.columns.tolist() == COLUMNS and set(facts["refused_readout"]) == {"no set"}
    write_parquet(tmp_path / "empty.parquet", table)


@pytest.mark.parametrize("planted", [True, False])
def test_steering(folders, crosscoder, models, tokenizer, planted):
    data = completions(0, crosscoder.d)
    truth_d = 3 * torch.eye(crosscoder.d)[0] if planted else None
    table = run_steering(STEER, truth_d, data, OrganismBench(STEER, folders, samples()))
    assert table.columns.tolist() == COLUMNS and (table["procedure"] == "steering").all()
    names = ["none", *["truth"] * planted, "shift-selection", "shift-in_domain", "direction"]
    assert table["edit"].unique().tolist() == names
    assert not table.duplicated(["state", "set", "dose", "sample"]).any()
    none = table[table["edit"] == "none"]
    for state, away in (("base", False), ("rl", True)):
        goal = runner(models["base" if away else "rl"], tokenizer).goal()
        unedited = runner(models[state], tokenizer)
        plain = unedited.evaluator.score(models[state])
        assert none[none["state"] == state]["answer_logprob"].tolist() == pytest.approx(
            plain.answer_logprob_B.tolist(), rel=1e-5
        )

        first, own = ("truth", 3.0) if planted else ("shift-selection", float(role_shift(data, "selection").norm()))
        curve = table[(table["edit"] == first) & (table["state"] == state)]
        np.testing.assert_allclose(curve["delta_norm"], own * curve["dose"], rtol=1e-5)
        dose = set(curve.loc[curve["chosen"], "dose"])
        assert len(dose) == 1
        random = table[(table["edit"] == "direction") & (table["state"] == state)]
        assert set(random["dose"]) == dose and set(random["set"]) == {"direction-00", "direction-01"}
        np.testing.assert_allclose(random["delta_norm"], own * dose.pop(), rtol=1e-5)
        assert set(random["half"]) == {"test"}

        vector_d = role_shift(data, "in_domain") * (-1 if away else 1)  # away in the target
        shift = table[(table["edit"] == "shift-in_domain") & (table["state"] == state)]
        again = unedited.run([Condition("s", 2.0)], VectorEdits(2 * vector_d[None]), TEST_HALF, goal)
        np.testing.assert_allclose(shift.loc[shift["dose"] == 2.0, "kl"], again["kl"], rtol=1e-4)


def test_the_ceiling_of_steering_is_the_unedited_model_behind_the_header(folders, crosscoder, models, tokenizer):
    """The header that asks for the goal, in front of every prompt; KL to the goal on its own text."""
    cfg = STEER.model_copy(update={"headers": {"towards": "[book]", "away": "[chat]"}})
    table = run_steering(cfg, None, completions(0, crosscoder.d), OrganismBench(cfg, folders, samples()))
    plain = run_steering(STEER, None, completions(0, crosscoder.d), OrganismBench(STEER, folders, samples()))
    pd.testing.assert_frame_equal(table[table["edit"] != "header"].reset_index(drop=True), plain)
    for state, goal, header in (("base", "rl", "[book]"), ("rl", "base", "[chat]")):
        rows = table[(table["edit"] == "header") & (table["state"] == state)]
        assert set(rows["set"]) == {"header"} and rows["chosen"].all()
        test = [s for s in samples() if s.half == "test"]
        assert list(rows["sample"]) == [s.sample for s in test]
        headed = [replace(s, prompt=f"{header} {s.prompt}") for s in test]
        scores = Evaluator(headed, tokenizer, N, ";", 100).score(models[state])
        assert rows["correct"].tolist() == scores.correct_B.tolist()
        assert rows["answer_logprob"].tolist() == pytest.approx(scores.answer_logprob_B.tolist(), rel=1e-4)
        behaviour = runner(models[goal], tokenizer).goal()
        for i in (0, 5):
            place = TEST_HALF[i]
            text_T = behaviour.text_NT[place][behaviour.mask_NT[place]]
            prompt = tokenizer(headed[i].prompt)["input_ids"]
            ids = torch.tensor([[*prompt, *text_T.tolist()]])
            with torch.inference_mode():
                logprob_TV = models[state](ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
            goal_TV = behaviour.logprob_NTV[place, : len(text_T)]
            expected = float((goal_TV.exp() * (goal_TV - logprob_TV)).sum(-1).mean())
            assert rows["kl"].iloc[i] == pytest.approx(expected, rel=1e-3)


def test_files_come_back_as_what_they_hold(tmp_path, crosscoder):
    features = pd.DataFrame({"latent": [2, 0, 1], "frequency": [0.2, 0.0, 0.1], "alive": [True, False, True]})
    write_parquet(tmp_path / "features.parquet", features.assign(nrn_l1=[0.7, 0.5, 0.6]))
    (tmp_path / "set.json").write_text(json.dumps({"latents": [2, 1], "noncritical": [0]}))
    found = read_chosen(tmp_path / "set.json", tmp_path / "features.parquet")
    assert found.latents.tolist() == [1, 2] and found.noncritical.tolist() == [0]
    assert found.alive_S.tolist() == [False, True, True] and found.nrn_S.tolist() == [0.5, 0.6, 0.7]

    data = completions(1, 4)
    data.save(tmp_path / "completions.safetensors")
    again = Completions.load(tmp_path / "completions.safetensors")
    assert task_names(again) == task_names(data) and again.role_of == data.role_of
    assert torch.equal(role_shift(again, "selection"), role_shift(data, "selection"))


def test_every_set_of_the_table_can_stand_alone_at_its_own_dose(effects_of, crosscoder, tmp_path):
    effects = effects_of("base")
    table, _ = effects.run("exchange")
    table = table.assign(chosen=table["chosen"].astype(bool))
    names = ["selected", "size", "random-01", "rotated-00", "along", "alive", "shift-in_domain", "direction-00"]
    for name in names:
        fixed_edit(effects, table, name).save(tmp_path / "edit.safetensors")
        again = FixedEdit.load(tmp_path / "edit.safetensors")
        assert (again.layer, again.everywhere, again.set) == (effects.runner.layer, False, name)
        own = table[(table["set"] == name) & (table["form"] == "own_dose") & table["chosen"]]
        assert again.dose == own["dose"].unique().item()
        added_Nd = again.change(effects.stream_Nd[None])[0]  # as long as the table says, and so the same set
        assert float(added_Nd.norm(dim=1).mean()) == pytest.approx(own["delta_norm"].iloc[0], rel=1e-4)
    with pytest.raises(ArtifactError, match="no set nowhere, expected one of selected"):
        fixed_edit(effects, table, "nowhere")
    with pytest.raises(ArtifactError, match="no set, so that no edit of base can be trained towards"):
        fixed_edit(effects_of("base", ()), table, "selected")


def test_a_set_is_taken_out_of_a_model_that_the_study_moves_away(effects_of, models, tokenizer, crosscoder):
    """As out of the tuned model itself: towards the reference, which is its goal."""
    cfg = INTERVENE.model_copy(update={"away": ["dpo"]})
    assert moves_away(cfg, "dpo") and moves_away(cfg, "rl@1") and not moves_away(cfg, "base")
    goal = runner(models["base"], tokenizer).goal()
    arm = ProcedureEffects(
        cfg, crosscoder, chosen(), completions(0, crosscoder.d), runner(models["rl"], tokenizer), "dpo", goal
    )
    tuned = effects_of("rl")
    assert not arm.towards_tuned and arm.member == 0  # no member of the dictionary: read as the reference
    for part in ("whole", "along"):
        assert torch.equal(arm.mechanics("exchange").directions(part), tuned.mechanics("exchange").directions(part))
