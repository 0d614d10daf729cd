"""The ledger once more, written from docs/method.md (sections 6, 7 and 10) and the tables that jobs leave behind.

It reads answers to single prompts, statistics of single latents and lists of single tasks, with numpy; it shares no
code with the project and draws its own bootstrap samples.
Three things are measurements that no table holds the parts of, and are taken as they are: which dose a discovery half
chose (`chosen`), the overlap of random lists, and the cosine of a set with the planted direction.
"""

import csv
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from verdicts_again import Found, Missing, beyond, minus, over, over_seeds, verdict, wilson

DRAWS = 4000
FAMILIES = ("random", "rotated", "direction")
CONDITION = ["state", "edit", "form", "task", "set"]
ANSWERS = [*CONDITION, "half", "chosen", "sample", "correct"]


def recompute(results: Path, study: dict, draws: int = DRAWS) -> dict[tuple[str, str], dict]:
    """(claim, seed or "ALL") -> verdict, and value, lo, hi per seed. `study`: the config as YAML reads it."""
    ledger, claims = {}, study["claims"]
    for seed in study["seeds"]:
        tables = Tables(results, study, seed, draws)
        for name, claim in claims.items():
            try:
                found = STATISTICS[claim["statistic"]](claim, tables)
            except Missing:
                ledger[name, str(seed)] = {"verdict": "no data", "counts": False}
                continue
            said = verdict(claim, found)
            counts = beyond(claim, found.value) and not found.doubt
            numbers = {"value": found.value, "lo": found.lo, "hi": found.hi}
            ledger[name, str(seed)] = {"verdict": said, "counts": counts} | numbers
    ledger.update(over_seeds(claims, study["seeds"], ledger))
    return ledger


class Tables:
    """What jobs of one seed wrote."""

    def __init__(self, results: Path, study: dict, seed: int, draws: int) -> None:
        self.results, self.study, self.seed, self.draws = results, study, seed, draws
        self.edits: dict[str, dict] = {}

    def parquet(self, path: str, **read: object) -> dict[str, np.ndarray]:
        table = pq.read_table(self.results / path, **read)
        return {name: table[name].to_numpy() for name in table.column_names}

    def csv(self, path: str) -> list[dict[str, str]]:
        with open(self.results / path, encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def edited(self, procedure: str) -> dict[tuple, dict[str, np.ndarray]]:
        """(state, edit, form, task) -> set -> right or wrong per prompt, test half, each edit at its chosen dose."""
        if procedure not in self.edits:
            rows = self.parquet(f"interventions/{procedure}/seed{self.seed}.parquet", columns=ANSWERS)
            keep = (rows["half"] == "test") & rows["chosen"].astype(bool)
            rows = {name: column[keep] for name, column in rows.items()}
            keys = [rows[name].astype(str) for name in (*CONDITION, "sample")]
            order = np.lexsort(keys[::-1])
            conditions = np.stack([key[order] for key in keys[:-1]], axis=1)
            right = rows["correct"][order].astype(float)
            starts = np.flatnonzero(np.r_[True, (conditions[1:] != conditions[:-1]).any(axis=1)][: len(right)])
            ends = [*starts, len(right)]
            found: dict[tuple, dict[str, np.ndarray]] = {}
            for start, end in pairwise(ends):
                *condition, name = (str(word) for word in conditions[start])
                found.setdefault(tuple(condition), {})[name] = right[start:end]
            self.edits[procedure] = found
        return self.edits[procedure]

    def set_of(self, procedure: str) -> list[int]:
        path = self.results / f"features/mediation/{procedure}/seed{self.seed}/set.json"
        return json.loads(path.read_text(encoding="utf-8"))["latents"]

    def tasks(self, role: str) -> list[str]:
        return self.study["tasks"][role]

    def interval(self, by_task: list[np.ndarray]) -> Found:
        """Mean over tasks of the mean over prompts; prompts are drawn within tasks."""
        rng, means = np.random.default_rng(7), []
        for values in by_task:
            drawn = rng.integers(0, len(values), (self.draws, len(values)))
            means.append(values[drawn].mean(1))
        lo, hi = np.quantile(np.mean(means, axis=0), [0.025, 0.975])
        return Found(float(np.mean([values.mean() for values in by_task])), float(lo), float(hi))


def family(name: str) -> str:
    head, _, tail = name.rpartition("-")
    return head if tail.isdigit() else name


def accuracy_difference(claim: dict, t: Tables) -> Found:
    sides = []
    for model in (claim["model"], claim["against"]):
        group = "unseen" if claim["role"] == "unseen" else "known"
        rows = t.parquet(f"behaviour/{model}/seed{t.seed}/{group}.parquet")
        last = (rows["checkpoint"] == rows["checkpoint"].max()) & (rows["half"] == "test")
        sides.append(
            t.interval(
                [rows["correct"][last & (rows["task"] == task)].astype(float) for task in t.tasks(claim["role"])]
            )
        )
    return minus(*sides)


def norm_ratio_tail(claim: dict, t: Tables) -> Found:
    sides = []
    for dictionary in (claim["dictionary"], claim["against"]):
        rows = t.parquet(f"dictionaries/{dictionary}/{claim['recipe']}/seed{t.seed}/features.parquet")
        norms = rows["mas_l1_1"].astype(float) / (rows["mas_l1_0"] + rows["mas_l1_1"]).astype(float)
        alive = norms[rows["alive"].astype(bool)]
        if not len(alive):
            raise Missing
        sides.append(wilson(int((alive > claim["nrn_above"]).sum()), len(alive)))
    return minus(*sides)


def early_overlap(claim: dict, t: Tables) -> Found:
    """The top latents of the first and the last checkpoint, from the dictionary over all checkpoints of a model."""
    sides, reference = [], t.study["roles"]["reference"]
    top = t.study.get("features", {}).get("top", 50)
    for model in (claim["model"], claim["against"]):
        courses = [
            (name, d)
            for name, d in t.study["dictionaries"].items()
            if d["members"][0] == reference and all(m.startswith(f"{model}@") for m in d["members"][1:])
        ]
        if not courses:
            raise Missing
        name, course = courses[0]
        rows = t.parquet(f"dictionaries/{name}/{course['recipes'][0]}/seed{t.seed}/features.parquet")
        alive = np.flatnonzero(rows["alive"].astype(bool))
        lists = []
        for member in (1, len(course["members"]) - 1):
            tuned, base = rows[f"mas_l1_{member}"].astype(float), rows["mas_l1_0"].astype(float)
            ratio = (tuned / (tuned + base))[alive]
            lists.append(set(alive[np.argsort(-ratio, kind="stable")[:top]]))
        sides.append(wilson(len(lists[0] & lists[1]), min(top, len(alive))))
    return minus(*sides)


def set_size(claim: dict, t: Tables) -> Found:
    size = float(len(t.set_of(claim["procedure"])))
    if not size:
        raise Missing
    return Found(size, size, size)


def task_overlap(claim: dict, t: Tables) -> Found:
    folder = f"features/mediation/{claim['procedure']}/seed{t.seed}"
    rows = t.parquet(f"{folder}/scores.parquet")
    kept = rows["kept"].astype(bool) & (rows["population"] == "critical")
    lists = [set(rows["latent"][kept & (rows["task"] == task)]) for task in t.tasks("selection")]
    union = set.union(*lists)
    if not union:
        raise Missing
    jaccard = len(set.intersection(*lists)) / len(union)
    chance = [
        row
        for row in t.csv(f"{folder}/overlap.csv")
        if (row["population"], row["task_a"], row["task_b"]) == ("critical", "ALL", "")
    ]
    mean, low, high = (float(chance[0][f"chance_{of}"]) for of in ("mean", "lo", "hi"))
    return Found(jaccard - mean, jaccard - high, jaccard - low)


def chosen_edit(claim: dict, t: Tables, state: str) -> str:
    return claim.get("edit") or t.study["procedures"][claim["procedure"]]["edits"][state][0]


def unedited(t: Tables, tasks: list[str], state: str) -> list[np.ndarray]:
    rows = t.edited("steering")
    return [rows[state, "none", "own_dose", task]["none"] for task in tasks]


def selected(claim: dict, t: Tables, state: str, tasks: list[str]) -> list[np.ndarray]:
    """Answers under the set's own edit, task by task."""
    rows, edit = t.edited(claim["procedure"]), chosen_edit(claim, t, state)
    try:
        return [rows[state, edit, "own_dose", task]["selected"] for task in tasks]
    except KeyError as error:
        raise Missing from error


def effect(claim: dict, t: Tables, state: str | None = None) -> Found:
    state, tasks = state or claim["state"], t.tasks(claim["role"])
    pairs = zip(selected(claim, t, state, tasks), unedited(t, tasks, state), strict=True)
    return t.interval([after - before for after, before in pairs])


def gap_share(claim: dict, t: Tables) -> Found:
    reference, target = t.study["roles"]["reference"], t.study["roles"]["target"]
    tasks = t.tasks(claim["role"])
    gained = effect(claim, t, reference)
    return over(gained, minus(*(t.interval(unedited(t, tasks, state)) for state in (target, reference))))


def difference(claim: dict, t: Tables) -> Found:
    state, tasks = claim["state"], t.tasks(claim["role"])
    own = selected(claim, t, state, tasks)
    rows, edit = t.edited(claim["procedure"]), chosen_edit(claim, t, state)
    in_form = [rows.get((state, edit, claim["form"], task), {}) for task in tasks]
    tuned = t.study["dictionaries"][t.study["procedures"][claim["procedure"]]["dictionary"]]["members"][-1]
    sign = -1 if state.split("@")[0] == tuned.split("@")[0] else 1
    found, doubt = [], False
    for rival in claim["rivals"]:
        members = [[values for name, values in by_set.items() if family(name) == rival] for by_set in in_form]
        if not all(members):
            doubt = True
            continue
        found.append(t.interval([o - np.mean(m, axis=0) for o, m in zip(own, members, strict=True)]))
        if rival in FAMILIES and "within" not in claim:
            reached = np.mean([o.mean() for o in own])
            each = np.mean([[values.mean() for values in m] for m in members], axis=0)
            doubt |= bool(np.mean(sign * (reached - each) > 0) < 0.95)
    if not found:
        raise Missing
    worst = max if "below" in claim else min
    return Found(*(worst(f[i] for f in found) for i in range(3)), doubt)


def truth_cosine(claim: dict, t: Tables) -> Found:
    rows = [
        row
        for row in t.csv(f"interventions/recovery/seed{t.seed}.csv")
        if (row["procedure"], row["quantity"], row["task"]) == (claim["procedure"], "cosine", "ALL")
    ]
    if not rows or not rows[0]["value"]:
        raise Missing
    return Found(*(float(rows[0][bound]) - float(rows[0]["chance_hi"]) for bound in ("value", "lo", "hi")))


def unmeasured(claim: dict, t: Tables) -> Found:
    raise Missing


STATISTICS = {
    f.__name__: f
    for f in (
        accuracy_difference, norm_ratio_tail, early_overlap, set_size, task_overlap, effect, gap_share, difference,
        truth_cosine, unmeasured,
    )
}  # fmt: skip
