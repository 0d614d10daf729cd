r"""Answers without a box, in Markdown and tags; numbers that differ by little, exact and decimal."""

from collections.abc import Iterator
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Float, Integer, Rational

from rlgen.tasks.answer_markup import tagged_answer, without_markup, written_out
from rlgen.tasks.equal_numbers import equal
from rlgen.tasks.math_answers import AnswerChecker


@pytest.fixture(scope="module")
def checker() -> Iterator[AnswerChecker]:
    with AnswerChecker(workers=2) as found:
        yield found


SEVENTY_THREE = [
    "Final Answer: **73**", "`73`", "<answer>73</answer>", "Answer:73", "**Answer:** 73", "**Final Answer**\n73",
    "**73**", "*73*", "***73***", "The answer is **73**.", "The answer is `73`.", "answer is:73", "####73",
    "### **73**",
    "The final answer is: __73__", "Answer:  **$73**", "Answer: **73 apples**", "Answer: \\textbf{73}", "<b>73</b>",
    "answer:**73**", "<final_answer>\n73 apples\n</final_answer>", "```\n73\n```", "<answer>$73$</answer>",
    "<answer> **73** </answer>", "<answer>1</answer> no: <answer>73</answer>", "<answer>\\boxed{73}</answer>",
    "Answer: **x = 73**", "The answer is 7.3e1", "The answer is 7.3 × 10^1", "Answer: **$\\frac{146}{2}$**",
    "\\boxed{\\text{73 apples}}", "\\boxed{**73**}", "\\boxed{\\textbf{73}}", "\\boxed{`73`}", "\\boxed{7.3e1}",
]  # fmt: skip
NOT_SEVENTY_THREE = [
    "Answer: 2**73", "<answer>73</answer> no: <answer>74</answer>", "<answer></answer> 73", "**73** or **74**",
    "Answer: 7*3", "\\boxed{\\text{73 million}}", "\\boxed{\\text{7 3}}", "<answer>73</answer> \\boxed{74}",
    "\\boxed{74} **73**", "**7**3",
]  # fmt: skip


WORKED_OUT = {
    "17": [
        "9 + 8 = 17", "9 + 8 = 17.", "17 = 9 + 8", "The sum of 9 and 8 is 17.", "\\boxed{17}", "9 + 8 = 20 - 3 = 17",
        "we get 9, then 17", "$9 + 8 = 17$",
    ],
    "-4": ["-4", "5 - 9 = -4", "The answer is -4", "x = -4", "\\boxed{-4}", "3, -4", "between 3 and -4"],
    "0.5": ["\\boxed{1/2}", "1/2", "2 - 1.5 = 0.5"],
    "1000": ["\\boxed{10^3}", "1,000"],
    "2+\\sqrt{3}": ["\\boxed{2+\\sqrt{3}}"],
}  # fmt: skip
NOT_WORKED_OUT = {
    "17": [
        "9 + 8 =", "9 + 8", "So 9 + 8 = ?", "\\boxed{9+8}", "The answer is 9 + 8.", "The final answer is:\n9 + 8 =",
        "\\boxed{20 - 3}", "5 + 4 + 8 =",
    ],
    "-4": ["5 - 9 =", "5 − 9", "\\boxed{5-9}"],
    "72": ["\\boxed{9 \\times 8}", "9 * 8 =", "$9 \\cdot 8$", "9 × 8"],
    "0.5": ["2 - 1.5 ="],
}  # fmt: skip


def test_a_sum_that_is_not_worked_out_is_no_final_answer(checker):
    """A policy that repeats the question ("9 + 8 =") would else be always right: RL on sums found that in ten steps."""
    for gold, texts in WORKED_OUT.items():
        assert [text for text in texts if not checker.right([text], [gold])[0]] == []
    for gold, texts in NOT_WORKED_OUT.items():
        assert [text for text in texts if checker.right([text], [gold])[0]] == []


def test_a_number_is_read_whatever_is_around_it(checker):
    verdicts = checker.right(SEVENTY_THREE, ["73"] * len(SEVENTY_THREE))
    assert [text for text, right in zip(SEVENTY_THREE, verdicts, strict=True) if not right] == []


def test_and_no_other_number_becomes_it(checker):
    verdicts = checker.right(NOT_SEVENTY_THREE, ["73"] * len(NOT_SEVENTY_THREE))
    assert [text for text, right in zip(NOT_SEVENTY_THREE, verdicts, strict=True) if right] == []
    powers = ["Answer: 2**3", "Answer: 2**3**1"]
    assert checker.right(powers, ["8"] * 2) == [True] * 2


def test_letters_and_words_in_tags_and_markdown(checker):
    texts = ["<answer>C</answer>", "<answer>(C)</answer>", "**Answer:C**", "`C`", "The answer is **C**"]
    assert checker.right(texts, ["C"] * len(texts)) == [True] * len(texts)
    assert checker.right(texts, ["B"] * len(texts)) == [False] * len(texts)
    words = ["<answer>Monday</answer>", "Answer:**Monday**", "`Monday`"]
    assert checker.right(words, ["Monday"] * 3) == [True] * 3


def test_markup_leaves_mathematics_alone():
    for text in ("2**3**4", "z^*w^*", "a*b*c", "x_1 + y_2", "$5\\text{ cm}$", "a * b * c", "x < b and c > d", "2e"):
        assert without_markup(text) == text
    assert tagged_answer("<answer>a <b>c</b>") is None


NUMBERS = {  # (one, other): whether they are the same answer, both ways round
    (".0000001", ".0000002"): False,
    ("1.6e-19", "9.1e-31"): False,
    ("1.6e-19", "1.60E-19"): True,
    ("1.6e-19", r"1.6\times 10^{-19}"): True,
    (r"1.6\cdot10^{-19}", r"1.7\cdot10^{-19}"): False,
    ("2.5e6", "2500000"): True,
    ("1/2^{98}", "1/2^{99}"): False,
    ("1/2^{99}", r"\frac{1}{2^{99}}"): True,
    ("1/2", ".5000001"): False,
    ("1/2", ".5"): True,
    ("10^{50}+1", "10^{50}"): False,
    ("0", "1e-17"): False,
    (r"\frac{1}{10^{17}}", "0"): False,
    ("7.0000000000000001", "7"): False,
    ("100.000001", "100"): False,
    ("2.999999", "3"): False,
    ("0.333333", "1/3"): True,
    ("0.33333", "1/3"): False,
    ("0.333334", "1/3"): False,
    (".666667", "2/3"): True,
    ("-.66666666", "-2/3"): True,
    (".666668", "2/3"): False,
    ("1.41421", r"\sqrt{2}"): True,
    ("1.4142", r"\sqrt{2}"): False,
    ("1.5707964", r"\frac{\pi}{2}"): False,
    (r"0.5\pi", r"\frac{\pi}{2}"): True,
    (r"0.333333\pi", r"\frac{\pi}{3}"): True,
    (r".5000001\pi", r"\frac{\pi}{2}"): False,
    (".1234567", ".12345674"): True,
    (".1234567", ".12345684"): False,
    ("12.5%", "1/8"): True,
    ("12.5%", "12.5"): True,
    ("50%", "5000%"): False,
    ("3+4i", "4i+3"): True,
    (r"3+10^{-20}i", "3"): False,
    (r"\{.0000001\}", r"\{.0000002\}"): False,
    ("(.0000001,1,2)", "(.0000002,1,2)"): False,
    ("[.0000001,1]", "[.0000002,1]"): False,
    ("x=.0000001", "x=.0000002"): False,
    ("x<.0000001", "x<.0000002"): False,
    (r"\begin{pmatrix}.0000001\\0\end{pmatrix}", r"\begin{pmatrix}.0000002\\0\end{pmatrix}"): False,
    (r"\begin{pmatrix}.333333\\0\end{pmatrix}", r"\begin{pmatrix}\frac13\\0\end{pmatrix}"): True,
    ("10^{-20}x", r"2\cdot 10^{-20}x"): False,
    ("0.1x+0.2x", "0.3x"): True,
    (r"\infty", r"-\infty"): False,
}  # fmt: skip


def test_small_differences_of_numbers(checker):
    pairs = [*NUMBERS, *((other, one) for one, other in NUMBERS)]
    verdicts = checker.right([f"\\boxed{{{one}}}" for one, _ in pairs], [other for _, other in pairs])
    expected = list(NUMBERS.values()) * 2
    wrong = [(pair, right) for pair, right, wanted in zip(pairs, verdicts, expected, strict=True) if right != wanted]
    assert wrong == []


fractions = st.fractions(min_value=-(10**6), max_value=10**6, max_denominator=10**6)


@settings(deadline=None)
@given(one=fractions, other=fractions)
def test_fractions_are_equal_exactly(one, other):
    assert equal(Rational(one.numerator, one.denominator), Rational(other.numerator, other.denominator)) == (
        one == other
    )


@settings(deadline=None)
@given(
    value=fractions,
    places=st.integers(0, 14),
    off=st.integers(-3, 3),
    rounding=st.sampled_from([ROUND_DOWN, ROUND_HALF_UP]),
)
def test_a_decimal_is_what_a_fraction_rounds_to_if_it_has_six_digits(value, places, off, rounding):
    """Against Python's decimal arithmetic."""
    unit = Decimal(1).scaleb(-places)
    exact = Decimal(value.numerator * 10**40 // value.denominator).scaleb(-40)
    written = exact.quantize(unit, rounding=rounding) + off * unit
    digits = len(written.normalize().as_tuple().digits)
    last = Decimal(1).scaleb(min(0, written.normalize().as_tuple().exponent))
    candidates = {exact.quantize(last, rounding=r) for r in (ROUND_DOWN, ROUND_HALF_UP)}
    if digits > 15 or min(abs(exact / last % 1 - e) for e in (0, Decimal("0.5"), 1)) < Decimal("1e-20"):
        return  # a Float of 53 bits, or a tie that forty digits cannot tell
    shares = Fraction(written) == value or (digits >= 6 and written in candidates)
    assert equal(Float(str(written)), Rational(value.numerator, value.denominator)) == shares


@given(
    mantissa=st.decimals(0, 10**6, places=3),
    exponent=st.integers(-40, 40),
    how=st.sampled_from(["e", "E", "×", "\\times", "\\cdot"]),
)
def test_scientific_notation_is_written_out_exactly(mantissa, exponent, how):
    text = f"{mantissa}{how}{exponent}" if how in "eE" else f"{mantissa} {how} 10^{{{exponent}}}"
    assert Fraction(written_out(text)) == Fraction(mantissa) * Fraction(10) ** exponent


def test_integers_of_any_size_are_exact():
    assert equal(Integer(10) ** 200, Integer(10) ** 200) and not equal(Integer(10) ** 200, Integer(10) ** 200 + 1)
