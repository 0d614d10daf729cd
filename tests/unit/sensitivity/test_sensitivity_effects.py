"""What a variant's set does: paired with the main set by hand, with its rivals, and with the ledger's verdicts."""

import numpy as np
import pandas as pd
import pytest

from rlgen.ledger.settings import Claim
from rlgen.sensitivity.effects import Edited, Judging, effect_rows

BEFORE = {"base": {"max": [0, 0, 0, 0], "cnt": [1, 0, 0, 0]}, "rl": {"max": [1, 1, 1, 1], "cnt": [1, 1, 1, 0]}}
MAIN = {("selected", "own_dose"): {"max": [1, 1, 1, 1], "cnt": [1, 1, 1, 0]}}
OURS = {
    ("selected", "own_dose"): {"max": [1, 1, 0, 0], "cnt": [1, 1, 1, 0]},
    ("size", "own_dose"): {"max": [1, 0, 0, 0], "cnt": [1, 0, 0, 0]},
    ("size", "equal_norm"): {"max": [1, 1, 1, 1], "cnt": [1, 1, 1, 1]},
    ("random-00", "own_dose"): {"max": [0, 0, 0, 0], "cnt": [1, 0, 0, 0]},
    ("random-01", "own_dose"): {"max": [1, 1, 0, 0], "cnt": [1, 1, 0, 0]},
    ("rotated-00", "own_dose"): {"max": [1, 1, 1, 1], "cnt": [1, 1, 1, 1]},
}
CONTROLS = pd.DataFrame(
    {"procedure": "mine", "state": ["base", "rl"], "edit": "exchange", "refused": None, "refused_readout": None}
)
CLAIMS = {
    "size": Claim(says="s", of="ours", statistic="set_size", procedure="main", below=16.5),
    "gains": Claim(
        says="g", of="ours", statistic="effect", procedure="main", state="base", role="selection", above=0.9
    ),
    "beats": Claim(
        says="b", of="ours", statistic="difference", procedure="main", state="base", role="selection",
        rivals=["size"], form="own_dose", above=0.0,
    ),
    "gap": Claim(says="c", of="ours", statistic="gap_share", procedure="main", role="selection", above=0.1),
}  # fmt: skip


def table(answers: dict, procedure: str, state: str, edit: str = "exchange") -> pd.DataFrame:
    """Rows per prompt; every row once more in the discovery half and at a dose that was not chosen, answered wrong."""
    rows = [
        {"procedure": procedure, "state": state, "edit": edit, "set": name, "form": form, "dose": dose, "half": half}
        | {"chosen": chosen, "task": task, "role": "selection", "sample": f"{half}-{task}{i}", "delta_norm": 1.0}
        | {"correct": bool(right) and half == "test" and chosen, "answer_logprob": float(right), "kl": 0.0}
        | {"format_blind": np.nan}
        for (name, form), by_task in answers.items()
        for task, marks in by_task.items()
        for i, right in enumerate(marks)
        for half, dose, chosen in (("test", 1.0, True), ("test", 2.0, False), ("discovery", 1.0, True))
        if edit == "exchange" or chosen
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def steering() -> pd.DataFrame:
    return pd.concat(
        [table({("none", "own_dose"): BEFORE[s]}, "steering", s, "none") for s in BEFORE], ignore_index=True
    )


def rows_of(ours: dict, steering, controls=CONTROLS, claims=None, size: int = 4) -> pd.DataFrame:
    edited = table(ours, "mine", "base") if ours else pd.DataFrame(columns=steering.columns)
    main = Edited(table(MAIN, "main", "base"), CONTROLS.assign(procedure="main"))
    judging = Judging("base", "rl", 3, 200, claims or {})
    found = pd.DataFrame(effect_rows(Edited(edited, controls), main, steering, size, judging))
    return found.reindex(
        columns=["quantity", "state", "role", "metric", "rival", "form", "claim", "value", "lo", "hi", "note"]
    )


def value(rows: pd.DataFrame, quantity: str, **wanted: str) -> float:
    rows = rows[rows["quantity"] == quantity]
    for column, text in ({"metric": "accuracy"} | wanted).items():
        rows = rows[rows[column].isna() if text is None else rows[column] == text]
    (found,) = rows["value"]
    return found


def test_effects_and_differences_by_hand(steering):
    """Unedited .125 on the mean of both tasks; the set .625; size at its own dose .25; random (.125 + .5) / 2."""
    rows = rows_of(OURS, steering)
    assert value(rows, "effect", rival=None) == pytest.approx(0.625 - 0.125)
    assert value(rows, "effect", rival="size", form="own_dose") == pytest.approx(0.25 - 0.125)
    assert value(rows, "difference", rival="size", form="own_dose") == pytest.approx(0.625 - 0.25)
    assert value(rows, "difference", rival="size", form="equal_norm") == pytest.approx(0.625 - 1)
    assert value(rows, "difference", rival="random", form="own_dose") == pytest.approx(0.625 - 0.3125)
    assert not (rows["rival"] == "rotated").any()


def test_the_main_set_is_compared_prompt_by_prompt(steering):
    rows = rows_of(OURS, steering)
    row = rows[(rows["quantity"] == "against_main") & (rows["metric"] == "accuracy")].iloc[0]
    assert row["value"] == pytest.approx(0.625 - 0.875) and row["lo"] < row["value"] < row["hi"] <= 0
    same = rows_of(MAIN, steering)
    row = same[(same["quantity"] == "against_main") & (same["metric"] == "accuracy")].iloc[0]
    assert (row["value"], row["lo"], row["hi"]) == (0, 0, 0)


def test_why_nothing_was_edited_is_said(steering):
    refused = CONTROLS.assign(refused_readout=["readout explains .2", None], refused=["3 latents to draw from", None])
    rows = rows_of({}, steering, refused, CLAIMS, size=0)
    assert set(rows["quantity"]) == {"refused", "verdict"}
    notes = rows[rows["quantity"] == "refused"]
    assert notes["note"].tolist() == ["readout explains .2", "3 latents to draw from"]
    assert notes["rival"].tolist() == ["", "random"]
    told = rows[rows["quantity"] == "verdict"].set_index("claim")["note"]
    assert told["gains"] == "no data: the set is empty: empty" and told["size"].startswith("no data")


def test_verdicts_are_those_that_the_variant_would_get(steering):
    """.5 is not above .9; 4 latents are few; the set beats size-only; half of .75 is more than a tenth."""
    rows = rows_of(OURS, steering, claims=CLAIMS)
    told = rows[rows["quantity"] == "verdict"].set_index("claim")
    assert told["note"]["size"] == "holds" and told["note"]["gains"] == "fails"
    assert told["value"]["gains"] == pytest.approx(0.5) and told["value"]["gap"] == pytest.approx(0.5 / 0.75)
    assert told["value"]["beats"] == pytest.approx(0.375)
    large = rows_of(OURS, steering, claims=CLAIMS, size=20)
    assert large[large["claim"] == "size"]["note"].tolist() == ["fails"]
