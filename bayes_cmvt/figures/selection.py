"""Figures of a selection: how much each size loses, and how stable the choice is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colorbar import Colorbar
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from bayes_cmvt.errors import OptionError
from bayes_cmvt.figures import style
from bayes_cmvt.figures.predictor_rows import STRIPE
from bayes_cmvt.figures.style import BAND, DIM, FAINT, INK, Name
from bayes_cmvt.glossary import PROCEDURES

Keys = dict[str, Any]  # words of the legend to what is drawn beside them

PLURALS: Mapping[str, str] = MappingProxyType(
    {
        "subsample": "subsamples",
        "split": "splits",
        "left_out_fold": "fits without a fold",
        "folds": "dealings of the folds",
        "seed": "seeds",
    }
)
NO_PREDICTOR = "no predictor"
NEGLIGIBLE = 4.0  # nats of elpd: Sivula et al. 2020, arXiv:2008.10296


# --- the path ------------------------------------------------------------------------------------

_PANELS_MM = MappingProxyType({"elpd_diff": 44.0, "auc": 28.0, "share_of_folds": 13.0})
_GAP_MM, _EDGE_MM = 3.0, 2.0
_NAME_MM = 44.0  # of a name written upwards
_STEP_PAD = 5.0 + style.SMALL * style.LINE_HEIGHT  # points from the axis to names; between: sizes


def plot_selection_path(
    selection: pd.DataFrame, *, negligible: float = NEGLIGIBLE, width_mm: float | None = None
) -> Figure:
    """What is lost by stopping after each size of the path, compared with the full posterior.

    From the top: the difference in elpd with 1 standard error, and the losses that cannot be told
    from none; the AUC, its bars 1 standard error of its difference to that of the full posterior;
    the share of folds whose own search had the same predictor among as many. A panel whose column
    is absent or empty is left out. Nothing is computed and nothing is saved.

    Parameters
    ----------
    selection : DataFrame, one row for each size
        ``size, term, label, elpd_diff, elpd_diff_se``; ``auc, auc_diff, auc_diff_se,
        share_of_folds, suggested, chosen`` where there are any.
    negligible : float
        Losses of elpd smaller than this cannot be told from none; 0 draws no band.
    width_mm : float, optional
        85 up to eight predictors, otherwise 175.

    Returns
    -------
    Figure
        One axes for each panel, from the top.

    Raises
    ------
    OptionError
        A table without rows or without the first five columns.
    """
    style.require_columns(
        selection, ("size", "term", "label", "elpd_diff", "elpd_diff_se"), "selection"
    )
    path = selection.sort_values("size", ignore_index=True)
    wide = style.SINGLE_MM if len(path) <= 9 else style.DOUBLE_MM
    heights = {
        column: height
        for column, height in _PANELS_MM.items()
        if column == "elpd_diff" or _has(path, column)
    }
    with style.journal():
        figure = style.blank_figure(width_mm or wide, style.PAGE_MM)
        panels = {
            column: style.panel(figure, 20.0, 0.0, 100.0, height)
            for column, height in heights.items()
        }
        keys = _draw_losses(panels["elpd_diff"], path, negligible)
        if "auc" in panels:
            _draw_auc(panels["auc"], path)
        if "share_of_folds" in panels:
            _draw_shares(panels["share_of_folds"], path)
        keys |= _draw_sizes(list(panels.values()), path)
        _arrange(figure, panels, path, keys)
        figure.draw_without_rendering()
    return figure


def _has(table: pd.DataFrame, column: str) -> bool:
    return column in table and bool(table[column].notna().any())


def _draw_losses(axes: Axes, path: pd.DataFrame, negligible: float) -> Keys:
    """Differences in elpd; returns what the legend needs to say."""
    drawn = _draw_points(axes, path["size"], path["elpd_diff"], path["elpd_diff_se"])
    reference = axes.axhline(0.0, color=INK, linewidth=0.8, linestyle=(0, (4, 2)), zorder=1.5)
    keys: Keys = {
        "submodel; bars: ± 1 SE of the difference": drawn,
        "full posterior (reference)": reference,
    }
    if negligible > 0:
        axes.axhspan(-negligible, 0.0, color=BAND, linewidth=0, zorder=0.5)
        text = f"loss of elpd below {negligible:g}: cannot be told from none"
        keys[text] = Patch(facecolor=BAND, linewidth=0)
    axes.set_ylabel("Difference in elpd\nto full posterior (nats)")
    return keys


def _draw_points(
    axes: Axes, size: pd.Series[int], value: pd.Series[float], error: pd.Series[float] | None
) -> ErrorbarContainer:
    axes.plot(size, value, color=FAINT, linewidth=0.8, zorder=2)
    drawn = axes.errorbar(
        size,
        value,
        yerr=error,
        fmt="o",
        color=INK,
        markersize=3.2,
        elinewidth=0.9,
        capsize=1.6,
        zorder=3,
    )
    axes.locator_params(axis="y", nbins=5)
    return drawn


def _draw_auc(axes: Axes, path: pd.DataFrame) -> None:
    error = path["auc_diff_se"] if _has(path, "auc_diff_se") else None
    _draw_points(axes, path["size"], path["auc"], error)
    if _has(path, "auc_diff"):
        reference = float((path["auc"] - path["auc_diff"]).median())
        axes.axhline(reference, color=INK, linewidth=0.8, linestyle=(0, (4, 2)), zorder=1.5)
    axes.set_ylabel("AUC")


def _draw_shares(axes: Axes, path: pd.DataFrame) -> None:
    axes.bar(path["size"], path["share_of_folds"], width=0.6, color=DIM, zorder=2)
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1], labels=["0", "0.5", "1"])
    axes.set_ylabel("Share\nof folds")


def _draw_sizes(panels: Sequence[Axes], path: pd.DataFrame) -> Keys:
    """Lines at the suggested and at the chosen size, one where they are the same."""
    sizes = {
        called: int(path.loc[path[called].eq(True), "size"].iloc[0])
        for called in ("suggested", "chosen")
        if called in path and path[called].eq(True).any()
    }
    if len(sizes) == 2 and sizes["suggested"] == sizes["chosen"]:
        sizes = {"suggested and chosen": sizes["chosen"]}
    keys: Keys = {}
    colour = style.MARKS[1].colour
    for called, size in sizes.items():
        for axes in panels:  # thinner than the bars of standard errors, which it must not hide
            axes.axvline(size, color=colour, linewidth=0.5, linestyle=":", zorder=1)
        (keys[f"{called} size: {size}"],) = panels[0].plot(
            size,
            1.04,
            transform=panels[0].get_xaxis_transform(),
            linestyle="none",
            marker="v",
            markersize=5.0,
            color=colour,
            markerfacecolor="white" if called == "suggested" else colour,
            clip_on=False,
        )
    return keys


def _arrange(figure: Figure, panels: Mapping[str, Axes], path: pd.DataFrame, keys: Keys) -> None:
    """Give every part its place, now that it is known how much room letters take."""
    across, _ = style.figure_mm(figure)
    left = _EDGE_MM + style.y_axis_mm(list(panels.values()))
    width = across - left - _EDGE_MM
    columns = style.legend_columns(list(keys), across - 2 * _EDGE_MM)
    steps = _steps(path, width)
    top = _EDGE_MM + style.legend_mm(len(keys), columns) + _GAP_MM
    heights = [_PANELS_MM[column] for column in panels]
    down = top + sum(heights) + _GAP_MM * (len(heights) - 1) + steps.height_mm + _EDGE_MM
    style.resize(figure, across, down)
    style.add_legend(figure, keys, left=_EDGE_MM, top=_EDGE_MM, columns=columns)
    for axes, height in zip(panels.values(), heights, strict=True):
        style.place(axes, left, top, width, height)
        axes.yaxis.set_label_coords(-(left - _EDGE_MM) / width, 0.5)
        axes.yaxis.label.set_verticalalignment("top")
        axes.set_xlim(path["size"].min() - 0.6, path["size"].max() + 0.6)
        axes.set_xticks(steps.sizes, labels=[""] * len(steps.sizes))
        top += height + _GAP_MM
    _write_steps(axes, steps)


@dataclass(frozen=True)
class _Steps:
    """Sizes and the predictors that enter, as they are written under the lowest panel."""

    sizes: list[int]
    called: list[Name]
    texts: list[str]
    upright: bool
    title: str

    @property
    def height_mm(self) -> float:
        """Room for the ticks, the sizes, the names and the title of the axis."""
        lines = 1 + max(text.count("\n") for text in self.texts)
        widest = max(
            style.text_mm(text, name.font)
            for text, name in zip(self.texts, self.called, strict=True)
        )
        names = widest if self.upright else style.lines_mm(lines)
        above = _STEP_PAD / style.POINTS_PER_INCH * style.MM_PER_INCH
        return above + names + 1.0 + style.lines_mm(1 + self.title.count("\n"), style.LARGE)


def _steps(path: pd.DataFrame, width: float) -> _Steps:
    """Names across where they fit whole in four lines, otherwise upwards."""
    slot = width / (path["size"].max() - path["size"].min() + 1.2)
    every = int(np.ceil(style.lines_mm(1) / slot))
    shown = path.iloc[::every]
    enters = shown["size"] > 0
    terms = shown["term"].where(enters, NO_PREDICTOR).fillna("").astype(str).tolist()
    labels = shown["label"].where(enters, NO_PREDICTOR).fillna("").astype(str).tolist()
    called = style.names(terms, labels)
    upright = not style.fit_whole(called, 0.92 * slot * every, 4)
    lines = 2 if slot * every >= style.lines_mm(2) * 1.1 else 1
    room = (_NAME_MM, lines) if upright else (0.92 * slot * every, 4)
    texts = style.fitted_names(called, *room)
    title = style.filled("Number of predictors, and the one that enters", width)
    return _Steps(shown["size"].astype(int).tolist(), called, texts, upright, title)


def _write_steps(axes: Axes, steps: _Steps) -> None:
    """Sizes as ticks, and under them the names as ticks of a second kind."""
    axes.set_xticks(steps.sizes, labels=[f"{size}" for size in steps.sizes])
    axes.xaxis.remove_overlapping_locs = False
    axes.set_xticks(steps.sizes, labels=steps.texts, minor=True)
    axes.tick_params(axis="x", which="minor", length=0, pad=_STEP_PAD)
    axes.tick_params(axis="x", which="minor", labelrotation=90 if steps.upright else 0)
    style.write_names(axes.get_xticklabels(minor=True), steps.called)
    axes.set_xlabel(steps.title)


# --- stability -----------------------------------------------------------------------------------

_LABEL_MM = 48.0  # of a name to the left of its row
_CELL_MM, _ROW_MM, _ROWS_MM = 12.0, 7.0, 172.0  # at most: a column, a row, all rows
_BAR_MM = 2.2
_HEAT_SHARE = 0.58  # of the room beside the names


def plot_selection_stability(
    stability: pd.DataFrame,
    frequencies: pd.DataFrame,
    *,
    source: str = "subsample",
    procedures: Mapping[str, str] | None = None,
    width_mm: float = style.DOUBLE_MM,
) -> Figure:
    """How often each predictor is found again: along the path, and by other procedures.

    On the left the share of folds whose own search has a predictor among its first ones; on the
    right, on the same rows, how often each procedure selects it when the patients are drawn anew.
    Predictors that enter early stand above. Without frequencies of the `source` only the left part
    is drawn. Nothing is computed and nothing is saved.

    Parameters
    ----------
    stability : DataFrame, one row for each predictor and size
        ``term, label, size, share_of_folds``.
    frequencies : DataFrame, one row for each procedure and predictor
        ``procedure, source, replicates, term, frequency``; terms of `stability` alone are drawn.
    source : {"subsample", "split", "left_out_fold", "folds", "seed"}
        Which replicates are shown.
    procedures : mapping of str to str, optional
        What the legend calls a procedure, such as ``{"interval": "95 % interval excludes 0"}``;
        those that are not named keep the words of `PROCEDURES`.
    width_mm : float

    Returns
    -------
    Figure
        Axes: the shares, their colour bar and, where there are any, the frequencies.

    Raises
    ------
    OptionError
        A table without the columns above, a `stability` without rows, another source, more than
        one procedure that `PROCEDURES` does not name.
    """
    style.require_columns(stability, ("term", "label", "size", "share_of_folds"), "stability")
    shares = _ranked(stability)
    terms = shares.index.tolist()
    drawn = _of_source(frequencies, source)
    texts = _procedure_texts(drawn, source, procedures or {})
    with style.journal():
        called = style.names(terms, _labels(stability, terms))
        page = _page(
            *(called, shares.shape[1]),
            texts=list(texts.values()),
            dots_text=_dots_text(drawn, source),
            width_mm=width_mm,
        )
        figure = style.blank_figure(width_mm, page.height)
        heat = style.panel(figure, page.left, _EDGE_MM, page.heat, page.rows)
        cells = _draw_heat(heat, shares, page)
        bar = style.panel(figure, page.left, page.bar_top, page.heat, _BAR_MM)
        _draw_bar(figure.colorbar(cells, cax=bar, orientation="horizontal"), page)
        if texts:
            beside = style.panel(figure, page.dots_left, _EDGE_MM, page.dots, page.rows)
            keys = _draw_dots(beside, drawn, texts, page)
            style.add_legend(figure, keys, left=_EDGE_MM, top=page.key_top, columns=page.columns)
        figure.draw_without_rendering()
    return figure


def _ranked(stability: pd.DataFrame) -> pd.DataFrame:
    """Shares: a row for each predictor, those that enter early first, and sizes as columns."""
    shares = stability.pivot_table(
        index="term", columns="size", values="share_of_folds", aggfunc="first", dropna=False
    ).reindex(stability["term"].drop_duplicates())
    return shares.iloc[np.argsort(-shares.mean(axis="columns").fillna(0.0), kind="stable")]


def _labels(stability: pd.DataFrame, terms: list[str]) -> list[str]:
    labels = stability.drop_duplicates("term").set_index("term")["label"]
    return labels.reindex(terms).fillna("").astype(str).tolist()


def _of_source(frequencies: pd.DataFrame, source: str) -> pd.DataFrame:
    """Frequencies over one kind of replicates; none at all is no mistake."""
    if source not in PLURALS:
        msg = f"no replicates are called {source!r}; there are {', '.join(PLURALS)}"
        raise OptionError(msg)
    needed = ["procedure", "source", "replicates", "term", "frequency"]
    if frequencies.empty:
        return pd.DataFrame(columns=needed)
    style.require_columns(frequencies, needed, "frequencies")
    return frequencies[(frequencies["source"] == source) & frequencies["frequency"].notna()]


def _procedure_texts(drawn: pd.DataFrame, source: str, words: Mapping[str, str]) -> dict[str, str]:
    """What the legend calls each procedure: those of `PROCEDURES` in their order, then others."""
    found = drawn["procedure"].drop_duplicates().tolist()
    ordered = [name for name in PROCEDURES if name in found]
    ordered += [name for name in found if name not in PROCEDURES]
    known = {**PROCEDURES, **words}
    texts = {name: known.get(name, name) for name in ordered}
    if len(drawn["replicates"].unique()) > 1:
        many = drawn.groupby("procedure")["replicates"].max()
        texts = {
            name: f"{text} ({many[name]:.0f} {PLURALS[source]})" for name, text in texts.items()
        }
    return texts


@dataclass(frozen=True)
class _Page:
    """Places of the parts, in mm from the left and the top, and the words as they fit."""

    called: list[Name]
    names: list[str]
    left: float
    heat: float
    dots: float
    row: float
    columns: int
    procedures: int
    dots_text: str

    @property
    def rows(self) -> float:
        return self.row * len(self.called)

    @property
    def dots_left(self) -> float:
        return self.left + self.heat + 2 * _GAP_MM

    @property
    def size_text(self) -> str:
        return style.filled("Size (number of predictors)", self.heat)

    @property
    def share_text(self) -> str:
        return style.filled("Share of folds in which the predictor has entered", self.heat)

    @property
    def bar_top(self) -> float:
        return _EDGE_MM + self.rows + _axis_mm(self.size_text) + _GAP_MM

    @property
    def key_top(self) -> float:
        below_bar = self.bar_top + _BAR_MM + _axis_mm(self.share_text)
        return max(below_bar, _EDGE_MM + self.rows + _axis_mm(self.dots_text)) + _GAP_MM

    @property
    def height(self) -> float:
        return self.key_top + style.legend_mm(self.procedures, self.columns) + _EDGE_MM


def _axis_mm(title: str) -> float:
    """Room for ticks, their numbers and the title under them."""
    return 2.2 + style.lines_mm(1) + style.lines_mm(1 + title.count("\n"), style.LARGE)


def _page(
    called: list[Name], sizes: int, *, texts: Sequence[str], dots_text: str, width_mm: float
) -> _Page:
    """Share the width between names, cells and dots, and the height between the rows."""
    row = min(_ROW_MM, max(_ROWS_MM / len(called), style.lines_mm(1) * 1.1))
    lines = 2 if row >= style.lines_mm(2) else 1
    names = style.fitted_names(called, min(_LABEL_MM, 0.3 * width_mm), lines)
    widths = [style.text_mm(text, name.font) for text, name in zip(names, called, strict=True)]
    left = _EDGE_MM + max(widths) + 2.0
    room = width_mm - left - 2 * _EDGE_MM
    widest = max(_CELL_MM * sizes, 4 * _CELL_MM)
    heat = min(widest, _HEAT_SHARE * (room - 2 * _GAP_MM) if texts else room)
    dots = room - heat - 2 * _GAP_MM
    columns = style.legend_columns(texts, width_mm - 2 * _EDGE_MM)
    said = style.filled(dots_text, dots) if texts else ""
    return _Page(called, names, left, heat, dots, row, columns, len(texts), said)


def _draw_heat(axes: Axes, shares: pd.DataFrame, page: _Page) -> QuadMesh:
    """Shares as cells from white to dark; a cell without a share is hatched."""
    sizes, values = shares.columns.to_numpy(), shares.to_numpy(dtype=float)
    rows = np.arange(len(shares))
    across, down = np.append(sizes - 0.5, sizes[-1] + 0.5), np.append(rows - 0.5, rows[-1] + 0.5)
    cells = axes.pcolormesh(
        across,
        down,
        np.ma.masked_invalid(values),
        cmap=style.SEQUENTIAL,
        vmin=0.0,
        vmax=1.0,
        edgecolors="white",
        linewidth=0.4,
    )
    axes.patch.set(hatch="////", facecolor="white", edgecolor=FAINT, linewidth=0)
    axes.invert_yaxis()
    axes.set_yticks(rows, labels=page.names)
    style.write_names(axes.get_yticklabels(), page.called)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xlabel(page.size_text)
    cell = page.heat / len(sizes)
    shown = _sizes_shown(sizes, cell)
    axes.set_xticks(shown, labels=[f"{size}" for size in shown])
    if cell >= style.text_mm("0.55") + 0.6:
        _number_cells(axes, sizes, values)
    return cells


def _draw_bar(bar: Colorbar, page: _Page) -> None:
    ticks, numbers = _quarters(page.heat)
    bar.set_ticks(ticks, labels=numbers)
    bar.set_label(page.share_text)
    if bar.solids is not None:
        bar.solids.set_rasterized(False)
        bar.solids.set_edgecolor("face")  # or viewers show white lines between the steps
    bar.outline.set_linewidth(0.4)
    bar.ax.tick_params(length=1.5)


def _quarters(width: float) -> tuple[list[float], list[str]]:
    """Ticks of an axis from 0 to 1: quarters, or halves on a narrow one."""
    ticks = [0.0, 0.25, 0.5, 0.75, 1.0] if width >= 28.0 else [0.0, 0.5, 1.0]
    return ticks, [f"{tick:g}" for tick in ticks]


def _sizes_shown(sizes: NDArray[Any], cell: float) -> list[int]:
    """Sizes written under the cells: as many as there is room for, the first one among them."""
    widest = style.text_mm(f"{sizes[-1]}") + 0.8
    every = next((step for step in (1, 2, 5, 10, 20) if step * cell >= widest), 50)
    return [int(size) for size in sizes if size % every == 0 or (size == 1 and every != 2)]


def _number_cells(axes: Axes, sizes: NDArray[Any], values: NDArray[np.float64]) -> None:
    """Write each share into its cell, white on dark."""
    colours = mpl.colormaps[style.SEQUENTIAL]
    for row, column in zip(*np.nonzero(np.isfinite(values)), strict=True):
        share = float(values[row, column])
        ink = "white" if style.luminance(colours(share)) < 0.18 else INK
        look: dict[str, Any] = {"ha": "center", "va": "center", "color": ink}
        axes.text(sizes[column], row, f"{share:.2g}", fontsize=style.SMALL, **look)


def _draw_dots(axes: Axes, drawn: pd.DataFrame, texts: Mapping[str, str], page: _Page) -> Keys:
    """One row of marks for each predictor; the marks of a row stand under each other."""
    known = [*PROCEDURES, *(name for name in texts if name not in PROCEDURES)]
    looks = dict(zip(known, style.marks(len(known)), strict=True))  # the same in every figure
    step = min(0.2, 0.86 / len(texts))
    points_apart = step * page.row / style.MM_PER_INCH * style.POINTS_PER_INCH
    rows = {name.term: row for row, name in enumerate(page.called)}
    keys: Keys = {}
    for row in range(0, len(page.called), 2):
        axes.axhspan(row - 0.5, row + 0.5, color=STRIPE, linewidth=0, zorder=0)
    for place, procedure in enumerate(texts):
        mark = looks[procedure]
        own = drawn[(drawn["procedure"] == procedure) & drawn["term"].isin(rows)]
        shift = (place - (len(texts) - 1) / 2) * step
        (points,) = axes.plot(
            own["frequency"],
            own["term"].map(rows) + shift,
            linestyle="none",
            marker=mark.marker,
            color=mark.colour,
            markersize=float(np.clip(1.15 * points_apart, 2.6, 4.5)),
            markeredgewidth=mark.edge,
            clip_on=False,
            zorder=3,
        )
        keys[texts[procedure]] = points
    axes.set(xlim=(-0.02, 1.02), ylim=(len(page.called) - 0.5, -0.5), yticks=[])
    axes.set_xticks(*_quarters(page.dots))
    axes.grid(axis="x", color=FAINT, linewidth=0.4, zorder=1)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(page.dots_text)
    return keys


def _dots_text(drawn: pd.DataFrame, source: str) -> str:
    many = drawn["replicates"].unique()
    count = f"{many[0]:.0f} " if len(many) == 1 else ""
    return f"Share of {count}{PLURALS[source]} that select the predictor"
