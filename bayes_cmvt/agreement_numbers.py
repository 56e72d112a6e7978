"""The numbers of a comparison by their names, and how they are printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import pandas as pd

from bayes_cmvt.errors import OptionError


@dataclass(frozen=True)
class Agreement:
    """Numbers of the table by their names, and as they are printed.

    Attributes
    ----------
    values : mapping of (str, str) to float
        By quantity and set; the set is empty for coefficients.
    interval : float
    """

    values: Mapping[tuple[str, str], float]
    interval: float

    def value(self, quantity: str, called: str = "") -> float:
        """Number of a quantity; NaN where the table has none."""
        return self.values.get((quantity, called), float("nan"))

    def count(self, quantity: str, called: str = "") -> str:
        """Number of a quantity that counts something."""
        return f"{self.value(quantity, called):.0f}"

    def limits(self, quantity: str, called: str, to: str) -> str:
        """Estimate and limits of a quantity to two decimals, ``to`` between the limits."""
        estimate, lower, upper = (
            self.value(f"{quantity}{end}", called) for end in ("", "_lower", "_upper")
        )
        return f"{estimate:.2f} ({lower:.2f} {to} {upper:.2f})"

    def decimal(self, quantity: str, called: str = "") -> str:
        """Number of a quantity to two decimals, three where it is small."""
        value = self.value(quantity, called)
        return f"{value:.3f}" if abs(value) < 0.1 else f"{value:.2f}"

    def has(self, quantity: str, called: str = "") -> bool:
        """Whether there is a number."""
        value = self.value(quantity, called)
        return value == value

    @property
    def effects(self) -> str:
        """Which of three situations the coefficients are in."""
        both, credible, bootstrap = (
            self.value(name)
            for name in ("both_exclude_none", "credible_excludes_none", "bootstrap_excludes_none")
        )
        if not both + credible + bootstrap:
            return "none"
        return "differ" if credible + bootstrap else "alike"

    def widths(self, quantity: str, called: str = "") -> str:
        """Which of the two intervals is wider, as a rule."""
        ratio, alike = self.value(quantity, called), self.value("alike")
        if ratio > alike:
            return "credible"
        return "bootstrap" if ratio < 1 / alike else "alike"


def read_agreement(agreement: pd.DataFrame) -> Agreement:
    """Take the table ``compare_agreement`` for what its numbers say.

    Raises
    ------
    OptionError
        A table without rows or without the columns.
    """
    absent = {"quantity", "set", "value", "interval"} - set(agreement)
    if absent or agreement.empty:
        msg = f"compare_agreement: no rows, or no columns {', '.join(sorted(absent))}"
        raise OptionError(msg)
    keys = zip(agreement["quantity"], agreement["set"].fillna(""), strict=True)
    values = dict(zip(keys, agreement["value"].astype(float), strict=True))
    return Agreement(MappingProxyType(values), float(agreement["interval"].iloc[0]))
