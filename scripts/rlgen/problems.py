"""Published problems as training examples."""

import json
from pathlib import Path

import numpy as np

from rlgen.files import ArtifactError
from rlgen.samples import Example
from rlgen.seeds import stream_seed


def read_problems(path: Path) -> list[dict]:
    """Rows {prompt, answer[, completion]} of a source. Raises ArtifactError naming a line that is none."""
    rows, lines = [], path.read_text().removesuffix("\n").split("\n")
    for number, line in enumerate(lines if lines != [""] else [], start=1):
        try:
            row = json.loads(line)
            rows.append({"prompt": row["prompt"], "answer": row["answer"]} | row)
        except (ValueError, TypeError, KeyError) as error:
            raise ArtifactError(path, f"line {number} is no problem with its answer ({error!r})") from error
    return rows


def drawn(path: Path, n: int, completions: bool, seed: int) -> list[Example]:
    """`n` problems of a file with rows {prompt, answer[, completion]}, drawn without repetition, in random order.

    Raises ArtifactError where the file holds fewer, or where `completions` are needed (SFT) and a row has none.
    """
    rows = read_problems(path)
    if len(rows) < n:
        remedy = "lower the models' examples or prompts, or take more rows of the source"
        raise ArtifactError(path, f"holds {len(rows)} problems, {n} are needed", remedy)
    bare = sum("completion" not in row for row in rows)
    if completions and bare:
        remedy = "give the source's format a `completion`, or the study a `teacher`"
        raise ArtifactError(path, f"{bare} of {len(rows)} problems have no completion for SFT to learn", remedy)
    order = np.random.default_rng(stream_seed(seed, "problems")).permutation(len(rows))[:n]
    return [Example(rows[i]["prompt"], rows[i].get("completion", ""), rows[i]["answer"]) for i in order]
