"""Small tables for the ledger: claims of every statistic, and rows that make each of them hold."""

import pandas as pd

from rlgen.ledger.evidence import Setting
from rlgen.ledger.settings import Claim
from rlgen.ledger.verdicts import judge

SEEDS = [3, 4, 5]
STUDY = Setting(reference="base", target="rl", top=50)
RIVALS = ["random", "size", "shift-in_domain"]
EDIT = {"procedure": "mine", "state": "base", "edit": "exchange"}
SCORED = {"role": "selection", "task": "ALL", "half": "test", "metric": "accuracy"}
FIRST = {"predictor": "set", "role": "selection", "texts": "selection", "checkpoint": 1}
CLAIMS = {
    "contrast": {
        "statistic": "accuracy_difference", "model": "rl", "against": "sft", "role": "selection", "above": 0.2,
    },
    "restrained": {
        "statistic": "norm_ratio_tail", "dictionary": "base-rl", "against": "base-sft", "recipe": "batchtopk",
        "nrn_above": 0.7, "below": 0,
    },
    "early": {"statistic": "early_overlap", "model": "sft", "against": "rl", "above": 0},
    "agnostic": {"statistic": "task_overlap", "procedure": "mine", "above": 0},
    "compact": {"statistic": "set_size", "procedure": "mine", "below": 16.5},
    "gap": {"statistic": "gap_share", "procedure": "mine", "role": "selection", "above": 0.6},
    "gains": {"statistic": "effect", "procedure": "mine", "state": "base", "role": "selection", "above": 0},
    "beats": {
        "statistic": "difference", "procedure": "mine", "state": "base", "role": "selection", "rivals": RIVALS,
        "form": "own_dose", "above": 0,
    },
    "cause": {"statistic": "truth_cosine", "procedure": "mine", "above": 0},
    "robust": {
        "statistic": "robustness", "factor": "size", "state": "base", "role": "selection", "within": 0.1,
        "of": "robustness",
    },
    "moves": {"statistic": "explains", "predictor": "kl", "role": "selection", "below": 0},
    "foresees": {"statistic": "foretells", "predictor": "set", "role": "selection", "above": 0},
    "same": {"statistic": "unmeasured", "because": "nobody looked"},
    "nothing": {
        "statistic": "effect", "procedure": "mine", "state": "base", "role": "selection", "within": 0.05,
        "of": "refutation",
    },
}  # fmt: skip


def claim(name: str, **changes: object) -> Claim:
    """One of the claims, with changes."""
    return Claim.model_validate({"says": f"the claim {name}", "of": "ours"} | CLAIMS[name] | changes)


def claims(*names: str) -> dict[str, Claim]:
    """Some of the claims, or all."""
    return {name: claim(name) for name in names or CLAIMS}


def verdicts_of(tables: dict[str, pd.DataFrame], *names: str, seeds: list[int] = SEEDS) -> dict[str, list[str]]:
    """Claim -> verdicts of the seeds, then the one over seeds."""
    ledger = judge("small", claims(*names), tables, STUDY, seeds)
    return {name: list(rows["verdict"]) for name, rows in ledger.groupby("claim", sort=False)}


def per_seed(rows: list[dict], seeds: list[int]) -> pd.DataFrame:
    """The same rows in every seed."""
    return pd.DataFrame([row | {"seed": seed} for seed in seeds for row in rows])


def number(value: float, half: float = 0.02) -> dict[str, float]:
    """A value with a symmetric interval."""
    return {"value": value, "lo": value - half, "hi": value + half}


def comparison(rival: str, value: float, half: float = 0.02, share: float = float("nan"), **changes: object) -> dict:
    """One row of comparisons."""
    bounds = {"difference": value, "lo": value - half, "hi": value + half, "share_exceeded": share, "members": 20}
    return EDIT | SCORED | {"rival": rival, "form": "own_dose"} | bounds | changes


def overlaps(model: str, first: float) -> list[dict]:
    """Rows of the dynamics: five checkpoints, of which the first shares that much with the last."""
    row = {"model": model, "reading": "joint", "a": None, "b": None}
    cells = [row | {"kind": "overlap", "a": 1, "b": b, "value": first if b == 5 else 0.9} for b in range(1, 6)]
    return [*cells, row | {"kind": "alive", "value": 200}]


def latents(dictionary: str, exclusive: int) -> list[dict]:
    """200 latents, 100 of them alive, some of these with a large NRN; all dead ones with a large one."""
    row = {"dictionary": dictionary, "recipe": "batchtopk"}
    nrn = [0.9] * exclusive + [0.5] * (100 - exclusive)
    return [row | {"alive": True, "nrn_l1": x} for x in nrn] + [row | {"alive": False, "nrn_l1": 0.9}] * 100


def tables(seeds: list[int] = SEEDS) -> dict[str, pd.DataFrame]:
    """Tables in which every claim but the refutation holds in every seed."""
    unedited = {"procedure": "steering", "edit": "none", "set_kind": "none", "chosen": True, "subset": "half"}
    effects = [unedited | SCORED | {"state": s} | number(v) for s, v in (("base", 0.3), ("rl", 0.9))]
    chosen = EDIT | SCORED | {"set_kind": "selected", "chosen": True, "subset": "half"} | number(0.8)
    chosen |= {"change": 0.5, "change_lo": 0.47, "change_hi": 0.53}
    effects += [chosen, chosen | {"chosen": False, "change": 0.1}, chosen | {"subset": "critical"}]
    effects += [chosen | {"set_kind": "random"}, chosen | {"half": "discovery"}, chosen | {"task": "max"}]
    lists = {"procedure": "mine", "population": "critical", "task_a": "ALL", "jaccard": 0.4, "chance_mean": 0.2}
    lists |= {"chance_lo": 0.1, "chance_hi": 0.3}
    cosine = {"procedure": "mine", "quantity": "cosine", "task": "ALL", "chance_hi": 0.5} | number(0.8)
    moved = {"quantity": "against_main", "state": "base", "role": "selection", "metric": "accuracy", "note": None}
    moved |= {"factor": "size"}
    rows = {
        "accuracy": [SCORED | {"state": s} | number(v) for s, v in (("base", 0.3), ("sft", 0.1), ("rl", 0.9))],
        "features": latents("base-rl", 2) + latents("base-sft", 30),
        "dynamics": overlaps("sft", 0.9) + overlaps("rl", 0.5),
        "sets": [{"procedure": "mine", "task": "ALL", "size": 12, "note": None}],
        "overlap": [lists | {"task_b": None}, lists | {"task_b": "max", "jaccard": 0.0}],
        "effects": effects,
        "comparisons": [comparison("random", 0.3, share=1.0), *(comparison(r, 0.2) for r in RIVALS[1:])],
        "controls": [EDIT | {"refused": None, "refused_readout": None}],
        "recovery": [cosine],
        "sensitivity": [
            moved | {"variant": "large"} | number(0.03),
            moved | {"variant": "small"} | number(-0.05),
            moved | {"variant": "small", "role": "unseen"} | number(-0.5),
            moved | {"variant": "other", "factor": "cut"} | number(-0.5),
        ],
        "explained": [
            {"predictor": "kl", "role": "selection"} | number(-0.4),
            {"predictor": "kl", "role": "unseen"} | number(0.4),
            {"predictor": "displacement", "role": "selection"} | number(0.4),
        ],
        "foretold": [
            read | {f"beyond{bound}": value for bound, value in (("", v), ("_lo", v - 0.02), ("_hi", v + 0.02))}
            for read, v in (
                (FIRST, 0.3),
                (FIRST | {"checkpoint": 2}, -0.5),
                (FIRST | {"texts": "in_domain"}, -0.5),
                (FIRST | {"predictor": "own"}, -0.5),
            )
        ],
    }
    return {name: per_seed(table, seeds) for name, table in rows.items()}
