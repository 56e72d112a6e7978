"""A claim of a print, what follows from it, and a verdict with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bayes_cmvt.published.printed_table import Range

type Verdict = Literal["consistent", "impossible", "cannot be told"]
CONSISTENT: Verdict = "consistent"
IMPOSSIBLE: Verdict = "impossible"
CANNOT_BE_TOLD: Verdict = "cannot be told"


@dataclass(frozen=True)
class Claim:
    """One arithmetic claim, tested.

    Attributes
    ----------
    claim_id : str
        Short name, unique in a table.
    claim : str
        What is printed.
    implies : str
        What follows from it.
    verdict : {"consistent", "impossible", "cannot be told"}
        Impossible: no data whatever give the printed numbers, whatever digits were rounded away.
    reason : str
    """

    claim_id: str
    claim: str
    implies: str
    verdict: Verdict
    reason: str


def overlap(first: Range, second: Range) -> bool:
    """Whether two ranges share a value; False where a limit is nan.

    Examples
    --------
    >>> overlap(Range(1, 2, 3), Range(3, 4, 5)), overlap(Range(1, 2, 3), Range(4, 5, 6))
    (True, False)
    """
    slack = 1e-9 * max(1.0, abs(first.value), abs(second.value))
    return first.low <= second.high + slack and second.low <= first.high + slack


def apart(first: Range, second: Range) -> float:
    """Ratio of the nearest ends of two positive ranges, 1 where they overlap.

    Examples
    --------
    >>> apart(Range(1, 2, 3), Range(4.5, 5, 6)), apart(Range(1, 2, 3), Range(2, 2, 2))
    (1.5, 1.0)
    """
    if overlap(first, second):
        return 1.0
    lower, upper = (first, second) if first.high < second.low else (second, first)
    return upper.low / lower.high if lower.high > 0 else float("inf")


def span(limits: Range, digits: int = 3) -> str:
    """Return a range in words, one number where its ends look alike.

    Examples
    --------
    >>> span(Range(2.674, 2.697, 2.721)), span(Range(0.86551, 0.8656, 0.86554))
    ('2.67 to 2.72', '0.866')
    """
    low, high = f"{limits.low:.{digits}g}", f"{limits.high:.{digits}g}"
    if low == high:
        return low
    return f"more than {low}" if high == "inf" else f"{low} to {high}"
