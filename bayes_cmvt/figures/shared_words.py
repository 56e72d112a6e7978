"""Words and marks that several figures share: models, sets, methods, intervals as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from bayes_cmvt.figures.style import MARKS, Mark

MODEL_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "horseshoe": "horseshoe",
        "baseline": "LASSO workflow",
        "projection": "projected submodel",
        "published": "published model",
    }
)
SET_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "development": "Development patients",
        "validation": "Validation patients",
        "external": "Patients of another file",
    }
)
METHOD_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "holdout": "new patients",
        "kfold": "cross-validated",
        "loo": "left out one by one",
        "optimism_corrected": "corrected for optimism",
        "apparent": "apparent: the patients it was fitted to",
    }
)  # the most honest first


PRIOR_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "as_analysed": "as analysed",
        "half_expected": "half as many expected",
        "double_expected": "at most twice as many expected",
        "horseshoe": "regularised horseshoe",
        "normal": "normal",
        "student_t": "Student-t",
    }
)


def ranked(found: Iterable[str], order: Iterable[str]) -> list[str]:
    """Words in a known order; those that it does not name follow as they come.

    Examples
    --------
    >>> ranked(["other", "holdout", "apparent", "holdout"], METHOD_WORDS)
    ['holdout', 'apparent', 'other']
    """
    words, known = list(dict.fromkeys(found)), list(order)
    return [word for word in known if word in words] + [word for word in words if word not in known]


def model_mark(model: str) -> Mark:
    """Return the mark of a model, the same in every figure."""
    known = list(MODEL_WORDS)
    return MARKS[known.index(model) if model in known else len(known)]


def model_key(model: str) -> Line2D:
    """Return the line of a model for a legend."""
    mark = model_mark(model)
    look: dict[str, Any] = {"color": mark.colour, "linestyle": mark.line}
    return Line2D([], [], linewidth=1.2, **look)


def dot(mark: Mark, size: float) -> dict[str, Any]:
    """Return how a mark without a line looks; its size in points."""
    look: dict[str, Any] = {"linestyle": "none", "marker": mark.marker, "color": mark.colour}
    return look | {"markersize": size, "markeredgewidth": mark.edge}


def interval_text(value: float, lower: float, upper: float, digits: int = 2) -> str:
    """Return an estimate with its limits; what is not known is named so.

    Examples
    --------
    >>> interval_text(0.831, 0.78, 0.9), interval_text(1.0, float("nan"), 2.0)
    ('0.83 (0.78 to 0.90)', '1.00 (no interval)')
    """
    if not np.isfinite(value):
        return "cannot be told"
    known = np.isfinite(lower) and np.isfinite(upper)
    limits = f"{signed(lower, digits)} to {signed(upper, digits)}" if known else "no interval"
    return f"{signed(value, digits)} ({limits})"


def signed(value: float, digits: int) -> str:
    """Return a number with a true minus, and no minus before a zero.

    Examples
    --------
    >>> signed(-0.5, 1), signed(-0.001, 2)
    ('−0.5', '0.00')
    """
    text = f"{value:.{digits}f}"
    return text.replace("-", "" if float(text) == 0 else "−")
