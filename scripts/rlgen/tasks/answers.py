"""What counts as the answer of a completion: one rule for the reward, the evaluation and the lm-eval tasks."""

from collections.abc import Callable, Sequence

Right = Callable[[list[str], Sequence[str]], list[bool]]  # which of the completions end in their answer


def final_answer(completion: str, marker: str) -> str | None:
    """The word after the first answer marker, or None where there is none.

    >>> final_answer("7 3 8 4 ; 4 .", ";")
    '4'
    """
    words = completion.split()
    if marker not in words:
        return None
    place = words.index(marker) + 1
    return words[place] if place < len(words) else None
