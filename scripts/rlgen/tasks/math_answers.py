r"""Is a completion's final answer right? One rule for the reward of RL, the teacher's filter and the tests.

The reward is "final answer correct and nothing else" (paper, section 3), so a completion is judged by the one answer
that it ends on:

- What is in the last `\boxed{...}` whose braces close, and only that. Boxes before it do not count: a model that boxes
  several guesses has stated its last one. A box that the end of the text cuts short states nothing.
- Without a box, what is in the last closed `<answer>...</answer>`. Without either, what math-verify extracts from the
  last 2000 characters: a formula or number after "final answer is", then after "answer", then the last one in the text;
  Markdown and HTML around it do not count. Base models seldom box; a reward that asked for it would pay for the format.
- A gold that is a letter A to J is the choice of a question: the box, the line behind the last "answer (is)" or the
  whole text must be that letter ("C", "(c)", "\text{(C)}", "C) 12 cm"), with no second choice behind it.
- A gold in words ("Monday", "\text{no solution}") is compared as text; math-verify reads words as products of
  their letters, and takes "pots" for "stop".
- A gold that is a plain number asks for a number: what ends on a sum, a difference or a product of numbers ("9 + 8 =")
  has not worked it out. math-verify would, and RL on sums soon learns to repeat the question.
- Everything else is mathematics and is compared by math-verify: 1/2 is .5 and \frac12, 50 % is 50 and 1/2, sets are
  unordered, x = 5 is 5. Numbers are equal as `rlgen.tasks.equal_numbers` says: exact ones exactly, a decimal to all of
  its digits if it has six, a relative difference below 1e-5. Currency signs, a trailing full stop and a unit behind a
  number do not count ("$18", "18 eggs"); "18 million", "3 dozen" or "2 fifths" are other numbers than 18, 3 and 2.

Known limits, all of math-verify: units are not converted or compared, "12_5" is read as 12, 50 % equals both 50 and .5,
and "the answer is 18 million" without a box is read as 18.
"""

import re
from collections.abc import Callable, Sequence
from types import TracebackType

from rlgen.tasks.answer_markup import tagged_answer, without_markup, written_out
from rlgen.tasks.limited_processes import LimitedProcesses

LONGEST = 2000  # characters of an answer, and of the end of a completion without a box
_BOX = re.compile(r"(\\{1,2}boxed\s*\{)|\\.|([{}])", re.DOTALL)
_CUT_SHORT = re.compile(r"\\boxed\s*\{.*", re.DOTALL)
_NUMBER = r"-?(?:\d{1,3}(?:(?:,|\{,\}|\\,|\\!,|,\\!| )\d{3})+|\d+)(?:\.\d*)?|-?\.\d+"
_PLAIN = re.compile(rf"({_NUMBER})((?:\s+[^\W\d_]{{3,}}){{0,3}})")  # a number, perhaps with a unit of up to 3 words
_SCALES = re.compile(  # words that make another number of the one before them
    r"\b(?:hundred|thousand|million|billion|trillion|dozen|score|percent(?:age)?|pct|hal(?:f|ves)|third|quarter|fourth|"
    r"fifth|sixth|seventh|eighth|ninth|tenth|hundredth|thousandth|squared|cubed|times|plus|minus|over|and|sqrt|mod|"
    r"infinity|log|exp|sin|cos|tan)s?\b",
    re.IGNORECASE,
)
_INTEGER = re.compile(r"-?[0-9]{1,100}")
_DECIMAL = re.compile(r"-?[0-9]{1,100}\.[0-9]{1,100}")
_TERM = r"-?\d+(?:,\d{3})*(?:\.\d+)?"
_OPERATOR = r"(?:[-+*×·−]|\\times|\\cdot|\\pm)"
_NOT_WORKED_OUT = re.compile(  # at the end, and no number said to be equal to it before: "17 = 9 + 8" is an answer
    rf"(?:^|[^=\s\d.])\s*{_TERM}(?:\s*{_OPERATOR}\s*\(?{_TERM}\)?)+[\s=?.$]*$"
)
_SEVERAL = re.compile(r"[-\d.]+(?:\s+[-\d.]+)+")  # "7 8": math-verify would add them up
_MIXED = re.compile(r"(-?\d+)\s+(\d+)/(\d+)")
_WRAPPING = re.compile(r"\\(?:text(?:bf|it|rm|normal)?|math(?:rm|bf|it)|mbox|boxed|operatorname)\b\s*")
_WRAPPED = re.compile(r"\\(?:text(?:bf|it|rm|normal)?|math(?:rm|bf)|mbox)\s*\{([^{}]*)\}")
_MARKED = re.compile(rf"{_WRAPPED.pattern}|(?:\*{{1,3}}|`+)([^*`]*)(?:\*{{1,3}}|`+)")


_CHOICE = re.compile(r"(?:option |choice )?\(?([a-j])(?:[).:]*$|[).:]+\s*(.*))", re.IGNORECASE)
_OTHER_CHOICE = re.compile(r"\b[B-J]\b|\b[A-J][).:]")
_ANSWER_LINE = re.compile(r"\banswer\b(?: is)?[\s:=]*([^\n]*)", re.IGNORECASE)


def boxed_answer(text: str) -> str | None:
    r"""What stands in the last `\boxed{...}` whose braces are balanced; None where there is none.

    Escaped braces do not count, a box inside a box is the later one. Takes time linear in the text.

    >>> boxed_answer(r"so \boxed{1}, no: \boxed{\frac{1}{2}} or \boxed{3")
    '\\frac{1}{2}'
    """
    first = text.find("\\boxed")  # completions are long, and braces before it change nothing
    if first < 0:
        return None
    opened: list[tuple[bool, int]] = []  # of every open brace: is it a box's, where does its content start
    last = (-1, -1)  # where the content of the last closed box starts and ends
    for match in _BOX.finditer(text, first):
        if match[1] or match[2] == "{":
            opened.append((bool(match[1]), match.end()))
        elif match[2] and opened:
            is_box, start = opened.pop()
            if is_box and start > last[0]:
                last = (start, match.start())
    return None if last[0] < 0 else text[last[0] : last[1]]


def extract_answer(text: str, pattern: str) -> str:
    r"""The answer in a data set's text: the one group of the last match of `pattern`, without white space around it.

    Raises ValueError, naming pattern and text, where nothing matches or the answer is empty.

    >>> extract_answer("16 - 3 - 4 = 9\n#### 9", r"####\s*(.+)$")
    '9'
    """
    compiled = re.compile(pattern)
    if compiled.groups != 1:
        raise ValueError(f"answer pattern {pattern!r} has {compiled.groups} groups, expected one: the answer")
    matches = list(compiled.finditer(text))
    if not matches:
        raise ValueError(f"no answer: {pattern!r} matches nowhere in {_ending(text)!r}")
    answer = (matches[-1][1] or "").strip()
    if not answer:
        raise ValueError(f"empty answer: {pattern!r} found no text in {_ending(text)!r}")
    return answer


def _ending(text: str) -> str:
    return text if len(text) <= 80 else "..." + text[-80:]


class AnswerChecker:
    """Judges completions in up to `workers` processes of their own; an answer gets `timeout_s` of processor time.

    math-verify can hang on what models write (9^{9^{9^9}}), and its own time limits work in main threads alone. An
    answer that takes longer is not right. The processes start when the first answer needs one; `close` or the end of a
    `with` ends them. May be used from threads and inside the workers of others.
    """

    def __init__(self, workers: int = 1, timeout_s: float = 5.0) -> None:
        self._processes = LimitedProcesses("rlgen.tasks.math_answers:math_verdict", workers, timeout_s)

    def right(self, completions: Sequence[str], golds: Sequence[str]) -> list[bool]:
        """Whether each completion's final answer is its gold. Raises ValueError where the numbers of them differ."""
        verdicts: list[bool | None] = [quick_verdict(c, g) for c, g in zip(completions, golds, strict=True)]
        asked: dict[tuple[str, bool, str], list[int]] = {}  # samples of a prompt often share their answer
        for place, verdict in enumerate(verdicts):
            if verdict is None:
                question = (*stated_answer(completions[place]), tidy(golds[place]))
                asked.setdefault(question, []).append(place)
        for places, verdict in zip(asked.values(), self._processes.map(list(asked)), strict=True):
            for place in places:
                verdicts[place] = bool(verdict)
        return [bool(verdict) for verdict in verdicts]

    def close(self) -> None:
        """End the processes; a later call starts new ones."""
        self._processes.close()

    def __enter__(self) -> "AnswerChecker":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def quick_verdict(completion: str, gold: str) -> bool | None:
    """The verdict where no mathematics is needed, else None. Never accepts a number that math-verify would not."""
    gold, (stated, boxed) = tidy(gold), stated_answer(completion)
    if not gold or not stated or len(gold) > LONGEST or len(stated) > LONGEST:
        return False
    letter = _choice(gold)
    if letter and letter == _plain(gold).strip("(). "):
        return _choice(stated if boxed else _answer_line(stated)) == letter
    if is_text(gold):
        return _text_key(stated if boxed else _answer_line(stated)) == _text_key(gold)
    if (_INTEGER.fullmatch(gold) or _DECIMAL.fullmatch(gold)) and _NOT_WORKED_OUT.search(stated):
        return False
    if boxed and _SEVERAL.fullmatch(stated):
        return gold == stated
    number = tidy(stated)
    if _INTEGER.fullmatch(gold) and _INTEGER.fullmatch(number):
        return int(gold) == int(number)
    return True if _DECIMAL.fullmatch(gold) and gold == number else None


def stated_answer(completion: str) -> tuple[str, bool]:
    """(text, boxed): what the last closed box or `<answer>` holds, tidied; or else the end, before a box cut short."""
    box = boxed_answer(completion)
    if box is None and "\\boxed" not in completion:
        box = tagged_answer(completion)
    if box is not None:
        return tidy(box), True
    return without_markup(_CUT_SHORT.sub("", completion)[-2 * LONGEST :])[-LONGEST:], False


def tidy(answer: str) -> str:
    """An answer without what does not count: dollars, full stop, unit behind a number, separators of thousands."""
    answer = written_out(answer.strip())
    marked = _MARKED.fullmatch(answer)
    inside = (marked[1] or marked[2] or "").strip() if marked else ""
    if _PLAIN.fullmatch(inside) or _SEVERAL.fullmatch(inside):  # "\text{73 apples}", "**73**"
        answer = inside
    for before, after in (("$", "$"), (r"\(", r"\)"), (r"\[", r"\]")):
        inside = answer[len(before) : len(answer) - len(after)]
        if len(answer) > len(before + after) and answer.startswith(before) and answer.endswith(after):
            answer = inside.strip() if before not in inside else answer
    answer = re.sub(r"(?<!\\)\.$", "", answer)
    answer = re.sub(r"^(-?)\s*(?:\\\$|[$€£])\s*(?=[-.\d])", r"\1", answer)
    mixed = _MIXED.fullmatch(answer)
    if mixed:
        return rf"{mixed[1]}\frac{{{mixed[2]}}}{{{mixed[3]}}}"
    number = _PLAIN.fullmatch(answer)
    if number and not _SCALES.search(number[2]):
        return re.sub(r"[^-\d.]", "", number[1]).removesuffix(".")
    return answer


def is_text(gold: str) -> bool:
    r"""Whether a gold is words: wholly inside one \text{} and no digits, or a word of four letters among them."""
    wrapped = _WRAPPED.fullmatch(gold)
    words = re.sub(r"[\s,;:.'’()-]+", " ", wrapped[1] if wrapped else gold).split()
    if not words or not all(word.isalpha() for word in words) or words == ["infinity"]:
        return False
    return bool(wrapped) or max(map(len, words)) >= 4


def _plain(answer: str) -> str:
    """The text of an answer, without what LaTeX and Markdown wrap around it."""
    without = _WRAPPING.sub("", answer).replace("~", " ").replace("\\ ", " ")
    return " ".join(re.sub(r"[{}$*\"]|\\[()\[\]]", "", without).split())


def _text_key(answer: str) -> str:
    return _plain(answer).strip(" .").casefold()


def _choice(answer: str) -> str | None:
    """The letter that an answer chooses, or None: where it is none, or names a second one."""
    found = _CHOICE.fullmatch(_plain(answer))
    if found is None or _OTHER_CHOICE.search(found[2] or ""):
        return None
    return found[1].upper()


def _answer_line(text: str) -> str:
    """Of a text without a box: what follows its last "answer" on that line, or all of it where it has none."""
    matches = list(_ANSWER_LINE.finditer(text))
    return tidy(matches[-1][1] if matches else text)


def math_verdict() -> Callable[[str, bool, str], bool]:
    """The judge for mathematics, to be called in a worker: it knows no time limit."""
    import logging

    from math_verify import ExprExtractionConfig, LatexExtractionConfig, grader, parse, verify
    from sympy.matrices import MatrixBase, MatrixExpr

    from rlgen.tasks.equal_numbers import equal

    logging.disable(logging.CRITICAL)  # it warns that it has no time limit, and of every text it cannot read
    latex = (LatexExtractionConfig(),)
    anything = (LatexExtractionConfig(), ExprExtractionConfig())

    by_elements = grader.sympy_numeric_eq

    def same_number(a, b, rounding: int, precision: int) -> bool:
        if isinstance(a, MatrixBase | MatrixExpr) or isinstance(b, MatrixBase | MatrixExpr):
            return by_elements(a, b, rounding, precision)
        try:
            return equal(a, b)
        except Exception:  # no numbers, or none that sympy can compute: math-verify tries to simplify next
            return False

    grader.sympy_numeric_eq = same_number  # it decides for every number, also in sets, tuples and equations

    def verdict(text: str, boxed: bool, gold: str) -> bool:
        # first_match: where the final answer cannot be read, no earlier one takes its place.
        def read(what: str, kinds: tuple) -> list:
            return parse(what, kinds, extraction_mode="first_match", parsing_timeout=None)

        stated = read(f"\\boxed{{{text}}}", latex) if boxed else read(text, anything)
        return verify(read(f"\\boxed{{{gold}}}", latex), stated, timeout_seconds=None)

    return verdict
