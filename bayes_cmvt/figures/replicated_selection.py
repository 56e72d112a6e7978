"""Figure of selection replicated: what survives in fresh samples, and at what price."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bayes_cmvt.errors import OptionError
from bayes_cmvt.figures import predictor_rows, style
from bayes_cmvt.figures.predictor_rows import RowPage
from bayes_cmvt.figures.shared_words import dot, signed
from bayes_cmvt.figures.style import DIM, FAINT, MARKS, Mark
from bayes_cmvt.glossary import PROCEDURES, REPLICATED_RULES

_EDGE_MM, _GAP_MM = style.EDGE_MM, style.GAP_MM
_ROW_MM = (3.4, 6.6)  # smallest and largest
_NAME_SHARE, _ROWS_SHARE = 0.4, 0.64  # of the rows; of a figure with the errors at their side
_SIDE_BY_SIDE = 130.0  # mm: narrower figures have the errors underneath
_SQUARE_MM = 46.0
_TITLE = "Share of samples"
_EFFECT = "log-odds\nper SD"
_FALSE, _TRUE = "False discoveries: share of the kept", "Sensitivity: share of true effects kept"
_LOOKS: Mapping[str, Mark] = MappingProxyType(
    dict(zip([*[*PROCEDURES][:-1], "p_rule"], MARKS, strict=False))
)  # the same as in the figure of one selection's stability
_SETS: Mapping[str, str] = MappingProxyType(
    {
        "all_true_kept": "every true effect",
        "exact_set": "the true set exactly",
        "same_set_again": "the same set again",
    }
)


def plot_replicated_selection(
    selection_survival: pd.DataFrame,
    selection_rules: pd.DataFrame,
    *,
    width_mm: float | None = None,
) -> Figure:
    """How often each predictor is selected from fresh samples, and what each rule gets right.

    A row for each predictor, true effects first, the largest on top; under them how often the set
    as a whole comes out right, or comes again. Beside them, or underneath, sensitivity against
    false discoveries with 1 Monte Carlo standard error; not where every effect is true, or none.
    Predictors without room, those with the smallest effects, are counted underneath.

    Parameters
    ----------
    selection_survival : DataFrame, one row for each rule and predictor
        ``rule, term, label, std_truth`` (log-odds per SD), ``survival, survival_mcse``.
    selection_rules : DataFrame, one row for each rule
        ``rule, sensitivity, sensitivity_mcse, false_discoveries, false_discoveries_mcse,
        all_true_kept, exact_set, same_set_again, data_sets``.
    width_mm : float, optional
        175 by default; narrower than 130 the errors stand underneath.

    Returns
    -------
    Figure
        Axes: the rows, the effects at their right, and sensitivity against false discoveries.

    Raises
    ------
    OptionError
        A table without rows or without the columns above, more than one scenario, an unknown rule.
    """
    _check(selection_survival, selection_rules)
    width = width_mm or style.DOUBLE_MM
    errors = selection_rules.dropna(subset=["sensitivity", "false_discoveries"])
    beside = width >= _SIDE_BY_SIDE
    with style.journal():
        under = 0.0 if beside or errors.empty else _square_mm() + _GAP_MM
        share = _ROWS_SHARE if beside and not errors.empty else 1.0
        page = _page(selection_survival, selection_rules, (width, share * width), under)
        bottom = page.bottom + under
        if beside and not errors.empty:
            bottom = max(bottom, page.top + _square_mm())
        figure = style.blank_figure(width, bottom + _EDGE_MM)
        _draw_rows(figure, page)
        if not errors.empty:
            corner = (page.width, page.top) if beside else (0.0, page.bottom + _GAP_MM)
            _draw_errors(figure, errors, corner)
        figure.draw_without_rendering()
    return figure


def _check(survival: pd.DataFrame, rules: pd.DataFrame) -> None:
    columns = ("rule", "term", "label", "std_truth", "survival", "survival_mcse")
    style.require_columns(survival, columns, "selection_survival")
    both = ("sensitivity", "false_discoveries")
    needed = ("rule", *both, *(f"{name}_mcse" for name in both), *_SETS, "data_sets")
    style.require_columns(rules, needed, "selection_rules")
    problems = []
    for called, table in (("selection_survival", survival), ("selection_rules", rules)):
        if "scenario" in table and len(table["scenario"].unique()) > 1:
            several = ", ".join(map(str, table["scenario"].unique()))
            problems.append(f"{called}: found scenarios {several}; allowed: one in a figure")
        unknown = [str(rule) for rule in table["rule"].unique() if rule not in _LOOKS]
        if unknown:
            allowed = ", ".join(_LOOKS)
            problems.append(f"{called}: found rules {', '.join(unknown)}; allowed: {allowed}")
    if problems:
        msg = "selection in fresh samples cannot be drawn"
        raise OptionError(msg, problems)


# --- the rows ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Page(RowPage):
    """Predictors and sets as they are drawn: a row each, a column for each rule."""

    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    rules: tuple[str, ...] = ()

    @property
    def sizes_mm(self) -> float:
        """Room for the effects and their title."""
        return 1.5 + max(style.text_mm(text) for text in (*self.sizes, *_EFFECT.split("\n")))

    @property
    def sizes(self) -> list[str]:
        """Effects as they are written at the right; nothing beside a set."""
        told = zip(self.table["std_truth"], self.table["set"], strict=True)
        return ["" if is_set else "0" if size == 0 else signed(size, 2) for size, is_set in told]


def _page(
    survival: pd.DataFrame, rules: pd.DataFrame, widths: tuple[float, float], under: float
) -> _Page:
    """As many predictors as a page has room for, besides what stands under them."""
    across, width = widths
    names = tuple(rules["rule"].drop_duplicates())
    table = pd.concat([_predictors(survival), _sets(rules, survival)], ignore_index=True)
    shown, rows = predictor_rows.fitting_rows(
        table,
        table["std_truth"].abs().where(~table["set"], np.inf),
        room_mm=style.PAGE_MM - under - 44.0,  # at most that for legend, axis, note and edges
        row_mm=_ROW_MM,
        name_mm=_NAME_SHARE * width,
    )
    keys = {REPLICATED_RULES[rule]: _key(rule) for rule in names}
    note = _note(survival, rules, len(table) - len(shown))
    return _Page(rows, width, _TITLE, keys, across, note, shown.reset_index(drop=True), names)


def _predictors(survival: pd.DataFrame) -> pd.DataFrame:
    """A row for each predictor, true effects first; a column for each rule."""
    about = survival.drop_duplicates("term").set_index("term")[["label", "std_truth"]]
    order = about["std_truth"].abs().sort_values(ascending=False, kind="stable").index
    shares = survival.pivot_table(index="term", columns="rule", values="survival", aggfunc="first")
    return about.loc[order].join(shares).reset_index().assign(set=False)


def _sets(rules: pd.DataFrame, survival: pd.DataFrame) -> pd.DataFrame:
    """A row for each thing that is asked of the whole set; where all are true, two are one."""
    asked = [name for name in _SETS if rules[name].notna().any()]
    if survival["std_truth"].ne(0).all():
        asked = [name for name in asked if name != "exact_set"]
    shares = rules.set_index("rule")[asked].T.reset_index(drop=True)
    words = [_SETS[name] for name in asked]
    return shares.assign(term=asked, label=words, std_truth=np.nan, set=True)


def _note(survival: pd.DataFrame, rules: pd.DataFrame, more: int) -> str:
    sets = rules["data_sets"]
    least, most = int(sets.min()), int(sets.max())
    count = f"{most:,}" if least == most else f"{least:,} to {most:,}"
    said = [f"{count} samples; standard errors up to {survival['survival_mcse'].max():.2f}."]
    if survival["std_truth"].ne(0).all():
        said.append("No effect is zero: no discovery is false.")
    elif survival["std_truth"].eq(0).all():
        said.append("Every effect is zero: whatever is kept is false.")
    if more:
        said.append(f"{more} more with the smallest effects are not drawn.")
    return " ".join(said)


def _key(rule: str) -> Line2D:
    return Line2D([], [], **dot(_LOOKS[rule], 4.0))


def _draw_rows(figure: Figure, page: _Page) -> None:
    width = page.width - page.left - page.sizes_mm - _EDGE_MM
    axes = style.panel(figure, page.left, page.top, width, page.rows.height_mm)
    predictor_rows.draw_rows(axes, page.rows)
    step = min(0.2, 0.86 / len(page.rules))
    apart = step * page.rows.row_mm / style.MM_PER_INCH * style.POINTS_PER_INCH
    at = np.arange(len(page.table))
    for place, rule in enumerate(page.rules):
        axes.plot(
            *(page.table[rule], at + (place - (len(page.rules) - 1) / 2) * step),
            clip_on=False,
            zorder=3,
            **dot(_LOOKS[rule], float(np.clip(1.15 * apart, 2.6, 4.5))),
        )
    for end in _ends(page.table):
        axes.axhline(end - 0.5, color=DIM, linewidth=0.6, zorder=2)
    _share_axis(axes, width)
    axes.set_xlabel(_TITLE)
    _write_sizes(axes, page)
    across, down = style.figure_mm(figure)
    corner = (page.left + width + 1.5) / across, 1 - (page.top + page.rows.height_mm + 1.5) / down
    figure.text(*corner, _EFFECT, va="top", fontsize=style.SMALL, color=DIM)
    page.add_words(figure)


def _ends(table: pd.DataFrame) -> list[int]:
    """Rows at which zeros begin, and sets."""
    kind = np.where(table["set"], 2, np.where(table["std_truth"].eq(0), 1, 0))
    return (1 + np.flatnonzero(np.diff(kind))).tolist()


def _share_axis(axes: Axes, width: float) -> None:
    """From 0 to 1: quarters, or halves where there is little room."""
    ticks = [0.0, 0.25, 0.5, 0.75, 1.0] if width >= 28.0 else [0.0, 0.5, 1.0]
    axes.set_xlim(-0.02, 1.02)
    axes.set_xticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    axes.grid(axis="x", color=FAINT, linewidth=0.4, zorder=0.5)
    axes.set_axisbelow(True)


def _write_sizes(axes: Axes, page: _Page) -> None:
    """Write true effects at the right end of their rows."""
    beside = axes.twinx()
    beside.set_ylim(axes.get_ylim())
    beside.set_yticks(np.arange(len(page.table)), labels=page.sizes)
    beside.tick_params(axis="y", length=0, pad=2, labelcolor=DIM)
    for side in beside.spines.values():
        side.set_visible(False)


# --- sensitivity and false discoveries -----------------------------------------------------------


def _square_mm() -> float:
    """Height of the panel of errors with its axis."""
    return _SQUARE_MM + predictor_rows.x_axis_mm(style.filled(_FALSE, _SQUARE_MM))


def _draw_errors(figure: Figure, rules: pd.DataFrame, corner: tuple[float, float]) -> None:
    """Sensitivity against false discoveries, each with its Monte Carlo error."""
    start, top = corner
    across, _ = style.figure_mm(figure)
    left = start + _EDGE_MM + 14.0
    width = min(_SQUARE_MM, across - left - 2 * _EDGE_MM)
    axes = style.panel(figure, left, top, width, _SQUARE_MM)
    for row in rules.to_dict("records"):
        mark = _LOOKS[str(row["rule"])]
        axes.errorbar(
            row["false_discoveries"],
            row["sensitivity"],
            xerr=row["false_discoveries_mcse"],
            yerr=row["sensitivity_mcse"],
            fmt=mark.marker,
            color=mark.colour,
            markersize=4.0,
            markeredgewidth=mark.edge,
            elinewidth=0.6,
            zorder=3,
        )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks([0.0, 0.25, 0.5, 0.75, 1.0], labels=["0", "0.25", "0.5", "0.75", "1"])
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.grid(color=FAINT, linewidth=0.4, zorder=0.5)
    axes.set_axisbelow(True)
    axes.set_xlabel(style.filled(_FALSE, width))
    axes.set_ylabel(style.filled(_TRUE, _SQUARE_MM))
