"""When two numbers are the same answer: exact ones exactly, a decimal when it is the other to all of its digits.

math-verify rounds to six places and takes away what is below 1e-15, so that all small numbers are one to it. Here:

- Numbers without a decimal point (1/3, 2^{-99}, sqrt 2) are equal when their values are; irrational ones when the
  first 50 digits are.
- A decimal is the number that its digits say. It equals another number, too, that rounds to it, or of which it is the
  beginning, where it has at least six significant digits: .333333 is 1/3, .3333 is not, .5000001 is not 1/2. That is
  a relative difference below 1e-5.
- In other expressions (0.5 pi) decimals count exactly as well; where all have six digits or more, the values may
  differ by half a unit in the last digit of the least precise one, relative to it.
- 50 % equals both 50 and 1/2.
"""

from fractions import Fraction
from math import floor

from sympy import Basic, Expr, Float, Integer, Mul, Rational, UnevaluatedExpr, expand, nan, oo, zoo

SIGNIFICANT = 6  # digits of a decimal that may stand for a number which it is not exactly


DIGITS, SAME_DIGITS = 60, 50  # of irrational numbers: computed, and to be the same


def equal(one: Basic, other: Basic) -> bool:
    """Whether two expressions of math-verify, that are no matrices, have the same value."""
    (a, a_percent), (b, b_percent) = _percentage(one), _percentage(other)
    if a_percent == b_percent:
        return _equal(a, b)
    a, b = (a, b) if a_percent else (b, a)
    return _equal(a, b) or _equal(a / 100, b)


def _percentage(value: Basic) -> tuple[Basic, bool]:
    """A value and whether it is a percentage, then without the percent sign."""
    percent = UnevaluatedExpr(Rational(1, 100))
    if isinstance(value, Mul) and len(value.args) == 2 and value.args[1] == percent:
        return value.args[0], True
    return value, False


def _equal(one: Expr, other: Expr) -> bool:
    a, b = _exact(one), _exact(other)
    if a.free_symbols or b.free_symbols:
        return expand(a - b) == 0
    if any(value.has(oo, -oo, zoo, nan) for value in (a, b)):
        return a == b
    if isinstance(a, Rational) and isinstance(b, Rational):
        if a == b:
            return True
    elif _close(a, b, Rational(1, 10**SAME_DIGITS)):
        return True
    return _to_its_digits(one, a, b) or _to_its_digits(other, b, a) or _nearly(one, a, other, b)


def _exact(value: Expr) -> Expr:
    """An expression with the fractions that its decimals say, computed as far as it goes."""
    return value.xreplace({number: _fraction(number) for number in value.atoms(Float)}).doit()


def _fraction(number: Float) -> Rational:
    exact = Fraction(str(number))  # its digits as written, not the binary number next to them
    return Rational(exact.numerator, exact.denominator)


def _to_its_digits(written: Expr, value: Expr, other: Expr) -> bool:
    """Whether a number written with a decimal point is another one, rounded or cut to so many digits."""
    if not written.atoms(Float) or not isinstance(value, Rational) or not other.is_real:
        return False
    places, digits = _places(value)
    if places is None or digits < SIGNIFICANT:
        return False
    theirs, _ = _places(other) if isinstance(other, Rational) else (None, 0)
    if theirs is not None and theirs <= places:
        return False  # the other has no digits that could have been left out
    if not isinstance(other, Rational):
        other = Rational(str(other.evalf(digits + DIGITS)))
    sign = 1 if value >= 0 else -1
    mine, scaled = sign * value * Integer(10) ** places, sign * other * Integer(10) ** places
    return mine in (floor(scaled), floor(scaled + Rational(1, 2)))


def _places(value: Rational) -> tuple[int | None, int]:
    """Digits behind the decimal point (negative: zeros before it; None: without end), and significant ones."""
    rest, twos, fives = int(value.q), 0, 0
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    if rest != 1:
        return None, 0
    places = max(twos, fives)
    digits = str(abs(int(value * Integer(10) ** places)))
    zeros = len(digits) - len(digits.rstrip("0"))
    return (places or -zeros), len(digits) - zeros


def _nearly(one: Expr, a: Expr, other: Expr, b: Expr) -> bool:
    """Whether expressions around decimals agree to half a unit of the least precise decimal's last digit."""
    decimals = [_fraction(number) for number in one.atoms(Float) | other.atoms(Float) if number != 0]
    if not decimals or any(isinstance(value, Rational) for value in (a, b)):
        return False
    if min(_places(number)[1] for number in decimals) < SIGNIFICANT:
        return False
    units = (abs(Rational(1, 2) / (number * Integer(10) ** _places(number)[0])) for number in decimals)
    return _close(a, b, max(units))


def _close(a: Expr, b: Expr, relative: Rational) -> bool:
    """Whether two finite numbers, that may be complex, differ by at most a share of the larger one."""
    a, b = a.evalf(DIGITS), b.evalf(DIGITS)
    larger = max(abs(a), abs(b))
    return bool(larger > 0 and abs(a - b) <= relative * larger)
