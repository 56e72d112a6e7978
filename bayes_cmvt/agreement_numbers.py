"""The numbers of a comparison by their names, and how they are printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import pandas as pd

from bayes_cmvt.errors import OptionError


def signed(value: float) -> str:
    """A number to two decimals, with a minus and without a negative nought.

    Examples
    --------
    >>> signed(-0.001), signed(-0.014)
    ('0.00', '−0.01')
    """
    return f"{value:.2f}".replace("-0.00", "0.00").replace("-", "−")


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

    def counted(self, sentences: Mapping[str, str]) -> list[str]:
        """Sentences of the quantities that count anything, each with its number."""
        return [
            sentence.format(self.count(quantity))
            for quantity, sentence in sentences.items()
            if self.value(quantity) > 0
        ]

    def limits(self, quantity: str, called: str, to: str) -> str:
        """Estimate and limits of a quantity to two decimals, ``to`` between the limits."""
        estimate, lower, upper = (
            self.value(f"{quantity}{end}", called) for end in ("", "_lower", "_upper")
        )
        texts = [signed(value) for value in (estimate, lower, upper)]
        return f"{texts[0]} ({texts[1]} {to} {texts[2]})"

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
        """Which situation the coefficients are in."""
        both, credible, bootstrap = (
            self.value(name)
            for name in ("both_exclude_none", "credible_excludes_none", "bootstrap_excludes_none")
        )
        if self.value("opposed_effects") > 0:
            return "opposed"
        if not both + credible + bootstrap:
            return "none"
        return "differ" if credible + bootstrap else "alike"

    @property
    def coefficient_widths(self) -> str:
        """Which interval of a coefficient is wider as a rule: for more than half of them."""
        half = self.value("coefficient_widths") / 2
        for name, quantity in (
            ("alike", "alike_widths"),
            ("credible", "credible_wider"),
            ("bootstrap", "bootstrap_wider"),
        ):
            if self.value(quantity) > half:
                return name
        return "no rule"

    def widths(self, quantity: str, called: str = "") -> str:
        """Which of the two intervals is wider, by the median of their ratios."""
        ratio, alike = self.value(quantity, called), self.value("alike")
        if ratio > alike:
            return "credible"
        return "bootstrap" if ratio < 1 / alike else "alike"

    @property
    def thresholds(self) -> tuple[str, ...]:
        """Risks that part two classes, ascending."""
        found = [value for (name, _), value in self.values.items() if name.startswith("threshold_")]
        return tuple(f"{value:g}" for value in found)


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
