"""The organism's language: who writes which completion after a prompt (the planted cause of generalization).

Careful authors of the pretraining documents slip rarely, careless ones often; whether a model behaves like the one or
the other is one task-agnostic latent, and that latent is what SFT and RL move. The tasks are in `families`.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from rlgen.organism.families import EOS, FAMILIES, HEADERS, MARKER, Family
from rlgen.organism.settings import Authors, Split

SPLITS = ("pretraining", "training", "discovery", "test")


@dataclass(frozen=True)
class Problem:
    """One prompt with its exact solution."""

    family: Family
    init: str
    items: tuple[str, ...]

    @property
    def prompt(self) -> str:
        return f"{self.family.name} {self.init} | {' '.join(self.items)} ="

    @property
    def states(self) -> list[str]:
        return self.family.trace(self.init, self.items)

    @property
    def answer(self) -> str:
        return self.states[-1]

    def split(self, salt: str, split: Split) -> str:
        """Which part of the prompt space this prompt belongs to: a hash of the prompt, salted by the study."""
        raw = hashlib.sha256(f"{salt}|{self.prompt}".encode()).digest()[:8]
        position, upper = int.from_bytes(raw, "big") / 2**64, 0.0
        for name in SPLITS:
            upper += getattr(split, name)
            if position < upper:
                return name
        return SPLITS[-1]


def draw_problem(
    family: Family, part: str, salt: str, split: Split, rng: np.random.Generator, attempts: int = 10_000
) -> Problem:
    """A random problem of one part ('pretraining', 'training', 'discovery', 'test') of a family's prompt space."""
    for _ in range(attempts):
        problem = Problem(family, *family.draw(rng))
        if problem.split(salt, split) == part:
            return problem
    raise ValueError(
        f"data.split: no {part} prompt of family '{family.name}' in {attempts} draws, expected a larger share"
    )


def distinct_problems(
    family: Family, part: str, n: int, salt: str, split: Split, rng: np.random.Generator
) -> list[Problem]:
    """`n` distinct problems of one part, drawn as `Family.draw` weighs them, without replacement.

    The space is enumerated, so that the error is exact: raises ValueError where the part holds fewer than `n`.
    """
    space = [p for p in (Problem(family, *key) for key in family.prompts()) if p.split(salt, split) == part]
    if len(space) < n:
        raise ValueError(
            f"{n} distinct {part} prompts of family '{family.name}' asked for, expected at most the {len(space)} "
            f"that it has; ask for fewer or raise data.split.{part}"
        )
    likelihood = np.ones(len(space))
    if family.weights is not None:
        weight = dict(zip(family.items, family.weights, strict=True))
        likelihood = np.array([np.prod([weight[item] for item in p.items]) for p in space])
    chosen = rng.choice(len(space), size=n, replace=False, p=likelihood / likelihood.sum())
    return [space[i] for i in chosen]


def right_completion(problem: Problem) -> str:
    """The careful author's completion without a slip."""
    return f"{' '.join(problem.states)} {MARKER} {problem.answer} {EOS}"


def teacher_completion(problem: Problem) -> str:
    """The SFT teacher: right, in a style that pretraining never shows."""
    steps = " , ".join(f"{item} {state}" for item, state in zip(problem.items, problem.states, strict=True))
    return f"see {steps} so {MARKER} {problem.answer} {EOS}"


def author_completion(problem: Problem, careful: bool, authors: Authors, rng: np.random.Generator) -> str:
    """What an author writes after the prompt. A slip leaves the state unchanged (a habit, not noise)."""
    if not careful and rng.random() < authors.direct_careless:
        keeps = rng.random() < authors.direct_keeps_init
        states = problem.family.states
        answer = problem.init if keeps else states[rng.integers(len(states))]
        return f"{MARKER} {answer} {EOS}"
    slip = authors.slip_careful if careful else authors.slip_careless
    state, written = problem.init, []
    for item in problem.items:
        if rng.random() >= slip:
            state = problem.family.step(state, item)
        written.append(state)
    return f"{' '.join(written)} {MARKER} {state} {EOS}"


@dataclass(frozen=True)
class Document:
    """Problems by one author: words after <bos>, and which of them are completions (the loss falls on those)."""

    words: list[str]
    completion: list[bool]
    careful: bool
    header: bool


def draw_document(
    names: list[str],
    n_problems: int,
    careful_share: float,
    authors: Authors,
    salt: str,
    split: Split,
    rng: np.random.Generator,
) -> Document:
    """One document of the pretraining mix, from pretraining prompts only."""
    careful = bool(rng.random() < careful_share)
    header = bool(rng.random() < authors.header_share)
    words, completion = ([HEADERS[careful]], [False]) if header else ([], [])
    for _ in range(n_problems):
        family = FAMILIES[names[rng.integers(len(names))]]
        problem = draw_problem(family, "pretraining", salt, split, rng)
        for text, is_completion in (
            (problem.prompt, False),
            (author_completion(problem, careful, authors, rng), True),
        ):
            new = text.split()
            words += new
            completion += [is_completion] * len(new)
    return Document(words, completion, careful, header)
