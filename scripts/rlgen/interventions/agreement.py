"""Whether the plain model of the behaviour tables and the hooked model of interventions say the same."""

import sys

import pandas as pd

from rlgen.tables import UNEDITED

KEY = ["task", "state", "sample"]


def agreement(behaviour: pd.DataFrame, interventions: pd.DataFrame) -> pd.DataFrame:
    """Per task and state: n, share of samples with the same verdict, and mean |difference of answer_logprob| (nats).

    `interventions` holds rows of unedited models (edit "none"); states and samples that are not in both are left out.
    """
    unedited = interventions[interventions["edit"] == UNEDITED]
    columns = [*KEY, "correct", "answer_logprob"]
    both = behaviour[columns].merge(unedited[columns], on=KEY, suffixes=("", "_hooked"), validate="one_to_one")
    both["same"] = both["correct"].astype(bool) == both["correct_hooked"].astype(bool)
    both["difference"] = (both["answer_logprob"] - both["answer_logprob_hooked"]).abs()
    by_task = both.groupby(["task", "state"], sort=False)
    table = by_task.agg(n=("same", "size"), same_verdict=("same", "mean"), logprob_difference=("difference", "mean"))
    return table.reset_index()


def warn_disagreement(table: pd.DataFrame, at_least: float) -> None:
    """One line on stderr for every task and state whose verdicts agree less often than that."""
    for row in table[table["same_verdict"] < at_least].itertuples():
        print(
            f"WARNING: {row.task}, {row.state}: plain and hooked model give the same verdict on "
            f"{100 * row.same_verdict:.1f} % of {row.n} samples, expected at least {100 * at_least:.1f} %; "
            "intervention effects that small are not to be trusted",
            file=sys.stderr,
        )
