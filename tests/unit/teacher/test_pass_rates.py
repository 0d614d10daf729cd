"""Pass rates of hand-made completions."""

from dataclasses import dataclass, field

from rlgen.teacher.pass_rates import Asked, pass_rates, said
from rlgen.teacher.writers import Sampling, Written

SAMPLING = Sampling(n=4, max_new_tokens=9, temperature=1.0, top_p=1.0, seed=0)


@dataclass
class Scripted:
    """Says what a script holds for a prompt: the first text when greedy, all four when drawn."""

    script: dict[str, list[str]]
    asked: list[Sampling] = field(default_factory=list)
    tokenizer: None = None

    def write(self, prompts, sampling):
        self.asked.append(sampling)
        return [[Written(text, len(text), True) for text in self.script[prompt][: sampling.n]] for prompt in prompts]


def right(texts, golds):
    return [gold in text for text, gold in zip(texts, golds, strict=True)]


def test_pass_rates_of_problems_that_are_never_sometimes_and_always_solved():
    script = {"a": ["no"] * 4, "b": ["It is 2.", "2", "no", "no"], "c": ["3"] * 4, "d": ["no", "no", "no", "4!"]}
    writer = Scripted(script)
    (row,) = pass_rates(writer, [Asked("sums", list("abcd"), list("1234"))], right, chat=False, sampling=SAMPLING)
    assert row == {
        "task": "sums",
        "problems": 4,
        "greedy": 2 / 4,  # b and c
        "sampled": (0 + 2 + 4 + 1) / 16,
        "spread": 2 / 4,  # b and d have right and wrong completions
        "bare": (1 + 4) / 16,
        "tokens": (4 * 2 + 8 + 1 + 2 + 2 + 4 * 1 + 3 * 2 + 2) / 16,
    }
    assert [(s.n, s.temperature) for s in writer.asked] == [(1, 0.0), (4, 1.0)]
    header, values = said(row, header=True).split("\n")
    assert "sampled" in header and "0.44" in values
    assert said(row, header=False) == values
