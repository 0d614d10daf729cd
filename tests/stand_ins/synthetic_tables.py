"""Tidy tables with the columns of a real study and invented numbers, for the tests of figures and tables."""

from itertools import combinations, product

import numpy as np
import pandas as pd

SEEDS = (0, 1, 2)
LATENTS = 96
TASKS = {"in_domain": ["add"], "selection": ["max", "cnt", "dir", "let", "cup"], "unseen": ["par", "mix"]}
PAGE = {"study": "synthetic", "roles": {"reference": "base", "target": "rl", "contrast": "sft"}}
EXCHANGE = {state: ["exchange"] for state in ("base", "rl", "rl@1", "sft")}
CUMULATIVE = {"score": "contribution", "cut": "cumulative", "cut_share": 0.8}
INTERSECTION = {"score": "activation", "cut": "intersection", "cut_share": 0.2}
PUBLISHED = {"base": ["scale", "add"], "rl": ["disable"], "rl@1": ["disable"]}
PROCEDURES = {
    "contribution": {"dictionary": "base-rl", "recipe": "batchtopk", "edits": EXCHANGE} | CUMULATIVE,
    "dedicated": {"dictionary": "base-rl", "recipe": "shared-latents", "edits": EXCHANGE} | CUMULATIVE,
    "published": {"dictionary": "base-rl", "recipe": "l1-own", "edits": PUBLISHED} | INTERSECTION,
    "forgetting": {"dictionary": "base-sft", "recipe": "batchtopk", "edits": {"sft": ["exchange"]}} | CUMULATIVE,
}
RECIPES = {"l1": "L1", "batchtopk": "BatchTopK"}
PAIRS = {"base-sft": "sft", "base-rl": "rl"}
MODELS = ["base", "sft", "rl", "more"]
VARIANTS = {
    "main": "elimination",
    "target": "rl",
    "factors": {
        "dictionary-seed": {"seed-1": "replicate 1"},
        "size": {"size-64": "latents 64", "size-512": "latents 512"},
        "objective": {"lasso": "objective l1"},
        "null-dictionary": {"permuted": "dictionary null-permuted"},
    },
    "replicates": ["seed-1"],
    "nulls": ["permuted"],
    "margin": 0.1,
    "same_cosine": 0.7,
}
MOVED = {"elimination": 0.0, "seed-1": 0.02, "size-64": -0.05, "size-512": 0.04, "lasso": -0.3, "permuted": -0.5}
SETTINGS = (
    {
        "fig1_behaviour": PAGE
        | {
            "tasks": TASKS,
            "models": MODELS,
            "chance": {},
            "relearning": {"relearn-sft": {"parent": "sft", "steps": 250}},
        },
        "fig2_nrn": PAGE
        | {"models": MODELS, "pairs": PAIRS, "nulls": ["null-more", "null-permuted"], "recipes": RECIPES},
        "fig3_mas": PAGE | {"triple": "base-sft-rl", "members": ["base", "sft", "rl"], "recipes": RECIPES},
        "fig4_dynamics": PAGE | {"models": ["sft", "rl"], "top": 50},
        "fig5_mediation": PAGE | {"procedures": PROCEDURES, "selection": TASKS["selection"], "leading": "contribution"},
        "table1_accuracies": PAGE | {"tasks": TASKS},
        "table3_dictionaries": PAGE,
        "fig12_extended": PAGE
        | {"tasks": TASKS, "procedure": "elimination", "score": "elimination", "target": "rl", "left_out": 2},
        "fig10_arms": PAGE
        | {"arms": [("sft", "a teacher's style"), ("own", "own samples"), ("rl", "reward")], "prompts": 64}
        | {"watch": "contribution", "taken": ["sft"], "recipe": "batchtopk"}
        | {"dictionaries": {"base-sft": "sft", "base-rl": "rl"}},
        "fig11_early": PAGE
        | {
            "watch": "elimination",
            "prompts": 64,
            "models": {
                "rl": {"set": "", "how": "", "spent": [2000, 4000, 6000, 8000, 10000]},
                "sft": {"set": "", "how": "", "spent": [2000, 4000, 6000, 8000, 10000]},
                "aim-set": {"set": "selected", "how": "under", "spent": [1000, 2000, 3000, 4000, 5000]},
                "aim-random": {"set": "random-00", "how": "under", "spent": [1000, 2000, 3000, 4000, 5000]},
                "hold-set": {"set": "selected", "how": "holds", "spent": [2000, 4000, 6000, 8000, 10000]},
            },
        },
        "table4_features": PAGE
        | {
            "seeds": list(SEEDS),
            "procedure": "contribution",
            "recipe": "batchtopk",
            "score": "contribution",
            "shown": 4,
        },
    }
    | dict.fromkeys(["fig9_sensitivity", "table5_sensitivity"], PAGE | VARIANTS)
    | dict.fromkeys(
        ["fig6_selection", "fig7_unseen", "fig8_recovery", "table2_interventions"],
        PAGE | {"procedures": PROCEDURES, "states": ["base", "rl", "rl@1", "sft"], "leading": "contribution"},
    )
)
PAPER = {  # a study that repeats one: `dir` has no effect of disabling, `mix` no effect at all
    "source": "arXiv 0000.00000",
    "disable": {"max": -46.2, "cnt": -43.9, "let": -21.2, "cup": -14.0, "par": -24.5},
    "amplify": {"max": 36.3, "cnt": 36.0, "dir": 21.2, "let": 38.0, "cup": 33.3, "par": 23.3},
}
LEVELS = {  # accuracy by state and task role
    "base": {"in_domain": 0.15, "selection": 0.27, "unseen": 0.43},
    "sft": {"in_domain": 0.99, "selection": 0.08, "unseen": 0.01},
    "rl": {"in_domain": 0.99, "selection": 0.98, "unseen": 0.97},
    "rl@1": {"in_domain": 0.9, "selection": 0.85, "unseen": 0.88},
}
GAINS = {"selected": 0.35, "random": 0.05, "nrn": 0.12, "truth": 0.3, "shift-selection": 0.4, "shift-in_domain": 0.33}
GAINS |= {"rotated": 0.0, "direction": 0.01, "none": 0.0}
COSINES = {"contribution": 0.7, "dedicated": 0.75, "forgetting": -0.1, "shift-selection": 0.78, "shift-in_domain": 0.7}


def rng_of(name: str) -> np.random.Generator:
    """A generator per table."""
    return np.random.default_rng([ord(c) for c in name])


def interval(value: float, n: int) -> tuple[float, float]:
    """A binomial interval that stands in for a bootstrap."""
    half = 1.96 * np.sqrt(max(value * (1 - value), 0.002) / n)
    return max(0.0, value - half), min(1.0, value + half)


def frame(columns: str, rows: list[tuple]) -> pd.DataFrame:
    """Rows under the named columns."""
    return pd.DataFrame(rows, columns=columns.split())


METRICS = ("accuracy", "format_blind", "answer_logprob", "own_format", "guess", "own_format_guess")


def accuracy(metrics: tuple[str, ...] = METRICS) -> pd.DataFrame:
    """Behaviour of all checkpoints. `strict`: base hardly ever answers in the form asked for, the others mostly do."""
    rng, rows = rng_of("accuracy"), []
    for model, seed in product((*MODELS, "relearn-sft"), SEEDS):
        last = 5 if model in ("sft", "rl", "relearn-sft") else 1
        for i, (role, tasks), half in product(range(1, last + 1), TASKS.items(), ("discovery", "test")):
            start, end = LEVELS["base"][role], LEVELS.get(model, LEVELS["base"])[role]
            covered = {"sft": 0.9, "rl": 0.6}.get(model, 1.0) ** (1 / i)
            for task, metric in product([*tasks, "ALL"], metrics):
                n = 150 * (len(tasks) if task == "ALL" else 1)
                blind = 0.15 if metric == "format_blind" and model == "sft" else 0.0
                level = {"own_format": 0.6, "guess": 0.2, "own_format_guess": 0.25}.get(metric)
                value = level or float(np.clip(start + covered * (end - start) + rng.normal(0, 0.03) + blind, 0, 1))
                if metric == "strict":
                    value = (start + covered * (end - start)) * (0.85 * covered if last > 1 else 0.05)
                state = model if i == last else f"{model}@{i}"
                names = (model, state, i, i / last, seed, role, task, half, n, metric, value)
                rows.append((*names, *interval(value, n)))
    return frame("model state checkpoint steps_share seed role task half n metric value lo hi", rows)


def features() -> pd.DataFrame:
    """Statistics of all latents of pairs, triple and nulls."""
    rng, tables = rng_of("features"), []
    trained = [*product([*PAIRS, "base-sft-rl"], RECIPES), ("null-more", "batchtopk"), ("null-permuted", "batchtopk")]
    for (dictionary, recipe), seed in product(trained, SEEDS):
        spread = 0.01 if "null" in dictionary else 0.08 if "sft" in dictionary else 0.03
        nrn = rng.normal(0.5, spread, LATENTS)
        if recipe == "l1" and "sft" in dictionary:
            nrn[:20] = rng.uniform(0.65, 1.0, 20)
        nrn = np.clip(nrn, 0, 1)
        table = pd.DataFrame({"dictionary": dictionary, "recipe": recipe, "seed": seed, "latent": np.arange(LATENTS)})
        table["alive"] = rng.random(LATENTS) > 0.1
        table["nrn_l1"] = nrn
        table["frequency"], table["cosine"] = np.arange(1, LATENTS + 1) / 1000, np.linspace(1, 0.05, LATENTS)
        table["nu_err"] = np.clip(rng.normal(0.8 - 0.9 * (nrn - 0.5), 0.2), 0, None)
        table["nu_rec"] = rng.normal(0.6, 0.3, LATENTS)
        table.loc[::17, ["nu_err", "nu_rec"]] = np.nan
        if dictionary == "base-sft-rl":
            norms_3S = np.stack([1 - nrn, nrn, np.clip(rng.normal(0.5, 0.04, LATENTS), 0, 1)])
            for index, share_S in enumerate(norms_3S / norms_3S.sum(0)):
                table[f"mas_l1_{index}"] = share_S
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def quality() -> pd.DataFrame:
    """Quality of every dictionary."""
    rows = []
    for dictionary, recipe, seed in product([*PAIRS, "base-sft-rl"], RECIPES, SEEDS):
        rows += [(dictionary, recipe, seed, m, 0.8, 0.7, 8.0 + seed, 0.1, 0.95, 8192) for m in dictionary.split("-")]
    return frame("dictionary recipe seed member fve fve_swap l0 dead_share loss_recovered rows", rows)


def dynamics() -> pd.DataFrame:
    """Overlaps of top lists and displacement."""
    rng, rows, nan = rng_of("dynamics"), [], np.nan
    for model, seed in product(("sft", "rl"), SEEDS):
        decay, first = {"sft": (0.06, 0.82), "rl": (0.13, 0.37)}[model]
        for reading in ("joint", "shift"):
            for a, b in product(range(1, 6), range(1, 6)):
                value = 1.0 if a == b else 1 - decay * abs(a - b) - 0.1 * rng.random()
                rows.append((seed, "overlap", model, reading, a, b, value, nan, nan))
            rows.append((seed, "chance", model, reading, nan, nan, 0.22, 0.14, 0.32))
        for a in range(1, 6):
            rows.append((seed, "steps", model, "", a, nan, a / 5, nan, nan))
            rows.append((seed, "displacement", model, "", a, nan, first ** (1 / a) if a < 5 else 1.0, nan, nan))
    return frame("seed kind model reading a b value lo hi", rows)


def mediation(empty: str | None = "published") -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Scores, overlaps and sets of every procedure; the procedure named by `empty` has no set."""
    rng, scores, overlaps, sets = rng_of("mediation"), [], [], []
    for (name, procedure), seed in product(PROCEDURES.items(), SEEDS):
        common = 0.05 * np.sort(rng.exponential(1, LATENTS))[::-1]
        for population, task in product(("critical", "noncritical"), TASKS["selection"]):
            score = common + rng.normal(0, 0.01, LATENTS)
            threshold = 0.2 * score.max() if name == "published" else np.sort(score)[-20]
            table = pd.DataFrame({"procedure": name, "seed": seed, "task": task, "latent": np.arange(LATENTS)})
            table = table.assign(score_name=procedure["score"], score=score, threshold=threshold)
            table["score_share"] = score / score[score > 0].sum()
            scores.append(table.assign(kept=score > threshold, population=population))
        chosen = range(0 if name == empty else 12 + 3 * seed)
        note = "the tasks' lists share no latent" if name == empty else None
        sets.append((name, seed, "ALL", len(chosen), 500, 0.8 * bool(chosen), " ".join(map(str, chosen)), note))
        sets += [(name, seed, task, 25, 100, 0.8, "", None) for task in TASKS["selection"]]
        for population, level in (("critical", 0.7), ("noncritical", 0.45)):
            pairs = [*combinations(TASKS["selection"], 2), ("ALL", ""), *(("ALL", t) for t in TASKS["selection"])]
            key = (name, seed, population)
            overlaps += [(*key, a, b, level + 0.1 * rng.random(), 0.2, 0.1, 0.3) for a, b in pairs]
    columns = "procedure seed population task_a task_b jaccard chance_mean chance_lo chance_hi"
    sets = frame("procedure seed task size critical carried_share latents note", sets)
    return pd.concat(scores, ignore_index=True), frame(columns, overlaps), sets


def effects(empty: str | None = "published", doses: tuple[float, ...] = (1, 2, 4)) -> pd.DataFrame:
    """Effects of edits, controls and rivals; dose 2 is the chosen one."""
    rng, rows, states = rng_of("effects"), [], list(EXCHANGE)
    sets = [("selected", "selected"), ("nrn", "nrn"), ("shift-selection", "shift-selection")]
    sets += [("shift-in_domain", "shift-in_domain")]
    sets += [(kind, f"{kind}-{i:02d}") for kind, i in product(("random", "rotated", "direction"), range(6))]
    runs = [
        (name, state, edit, *chosen)
        for name, procedure in PROCEDURES.items()
        for state, edits in procedure["edits"].items()
        for edit, chosen in product(edits, sets)
        if name != empty
    ]
    runs += [("steering", s, e, e, e) for s, e in product(states, ("truth", "shift-selection", "shift-in_domain"))]
    runs += [("steering", s, "direction", "direction", f"direction-{i:02d}") for s, i in product(states, range(6))]
    for seed, run, dose, (role, tasks) in product(SEEDS, runs, doses, TASKS.items()):
        if run[3] not in ("selected", "truth", "shift-selection") and dose != 2:
            continue  # controls run at the chosen dose only
        sign = -0.6 if run[1].startswith("rl") else 1.0
        change = sign * GAINS[run[3]] * dose / 2 * (0.6 if role == "unseen" else 1) + rng.normal(0, 0.02)
        rows.append(_effect(seed, run, dose, dose == 2, role, len(tasks), change))
    for seed, state, (role, tasks) in product(SEEDS, states, TASKS.items()):
        rows.append(_effect(seed, ("steering", state, "none", "none", "none"), 0.0, True, role, len(tasks), 0.0))
    columns = "procedure state edit set_kind set dose chosen role task half subset n metric value lo hi change"
    table = frame(columns + " change_lo change_hi wrong_to_right right_to_wrong seed", rows)
    own = (table["set_kind"] == "selected") | (table["procedure"] == "steering")
    return table.assign(form=np.where(own, "own_dose", "equal_norm"))


def critical(
    tasks: dict[str, list[str]], seeds: tuple[int, ...] = SEEDS, empty: str | None = "published"
) -> pd.DataFrame:
    """Effects of every procedure's chosen edits on the critical samples of single tasks, by role."""
    rng, table, rows = rng_of("critical"), effects(empty, (2,)), []
    kept = (table["set_kind"] == "selected") & table["chosen"] & (table["role"] == "unseen")
    for seed, (role, names) in product(seeds, tasks.items()):
        for r, task in product(table[kept & (table["seed"] == 0)].itertuples(), names):
            change = (-0.3 if r.state.startswith("rl") else 0.3) + rng.normal(0, 0.1)
            run = (r.procedure, r.state, r.edit, "selected", "selected")
            row = [*_effect(seed, run, 2.0, True, role, 1, change), "own_dose"]
            row[8], row[10] = task, "critical"
            rows.append(tuple(row))
    return pd.DataFrame(rows, columns=table.columns)


def _effect(seed: int, run: tuple, dose: float, chosen: bool, role: str, tasks: int, change: float) -> tuple:
    n, level = 150 * tasks, LEVELS[run[1]][role] + 0.03 * (seed - 1) * (LEVELS[run[1]][role] < 0.9)
    value = float(np.clip(level + change, 0, 1))
    lo, hi = interval(value, n)
    names = (*run, dose, chosen, role, "ALL", "test", "half", n, "accuracy", value, lo, hi)
    return (*names, value - level, lo - level, hi - level, max(0, round(100 * change)), 3, seed)


RIVALS = ("size", "noncritical", "nrn", "random", "rotated", "direction", "shift-selection", "shift-in_domain", "alive")


def comparisons(empty: str | None = "published") -> pd.DataFrame:
    """The set against each rival at its own dose: ahead of all but the mean shift of the selection tasks."""
    rows = []
    for (name, procedure), seed, (role, tasks), rival in product(PROCEDURES.items(), SEEDS, TASKS.items(), RIVALS):
        for state, edits in procedure["edits"].items():
            for edit in edits if name != empty else ():
                sign = -0.6 if state.startswith("rl") else 1.0
                own, other = sign * (0.35 + 0.01 * seed), sign * GAINS.get(rival, 0.2)
                between = own - other
                where = (name, state, edit, rival, "own_dose", role, "ALL", "test", "accuracy", 150 * len(tasks), seed)
                rows.append((*where, between, between - 0.02, between + 0.02, own, other))
    columns = "procedure state edit rival form role task half metric n seed difference lo hi set_change rival_change"
    return frame(columns, rows)


def controls(empty: str | None = "published") -> pd.DataFrame:
    """Sizes of sets; nothing was refused."""
    runs = [(n, s, e, k) for n, p in PROCEDURES.items() for s, es in p["edits"].items() for e, k in product(es, SEEDS)]
    rows = [(*run, 0 if run[0] == empty else 12, "no set" if run[0] == empty else None, None) for run in runs]
    return frame("procedure state edit seed set_size refused refused_readout", rows)


def recovery() -> pd.DataFrame:
    """Alignment with the planted truth."""
    rng, rows = rng_of("recovery"), []
    for seed, (procedure, cosine) in product(SEEDS, COSINES.items()):
        value = cosine + rng.normal(0, 0.04)
        rows.append((seed, procedure, "cosine", "ALL", value, value - 0.03, value + 0.03, -0.2, 0.1, 0.25, 0.004))
        if procedure in PROCEDURES:
            for task in ("ALL", "add", *TASKS["selection"]):
                share = 0.8 + rng.normal(0, 0.1)
                rows.append(
                    (seed, procedure, "carried_share", task, share, share - 0.02, share + 0.02, 0, 0.3, 0.5, 0.001)
                )
    return frame("seed procedure quantity task value lo hi chance_lo chance chance_hi p", rows)


def sensitivity() -> pd.DataFrame:
    """Every variant against the main procedure; `lasso` finds another set and does less, `permuted` finds nothing."""
    rng, rows = rng_of("sensitivity"), []
    factor_of = {name: factor for factor, names in VARIANTS["factors"].items() for name in names}
    for (name, moved), seed in product(MOVED.items(), SEEDS):
        key = {"factor": factor_of.get(name, "main"), "variant": name, "seed": seed}
        chance = {"chance": 0.1, "chance_lo": 0.0, "chance_hi": 0.2, "p": 0.01}
        same = {"lasso": 0.15, "permuted": 0.0, "elimination": 1.0}.get(name, 0.6)
        rows += [
            key | {"quantity": q, "value": v} for q, v in (("set_size", 16), ("alive", 90), ("set_share", 16 / 90))
        ]
        for quantity in ("matched_share", "overlap", "direction", "carried_rank"):
            value = float(np.clip(same + 0.02 * rng.normal(), 0, 1))
            rows.append(key | chance | {"quantity": quantity, "value": value, "lo": value - 0.05, "hi": value + 0.05})
        for state, role in product(("base", "rl"), TASKS):
            where = key | {"state": state, "role": role, "metric": "accuracy"}
            effect = (0.55 + moved) * (1 if state == "base" else -0.8)
            own = where | {"form": "own_dose"}
            rows.append(own | {"quantity": "effect", "value": effect, "lo": effect - 0.05, "hi": effect + 0.05})
            difference = {"quantity": "against_main", "value": moved, "lo": moved - 0.02, "hi": moved + 0.02}
            rows.append(where | difference)
            for rival, does in (("size", 0.4), ("random", 0.05), ("shift-in_domain", 0.3)):
                rows.append(own | {"rival": rival, "quantity": "effect", "value": does})
                beaten = {"rival": rival, "quantity": "difference", "value": effect - does}
                rows += [own | beaten, where | beaten | {"form": "equal_norm"}]
        verdict = "fails" if name in ("lasso", "permuted") else "holds"
        rows.append(key | {"quantity": "verdict", "claim": "gap", "value": 0.8, "note": verdict})
    columns = ["factor", "variant", "seed", "quantity", "state", "role", "metric", "rival", "form", "claim"]
    columns += ["value", "lo", "hi", "chance", "chance_lo", "chance_hi", "p", "note"]
    return pd.DataFrame(rows).reindex(columns=columns)


def equivalence() -> pd.DataFrame:
    """Shared latents ablated: two thirds do the same in both models, whatever their decoders say."""
    rng, rows = rng_of("equivalence"), []
    for seed, latent in product(SEEDS, range(12)):
        value, size = (0.8 if latent % 3 else 0.1) + 0.02 * rng.normal(), 10 ** rng.uniform(-4, -1)
        tuned = size * 10 ** rng.normal(0, 0.2)
        rows.append(
            (seed, latent, 0.2, 0.2, 0.5, rng.uniform(0.5, 1), 200, size, tuned, value, value, 0.1, -0.2, 0.4, 0.02)
        )
    columns = "seed latent frequency_reference frequency_tuned nrn cosine prompts kl_reference kl_tuned"
    return frame(columns + " pearson spearman chance chance_lo chance_hi p", rows)


def maps() -> pd.DataFrame:
    """Three maps without a dictionary: the MLP does most, half of it in the set's span."""
    does = {"whole": 0.8, "on": 0.5, "without": 0.2, "random": 0.05}
    rows = []
    for seed, (name, less) in product(SEEDS, {"ridge": 0.2, "mlp": 0.0, "kernel": 0.1}.items()):
        for role, share in (("stream", 0.9), ("selection", 0.7)):
            rows.append((seed, name, "explained", None, role, None, share, *[None] * 6))
        chance = (0.1, 0.0, 0.2, 0.01)
        rows.append((seed, name, "direction", None, "selection", None, 0.8, None, None, *chance))
        rows.append((seed, name, "within", None, "selection", None, 0.6, None, None, *chance))
        for (part, effect), role in product(does.items(), TASKS):
            value = effect - (less if part == "whole" else 0)
            rows.append((seed, name, "effect", part, role, 1.0, value, value - 0.02, value + 0.02, *[None] * 4))
    return frame("seed map quantity part role dose value lo hi chance chance_lo chance_hi p", rows)


def curves() -> pd.DataFrame:
    """Effects that grow with the size, faster by the procedure's own score; all alive latents close .9 of the gap."""
    rng, rows = rng_of("curves"), []
    for seed, state, role in product(SEEDS, ("base", "rl"), TASKS):
        for score, at_16 in (("elimination", 0.85), ("attribution", 0.7), ("size", 0.4)):
            for size in (1, 4, 16):
                share = at_16 * np.log2(2 * size) / 5 + 0.01 * rng.normal()
                rows.append((seed, state, role, score, size, size, 300, share))
        rows.append((seed, state, role, "alive", 90, 90, 300, 0.9))
    table = frame("seed state role score size latents n share", rows)
    gap = np.where(table["state"] == "base", 0.6, -0.6)
    effect = table["share"] * gap
    return table.assign(effect=effect, lo=effect - 0.03, hi=effect + 0.03, gap=gap)


def areas() -> pd.DataFrame:
    """Areas under those curves, the others' smaller than the procedure's own by more than their intervals."""
    rows = []
    for seed, (state, sign), role in product(SEEDS, (("base", 1), ("rl", -1)), TASKS):
        for score, behind in (("elimination", 0.0), ("attribution", 0.05), ("size", 0.2)):
            value = -sign * behind
            rows.append((seed, state, role, score, sign * (0.4 - behind), value, value - 0.02, value + 0.02))
    return frame("seed state role score area difference difference_lo difference_hi", rows)


def rotation() -> pd.DataFrame:
    """A task gains .02 less where it had no say; the interval holds 0."""
    rows = []
    for seed, (state, sign), task in product(
        SEEDS, (("base", 1), ("rl", -1)), [*TASKS["selection"], *TASKS["unseen"], "ALL"]
    ):
        rows.append((seed, state, task, 150, sign * 0.5, sign * 0.48, -sign * 0.02, -0.05, 0.05))
    return frame("seed state task n effect_in effect_out difference lo hi", rows)


def arms() -> pd.DataFrame:
    """Three arms over five checkpoints: one forgets, one moves little, one generalizes."""
    rows = [(model, "", seed, 1, 0.2, 0.3, 0.4, 0.0, 0.0, np.nan, np.nan) for model, seed in product(["base"], SEEDS)]
    gains = {"sft": (-0.05, 0.5, 4.0, -0.2), "own": (0.01, 0.02, 0.5, 0.3), "rl": (0.13, 0.1, 2.0, 1.0)}
    groups = dict(SETTINGS["fig10_arms"]["arms"])
    for seed, (model, (gain, kl, moved, cosine)), c in product(SEEDS, gains.items(), range(1, 6)):
        at = (min(1.0, 0.2 * c + 0.05), 0.3 + gain * c, 0.4 + gain * c / 2, kl * c, moved * c, 20.0, cosine)
        rows.append((model, groups[model], seed, c, *at))
    return frame("model group seed checkpoint in_domain selection unseen kl displacement norm cosine", rows)


def as_far() -> pd.DataFrame:
    """Arms where they have moved as far as the target; one never does."""
    found = {"sft": (True, 0.2), "own": (False, np.nan), "rl": (True, 0.95)}
    rows = [(model, seed, 10.0, *reached) for seed, (model, reached) in product(SEEDS, found.items())]
    return frame("model seed displacement reached selection", rows)


def shared() -> pd.DataFrame:
    """Cosines between three arms: one moves the other way; a set was chosen on all but that one."""
    of = {("own", "rl"): 0.9, ("rl", "sft"): -0.4, ("own", "sft"): -0.3}
    rows = []
    for seed, (a, b) in product(SEEDS, of):
        for model, other in ((a, b), (b, a)):
            rows.append((seed, "shift", model, other, of[a, b], np.nan))
            rows += [(seed, "change", model, other, 0.8, 0.6)] * ("sft" not in (a, b))
    return frame("seed kind model other value chance", rows)


def explained() -> pd.DataFrame:
    """Rank correlations of every predictor, of all seeds and of each."""
    rows = [
        (seed, predictor, role, 45 if seed == "all" else 15, value, value - 0.2, value + 0.2)
        for seed, (predictor, value), role in product(
            ["all", *SEEDS], (("kl", -0.2), ("displacement", 0.1), ("in_domain", 0.6)), ("selection", "unseen")
        )
    ]
    return frame("seed predictor role points value lo hi", rows)


def aimed_accuracy() -> pd.DataFrame:
    """Models that aim at a set beside the others: as rl, as sft, and never leaving .25."""
    table = accuracy()
    like = {name: table[table["model"] == model] for name, model in (("aim-set", "rl"), ("hold-set", "sft"))}
    like["aim-random"] = like["aim-set"].assign(value=0.25)
    return pd.concat([table, *(rows.assign(model=name) for name, rows in like.items())], ignore_index=True)


def foretold() -> pd.DataFrame:
    """The set tells early, in-domain accuracy late, random sets and KL nothing."""
    values = {"set": (0.8, 0.02), "in_domain": (0.1, 0.12), "kl": (-0.2, 0.0), "shift": (0.5, 0.05)}
    values |= {f"random-{i:02d}": (0.1 * i - 0.1, 0.0) for i in range(3)}
    rows = []
    for seed, texts, role, (predictor, (first, more)), c in product(
        ["all", *SEEDS], ("in_domain", "selection"), ("selection", "unseen"), values.items(), range(1, 6)
    ):
        value, beyond = first + more * c, first + more * c - 0.1 - 0.12 * c
        bounds = (value - 0.1, value + 0.1, beyond, beyond - 0.1, beyond + 0.1, value / 2)
        rows.append((seed, c, texts, predictor, role, 14 if seed != "all" else 42, value, *bounds))
    columns = "seed checkpoint texts predictor role runs value lo hi beyond beyond_lo beyond_hi left_out_r2"
    return frame(columns, rows)


def contexts() -> pd.DataFrame:
    """Three contexts of every tenth latent and member, in three seeds, of the dictionary that `contribution` reads."""
    rows = [
        (seed, latent, member, rank, 9.0 - rank - (member == "base@1"), f"the sum of {latent}\n is {rank}", f" {rank}")
        for seed, latent, member, rank in product(SEEDS, range(LATENTS), ("base@1", "rl@5"), (1, 2, 3))
        if latent % 10
    ]
    return frame("seed latent member rank activation text token", rows)


def tables_of(name: str) -> dict[str, pd.DataFrame]:
    """The tables that a page's script reads, by option."""
    if name == "fig5_mediation":
        return dict(zip(("scores", "overlap", "sets"), mediation(), strict=True))
    if name == "table4_features":
        scores, _, sets = mediation()
        pair = features()[lambda table: table["dictionary"] == "base-rl"]
        return {"sets": sets, "scores": scores, "features": pair, "contexts": contexts()}
    if name == "fig11_early":
        return {"foretold": foretold(), "accuracy": aimed_accuracy()}
    makers = {
        "fig1_behaviour": (accuracy,),
        "fig4_dynamics": (dynamics,),
        "fig6_selection": (effects, comparisons, controls),
        "fig7_unseen": (effects, comparisons, controls),
        "fig8_recovery": (recovery, effects),
        "fig9_sensitivity": (sensitivity, equivalence, maps),
        "table5_sensitivity": (sensitivity,),
        "fig10_arms": (arms, explained, as_far, effects, shared, features),
        "fig12_extended": (curves, areas, rotation),
        "table1_accuracies": (accuracy,),
        "table3_dictionaries": (quality, features),
    }
    chosen = makers.get(name, (features,) if name in ("fig2_nrn", "fig3_mas") else (effects,))
    return {maker.__name__: maker() for maker in chosen}
