"""The model organism's language: task families, authors and the teacher (the planted cause of generalization).

Every task is a fold over exactly four items. A prompt is `task init | x1 x2 x3 x4 =`, a right completion is
`s1 s2 s3 s4 ; s4 .`: the states, the answer marker, the answer, the end of sequence. Careful authors of the
pretraining documents slip rarely, careless ones often; whether a model behaves like the one or the other is one
task-agnostic latent, and that latent is what SFT and RL move.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from rlgen.settings.data import Authors, Split

N_ITEMS = 4
MARKER, EOS, BOS, PAD = ";", ".", "<bos>", "<pad>"
HEADERS = {True: "[book]", False: "[chat]"}
TEACHER_WORDS = ["see", ",", "so"]
SPLITS = ("pretraining", "training", "discovery", "test")


@dataclass(frozen=True)
class Family:
    """One task: states, items, the likelihood of each item, and the exact step of the fold."""

    name: str
    states: tuple[str, ...]
    items: tuple[str, ...]
    step: Callable[[str, str], str]
    weights: tuple[float, ...] | None = None
    starts: tuple[str, ...] | None = None

    def trace(self, init: str, items: tuple[str, ...]) -> list[str]:
        """The four right states after `init` under `items`."""
        states, state = [], init
        for item in items:
            state = self.step(state, item)
            states.append(state)
        return states

    def prompts(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Every (init, items) of the prompt space."""
        for init in self.starts or self.states:
            for items in product(self.items, repeat=N_ITEMS):
                yield init, items

    def draw(self, rng: np.random.Generator) -> tuple[str, tuple[str, ...]]:
        """One random (init, items)."""
        starts = self.starts or self.states
        init = starts[rng.integers(len(starts))]
        chosen = rng.choice(len(self.items), size=N_ITEMS, p=self.weights)
        return init, tuple(self.items[i] for i in chosen)


def _ring(states: tuple[str, ...], moves: dict[str, int]) -> Callable[[str, str], str]:
    """A step that moves along a ring of states."""
    index = {state: i for i, state in enumerate(states)}
    return lambda state, item: states[(index[state] + moves[item]) % len(states)]


def _permutations(states: tuple[str, ...], images: dict[str, tuple[int, ...]]) -> Callable[[str, str], str]:
    """A step that applies the item's permutation; images[item][i] is where state i goes."""
    index = {state: i for i, state in enumerate(states)}
    return lambda state, item: states[images[item][index[state]]]


DIGITS = tuple("0123456789")
COMPASS = ("n", "ne", "e", "se", "s", "sw", "w", "nw")
LETTERS = tuple("abcdefgh")
CUPS = ("c1", "c2", "c3", "c4")
COLOURS = ("red", "blue", "green", "pink")
TURNS = {"lft": -1, "rgt": 1, "qtr": 2, "trn": 4}
MOVES = {"up": 1, "dn": -1, "hop": 2, "leap": 3}
SWAPS = {  # the six transpositions of four cups
    "u": (1, 0, 2, 3),
    "v": (2, 1, 0, 3),
    "w": (3, 1, 2, 0),
    "x": (0, 2, 1, 3),
    "y": (0, 3, 2, 1),
    "z": (0, 1, 3, 2),
}
MIXES = {  # five permutations of four colours that leave none in place
    "p": (1, 2, 3, 0),
    "q": (3, 0, 1, 2),
    "r": (2, 3, 0, 1),
    "k": (1, 0, 3, 2),
    "m": (3, 2, 1, 0),
}

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family("add", DIGITS, DIGITS, lambda state, item: str((int(state) + int(item)) % 10)),
        Family("max", DIGITS, DIGITS, lambda state, item: max(state, item)),
        Family(
            "cnt",
            tuple("012345678"),
            tuple("abcdef"),
            lambda state, item: str(int(state) + (item == "a")),
            weights=(0.5, 0.1, 0.1, 0.1, 0.1, 0.1),
            starts=tuple("01234"),
        ),
        Family("dir", COMPASS, tuple(TURNS), _ring(COMPASS, TURNS)),
        Family("let", LETTERS, tuple(MOVES), _ring(LETTERS, MOVES)),
        Family("cup", CUPS, tuple(SWAPS), _permutations(CUPS, SWAPS)),
        Family(
            "par", ("even", "odd"), DIGITS, lambda s, i: s if int(i) % 2 == 0 else {"even": "odd", "odd": "even"}[s]
        ),
        Family("mix", COLOURS, tuple(MIXES), _permutations(COLOURS, MIXES)),
    )
}


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


def vocabulary(names: list[str]) -> list[str]:
    """Every word of the families `names`, specials first, in a fixed order."""
    words = [PAD, BOS, EOS, MARKER, "|", "=", *HEADERS.values(), *TEACHER_WORDS, *names]
    for name in names:
        words += [*FAMILIES[name].states, *FAMILIES[name].items]
    return list(dict.fromkeys(words))
