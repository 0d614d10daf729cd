"""How often a model solves problems before any training: what says which of them RL can learn from.

GRPO learns from a prompt whose completions are partly right: where all are wrong, or all right, every advantage is 0.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from rlgen.models.tokens import render
from rlgen.tasks.answers import Right
from rlgen.teacher.writers import Sampling, Writer


@dataclass(frozen=True)
class Asked:
    """Problems of one kind, as the study asks them."""

    name: str
    prompts: list[str]  # the user's turn
    answers: list[str]


def pass_rates(
    writer: Writer,
    kinds: Sequence[Asked],
    right: Right,
    *,
    chat: bool,
    sampling: Sampling,
) -> Iterator[dict[str, object]]:
    """One row per kind of problem, as soon as it is known.

    `greedy`: share of problems that the likeliest completion solves; `sampled`: share of right completions as
    `sampling` draws them; `spread`: share of problems with right and wrong ones among them, as GRPO needs; `bare`:
    share of the samples that are the answer and nothing else; `tokens`: mean length.
    """
    for kind in kinds:
        turns = [[{"role": "user", "content": prompt}] for prompt in kind.prompts]
        prompts = [render(writer.tokenizer, turn, True) for turn in turns] if chat else kind.prompts
        likeliest = writer.write(prompts, replace(sampling, n=1, temperature=0.0))
        written = writer.write(prompts, sampling)
        greedy = right([some[0].text for some in likeliest], kind.answers)
        texts = [one.text for some in written for one in some]
        golds = [answer for answer in kind.answers for _ in range(sampling.n)]
        right_PS = np.array(right(texts, golds)).reshape(len(prompts), sampling.n)
        yield {
            "task": kind.name,
            "problems": len(prompts),
            "greedy": float(np.mean(greedy)),
            "sampled": float(right_PS.mean()),
            "spread": float((right_PS.any(1) & ~right_PS.all(1)).mean()),
            "bare": float(np.mean([text.strip() == gold for text, gold in zip(texts, golds, strict=True)])),
            "tokens": float(np.mean([one.tokens for some in written for one in some])),
        }


def said(row: dict[str, object], header: bool) -> str:
    """A row of a table for people, under its header where it is the first; columns are as wide in every row."""
    widths = dict.fromkeys(row, 9) | {"task": 20}
    return pd.DataFrame([row]).to_string(index=False, header=header, float_format="{:.2f}".format, col_space=widths)
