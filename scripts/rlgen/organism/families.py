"""The organism's task families: every task is a fold over exactly four items.

A prompt is `task init | x1 x2 x3 x4 =`, a right completion is `s1 s2 s3 s4 ; s4 .`: the states, the answer marker, the
answer, the end of sequence. A new task is one more `Family` here, and its name in a study's file.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # planning reads this module, and needs no numpy
    import numpy as np

N_ITEMS = 4
MARKER, EOS, BOS, PAD = ";", ".", "<bos>", "<pad>"
HEADERS = {True: "[book]", False: "[chat]"}
TEACHER_WORDS = ["see", ",", "so"]


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

    def draw(self, rng: "np.random.Generator") -> tuple[str, tuple[str, ...]]:
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


def vocabulary(names: list[str]) -> list[str]:
    """Every word of the families `names`, specials first, in a fixed order."""
    words = [PAD, BOS, EOS, MARKER, "|", "=", *HEADERS.values(), *TEACHER_WORDS, *names]
    for name in names:
        words += [*FAMILIES[name].states, *FAMILIES[name].items]
    return list(dict.fromkeys(words))
