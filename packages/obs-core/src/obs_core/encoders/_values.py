"""Lines of samples, the same in both text formats."""

from collections.abc import Sequence
from math import inf
from typing import Final

# Below it `repr` of a whole number has no exponent, and the digits are exact.
_PLAIN: Final = 1e16
_line: Final = "%s %r".__mod__


def sample_lines(keys: Sequence[str], values: Sequence[float]) -> str:
    """A line for each key and its value. Raises `ValueError` where there are not as many of both."""
    pairs = zip(keys, values, strict=True)
    # NaN makes the comparison false, as infinity does: one pass in C tells that all are plain numbers.
    if sum(map(abs, values)) < _PLAIN:
        # A line ends with its value, and no label value holds a newline: whole numbers lose their ".0" here.
        return ("\n".join(map(_line, pairs)) + "\n").replace(".0\n", "\n")
    return "".join([f"{key} {number_text(value)}\n" for key, value in pairs])


def number_text(value: float) -> str:
    """A value as both formats want it; whole numbers without exponent up to 2**63, beyond digits are noise."""
    if value != value:
        return "NaN"
    if value in (inf, -inf):
        return "+Inf" if value > 0 else "-Inf"
    if not value:
        return repr(float(value)).removesuffix(".0")  # the sign of -0.0 stays, as in `sample_lines`
    whole = int(value)
    return str(whole) if whole == value and -(2**63) < whole < 2**63 else repr(float(value))
