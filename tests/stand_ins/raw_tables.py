"""What the jobs of a small invented study leave behind: answers to single prompts, statistics of latents, sets.

Every seed is planted: `holds`, a set that beats its rivals; `size`, the size-only set answers as the set does;
`random`, every random set does, `lucky`, one in ten does; `refused`, no random sets could be drawn; `empty`, there is
no set.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from rlgen.behaviour.tables import accuracy_table
from rlgen.features.tables import read_set
from rlgen.interventions.comparisons import comparisons
from rlgen.interventions.tables import effects_table
from rlgen.ledger.evidence import Setting
from rlgen.ledger.settings import Claim
from rlgen.ledger.verdicts import judge
from rlgen.tables import stacked

DRAWS, PROMPTS, TOP, RANDOM = 200, 50, 5, 10
TASKS = {"in_domain": ["add"], "selection": ["max", "cnt"], "unseen": ["par"]}
ROLES = [(role, task) for role, tasks in TASKS.items() for task in tasks]
LEVELS = {"base": 0.3, "sft": 0.1, "rl": 0.97}
REACHED = {"selected": 0.85, "size": 0.55, "nrn": 0.45, "shift-in_domain": 0.6}  # in the base model, with the edit
REFUSED = "30 latents to draw from, fewer than 3 times the set of 12"
MINE = {"procedure": "mine", "state": "base", "role": "selection", "of": "ours"}
BEATS = MINE | {"statistic": "difference", "above": 0}
CLAIMS = {
    "contrast": {
        "statistic": "accuracy_difference", "model": "rl", "against": "sft", "role": "selection", "above": 0.2,
        "of": "paper",
    },
    "restrained": {
        "statistic": "norm_ratio_tail", "dictionary": "base-rl", "against": "base-sft", "recipe": "small",
        "nrn_above": 0.7, "below": 0, "of": "paper",
    },
    "early": {"statistic": "early_overlap", "model": "sft", "against": "rl", "above": 0, "of": "paper"},
    "agnostic": {"statistic": "task_overlap", "procedure": "mine", "above": 0, "of": "paper"},
    "compact": {"statistic": "set_size", "procedure": "mine", "below": 16.5, "of": "ours"},
    "gap": {"statistic": "gap_share", "procedure": "mine", "role": "selection", "above": 0.5, "of": "ours"},
    "gains": MINE | {"statistic": "effect", "above": 0},
    "size-own": BEATS | {"rivals": ["size"], "form": "own_dose"},
    "size-equal": BEATS | {"rivals": ["size"], "form": "equal_norm"},
    "random": BEATS | {"rivals": ["random"], "form": "own_dose"},
    "all": BEATS | {"rivals": ["random", "size", "nrn", "shift-in_domain"], "form": "own_dose"},
    "cause": {"statistic": "truth_cosine", "procedure": "mine", "above": 0, "of": "ours"},
    "same": {"statistic": "unmeasured", "because": "nobody looked", "of": "ours"},
    "nothing": MINE | {"statistic": "effect", "within": 0.05, "of": "refutation"},
}  # fmt: skip


def study(seeds: list[int]) -> dict:
    """The study's config, as YAML would read it."""
    course = {m: ["base", *(f"{m}@{i}" for i in (1, 2))] for m in ("sft", "rl")}
    pairs = {f"base-{m}": {"members": ["base", m], "recipes": ["small"]} for m in ("sft", "rl")}
    return {
        "seeds": seeds,
        "roles": {"reference": "base", "target": "rl", "contrast": "sft"},
        "tasks": TASKS,
        "features": {"top": TOP},
        "dictionaries": pairs | {f"course-{m}": {"members": c, "recipes": ["small"]} for m, c in course.items()},
        "procedures": {"mine": {"dictionary": "base-rl", "edits": {"base": ["exchange"]}}},
        "claims": {name: {"says": f"the claim {name}"} | claim for name, claim in CLAIMS.items()},
    }


def write(results: Path, planted: dict[int, str]) -> None:
    """Write the files of all seeds. `planted`: seed -> what is planted in it."""
    for seed, plant in planted.items():
        rng = np.random.default_rng([seed, 11])
        right = _answers(results, seed, rng)
        _edits(results, seed, plant, right, rng)
        _latents(results, seed, rng)
        _lists(results, seed, plant, rng)


def _answers(results: Path, seed: int, rng: np.random.Generator) -> dict[tuple[str, str], np.ndarray]:
    """Behaviour of every model; returns (model, task) -> right or wrong on the test half."""
    right = {}
    for model, level in LEVELS.items():
        for group, its_roles in {"known": ("in_domain", "selection"), "unseen": ("unseen",)}.items():
            parts = []
            for role, task in ROLES:
                for checkpoint in (1, 2) if role in its_roles else ():
                    own = rng.random(PROMPTS) < (level if checkpoint == 2 else 0.5)
                    names = {"model": model, "state": f"{model}@{checkpoint}", "checkpoint": checkpoint, "task": task}
                    names |= {"role": role, "half": "test", "steps_share": checkpoint / 2}
                    parts.append(_prompts(task, own).assign(**names))
                    right[model, task] = own  # the last checkpoint stays
            _save(results / f"behaviour/{model}/seed{seed}/{group}.parquet", pd.concat(parts, ignore_index=True))
    return right


def _prompts(task: str, right: np.ndarray) -> pd.DataFrame:
    """One row per prompt."""
    samples = [f"{task}{i:03d}" for i in range(len(right))]
    scores = {"answer_logprob": np.where(right, -0.1, -4.0), "kl": 0.5, "format_blind": right}
    return pd.DataFrame({"sample": samples, "correct": right} | scores)


def _edits(results: Path, seed: int, plant: str, right: dict, rng: np.random.Generator) -> None:
    """The set and its rivals in the base model; unedited models."""
    unedited, edited = [], []
    fixed = {"half": "test", "chosen": True}
    for role, task in ROLES:
        for state in ("base", "rl"):
            names = fixed | {"procedure": "steering", "state": state, "edit": "none", "set": "none", "dose": 0.0}
            unedited.append(_prompts(task, right[state, task]).assign(role=role, task=task, form="own_dose", **names))
        drawn = {name: rng.random(PROMPTS) < level for name, level in REACHED.items()}
        drawn |= {f"random-{i:02d}": rng.random(PROMPTS) < 0.5 for i in range(RANDOM)}
        copies = {"size": ["size"], "random": [f"random-{i:02d}" for i in range(RANDOM)]}
        copies["lucky"] = copies["random"][:1]
        drawn |= {name: drawn["selected"] for name in copies.get(plant, [])}
        for name, own in drawn.items():
            if plant == "empty" or (plant == "refused" and name.startswith("random")):
                continue
            names = fixed | {"procedure": "mine", "state": "base", "edit": "exchange", "set": name, "dose": 2.0}
            for form in ["own_dose"] if name == "selected" else ["own_dose", "equal_norm"]:
                edited.append(_prompts(task, own).assign(role=role, task=task, form=form, **names))
        if plant != "empty":
            names |= {"set": "selected", "chosen": False, "dose": 4.0}  # a dose that was not chosen
            edited.append(_prompts(task, np.ones(PROMPTS, bool)).assign(role=role, task=task, form="own_dose", **names))
    steering = pd.concat(unedited, ignore_index=True)
    _save(results / f"interventions/steering/seed{seed}.parquet", steering)
    table = pd.concat(edited, ignore_index=True) if edited else steering.iloc[:0]
    _save(results / f"interventions/mine/seed{seed}.parquet", table)
    facts = {"procedure": "mine", "state": "base", "edit": "exchange", "refused_readout": None}
    facts["refused"] = REFUSED if plant == "refused" else None
    pd.DataFrame([facts]).to_csv(results / f"interventions/mine/seed{seed}.controls.csv", index=False)
    row = {"seed": seed, "procedure": "mine", "quantity": "cosine", "task": "ALL", "value": 0.8, "lo": 0.78}
    folder = results / "interventions/recovery"
    folder.mkdir(parents=True, exist_ok=True)
    rows = [row | {"hi": 0.82, "chance_hi": 0.5}] if plant != "empty" else []
    pd.DataFrame(rows, columns=[*row, "hi", "chance_hi"]).to_csv(folder / f"seed{seed}.csv", index=False)


def _latents(results: Path, seed: int, rng: np.random.Generator) -> None:
    """Statistics of pairs and of dictionaries over checkpoints."""
    for model, own in {"sft": 40, "rl": 4}.items():
        tuned = np.where(np.arange(120) < own, 0.9, 0.5)
        table = pd.DataFrame({"latent": np.arange(120), "alive": np.arange(120) % 6 > 0, "nrn_l1": tuned})
        table = table.assign(mas_l1_0=1 - tuned, mas_l1_1=tuned)
        _save(results / f"dictionaries/base-{model}/small/seed{seed}/features.parquet", table)
        first, last = rng.random(120), rng.random(120)
        last = first if model == "sft" else last  # settled at once, or not
        table = table.assign(mas_l1_0=0.3, mas_l1_1=first, mas_l1_2=last)
        _save(results / f"dictionaries/course-{model}/small/seed{seed}/features.parquet", table)


def _lists(results: Path, seed: int, plant: str, rng: np.random.Generator) -> None:
    """Lists of the selection tasks and the set."""
    folder = results / f"features/mediation/mine/seed{seed}"
    lists = {"max": range(2, 20), "cnt": range(18)}
    rows = [
        {"population": population, "task": task, "latent": k, "kept": k in kept if population == "critical" else k < 5}
        for population in ("critical", "noncritical")
        for task, kept in lists.items()
        for k in range(120)
    ]
    _save(folder / "scores.parquet", pd.DataFrame(rows))
    chance = {"population": "critical", "task_a": "ALL", "task_b": None, "jaccard": 16 / 20}
    chance |= {"chance_mean": 0.1 + 0.01 * rng.random(), "chance_lo": 0.05, "chance_hi": 0.2}
    pd.DataFrame([chance, chance | {"task_b": "max", "jaccard": 0.1}]).to_csv(folder / "overlap.csv", index=False)
    entry = {"latents": [] if plant == "empty" else list(range(12)), "critical": 30}
    tasks = {task: entry for task in lists}
    whole = {"latents": entry["latents"], "critical": dict.fromkeys(lists, 30), "tasks": tasks}
    note = "the tasks' lists share no latent" if plant == "empty" else None
    (folder / "set.json").write_text(json.dumps(whole | {"note": note}), encoding="utf-8")


def _save(path: Path, table: pd.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(path)


def ledger(tables: dict[str, pd.DataFrame], seeds: list[int]) -> pd.DataFrame:
    """The ledger of some seeds, by the project's own verdicts."""
    claims = {name: Claim.model_validate(claim) for name, claim in study(seeds)["claims"].items()}
    return judge("invented", claims, tables, Setting("base", "rl", TOP), seeds)


def tidy(results: Path, seeds: list[int]) -> dict[str, pd.DataFrame]:
    """The tables that the summarising rules would write."""
    tables: dict[str, list[pd.DataFrame]] = {}
    for seed in seeds:
        at = f"seed{seed}"
        behaviour = [pd.read_parquet(path) for path in sorted(results.glob(f"behaviour/*/{at}/*.parquet"))]
        accuracy = pd.concat([accuracy_table(rows, seed, DRAWS) for rows in behaviour])
        final = accuracy["checkpoint"] == 2  # the state of a model's last checkpoint carries the model's name
        accuracy.loc[final, "state"] = accuracy.loc[final, "model"]
        steering = pd.read_parquet(results / f"interventions/steering/{at}.parquet")
        edits = pd.read_parquet(results / f"interventions/mine/{at}.parquet")
        named = {"reference": "base", "target": "rl", "same_goal": True, "seed": seed, "draws": DRAWS}
        effects = [effects_table(rows, steering, **named) for rows in (steering, edits)]
        label, folder = [{"procedure": "mine", "seed": seed}], results / f"features/mediation/mine/{at}"
        found = {
            "accuracy": accuracy,
            "features": _features(results, seed),
            "dynamics": _dynamics(results, seed),
            "sets": stacked([read_set(folder / "set.json")], label),
            "overlap": stacked([pd.read_csv(folder / "overlap.csv")], label),
            "effects": pd.concat([part for part in effects if len(part)]),
            "comparisons": comparisons(edits, steering, target="rl", seed=seed, draws=DRAWS),
            "controls": pd.read_csv(results / f"interventions/mine/{at}.controls.csv").assign(seed=seed),
            "recovery": pd.read_csv(results / f"interventions/recovery/{at}.csv"),
        }
        for name, table in found.items():
            tables.setdefault(name, []).append(table)
    return {name: pd.concat(parts, ignore_index=True) for name, parts in tables.items()}


def _features(results: Path, seed: int) -> pd.DataFrame:
    paths = {f"base-{m}": results / f"dictionaries/base-{m}/small/seed{seed}/features.parquet" for m in ("sft", "rl")}
    labels = [{"dictionary": name, "recipe": "small", "seed": seed} for name in paths]
    return stacked([pd.read_parquet(path) for path in paths.values()], labels)


def _dynamics(results: Path, seed: int) -> pd.DataFrame:
    """Overlap of a model's first list with its last, by a sort of the whole table."""
    rows = []
    for model in ("sft", "rl"):
        table = pd.read_parquet(results / f"dictionaries/course-{model}/small/seed{seed}/features.parquet")
        table = table[table["alive"]]
        lists = [
            set(table.assign(nrn=table[f"mas_l1_{i}"] / (table[f"mas_l1_{i}"] + 0.3)).nlargest(TOP, "nrn")["latent"])
            for i in (1, 2)
        ]
        row = {"seed": seed, "model": model, "reading": "joint"}
        shared = len(lists[0] & lists[1]) / TOP
        rows += [row | {"kind": "overlap", "a": 1, "b": b, "value": v} for b, v in ((1, 1.0), (2, shared))]
        rows.append(row | {"kind": "alive", "value": len(table)})
    return pd.DataFrame(rows)
