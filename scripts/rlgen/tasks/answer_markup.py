r"""What people and models put around an answer and into its numbers, taken away before it is read as mathematics.

Markdown (`**73**`, `` `73` ``), HTML (`<b>73</b>`) and an answer that touches its colon (`Answer:73`) hide a number
from math-verify; 1.6e-19 is the number -19 + 1.6e to it.
"""

import re
from decimal import Decimal

LONGEST_EXPONENT = 99  # of a number in scientific notation that is written out


_ANSWER_TAG = re.compile(r"<(\w*answer\w*)>(.*?)</\1\s*>", re.IGNORECASE | re.DOTALL)


_TAG = re.compile(r"</?(?:\w*answer\w*|b|strong|i|em|u|code|pre|p|div|span|br)\s*/?>|`+", re.IGNORECASE)


# Not in 2**3**4 or z^*w^*: what opens follows no operand, what closes precedes none.
_EMPHASIS = re.compile(r"(?<![\w)\]}^\\*])(\*{1,3}|__)(?=[^\s*_])([^\n]{1,300}?)(?<=[^\s*])\1(?![\w(*])")


_TOUCHING = re.compile(r"(\banswer\b(?:\s+is)?\s*[:=]|#{2,})(?=[^\s:=#])", re.IGNORECASE)


_WRAPPED_NUMBER = re.compile(r"\\(?:text(?:bf|it|rm)?|math(?:rm|bf|it)|mbox)\s*\{\s*(-?[\d.,]*\d)\s*\}")


_SCIENTIFIC = re.compile(
    r"(?<![\w.^_{}\\)/])(\d{1,50}(?:\.\d{0,50})?|\.\d{1,50})"
    r"(?:[eE]([-+]?\d{1,3})|\s*(?:×|\\times|\\cdot|·|\*|x)\s*10\s*\^\s*(?:\{\s*([-+]?\d{1,3})\s*\}|([-+]?\d{1,3})))"
    r"(?![\w^.]*[\w^])"
)


def tagged_answer(text: str) -> str | None:
    """What stands in the last closed tag whose name has "answer" in it; None where there is none.

    >>> tagged_answer("<think>7</think> <answer>73</answer>")
    '73'
    """
    found = [match[2] for match in _ANSWER_TAG.finditer(text)]
    return found[-1] if found else None


def without_markup(text: str) -> str:
    r"""A text without Markdown and HTML around its words, and with its numbers written out.

    >>> without_markup(r"Final Answer:**73** `apples`, or \textbf{2**3}")
    'Final Answer: 73  apples , or \\textbf{2**3}'
    """
    text = _TAG.sub(" ", text)
    text = _TOUCHING.sub(r"\1 ", text)
    for _ in range(2):  # ***both***, or one inside the other
        text = _EMPHASIS.sub(r"\2", text)
    return written_out(_WRAPPED_NUMBER.sub(r" \1 ", text))


def written_out(text: str) -> str:
    r"""A text whose numbers in scientific notation are plain ones, digit by digit.

    >>> written_out(r"1.6e-5 or 2 \times 10^{3}")
    '0.000016 or 2000'
    """

    def plain(found: re.Match) -> str:
        exponent = int(found[2] or found[3] or found[4])
        if abs(exponent) > LONGEST_EXPONENT:
            return found[0]
        return format(Decimal(found[1]).scaleb(exponent), "f")

    return _SCIENTIFIC.sub(plain, text.replace("−", "-"))
