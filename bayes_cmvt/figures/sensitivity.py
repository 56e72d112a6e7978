"""Sensitivity to the prior: by scaling it a little, and by fitting again under other priors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bayes_cmvt.figures import panel_rows, predictor_rows, shared_words, style
from bayes_cmvt.figures.coefficients import step_texts, steps_mm, write_steps
from bayes_cmvt.figures.panel_rows import Block
from bayes_cmvt.figures.style import DIM, INK, MARKS, Mark

SENSITIVE = 0.05  # Kallioinen et al. 2024, doi:10.1007/s11222-023-10366-5
_POWER = ("quantity", "label", "prior", "likelihood", "diagnosis")
_PRIORS = ("prior", "description", "term", "label", "odds_ratio", "shrinkage", "interval")
_LIMITS = ("odds_ratio_lower", "odds_ratio_upper")
_FITS = ("prior", "description", "trusted", "elpd_diff", "elpd_diff_se", "median_width")
_MOST, _TERMS, _WIDEST = 12, 10, 200.0
_NARROW_MM, _FEWER = 120.0, 3  # rows less of each on a column, where names need two lines
_ROW_MM, _TERM_MM, _FIT_MM = 3.6, 7.2, 6.6
_PER = "Odds ratios compare levels, or the step beside the name; without either, one unit"
_SCALED = "Scaled are the top-level priors only: global scale, slab and intercept"
_DASHED: tuple[float, tuple[float, ...]] = (0, (4, 2))


def plot_sensitivity(
    sensitivity_power: pd.DataFrame,
    sensitivity_priors: pd.DataFrame | None = None,
    sensitivity_fits: pd.DataFrame | None = None,
    *,
    width_mm: float | None = None,
) -> Figure:
    """How far the posterior moves when the prior does.

    From the top: sensitivity of each quantity to scaling the prior and the likelihood by a power,
    filled at the threshold or above, the most sensitive to the prior where there are many; odds
    ratios under each prior, for the terms that are kept most and those that move most; what each
    prior costs in predicting patients left out, and how wide it leaves the intervals of the risks.

    Parameters
    ----------
    sensitivity_power : DataFrame, one row for each quantity
        ``quantity, label, prior, likelihood, diagnosis``.
    sensitivity_priors : DataFrame, one row for each prior and term, optional
        ``prior, description, term, label, odds_ratio, odds_ratio_lower, odds_ratio_upper,
        shrinkage, interval``; ``contrast`` what an odds ratio is per.
    sensitivity_fits : DataFrame, one row for each prior, optional
        ``prior, description, trusted, elpd_diff, elpd_diff_se, median_width, interval``.
    width_mm : float, optional
        175 unless given.

    Returns
    -------
    Figure
        Axes: power scaling, odds ratios, differences in elpd, widths.

    Raises
    ------
    OptionError
        A table that is given without the columns above or without rows.
    """
    style.require_columns(sensitivity_power, _POWER, "sensitivity_power")
    width = width_mm or style.DOUBLE_MM
    with style.journal():
        figure = style.blank_figure(width, style.PAGE_MM)
        block, height = _power_block(figure, sensitivity_power, width)
        rows, heights, keys = [[block]], [height], {}
        if sensitivity_priors is not None:
            style.require_columns(sensitivity_priors, (*_PRIORS, *_LIMITS), "sensitivity_priors")
            block, height = _odds_block(figure, sensitivity_priors, width)
            rows.append([block])
            heights.append(height)
            keys = _keys(sensitivity_priors)
        if sensitivity_fits is not None:
            style.require_columns(sensitivity_fits, (*_FITS, "interval"), "sensitivity_fits")
            rows.append(_fit_blocks(figure, sensitivity_fits, width))
            heights.append(_FIT_MM * len(sensitivity_fits))
        panel_rows.arrange(figure, rows, heights, keys=keys)
        figure.draw_without_rendering()
    return figure


# --- scaling by a power --------------------------------------------------------------------------


def _power_block(figure: Figure, power: pd.DataFrame, width_mm: float) -> tuple[Block, float]:
    axes = style.panel(figure, 0.0, 0.0, 1.0, 1.0)
    drawn = predictor_rows.strongest(
        power, power["prior"], _MOST - _FEWER * (width_mm < _NARROW_MM)
    )
    called = _names(drawn, "quantity")
    predictor_rows.draw_rows(axes, predictor_rows.name_rows(called, 0.38 * width_mm, _ROW_MM))
    keys: dict[str, Any] = {}
    looks = zip(("prior", "likelihood"), (MARKS[0], MARKS[1]), (-0.17, 0.17), strict=True)
    for column, mark, shift in looks:
        value = drawn[column].to_numpy(dtype=float)
        at = np.arange(len(drawn)) + shift
        for chosen, face in ((value >= SENSITIVE, mark.colour), (value < SENSITIVE, "white")):
            look = {**_point(mark, 3.6), "markerfacecolor": face, "markeredgewidth": 0.8}
            axes.plot(value[chosen], at[chosen], **look)
        keys[f"to the {column}"] = Line2D([], [], **_point(mark, 3.6))
    axes.axvline(SENSITIVE, color=INK, linewidth=0.8, linestyle=_DASHED, zorder=1)
    keys[f"threshold {SENSITIVE:g}"] = Line2D([], [], color=INK, linewidth=0.8, linestyle=_DASHED)
    axes.set_xlim(-0.005, 1.06 * max(SENSITIVE, _highest(drawn[["prior", "likelihood"]])))
    axes.set_xlabel("Sensitivity to a change of the power, filled at the threshold or above")
    note = _power_note(power, len(power) - len(drawn))
    block = Block(axes, "Scaling the prior or the likelihood", keys=keys, note=note)
    return block, _ROW_MM * len(drawn)


def _power_note(power: pd.DataFrame, left_out: int) -> str:
    """How many quantities have which diagnosis, and how many are not drawn."""
    counts = power["diagnosis"].fillna("no diagnosis").astype(str).value_counts(sort=False)
    said = "; ".join(f"{words}: {count}" for words, count in counts.items())
    lines = [_SCALED, f"Of {len(power)} quantities: {said}"]
    lines += [f"{left_out} of them, less sensitive to the prior, are not drawn"] if left_out else []
    return "\n".join(lines)


def _highest(table: pd.DataFrame) -> float:
    values = table.to_numpy(dtype=float)
    return float(np.max(values[np.isfinite(values)], initial=0.0))


def _point(mark: Mark, size: float) -> dict[str, Any]:
    look: dict[str, Any] = {"linestyle": "none", "marker": mark.marker, "markersize": size}
    return look | {"color": mark.colour, "markeredgewidth": mark.edge, "zorder": 3}


def _names(table: pd.DataFrame, column: str) -> list[style.Name]:
    labels = table["label"].fillna("").astype(str).tolist()
    return style.names(table[column].astype(str).tolist(), labels)


# --- odds ratios under each prior ----------------------------------------------------------------


def _priors(table: pd.DataFrame) -> list[str]:
    """Priors in the order of the table, as many as marks can keep apart."""
    return list(dict.fromkeys(table["prior"].astype(str)))[: len(MARKS)]


def moved_terms(priors: pd.DataFrame, most: int = _TERMS) -> list[str]:
    """Terms that are kept most under the first prior, then those that move most over all priors.

    Parameters
    ----------
    priors : DataFrame
        ``prior, term, odds_ratio, shrinkage``.
    most : int
        So many terms; half of them are those that are kept most.

    Returns
    -------
    list of str
        In the order of the table.
    """
    first = priors[priors["prior"].eq(priors["prior"].iloc[0])]
    kept = first.sort_values("shrinkage", kind="stable")["term"].head(most // 2).tolist()
    size = np.log(priors["odds_ratio"]).groupby(priors["term"])
    moved = (size.max() - size.min()).sort_values(ascending=False, kind="stable").index.tolist()
    chosen = [*kept, *(term for term in moved if term not in kept)][:most]
    return [term for term in first["term"] if term in chosen]


def _odds_block(figure: Figure, priors: pd.DataFrame, width_mm: float) -> tuple[Block, float]:
    axes = style.panel(figure, 0.0, 0.0, 1.0, 1.0)
    terms = moved_terms(priors, _TERMS - _FEWER * (width_mm < _NARROW_MM))
    own = priors[priors["term"].isin(terms)]
    first = own.drop_duplicates("term")
    called = _names(first, "term")
    known = step_texts(first["contrast"]) if "contrast" in first else []
    steps = [step and f"per {step}" for step in known]
    names_mm = 0.38 * width_mm - (steps_mm(steps) if any(steps) else 0.0)
    predictor_rows.draw_rows(axes, predictor_rows.name_rows(called, names_mm, _TERM_MM))
    if any(steps):
        write_steps(axes, steps, heading="")
    limits = _odds_limits(own)
    step = 0.8 / len(_priors(priors))
    rows = {name.term: row for row, name in enumerate(called)}
    for place, (prior, mark) in enumerate(_marked(priors)):
        each = own[own["prior"].astype(str).eq(prior)]
        at = each["term"].astype(str).map(rows) + (place - (len(_priors(priors)) - 1) / 2) * step
        ends = each["odds_ratio_lower"], each["odds_ratio_upper"]
        predictor_rows.draw_spans(
            axes, ends, at, limits=limits, color=mark.colour, linewidth=0.8, zorder=2
        )
        axes.plot(each["odds_ratio"].clip(*limits), at, **_point(mark, 2.8))
    axes.axvline(1.0, color=DIM, linewidth=0.6, linestyle=_DASHED, zorder=1)
    predictor_rows.log_axis(axes, limits, 0.5 * width_mm)
    level = predictor_rows.percent(priors)
    axes.set_xlabel(f"Odds ratio with {level} interval")
    left_out = len(set(priors["term"])) - len(called)
    notes = [_PER] if any(steps) else []
    notes += [f"{left_out} more terms are not drawn"] if left_out else []
    block = Block(axes, "Odds ratios under each prior", note="\n".join(notes))
    return block, _TERM_MM * len(called)


def _marked(priors: pd.DataFrame) -> list[tuple[str, Mark]]:
    known = _priors(priors)
    return list(zip(known, style.marks(len(known)), strict=True))


def _odds_limits(table: pd.DataFrame) -> tuple[float, float]:
    """Ends of the axis: all estimates, and intervals as far as they can be read."""
    every = table[["odds_ratio", *_LIMITS]].to_numpy(dtype=float).ravel()
    known = every[np.isfinite(every) & (every > 0)]
    ends = np.clip([*known, 0.8, 1.25], 1 / _WIDEST, _WIDEST)
    low, high = float(ends.min()), float(ends.max())
    spare = (high / low) ** 0.03
    return low / spare, high * spare


def _keys(priors: pd.DataFrame) -> dict[str, Any]:
    words = _words(priors)
    keys: dict[str, Any] = {}
    marked = _marked(priors)
    called = style.names([prior for prior, _ in marked], [words[prior] for prior, _ in marked])
    for text, (_, mark) in zip(style.fitted_names(called, 70.0), marked, strict=True):
        look = {**_point(mark, 3.0), "linestyle": "-", "linewidth": 0.8}
        keys[text] = Line2D([], [], **look)
    return keys


def _words(table: pd.DataFrame) -> dict[str, str]:
    """What each prior is called: the descriptions of the table are long, and stand in it."""
    known = zip(table["prior"].astype(str), table["description"].astype(str), strict=True)
    return {prior: shared_words.PRIOR_WORDS.get(prior, words) for prior, words in known}


# --- what each prior costs -----------------------------------------------------------------------


def _fit_blocks(figure: Figure, fits: pd.DataFrame, width_mm: float) -> list[Block]:
    """Differences in elpd to the prior as analysed, and the usual width of a risk's interval."""
    panels = [style.panel(figure, 0.0, 0.0, 1.0, 1.0) for _ in range(2)]
    words = _words(fits)
    called = style.names(list(words), list(words.values()))
    rows = predictor_rows.name_rows(called, 0.34 * width_mm, _FIT_MM)
    for place, axes in enumerate(panels):
        predictor_rows.draw_rows(axes, rows, named=place == 0)
    error = fits["elpd_diff_se"]
    ends = fits["elpd_diff"] - error, fits["elpd_diff"] + error
    panels[0].hlines(np.arange(len(fits)), *ends, color=INK, linewidth=0.8, zorder=2)
    panels[0].axvline(0.0, color=DIM, linewidth=0.6, linestyle=_DASHED, zorder=1)
    trusted = fits["trusted"].eq(True).to_numpy()
    for axes, column in zip(panels, ("elpd_diff", "median_width"), strict=True):
        _draw_fits(axes, fits[column].to_numpy(dtype=float), trusted)
    panels[0].set_xlabel("Difference in elpd, ± 1 SE (nats)")
    panels[1].set_xlabel(f"Median width of a risk's {predictor_rows.percent(fits)} interval")
    panels[1].set_xlim(0, 1.1 * max(_highest(fits[["median_width"]]), 0.01))
    for axes in panels:
        axes.locator_params(axis="x", nbins=4 if width_mm >= _NARROW_MM else 2)
    note = "" if trusted.all() else "hollow: the draws of that fit cannot be trusted"
    return [Block(panels[0], "Fits under each prior", note=note), Block(panels[1])]


def _draw_fits(axes: Axes, values: Sequence[float] | Any, trusted: Any) -> None:
    at = np.arange(len(values))
    for chosen, face in ((trusted, INK), (~trusted, "white")):
        look = {**_point(MARKS[0], 3.4), "markerfacecolor": face, "markeredgewidth": 0.8}
        axes.plot(values[chosen], at[chosen], **look)
