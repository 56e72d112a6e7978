"""A deployed model becomes one HTML page that computes its risks: no network, no patient in it.

The page carries the draws themselves, each column with 16 bits between its smallest and largest
value, so that risk and limits are those of `bayes_cmvt.predict` to a hundredth of a percentage
point.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_cmvt.intervals import tails
from bayes_cmvt.report.model_file import (
    DeployedModel,
    DeployedPredictor,
    Floats,
    template_text,
    threshold_step,
)
from bayes_cmvt.synthetic import MARK

LANGUAGES = ("en", "zh")
SCRIPTS = ("risk.js", "pictures.js", "calculator.js")  # in the order in which they are run
LARGEST_CODE = 2**16 - 1
MOST_BYTES = 1_499_000  # of a page
FEWEST_DRAWS = 1_000  # whatever the size
STEPS = 100  # of an arrow key, over the range of an input


@dataclass(frozen=True)
class CalculatorPage:
    """A calculator, and what whoever makes it should know of it.

    Attributes
    ----------
    html : str
        The whole page, of less than 1.5 MB with up to 200 predictors.
    draws, draws_of_model : int
        How many draws the page holds, of how many.
    """

    html: str
    draws: int
    draws_of_model: int

    @property
    def notes(self) -> tuple[str, ...]:
        """One line where draws were thinned to fit, which the page says as well."""
        if self.draws == self.draws_of_model:
            return ()
        held = f"{self.draws:,} of {self.draws_of_model:,} draws"
        return (f"the calculator holds {held}, evenly spaced, to stay small",)


def calculator_page(model: DeployedModel) -> CalculatorPage:
    """Return a risk calculator as one HTML page.

    Inputs, risk with its interval, 100 dots, what moves the risk, a decision at a threshold and a
    sentence for the notes, in English and Chinese. It works from ``file://``, and its content
    policy forbids any request.

    Parameters
    ----------
    model : DeployedModel

    Returns
    -------
    CalculatorPage
        Draws that would not fit into it are thinned evenly, which it says.
    """
    low, step, codes = quantised(np.column_stack([model.intercept, model.beta]).T)
    content = _content(model, low, step)
    draws = len(model.intercept)
    space = MOST_BYTES - len(_rendered(content, codes[:, :0]).encode())
    kept = _even_positions(draws, max(FEWEST_DRAWS, space * 3 // (4 * codes.itemsize * len(codes))))
    return CalculatorPage(_rendered(content, codes[:, kept]), len(kept), draws)


def _even_positions(draws: int, fitting: int) -> NDArray[np.int64]:
    """Positions of all draws, or of as many as fit, evenly spaced."""
    return np.linspace(0, draws - 1, min(draws, fitting)).round().astype(np.int64)


def _rendered(content: dict[str, Any], codes: NDArray[np.uint16]) -> str:
    """The page with these draws."""
    from jinja2 import Environment
    from markupsafe import Markup

    style = template_text("calculator.css")
    script = "\n".join(template_text(name) for name in SCRIPTS)
    words = {name: json.loads(template_text(f"words.{name}.json")) for name in LANGUAGES}
    text = base64.b64encode(codes.astype("<u2").tobytes()).decode()
    computing = content["model"] | {"draws": codes.shape[1]}
    environment = Environment(autoescape=True, trim_blocks=True)
    return environment.from_string(template_text("calculator.html")).render(
        page=content | content["model"],
        words=words,
        data=content | {"model": computing, "codes": text, "words": words},
        style=Markup(style),
        script=Markup(script),
        style_hash=_source_hash(style),
        script_hash=_source_hash(script),
    )


def _source_hash(source: str) -> str:
    """How a content policy names the one style or script that it allows."""
    digest = hashlib.sha256(source.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _content(model: DeployedModel, low: Floats, step: Floats) -> dict[str, Any]:
    """Everything that the page knows but the draws and the words."""
    central = model.central
    return {
        "language": model.language,
        "title": model.title,
        "outcome": model.outcome,
        "horizon": model.horizon,
        "data": model.source,
        "model_name": model.model,
        "interval": model.interval,
        "interval_kind": model.interval_kind,
        "notice": model.notice,
        "problems": list(model.problems),
        "event_share": model.event_share,
        "thresholds": list(model.thresholds),
        "threshold": model.threshold,
        "threshold_declared": model.threshold_declared,
        "synthetic": MARK in model.notice,
        "threshold_step": threshold_step(model.thresholds),
        "all_draws": len(model.intercept),
        "model": {
            "low": low.tolist(),
            "step": step.tolist(),
            "mean": model.mean.tolist(),
            "sd": model.sd.tolist(),
            "tail": tails(model.interval)[0],
            "central": central and {"intercept": central[0], "beta": central[1].tolist()},
            "predictors": _inputs(model),
        },
    }


def _inputs(model: DeployedModel) -> list[dict[str, Any]]:
    """Each input with the place of its columns."""
    inputs, first = [], 0
    for one in model.predictors:
        count = len(one.levels) - 1 if one.kind == "categorical" else 1
        inputs.append(_input(one) | {"first": first, "count": count})
        first += count
    return inputs


def _input(predictor: DeployedPredictor) -> dict[str, Any]:
    measured = predictor.kind == "continuous"
    return {
        "label": predictor.label,
        "unit": predictor.unit,
        "kind": predictor.kind,
        "transform": predictor.transform,
        "levels": list(predictor.levels),
        "yes_no": _is_yes_no(predictor),
        "limits": list(predictor.limits),
        "allowed": predictor.allowed and list(predictor.allowed),
        "step": _step(*predictor.limits) if measured else 1,
        "preset": predictor.default if measured else int(predictor.default),
        "median": measured or predictor.kind == "ordinal",
    }


def _is_yes_no(predictor: DeployedPredictor) -> bool:
    """Whether 0 and 1 may be shown as no and yes: not where the label says what 0 stands for."""
    coded = predictor.kind == "binary" and predictor.levels == ("0", "1")
    return coded and not re.search(r"\b0\b", predictor.label)


def _step(low: float, high: float) -> float:
    """A power of ten, about a hundredth of a range."""
    return 10.0 ** round(math.log10((high - low) / STEPS))


def quantised(columns: Floats) -> tuple[Floats, Floats, NDArray[np.uint16]]:
    """Columns as 16-bit codes between the smallest and the largest value of each.

    Parameters
    ----------
    columns : ndarray, shape (column, draw)

    Returns
    -------
    low, step : ndarray, shape (column,)
        ``low + step * code`` is the value, off by half a step at most.
    codes : ndarray of uint16, shape (column, draw)

    Examples
    --------
    >>> low, step, codes = quantised(np.array([[-1.0, 0.0, 1.0], [2.0, 2.0, 2.0]]))
    >>> low.tolist(), codes.tolist()
    ([-1.0, 2.0], [[0, 32768, 65535], [0, 0, 0]])
    """
    if not columns.shape[1]:
        nothing = np.zeros(len(columns))
        return nothing, nothing, columns.astype(np.uint16)
    low = columns.min(axis=1)
    step = (columns.max(axis=1) - low) / LARGEST_CODE
    unit = np.where(step > 0, step, 1.0)[:, np.newaxis]
    return low, step, np.rint((columns - low[:, np.newaxis]) / unit).astype(np.uint16)
