"""Figure of the coefficients: before and after the data, beside the path of the LASSO."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import StrMethodFormatter
from numpy.typing import NDArray

from bayes_cmvt.errors import OptionError
from bayes_cmvt.figures import predictor_rows, style
from bayes_cmvt.figures.predictor_rows import RowPage
from bayes_cmvt.figures.style import DIM, FAINT, INK, Name

Keys = dict[str, Any]  # words of the legend to what is drawn beside them

_EDGE_MM, _GAP_MM = 2.0, 3.0
_ROW_MM = (3.0, 6.6)  # smallest and largest
_NAME_SHARE, _FOREST_SHARE = 0.4, 0.56  # of the forest; of a figure with the path at its side
_SIDE_BY_SIDE = 130.0  # mm: narrower figures have the path underneath
_WIDEST, _WIDEST_PRIOR = 500.0, 20.0  # odds ratios farther from 1 are cut
_PRIOR_BAND = "#CCCCCC"
_ENDS = ("lower", "median", "upper")
_ODDS_RATIO, _STEP = "Odds ratio", "per"


def plot_coefficients(
    prior: pd.DataFrame,
    lasso_path: pd.DataFrame | None = None,
    lasso_cv: pd.DataFrame | None = None,
    penalties: Mapping[str, float] | None = None,
    scales: Mapping[str, float] | None = None,
    *,
    width_mm: float | None = None,
) -> Figure:
    """Odds ratios before and after the data, beside the path and the error curve of the LASSO.

    An odds ratio compares what its label says, that of a measurement is per the step beside it.
    Intervals that leave the axis end in an arrow: it holds posterior intervals between 1/500 and
    500, and prior intervals as far as 1/20 and 20. Predictors without room, those whose medians
    are nearest to 1, are counted underneath. On the path, the six predictors with the largest
    coefficients at the penalty of the smallest error have marks of their own.

    Parameters
    ----------
    prior : DataFrame, one row for each predictor
        ``term, label, contrast, prior_lower, prior_median, prior_upper, posterior_lower,
        posterior_median, posterior_upper, interval``: odds ratios.
    lasso_path : DataFrame, one row for each penalty, optional
        ``lambda, df`` and a column of coefficients for each term, per unit of the predictor.
    lasso_cv : DataFrame, one row for each penalty
        ``lambda, mean, se``; comes with `lasso_path`.
    penalties : mapping of str to float
        ``lambda_min`` and ``lambda_1se``; comes with `lasso_path`.
    scales : mapping of str to float, optional
        Standard deviation of each term: the path is then drawn per standard deviation, without it
        per unit, which predictors in different units do not share.
    width_mm : float, optional
        85 for odds ratios alone, otherwise 175.

    Returns
    -------
    Figure
        Axes: odds ratios and, where there is a path, the path and the error curve.

    Raises
    ------
    OptionError
        A table without rows or without the columns above, a path without its curve or penalties,
        terms of the path without a scale.
    """
    columns = [f"{when}_{end}" for when in ("prior", "posterior") for end in _ENDS]
    style.require_columns(prior, ("term", "label", "contrast", *columns, "interval"), "prior")
    width = width_mm or (style.SINGLE_MM if lasso_path is None else style.DOUBLE_MM)
    beside = lasso_path is not None and width >= _SIDE_BY_SIDE
    with style.journal():
        lasso = None
        if lasso_path is not None:
            left = width * _FOREST_SHARE if beside else 0.0
            lasso = _lasso(prior, lasso_path, lasso_cv, (penalties, scales), (left, width - left))
        under = 0.0 if lasso is None or beside else lasso.height_mm
        forest = _forest(prior, width * _FOREST_SHARE if beside else width, under)
        if lasso is not None and not beside and forest.note:
            lasso = replace(lasso, names_whole=False)
            forest = _forest(prior, width, lasso.height_mm)
        if lasso is not None and beside:
            spare = forest.bottom - _EDGE_MM - lasso.height_mm
            lasso = replace(lasso, stretch=float(np.clip(1 + spare / _PANELS_MM, 1.0, 1.6)))
        top = _EDGE_MM if beside else forest.bottom + _GAP_MM
        bottom = forest.bottom if lasso is None else max(forest.bottom, top + lasso.height_mm)
        figure = style.blank_figure(width, bottom + _EDGE_MM)
        _draw_forest(figure, forest)
        if lasso is not None:
            _draw_lasso(figure, lasso, top)
        figure.draw_without_rendering()
    return figure


# --- before and after the data -------------------------------------------------------------------


@dataclass(frozen=True)
class _Forest(RowPage):
    """Odds ratios as they are drawn."""

    table: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def steps(self) -> list[str]:
        return step_texts(self.table["contrast"])

    @property
    def left(self) -> float:
        return super().left + steps_mm(self.steps)


def step_texts(contrasts: pd.Series[float]) -> list[str]:
    """Contrasts other than 1, which is a level against another or one unit.

    At most three digits, without an exponent; empty for 1 and for none.

    Examples
    --------
    >>> step_texts(pd.Series([1.0, 4.2512, 15250.0, float("nan")]))
    ['', '4.25', '15,200', '']
    """

    def plain(step: float) -> str:
        if not np.isfinite(step) or step == 1.0:
            return ""
        rounded = float(f"{step:.3g}")
        return f"{rounded:,.0f}" if abs(rounded) >= 100 else f"{rounded:g}"

    return [plain(float(step)) for step in contrasts]


def steps_mm(steps: Sequence[str]) -> float:
    """Room for the column of steps, in mm."""
    return max(style.text_mm(text) for text in (_STEP, *steps)) + 2.0


def _forest(prior: pd.DataFrame, width: float, under: float) -> _Forest:
    """As many predictors as a page has room for, besides what stands under them."""
    shown, rows = predictor_rows.fitting_rows(
        prior,
        np.log(prior["posterior_median"]).abs(),
        room_mm=style.PAGE_MM - under - 31.0,  # at most that for legend, axis, note and edges
        row_mm=_ROW_MM,
        name_mm=_NAME_SHARE * width,
    )
    more = len(prior) - len(shown)
    note = f"{more} more with posterior medians nearer to 1 are not drawn" if more else ""
    return _Forest(rows, width, _ODDS_RATIO, _forest_keys(prior), width, note, shown)


def _forest_keys(prior: pd.DataFrame) -> Keys:
    words = f"the data: median and {predictor_rows.percent(prior)} interval"
    look: dict[str, Any] = {"color": INK, "marker": "o", "markersize": 3.2, "linewidth": 0.9}
    before: dict[str, Any] = {"color": _PRIOR_BAND, "marker": "|", "markeredgecolor": DIM}
    before |= {"linewidth": 4.0, "solid_capstyle": "butt"}
    return {f"after {words}": Line2D([], [], **look), f"before {words}": Line2D([], [], **before)}


def _draw_forest(figure: Figure, forest: _Forest) -> None:
    width = forest.width - forest.left - 2 * _EDGE_MM
    axes = style.panel(figure, forest.left, forest.top, width, forest.rows.height_mm)
    limits = _odds_limits(forest.table)
    predictor_rows.draw_rows(axes, forest.rows)
    predictor_rows.log_axis(axes, limits, width)
    write_steps(axes, forest.steps)
    axes.axvline(1.0, color=INK, linewidth=0.7, linestyle=(0, (4, 2)), zorder=1.2)
    _draw_odds_ratios(axes, forest, limits)
    axes.set_xlabel(_ODDS_RATIO)
    forest.add_words(figure)


def write_steps(axes: Axes, steps: Sequence[str], *, heading: str = _STEP) -> None:
    """Write between names and intervals, row by row, what the odds ratio of a measurement is per.

    Parameters
    ----------
    axes : Axes
        With its rows and their names.
    steps : sequence of str
        From `step_texts`.
    heading : str
        Over the first row.
    """
    points = style.POINTS_PER_INCH / style.MM_PER_INCH
    axes.tick_params(axis="y", pad=5.0 + steps_mm(steps) * points)
    look: dict[str, Any] = {"textcoords": "offset points", "xycoords": axes.get_yaxis_transform()}
    look |= {"xytext": (-5.0, 0.0), "ha": "right", "va": "center", "color": DIM}
    for row, step in enumerate(steps):
        if step:
            axes.annotate(step, (0.0, row), **look)
    if heading and any(steps):
        axes.annotate(heading, (0.0, -0.5), **{**look, "xytext": (-5.0, 1.0), "va": "bottom"})


def _odds_limits(table: pd.DataFrame) -> tuple[float, float]:
    """Ends of the axis: all estimates, and intervals as far as they can be read."""

    def ends(when: str, widest: float) -> NDArray[np.float64]:
        both = table[[f"{when}_lower", f"{when}_upper"]].to_numpy(dtype=float).ravel()
        clipped: NDArray[np.float64] = np.clip(both[~np.isnan(both)], 1 / widest, widest)
        return clipped

    points = table["posterior_median"].to_numpy(dtype=float)
    points = points[np.isfinite(points) & (points > 0)]
    parts = (ends("posterior", _WIDEST), ends("prior", _WIDEST_PRIOR), points, [0.8, 1.25])
    every = np.concatenate(parts)
    low, high = float(every.min()), float(every.max())
    spare = (high / low) ** 0.03
    return low / spare, high * spare


def _draw_odds_ratios(axes: Axes, forest: _Forest, limits: tuple[float, float]) -> None:
    table, at = forest.table, np.arange(len(forest.table))
    thick = 0.5 * forest.rows.row_mm / style.MM_PER_INCH * style.POINTS_PER_INCH
    look: dict[str, Any] = {"limits": limits, "color": _PRIOR_BAND, "zorder": 1.1}
    before = (table["prior_lower"], table["prior_upper"])
    predictor_rows.draw_spans(axes, before, at, **look, linewidth=min(thick, 5.0))
    after = (table["posterior_lower"], table["posterior_upper"])
    predictor_rows.draw_spans(axes, after, at, limits=limits, color=INK, linewidth=0.9, zorder=2)
    dots: dict[str, Any] = {"linestyle": "none", "clip_on": False}
    axes.plot(table["prior_median"], at, marker="|", color=DIM, markersize=5.0, **dots, zorder=1.5)
    axes.plot(table["posterior_median"], at, marker="o", color=INK, markersize=3.2, **dots)


# --- the LASSO -----------------------------------------------------------------------------------

_PATH_MM, _ERROR_MM, _ABOVE_MM = 46.0, 28.0, 9.0  # panels; the numbers of predictors over them
_PANELS_MM = _PATH_MM + _ERROR_MM
_NAMED = 6  # lines of the path with a mark of their own
_COLUMN_MM, _HANDLE_MM = 36.0, 10.5  # of the legend: a column at least, what is not words
_PENALTIES: tuple[tuple[str, str, Any], ...] = (
    ("lambda_min", "smallest error", "-"),
    ("lambda_1se", "within 1 SE of it", (0, (4, 2))),
)
_PENALTY = "Penalty λ"


@dataclass(frozen=True)
class _Lasso:
    """Path and error curve as they are drawn, in mm from the left."""

    path: pd.DataFrame
    coefficients: pd.DataFrame
    error: pd.DataFrame
    penalties: dict[str, float]
    named: tuple[Name, ...]
    per: str
    left: float
    width: float
    stretch: float = 1.0  # of the panels, where there is room beside the odds ratios
    names_whole: bool = True  # in the legend, unless predictors need the room

    @property
    def path_mm(self) -> float:
        return _PATH_MM * self.stretch

    @property
    def error_mm(self) -> float:
        return _ERROR_MM * self.stretch

    @property
    def others(self) -> int:
        return len(self.coefficients.columns) - len(self.named)

    @property
    def columns(self) -> int:
        """Of the legend: as many as leave the names whole, otherwise one."""
        most = max(1, int(self.width // _COLUMN_MM))
        if not self.names_whole:
            return most
        possible = (
            count
            for count in range(most, 1, -1)
            if style.fit_whole(self.named, self.name_mm(count), 1)
        )
        return next(possible, 1)

    def name_mm(self, columns: int) -> float:
        """Room for a name in the legend; a screen's letters are wider."""
        return 0.95 * (self.width - _EDGE_MM) / columns - _HANDLE_MM

    @property
    def legend_mm(self) -> float:
        entries = len(self.named) + bool(self.others) + len(_PENALTIES) + 1
        return style.legend_mm(entries, self.columns)

    @property
    def axes_mm(self) -> float:
        return (
            _ABOVE_MM + self.path_mm + _GAP_MM + self.error_mm + predictor_rows.x_axis_mm(_PENALTY)
        )

    @property
    def height_mm(self) -> float:
        return self.axes_mm + _GAP_MM + self.legend_mm


def _lasso(
    prior: pd.DataFrame,
    lasso_path: pd.DataFrame,
    lasso_cv: pd.DataFrame | None,
    constants: tuple[Mapping[str, float] | None, Mapping[str, float] | None],
    place: tuple[float, float],
) -> _Lasso:
    penalties, scales = constants
    style.require_columns(lasso_path, ("lambda", "df"), "lasso_path")
    if lasso_cv is None or penalties is None:
        msg = "a LASSO path is drawn with its error curve and its two penalties"
        raise OptionError(msg, ["give lasso_cv and penalties, or no lasso_path"])
    style.require_columns(lasso_cv, ("lambda", "mean", "se"), "lasso_cv")
    labels = dict(zip(prior["term"], prior["label"].fillna("").astype(str), strict=True))
    terms = [term for term in labels if term in lasso_path]
    _check_path(terms, penalties, scales)
    path = lasso_path.sort_values("lambda", ignore_index=True)
    factors = pd.Series({term: 1.0 if scales is None else scales[term] for term in terms})
    coefficients = path[terms] * factors
    named = _named(path["lambda"], coefficients, penalties["lambda_min"])
    return _Lasso(
        *(path, coefficients, lasso_cv.sort_values("lambda"), dict(penalties)),
        named=tuple(style.names(named, [labels[term] for term in named])),
        per="unit" if scales is None else "SD",
        left=place[0],
        width=place[1],
    )


def _check_path(
    terms: list[str], penalties: Mapping[str, float], scales: Mapping[str, float] | None
) -> None:
    problems = [f"no penalty {key!r}" for key, *_ in _PENALTIES if key not in penalties]
    problems += [] if terms else ["no term of the table 'prior' has a column in it"]
    if scales is not None:
        problems += [f"no scale of {term!r}" for term in terms if term not in scales]
    if problems:
        msg = "the LASSO path cannot be drawn"
        raise OptionError(msg, problems)


def _named(penalty: pd.Series[float], coefficients: pd.DataFrame, smallest: float) -> list[str]:
    """Terms with the largest coefficients where the error is smallest, else at the path's end."""
    nearest = coefficients.loc[(np.log(penalty) - np.log(smallest)).abs().idxmin()].abs()
    size = nearest if (nearest > 0).any() else coefficients.iloc[0].abs()
    return [str(term) for term in size[size > 0].nlargest(_NAMED).index]


def _draw_lasso(figure: Figure, lasso: _Lasso, top: float) -> None:
    path = style.panel(figure, lasso.left + 15.0, top + _ABOVE_MM, 50.0, _PATH_MM)
    error = style.panel(figure, lasso.left + 15.0, top + _ABOVE_MM, 50.0, _ERROR_MM)
    keys = _draw_path(path, lasso) | _draw_error(error, lasso)
    keys |= _draw_penalties([path, error], lasso)
    for axes in (path, error):  # no power of ten over the axis
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    room = style.y_axis_mm([path, error])
    left, width = lasso.left + _EDGE_MM + room, lasso.width - room - 2.5 * _EDGE_MM
    style.place(path, left, top + _ABOVE_MM, width, lasso.path_mm)
    style.place(error, left, top + _ABOVE_MM + lasso.path_mm + _GAP_MM, width, lasso.error_mm)
    penalties = pd.concat([lasso.path["lambda"], lasso.error["lambda"]])
    limits = float(penalties.min()) / 1.05, float(penalties.max()) * 1.05
    for axes in (path, error):
        predictor_rows.log_axis(axes, limits, width)
        axes.yaxis.set_label_coords(-room / width, 0.5)
        axes.yaxis.label.set_verticalalignment("top")
    _number_predictors(path, lasso)
    path.tick_params(axis="x", labelbottom=False)
    error.set_xlabel(_PENALTY)
    _write_legend(figure, lasso, keys, top + lasso.axes_mm + _GAP_MM)


def _draw_path(axes: Axes, lasso: _Lasso) -> Keys:
    """Lines of the coefficients, those with a mark of their own above the others."""
    penalty, keys = lasso.path["lambda"], {}
    terms = [name.term for name in lasso.named]
    for term in lasso.coefficients.columns.difference(terms, sort=False):
        (keys["others"],) = axes.plot(
            penalty, lasso.coefficients[term], color=FAINT, linewidth=0.6, zorder=2
        )
    named: Keys = {}
    every = max(1, len(penalty) // 6)
    for place, (term, mark) in enumerate(zip(terms, style.marks(len(terms)), strict=True)):
        (named[f"term {term}"],) = axes.plot(
            penalty,
            lasso.coefficients[term],
            color=mark.colour,
            linestyle=mark.line,
            linewidth=1.0,
            marker=mark.marker,
            markersize=3.4,
            markeredgewidth=mark.edge,
            markevery=(place * every // len(terms), every),
            zorder=3,
        )
    axes.axhline(0.0, color=INK, linewidth=0.5, zorder=1)
    if not lasso.coefficients.to_numpy().any():
        axes.set_ylim(-1.0, 1.0)
    axes.set_ylabel(f"Coefficient per {lasso.per}\n(log-odds)")
    axes.locator_params(axis="y", nbins=6)
    return named | keys


def _draw_error(axes: Axes, lasso: _Lasso) -> Keys:
    drawn = axes.errorbar(
        lasso.error["lambda"],
        lasso.error["mean"],
        yerr=lasso.error["se"],
        fmt="o",
        color=INK,
        markersize=1.8,
        elinewidth=0.4,
        ecolor=DIM,
    )
    axes.set_ylabel("Cross-validated\nerror")
    axes.locator_params(axis="y", nbins=4)
    return {"error": drawn}


def _draw_penalties(panels: list[Axes], lasso: _Lasso) -> Keys:
    keys: Keys = {}
    for key, _, line in _PENALTIES:
        for axes in panels:
            value = lasso.penalties[key]
            keys[key] = axes.axvline(value, color=DIM, linewidth=0.8, linestyle=line, zorder=1)
    return keys


def _number_predictors(axes: Axes, lasso: _Lasso) -> None:
    """Write over the path how many predictors have a coefficient at each tick."""
    penalty = np.log(lasso.path["lambda"].to_numpy(dtype=float))
    look: dict[str, Any] = {"xycoords": axes.get_xaxis_transform(), "color": DIM, "ha": "center"}
    look |= {"xytext": (0.0, 2.0), "textcoords": "offset points", "va": "bottom"}
    for tick in axes.get_xticks():
        many = lasso.path["df"].iloc[int(np.abs(penalty - np.log(tick)).argmin())]
        axes.annotate(f"{many:.0f}", (tick, 1.0), **look)
    axes.set_title("Predictors with a coefficient", fontsize=style.SMALL, color=DIM, pad=13.0)


def _write_legend(figure: Figure, lasso: _Lasso, keys: Keys, top: float) -> None:
    """Names in the fonts of their labels, and what the lines mean."""
    words = {key: text for key, text, _ in _PENALTIES}
    words |= {"others": f"{lasso.others} other predictors", "error": "mean ± 1 SE"}
    room = lasso.name_mm(lasso.columns)
    words |= {
        f"term {name.term}": text
        for name, text in zip(lasso.named, style.fitted_names(lasso.named, room), strict=True)
    }
    left = lasso.left + _EDGE_MM
    legend = style.add_legend(figure, keys, left=left, top=top, columns=lasso.columns)
    texts = legend.get_texts()
    for text, key in zip(texts, keys, strict=True):
        text.set_text(words[key])
    style.write_names(texts[: len(lasso.named)], lasso.named)
