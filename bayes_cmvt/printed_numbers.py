"""A number as it is printed: the values that round to it, and what "<0.001" leaves open."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Bound = Literal["", "<", ">"]


@dataclass(frozen=True)
class PrintedNumber:
    """A printed number and the values that it stands for.

    Attributes
    ----------
    text : str
        As printed.
    value : float
        The number itself; of a bound such as "<0.001", the bound.
    low, high : float
        Smallest and largest value that is printed so, half a unit of the last digit either way; of
        a bound, everything beyond it.
    bound : {"", "<", ">"}
        Whether the print is a bound.
    decimals : int
        Digits after the point.
    """

    text: str
    value: float
    low: float
    high: float
    bound: Bound = ""
    decimals: int = 0

    def covers(self, value: float) -> bool:
        """Whether a value is printed so; a half may have been rounded either way.

        Examples
        --------
        >>> read_printed("0.780").covers(64 / 82), read_printed("0.780").covers(65 / 82)
        (True, False)
        """
        slack = 1e-12 * max(1.0, abs(value))
        return self.low - slack <= value <= self.high + slack


def read_printed(text: str) -> PrintedNumber:
    """Read a number as it is printed in a paper.

    Parameters
    ----------
    text : str
        Such as "0.180", "<0.001" or "−1.2".

    Returns
    -------
    PrintedNumber

    Raises
    ------
    ValueError
        No number.

    Examples
    --------
    >>> printed = read_printed("0.180")
    >>> printed.low, printed.value, printed.high
    (0.1795, 0.18, 0.1805)
    >>> read_printed("<0.001").high, read_printed("<0.001").low
    (0.001, -inf)
    """
    written = text.replace("−", "-").replace("≤", "<").replace("≥", ">").strip()
    bound: Bound = "<" if written[0] == "<" else ">" if written[0] == ">" else ""
    number = Decimal(written.lstrip("<> "))
    exponent = number.as_tuple().exponent
    decimals = -exponent if isinstance(exponent, int) else 0
    value = float(number)
    if bound:
        low, high = (float("-inf"), value) if bound == "<" else (value, float("inf"))
        return PrintedNumber(text, value, low, high, bound, decimals)
    half = Decimal(5).scaleb(-decimals - 1)
    return PrintedNumber(text, value, float(number - half), float(number + half), "", decimals)
