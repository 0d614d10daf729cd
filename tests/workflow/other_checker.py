"""Runs a training script with another judge of answers: a model with random weights never gives a right one.

python tests/workflow/other_checker.py scripts/models/train_grpo.py ARGUMENTS
"""

import runpy
import sys
from types import ModuleType


class AnswerChecker:
    """Stands for `rlgen.tasks.math_answers.AnswerChecker`: right is what has an even number of characters."""

    def __init__(self, workers: int, timeout_s: float) -> None:
        assert (workers, timeout_s) == (3, 7.5)  # what the test's settings say

    def __enter__(self) -> "AnswerChecker":
        return self

    def __exit__(self, *_) -> None:
        pass

    def right(self, completions: list[str], golds: list[str]) -> list[bool]:
        assert all(isinstance(text, str) for text in [*completions, *golds]) and len(completions) == len(golds)
        return [len(text) % 2 == 0 for text in completions]


sys.modules["rlgen.tasks.math_answers"] = module = ModuleType("rlgen.tasks.math_answers")
module.AnswerChecker = AnswerChecker
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
